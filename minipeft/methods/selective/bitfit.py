"""BitFit: train the bias vectors only.

    y = W x + b        W: (out, in), frozen   b: (out,), trained

Start: the base model itself.
Trainable: the number of biases; a GPT-2 of L layers, width d and feed-forward size f has
L (7 d + f) + d of them. The paper trains a new classifier along; here the answers are words of the
model's own head, which stays frozen.
T5 and Llama have no biases, so BitFit does not apply to them; norm_tuning trains the vectors that
they do have. A Qwen2 has those of query, key and value.
Paper: Ben Zaken et al. 2021, arXiv:2106.10199.
Lesson: lessons/03_full_and_partial. Test: tests/methods/selective/test_bitfit.py.
"""

from dataclasses import dataclass

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method


@dataclass
class BitFit(Method):
    """Train every vector with bias in its name, norms' too: `bias`, `in_proj_bias`, ..."""

    name = "bitfit"
    suggested_learning_rate = 1e-2
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 2e-2)
    can_merge = True

    def install(self, model: nn.Module) -> None:
        biases = []
        for path, parameter in model.named_parameters():
            name = path.rpartition(".")[2]
            if "bias" in name.split("_") and parameter.dim() == 1:
                biases.append(parameter)
        if not biases:
            raise UserError(
                "bitfit trains biases and this model has none (no T5 or Llama has any, "
                "a Qwen2 has): use norm_tuning instead."
            )
        self.train_in_place(biases)
