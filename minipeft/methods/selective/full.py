"""Full fine-tuning: train every weight. What all other methods are measured against.

    theta <- theta - step        theta: all parameters of the model

Start: the base model itself.
Trainable: every parameter of the model.
Source: the usual way; the baseline of every paper in this folder.
Lesson: lessons/03_full_and_partial. Test: tests/methods/selective/test_full.py.
"""

from dataclasses import dataclass

from torch import nn

from minipeft.methods.method import Method


@dataclass
class Full(Method):
    """Train everything. A copy of the base stays in memory: `detach` restores it bit for bit."""

    name = "full"
    suggested_learning_rate = 1e-3
    learning_rate_grid = (2.5e-4, 5e-4, 1e-3, 2e-3)
    can_merge = True

    def install(self, model: nn.Module) -> None:
        self.train_in_place(model.parameters())
