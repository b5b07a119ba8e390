"""The contract that every fine-tuning method keeps, and its three tools: freeze, replace_modules, named_parameters.

A method is a dataclass. Its fields are its hyper-parameters; `install` puts its modules into the model:

    method.attach(model)     the base is frozen, the method's own parameters are trainable
    method.detach()          the model as it was before, bit for bit
    method.merge()           a plain model with the same outputs, where the mathematics allows

To add a method: a subclass in a file of its own, a line in `registry.py`, a row in `tests/helpers/method_table.py`.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minipeft.errors import UserError
from minipeft.methods.linear_layers import as_linear, linear_kinds, refuse_quantized
from minipeft.methods.strict_loading import load_strictly
from minipeft.methods.targets import Kind, replace_modules
from minipeft.transformer.batch import Batch
from minipeft.transformer.checkpoints import fingerprint
from minipeft.transformer.language_model import LanguageModel


def freeze(model: nn.Module) -> list[tuple[nn.Parameter, bool]]:
    """Stop every parameter from training; returns each with the `requires_grad` it had."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(False)
        parameter.grad = None
    return flags


@dataclass
class Method:
    """One way of fine-tuning a frozen model. A method is attached to one model at a time."""

    name: ClassVar[str]
    suggested_optimizer: ClassVar[str] = "adamw"
    suggested_learning_rate: ClassVar[float]
    learning_rate_grid: ClassVar[tuple[float, ...]]
    starts_at_identity: ClassVar[bool] = True  # the first forward pass is the base model's, bit for bit
    can_merge: ClassVar[bool] = False
    why_no_merge: ClassVar[str] = ""
    needs_language_model: ClassVar[bool] = False  # whether it acts on places that only a model of ours has

    model: ClassVar[Any] = None  # set while attached, on the instance
    fingerprint: ClassVar[str] = ""  # of the plain base, taken at attach

    def install(self, model: nn.Module) -> None:
        """Put the method into the frozen model with `replace` and `train_in_place`."""
        raise NotImplementedError

    def attach(self, model: nn.Module) -> None:
        """Freeze `model` and put this method into it. Refuses a model that carries a method already."""
        carried = getattr(model, "attached_method", None)
        if carried is not None:
            raise UserError(f"The model already carries {carried.name}: detach() or merge() it first.")
        if self.model is not None:
            raise UserError(f"This {self.name} is attached to another model: detach() it there, or make a new one.")
        if self.needs_language_model and not isinstance(model, LanguageModel):
            raise UserError(
                f"{self.name} works on a T5 or GPT-2 as minipeft.load gives it, not on a {type(model).__name__}: load "
                "one, or take a method for any module, such as lora with the names of its layers as targets."
            )
        self.fingerprint = fingerprint(model)
        self._modes = [(module, module.training) for module in model.modules()]
        self._flags = freeze(model)
        self._replaced: list[tuple[nn.Module, str, nn.Module]] = []
        self._originals: list[tuple[nn.Parameter, Tensor]] = []
        self.model = model
        model.attached_method = self
        try:
            self.install(model)
        except Exception:
            self.detach()
            raise

    def replace(self, targets: Iterable[str], wrap: Callable[[nn.Module], nn.Module], kind: Kind = nn.Module) -> None:
        """`replace_modules` on the attached model, remembered so that detach can undo it."""
        self._replaced += replace_modules(self.model, targets, wrap, kind)

    def replace_linears(self, targets: Iterable[str], wrap: Callable[[nn.Module], nn.Module]) -> None:
        """`replace` for linear layers alone: `wrap` gets what has the face of nn.Linear, also from a Conv1D."""
        self.replace(targets, lambda layer: wrap(as_linear(layer)), linear_kinds(self.model))

    def refuse_shared_weights(self, layers: Iterable[tuple[str, nn.Module]]) -> None:
        """Raise where the `linear` of one of these (path, wrapper) shares a weight that merging would change too."""
        uses = Counter(id(parameter) for _, parameter in self.model.named_parameters(remove_duplicate=False))
        for path, layer in layers:
            refuse_quantized(path, layer.linear)
            if any(uses[id(parameter)] > 1 for parameter in layer.linear.parameters()):
                raise UserError(f"{path} shares its weight with another module, which merging would change too.")

    def train_in_place(self, parameters: Iterable[nn.Parameter]) -> None:
        """Train these parameters of the base itself; their values now are kept so that detach can restore them."""
        for parameter in parameters:
            self._originals.append((parameter, parameter.detach().clone()))
            parameter.requires_grad_(True)

    def detach(self) -> None:
        """Make the model the one it was before `attach`: modules, values, requires_grad and training modes."""
        self.require_attached()
        with torch.no_grad():
            for parameter, value in self._originals:
                parameter.copy_(value)
        self._leave()

    def merge(self) -> None:
        """Move what was learned into the model's own weights and leave: a plain model with the same outputs."""
        self.require_attached()
        if not self.can_merge:
            raise UserError(f"{self.name} cannot be merged: {self.why_no_merge}")
        with torch.no_grad():
            self.merge_weights()
        self._leave()

    def unmerge(self) -> None:
        """Undo `merge` where it was a plain sum: attached again, the base as it was to rounding."""
        raise UserError(f"{self.name} cannot be unmerged: its merging is no plain sum. Load the base again and attach.")

    def merge_weights(self) -> None:
        """What `merge` writes into the base; nothing where the base's own parameters were trained."""

    def _leave(self) -> None:
        for parent, attribute, module in reversed(self._replaced):
            setattr(parent, attribute, module)
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for module, training in self._modes:
            module.training = training
        del self.model.attached_method, self.model, self._replaced, self._originals, self._flags, self._modes

    def require_attached(self) -> None:
        """Raise where there is no model to act on."""
        if self.model is None:
            raise UserError(f"This {self.name} is not attached to a model: call attach(model) first.")

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by its name in the wrapped model."""
        self.require_attached()
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def stored_count(self) -> int:
        """How many numbers are learned and stored."""
        return self.trained_count()

    def trained_count(self) -> int:
        """How many numbers training moves: more than `stored_count` where only a part of them is stored, fewer where
        frozen numbers are stored along.
        """
        return sum(parameter.numel() for parameter in self.named_parameters().values())

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The optimizer's parameter groups, each with its learning rate."""
        return [{"params": list(self.named_parameters().values()), "lr": learning_rate}]

    def hyperparameters(self) -> dict[str, Any]:
        """The dataclass fields: `type(method)(**method.hyperparameters())` is an equal method."""
        return dataclasses.asdict(self)

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the trained numbers, and of nothing else."""
        return self.training_state()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over trained numbers: every expected tensor in its shape and no other, or a UserError."""
        self.load_training_state(state)

    def expect(self, state: dict[str, Tensor]) -> None:
        """Told before `attach` which numbers will be loaded after it: a start kept in a file need not be looked for."""

    def training_state(self) -> dict[str, Tensor]:
        """A copy of everything that training moves: more than `state_dict` where only a part of it is stored."""
        return {name: parameter.detach().clone() for name, parameter in self.named_parameters().items()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Go on training from a `training_state`."""
        load_strictly(self.named_parameters(), state, self.name)

    def source_ids(self, text: str) -> list[int]:
        """The token ids that a source text becomes: a template puts words or virtual tokens around them."""
        return self.model.tokenizer.encode(text)

    def answer_ids(self, text: str) -> list[list[int]]:
        """The token ids that may stand for an answer: training writes the first, ranking takes the mean of all."""
        return [self.model.tokenizer.encode(text)]

    def score(self, batch: Batch, candidates: Tensor, candidate_mask: Tensor) -> Tensor:
        """What ranking compares: for each row and candidate its log-likelihood, (batch, candidates)."""
        return self.model.score(batch, candidates, candidate_mask)

    def penalty(self) -> Tensor | float:
        """Added to the loss of every training step."""
        return 0.0

    def before_step(self, step: int, total: int, rows: range) -> None:
        """Called before the forward pass of a training step; `step` counts from 0 to `total` - 1.

        rows: which rows this process reads, counted through all batches of the run. What is drawn from torch's
        generator here is the same in all processes of a run, and after a resume.
        """

    def after_backward(self, step: int, total: int) -> None:
        """Called between the backward pass and the optimizer's step; `step` counts from 0 to `total` - 1."""

    def after_step(self, step: int, total: int) -> None:
        """Called after the optimizer's step, while the gradients are still there."""

    def settled(self, step: int, total: int) -> bool:
        """Whether what is learned after `step` steps may be a run's outcome: not before all pruning is done."""
        return True
