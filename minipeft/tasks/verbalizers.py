"""Verbalizers: which words of the vocabulary stand for which label (Schick and Schuetze 2021, arXiv:2001.07676).

A model scores words; a verbalizer turns word scores into label scores. With several words per label their scores are
averaged, or only the first one counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COMBINATIONS = ("average", "first")


@dataclass(frozen=True)
class Verbalizer:
    """`words` maps every label to its words, e.g. {"good": ["good", "great"], "bad": ["bad", "awful"]}.

    Raises ValueError for a label without words or a word that stands for two labels.
    """

    words: Mapping[str, Sequence[str]]
    combine: str = "average"

    def __post_init__(self):
        if self.combine not in COMBINATIONS:
            raise ValueError(f"combine must be one of {', '.join(COMBINATIONS)}, not {self.combine!r}.")
        for label, words in self.words.items():
            if isinstance(words, str) or not words:
                raise ValueError(f"Label {label!r} needs a list of at least one word.")
        everything = [word for words in self.words.values() for word in words]
        for word in everything:
            if everything.count(word) > 1:
                raise ValueError(f"The word {word!r} stands twice in the verbalizer; a word can mean one label only.")

    @classmethod
    def identity(cls, labels: Sequence[str]) -> "Verbalizer":
        """Every label stands for itself."""
        return cls({label: [label] for label in labels})

    def candidates(self) -> list[str]:
        """All words a model has to score, label by label."""
        return [word for words in self.words.values() for word in words]

    def label_scores(self, scores: Sequence[float]) -> dict[str, float]:
        """Label scores from the scores of `candidates()`, in their order."""
        if len(scores) != len(self.candidates()):
            raise ValueError(f"Need {len(self.candidates())} scores, one per word; got {len(scores)}.")
        remaining, result = iter(scores), {}
        for label, words in self.words.items():
            mine = [float(next(remaining)) for _ in words]
            result[label] = mine[0] if self.combine == "first" else sum(mine) / len(mine)
        return result

    def predict(self, scores: Sequence[float]) -> str:
        """The label with the highest score; the first one in a tie."""
        by_label = self.label_scores(scores)
        return max(by_label, key=by_label.get)
