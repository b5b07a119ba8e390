"""Files of the types PROMPT_TUNING and PREFIX_TUNING: one tensor, `prompt_embeddings`.

    prompt tuning: (num_virtual_tokens, hidden), as here        T5's tables may hold twice the rows, of which peft reads
    the first half
    prefix tuning: (num_virtual_tokens, layers * 2 * heads * head); here (layers, 2, heads, num_virtual_tokens, head)

What peft's T5 computes with a prefix is not prefix tuning (keys and values in the decoder's self-attention alone, none
in the encoder), so T5's prefixes have no counterpart. A network that makes the prefix (prefix_projection) is in neither
file: what it makes is stored.
"""

from collections.abc import Mapping
from typing import Any

import torch

from minipeft.errors import UserError
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.peft_files.found import Found
from minipeft.peft_files.places import require_shape

TENSOR = "prompt_embeddings"
PREFIX_TABLE = "decoder.blocks.0.attention.prefix.table"
NO_T5_PREFIX = "peft's T5 has a prefix in the decoder's self-attention alone: its prefix tuning has no counterpart here"


def write_prompt(model, method: PromptTuning) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and the tensor of an attached prompt tuning."""
    if method.template != "{source}" or method.sentinel:
        raise UserError(
            "peft's files hold the vectors of a prompt and no words: a template or a sentinel has no counterpart there."
        )
    (prompt,) = method.state_dict().values()  # (prompt_length, hidden)
    settings = {
        "num_virtual_tokens": len(prompt),
        "token_dim": prompt.shape[1],
        "num_transformer_submodules": 1,
        "num_attention_heads": model.config.heads,
        "num_layers": len(model.decoder.blocks),
        "prompt_tuning_init": "RANDOM",
    }
    return settings, {TENSOR: prompt}


def read_prompt(model, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Found:
    """The prompt tuning whose file this is. Raises UserError where the tensor does not fit settings or model."""
    length, modules = settings["num_virtual_tokens"], settings["num_transformer_submodules"]
    table = only_tensor(tensors)
    require_shape(TENSOR, table, (length * modules, model.config.hidden_size))
    told = {"prompt_length": length, "init": "uniform"}
    return Found(PromptTuning, told, {f"{model.reading_stack}.prompt": table[:length]})


def write_prefix(model, method: PrefixTuning) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and the tensor of an attached prefix tuning."""
    refuse_encoder(model)
    table = method.state_dict()[PREFIX_TABLE]
    layers, _, heads, prefix, head = table.shape
    settings = {
        "num_virtual_tokens": prefix,
        "token_dim": heads * head,
        "num_transformer_submodules": 1,
        "num_attention_heads": heads,
        "num_layers": layers,
        "prefix_projection": False,
    }
    return settings, {TENSOR: table.permute(3, 0, 1, 2, 4).reshape(prefix, -1)}


def read_prefix(model, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Found:
    """The prefix tuning whose file this is. Raises UserError where the tensor does not fit settings or model."""
    refuse_encoder(model)
    prefix, layers, heads, width = (
        settings[name] for name in ("num_virtual_tokens", "num_layers", "num_attention_heads", "token_dim")
    )
    flat = only_tensor(tensors)
    if width % heads:
        raise UserError(f"its token_dim {width} is not a multiple of its num_attention_heads {heads}")
    require_shape(TENSOR, flat, (prefix, layers * 2 * width))
    table = flat.view(prefix, layers, 2, heads, width // heads).permute(1, 2, 3, 0, 4)
    return Found(PrefixTuning, {"prefix_length": prefix, "reparametrise": False}, {PREFIX_TABLE: table})


def only_tensor(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The one tensor that such a file holds."""
    if tensors.keys() != {TENSOR}:
        raise UserError(f"it must hold one tensor, {TENSOR}, and holds {', '.join(sorted(tensors)[:3]) or 'none'}")
    return tensors[TENSOR]


def refuse_encoder(model) -> None:
    """Raise UserError for a T5."""
    if model.reading_stack == "encoder":
        raise UserError(NO_T5_PREFIX)
