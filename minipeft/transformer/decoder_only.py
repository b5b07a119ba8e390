"""GPT-2: one stack that reads the source and goes on writing.

LayerNorm before each sublayer, learned absolute positions, GELU, biases everywhere, the head tied to the embedding
unless the configuration says otherwise.
Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", and its released code.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from minipeft.errors import UserError
from minipeft.transformer.attention import Attention, KeyValueCache
from minipeft.transformer.causal_model import CausalModel
from minipeft.transformer.feed_forward import FeedForward
from minipeft.transformer.positions import LearnedPositions, causal_bias, require_room


@dataclass(frozen=True)
class DecoderOnlyConfig:
    """Sizes of a GPT-2; the feed-forward layer is four times `hidden_size` unless said otherwise."""

    vocabulary_size: int
    hidden_size: int
    heads: int
    layers: int
    max_length: int = 256
    feed_forward_size: int = 0
    tied_head: bool = True
    dropout: float = 0.0
    epsilon: float = 1e-5
    pad: int = 0
    eos: int = 1

    def __post_init__(self):
        if self.hidden_size % self.heads:
            raise UserError(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}: change one.")
        if not self.feed_forward_size:
            object.__setattr__(self, "feed_forward_size", 4 * self.hidden_size)


class Block(nn.Module):
    """One layer: normalise, attend, add; normalise, feed forward, add."""

    def __init__(self, config: DecoderOnlyConfig):
        super().__init__()
        c, head_size = config, config.hidden_size // config.heads
        self.attention_norm = nn.LayerNorm(c.hidden_size, c.epsilon)
        self.attention = Attention(
            c.hidden_size, c.heads, head_size, bias=True, scale=head_size**-0.5, dropout=c.dropout
        )
        self.feed_forward_norm = nn.LayerNorm(c.hidden_size, c.epsilon)
        self.feed_forward = FeedForward(c.hidden_size, c.feed_forward_size, "gelu", bias=True)
        self.dropout = nn.Dropout(c.dropout)

    def forward(self, hidden: torch.Tensor, bias: torch.Tensor, cache: KeyValueCache | None = None) -> torch.Tensor:
        """hidden: (batch, length, hidden); bias: added to the scores."""
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), bias=bias, cache=cache))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class CausalStack(nn.Module):
    """Positions, blocks and the final norm."""

    def __init__(self, config: DecoderOnlyConfig):
        super().__init__()
        self.positions = LearnedPositions(config.max_length, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden_size, config.epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.gradient_checkpointing = False

    def forward(
        self, vectors: torch.Tensor, mask: torch.Tensor, caches: list[list[KeyValueCache]] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """vectors: (batch, length, hidden), the new positions; mask: (batch, seen), old and new positions.

        Returns the hidden states of the new positions and the mask that goes with all seen ones.
        """
        length = vectors.shape[1]
        require_room(mask, self.positions.room)
        bias = causal_bias(mask, length, vectors.dtype)  # (batch, 1, length, seen)
        hidden = self.dropout(vectors + self.positions(mask, length))
        for number, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled() and caches is None:
                hidden = checkpoint(block, hidden, bias, use_reentrant=False)
            else:
                hidden = block(hidden, bias, caches and caches[number][0])
        return self.norm(hidden), mask


class DecoderOnly(CausalModel):
    """GPT-2. `embedding`, `decoder` and `head` are the places where a method can act."""

    def __init__(self, config: DecoderOnlyConfig):
        super().__init__()
        self.config, self.max_positions = config, config.max_length
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.decoder = CausalStack(config)
        self.head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        if config.tied_head:
            self.head.weight = self.embedding.weight
        self.apply(self.initialise)
        for block in self.decoder.blocks:  # GPT-2 shrinks what enters the residual stream, by its number of additions
            for linear in (block.attention.output, block.feed_forward.down):
                nn.init.normal_(linear.weight, std=0.02 * (2 * config.layers) ** -0.5)

    @staticmethod
    def initialise(module: nn.Module) -> None:
        """GPT-2's: every matrix N(0, 0.02), every bias 0."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
