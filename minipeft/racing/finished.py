"""What a run leaves, and whether it is the run that is asked for: nothing that is finished is ever written over.

A `spec` is a `RunSpec` of `runs.py`.
"""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from minipeft.errors import UserError
from minipeft.files import read_json, short
from minipeft.models import load
from minipeft.training.adapter_files import read_adapter
from minipeft.transformer.fingerprints import fingerprint

ELSEWHERE = "name another folder with --out, or delete this one"


def finished(spec) -> dict | None:
    """The result of an earlier run with exactly these settings on the same data, if there is one.

    Raises UserError where the folder holds the result of another run, or what is none: nothing is ever written over.
    """
    if not spec.result_file.exists():
        return None
    result = read_json(spec.result_file, ELSEWHERE)
    try:
        # An older file lacks the fields that came later: their defaults, but for the rate, which never fell then.
        earlier = type(spec)(**{"schedule": "constant", **result["spec"]})
        whole = all(isinstance(result[name], int | float) for name in (spec.split, "trained_parameters"))
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(f"{short(spec.result_file)} is not the result of such a run: {ELSEWHERE}.")
    ours = json.loads(json.dumps(asdict(replace(spec, folder=earlier.folder))))  # a folder may be moved
    for name, value in asdict(earlier).items():
        if json.loads(json.dumps(value)) != ours[name]:  # JSON knows no tuples
            words = f"{name} {repr(value)[:80]}, not {repr(ours[name])[:80]}"
            raise UserError(f"{short(Path(spec.folder))} holds a finished run with {words}: {ELSEWHERE}.")
    if spec.data is not None and result.get("data_sha256") != digest(spec.data):
        raise UserError(f"{short(Path(spec.folder))} holds a run on other content of {spec.data}: {ELSEWHERE}.")
    return result


def check_report(file: Path, settings: dict) -> None:
    """Raise UserError where `file` holds what is no report made with these settings: it is not written over."""
    if file.exists():
        theirs = read_json(file, ELSEWHERE).get("settings")
        if not isinstance(theirs, dict):
            raise UserError(f"{short(file)} is not the report of such a command: {ELSEWHERE}.")
        refuse_other_settings(file, theirs, settings)


def refuse_other_settings(file: Path, theirs: dict, settings: dict) -> None:
    """Raise UserError where `file`, made with the settings `theirs`, is asked for with others.

    What an older file does not tell is not compared.
    """
    ours = json.loads(json.dumps(settings))  # as a file gives them back: no tuples
    for name in ours:
        if name in theirs and theirs[name] != ours[name]:
            words = f"{name} {repr(theirs[name])[:80]}, not {repr(ours[name])[:80]}"
            raise UserError(f"{short(file)} was made with {words}: {ELSEWHERE}.")


def digest(path: str) -> str:
    """64 hexadecimal digits (SHA-256) that change with the content of a file, "" for none."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else ""


def check_adapter(spec) -> None:
    """Raise UserError where the adapter of a finished run is gone, damaged, or of another base than the one here."""
    path = Path(spec.folder) / "adapter.pt"
    try:
        if read_adapter(path)["base"] != fingerprint(load(spec.model)):
            raise UserError(f"{path} was trained on another base model than {spec.model} is now.")
    except UserError as error:
        raise UserError(f"{error} To train again, delete {spec.result_file} or name another --out.") from error
