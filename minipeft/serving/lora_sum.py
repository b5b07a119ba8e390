"""Several trained LoRAs on one base: their sum, with weights that can be changed, and the one LoRA that is the same.

    y = W x + sum_i w_i s_i B_i A_i x    A_i: (rank_i, in)   B_i: (out, rank_i)   s_i: alpha / rank, or rsLoRA's
      = W x + B (scales * A x)           A: (R, in), all A_i stacked   B: (out, R), all B_i side by side
                                         scales: (R,), w_i s_i for each row of A_i   R: the sum of the ranks

`LoRASum` is the second line, w_i each adapter's weight. It is one LoRA of rank R: `combine_loras` makes it, with all
scales inside of B. To average the A_i and the B_i apart keeps the rank, but is something else: (B_1 + B_2) (A_1 + A_2)
also has the products B_1 A_2 and B_2 A_1, which nobody trained.
Start: the trained updates. Trainable: nothing.
Source: Hu et al. 2021, arXiv:2106.09685, for the parts; the rest is block matrices.
Lesson: lessons/19_merging_and_serving. Test: tests/serving/test_lora_sum.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod, as_linear
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA

PLAIN_LORAS = (LoRA, RSLoRA, LoRAPlus)  # an untouched base and, for each layer, scaling * B A


class LoRASumLinear(nn.Module):
    """A frozen linear layer plus several updates: row i of A belongs to adapter owner[i] and counts scaling[i]."""

    def __init__(
        self,
        linear: nn.Linear,
        A: torch.Tensor,
        B: torch.Tensor,
        scaling: torch.Tensor,
        owner: torch.Tensor,
    ):
        super().__init__()
        self.linear = linear
        for name, value in {"A": A, "B": B, "scaling": scaling, "owner": owner, "scales": scaling}.items():
            self.register_buffer(name, value)  # A (ranks, in), B (out, ranks), the others (ranks,)

    def set_weights(self, weights: torch.Tensor) -> None:
        """weights: (adapters,)"""
        self.scales = self.scaling * weights.to(self.scaling)[self.owner]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low = self.scales * (x @ self.A.T)  # (..., ranks)
        return self.linear(x) + low @ self.B.T  # (..., out)

    def update(self) -> torch.Tensor:
        """What merging adds to W, (out, in)."""
        return (self.scales * self.B) @ self.A

    @property
    def weight(self) -> torch.Tensor:
        """(out, in), what this layer computes with."""
        return self.linear.weight + self.update()

    @property
    def bias(self) -> torch.Tensor | None:
        return self.linear.bias


@dataclass
class LoRASum(LinearMethod):
    """The trained states `states[i]` of the LoRA, rsLoRA or LoRA+ `methods[i]`, times `weights[i]`.

    They need not share ranks, alphas or targets; dropout is left out. An adapter file gives method and state with
    `lora = load_adapter(path, model)`, `state = lora.state_dict()`, `lora.detach()`, and is refused on another base.
    """

    methods: Sequence[LoRA]
    states: Sequence[dict[str, torch.Tensor]]
    weights: Sequence[float]

    name = "lora_sum"
    adds = True

    def __post_init__(self):
        for method in self.methods:
            if type(method) not in PLAIN_LORAS:
                raise UserError(f"A sum of LoRAs takes lora, rslora and lora_plus, not {method.name}.")
        if not len(self.methods) == len(self.states) == len(self.weights) > 0:
            raise UserError("Give one method, one state and one weight for each adapter, and at least one adapter.")
        each = [[method.targets] if isinstance(method.targets, str) else method.targets for method in self.methods]
        self.targets = tuple(dict.fromkeys(target for targets in each for target in targets))

    def attach(self, model: nn.Module, state: dict[str, torch.Tensor] | None = None) -> None:
        parts: dict[nn.Module, list] = {}  # a layer of the model -> what each adapter has there
        for owner, (method, trained) in enumerate(zip(self.methods, self.states, strict=True)):
            for path, layer in trained_layers(method, trained, model).items():
                A, B = layer.A.detach(), layer.B.detach()
                scaling = A.new_full((len(A),), layer.scaling)
                owners = torch.full((len(A),), owner, device=A.device)
                parts.setdefault(model.get_submodule(path), []).append((A, B, scaling, owners))
        self.parts = {layer: list(zip(*each, strict=True)) for layer, each in parts.items()}
        super().attach(model, state)

    def install(self, model: nn.Module) -> None:
        self.replace(self.targets, self.new_layer)
        self.set_weights(self.weights)

    def new_layer(self, plain: nn.Module) -> LoRASumLinear:
        A, B, scaling, owner = self.parts[plain]
        return LoRASumLinear(as_linear(plain), torch.cat(A), torch.cat(B, 1), torch.cat(scaling), torch.cat(owner))

    def set_weights(self, weights: Sequence[float]) -> None:
        """How much of each adapter there is from now on; 0 switches one off."""
        self.require_attached()
        if len(weights) != len(self.states) or not torch.tensor(weights).isfinite().all():
            raise UserError(f"Give {len(self.states)} finite weights, one for each adapter; got {list(weights)}.")
        self.weights = tuple(weights)
        for _, layer in self.layers():
            layer.set_weights(torch.tensor(self.weights, dtype=torch.float64))

    def hyperparameters(self) -> dict[str, Any]:
        raise UserError("A sum of LoRAs is not saved itself: combine_loras makes one LoRA of it, which can be.")


def trained_layers(method: LoRA, state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, LoRALinear]:
    """The layers of `method`, by path, with the parameters of `state`; `model` is plain before and after.

    Raises UserError where they do not fit the hyper-parameters or the model.
    """
    method.attach(model, state)
    try:
        return dict(method.layers())
    finally:
        method.detach()


def combine_loras(
    model: nn.Module, methods: Sequence[LoRA], states: Sequence[dict[str, torch.Tensor]], weights: Sequence[float]
) -> LoRA:
    """One LoRA, attached to the plain `model`, that computes what the adapters `methods` with the trained `states` do
    together, each times its weight: an ordinary LoRA, to be saved, merged or trained on.
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
