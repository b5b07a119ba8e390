"""A budget of ranks that shrinks while training, and the importance that says which stay.

    I = |w g|                                  sensitivity of w, g its gradient: what removing costs
    I_mean <- beta1 I_mean + (1 - beta1) I     it jumps from batch to batch, so: its moving average
    U_mean <- beta2 U_mean + (1 - beta2) |I - I_mean|   and how much it jumps, with the new I_mean
    s(w) = I_mean U_mean                       its score, by the criterion "sensitivity_uncertainty"
    S_i = s(lam_i) + mean over j of s(P_ji) + mean over j of s(Q_ij)      a triplet's score
    b(t) = b_T + (b_0 - b_T) (1 - (t - t_i) / (t_f - t_i))^3      the budget, from step t_i to t_f

By the criterion "sensitivity" s(w) is I_mean alone, by "magnitude" S_i is |lam_i|. The budget is
b_0 before t_i, b_T after t_f. w is read before the optimizer's update, as g is; in peft after it.
A file keeps lam, and P and Q of what is alive: on a fresh base these take their old places, which
lam's nonzeros tell, and the outputs are the same bit for bit. A layer of which nothing is pruned is
kept whole, because at the start every lam is 0.
Paper: Zhang et al. 2023 (AdaLoRA), arXiv:2303.10512.
Lesson: lessons/16_adalora. Test: tests/methods/low_rank/test_rank_budget.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError

AVERAGES = (".sensitivity", ".uncertainty")  # kept as "<parameter's name>.sensitivity", ...
CRITERIA = ("sensitivity_uncertainty", "sensitivity", "magnitude")
Layers = Sequence[tuple[str, nn.Module]]  # (path, layer) of each AdaLoRALinear of the model


@dataclass(frozen=True)
class Schedule:
    """When the budget shrinks: `warmup` and `final` are the shares before t_i and after t_f."""

    warmup: float
    final: float
    interval: int

    def __post_init__(self):
        if min(self.warmup, self.final) < 0 or self.warmup + self.final > 1:
            raise UserError(f"warmup {self.warmup}, final {self.final} are no shares of the steps.")
        if self.interval < 1:
            raise UserError(f"The interval must be at least 1 step, not {self.interval}.")

    def phases(self, total: int) -> tuple[int, int]:
        """t_i and t_f of a run of `total` steps."""
        return round(self.warmup * total), max(1, total - round(self.final * total))

    def prunes(self, done: int, total: int) -> bool:
        """Whether the choice is made anew after `done` steps; the last time at t_f."""
        start, end = self.phases(total)
        return done == end or (start < done < end and done % self.interval == 0)

    def budget(self, done: int, total: int, first: int, last: int) -> int:
        """b(t) after `done` steps, from `first` down to `last` ranks in the whole model."""
        start, end = self.phases(total)
        if done <= start or done >= end:  # also where t_i = t_f, and the budget falls at once
            return last if done >= end else first
        remaining = 1 - (done - start) / (end - start)  # 1 ... 0
        return int(last + (first - last) * remaining**3)


class Importance:
    """Both moving averages of every trained parameter, in float32; they start at 0."""

    def __init__(self, beta1: float, beta2: float, criterion: str = CRITERIA[0]):
        if criterion not in CRITERIA:
            raise UserError(f"criterion must be one of {', '.join(CRITERIA)}, not {criterion!r}.")
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise UserError(f"beta1 and beta2 must be from 0 to below 1: {beta1}, {beta2} given.")
        if beta1 == 0 and criterion == CRITERIA[0]:
            raise UserError("With beta1 = 0 nothing is uncertain, so every score is 0.")
        self.beta1, self.beta2, self.criterion = beta1, beta2, criterion
        self.averages: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def update(self, parameters: dict[str, torch.Tensor]) -> None:
        """Take in one step's gradients. A parameter without one was of no importance in it."""
        for name, weight in parameters.items():
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            now = (weight.float() * gradient.float()).abs()  # I
            mean = self.update_average(f"{name}.sensitivity", self.beta1, now)
            self.update_average(f"{name}.uncertainty", self.beta2, (now - mean).abs())

    def update_average(self, key: str, beta: float, now: torch.Tensor) -> torch.Tensor:
        """The moving average `key` after one more step."""
        self.averages[key] = beta * self.averages.get(key, 0.0) + (1 - beta) * now
        return self.averages[key]

    def take(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Take over the averages in a training state; returns what else there is."""
        self.averages = {name: state[name].clone() for name in state if name.endswith(AVERAGES)}
        return {name: state[name] for name in state if name not in self.averages}

    def score(self, name: str) -> torch.Tensor:
        """s(w) of every entry of a parameter, in its shape."""
        I_mean, U_mean = (self.averages[name + average] for average in AVERAGES)
        return I_mean if self.criterion == "sensitivity" else I_mean * U_mean

    def triplet_scores(self, path: str, layer: nn.Module) -> torch.Tensor:
        """S_i of each triplet of the layer at `path`, (rank,)."""
        if self.criterion == "magnitude":
            return layer.lam.detach().float().abs()
        lam, P, Q = (self.score(f"{path}.{name}") for name in ("lam", "P", "Q"))
        return lam + P.mean(0) + Q.mean(1)


def keep_best(layers: Layers, importance: Importance, budget: int) -> None:
    """Set `kept`, (rank,) bool, of each (path, layer): the `budget` best triplets of them all."""
    scores = [importance.triplet_scores(path, layer) for path, layer in layers]
    kept = torch.zeros(sum(map(len, scores)), dtype=torch.bool, device=scores[0].device)
    kept[torch.cat(scores).topk(budget).indices] = True  # exactly so many, even of equal scores
    parts = kept.split([len(score) for score in scores])
    for (_, layer), part in zip(layers, parts, strict=True):
        layer.kept.copy_(part)


def choice(layers: Layers) -> dict[str, torch.Tensor]:
    """Which triplets are kept, by the names that a training state gives them."""
    return {f"{path}.kept": layer.kept for path, layer in layers}


def alive(layer: nn.Module) -> torch.Tensor:
    """Which triplets act, (rank,) bool: all before the first pruning, later those with a lam."""
    return layer.kept if layer.kept.all() else layer.lam != 0


def without_pruned(layers: Layers) -> dict[str, torch.Tensor]:
    """What a file keeps of each (path, layer): lam, (rank,), and P and Q of what is alive."""
    state = {}
    for path, layer in layers:
        here = slice(None) if layer.P.is_meta else alive(layer)  # a hollow model has no lam
        state[f"{path}.P"] = layer.P.detach()[:, here].clone()  # (out, alive)
        state[f"{path}.lam"] = layer.lam.detach().clone()
        state[f"{path}.Q"] = layer.Q.detach()[here].clone()  # (alive, in)
    return state


def with_pruned(layers: Layers, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A file's state, with pruned vectors as the layers have them; what does not fit stays so."""
    full = dict(state)
    for path, layer in layers:
        P, lam, Q = (state.get(f"{path}.{name}", torch.empty(0)) for name in ("P", "lam", "Q"))
        here = lam.nonzero().flatten().to(layer.P.device)  # (alive,)
        stored = (len(layer.P), len(here)), layer.lam.shape, (len(here), layer.Q.shape[1])
        if (P.shape, lam.shape, Q.shape) == stored:
            full[f"{path}.P"] = layer.P.detach().index_copy(1, here, P.to(layer.P))
            full[f"{path}.Q"] = layer.Q.detach().index_copy(0, here, Q.to(layer.Q))
    return full
