"""Files and folders of this project: written whole or not at all, by one process at a time, read with doubt.

Every file is written under a name of its own beside its place and then renamed: a killed process leaves the old file or
the new one, never half of one, and two processes never write into the same half. What the system refuses (a full disk,
a read-only folder, a file where a folder should be) becomes one sentence.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from minipeft.errors import UserError, one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

PART = ".part-"  # how names of unfinished files begin
LOCK = ".lock"
_held: set[Path] = set()  # the folders that this process has to itself


@contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Inside, a path in the same folder to write to; it takes the place of `path` at the end, and goes on any error.

    The folder is made, and the suffix stays, by which some writers choose the format. Raises UserError where the
    system refuses.
    """
    path = Path(path)
    part = path.parent / f"{PART}{os.getpid()}.{os.urandom(4).hex()}{path.suffix}"
    make_folder(path.parent)
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def make_folder(folder: Path) -> bool:
    """Make `folder` and those above it; whether it was missing. Raises UserError where the system refuses."""
    try:
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
        raise refused(folder, error) from error
    return new


def refused(path: Path, error: Exception) -> UserError:
    """What to say where `path` cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{short(path)} cannot be written ({reason}): name another place, or free it.")


def short(path: Path) -> str:
    """A path that can be read, however long it is."""
    text = str(path)
    return text if len(text) < 200 else f"{text[:100]}...{text[-60:]}"


def write_text(path: str | Path, text: str) -> None:
    """Write `text` in one step, in UTF-8 with the same line ends on every system."""
    with beside(path) as part:
        part.write_bytes(text.encode("utf-8", "backslashreplace"))  # half a surrogate pair stands as its escape


def write_json(path: str | Path, content: Any) -> None:
    """Write strict JSON in one step: what is not a finite number becomes null, for JSON has no other word for it."""
    write_text(path, json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite(content: Any) -> Any:
    """`content` with None in place of every infinity and of what is not a number."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def require_file(path: Path, advice: str) -> Path:
    """`path` itself, where it is a file or a link to one: a pipe would be waited for without end.

    Raises UserError, which ends with the `advice`, for everything else.
    """
    try:
        if path.is_file():
            return path
        there = path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise UserError(f"{short(path)} cannot be read ({error.strerror}): {advice}.") from error
    raise UserError(f"{short(path)} {'is not a file' if there else 'does not exist'}: {advice}.")


def read_json(path: str | Path, advice: str = "copy or write it again") -> dict[str, Any]:
    """The JSON object in a file. Raises UserError, which ends with the `advice`, where there is no such thing."""
    path = Path(path)
    require_file(path, advice)
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # unreadable, no JSON or a number too long, too deep
        raise UserError(f"{short(path)} is not valid JSON ({one_line(error)}): {advice}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{short(path)} holds a {type(content).__name__}, not an object with names: {advice}.")
    return content


@contextmanager
def locked(folder: str | Path) -> Iterator[Path]:
    """Inside, this process has `folder` to itself, which is made where it is missing and is known to take files.

    The lock is the system's own: it ends with the process, however that ends, so none is ever left behind. Within it,
    the same process may ask again. Raises UserError where another process has the folder or nothing can be written.
    """
    folder = Path(folder)
    new, place = make_folder(folder), folder.resolve()
    if place in _held:
        yield folder
        return
    try:
        file = open_lock(folder)
    except OSError as error:
        raise refused(folder, error) from error
    _held.add(place)
    try:
        for left in folder.glob(f"{PART}*"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        yield folder
    finally:
        _held.discard(place)
        let_go(file)
        if new:
            with suppress(OSError):  # it holds something: the work went well
                folder.rmdir()


def open_lock(folder: Path) -> BinaryIO:
    """The open lock file of `folder`, taken. Raises UserError where another process has it."""
    path = folder / LOCK
    while True:
        file = open(path, "a+b", buffering=0)
        if not take(file):
            file.close()
            raise UserError(f"Another process is at work in {short(folder)}: wait for it, or name another folder.")
        try:
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.write(b"%d" % os.getpid())  # a full disk is found now
                return file
        except OSError:
            let_go(file)
            raise
        file.close()  # the process that had it has removed it since


def let_go(file: BinaryIO) -> None:
    """Remove a lock file that is taken, and close it: Windows removes no open file."""
    with suppress(OSError):
        if fcntl:
            os.unlink(file.name)
    file.close()
    with suppress(OSError):
        if not fcntl:
            os.unlink(file.name)


def take(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; False where another process has it."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True
