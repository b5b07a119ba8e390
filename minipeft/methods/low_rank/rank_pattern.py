"""Another rank for some of the layers, by their names: {"value": 2, "decoder.blocks.0.*": 4}.

Test: tests/methods/low_rank/test_rank_pattern.py.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from minipeft.errors import UserError
from minipeft.methods.linear_method import linear_layers
from minipeft.methods.targets import matches


def ranks_of_layers(
    model: nn.Module, targets: Sequence[str], rank: int, rank_pattern: Mapping[str, int]
) -> dict[nn.Module, int]:
    """The rank of each linear layer that `targets` name; of several names of `rank_pattern` the
    last one counts.

    Raises UserError for a name that fits none of them: a pattern must not pass in silence.
    """
    layers = linear_layers(model, targets)
    ranks = {layer: rank for _, layer in layers}
    for pattern, other in rank_pattern.items():
        named = [layer for path, layer in layers if matches(path, pattern)]
        if not named:
            there = ", ".join(sorted({path.rpartition(".")[2] for path, _ in layers}))
            raise UserError(
                f"rank_pattern names {pattern!r}, and the targets no such layer; they name {there}."
            )
        ranks |= dict.fromkeys(named, other)
    return ranks
