"""Real checkpoints: Hugging Face folders of T5 1.0, T5 v1.1, mT5, GPT-2, Llama and its like (Mistral, Qwen2, Qwen3).

The architectures are the same, only the names differ: `t5_names`, `gpt2_names` and `llama_names` list ours for each of
theirs, in and out. GPT-2 keeps query, key and value side by side in one matrix, and its matrices transposed, (in, out).
What a file holds and nothing asks for is refused by its name, but for copies and buffers that are known to be harmless.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from minipeft.errors import UserError, quoted
from minipeft.files import beside, read_json, write_json
from minipeft.transformer.checkpoints import assemble
from minipeft.transformer.config_checks import check_room
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hollow import build_hollow
from minipeft.transformer.hugging_face_config import (
    check_generation,
    gpt2_config,
    gpt2_settings,
    t5_config,
    t5_settings,
)
from minipeft.transformer.hugging_face_llama import KINDS, llama_config, llama_names, llama_settings
from minipeft.transformer.language_model import LanguageModel
from minipeft.transformer.llama import Llama, LlamaConfig
from minipeft.transformer.weight_files import check_weights, find_weight_files, read_weights, safetensors

QKV = ("query", "key", "value")
HEAD = "lm_head.weight"
EMBEDDING_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # T5's, of shared.weight
# Where a file of a bare model, without its head, leaves a prefix of names out.
BARE = dict.fromkeys(("wte", "wpe", "h", "ln_f"), "transformer.") | dict.fromkeys(
    ("embed_tokens", "layers", "norm"), "model."
)
# Causal masks that older GPT-2 files keep, the speeds of Llama's rotary positions, and a table of T5's cross-attention
# that has never been read.
BUFFERS = re.compile(
    r"transformer\.h\.\d+\.attn\.(bias|masked_bias)"
    r"|model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
    r"|decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
)


def from_hugging_face(folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """The T5, mT5, GPT-2, Llama or its like in a Hugging Face folder, in eval mode, with the logits of `transformers`.

    Raises UserError where a file or the `safetensors` package is missing, a file is damaged, the model is of another
    kind, or the weights are not those that config.json describes.
    """
    folder = Path(folder)
    kind, config = read_their_sizes(folder / "config.json")
    check_generation(config, folder / "generation_config.json")
    files = find_weight_files(folder)
    check_room(replace(config, tied_head=True), files, folder / "config.json")
    theirs, tied = settle_head(read_all(files), config, folder)
    empty = build_hollow(kind, replace(config, tied_head=tied))
    check_weights(theirs, {name: weight.shape for name, weight in in_their_form(empty).items()}, folder)
    weights = {}
    for name, ours in their_names(empty.config).items():
        stored = theirs[name].T if is_transposed(name) else theirs[name]
        weights |= {own: part.clone() for own, part in zip(ours, stored.chunk(len(ours)), strict=True)}
    return assemble(empty, weights, device, dtype)


def read_their_sizes(file: Path) -> tuple[type[LanguageModel], EncoderDecoderConfig | DecoderOnlyConfig | LlamaConfig]:
    """The class and the sizes of the model that a Hugging Face config.json describes."""
    settings = read_json(file, "download the folder again")
    family = settings.get("model_type")
    if family not in ("t5", "mt5", "gpt2", *KINDS):
        known = "t5, mt5, gpt2, llama, mistral, qwen2 and qwen3"
        raise UserError(f"{file.parent} holds a {quoted(family)} model; minipeft reads {known}.")
    if family in KINDS:
        return Llama, llama_config(settings, file)
    if family == "gpt2":
        return DecoderOnly, gpt2_config(settings, file)
    return EncoderDecoder, t5_config(settings, file)


def read_all(files: list[Path]) -> dict[str, torch.Tensor]:
    """The tensors of all files by name, with the prefix that the file of a bare model leaves out."""
    tensors = {}
    for file in files:
        for name, tensor in read_weights(file).items():
            name = BARE.get(name.split(".")[0], "") + name
            if name in tensors:
                raise UserError(f"{file} holds {quoted(name)}, which has been read already: download the folder again.")
            tensors[name] = tensor
    return tensors


def settle_head(tensors: dict[str, torch.Tensor], config, folder: Path) -> tuple[dict[str, torch.Tensor], bool]:
    """The tensors without buffers and copies of the embedding, and whether the head is one of the copies.

    As transformers 5 decides it: a head that the file leaves out or repeats is tied, one with other numbers is not,
    whatever config.json says; a GPT-2 or Llama whose config.json says that it is not tied must have its own.
    """
    t5 = isinstance(config, EncoderDecoderConfig)
    source = next(theirs for theirs, ours in their_names(config).items() if ours == ("embedding.weight",))
    kept = {name: tensor for name, tensor in tensors.items() if not BUFFERS.fullmatch(name)}
    for name in EMBEDDING_COPIES if t5 else ():
        copy = kept.pop(name, None)
        if copy is not None and not torch.equal(copy, kept.setdefault(source, copy)):
            raise UserError(f"{folder} holds {name} that differs from {source}: no T5 reads two embeddings.")
    if not t5 and not config.tied_head:
        return kept, False
    tied = HEAD not in kept or (source in kept and torch.equal(kept[HEAD], kept[source]))
    if tied:
        kept.pop(HEAD, None)
    return kept, tied


def to_hugging_face(model: LanguageModel, folder) -> None:
    """Write a plain model as a folder that `transformers` loads with `from_pretrained`."""
    save_file, settings = safetensors().save_file, their_settings(model.config)
    theirs = {name: weight.contiguous() for name, weight in in_their_form(model).items()}
    folder = Path(folder)
    with beside(folder / "model.safetensors") as part:
        save_file(theirs, part, metadata={"format": "pt"})
    write_json(folder / "config.json", settings)


def in_their_form(model: LanguageModel) -> Mapping[str, torch.Tensor]:
    """The weights of a plain model under Hugging Face's names and in its shapes."""
    ours, theirs = model.state_dict(), {}
    for name, parts in their_names(model.config).items():
        stored = torch.cat([ours[part] for part in parts])
        theirs[name] = stored.T if is_transposed(name) else stored
    return theirs


def their_settings(config) -> dict:
    """The config.json of Hugging Face for our sizes."""
    if isinstance(config, LlamaConfig):
        return llama_settings(config)
    return gpt2_settings(config) if isinstance(config, DecoderOnlyConfig) else t5_settings(config)


def their_names(config) -> dict[str, tuple[str, ...]]:
    """Each Hugging Face name of a weight, and ours."""
    if isinstance(config, LlamaConfig):
        return llama_names(config)
    return gpt2_names(config) if isinstance(config, DecoderOnlyConfig) else t5_names(config)


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
    names = {f"transformer.{theirs}": ours for theirs, ours in names.items()}
    return names | ({} if config.tied_head else {HEAD: ("head.weight",)})


def is_transposed(name: str) -> bool:
    """Whether GPT-2 keeps the weight of this name as (in, out); no name of T5 is like it."""
    return ".c_" in name and name.endswith(".weight")
