"""What a training step would keep in memory, counted on a hollow model: LLaMA-7B and GPT-3 on any laptop.

Model, method and batch are made on the meta device, where tensors have a shape and a type and no values, and the very
count of counting.py is run on them. So a plan is right where that is: for one training step, weights, gradients,
optimizer state and saved activations. What comes on top is not planned: tensors that live only inside the step, what
`detach` would restore, and the rest of PyTorch. With gradient checkpointing one layer at a time is computed again,
whose activations come on top, too.

With `quantized`, the frozen matrices of the layers take 4.127 bits a weight (Dettmers et al. 2023, arXiv:2305.14314):

    4 for an index of 16 levels + 8 / 64 for the constant of its block + 32 / (64 * 256) for that of 256 constants

A small matrix takes a little more: what is left over is a block, too, and each matrix has the mean of its constants.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError, one_line
from minipeft.memory.counting import batch_memory, bytes_of
from minipeft.methods.method import Method
from minipeft.training.batches import encode_source
from minipeft.transformer.batch import Batch
from minipeft.transformer.hollow import build_hollow


def nf4_bytes(parameters: int) -> int:
    """Bytes of a matrix of so many parameters in 4-bit NormalFloat with double quantization."""
    blocks = math.ceil(parameters / 64)
    scales = math.ceil(blocks / 256)
    return math.ceil(parameters / 2) + blocks + 4 * scales + 4  # the last: the mean of the constants


class FullBatch(Batch):
    """A batch without padding. Its real tokens are known from its shape, so that it may be without values."""

    def answer_places(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows, length = self.target.shape
        places = torch.arange(rows * length, device=self.target.device)
        return places // length, places % length


class AnyWords:
    """A tokenizer for plans: a word is a token, and the same word the same."""

    size, pad, eos = 2**31, 0, 1

    def __init__(self):
        self.known: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        return [self.known.setdefault(word, 2 + len(self.known)) for word in text.split()]

    def most_frequent(self, count: int) -> list[int]:
        return list(range(2, 2 + count))

    def sentinel(self, index: int) -> int:
        return self.size - 1 - index


def hollow_model(kind: type[nn.Module], config, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A model of class `kind` and of these sizes, in eval mode, hollow, with words for tokens.

    Raises UserError where there is no such model.
    """
    try:
        model = build_hollow(kind, config).to(dtype).eval()
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"These sizes make no {kind.__name__}: {one_line(error)}.") from error
    model.tokenizer = AnyWords()
    return model


@dataclass
class MemoryPlan:
    """A `method` for a hollow `model`; each row of a batch reads `length` tokens and writes `answer_length`.

    Raises UserError where the method trains nothing, does not fit the model, or trains what is to be quantized.
    """

    model: nn.Module
    method: Method
    length: int
    answer_length: int
    optimizer: str | None = None
    quantized: bool = False

    def __post_init__(self):
        if min(self.length, self.answer_length) < 1:
            raise UserError("A step reads at least 1 token and writes at least 1: raise the length.")
        layers = [m for path, m in self.model.named_modules() if isinstance(m, nn.Linear) and ".blocks." in f".{path}"]
        self.matrices = [layer.weight for layer in layers] if self.quantized else []
        self.model_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.fitting(lambda: self.method.attach(self.model))
        if not self.method.named_parameters():
            raise UserError(f"{self.method.name} trains nothing, so there is no training step to plan.")
        standing = {id(parameter) for parameter in self.model.parameters()}  # qlora has put others in their place
        self.matrices = [weight for weight in self.matrices if id(weight) in standing]
        if any(weight.requires_grad for weight in self.matrices):
            raise UserError(f"{self.method.name} trains the model's own matrices, which cannot be quantized.")

    def memory(self, batch_size: int) -> dict[str, int]:
        """Bytes by part for a step on so many rows; with `quantized`, the matrices in 4 bits are a part."""
        count = lambda: batch_memory(self.model, self.method, self.batch(batch_size), self.optimizer)  # noqa: E731
        parts = self.fitting(count)
        if not self.matrices:
            return parts
        parts["weights"] -= bytes_of(self.matrices)
        return {"4-bit weights": sum(nf4_bytes(weight.numel()) for weight in self.matrices), **parts}

    def batch(self, batch_size: int) -> FullBatch:
        """Rows without padding; what the method adds to a text, words or virtual tokens, comes on top."""
        with torch.device("meta"):
            source = torch.ones(batch_size, self.length + len(encode_source(self.model, "word")) - 1, dtype=torch.long)
            target = torch.ones(batch_size, self.answer_length, dtype=torch.long)
            return FullBatch(source, torch.ones_like(source).bool(), target, torch.ones_like(target).bool())

    def total(self, batch_size: int) -> int:
        return sum(self.memory(batch_size).values())

    def largest_batch(self, limit: int) -> int:
        """How many rows fit into `limit` bytes; 0 where not even one does."""
        if self.total(1) > limit:
            return 0
        two, three = self.total(2), self.total(3)
        size = max(1, 2 + (limit - two) // (three - two))  # each row takes as much as the third; a row alone may not
        while self.total(size) > limit:
            size -= 1
        while self.total(size + 1) <= limit:
            size += 1
        return size

    def saved_bytes(self) -> int:
        """Bytes of the parameters in the adapter file."""
        return bytes_of(self.method.state_dict().values())

    def fitting(self, act):
        """What `act()` gives; where the method needs values or modules that are not there, a sentence says so."""
        try:
            with torch.device("meta"):
                return act()
        except UserError:
            raise
        except Exception as error:
            kind = type(self.model).__name__
            raise UserError(f"{self.method.name} cannot be planned for {kind}: {one_line(error)}.") from error
