"""LLaMA, for planning only: GPT-2's frame with rotary positions, RMSNorm, a gated feed-forward layer and no biases.

    q_i, k_j -> R_i q_i, R_j k_j        R_i turns each pair of a head's numbers by i angles of its own speed

A score then depends on the distance i - j alone, and no table of positions is needed.
Sources: Touvron et al. 2023, arXiv:2302.13971; Su et al. 2021, arXiv:2104.09864 (rotary positions).
"""

import torch
from torch import nn

from minipeft.transformer.attention import Attention
from minipeft.transformer.decoder_only import Block, CausalStack, DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.feed_forward import GatedFeedForward
from minipeft.transformer.normalization import RMSNorm


def rotate(x: torch.Tensor) -> torch.Tensor:
    """(batch, heads, length, head), each pair of numbers of position i turned by i times its speed."""
    length, half = x.shape[2], x.shape[3] // 2
    speeds = 10000 ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(length, device=x.device)[:, None] * speeds  # (length, half)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    left, right = x.chunk(2, dim=-1)  # (batch, heads, length, half)
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)


class RotaryAttention(Attention):
    """Attention whose queries and keys are turned by their positions; for whole texts, without a cache."""

    def project(
        self, hidden: torch.Tensor, context=None, cache=None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, key, value = super().project(hidden, context, cache)
        return rotate(query), rotate(key), value


class NoPositions(nn.Module):
    """What stands for a table of positions where there is none; `room` tokens are read all the same."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def forward(self, mask: torch.Tensor, length: int) -> float:
        return 0.0


class PlannedBlock(Block):
    """GPT-2's layer, its forward pass unchanged, with other parts in it."""

    def __init__(self, norm: type[nn.Module], attention: nn.Module, feed_forward: nn.Module, config: DecoderOnlyConfig):
        nn.Module.__init__(self)
        self.attention_norm, self.attention = norm(config.hidden_size, config.epsilon), attention
        self.feed_forward_norm, self.feed_forward = norm(config.hidden_size, config.epsilon), feed_forward
        self.dropout = nn.Dropout(config.dropout)


class PlannedStack(CausalStack):
    """GPT-2's stack, its forward pass unchanged, of these blocks and without a table of positions."""

    def __init__(self, blocks: list[Block], norm: nn.Module, config: DecoderOnlyConfig):
        nn.Module.__init__(self)
        self.positions, self.blocks, self.norm = NoPositions(config.max_length), nn.ModuleList(blocks), norm
        self.dropout = nn.Dropout(config.dropout)
        self.gradient_checkpointing = False


class LLaMA(DecoderOnly):
    """Its weights mean nothing: they are whatever PyTorch starts with."""

    def __init__(self, config: DecoderOnlyConfig):
        nn.Module.__init__(self)
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        blocks = [self.new_block(config) for _ in range(config.layers)]
        self.decoder = PlannedStack(blocks, RMSNorm(config.hidden_size, config.epsilon), config)
        self.head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)

    @staticmethod
    def new_block(config: DecoderOnlyConfig) -> PlannedBlock:
        size, head_size = config.hidden_size, config.hidden_size // config.heads
        attention = RotaryAttention(size, config.heads, head_size, scale=head_size**-0.5, dropout=config.dropout)
        feed_forward = GatedFeedForward(size, config.feed_forward_size)
        feed_forward.activation = nn.SiLU()
        return PlannedBlock(RMSNorm, attention, feed_forward, config)
