"""Models by name: the bundled checkpoints, a folder that minipeft wrote, or a Hugging Face folder; with a tokenizer."""

import difflib
from pathlib import Path

import torch

from minipeft.errors import UserError, excerpt, one_line
from minipeft.files import read_json
from minipeft.paths import DATA
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.transformer.checkpoints import load_checkpoint
from minipeft.transformer.hugging_face import from_hugging_face
from minipeft.transformer.language_model import LanguageModel
from minipeft.transformer.llama import Llama

CHECKPOINTS = DATA / "checkpoints"


def model_names() -> list[str]:
    """The names of the bundled models."""
    return sorted(file.parent.name for file in CHECKPOINTS.glob("*/weights.pt"))


def load(name_or_folder, device="cpu", dtype=torch.float32) -> LanguageModel:
    """A pretrained model in eval mode, with its tokenizer as `model.tokenizer`.

    name_or_folder: one of `model_names()`, a folder written by `save_checkpoint`, or a Hugging Face folder of a T5,
    GPT-2, Llama, Mistral, Qwen2 or Qwen3 (config.json, model.safetensors, tokenizer.json). Raises UserError where there
    is no such model.
    """
    folder = find(name_or_folder)
    if "model_type" in read_json(folder / "config.json"):
        model = from_hugging_face(folder, device, dtype)
        # Llamas end their texts in many ways, so config.json says how; T5 and GPT-2 have one each, and it must be that.
        tokenizer = Tokenizer.load(folder, model.config.eos if isinstance(model, Llama) else None)
        model.source_prefix = tokenizer.opening
    else:
        model = load_checkpoint(folder, device, dtype)
        own = folder / "tokenizer.json"
        tokenizer = Tokenizer.load(own if own.exists() else None)
    if tokenizer.size > model.config.vocabulary_size:
        raise UserError(
            f"The tokenizer of {folder} has {tokenizer.size} tokens, its model {model.config.vocabulary_size}: "
            "they belong to different models."
        )
    if tokenizer.eos != model.config.eos:
        raise UserError(
            f"The tokenizer of {folder} ends a text with token {tokenizer.eos}, its config.json with "
            f"{model.config.eos}: they belong to different models, or one of them is to be mended."
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
    model.tokenizer, model.source_prefix = pretrained.tokenizer, pretrained.source_prefix
    return model.to(device, dtype).eval()


def find(name_or_folder) -> Path:
    """The folder of a bundled name or of a path; nothing is downloaded. Raises UserError with the nearest names."""
    name = str(name_or_folder)
    if not name.strip():
        raise UserError("The name of the model is empty: give a bundled one or a folder.")
    shown = repr(excerpt(name, 150))
    try:
        own = Path(name).expanduser()
        for folder in (CHECKPOINTS / name, own):
            if (folder / "config.json").is_file():
                return folder
        if own.is_dir():
            raise UserError(f"The folder {shown} holds no config.json, so it is not a saved model.")
        if own.exists():
            raise UserError(f"{shown} is a file: give the folder of a saved model.")
    except UserError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # too long, locked, a home that is nobody's, a zero byte
        raise UserError(f"There is no model or folder {shown} that can be read ({reason(error)}).") from error
    near = difflib.get_close_matches(name[:100], model_names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"the bundled ones are {', '.join(model_names()) or 'none yet'}."
    raise UserError(f"There is no model or folder {shown}; {hint}")


def reason(error: Exception) -> str:
    """Why, in the system's words."""
    return getattr(error, "strerror", None) or one_line(error)
