"""Files of named numbers: written whole or not at all, read without running code and without believing a size.

A torch file is a zip archive of a pickle and of raw numbers, and may come from anyone. It is read with `weights_only`,
which builds nothing but plain values and tensors; and a few bytes may still ask for terabytes: an archive that unpacks
to more than it is, one number that stands for a huge tensor, a list that holds itself. `read` refuses all of them, and
every file whose checksum is not that of its content. `read_state` is for what a run wrote for itself: the same
checksum, and any tensors that an optimizer may have.
"""

import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from minipeft.errors import UserError, one_line
from minipeft.files import beside, short

MOST_VALUES = 100_000  # plain values in a file; a hard prompt with many demonstrations has a few hundred
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content`, plain values and finite tensors, and its checksum in one step.

    A killed process leaves the old file. Raises UserError, and leaves it too, for what `read` would refuse.
    """
    reason = unsafe(dict(content), 2**63)
    if reason:
        raise UserError(f"{short(Path(path))} is not written, for it could not be read again: it would hold {reason}.")
    write_state(path, content)


def write_state(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content`, plain values and any tensors, and its checksum in one step."""
    save(path, {**content, "checksum": checksum(content)})


def save(path: str | Path, content: Mapping[str, Any]) -> None:
    """`torch.save` in one step."""
    with beside(path) as part:
        try:
            torch.save(content, part)
        except RuntimeError as error:  # how torch says that the system takes no more bytes
            raise OSError(f"no room, or a limit on a file's size: {one_line(error)}") from error


def read_state(path: str | Path) -> dict[str, Any]:
    """What `write_state` wrote to go on from, its tensors on the CPU. Raises UserError for everything else."""
    advice = "delete it to start anew, or put it back as it was"
    try:
        content = load(path)
        right = type(content) is dict and content.pop("checksum", None) == checksum(content)
    except Exception as error:  # zipfile, torch and the checksum of what is no state raise all kinds
        raise UserError(f"{short(Path(path))} cannot be read ({type(error).__name__}): {advice}.") from error
    if not right:
        raise UserError(f"{short(Path(path))} is damaged, its checksum is not that of its content: {advice}.")
    return content


def read(path: str | Path, what: str) -> dict[str, Any]:
    """The content that `write` wrote, its tensors on the CPU; `what` names such files in errors: "an adapter file".

    Raises UserError for everything else. An older file without a checksum has nothing to be held against.
    """
    path = Path(path)
    try:
        content = load(path)
    except Exception as error:  # zipfile and torch raise a different type for each way in which a file can be broken
        raise UserError(f"{path} is not {what}, or is damaged ({type(error).__name__}).") from error
    reason = unsafe(content, path.stat().st_size)
    if reason:
        raise UserError(f"{path} is damaged: it holds {reason}.")
    if type(content) is not dict:
        raise UserError(f"{path} is not {what} of this library.")
    kept = content.pop("checksum", None)
    try:
        right = kept in (None, checksum(content))
    except RecursionError:  # lists in lists without end
        right = False
    if not right:
        raise UserError(f"{path} is damaged: its checksum is not that of its content.")
    return content | ({} if kept is None else {"checksum": kept})


def load(path: str | Path) -> Any:
    """What `torch.save` wrote to `path`, on the CPU; any kind of exception where it did not."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")  # a pipe would be waited for without end
    with zipfile.ZipFile(path) as archive:
        if sum(record.file_size for record in archive.infolist()) > path.stat().st_size:
            raise zipfile.BadZipFile("unpacks to more than it is")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a broken file may look to torch like one of another version
        return torch.load(path, map_location="cpu", weights_only=True)


def require(
    content: Mapping[str, Any], needed: Mapping[str, type], path: str | Path, what: str, advice: str = ""
) -> None:
    """Raise UserError unless `content`, read from `path`, has a value of its type for each of `needed`."""
    for key, kind in needed.items():
        if key not in content:
            raise UserError(f"{path} is not {what} of this version of minipeft: it lacks the {key}{advice}.")
        if type(content[key]) is not kind:
            found = type(content[key]).__name__
            raise UserError(f"{path} is damaged: its {key} is a {found}, not a {kind.__name__}{advice}.")


def unsafe(content: Any, size: int) -> str:
    """What `content` holds besides plain values and finite tensors of no more than `size` bytes; "" for nothing."""
    values, left, numbers = [content], MOST_VALUES, 0
    while values:
        value, left = values.pop(), left - 1  # what is held in several places counts as often
        if left < 0:
            return "more values than any real one"
        if type(value) is dict:
            if not all(type(key) is str for key in value):
                return "a name that is no text"
            values += value.values()
        elif type(value) in (list, tuple):
            values += value[: left + 1]
        elif type(value) is torch.Tensor:
            plain = value.layout is torch.strided and value.device.type == "cpu" and value.dtype in FLOATS
            if not plain or not value.is_contiguous() or value.is_neg():
                return "a tensor that is no plain block of floating-point numbers"
            numbers += value.numel() * value.element_size()
            if max(numbers, *value.shape, 0) > size:  # a tensor without numbers may still have long sides
                return "tensors that are larger than the file"
            if not value.isfinite().all():
                return "a number that is not finite"
        elif type(value) in (int, float):
            if not -(2**63) < value < 2**63:  # nan is not, either
                return "a number that is not finite"
        elif type(value) not in (str, bool, type(None)):
            return f"a {type(value).__name__}"
    return ""


def checksum(content: Mapping[str, Any]) -> str:
    """64 hexadecimal digits (SHA-256) that change with every value and every bit of `content`."""

    def tensor_sum(tensor: torch.Tensor) -> str:
        numbers = tensor.detach().cpu().flatten().view(torch.uint8).numpy()
        return f"{tuple(tensor.shape)} {tensor.dtype} {hashlib.sha256(numbers).hexdigest()}"

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=tensor_sum).encode()).hexdigest()
