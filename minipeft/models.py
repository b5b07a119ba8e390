"""Models by name: the bundled checkpoints, a folder that minipeft wrote, or a Hugging Face folder; with a tokenizer."""

import difflib
from pathlib import Path

import torch

from minipeft.errors import UserError
from minipeft.files import read_json
from minipeft.paths import DATA
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.transformer.checkpoints import load_checkpoint
from minipeft.transformer.hugging_face import from_hugging_face
from minipeft.transformer.language_model import LanguageModel

CHECKPOINTS = DATA / "checkpoints"


def model_names() -> list[str]:
    """The names of the bundled models."""
    return sorted(file.parent.name for file in CHECKPOINTS.glob("*/weights.pt"))


def load(name_or_folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """A pretrained model in eval mode, with its tokenizer as `model.tokenizer`.

    name_or_folder: one of `model_names()`, a folder written by `save_checkpoint`, or a Hugging Face T5 or GPT-2 folder
    (config.json, model.safetensors, tokenizer.json). Raises UserError where there is no such model.
    """
    folder = find(name_or_folder)
    if "model_type" in read_json(folder / "config.json"):
        model, tokenizer = from_hugging_face(folder, device, dtype), Tokenizer.load(folder)
    else:
        model = load_checkpoint(folder, device, dtype)
        own = folder / "tokenizer.json"
        tokenizer = Tokenizer.load(own if own.exists() else None)
    if tokenizer.size > model.config.vocabulary_size:
        raise UserError(
            f"The tokenizer of {folder} has {tokenizer.size} tokens, its model {model.config.vocabulary_size}: "
            "they belong to different models."
        )
    model.tokenizer = tokenizer
    return model


def random_init(name_or_folder, seed: int, device="cpu", dtype=torch.float32) -> LanguageModel:
    """The same architecture and tokenizer with weights as before pretraining: the control for what pretraining gives.

    The same seed gives the same weights; PyTorch's own random state is left as it was.
    """
    pretrained = load(name_or_folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = type(pretrained)(pretrained.config)
    model.tokenizer = pretrained.tokenizer
    return model.to(device, dtype).eval()


def find(name_or_folder) -> Path:
    """The folder of a bundled name or of a path. Raises UserError with the nearest names."""
    name = str(name_or_folder)
    for folder in (CHECKPOINTS / name, Path(name).expanduser()):
        if (folder / "config.json").is_file():
            return folder
    if Path(name).is_dir():
        raise UserError(f"The folder {name} holds no config.json, so it is not a saved model.")
    near = difflib.get_close_matches(name, model_names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"the bundled ones are {', '.join(model_names()) or 'none yet'}."
    raise UserError(f"There is no model or folder {name!r}; {hint}")
