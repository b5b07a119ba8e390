"""A model as a folder: config.json (family and sizes), weights.pt (16-bit unless told otherwise), results.json.

Weights that are one tensor under two names (a head tied to the embedding) are stored once.
"""

from dataclasses import MISSING, asdict, fields
from pathlib import Path

import torch

from minipeft.errors import UserError, quoted
from minipeft.files import read_json, require_file, write_json
from minipeft.transformer.config_checks import (
    DECODER_ONLY_RULES,
    ENCODER_DECODER_RULES,
    LLAMA_RULES,
    check_room,
    check_sizes,
    check_values,
)
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hollow import build_hollow
from minipeft.transformer.language_model import LanguageModel
from minipeft.transformer.llama import Llama, LlamaConfig
from minipeft.transformer.tensor_files import save
from minipeft.transformer.weight_files import AGAIN, check_weights, read_weights

Config = EncoderDecoderConfig | DecoderOnlyConfig | LlamaConfig
FAMILIES = {
    "encoder_decoder": (EncoderDecoder, EncoderDecoderConfig, ENCODER_DECODER_RULES),
    "decoder_only": (DecoderOnly, DecoderOnlyConfig, DECODER_ONLY_RULES),
    "llama": (Llama, LlamaConfig, LLAMA_RULES),
}


def save_checkpoint(folder, model: LanguageModel, results: dict | None = None, dtype=torch.float16) -> None:
    """Write a plain model (no method attached) to `folder`, its weights as `dtype`; `results` goes to results.json."""
    folder = Path(folder)
    family = next(name for name, (kind, *_) in FAMILIES.items() if isinstance(model, kind))
    # named_parameters names a tied weight once, where state_dict would name it twice.
    weights = {name: weight.detach().to("cpu", dtype) for name, weight in model.named_parameters()}
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise UserError(f"{name} holds what is no number, or none that {dtype} can hold: nothing was saved.")
    save(folder / "weights.pt", weights)
    write_json(folder / "config.json", {"family": family, **asdict(model.config)})
    if results is not None:
        write_json(folder / "results.json", results)


def load_checkpoint(folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """The model that `save_checkpoint` wrote to `folder`, in eval mode.

    Raises UserError where the folder, a file in it, or a weight is missing, damaged, or another than config.json says.
    """
    folder = Path(folder)
    kind, config = read_sizes(folder / "config.json")
    file = require_file(folder / "weights.pt", AGAIN)
    check_room(config, [file], folder / "config.json")
    model, weights = build_hollow(kind, config), read_weights(file)
    check_weights(weights, {name: weight.shape for name, weight in model.named_parameters()}, folder)
    return assemble(model, weights, device, dtype)


def read_sizes(file: Path) -> tuple[type[LanguageModel], Config]:
    """The class and the sizes of the model that a config.json of `save_checkpoint` describes."""
    settings = read_json(file, "give the folder of a saved model")
    family = settings.pop("family", None)
    if type(family) is not str or family not in FAMILIES:
        raise UserError(f"{file} names the family {quoted(family)}; it must be one of {list(FAMILIES)}.")
    kind, config_kind, rules = FAMILIES[family]
    for name in settings:
        if name not in rules:
            raise UserError(f"{file} has a field {quoted(name)}, which no model of family {family} has.")
    for field in fields(config_kind):
        if field.default is MISSING and field.name not in settings:
            raise UserError(f"{file} does not say {field.name}: copy the folder again.")
    check_values(settings, rules, file)
    try:
        config = config_kind(**settings)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    check_sizes(config, file)
    return kind, config


def assemble(model: LanguageModel, weights: dict[str, torch.Tensor], device="cpu", dtype=torch.float32):
    """A hollow model with `weights` in place of its own, in eval mode; a tied head has no weight of its own.

    Raises UserError where a weight is too large for `dtype`.
    """
    placed = {name: weight.to(device, dtype) for name, weight in weights.items()}
    for name, weight in weights.items():
        if weight.dtype != dtype and not placed[name].isfinite().all():
            raise UserError(f"{name} holds numbers that {dtype} cannot hold: load the model in a wider type.")
    model.load_state_dict(placed, strict=False, assign=True)
    if model.config.tied_head:
        model.head.weight = model.embedding.weight
    return model.eval()
