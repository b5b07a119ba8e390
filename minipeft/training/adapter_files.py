"""An adapter as one small file: what it takes to give a base model the same behaviour again, and nothing of the base.

The file holds the method's name and hyper-parameters, the trained numbers, the fingerprint of the base they belong to,
the version of this library and a format number. It is read without running code (`weights_only`).
"""

import os
from importlib import metadata
from pathlib import Path

import torch

from minipeft.errors import UserError
from minipeft.methods.method import Method
from minipeft.transformer.checkpoints import fingerprint

FORMAT = 1
KEYS = {"format": int, "version": str, "method": str, "hyperparameters": dict, "base": str, "weights": dict}


def save_adapter(path: str | Path, model, method: Method) -> None:
    """Write `method`, attached to `model`, to the file `path`, in one step."""
    if method.model is not model:
        raise UserError(f"{method.name} is not attached to this model: there is nothing to save.")
    weights = {name: tensor.cpu().contiguous() for name, tensor in method.state_dict().items()}
    content = {
        "format": FORMAT,
        "version": library_version(),
        "method": method.name,
        "hyperparameters": method.hyperparameters(),
        "base": method.fingerprint,
        "weights": weights,
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save(content, part)
    os.replace(part, path)


def load_adapter(path: str | Path, model, methods: dict[str, type[Method]]) -> Method:
    """The method that `save_adapter` wrote to `path`, attached to the plain `model`.

    `methods` maps names to classes. Raises UserError for a file that is missing, broken, of a method not in `methods`
    or of another base; `model` is then left as it was.
    """
    content = read_adapter(path)
    if content["method"] not in methods:
        raise UserError(f"{path} holds an adapter of the method {content['method']!r}, which is not known here.")
    carried = getattr(model, "attached_method", None)
    if carried is not None:
        raise UserError(f"The model already carries {carried.name}: detach() or merge() it before loading {path}.")
    if fingerprint(model) != content["base"]:
        raise UserError(f"{path} was trained on another base model: load the base that it belongs to.")
    try:
        method = methods[content["method"]](**content["hyperparameters"])
        method.expect(content["weights"])
        method.attach(model)
    except Exception as error:  # hyper-parameters are only as good as the file
        raise UserError(f"{path} has hyper-parameters that do not fit {content['method']}: {error}") from error
    try:
        method.load_state_dict(content["weights"])
    except Exception as error:
        method.detach()
        raise UserError(f"{path} is damaged: {error}") from error
    return method


def read_adapter(path: str | Path) -> dict:
    """The content of an adapter file, checked as far as one can without a model."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no adapter file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise UserError(f"{path} is not an adapter file, or is damaged ({type(error).__name__}).") from error
    if not isinstance(content, dict) or content.keys() != KEYS.keys():
        raise UserError(f"{path} is not an adapter file of this library.")
    for key, kind in KEYS.items():
        if not isinstance(content[key], kind):
            raise UserError(f"{path} is damaged: its {key} is a {type(content[key]).__name__}, not a {kind.__name__}.")
    if content["format"] != FORMAT:
        raise UserError(f"{path} has format {content['format']}, and this version reads {FORMAT}: update minipeft.")
    for name, tensor in content["weights"].items():
        if not isinstance(tensor, torch.Tensor) or not tensor.isfinite().all():
            raise UserError(f"{path} is damaged: its weight {name!r} is not a tensor of finite numbers.")
    return content


def library_version() -> str:
    """The installed version of minipeft, "unknown" where it runs from a folder that is not installed."""
    try:
        return metadata.version("minipeft")
    except metadata.PackageNotFoundError:
        return "unknown"
