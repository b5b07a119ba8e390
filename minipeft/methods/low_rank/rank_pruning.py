"""Pruning updates P diag(lam) Q while they are trained, and what is stored of them: lam, and the vectors left.

Where lam is 0 the vectors do nothing, so they are left out of a file, and the zeros in lam say where they stood. Loaded
on a fresh base the others take their old places, so the outputs are the same bit for bit. As long as nothing of a layer
is pruned all of it is stored: at the start every lam is 0.
"""

import torch
from torch import Tensor, nn

from minipeft.methods.low_rank.additive import AdditiveMethod
from minipeft.methods.low_rank.rank_budget import Importance, Schedule, keep_best
from minipeft.methods.strict_loading import load_strictly

AVERAGES = (".sensitivity", ".uncertainty")


class RankPruning(AdditiveMethod):
    """A method whose layers have P: (out, rank), values: (rank,), Q: (rank, in) and kept: (rank,) bool."""

    rank: int
    target_rank: int
    schedule: Schedule
    importance: Importance

    def after_backward(self, step: int, total: int) -> None:
        if not self.settled(step, total):
            self.importance.update(self.named_parameters())

    @torch.no_grad()
    def after_step(self, step: int, total: int) -> None:
        done, layers = step + 1, self.layers()
        prunes = self.schedule.prunes(done, total)
        if prunes:
            budget = self.schedule.budget(done, total, self.rank * len(layers), self.target_rank * len(layers))
            keep_best(layers, self.importance, budget)
        if prunes or self.settled(done, total):
            for _, layer in layers:
                layer.values.masked_fill_(~layer.kept, 0.0)

    def settled(self, step: int, total: int) -> bool:
        return step >= self.schedule.phases(total)[1]

    def left(self, layer: nn.Module) -> Tensor:
        """Which triplets of a layer act, (rank,) bool: all before the first pruning, later those with a lam."""
        return layer.kept if layer.kept.all() else layer.values != 0

    def ranks(self) -> dict[str, int]:
        """How many triplets are left in each layer, by its path."""
        return {path: int(self.left(layer).sum()) for path, layer in self.layers()}

    def stored_count(self) -> int:
        return sum(tensor.numel() for tensor in self.state_dict().values())

    def state_dict(self) -> dict[str, Tensor]:
        state = {}
        for path, layer in self.layers():
            left = slice(None) if layer.P.is_meta else self.left(layer)  # a hollow model has no lam to go by
            state[f"{path}.P"] = layer.P.detach()[:, left].clone()  # (out, left)
            state[f"{path}.values"] = layer.values.detach().clone()  # (rank,), zeros too
            state[f"{path}.Q"] = layer.Q.detach()[left].clone()  # (left, in)
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        full, places = dict(state), []
        for path, layer in self.layers():
            parts = [state.get(f"{path}.{name}") for name in ("P", "values", "Q")]
            place = torch.ones_like(layer.kept)
            if all(part is not None for part in parts) and parts[1].shape == layer.values.shape:
                left = parts[1].nonzero().flatten().to(layer.P.device)  # which triplets P and Q are of
                P, _, Q = (part.to(layer.P) for part in parts)
                if P.shape == (len(layer.P), len(left)) and Q.shape == (len(left), layer.Q.shape[1]):
                    place = torch.zeros_like(layer.kept).index_fill(0, left, True)
                    full[f"{path}.P"] = layer.P.detach().index_copy(1, left, P)
                    full[f"{path}.Q"] = layer.Q.detach().index_copy(0, left, Q)
            places.append(place)
        load_strictly(self.named_parameters(), full, self.name)
        for (_, layer), place in zip(self.layers(), places, strict=True):
            layer.kept.copy_(place)

    def training_state(self) -> dict[str, Tensor]:
        """All triplets, the choice, and the moving averages that the next choice rests on."""
        kept = {f"{path}.kept": layer.kept for path, layer in self.layers()}
        everything = self.named_parameters() | kept | self.importance.averages
        return {name: tensor.detach().clone() for name, tensor in everything.items()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        own = self.named_parameters() | {f"{path}.kept": layer.kept for path, layer in self.layers()}
        load_strictly(own, {name: tensor for name, tensor in state.items() if not name.endswith(AVERAGES)}, self.name)
        self.importance.averages = {name: state[name].clone() for name in state if name.endswith(AVERAGES)}
