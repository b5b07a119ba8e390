"""The word lists that the bundled texts are made from, and the share of them that a task may use.

A task never tests on words it was tuned on, so which words fall into test decides a score as much as a seed does. They
can be drawn anew: draw 0 is that of the bundled files, every other number parts the same lists in another way.
"""

import json
import random
from dataclasses import dataclass

from minipeft.paths import DATA


@dataclass(frozen=True)
class Share:
    """The words of one split, "train", "dev" or "test", in one draw of the words."""

    split: str
    draw: int = 0

    def seed(self, what: str) -> str:
        """The seed of whatever is drawn for `what`: draw 0 has none of its number in it."""
        return f"minipeft {what} draw {self.draw}" if self.draw else f"minipeft {what}"


def read_lexicon(name: str) -> dict:
    """One of the bundled word lists, `data/lexicon/<name>.json`."""
    return json.loads((DATA / "lexicon" / f"{name}.json").read_text(encoding="utf-8"))


def split_words(words, share: Share, salt: str = "") -> list[str]:
    """The share of `words`: 60% train, 20% dev, 20% test, always the same for one list and draw.

    Tasks draw their people, objects and events from here, so nothing a model is tested on was seen in fine-tuning.
    """
    words = sorted(words)
    random.Random(share.seed(salt)).shuffle(words)
    first, second = round(0.6 * len(words)), round(0.8 * len(words))
    return {"train": words[:first], "dev": words[first:second], "test": words[second:]}[share.split]
