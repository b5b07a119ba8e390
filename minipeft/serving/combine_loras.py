"""Several trained LoRAs made into one, exactly: their ranks stand one after the other.

    sum_i w_i s_i B_i A_i = B A        A: (R, in), all A_i stacked   B: (out, R), all w_i s_i B_i side by side

w_i: each adapter's weight, s_i its alpha / rank (rsLoRA: alpha / sqrt(rank)), R the sum of the ranks; all scales go
into B. To average the A_i and the B_i apart keeps the rank, but is something else: (B_1 + B_2) (A_1 + A_2) also has the
products B_1 A_2 and B_2 A_1, which nobody trained.
Source: Hu et al. 2021, arXiv:2106.09685, for the parts; the rest is block matrices.
Lesson: lessons/19_merging_and_serving.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from minipeft.methods.low_rank.lora import LoRA
from minipeft.serving.lora_sum import LoRASum


def combine_loras(
    model: nn.Module, methods: Sequence[LoRA], states: Sequence[dict[str, Tensor]], weights: Sequence[float]
) -> LoRA:
    """One LoRA, attached to the plain `model`, that computes what the adapters `methods` with the trained numbers
    `states` do together, each times its weight: an ordinary LoRA, to be saved, merged or trained on.
    """
    summed = LoRASum(methods, states, weights)
    summed.attach(model)
    layers = dict(summed.layers())
    summed.detach()
    ranks = {path: len(layer.scales) for path, layer in layers.items()}
    rank = max(ranks.values())
    # A path also names what ends with it, and the last name counts: the longest, whole ones, come last.
    pattern = {path: ranks[path] for path in sorted(ranks, key=len)} if min(ranks.values()) < rank else {}
    lora = LoRA(rank=rank, alpha=float(rank), targets=summed.targets, rank_pattern=pattern)
    lora.attach(model)
    state = {}
    for path, own in lora.layers():
        state[f"{path}.A"] = layers[path].A
        state[f"{path}.B"] = layers[path].B * layers[path].scales / own.scaling  # own: alpha over this layer's rank
    lora.load_state_dict(state)
    return lora
