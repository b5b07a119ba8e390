"""An adapter as a folder of the peft library: written for `PeftModel.from_pretrained`, and read from what that wrote.

| peft_type, and its options      | here                       | beside that                                       |
|---------------------------------|----------------------------|---------------------------------------------------|
| LORA                            | lora; lora_plus is written | ranks, alphas by layer; GPT-2's fused c_attn      |
| LORA, use_rslora                | rslora                     | the same                                          |
| LORA, use_dora                  | dora                       | the same; its dropout, for training alone, is not |
| LORA of twice the rank          | pissa, as it is written    | read as lora                                      |
| LORA, init_lora_weights "pissa" | pissa, as it is read       | not on c_attn, not with several ranks or alphas   |
| ADALORA                         | adalora                    | pruned triplets are left out                      |
| IA3                             | ia3                        | c_attn by its outputs                             |
| VERA                            | vera                       | not on c_attn                                     |
| PROMPT_TUNING                   | prompt_tuning              | without a template                                |
| PREFIX_TUNING                   | prefix_tuning              | GPT-2 alone: T5's in peft is another method       |

Everything else is refused by its name, before anything is changed: other methods and types, and the options that change
the outputs (`settings.py`). Numbers take the type of the base here; peft keeps an adapter in 32 bits. Its files do not
name the base's weights: an adapter for another base of the same sizes is not noticed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from minipeft.errors import UserError, one_line
from minipeft.files import beside, short, write_json
from minipeft.methods.method import Method
from minipeft.peft_files import adalora, ia3, low_rank, prompts, vera
from minipeft.peft_files.found import Found
from minipeft.peft_files.settings import AGAIN, CONFIG, read_settings
from minipeft.training.adapter_files import attach_tried
from minipeft.transformer.language_model import LanguageModel
from minipeft.transformer.tensor_files import FLOATS
from minipeft.transformer.weight_files import read_weights, safetensors

WEIGHTS, OLD_WEIGHTS = "adapter_model.safetensors", "adapter_model.bin"
READERS: dict[str, Callable[..., Found]] = {
    "LORA": low_rank.read,
    "ADALORA": adalora.read,
    "IA3": ia3.read,
    "VERA": vera.read,
    "PROMPT_TUNING": prompts.read_prompt,
    "PREFIX_TUNING": prompts.read_prefix,
}
WRITERS: dict[str, tuple[str, Callable[..., tuple[dict, dict]]]] = {
    **{name: ("LORA", low_rank.write) for name in ("lora", "rslora", "lora_plus", "dora", "pissa")},
    "adalora": ("ADALORA", adalora.write),
    "ia3": ("IA3", ia3.write),
    "vera": ("VERA", vera.write),
    "prompt_tuning": ("PROMPT_TUNING", prompts.write_prompt),
    "prefix_tuning": ("PREFIX_TUNING", prompts.write_prefix),
}


def save_peft_adapter(folder: str | Path, model: LanguageModel, method: Method) -> None:
    """Write `method`, attached to `model`, so that peft computes the same on the base's Hugging Face folder.

    Of a bundled base, `to_hugging_face` of `transformer/hugging_face.py` makes such a folder.
    Raises UserError, and writes nothing, for a method that has no counterpart there or does not stand there as it is.
    """
    settings, tensors = in_pefts_form(model, method)
    content = safetensors().save(tensors, metadata={"format": "pt"})
    with beside(Path(folder) / WEIGHTS) as part:
        part.write_bytes(content)
        write_json(Path(folder) / CONFIG, settings)


def refuse_unwritable(model: LanguageModel, method: Method) -> None:
    """Raise UserError where `save_peft_adapter` would, for want of a counterpart or of a package."""
    safetensors()
    in_pefts_form(model, method)


def in_pefts_form(model: LanguageModel, method: Method) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and tensors of both files. Raises UserError where the method has no counterpart."""
    if method.name not in WRITERS:
        known = ", ".join(WRITERS)
        raise UserError(f"{method.name} has no counterpart among peft's files as they are written here: {known} have.")
    if method.model is not model:
        raise UserError(f"{method.name} is not attached to this model: there is nothing to save.")
    require_language_model(model)
    method.require_own_changes_only()
    kind, write = WRITERS[method.name]
    own, tensors = write(model, method)
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"{name} is not finite everywhere: nothing was written.")
    reads_apart = model.reading_stack == "encoder"
    settings = {
        "peft_type": kind,
        "task_type": "SEQ_2_SEQ_LM" if reads_apart else "CAUSAL_LM",
        "base_model_name_or_path": None,
        "inference_mode": True,
        **own,
    }
    return settings, {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}


def load_peft_adapter(folder: str | Path, model: LanguageModel) -> Method:
    """The method in an adapter's folder of peft, attached to the plain `model` with its weights.

    Raises UserError, and leaves the model as it was, for a folder that is incomplete, damaged, of another model, or
    with options that have no counterpart here.
    """
    folder = Path(folder)
    require_language_model(model)
    carried = getattr(model, "attached_method", None)
    if carried is not None:
        raise UserError(f"The model already carries {carried.name}: detach() or merge() it before loading {folder}.")
    settings = read_settings(folder)
    tensors = read_tensors(folder)
    try:
        found = READERS[settings["peft_type"]](model, settings, tensors)
        dtype = model.embedding.weight.dtype
        state = {name: tensor.to(dtype) for name, tensor in found.state.items()}
        method = attach_tried(model, lambda: found.kind(**found.told), state)
        check_or_detach(found, method)
    except Exception as error:  # settings and tensors are only as good as the folder
        reason = one_line(error).rstrip(".")
        raise UserError(f"The adapter in {short(folder)} cannot be read here: {reason}.") from error
    return method


def check_or_detach(found: Found, method: Method) -> None:
    """The last look at what was loaded; where it fails, the model is left plain."""
    try:
        found.check(method)
    except BaseException:
        method.detach()
        raise


def read_tensors(folder: Path) -> Mapping[str, torch.Tensor]:
    """The numbers of an adapter by name: all finite, and in safetensors."""
    file = folder / WEIGHTS
    if not file.exists() and (folder / OLD_WEIGHTS).exists():
        raise UserError(
            f"{short(folder)} holds its numbers in {OLD_WEIGHTS}, a format that may run code when it is read: load "
            f"and save it again in peft, which gives {WEIGHTS}."
        )
    if not file.exists():
        raise UserError(f"{short(file)} does not exist: {AGAIN}.")
    tensors = read_weights(file)
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS or not tensor.isfinite().all():
            raise UserError(f"{short(file)} is damaged: {name[:80]} holds what is no finite number: {AGAIN}.")
    return tensors


def require_language_model(model) -> None:
    """Raise UserError for a model whose layers have no names there."""
    if not isinstance(model, LanguageModel):
        raise UserError(
            f"Files of peft are for a model as minipeft.load gives it, not for a {type(model).__name__}: load one."
        )
