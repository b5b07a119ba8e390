"""Where one text goes on after another: the space between a source and its answer, between a template and its parts.

    source "it was", answer "good"      decoder only: one text, "it was good"; T5: two texts, each from its beginning

A tokenizer of T5's kind, and the bundled one, puts a space before every text that it reads. A byte-level one of GPT-2's
kind does not (`adds_space` is False): there the word behind another must be given its space, or it becomes a token
that hardly ever follows a word.
"""

from collections.abc import Iterable


def encode_after(tokenizer, text: str) -> list[int]:
    """The ids of a text that other text stands before."""
    joined = getattr(tokenizer, "adds_space", True) or text[:1].isspace()
    return tokenizer.encode(text if joined else f" {text}")


def encode_written(model, text: str) -> list[int]:
    """The ids of a text as `model` writes it: behind the source in a decoder-only model, else on its own."""
    return model.tokenizer.encode(text) if _begins_anew(model) else encode_after(model.tokenizer, text)


def decode_written(model, ids: Iterable[int]) -> str:
    """The text that `model` wrote, without the space that parted it from the source."""
    text = model.tokenizer.decode(ids)
    return text if _begins_anew(model) else text.removeprefix(" ")


def _begins_anew(model) -> bool:
    return hasattr(model, "encoder")
