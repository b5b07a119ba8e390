"""The contract that every fine-tuning method keeps.

A method is a dataclass. Its fields are its hyper-parameters; `install` puts its modules into the model:

    method.attach(model)           the base is frozen, the method's own parameters are trainable
    method.attach(model, state)    the same with what was learned before, a state_dict
    method.detach()                the model as it was before, bit for bit
    method.merge()                 a plain model with the same outputs, where the mathematics allows
    method.state_dict()            what a file keeps: the trained parameters, or those that a network gave

Most methods say `install` alone. `hooks.py` has what one may do while training, `reading.py` how it may read texts.
To add a method: a subclass in a file of its own, a line in `registry.py`, a row in `tests/helpers/method_table.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import nn

from minipeft.errors import UserError, refusal_of_the_machine
from minipeft.methods.frozen_base import FrozenBase
from minipeft.methods.hooks import TrainingHooks
from minipeft.methods.hyperparameter_types import settle_fields
from minipeft.methods.memory_places import require_finite, require_trainable
from minipeft.methods.reading import Reading
from minipeft.methods.strict_loading import load_strictly, require_tensors
from minipeft.methods.targets import Kind, replace_modules
from minipeft.transformer.language_model import LanguageModel


@dataclass
class Method(Reading, TrainingHooks):
    """One way of fine-tuning a frozen model. A method is attached to one model at a time."""

    name: ClassVar[str]
    suggested_optimizer: ClassVar[str] = "adamw"
    suggested_learning_rate: ClassVar[float]  # where it depends on the fields, a property; so may the next two
    learning_rate_grid: ClassVar[tuple[float, ...]]
    can_merge: ClassVar[bool] = False
    why_no_merge: ClassVar[str] = ""
    needs_language_model: ClassVar[bool] = False  # whether it acts on places that only a model of ours has
    starts_at_identity: ClassVar[bool] = True  # the first forward pass is the base model's, bit for bit

    model: ClassVar[Any] = None  # set while attached, on the instance
    fingerprint: ClassVar[str] = ""  # of the plain base, taken at attach
    given: ClassVar[dict[str, torch.Tensor] | None] = None  # during attach: what will take a start's place

    def __post_init__(self):
        """Refuse fields of a wrong type. A method that checks more calls this first."""
        settle_fields(self)

    # Putting it in, and taking it out.

    def install(self, model: nn.Module) -> None:
        """Put the method into the frozen model with `replace` and `train_in_place`."""
        raise NotImplementedError

    def attach(self, model: nn.Module, state: dict[str, torch.Tensor] | None = None) -> None:
        """Freeze `model` and put this method into it, with what was learned before where `state` is given.

        Raises UserError, and leaves the model plain, where it carries a method already or does not fit this one.
        """
        if getattr(model, "attached_method", None) is not None:
            raise UserError(f"The model already carries {model.attached_method.name}: detach() or merge() it first.")
        if self.model is not None:
            raise UserError(f"This {self.name} is attached to another model: detach() it there, or make a new one.")
        if self.needs_language_model and not isinstance(model, LanguageModel):
            raise UserError(
                f"{self.name} works on a T5, GPT-2 or Llama as minipeft.load gives it, not on a "
                f"{type(model).__name__}: load one, or take a method for any module, such as lora with the "
                "names of its layers as targets."
            )
        if state is not None:
            require_tensors(state, self.name)
        self.base = FrozenBase(model)
        self.fingerprint = self.base.fingerprint
        self._replaced: list[tuple[nn.Module, str, nn.Module]] = []
        self._originals: list[tuple[nn.Parameter, torch.Tensor]] = []
        self.model, model.attached_method, self.given = model, self, state
        try:
            self.install(model)
            self.base.told = {field.name: getattr(self, field.name) for field in fields(self)}
            self.base.own_types = {name: parameter.dtype for name, parameter in self.named_parameters().items()}
            require_finite(self.named_parameters(), "choose other hyper-parameters, or look at the base's weights")
            if state is not None:
                self.load_state_dict(state)
        except BaseException as error:  # Ctrl-C, too
            self.detach()
            if said := refusal_of_the_machine(error):
                raise UserError(said) from error
            raise
        finally:
            self.given = None

    def replace(self, targets: Iterable[str], wrap: Callable[[nn.Module], nn.Module], kind: Kind = nn.Module) -> None:
        """`replace_modules` on the attached model, remembered so that detach can undo it."""
        self._replaced += replace_modules(self.model, targets, wrap, kind)

    def train_in_place(self, parameters: Iterable[nn.Parameter]) -> None:
        """Train these parameters of the base itself; their values now are kept so that detach can restore them."""
        for parameter in parameters:
            require_trainable(parameter, self.name)
            self._originals.append((parameter, parameter.detach().clone()))
            parameter.requires_grad_(True)

    def detach(self) -> None:
        """Make the model the one it was before `attach`: modules, values, requires_grad and training modes."""
        self.require_attached()
        self.base.take_along(self.model)
        with torch.no_grad():
            for parameter, value in self._originals:
                parameter.copy_(value)
        self.base.restore_modes_and_buffers()
        self._leave()

    def merge(self) -> None:
        """Move what was learned into the model's own weights and leave: a plain model with the same outputs.

        Raises UserError, and changes nothing, where that is not possible or what was learned is not finite.
        """
        self.require_attached()
        if not self.can_merge:
            raise UserError(f"{self.name} cannot be merged: {self.why_no_merge}")
        require_finite(self.named_parameters(), "nothing was merged. detach() gives the base back")
        self.base.take_along(self.model)
        with torch.no_grad():
            self.merge_weights()
        for parent, attribute, original in self._replaced:
            original.train(getattr(parent, attribute).training)
        self._leave()

    def merge_weights(self) -> None:
        """What `merge` writes into the base; nothing where the base's own parameters were trained."""

    def _leave(self) -> None:
        for parent, attribute, module in reversed(self._replaced):
            setattr(parent, attribute, module)
        self.base.restore_flags()
        del self.model.attached_method, self.model, self.base, self._replaced, self._originals

    def require_attached(self) -> None:
        """Raise where there is no model to act on."""
        if self.model is None:
            raise UserError(f"This {self.name} is not attached to a model: call attach(model) first.")

    def require_own_changes_only(self) -> None:
        """Raise where something else trains or has changed the base: no file of this method would hold that."""
        self.require_attached()
        for name, was in self.base.told.items():
            now = getattr(self, name)
            if isinstance(was, int | float | str) and now != was:
                raise UserError(f"{self.name} was attached with {name} {was!r}, not {now!r}: set it back.")
        self.base.refuse_changes(self.name, [parameter for parameter, _ in self._originals])
        self.base.refuse_other_types(self.name, dict(self.model.named_parameters()))

    # What is trained, and what is kept of it.

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by its name in the wrapped model."""
        self.require_attached()
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def trained_count(self) -> int:
        """How many parameters training moves."""
        return sum(parameter.numel() for parameter in self.named_parameters().values())

    def stored_count(self) -> int:
        """How many parameters a file keeps: fewer where a network made them, more where frozen ones go along."""
        return sum(tensor.numel() for tensor in self.state_dict().values())

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The optimizer's parameter groups, each with its learning rate."""
        return [{"params": list(self.named_parameters().values()), "lr": learning_rate}]

    def hyperparameters(self) -> dict[str, Any]:
        """The dataclass fields: `type(method)(**method.hyperparameters())` is an equal method."""
        return asdict(self)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """A copy of what a file keeps: the trained parameters, or what stands for them."""
        return self.training_state()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take over a `state_dict`: every expected tensor in its shape and no other, or a UserError."""
        self.load_training_state(state)

    def training_state(self) -> dict[str, torch.Tensor]:
        """A copy of everything that training moves."""
        return {name: parameter.detach().clone() for name, parameter in self.named_parameters().items()}

    def load_training_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on training from a `training_state`."""
        load_strictly(self.named_parameters(), state, self.name)
