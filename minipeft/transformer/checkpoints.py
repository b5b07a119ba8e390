"""A model as a folder: config.json (family and sizes), weights.pt (16-bit unless told otherwise), results.json.

Weights that are one tensor under two names (a head tied to the embedding) are stored once.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from minipeft.errors import UserError
from minipeft.files import read_json, write_json
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.language_model import LanguageModel
from minipeft.transformer.tensor_files import save

FAMILIES = {
    "encoder_decoder": (EncoderDecoder, EncoderDecoderConfig),
    "decoder_only": (DecoderOnly, DecoderOnlyConfig),
}


def save_checkpoint(folder, model: LanguageModel, results: dict | None = None, dtype=torch.float16) -> None:
    """Write a plain model (no method attached) to `folder`, its weights as `dtype`; `results` goes to results.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    family = next(name for name, (kind, _) in FAMILIES.items() if isinstance(model, kind))
    # named_parameters names a tied weight once, where state_dict would name it twice.
    weights = {name: weight.detach().to("cpu", dtype) for name, weight in model.named_parameters()}
    save(folder / "weights.pt", weights)
    write_json(folder / "config.json", {"family": family, **asdict(model.config)})
    if results is not None:
        write_json(folder / "results.json", results)


def load_checkpoint(folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """The model that `save_checkpoint` wrote to `folder`, in eval mode.

    Raises UserError where the folder, a file in it, or a weight is missing or cannot be read.
    """
    folder = Path(folder)
    kind, sizes = read_sizes(folder / "config.json")
    return build(kind, sizes, read_weights(folder / "weights.pt"), folder, device, dtype)


def read_sizes(file: Path) -> tuple[type[LanguageModel], EncoderDecoderConfig | DecoderOnlyConfig]:
    """The class and the sizes of the model that a config.json of `save_checkpoint` describes."""
    config = read_json(file, "give the folder of a saved model")
    family = config.pop("family", None)
    if family not in FAMILIES:
        raise UserError(f"{file} names the family {family!r}; it must be one of {list(FAMILIES)}.")
    kind, config_kind = FAMILIES[family]
    try:
        return kind, config_kind(**config)
    except TypeError as error:
        raise UserError(f"{file} does not describe a model of family {family}: {error}.") from error


def build(kind, config, weights: dict[str, Tensor], folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """A `kind` of model around `weights`, in eval mode; a tied weight is looked for under its first name only."""
    with torch.device("meta"):  # no memory, no random numbers drawn: the weights are put in place below
        model = kind(config)
    expected = dict(model.named_parameters())
    tied = model.head.weight is model.embedding.weight
    for name in sorted(expected.keys() | weights.keys()):
        found = tuple(weights[name].shape) if name in weights else "nothing"
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise UserError(
                f"The weights in {folder} do not fit its config.json: {name} is {found}, expected {wanted}."
            )
    weights = {name: weight.to(device, dtype) for name, weight in weights.items()}
    model.load_state_dict(weights, strict=False, assign=True)
    if tied:
        model.head.weight = model.embedding.weight
    return model.eval()


def fingerprint(model: nn.Module) -> str:
    """64 hexadecimal digits (SHA-256) that name a plain model's weights: names, shapes, types and every bit of them.

    A hollow model, on the meta device, has names, shapes and types only.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
        if not weight.is_meta:
            digest.update(weight.detach().cpu().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that `torch.save` wrote, by name. Raises UserError where there is no such file."""
    if not path.exists():
        raise UserError(f"{path} does not exist: the folder holds no complete model, so copy or train it again.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise UserError(f"{path} cannot be read ({type(error).__name__}): copy or train it again.") from error
