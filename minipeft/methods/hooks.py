"""What a method may do while it is trained: nothing, unless it prunes, draws or has a loss of its own."""

import torch


class TrainingHooks:
    """The trainer calls these, so that it knows no method by name."""

    def penalty(self) -> torch.Tensor | float:
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
