"""adapter_config.json: which of its fields are read, and the refusal of what would change the outputs unseen.

A file names far more fields than it uses. One that is not in READ is passed over where it has no effect on the outputs
or holds its default, which is nothing for nearly all; every other is refused by its name. So is what later versions of
peft add and switch on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from minipeft.errors import UserError, quoted
from minipeft.files import read_json, short
from minipeft.transformer.config_checks import DROPOUT, SIZE, SWITCH, Rule, check_values, whole

CONFIG = "adapter_config.json"
AGAIN = "copy or download the adapter's folder again"


def is_above_zero(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 10**9


def is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and all(type(one) is kind for one in value)


def is_pattern_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is dict and all(map(holds, value.values()))


ABOVE_ZERO = Rule("a number above 0", is_above_zero)
NUMBER = Rule("a number of at least 0", lambda value: value == 0 or is_above_zero(value))
SHARE = DROPOUT  # from 0 to below 1
STEP = whole(0, 10**9)
NAMES = Rule("a list of names, or a text", lambda value: type(value) is str or is_list_of(str)(value))
RANKS = Rule("ranks by the names of layers", is_pattern_of(SIZE.holds))
NUMBERS = Rule("numbers above 0 by the names of layers", is_pattern_of(is_above_zero))
CHOICES = Rule(
    "null, or lists of true and false by the names of layers",
    lambda value: value is None or is_pattern_of(is_list_of(bool))(value),
)
# How peft makes A and B anew before it reads them. Others than these rewrite the base's weights at that moment.
UNTOUCHED_BASE = (True, False, "gaussian", "orthogonal", "eva")
STARTS = Rule(
    "true, false, 'gaussian', 'orthogonal', 'eva' or 'pissa', which leave the base as it is or are computed here too: "
    "peft converts others, if save_pretrained is given path_initial_model_for_weight_conversion",
    lambda value: value in (*UNTOUCHED_BASE, "pissa"),
)

# peft_type: the fields that are read, and what they must be. In brackets: what they are called here.
READ = {
    "LORA": {
        "r": SIZE,  # (rank)
        "lora_alpha": ABOVE_ZERO,  # (alpha)
        "rank_pattern": RANKS,
        "alpha_pattern": NUMBERS,  # (B takes the factor)
        "lora_dropout": DROPOUT,  # (dropout; DoRA and PiSSA have none here)
        "target_modules": NAMES,  # (targets)
        "init_lora_weights": STARTS,  # (pissa)
        "use_rslora": SWITCH,  # (rslora)
        "use_dora": SWITCH,  # (dora)
    },
    "ADALORA": {
        "init_r": SIZE,  # (rank)
        "target_r": SIZE,  # (target_rank)
        "lora_alpha": ABOVE_ZERO,  # (alpha)
        "rank_pattern": CHOICES,  # (which triplets are kept)
        "target_modules": NAMES,  # (targets)
        "total_step": SIZE,
        "tinit": STEP,  # (warmup, as a share of total_step)
        "tfinal": STEP,  # (final, as a share of total_step)
        "deltaT": SIZE,  # (interval)
        "beta1": SHARE,  # (beta1)
        "beta2": SHARE,  # (beta2)
        "orth_reg_weight": NUMBER,  # (orthogonality)
    },
    "IA3": {
        "target_modules": NAMES,  # (targets and feed_forward_targets together)
        "feedforward_modules": NAMES,  # (feed_forward_targets)
    },
    "VERA": {
        "r": SIZE,  # (rank)
        "projection_prng_key": whole(0, 2**63 - 1),  # (seed)
        "target_modules": NAMES,  # (targets)
    },
    "PROMPT_TUNING": {
        "num_virtual_tokens": SIZE,  # (prompt_length)
        "num_transformer_submodules": whole(1, 2),  # (T5's second half is never read)
    },
    "PREFIX_TUNING": {
        "num_virtual_tokens": SIZE,  # (prefix_length)
        "num_layers": SIZE,
        "num_attention_heads": SIZE,
        "token_dim": SIZE,  # (heads * head)
        "num_transformer_submodules": whole(1, 1),
    },
}
# What files of older versions may leave out, and what it means then.
ABSENT = {"rank_pattern": {}, "alpha_pattern": {}, "use_rslora": False, "use_dora": False, "init_lora_weights": True}
ABSENT |= {"lora_dropout": 0.0, "num_transformer_submodules": 1}
# No effect on the outputs of a trained adapter, or told by its tensors as well.
WITHOUT_EFFECT = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"),
    *("runtime_config", "task_type", "fan_in_fan_out", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("lora_dropout", "vera_dropout", "d_initial", "save_projection"),
    *("init_lora_weights", "init_ia3_weights", "init_weights"),
    *("eva_config", "r", "token_dim", "num_attention_heads", "num_layers", "encoder_hidden_size", "prefix_projection"),
    *("prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "tokenizer_kwargs"),
}
# Defaults that are something, and mean nothing.
IDLE = {"bias": "none", "megatron_core": "megatron.core", "qalora_group_size": 16}
TASKS = (None, "SEQ_2_SEQ_LM", "CAUSAL_LM")


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of the adapter in `folder`, each field of READ checked. Raises UserError for what cannot be read."""
    file = folder / CONFIG
    settings = read_json(file, AGAIN)
    kind = settings.get("peft_type")
    if type(kind) is not str or kind not in READ:
        raise UserError(
            f"{short(file)} is of the type {quoted(kind)}, which has no counterpart here; {', '.join(READ)} have one."
        )
    for field, value in settings.items():
        idle = not value or IDLE.get(field) == value
        if field not in READ[kind] and field not in WITHOUT_EFFECT and not idle:
            raise UserError(
                f"{short(file)}: {field} is {quoted(value)}, which has no counterpart here: "
                "only adapters without it can be read."
            )
    if settings.get("task_type") not in TASKS:
        raise UserError(
            f"{short(file)}: task_type is {quoted(settings['task_type'])}; a model here writes text, which peft calls "
            "SEQ_2_SEQ_LM or CAUSAL_LM."
        )
    settings = {field: value for field, value in ABSENT.items() if field in READ[kind]} | settings
    for field in READ[kind]:
        if field not in settings:
            raise UserError(f"{short(file)} does not say {field}: {AGAIN}.")
    check_values(settings, READ[kind], file)
    return settings
