"""What a reader takes out of an adapter's folder: a method of ours, its hyper-parameters, its parameters."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from minipeft.methods.method import Method


def nothing_more(method: Method) -> None:
    """Most files say everything by their shapes."""


@dataclass(frozen=True)
class Found:
    """`kind(**told)`, attached with `state`, computes what peft does; `check` looks at it once it is attached."""

    kind: type[Method]
    told: dict[str, Any]
    state: dict[str, torch.Tensor]
    check: Callable[[Method], None] = nothing_more


def commonest(values: Iterable[Any]) -> Any:
    """The value that occurs most often; of equally frequent ones the first."""
    return Counter(values).most_common(1)[0][0]


def rounded(value: float) -> float:
    """A number without the last bits that multiplying and dividing leave: 5.0 for 5.000000000000001."""
    return float(f"{value:.15g}")
