"""A label head: a new linear classifier in the place of the vocabulary projection.

    logits[classes] = W h / rms(h) + b, all others minus infinity      W: (labels + 1, hidden)   b: (labels + 1,)

The classes are token ids: one for each label, and end-of-sequence, which closes every answer. The output keeps its
shape, (..., vocabulary), so loss, ranking and generation go on as before, and only labels can be written.
The hidden states h are brought to root mean square 1 first: pretraining leaves them at any size, to which the old head
has grown to fit and a new one has not.
Start: W ~ N(0, 0.02), b = 0: all labels are about equally likely, whatever the old head knew of their words.
Trainable: (labels + 1) (hidden + 1) parameters. It has a bias, as classifiers have, to hold how frequent each label is.
"""

from collections.abc import Sequence

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.transformer.text_joints import encode_written


class LabelHead(nn.Module):
    """(..., hidden) -> logits (..., vocabulary), minus infinity for every token that is not among `classes`."""

    def __init__(self, hidden_size: int, vocabulary_size: int, classes: list[int], device=None, dtype=None):
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.linear = nn.Linear(hidden_size, len(classes), device=device, dtype=dtype)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("classes", torch.tensor(classes, device=device), persistent=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        unit = nn.functional.normalize(hidden, dim=-1) * hidden.shape[-1] ** 0.5  # root mean square 1
        scores = self.linear(unit)  # (..., classes)
        closed = scores.new_full((*hidden.shape[:-1], self.vocabulary_size), -torch.inf)  # (..., vocabulary)
        return closed.index_copy(-1, self.classes, scores)


def label_head(model: nn.Module, labels: Sequence[str]) -> LabelHead:
    """A LabelHead for `labels`, fit to `model`: `self.replace(["head"], lambda head: label_head(model, labels))`.

    The embedding stays as it is, also where the head that goes was tied to it. Raises UserError for fewer than two
    labels, and for one that is not a single token of the model's tokenizer, or the same as another's.
    """
    if len(labels) < 2:
        raise UserError(f"A label head needs at least two labels, got {list(labels)}: give all labels of the task.")
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise UserError("The model has no tokenizer to read the labels with: use minipeft.load.")
    classes = []
    for label in labels:
        ids = encode_written(model, label)
        if len(ids) != 1:
            raise UserError(f"The label {label!r} is {len(ids)} tokens and a label head needs one: rename the label.")
        if ids[0] in (*classes, tokenizer.eos):
            raise UserError(f"The label {label!r} is the same token as another label or the end of a text: rename it.")
        classes += ids
    like = model.embedding.weight
    config = model.config
    return LabelHead(config.hidden_size, config.vocabulary_size, [*classes, tokenizer.eos], like.device, like.dtype)


def check_label(text: str, labels: Sequence[str]) -> None:
    """Raise UserError for an answer that the label head has no class for: its likelihood would be zero."""
    if text not in labels:
        raise UserError(f"The label head has no class for {text!r}, only {', '.join(labels)}: give it all labels.")
