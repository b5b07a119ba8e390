"""An adapter as one small file: what it takes to give a base model the same behaviour again, and nothing of the base.

The file holds the method's name and hyper-parameters, the trained parameters, the fingerprint of the base they belong
to, the version of this library, a format number, and a checksum of all that. It is read without running code, and tried
on a hollow copy of the model first: a file that does not fit takes no memory and leaves the model alone.
"""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from minipeft.errors import UserError, one_line
from minipeft.methods.hyperparameter_types import misfit
from minipeft.methods.method import Method
from minipeft.transformer.fingerprints import fingerprint
from minipeft.transformer.hollow import hollow
from minipeft.transformer.tensor_files import read, require, write

FORMAT = 2
KEYS = {"format": int, "version": str, "method": str, "hyperparameters": dict, "base": str, "weights": dict}
KEYS |= {"checksum": str}


def save_adapter(path: str | Path, model, method: Method) -> None:
    """Write `method`, attached to `model`, to the file `path`, in one step."""
    if method.model is not model:
        raise UserError(f"{method.name} is not attached to this model: there is nothing to save.")
    method.require_own_changes_only()
    wrong = misfit(type(method), method.hyperparameters())
    if wrong:
        raise UserError(f"{method.name} cannot be saved, and so not be loaded again: {wrong}.")
    content = {
        "format": FORMAT,
        "version": library_version(),
        "method": method.name,
        "hyperparameters": method.hyperparameters(),
        "base": method.fingerprint,
        "weights": {name: tensor.cpu().contiguous() for name, tensor in method.state_dict().items()},
    }
    write(path, content)


def load_adapter(path: str | Path, model, methods: dict[str, type[Method]]) -> Method:
    """The method that `save_adapter` wrote to `path`, attached to the plain `model`.

    `methods` maps names to classes. Raises UserError for a file that is missing, broken, of a method not in `methods`
    or of another base; `model` is then left as it was.
    """
    content = read_adapter(path)
    name, told, weights = content["method"], content["hyperparameters"], content["weights"]
    if name not in methods:
        raise UserError(f"{path} holds an adapter of the method {name[:80]!r}, which is not known here.")
    carried = getattr(model, "attached_method", None)
    if carried is not None:
        raise UserError(f"The model already carries {carried.name}: detach() or merge() it before loading {path}.")
    if fingerprint(model) != content["base"]:
        raise UserError(f"{path} was trained on another base model: load the base that it belongs to.")
    wrong = misfit(methods[name], told)
    if wrong:
        raise UserError(f"{path} has hyper-parameters that do not fit {name}: {wrong}.")
    try:
        return attach_tried(model, lambda: methods[name](**told), weights)
    except Exception as error:  # hyper-parameters and weights are only as good as the file
        raise UserError(f"{path} does not fit {name} on this model: {one_line(error)}") from error


def attach_tried(model, make: Callable[[], Method], weights: dict[str, torch.Tensor]) -> Method:
    """`make()` attached to the plain `model` with these parameters, after a rehearsal on a hollow copy of it.

    Whatever goes wrong raises its own error, and leaves the model plain.
    """
    try:
        empty = hollow(model)
    except Exception:  # what cannot be copied (it holds a lock, or a weight that pruning computed) is not rehearsed on
        empty = None
    if empty is not None:
        with torch.device("meta"):  # a rehearsal: nothing is made that takes memory
            load_into(empty, make(), weights)
    return load_into(model, make(), weights)


def load_into(model, method: Method, weights: dict[str, torch.Tensor]) -> Method:
    """Attach `method` to the plain `model` with these parameters; where that fails, the model is left plain."""
    method.attach(model, weights)
    for name, own in method.state_dict().items():
        if own.dtype != weights[name].dtype:
            method.detach()
            raise UserError(f"{name!r} is {weights[name].dtype} in the file and {own.dtype} here.")
    return method


def read_adapter(path: str | Path) -> dict[str, Any]:
    """The content of an adapter file, checked as far as one can without a model."""
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder and no adapter file: load_peft_adapter reads those of the peft library.")
    if not Path(path).is_file():
        raise UserError(f"There is no adapter file {path}.")
    content = read(path, "an adapter file")
    require(content, {"format": int}, path, "an adapter file")
    if content["format"] != FORMAT:
        raise UserError(
            f"{path} has format {content['format']}, and this version reads {FORMAT}: "
            "use the version of minipeft that wrote it, or train again."
        )
    require(content, KEYS, path, "an adapter file")
    if content.keys() != KEYS.keys():
        raise UserError(f"{path} is not an adapter file of this library.")
    for name, tensor in content["weights"].items():
        if not isinstance(tensor, torch.Tensor):
            raise UserError(f"{path} is damaged: its weight {name[:80]!r} is no tensor.")
    return content


def library_version() -> str:
    """The installed version of minipeft, "unknown" where it runs from a folder that is not installed."""
    try:
        return metadata.version("minipeft")
    except metadata.PackageNotFoundError:
        return "unknown"
