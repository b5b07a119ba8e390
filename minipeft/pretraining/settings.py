"""Everything that decides the weights of a pretraining run."""

from dataclasses import dataclass, field

from minipeft.errors import UserError
from minipeft.pretraining.batches import OBJECTIVES, TextStream
from minipeft.pretraining.sizes import SIZES
from minipeft.transformer.encoder_decoder import EncoderDecoderConfig


@dataclass(frozen=True)
class PretrainSettings:
    """One run: which model, which text, how fast.

    tokens: how many tokens of text to read. learning_rate: relative to each weight's size for T5 (Adafactor, 0.05 if
    not given), absolute for GPT-2 (AdamW, 0.002 if not given). It rises over `warmup` steps, stays, and falls to zero
    over the last `decay` share of the tokens. start_from: the folder of a checkpoint to go on from. keep_at: steps at
    which a checkpoint is kept beside the folder, as `<folder>-step<n>`. Raises UserError for an unknown size or
    objective.
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
    evaluate_every: int = 250
    save_every: int = 500

    def __post_init__(self):
        if self.size not in SIZES:
            raise UserError(f"There is no size {self.size!r}; choose one of {', '.join(SIZES)}.")
        if self.text.objective not in OBJECTIVES:
            raise UserError(f"There is no objective {self.text.objective!r}; choose one of {', '.join(OBJECTIVES)}.")

    def rate(self, step: int, tokens: int) -> float:
        """The learning rate of step number `step` (from 0), with `tokens` read before it."""
        left = max(1 - tokens / self.tokens, 0.0)
        peak = self.learning_rate
        if peak is None:
            peak = 0.05 if isinstance(SIZES[self.size], EncoderDecoderConfig) else 0.002
        return peak * min(1.0, (step + 1) / self.warmup) * min(1.0, left / self.decay)
