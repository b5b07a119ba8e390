"""Norm tuning: train the scales (and shifts) of the normalisation layers only.

    y = weight * x / rms(x)                       T5 and Llama, weight: (hidden,)
    y = weight * (x - mean(x)) / std(x) + bias    GPT-2, weight and bias: (hidden,)

Start: the base model itself.
Trainable, at width d: T5 of E encoder and D decoder layers d (2 E + 3 D + 2); GPT-2 of L layers
2 d (2 L + 1); Llama of L layers d (2 L + 1), and in Qwen3 2 head more a layer, for query and key.
Paper: the layer-norm baseline of Houlsby et al. 2019, arXiv:1902.00751.
Lesson: lessons/03_full_and_partial. Test: tests/methods/selective/test_norm_tuning.py.
"""

from dataclasses import dataclass

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.method import Method


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of every LayerNorm and RMSNorm, whichever library it is from: T5LayerNorm,
    LlamaRMSNorm, ...
    """
    norms = [
        module
        for module in model.modules()
        if type(module).__name__.endswith(("LayerNorm", "RMSNorm"))
    ]
    return [parameter for norm in norms for parameter in norm.parameters()]


@dataclass
class NormTuning(Method):
    """Train every LayerNorm or RMSNorm, the final one of each stack included."""

    name = "norm_tuning"
    suggested_learning_rate = 2e-3
    learning_rate_grid = (2e-3, 5e-3, 1e-2, 3e-2)
    can_merge = True

    def install(self, model: nn.Module) -> None:
        parameters = norm_parameters(model)
        if not parameters:
            raise UserError(
                "norm_tuning trains LayerNorm and RMSNorm layers and this model has none."
            )
        self.train_in_place(parameters)
