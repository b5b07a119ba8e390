"""Tiny models of all families with a word-level tokenizer, and a task they can learn in a few steps."""

import pytest
import torch

from minipeft.tasks.task import Example, Task
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.llama import Llama, LlamaConfig

COLOURS, THINGS = ("red", "blue", "green"), ("fox", "owl", "cat", "dog", "hen", "ant")
WORDS = ("<pad>", "</s>", *COLOURS, *THINGS, "warm", "cold", "the", "is", "and", "seen", "a")


class WordTokenizer:
    """One token a word: the least that `model.tokenizer` must be."""

    size, pad, eos = 40, 0, 1  # the ids behind the words are free for prompts and sentinels

    def encode(self, text):
        return [WORDS.index(word) for word in text.split()]

    def decode(self, ids):
        ids = list(ids)
        ids = ids[: ids.index(self.eos)] if self.eos in ids else ids
        return " ".join(WORDS[i] if i < len(WORDS) else "?" for i in ids if i != self.pad)

    def sentinel(self, index):
        return self.size - 1 - index

    def most_frequent(self, count):
        return list(range(2, len(WORDS)))[:count]


def make_tiny_t5(**changes):
    """A T5 whose sizes all differ, in eval mode, always with the same weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "heads": 2, "head_size": 6, "feed_forward_size": 24}
    sizes |= {"encoder_layers": 2, "decoder_layers": 2, "relative_buckets": 8, "relative_max_distance": 16}
    model = EncoderDecoder(EncoderDecoderConfig(WordTokenizer.size, **(sizes | changes))).eval()
    model.tokenizer = WordTokenizer()
    return model


def make_tiny_gpt(**changes):
    """A GPT-2 in eval mode, always with the same weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "heads": 2, "layers": 2, "max_length": 48}
    model = DecoderOnly(DecoderOnlyConfig(WordTokenizer.size, **(sizes | changes))).eval()
    model.tokenizer = WordTokenizer()
    return model


def make_tiny_llama(**changes):
    """A Llama whose sizes all differ, in eval mode, always with the same weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "heads": 4, "layers": 2, "feed_forward_size": 20}
    sizes |= {"key_value_heads": 2, "head_size": 6, "max_length": 48}
    model = Llama(LlamaConfig(WordTokenizer.size, **(sizes | changes))).eval()
    model.tokenizer = WordTokenizer()
    return model


MAKERS = {"t5": make_tiny_t5, "gpt": make_tiny_gpt, "llama": make_tiny_llama}
# A Llama is a GPT-2 to all that is no part of attention: where the face of a model is tried, it is left to `-m slow`.
EVERY_MAKER = [pytest.param(name, marks=pytest.mark.slow) if name == "llama" else name for name in MAKERS]


def make_tiny_task(metric="accuracy"):
    """Is the thing warm (red) or cold (blue, green)? Sources of different lengths."""
    texts = []
    for thing in THINGS:
        for other in THINGS:
            for colour in COLOURS:
                ending = f" and a {other} is seen" if other != thing else ""
                texts.append(Example(f"the {thing} is {colour}{ending}", "warm" if colour == "red" else "cold"))
    train, rest = texts[:72], texts[72:]
    labels = ("warm", "cold") if metric == "accuracy" else ()
    return Task("warmth", "red is warm", metric, labels, tuple(train), tuple(rest[:18]), tuple(rest[18:]))


def make_easy_task():
    """The colour is the source's last word: learned in a few steps from any start, whatever kernels compute them."""
    texts = [
        Example(f"the {thing} is {colour}", "warm" if colour == "red" else "cold")
        for thing in THINGS
        for colour in COLOURS
    ]
    return Task(
        "ending", "red is warm", "accuracy", ("warm", "cold"), tuple(texts[:12]), tuple(texts[:3]), tuple(texts[12:])
    )


# For tests that are run for every method and take long: families but the first are left to `pytest -m slow`.
second_family_slow = pytest.mark.parametrize(
    "make_tiny_model", [name if name == "t5" else pytest.param(name, marks=pytest.mark.slow) for name in MAKERS],
    indirect=True,
)  # fmt: skip
