"""Files of weights, read without running code and without believing them: names, shapes, types, finite numbers.

They come in two formats: what `torch.save` wrote (ours, and Hugging Face's older pytorch_model.bin) and safetensors.
A model in several files has an index, which names files of its own folder and nothing else.
"""

import importlib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from minipeft.errors import UserError, one_line, quoted
from minipeft.files import read_json, require_file
from minipeft.transformer import tensor_files

AGAIN = "the folder holds no complete model, so copy or download it again"
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read, or the files of its index


def find_weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of a Hugging Face folder. Raises UserError where one is missing."""
    for name in SINGLE_FILES:
        index = folder / f"{name}.index.json"
        if (folder / name).exists():
            return [require_file(folder / name, AGAIN)]
        if index.exists():
            return shards(index, Path(name).suffix)
    raise UserError(f"{folder / SINGLE_FILES[0]} does not exist: download it, or save the model again as safetensors.")


def shards(index: Path, suffix: str) -> list[Path]:
    """The files that an index names, which must stand beside it."""
    names = read_json(index, "download it again").get("weight_map")
    if type(names) is not dict or not names:
        raise UserError(f"{index} holds no weight_map of weights and files: download it again.")
    for name in names.values():
        if type(name) is not str or not name.endswith(suffix) or any(mark in name for mark in "/\\:\0"):
            raise UserError(f"{index} names {quoted(name)}, which is no {suffix} file of its folder: it is not read.")
    return [require_file(index.parent / name, AGAIN) for name in sorted(set(names.values()))]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of one file by name, on the CPU. Raises UserError where it cannot be read or holds anything else."""
    size = require_file(path, AGAIN).stat().st_size
    try:
        content = safetensors().load_file(path) if path.suffix == ".safetensors" else load_torch(path)
    except UserError:
        raise
    except Exception as error:  # torch, zipfile and safetensors raise a type for each way in which a file is broken
        reason = one_line(error) or type(error).__name__
        raise UserError(f"{path} cannot be read ({reason}): copy or download it again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not weights by name.")
    for name, tensor in content.items():
        if type(name) is not str or not isinstance(tensor, torch.Tensor):
            raise UserError(f"{path} holds something that is no tensor with a name: {quoted(name)}.")
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or not tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes() <= size:
            raise UserError(f"{path}: {quoted(name)} is no plain tensor, or larger than its file.")
    return {name: tensor.detach() for name, tensor in content.items()}


def load_torch(path: Path):
    """What `torch.save` wrote: an archive, whose parts have checksums, or the older form, which has none."""
    if zipfile.is_zipfile(path):
        content = tensor_files.load(path)  # refuses an archive that unpacks to more than it is
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a bit has changed since it was written")
        return content
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a broken file may look to torch like one of another version
        return torch.load(path, map_location="cpu", weights_only=True)


def safetensors():
    """The optional package's PyTorch functions, or a sentence on how to get them."""
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise UserError("Files of Hugging Face need the package safetensors: pip install 'minipeft[hub]'.") from error


def check_weights(weights: Mapping[str, torch.Tensor], shapes: Mapping[str, tuple], folder: Path) -> None:
    """Raise UserError unless `weights` are those of `shapes`: no name too few or too many, and finite numbers."""
    misfit = f"The weights in {folder} do not fit its config.json"
    for name in sorted(weights.keys() | shapes.keys()):
        found = tuple(weights[name].shape) if name in weights else "nothing"
        wanted = tuple(shapes[name]) if name in shapes else "nothing"
        if found != wanted:
            raise UserError(f"{misfit}: {quoted(name)} is {found}, expected {wanted}.")
        if weights[name].dtype not in tensor_files.FLOATS:
            kind = str(weights[name].dtype).removeprefix("torch.")
            raise UserError(
                f"The weights in {folder} are not floating-point numbers of 16 to 64 bits: {name} is {kind}."
            )
        if not weights[name].isfinite().all():
            raise UserError(f"The weights in {folder} are damaged: {name} holds a number that is not finite.")
