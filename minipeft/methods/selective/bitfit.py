"""BitFit: train the bias vectors only.

    y = W x + b        W: (out, in), frozen   b: (out,), trained

Start: the base model itself.
Trainable: the number of biases; a GPT-2 of L layers, width d and feed-forward size f has L (7 d + f) + d of them.
T5 has no biases, so BitFit does not apply to it; norm_tuning trains the vectors that T5 does have.
Paper: Ben Zaken et al. 2021, arXiv:2106.10199. Lesson: lessons/03_full_and_partial.
"""

from dataclasses import dataclass

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method


@dataclass
class BitFit(Method):
    """Train every vector with bias in its name, those of the norms included: `bias`, `in_proj_bias`, `bias_ih_l0`."""

    name = "bitfit"
    suggested_learning_rate = 1e-2
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 2e-2)
    can_merge = True

    def install(self, model: nn.Module) -> None:
        named = [(path.rpartition(".")[2], parameter) for path, parameter in model.named_parameters()]
        biases = [parameter for name, parameter in named if "bias" in name.split("_") and parameter.dim() == 1]
        if not biases:
            raise UserError("bitfit trains biases and this model has none (no T5 has any): use norm_tuning instead.")
        self.train_in_place(biases)
