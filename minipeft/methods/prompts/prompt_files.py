"""A trained prompt as a small file of its own, so that other runs can start from it: the bundled ones, and yours.

The file holds the prompt, the fingerprint and name of the base it belongs to, what it was trained on (`kind`) and how
(`provenance`). It is read without running code (`weights_only`).
"""

import json
import os
from pathlib import Path
from typing import Any

import torch

from minipeft.errors import UserError

PROMPTS = Path(__file__).resolve().parents[3] / "data" / "prompts"
KEYS = {"prompt": torch.Tensor, "base": str, "model": str, "kind": str, "provenance": dict}


def prompt_names() -> list[str]:
    """The names of the bundled prompts."""
    return sorted(file.stem for file in PROMPTS.glob("*.pt"))


def save_prompt(path: str | Path, prompt: torch.Tensor, base: str, model: str, kind: str, provenance: dict) -> None:
    """Write `prompt`, (prompt_length, hidden), in one step. base: the fingerprint of the plain model."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = json.loads(json.dumps(provenance))  # strings and numbers alone, which `weights_only` reads
    content = {"prompt": prompt.detach().cpu().clone(), "base": base, "model": model, "kind": kind, "provenance": plain}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save(content, part)
    os.replace(part, path)


def read_prompt_file(name_or_path: str | Path) -> dict[str, Any]:
    """The content of a bundled prompt or of a file. Raises UserError where there is none or it is damaged."""
    bundled = PROMPTS / f"{name_or_path}.pt"
    path = bundled if bundled.is_file() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(prompt_names()) or "none yet"
        raise UserError(f"There is no prompt {str(name_or_path)!r}: give a file, or a bundled one ({known}).")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise UserError(f"{path} is not a prompt file, or is damaged ({type(error).__name__}).") from error
    right = isinstance(content, dict) and content.keys() == KEYS.keys()
    if not right or not all(isinstance(content[key], kind) for key, kind in KEYS.items()):
        raise UserError(f"{path} is not a prompt file: minipeft pretrain-prompt writes one.")
    return content


def load_prompt(name_or_path: str | Path, base: str) -> torch.Tensor:
    """The prompt of a file, (prompt_length, hidden). Raises UserError where it belongs to another base than `base`."""
    content = read_prompt_file(name_or_path)
    if content["base"] != base:
        raise UserError(
            f"The prompt {str(name_or_path)!r} belongs to the base {content['model']!r}, which is not this one: "
            "pre-train a prompt on this base."
        )
    return content["prompt"]
