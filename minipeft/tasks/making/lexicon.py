"""The word lists that the bundled texts are made from, and each split's share of them."""

import json
import random

from minipeft.paths import DATA


def read_lexicon(name: str) -> dict:
    """One of the bundled word lists, `data/lexicon/<name>.json`."""
    return json.loads((DATA / "lexicon" / f"{name}.json").read_text(encoding="utf-8"))


def split_words(words, split: str, salt: str = "") -> list[str]:
    """The share of `words` that belongs to `split`: 60% train, 20% dev, 20% test, always the same for one list.

    Tasks draw their people, objects and events from here, so nothing a model is tested on was seen in fine-tuning.
    """
    words = sorted(words)
    random.Random(f"minipeft {salt}").shuffle(words)
    first, second = round(0.6 * len(words)), round(0.8 * len(words))
    return {"train": words[:first], "dev": words[first:second], "test": words[second:]}[split]
