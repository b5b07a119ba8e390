"""Everything that decides the weights of a pretraining run."""

import math
from dataclasses import dataclass, field, replace

from minipeft.errors import UserError
from minipeft.pretraining.batches import CHUNK, OBJECTIVES, TextStream
from minipeft.pretraining.sizes import SIZES
from minipeft.ranges import COUNT, POSITIVE, SEED, Range, check, checked
from minipeft.tasks.making.corpus import VALIDATION_SEED
from minipeft.transformer.encoder_decoder import EncoderDecoderConfig

TEXT_RANGES = {
    "seed": SEED,
    "batch_size": Range(int, lambda texts: 1 <= texts <= CHUNK, f"from 1 to {CHUNK}, the documents prepared at a time"),
    "max_length": Range(int, lambda tokens: tokens >= 2, "at least 2, for a text is cut in two"),
    "noise_density": Range(float, lambda share: 0 < share < 1, "a share of the tokens, above 0 and below 1"),
    "mean_span": Range(float, lambda tokens: 1 <= tokens < math.inf, "at least 1 and finite"),
}
RANGES = {
    "tokens": COUNT,
    "learning_rate": replace(POSITIVE, none="for that of the size"),
    "warmup": COUNT,
    "decay": Range(float, lambda share: 0 < share <= 1, "a share of the tokens, above 0 and at most 1"),
    "seed": SEED,
    "evaluate_every": COUNT,
    "save_every": COUNT,
}
DTYPES = ("float32", "bfloat16")
WARMUP_SHARE = 0.1  # of the tokens, at most: else a short run would never reach its rate
ENDS = 2  # end-of-sequence of source and of target, beside the tokens of a text


@dataclass(frozen=True)
class PretrainSettings:
    """One run: which model, which text, how fast.

    tokens: how many tokens of text to read. learning_rate: relative to each weight's size for T5 (Adafactor, 0.05 if
    not given), absolute for GPT-2 (AdamW, 0.002 if not given). It rises over `warmup` steps, or over a tenth of the
    tokens where that is less, stays, and falls to zero over the last `decay` share of the tokens. start_from: the
    folder of a checkpoint to go on from. keep_at: steps at which a checkpoint is kept beside the folder, as
    `<folder>-step<n>`. dtype: "bfloat16" computes forward and backward
    in 16 bit (autocast; twice as fast on processors that know it, slower on others), while the weights keep 32; None:
    so on a GPU, and "float32" on a CPU. Raises UserError for what cannot be run.
    """

    size: str = "t5-1.7m"
    tokens: int = 20_000_000
    text: TextStream = field(default_factory=TextStream)
    learning_rate: float | None = None
    warmup: int = 100
    decay: float = 0.5
    seed: int = 0
    start_from: str | None = None
    keep_at: tuple[int, ...] = ()
    evaluate_every: int = 1000
    save_every: int = 500
    dtype: str | None = None

    def __post_init__(self):
        for what, name, known in (
            ("size", self.size, SIZES),
            ("objective", self.text.objective, OBJECTIVES),
            ("dtype", self.dtype or "float32", DTYPES),
        ):
            if type(name) is not str or name not in known:
                raise UserError(f"There is no {what} {repr(name)[:80]}; choose one of {', '.join(known)}.")
        check(self, RANGES)
        check(self.text, TEXT_RANGES)
        if self.text.seed == VALIDATION_SEED:
            raise UserError(f"The text's seed {VALIDATION_SEED} names the texts that are held out: choose another.")
        positions = getattr(SIZES[self.size], "max_length", math.inf)
        if self.text.max_length + ENDS > positions:
            raise UserError(f"A text's max_length must be at most {positions - ENDS} for {self.size}.")
        if not isinstance(self.keep_at, list | tuple):
            raise UserError(f"keep_at is {repr(self.keep_at)[:80]}: it must be a list of steps, as (100, 300).")
        steps = tuple(checked("a step of keep_at", step, COUNT) for step in self.keep_at)
        object.__setattr__(self, "keep_at", steps)
        if self.start_from is not None:
            object.__setattr__(self, "start_from", str(self.start_from))

    def rate(self, step: int, tokens: int) -> float:
        """The learning rate of step number `step` (from 0), with `tokens` read before it."""
        left = max(1 - tokens / self.tokens, 0.0)
        risen = max((step + 1) / self.warmup, tokens / (WARMUP_SHARE * self.tokens))
        return self.peak * min(1.0, risen) * min(1.0, left / self.decay)

    @property
    def peak(self) -> float:
        """The highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 0.05 if isinstance(SIZES[self.size], EncoderDecoderConfig) else 0.002
