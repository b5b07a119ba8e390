"""The config.json of a Hugging Face T5, mT5 or GPT-2, to our sizes and back.

Every field that changes the arithmetic is read, or refused by a sentence that names it. The meaning of a field that
says nothing (absent, or null where `transformers` writes null) is that of transformers 5.
"""

from pathlib import Path
from typing import Any

from minipeft.errors import UserError, quoted
from minipeft.files import read_json
from minipeft.transformer.config_checks import (
    DECODER_ONLY_RULES,
    ENCODER_DECODER_RULES,
    SIZE,
    SWITCH,
    Rule,
    check_sizes,
    check_values,
    one_of,
)
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoderConfig

T5_FIELDS = {  # theirs: ours
    "vocab_size": "vocabulary_size",
    "d_model": "hidden_size",
    "num_heads": "heads",
    "d_kv": "head_size",
    "d_ff": "feed_forward_size",
    "num_layers": "encoder_layers",
    "num_decoder_layers": "decoder_layers",
    "relative_attention_num_buckets": "relative_buckets",
    "relative_attention_max_distance": "relative_max_distance",
    "dropout_rate": "dropout",
    "layer_norm_epsilon": "epsilon",
    "eos_token_id": "eos",
    "pad_token_id": "pad",
    "decoder_start_token_id": "start",
}
T5_DEFAULTS = {
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
# T5 1.0, v1.1, and what else our feed-forward layers can do. T5's "gated-gelu" is the tanh form, its "gelu" is not.
FEED_FORWARDS = {
    "relu": ("relu", False),
    "gated-gelu": ("gelu", True),
    "gated-relu": ("relu", True),
    "gelu_new": ("gelu", False),
    "gated-gelu_new": ("gelu", True),
}
GPT2_FIELDS = {
    "vocab_size": "vocabulary_size",
    "n_embd": "hidden_size",
    "n_head": "heads",
    "n_layer": "layers",
    "n_positions": "max_length",
    "n_inner": "feed_forward_size",
    "resid_pdrop": "dropout",
    "layer_norm_epsilon": "epsilon",
    "eos_token_id": "eos",
    "pad_token_id": "pad",
    "tie_word_embeddings": "tied_head",
}
GPT2_DEFAULTS = {"resid_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "eos_token_id": 50256, "tie_word_embeddings": True}
# What GPT-2's relatives change of the arithmetic. The activation's second name is the same function;
# `reorder_and_upcast_attn` is not here: it changes the rounding of 16-bit types alone.
GPT2_ONLY = {
    "activation_function": one_of(["gelu_new", "gelu_pytorch_tanh"]),
    "scale_attn_weights": Rule("true, as in GPT-2", lambda value: value is True),
    "scale_attn_by_inverse_layer_idx": Rule("false, as in GPT-2", lambda value: value is False),
    "add_cross_attention": Rule("false, as in GPT-2", lambda value: value is False),
}


def t5_config(settings: dict, file: Path) -> EncoderDecoderConfig:
    """Our sizes of the T5 or mT5 that `settings`, read from `file`, describe.

    `tied_head` is what the settings let expect: transformers 5 looks at the weights, and so does `hugging_face.py`.
    Raises UserError, which names the field, where a value is missing, of the wrong kind, or no T5's.
    """
    old = settings["model_type"] == "t5"
    said = T5_DEFAULTS | settings
    if said.get("num_decoder_layers") is None:
        said["num_decoder_layers"] = said.get("num_layers")
    if said.get("decoder_start_token_id") is None:
        said["decoder_start_token_id"] = said["pad_token_id"]  # T5 starts an answer with padding
    if said["pad_token_id"] is None:
        said["pad_token_id"] = 0  # fills a row up, behind the mask
    ours = translate(said, T5_FIELDS, ENCODER_DECODER_RULES, file)
    projection = said.get("feed_forward_proj", "relu" if old else "gated-gelu")
    check_values({"feed_forward_proj": projection}, {"feed_forward_proj": one_of(FEED_FORWARDS)}, file)
    activation, gated = FEED_FORWARDS[projection]
    require_same(said, "is_gated_act", (gated,), projection, file)
    spellings = ("relu",) if activation == "relu" else ("gelu_new", "gelu_pytorch_tanh")
    require_same(said, "dense_act_fn", spellings, projection, file)
    check_values(said, {"tie_word_embeddings": SWITCH, "scale_decoder_outputs": SWITCH}, file)
    tied = said.get("tie_word_embeddings", True)
    # Old files of T5 say by `tie_word_embeddings` whether the head's input is rescaled; new ones by a field of its own.
    # mT5 was released with an untied head and never rescales, whatever new files say about ties.
    rescaled = old and said.get("scale_decoder_outputs", tied)
    config = EncoderDecoderConfig(
        **ours, activation=activation, gated=gated, tied_head=rescaled if old else tied, rescaled=rescaled
    )
    check_sizes(config, file, {own: name for name, own in T5_FIELDS.items()})
    return config


def gpt2_config(settings: dict, file: Path) -> DecoderOnlyConfig:
    """Our sizes of the GPT-2 that `settings`, read from `file`, describe.

    GPT-2 has no padding token: its end-of-text id fills in, and the mask hides it.
    Raises UserError, which names the field, where a value is missing, of the wrong kind, or no GPT-2's.
    """
    said = GPT2_DEFAULTS | settings
    check_values(said, GPT2_ONLY, file)
    dropouts = {name: said.get(name, 0.1) for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
    check_values(dropouts, dict.fromkeys(dropouts, DECODER_ONLY_RULES["dropout"]), file)
    if len(set(dropouts.values())) > 1:
        named = ", ".join(f"{name} {value}" for name, value in dropouts.items())
        raise UserError(f"{file}: the dropouts differ ({named}); minipeft has one for all: set them alike there.")
    if said.get("pad_token_id") is None:
        said["pad_token_id"] = only_end(said["eos_token_id"])
    if said.get("n_inner") is None:
        said["n_inner"] = 0  # four times n_embd
    else:
        check_values(said, {"n_inner": SIZE}, file)
    ours = translate(said, GPT2_FIELDS, DECODER_ONLY_RULES, file)
    if ours["hidden_size"] % ours["heads"]:
        raise UserError(f"{file}: n_embd {ours['hidden_size']} is not a multiple of n_head {ours['heads']}.")
    config = DecoderOnlyConfig(**ours)
    check_sizes(config, file, {own: name for name, own in GPT2_FIELDS.items()})
    return config


def check_generation(config, file: Path) -> None:
    """Raise UserError where generation_config.json, if there is one, starts or ends answers with other tokens."""
    settings = read_json(file, "download the folder again") if file.exists() else {}
    for name, own in (("eos_token_id", "eos"), ("decoder_start_token_id", "start")):
        token, ours = only_end(settings.get(name)), getattr(config, own, None)
        if None not in (token, ours) and token != ours:
            raise UserError(f"{file}: {name} is {quoted(token)}, but {ours} in config.json: set them alike.")


def translate(said: dict, fields: dict[str, str], rules: dict, file: Path) -> dict[str, Any]:
    """The values of `fields`, checked by our rules for them, under our names."""
    for name in fields:
        if name not in said:
            raise UserError(f"{file} does not say {name}: download the folder again.")
    said = said | {"eos_token_id": only_end(said["eos_token_id"])}
    check_values(said, {name: rules[own] for name, own in fields.items()}, file)
    return {own: said[name] for name, own in fields.items()}


def only_end(token):
    """The one token of a list of one; everything else as it is."""
    return token[0] if type(token) is list and len(token) == 1 else token


def require_same(said: dict, name: str, values: tuple, projection: str, file: Path) -> None:
    """Raise UserError where a field that only repeats what feed_forward_proj says contradicts it."""
    value = said.get(name, values[0])
    if value not in values:
        raise UserError(f"{file}: {name} is {quoted(value)}, which is not what feed_forward_proj {projection!r} says.")


def t5_settings(config: EncoderDecoderConfig) -> dict:
    """The config.json of our T5, for transformers 4 and 5."""
    form = (config.activation, config.gated)
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "is_encoder_decoder": True,
        **{name: getattr(config, own) for name, own in T5_FIELDS.items()},
        "feed_forward_proj": next(name for name, value in FEED_FORWARDS.items() if value == form),
        "tie_word_embeddings": config.tied_head,
        "scale_decoder_outputs": config.rescaled,
    }


def gpt2_settings(config: DecoderOnlyConfig) -> dict:
    """The config.json of our GPT-2."""
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        **{name: getattr(config, own) for name, own in GPT2_FIELDS.items()},
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "bos_token_id": config.eos,
    }
