"""SPoT, soft prompt transfer: prompt tuning that starts from the prompt of another task.

    [P; X]        P: (prompt_length, hidden), at first the prompt tuned on a source task

A trained prompt is kept as a small file of its own, so that other runs can start from it: the
bundled ones, and yours. The file holds the prompt, the fingerprint and name of the base it belongs
to, what it was trained on (`kind`) and how (`provenance`). It is read without running code.
Start: the source's prompt, or several averaged (`task_embeddings.py` finds good sources); without one, prompt tuning's.
Trainable: prompt_length * hidden parameters, as prompt tuning; a prompt belongs to the base on which it was tuned.
Paper: Vu, Lester, Constant, Al-Rfou, Cer 2022, arXiv:2110.07904.
Lesson: lessons/08_prompt_transfer. Test: tests/methods/prompts/test_spot.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.paths import DATA
from minipeft.transformer.tensor_files import read, require, write

PROMPTS = DATA / "prompts"
KEYS = {"prompt": torch.Tensor, "base": str, "model": str, "kind": str, "provenance": dict}


def prompt_names() -> list[str]:
    """The names of the bundled prompts."""
    return sorted(file.stem for file in PROMPTS.glob("*.pt"))


def save_prompt(path: str | Path, prompt: torch.Tensor, base: str, model: str, kind: str, provenance: dict) -> None:
    """Write `prompt`, (prompt_length, hidden), in one step. base: the fingerprint of the plain model."""
    plain = json.loads(json.dumps(provenance))  # strings and numbers alone, which `weights_only` reads
    content = {"prompt": prompt.detach().cpu().clone(), "base": base, "model": model, "kind": kind, "provenance": plain}
    write(path, content)


def read_prompt_file(name_or_path: str | Path) -> dict[str, Any]:
    """The content of a bundled prompt or of a file. Raises UserError where there is none or it is damaged."""
    bundled = PROMPTS / f"{name_or_path}.pt"
    path = bundled if bundled.is_file() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(prompt_names()) or "none yet"
        raise UserError(f"There is no prompt {str(name_or_path)!r}: give a file, or a bundled one ({known}).")
    content = read(path, "a prompt file")
    require(content, KEYS, path, "a prompt file")
    if content["prompt"].dim() != 2:
        shape = tuple(content["prompt"].shape)
        raise UserError(f"{path} is damaged: its prompt is {shape}, not (prompt_length, hidden).")
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


@dataclass
class SPoT(PromptTuning):
    """source: a bundled prompt ("sentiment") or the file of one; "" starts anew. Its length must be prompt_length."""

    source: str = ""

    name = "spot"

    def first_prompt(self, model: nn.Module) -> torch.Tensor:
        if self.start is None and self.given is None and self.source:
            self.start_from(load_prompt(self.source, self.fingerprint))
        return super().first_prompt(model)
