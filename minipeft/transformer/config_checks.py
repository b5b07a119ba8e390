"""What a config.json must say before a model is built from it: each value of its kind, and sizes that belong together.

A rule is a sentence and a test. `check_values` holds settings against a table of rules, field by field; `check_sizes`
looks at several fields at once; `check_room` asks whether the weights' files can hold so large a model, and all of it
happens before anything is allocated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minipeft.errors import UserError, quoted
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoderConfig
from minipeft.transformer.feed_forward import ACTIVATIONS
from minipeft.transformer.llama import LlamaConfig

MOST_PARAMETERS = 10**14  # GPT-3 has 1.75 * 10^11
SMALLEST_FLOAT = 2  # bytes: no weight is read from fewer


@dataclass(frozen=True)
class Rule:
    """`holds(value)` says whether a value will do, `wording` what will: "it must be <wording>"."""

    wording: str
    holds: Callable[[Any], bool]


def whole(lowest: int, highest: int) -> Rule:
    """A whole number of this range; True and 2.0 are none."""
    wording = f"a whole number from {lowest:,} to {highest:,}"
    return Rule(wording, lambda value: type(value) is int and lowest <= value <= highest)


def one_of(values) -> Rule:
    """One of these texts."""
    wording = f"one of {', '.join(values)}"
    return Rule(wording, lambda value: type(value) is str and value in values)


SIZE, LAYERS, TOKEN = whole(1, 10**9), whole(1, 1000), whole(0, 10**9)
BUCKETS = whole(4, 10**6)  # the encoder halves them for each direction, and half of those hold one distance each
SWITCH = Rule("true or false", lambda value: type(value) is bool)
DROPOUT = Rule("a number from 0 to below 1", lambda value: type(value) in (int, float) and 0 <= value < 1)
EPSILON = Rule("a number above 0, at most 1", lambda value: type(value) in (int, float) and 0 < value <= 1)

SHARED_RULES = {
    "vocabulary_size": SIZE,
    "hidden_size": SIZE,
    "heads": SIZE,
    "tied_head": SWITCH,
    "dropout": DROPOUT,
    "epsilon": EPSILON,
    "pad": TOKEN,
    "eos": TOKEN,
}
ENCODER_DECODER_RULES = SHARED_RULES | {
    "head_size": SIZE,
    "feed_forward_size": SIZE,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "activation": one_of(ACTIVATIONS),
    "gated": SWITCH,
    "rescaled": SWITCH,
    "relative_buckets": BUCKETS,
    "relative_max_distance": SIZE,
    "start": TOKEN,
}


def scales(value) -> bool:
    """Whether rotary positions can be scaled by these numbers, or by none."""
    if type(value) not in (list, tuple) or len(value) not in (0, 4):
        return False
    if not all(type(number) in (int, float) and 0 < number < 1e9 for number in value):
        return False
    return not value or value[2] > value[1]


DECODER_ONLY_RULES = SHARED_RULES | {
    "layers": LAYERS,
    "max_length": SIZE,
    "feed_forward_size": whole(0, 10**9),  # 0: four times the hidden size
}
LLAMA_RULES = SHARED_RULES | {
    "layers": LAYERS,
    "feed_forward_size": SIZE,
    "max_length": SIZE,
    "key_value_heads": whole(0, 10**9),  # 0: as many as the heads
    "head_size": whole(0, 10**9),  # 0: hidden size / heads
    "rope_theta": Rule(
        "a number above 1, at most 1e11", lambda value: type(value) in (int, float) and 1 < value <= 1e11
    ),
    "rope_scaling": Rule("empty, or four numbers: factor, low, high (above low), length", scales),
    "query_key_value_bias": SWITCH,
    "query_key_norm": SWITCH,
}


def check_values(settings: Mapping[str, Any], rules: Mapping[str, Rule], file: Path) -> None:
    """Raise UserError where a field of `rules` that `settings`, read from `file`, has is not as its rule says."""
    for field, rule in rules.items():
        if field in settings and not rule.holds(settings[field]):
            value = "null" if settings[field] is None else quoted(settings[field])
            raise UserError(f"{file}: {field} is {value}; it must be {rule.wording}.")


def check_sizes(config, file: Path, theirs: Mapping[str, str] | None = None) -> None:
    """Raise UserError where values that are right one by one do not belong together.

    theirs: what `file` calls our fields, where it has names of its own.
    """
    name = lambda field: (theirs or {}).get(field, field)  # noqa: E731
    for field in ("eos", "pad", "start"):  # where a file has no pad, its eos stands for it
        token = getattr(config, field, 0)
        if token >= config.vocabulary_size:
            raise UserError(
                f"{file}: {name(field)} is {token}, but {name('vocabulary_size')} is {config.vocabulary_size}: "
                "there is no such token."
            )
    if isinstance(config, EncoderDecoderConfig) and config.relative_max_distance <= config.relative_buckets // 2:
        raise UserError(
            f"{file}: {name('relative_max_distance')} is {config.relative_max_distance}; "
            f"it must be more than half of {name('relative_buckets')}, {config.relative_buckets}."
        )
    if parameter_count(config) > MOST_PARAMETERS:
        raise UserError(f"{file} describes a model of {parameter_count(config):.0e} parameters: no machine holds it.")


def parameter_count(config) -> int:
    """How many parameters a model of these sizes has, a tied head counted once."""
    hidden, c = config.hidden_size, config
    tables = c.vocabulary_size * hidden * (1 if c.tied_head else 2)
    if isinstance(c, LlamaConfig):
        outputs = (c.heads + 2 * c.key_value_heads) * c.head_size  # of query, key and value
        attention = hidden * (outputs + c.heads * c.head_size) + outputs * c.query_key_value_bias
        norms = 2 * hidden + 2 * c.head_size * c.query_key_norm
        return tables + c.layers * (attention + 3 * hidden * c.feed_forward_size + norms) + hidden
    if isinstance(c, DecoderOnlyConfig):
        attention = 4 * (hidden * hidden + hidden)
        feed_forward = 2 * hidden * c.feed_forward_size + c.feed_forward_size + hidden
        norms = 2 * 2 * hidden  # a weight and a bias each
        return tables + c.max_length * hidden + c.layers * (attention + feed_forward + norms) + 2 * hidden
    attention = 4 * hidden * c.heads * c.head_size
    feed_forward = (3 if c.gated else 2) * hidden * c.feed_forward_size
    encoder = c.encoder_layers * (attention + feed_forward + 2 * hidden)
    decoder = c.decoder_layers * (2 * attention + feed_forward + 3 * hidden)
    return tables + encoder + decoder + 2 * (c.relative_buckets * c.heads + hidden)


def check_room(config, files: list[Path], config_file: Path) -> None:
    """Raise UserError where the weights' files are smaller than the model that `config_file` describes."""
    needed, there = SMALLEST_FLOAT * parameter_count(config), sum(file.stat().st_size for file in files)
    if needed > there:
        raise UserError(
            f"{config_file} describes a model of {parameter_count(config):,} parameters, at least {needed:,} bytes, "
            f"but its weights' files have {there:,}: they belong to different models, or the download broke off."
        )
