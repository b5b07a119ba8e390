"""Real checkpoints: Hugging Face folders of T5 1.0, T5 v1.1 and GPT-2 in and out (config.json and weights).

The architectures are the same, only the names differ: `t5_names` and `gpt2_names` list ours for each of theirs.
GPT-2 keeps query, key and value side by side in one matrix, and its matrices transposed, (in, out).
"""

import importlib
from pathlib import Path

import torch
from torch import Tensor

from minipeft.errors import UserError
from minipeft.files import beside, read_json, write_json
from minipeft.transformer.checkpoints import build, read_weights
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hugging_face_config import gpt2_config, gpt2_settings, t5_config, t5_settings
from minipeft.transformer.language_model import LanguageModel

QKV = ("query", "key", "value")


def from_hugging_face(folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """The T5 or GPT-2 in a Hugging Face folder, in eval mode.

    Raises UserError where a file or the `safetensors` package is missing, or the model is of another kind.
    """
    folder = Path(folder)
    kind, config = read_their_sizes(folder / "config.json")
    theirs, transposed = read_tensors(folder), kind is DecoderOnly
    if transposed:
        names = gpt2_names(config)  # a base model's file leaves out the prefix
        theirs = {name if name.startswith("transformer.") else f"transformer.{name}": w for name, w in theirs.items()}
    else:
        names = t5_names(config)
        shared = theirs.get("shared.weight")
        head = theirs.setdefault("lm_head.weight", shared)  # left out where it equals the embedding
        if config.tied_head and head is not None and shared is not None and not torch.equal(head, shared):
            raise UserError(f"{folder} rescales the decoder's output for a head of its own; no T5 does both.")
    weights = {}
    for name, ours in names.items():
        if name not in theirs:
            raise UserError(f"The safetensors files of {folder} hold no weight {name}: download the folder again.")
        stored = theirs[name].T if transposed and is_matrix(name) else theirs[name]
        weights |= {own: part.clone() for own, part in zip(ours, stored.chunk(len(ours)), strict=True)}
    return build(kind, config, weights, folder, device, dtype)


def read_their_sizes(file: Path) -> tuple[type[LanguageModel], EncoderDecoderConfig | DecoderOnlyConfig]:
    """The class and the sizes of the model that a Hugging Face config.json describes."""
    settings = read_json(file)
    family = settings.get("model_type")
    if family not in ("t5", "mt5", "gpt2"):
        raise UserError(f"{file.parent} holds a {family!r} model; minipeft reads t5, mt5 and gpt2.")
    try:
        return (DecoderOnly, gpt2_config(settings)) if family == "gpt2" else (EncoderDecoder, t5_config(settings))
    except KeyError as error:
        raise UserError(f"{file} does not say {error}: download the folder again.") from error


def to_hugging_face(model: LanguageModel, folder) -> None:
    """Write a plain model as a folder that `transformers` loads with `from_pretrained`."""
    save_file = safetensors().save_file
    gpt2 = isinstance(model, DecoderOnly)
    names, ours = (gpt2_names if gpt2 else t5_names)(model.config), model.state_dict()
    theirs = {}
    for name, parts in names.items():
        stored = torch.cat([ours[part] for part in parts])
        theirs[name] = (stored.T if gpt2 and is_matrix(name) else stored).contiguous()
    folder = Path(folder)
    with beside(folder / "model.safetensors") as part:
        save_file(theirs, part, metadata={"format": "pt"})
    write_json(folder / "config.json", (gpt2_settings if gpt2 else t5_settings)(model.config))


def t5_names(config: EncoderDecoderConfig) -> dict[str, tuple[str, ...]]:
    """Each Hugging Face name of a T5 weight, and ours."""
    names = {"shared": "embedding"} | ({} if config.tied_head else {"lm_head": "head"})
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        names[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"] = f"{stack}.positions.table"
        names[f"{stack}.final_layer_norm"] = f"{stack}.norm"
        attentions = [("SelfAttention", "attention"), ("EncDecAttention", "cross_attention")]
        for number in range(layers):
            sublayers = attentions[: 1 if stack == "encoder" else 2] + [("DenseReluDense", "feed_forward")]
            for index, (theirs, ours) in enumerate(sublayers):
                layer, block = f"{stack}.block.{number}.layer.{index}", f"{stack}.blocks.{number}.{ours}"
                names[f"{layer}.layer_norm"] = f"{block}_norm"
                if "attention" in ours:
                    inside = {"q": "query", "k": "key", "v": "value", "o": "output"}
                elif config.gated:
                    inside = {"wi_0": "gate", "wi_1": "up", "wo": "down"}
                else:
                    inside = {"wi": "up", "wo": "down"}
                names |= {f"{layer}.{theirs}.{short}": f"{block}.{own}" for short, own in inside.items()}
    return {f"{theirs}.weight": (f"{ours}.weight",) for theirs, ours in names.items()}


def gpt2_names(config: DecoderOnlyConfig) -> dict[str, tuple[str, ...]]:
    """Each Hugging Face name of a GPT-2 weight or bias, and ours; the fused c_attn is three of ours."""
    names = {"wte.weight": ("embedding.weight",), "wpe.weight": ("decoder.positions.table.weight",)}
    modules = {"ln_f": ("decoder.norm",)}
    for number in range(config.layers):
        layer, block = f"h.{number}", f"decoder.blocks.{number}"
        modules[f"{layer}.ln_1"] = (f"{block}.attention_norm",)
        modules[f"{layer}.attn.c_attn"] = tuple(f"{block}.attention.{part}" for part in QKV)
        modules[f"{layer}.attn.c_proj"] = (f"{block}.attention.output",)
        modules[f"{layer}.ln_2"] = (f"{block}.feed_forward_norm",)
        modules[f"{layer}.mlp.c_fc"] = (f"{block}.feed_forward.up",)
        modules[f"{layer}.mlp.c_proj"] = (f"{block}.feed_forward.down",)
    for kind in ("weight", "bias"):
        names |= {f"{theirs}.{kind}": tuple(f"{own}.{kind}" for own in ours) for theirs, ours in modules.items()}
    return {f"transformer.{theirs}": ours for theirs, ours in names.items()}


def is_matrix(name: str) -> bool:
    """Whether GPT-2 keeps the weight of this name transposed, as (in, out)."""
    return ".c_" in name and name.endswith(".weight")


def safetensors():
    """The optional package's PyTorch functions, or a sentence on how to get them."""
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise UserError("Hugging Face folders need the package safetensors: pip install 'minipeft[hub]'.") from error


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of model.safetensors, of the shards that its index lists, or of an older pytorch_model.bin."""
    if not any(folder.glob("*.safetensors")) and (folder / "pytorch_model.bin").exists():
        return read_weights(folder / "pytorch_model.bin")
    load_file, index = safetensors().load_file, folder / "model.safetensors.index.json"
    files = sorted(set(read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    tensors = {}
    for file in files:
        if not (folder / file).exists():
            raise UserError(f"{folder / file} does not exist: download it, or save the model again as safetensors.")
        try:
            tensors |= load_file(folder / file)
        except Exception as error:  # the package raises a type of its own
            raise UserError(f"{folder / file} cannot be read ({error}): download it again.") from error
    return tensors
