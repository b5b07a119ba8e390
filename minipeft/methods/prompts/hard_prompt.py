"""Hard prompts: words alone, before and around the source; nothing is learned.

    T(s_1) a_1  T(s_2) a_2  ...  T(s)  ->  a        T: the template   (s_i, a_i): the demonstrations with their answers

A verbalizer says in which words an answer is given ("good" -> "Good."). Where the template has the blank <X>, a
demonstration's answer stands in it, and the model's own answer begins with the blank's sentinel, as T5 fills blanks.
Some words are likely behind every text. Calibration takes off what an answer scores on average behind texts c_i that
have no answer ("N/A"), or one that nobody knows:

    calibrated(a | s) = score(a | s) - mean_i score(a | c_i)

Start: the base model's output for the same ids, and it stays so.
Trainable: 0 parameters. All that is stored is text.
Paper: Brown et al. 2020, arXiv:2005.14165; calibration: Zhao et al. 2021, arXiv:2102.09690, who take the mean of
probabilities, and Zhou et al. 2023, arXiv:2309.17249, who take it over texts of the task.
Lesson: lessons/04_hard_prompts. Test: tests/methods/prompts/test_hard_prompt.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from minipeft.errors import UserError, require_text
from minipeft.methods.method import Method
from minipeft.methods.prompts.template import Template
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.text_joints import encode_after, encode_written


@dataclass
class HardPrompt(Method):
    """A `template` around the source, after `demonstrations`: pairs (source, answer) in the same template.

    verbalizer: for each label the words that stand for it; a task's own answers where it is empty. combine: a label's
    score is the "average" over its words, or that of the "first" one. Demonstrations always use the first. calibration:
    the texts c_i, which are read in the same template behind the same demonstrations.
    """

    template: str = "{source}"
    demonstrations: Sequence[Sequence[str]] = ()
    verbalizer: Mapping[str, Sequence[str]] = field(default_factory=dict)
    combine: str = "average"
    calibration: Sequence[str] = ()

    name = "hard_prompt"
    needs_language_model = True
    suggested_learning_rate = 0.0  # there is nothing to train, and so no rate to choose
    learning_rate_grid = ()
    why_no_merge = "its words stand in the text, which no weight of the model can do. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        Template(self.template)
        require_text(self.demonstrations, "A demonstration")
        require_text(self.verbalizer, "The verbalizer")
        require_text(self.calibration, "A text of the calibration")
        if any(isinstance(pair, str) or len(pair) != 2 for pair in self.demonstrations):
            raise UserError("Each demonstration is a pair of source and answer: [['a fine film', 'good'], ...].")
        if self.combine not in ("average", "first"):
            raise UserError(f"A hard prompt's combine must be 'average' or 'first', not {self.combine!r}.")
        for label, words in self.verbalizer.items():
            listed = isinstance(words, Sequence) and not isinstance(words, str) and words
            if not listed or not all(isinstance(word, str) and word.strip() for word in words):
                raise UserError(f"The verbalizer's label {label!r} needs a list of at least one word.")
        everything = [" ".join(word.split()) for words in self.verbalizer.values() for word in words]
        if twice := next((word for word in everything if everything.count(word) > 1), None):
            raise UserError(f"The verbalizer's word {twice!r} stands there twice: it can mean one label only.")

    def install(self, model: nn.Module) -> None:
        """Nothing is put into the model: a hard prompt acts on the texts it reads and the answers it accepts."""

    def source_ids(self, text: str) -> list[int]:
        ids = []
        for source, answer in self.demonstrations:
            ids += self.demonstrate(source, answer, begins=not ids)
        return ids + self.fill(text, begins=not ids)

    def fill(self, source: str, begins: bool) -> list[int]:
        return Template(self.template).encode(source, self.model.tokenizer, begins=begins)

    def demonstrate(self, source: str, answer: str, begins: bool) -> list[int]:
        """The filled template with the answer in its blank, or behind it."""
        ids, words = self.fill(source, begins), encode_after(self.model.tokenizer, self.words(answer)[0])
        if "<X>" not in self.template:
            return ids + words
        blank = ids.index(self.model.tokenizer.sentinel(0))
        return ids[:blank] + words + ids[blank + 1 :]

    def words(self, label: str) -> Sequence[str]:
        """What may be said for a label."""
        if self.verbalizer and label not in self.verbalizer:
            raise UserError(f"The verbalizer has no words for {label!r}: it has {', '.join(self.verbalizer)}.")
        return self.verbalizer.get(label, [label])

    def answer_ids(self, text: str) -> list[list[int]]:
        tokenizer = self.model.tokenizer
        words = self.words(text)[:1] if self.combine == "first" else self.words(text)
        blank = [tokenizer.sentinel(0)] if "<X>" in self.template else []
        return [blank + encode_written(self.model, word) for word in words]

    def score(self, batch: Batch, candidates: torch.Tensor, candidate_mask: torch.Tensor) -> torch.Tensor:
        scores = super().score(batch, candidates, candidate_mask)  # (batch, answers)
        if not self.calibration:
            return scores
        usual = {}  # by the answers' ids: most tasks have the same answers for every text
        for row, ids in enumerate(map(str, candidates.tolist())):
            if ids not in usual:
                usual[ids] = self.usual_scores(candidates[row], candidate_mask[row])
            scores[row] -= usual[ids]
        return scores

    def usual_scores(self, answers: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean score of each answer behind the texts of `calibration`, (answers,)."""
        sources = [[*self.model.source_prefix, *self.source_ids(text), *self.model.source_suffix]
                   for text in self.calibration]  # fmt: skip
        batch, shape = Batch(*pad(sources)).to(answers.device), (len(sources), -1, -1)
        return super().score(batch, answers.expand(shape), mask.expand(shape)).mean(0)
