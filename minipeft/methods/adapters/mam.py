"""Mix-And-Match: a prefix on every attention layer, a scaled parallel adapter on every feed-forward layer.

    attention:      softmax(q [P_k; K]^T) [P_v; V]                        P_k, P_v: (heads, prefix, head)
    feed-forward:   h <- h + feed_forward(x) + s (W_up relu(W_down x))    W_down: (bottleneck, hidden)

The paper found that few parameters do most in the heads of attention, and many in the feed-forward layers. The parts
are those of prefix_tuning.py and scaled_parallel_adapter.py, the network behind the prefix included.
Start: the adapters at nothing, the prefix random, so the first output is never the base model's.
Trainable (stored), width d, bottleneck m, a = heads (of keys and values) * head size: 2 prefix a per attention layer
and 2 d m + d + m per feed-forward layer. With reparametrise, training moves the network in place of the prefix.
Paper: He et al. 2021, arXiv:2110.04366: prefix 30, bottleneck 512, scale 4 at d = 1024; 16, 16, 2 for understanding.
Lesson: lessons/11_unified_view. Test: tests/methods/adapters/test_mam.py.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from minipeft.methods.adapters.parallel_adapter import ParallelSublayer
from minipeft.methods.adapters.scaled_parallel_adapter import ScaledParallelAdapter
from minipeft.methods.prompts.prefix_tuning import PrefixTuning


@dataclass
class MAM(PrefixTuning):
    """Prefix tuning, and adapters of size `bottleneck` that count `scale` times; the prefix's options are its own.

    The learning rate is the prefix's, and the adapters have `adapter_learning_rate`. The paper has one rate for both;
    on our small bases the best rates of the two parts lie far apart.
    """

    bottleneck: int = 16
    scale: float = 4.0
    adapter_learning_rate: float = 3e-2

    name = "mam"
    network_rate = 1e-3
    network_grid = (1e-4, 3e-4, 1e-3, 3e-3)
    why_no_merge = "a prefix and an adapter that is not linear fit in no weight of the model. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        self.adapters()  # refuses sizes that make no sense

    def adapters(self) -> ScaledParallelAdapter:
        """What makes the second part."""
        return ScaledParallelAdapter(self.bottleneck, scale=self.scale)

    def install(self, model: nn.Module) -> None:
        super().install(model)
        self.replace(["feed_forward"], self.adapters().wrap)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        places = [module for module in self.model.modules() if isinstance(module, ParallelSublayer)]
        adapters = [parameter for place in places for parameter in place.adapter.parameters()]
        prefix = [p for p in self.named_parameters().values() if all(p is not own for own in adapters)]
        return [{"params": prefix, "lr": learning_rate}, {"params": adapters, "lr": self.adapter_learning_rate}]
