"""The plain model as it was when a method came: what detach() brings back, and what nothing but the method may change.

A file of an adapter is named after these weights, so they have to be the same when it is saved.
"""

import zlib

import numpy
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.transformer.fingerprints import fingerprint, tensor_bytes


class FrozenBase:
    """Remembers the plain `model`, and stops every parameter of it from training."""

    def __init__(self, model: nn.Module):
        if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
            raise UserError(f"A method is attached to a torch module, not to a {type(model).__name__}: give the model.")
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_nested:
                raise UserError(f"{name!r} is a nested tensor, which has no shape to be saved by: keep it elsewhere.")
            if nn.parameter.is_lazy(tensor):
                raise UserError(f"{name!r} has no shape yet: run the model once on an input before attaching to it.")
        if torch.is_inference_mode_enabled() or any(parameter.is_inference() for parameter in model.parameters()):
            raise UserError(
                "What is made under torch.inference_mode() cannot be trained: make the model, and attach, outside it."
            )
        self.fingerprint = fingerprint(model)
        self.modes = [(module, module.training) for module in model.modules()]
        self.flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        self.kinds = [(parameter.device, parameter.dtype) for parameter, _ in self.flags]
        self.buffers = [
            (module, name, buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self.places = [  # (name, module, attribute) of every tensor that the fingerprint names
            (f"{path}.{name}" if path else name, module, name)
            for path, module in model.named_modules()
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]
            if tensor is not None and name not in module._non_persistent_buffers_set
        ]
        self.remember()
        self.own_types: dict[str, torch.dtype] = {}  # of the method's own parameters, once they are there
        for parameter, _ in self.flags:
            parameter.requires_grad_(False)
            parameter.grad = None

    def remember(self) -> None:
        """Take the weights as they are now for those of the base."""
        self.seen = {name: look(module, attribute) for name, module, attribute in self.places}

    def refuse_changes(self, method: str, trained: list[nn.Parameter]) -> None:
        """Raise where something of the base besides `trained`, its own parameters that `method` trains, has changed."""
        own = {id(parameter) for parameter in trained}
        for name, module, attribute in self.places:
            now = getattr(module, attribute, None)
            if id(now) in own:
                continue
            if getattr(now, "requires_grad", False):
                raise UserError(
                    f"{name!r} was set to be trained after {method} had been attached, and is no part of it: its file "
                    "would not hold that. Set requires_grad to False again, and save what was trained there yourself."
                )
            before, after = self.seen[name], look(module, attribute)
            if before[:2] != after[:2]:
                raise UserError(
                    f"{name!r} of the base was {before[0]} when {method} was attached and is {after[0]} now: load the "
                    f"base in the type you want, and attach {method} then."
                )
            if before != after:
                raise UserError(
                    f"{name!r} of the base has changed since {method} was attached, and its file would not hold that: "
                    "load all weights before attaching, and keep layers that count as they read (BatchNorm) in eval "
                    "mode while training."
                )

    def refuse_other_types(self, method: str, now: dict[str, nn.Parameter]) -> None:
        """Raise where a parameter of `method`, by its name among those in the model `now`, is not as it was attached.

        A name that is gone was a network's, which has given way to what it made.
        """
        for name, parameter in now.items():
            if parameter.requires_grad and name not in self.own_types:
                raise UserError(
                    f"{name!r} was added to the model after {method} had been attached, and is no part of it: set its "
                    "requires_grad to False, and save what is trained there yourself."
                )
        for name, dtype in self.own_types.items():
            if name in now and not now[name].requires_grad:
                raise UserError(f"{name!r} of {method} was frozen after attaching: let it be trained, then save.")
            if name in now and now[name].dtype != dtype:
                raise UserError(
                    f"{name!r} of {method} was {dtype} when attached and is {now[name].dtype} now, not as when loaded: "
                    "cast it back before saving."
                )

    def take_along(self, model: nn.Module) -> None:
        """Where the attached `model` was moved or cast, do so with the parameters of the base that stand outside of it.

        A method keeps them for detach(). They go where those that were like them have gone; where nothing of the base
        stands in the model, where the method's own have gone.
        """
        inside, gone = {id(parameter) for parameter in model.parameters()}, {}
        if all(device.type != "meta" for device, _ in self.kinds) and any(one.is_meta for one in model.parameters()):
            raise UserError("The model was moved to the meta device, where its numbers are gone: load it again.")
        for (parameter, _), kind in zip(self.flags, self.kinds, strict=True):
            if id(parameter) in inside:
                gone[kind] = parameter.device, parameter.dtype
        own = [(p, self.own_types[name]) for name, p in model.named_parameters() if name in self.own_types]
        if not gone:
            gone = {kind: (p.device, p.dtype) for p, dtype in own for kind in self.kinds if kind[1] == dtype}
        for (parameter, _), kind in zip(self.flags, self.kinds, strict=True):
            if id(parameter) not in inside and kind in gone:
                parameter.data = parameter.data.to(*gone[kind])

    def restore_flags(self) -> None:
        """Give every parameter the requires_grad it had, and no gradient."""
        for parameter, flag in self.flags:
            parameter.requires_grad_(flag)
            parameter.grad = None

    @torch.no_grad()
    def restore_modes_and_buffers(self) -> None:
        for module, training in self.modes:
            module.training = training
        for module, name, value in self.buffers:
            now = module._buffers.get(name)
            if now is not None and not now.is_meta:
                value = value.to(now.device, now.dtype)  # where the model was moved or cast, it stays there
                if now.shape == value.shape and numpy.array_equal(tensor_bytes(now), tensor_bytes(value)):
                    continue
                if now.shape == value.shape and now.is_contiguous():
                    now.copy_(value)  # in place: another module may share it
                    continue
            module._buffers[name] = value


def look(module: nn.Module, attribute: str) -> tuple[str, str, int]:
    """The type of a tensor, its shape, and a checksum of its bytes (CRC-32: this guards against accidents)."""
    tensor = getattr(module, attribute, None)
    if not isinstance(tensor, torch.Tensor):
        return "gone", "", 0
    return str(tensor.dtype), str(tuple(tensor.shape)), 0 if tensor.is_meta else zlib.crc32(tensor_bytes(tensor))
