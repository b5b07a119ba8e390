"""The config.json of a Hugging Face Llama, Mistral, Qwen2 or Qwen3, to our sizes and back, and the names of weights.

The four are one architecture: Mistral may have a sliding window, Qwen2 has biases on query, key and value, Qwen3 norms
on query and key. What else their configs can say and our Llama cannot do is refused by the name of its field. The
meaning of a field that says nothing is that of transformers 5.
"""

import re
from pathlib import Path

from minipeft.errors import UserError, quoted
from minipeft.transformer.config_checks import LLAMA_RULES, Rule, check_sizes, check_values, one_of, scales
from minipeft.transformer.hugging_face_config import only_end, translate
from minipeft.transformer.llama import LlamaConfig

KINDS = ("llama", "mistral", "qwen2", "qwen3")
LLAMA_FIELDS = {  # theirs: ours
    "vocab_size": "vocabulary_size",
    "hidden_size": "hidden_size",
    "num_attention_heads": "heads",
    "num_key_value_heads": "key_value_heads",
    "head_dim": "head_size",
    "num_hidden_layers": "layers",
    "intermediate_size": "feed_forward_size",
    "max_position_embeddings": "max_length",
    "attention_dropout": "dropout",
    "rms_norm_eps": "epsilon",
    "eos_token_id": "eos",
    "pad_token_id": "pad",
    "tie_word_embeddings": "tied_head",
}
DEFAULTS = {"attention_dropout": 0.0, "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "head_dim": None}
DEFAULTS_OF = {
    "llama": {"num_key_value_heads": None, "eos_token_id": 2},
    "mistral": {"num_key_value_heads": 8, "eos_token_id": 2, "sliding_window": 4096},
    "qwen2": {"num_key_value_heads": 32},
    "qwen3": {"num_key_value_heads": 32, "head_dim": 128},
}
SCALING = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")  # of Llama 3.1
ROTATION = Rule(
    'of rope_type "default", or "llama3" with all of its numbers and no others',
    lambda value: value is None or (type(value) is dict and known_rotation(value)),
)
NO = Rule("false: minipeft's Llama has no such biases", lambda value: value is False)
WHOLE_HEADS = Rule("1: minipeft turns whole heads", lambda value: value in (None, 1))
LLAMA_ONLY = {
    "hidden_act": one_of(["silu", "swish"]),  # two names of one function
    "attention_bias": NO,
    "mlp_bias": NO,
    "partial_rotary_factor": WHOLE_HEADS,
    "rope_scaling": ROTATION,
    "rope_parameters": ROTATION,
    "quantization_config": Rule("absent: minipeft reads weights of 16 to 64 bits", lambda value: value is None),
}
QWEN_ONLY = {
    "use_sliding_window": Rule("false: minipeft's attention reads all of a text", lambda value: value is False),
    "layer_types": Rule(
        "full_attention in every layer: minipeft's attention reads all of a text",
        lambda value: value is None or (type(value) is list and all(kind == "full_attention" for kind in value)),
    ),
}


def known_rotation(rotation: dict) -> bool:
    """Whether our rotary positions can turn as `rotation` says."""
    kind = rotation.get("rope_type", rotation.get("type", "default"))
    numbers = [rotation.get(name) for name in SCALING] if kind == "llama3" else []
    known = {"rope_type", "type", "rope_theta", "partial_rotary_factor", *(SCALING if numbers else ())}
    whole = rotation.get("partial_rotary_factor", 1) == 1
    return kind in ("default", "llama3") and whole and rotation.keys() <= known and scales(numbers)


def llama_config(settings: dict, file: Path) -> LlamaConfig:
    """Our sizes of the Llama, Mistral, Qwen2 or Qwen3 that `settings`, read from `file`, describe.

    Where there is no padding token, the end of a text fills in, and the mask hides it.
    Raises UserError, which names the field, where a value is missing, of the wrong kind, or beyond our Llama.
    """
    kind = settings["model_type"]
    said = DEFAULTS | DEFAULTS_OF[kind] | settings
    check_values(said, LLAMA_ONLY | (QWEN_ONLY if kind.startswith("qwen") else {}), file)
    if said.get("pad_token_id") is None and "eos_token_id" in said:
        said["pad_token_id"] = only_end(said["eos_token_id"])
    for field in ("num_key_value_heads", "head_dim"):
        if said[field] is None and not (kind == "qwen3" and field == "head_dim"):
            said[field] = 0  # as many as heads; hidden_size / heads
        else:
            check_values(said, {field: LLAMA_RULES["hidden_size"]}, file)
    rotation = said.get("rope_scaling") or said.get("rope_parameters") or {}
    check_values(settings, {"rope_theta": LLAMA_RULES["rope_theta"]}, file)
    said["rope_theta"] = rotation.get("rope_theta", said.get("rope_theta", 10000.0))
    scaling = tuple(rotation[name] for name in SCALING) if "factor" in rotation else ()
    ours = translate(said, LLAMA_FIELDS | {"rope_theta": "rope_theta"}, LLAMA_RULES, file)
    try:
        config = LlamaConfig(
            **ours, rope_scaling=scaling, query_key_value_bias=kind == "qwen2", query_key_norm=kind == "qwen3"
        )
    except UserError as error:
        raise UserError(f"{file}: {in_their_words(str(error))}") from error
    if kind == "mistral":
        require_no_window(said["sliding_window"], config, file)
    check_sizes(config, file, {own: name for name, own in LLAMA_FIELDS.items()})
    return config


def in_their_words(sentence: str) -> str:
    """A sentence on our fields with the names that Hugging Face has for them."""
    names = {own: name for name, own in LLAMA_FIELDS.items()}
    return re.sub(r"\b(heads|key_value_heads|head_size)\b", lambda found: names[found[0]], sentence)


def require_no_window(window, config: LlamaConfig, file: Path) -> None:
    """Raise UserError where a Mistral's window is shorter than a text may be."""
    if window is None or (type(window) is int and window >= config.max_length):
        return
    raise UserError(
        f"{file}: sliding_window is {quoted(window)}, shorter than max_position_embeddings {config.max_length}, and "
        "minipeft's attention reads all of a text: write null there if no text will be longer than the window."
    )


def llama_settings(config: LlamaConfig) -> dict:
    """The config.json of our Llama; with biases it is a Qwen2, with norms on query and key a Qwen3."""
    if config.query_key_value_bias and config.query_key_norm:
        raise UserError("No model of Hugging Face has both Qwen2's biases and Qwen3's norms: nothing was saved.")
    kind = "qwen2" if config.query_key_value_bias else "qwen3" if config.query_key_norm else "llama"
    names = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
    rotation = {"rope_type": "llama3" if config.rope_scaling else "default", "rope_theta": config.rope_theta}
    rotation |= dict(zip(SCALING, config.rope_scaling, strict=False))  # empty where there is none
    return {
        "model_type": kind,
        "architectures": [names[kind]],
        "hidden_act": "silu",
        **{name: getattr(config, own) for name, own in LLAMA_FIELDS.items()},
        "rope_parameters": rotation,
        "rope_theta": config.rope_theta,  # for transformers 4, and the next, too
        "rope_scaling": rotation if config.rope_scaling else None,
    }


def llama_names(config: LlamaConfig) -> dict[str, tuple[str, ...]]:
    """Each Hugging Face name of a Llama's weight or bias, and ours."""
    names = {"model.embed_tokens.weight": "embedding.weight", "model.norm.weight": "decoder.norm.weight"}
    projections = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}
    for number in range(config.layers):
        layer, block = f"model.layers.{number}", f"decoder.blocks.{number}"
        names[f"{layer}.input_layernorm.weight"] = f"{block}.attention_norm.weight"
        for theirs, ours in {**projections, "o_proj": "output"}.items():
            names[f"{layer}.self_attn.{theirs}.weight"] = f"{block}.attention.{ours}.weight"
        if config.query_key_value_bias:
            for theirs, ours in projections.items():
                names[f"{layer}.self_attn.{theirs}.bias"] = f"{block}.attention.{ours}.bias"
        if config.query_key_norm:
            names[f"{layer}.self_attn.q_norm.weight"] = f"{block}.attention.query_norm.weight"
            names[f"{layer}.self_attn.k_norm.weight"] = f"{block}.attention.key_norm.weight"
        names[f"{layer}.post_attention_layernorm.weight"] = f"{block}.feed_forward_norm.weight"
        for part in ("gate", "up", "down"):
            names[f"{layer}.mlp.{part}_proj.weight"] = f"{block}.feed_forward.{part}.weight"
    names |= {} if config.tied_head else {"lm_head.weight": "head.weight"}
    return {theirs: (ours,) for theirs, ours in names.items()}
