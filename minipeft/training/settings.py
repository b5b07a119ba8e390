"""What a training run is told, and what it tells in the end."""

import math
from dataclasses import dataclass, field, replace

from minipeft.errors import UserError
from minipeft.ranges import COUNT, NOT_NEGATIVE, POSITIVE, SEED, Range, check
from minipeft.training.optimizers import OPTIMIZERS
from minipeft.training.schedules import SCHEDULES

RANGES = {  # outside of them nothing can be learned
    "steps": COUNT,
    "batch_size": COUNT,
    "evaluate_every": COUNT,
    "max_source_length": COUNT,
    "patience": replace(COUNT, none="to train to the end"),
    "learning_rate": replace(POSITIVE, none="for the method's own"),
    "warmup": Range(float, lambda share: 0 <= share < 1, "a share of the steps, from 0 to below 1"),
    "weight_decay": NOT_NEGATIVE,
    "clip": replace(POSITIVE, none="for no clipping"),
    "seed": SEED,
}
NAMES = {"schedule": tuple(SCHEDULES), "optimizer": tuple(OPTIMIZERS), "dtype": ("float32", "bfloat16")}


@dataclass(frozen=True)
class TrainingSettings:
    """How to train. None for `learning_rate` and `optimizer` means the method's suggestion.

    schedule: how the rate goes on after the warm-up, by default down to 0, so that the last steps settle. warmup: share
    of the steps with a rising rate. clip: largest norm of all gradients together, None for no clipping.
    patience: evaluations without a better dev score after which training stops, None for never. dtype: "bfloat16"
    computes forward and backward in 16 bit (autocast), while trained weights and optimizer keep their own type.
    """

    steps: int = 400
    batch_size: int = 32
    learning_rate: float | None = None
    optimizer: str | None = None
    schedule: str = "linear"
    warmup: float = 0.05
    weight_decay: float = 0.0
    clip: float | None = 1.0
    evaluate_every: int = 100
    patience: int | None = None
    seed: int = 0
    dtype: str = "float32"
    max_source_length: int = 256

    def __post_init__(self):
        check(self, RANGES)
        for name, known in NAMES.items():
            value = getattr(self, name)
            if value not in known and not (name == "optimizer" and value is None):
                raise UserError(f"{name} {repr(value)[:80]} is unknown: choose one of {', '.join(known)}.")


@dataclass
class RunResult:
    """What came out of a run: scores in percent, losses in nats per token (one a step), times in seconds.

    dev_scores: (steps done, score) of every evaluation. bytes_per_step: what one process sent, 0 where there was one.
    """

    dev_scores: list[tuple[int, float]] = field(default_factory=list)
    best_dev: float = -math.inf
    best_step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds_per_step: float = 0.0
    trained_parameters: int = 0
    bytes_per_step: int = 0
