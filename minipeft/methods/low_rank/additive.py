"""Merging that adds to frozen weights, and the way back.

    merge    W <- W + update        unmerge    W <- W - update        update: (out, in), as W

The layers of such a method have `linear`, the frozen layer, and `update()`, what the learned numbers add to its weight.
"""

from typing import Any, ClassVar

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method


class AdditiveMethod(Method):
    """A method that merges by adding, so that what was merged can be subtracted again and trained on."""

    layer_kind: ClassVar[type[nn.Module]]
    can_merge = True
    merged: ClassVar[Any] = None  # after a merge, on the instance: the model, the numbers, the base's fingerprint

    def layers(self) -> list[tuple[str, nn.Module]]:
        """(path, layer) of every layer that this method put into the model."""
        self.require_attached()
        return [(path, layer) for path, layer in self.model.named_modules() if isinstance(layer, self.layer_kind)]

    def merge_weights(self) -> None:
        layers = self.layers()
        self.refuse_shared_weights(layers)
        for _, layer in layers:
            layer.linear.weight.add_(layer.update())
        self.merged = self.model, self.state_dict(), self.fingerprint

    def unmerge(self) -> None:
        """Undo `merge`: attached again to the same model with the same numbers, which can be trained on.

        (W + update) - update is W to rounding, not bit for bit. The method keeps the fingerprint of the base it was
        first attached to, so a file saved now is for that base, as it was before the merge; the model that detach()
        leaves is, by its bits, another one, and adapter files of the base are to be loaded on a fresh copy of it.
        """
        if self.merged is None:
            raise UserError(f"There is nothing to unmerge: merge() this {self.name} first.")
        model, numbers, base = self.merged
        self.attach(model)
        self.load_state_dict(numbers)
        self.fingerprint, self.merged = base, None
        with torch.no_grad():
            for _, layer in self.layers():
                layer.linear.weight.sub_(layer.update())
