"""Llama: GPT-2's frame with rotary positions, RMSNorm, a gated feed-forward layer, and hardly a bias.

    h <- h + W_o concat(heads of attention(norm(h)))          h: (batch, length, hidden)
    h <- h + W_down (silu(W_gate norm(h)) * W_up norm(h))     W_gate, W_up: (inner, hidden)   W_down: (hidden, inner)
    scores_ij = (R_i q_i) . (R_j k_j) / sqrt(head)            R_i: turns each pair of a head's numbers by i angles

A score depends on the distance i - j alone, and no table of positions is needed. Keys and values may have fewer heads
than queries (grouped queries). Mistral is the same model; Qwen2 has biases on query, key and value; Qwen3 normalises
each head of query and key before it is turned. `head_size * heads` need not equal `hidden_size`.
Sources: Touvron et al. 2023, arXiv:2302.13971 (Llama); Su et al. 2021, arXiv:2104.09864 (rotary positions); Ainslie et
al. 2023, arXiv:2305.13245 (grouped queries); Shazeer 2020, arXiv:2002.05202 (gated units).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from minipeft.errors import UserError
from minipeft.transformer.attention import Attention, KeyValueCache
from minipeft.transformer.causal_model import CausalModel
from minipeft.transformer.feed_forward import GatedFeedForward
from minipeft.transformer.normalization import RMSNorm
from minipeft.transformer.positions import RotaryPositions, causal_bias, require_room, rotate


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes of a Llama, a Mistral, a Qwen2 or a Qwen3.

    key_value_heads: 0 for as many as `heads`. head_size: 0 for hidden_size / heads. dropout: of attention's weights;
    Llama has no other. query_key_value_bias: as Qwen2. query_key_norm: as Qwen3. rope_scaling: as Llama 3.1, (factor,
    low, high, length) of RotaryPositions.
    """

    vocabulary_size: int
    hidden_size: int
    heads: int
    layers: int
    feed_forward_size: int
    max_length: int = 256
    key_value_heads: int = 0
    head_size: int = 0
    rope_theta: float = 10000.0
    rope_scaling: tuple[float, ...] = ()
    query_key_value_bias: bool = False
    query_key_norm: bool = False
    tied_head: bool = False
    dropout: float = 0.0
    epsilon: float = 1e-6
    pad: int = 0
    eos: int = 1

    def __post_init__(self):
        object.__setattr__(self, "rope_scaling", tuple(self.rope_scaling))  # a list, where it was read from a file
        if not self.key_value_heads:
            object.__setattr__(self, "key_value_heads", self.heads)
        if self.heads % self.key_value_heads:
            raise UserError(f"heads {self.heads} is not a multiple of key_value_heads {self.key_value_heads}.")
        if not self.head_size:
            if self.hidden_size % self.heads:
                raise UserError(
                    f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}: give head_size."
                )
            object.__setattr__(self, "head_size", self.hidden_size // self.heads)
        if self.head_size % 2:
            raise UserError(f"head_size {self.head_size} is odd: rotary positions turn pairs of numbers.")


class RotaryAttention(Attention):
    """Attention whose queries and keys are turned by their positions; the cache holds keys that are turned."""

    def __init__(self, config: LlamaConfig):
        c = config
        super().__init__(
            c.hidden_size,
            c.heads,
            c.head_size,
            key_value_heads=c.key_value_heads,
            bias=c.query_key_value_bias,
            scale=c.head_size**-0.5,
            dropout=c.dropout,
        )
        self.output = nn.Linear(c.heads * c.head_size, c.hidden_size, bias=False)
        self.query_norm = RMSNorm(c.head_size, c.epsilon) if c.query_key_norm else nn.Identity()
        self.key_norm = RMSNorm(c.head_size, c.epsilon) if c.query_key_norm else nn.Identity()

    def forward(
        self,
        hidden: torch.Tensor,
        context: None = None,
        bias: torch.Tensor | None = None,
        cache: KeyValueCache | None = None,
        rotation: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """hidden: (batch, length, hidden); rotation: cosine and sine, (batch, 1, length, head / 2) each."""
        query, key, value = self.project(hidden, context, cache, rotation)
        mixed = self.attend(query, key, value, bias)  # (batch, length, heads * head)
        return self.output(mixed)  # (batch, length, hidden)

    def project(
        self,
        hidden: torch.Tensor,
        context: None = None,
        cache: KeyValueCache | None = None,
        rotation: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries of `hidden`, keys and values of it and of what the cache holds, split into heads."""
        query = self.query_norm(self.split_heads(self.query(hidden)))  # (batch, heads, length, head)
        key = self.key_norm(self.split_heads(self.key(hidden)))  # (batch, key_value_heads, length, head)
        value = self.split_heads(self.value(hidden))
        query, key = rotate(query, *rotation), rotate(key, *rotation)
        if cache is not None:
            key, value = cache.append(key, value)
        return query, key, value


class Block(nn.Module):
    """One layer: normalise, attend, add; normalise, feed forward, add."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.epsilon)
        self.attention = RotaryAttention(config)
        self.feed_forward_norm = RMSNorm(config.hidden_size, config.epsilon)
        self.feed_forward = GatedFeedForward(config.hidden_size, config.feed_forward_size, "silu")

    def forward(
        self,
        hidden: torch.Tensor,
        bias: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """hidden: (batch, length, hidden); bias: added to the scores; rotation: that of its positions."""
        hidden = hidden + self.attention(self.attention_norm(hidden), bias=bias, cache=cache, rotation=rotation)
        return hidden + self.feed_forward(self.feed_forward_norm(hidden))


class Stack(nn.Module):
    """Blocks that read their positions as one rotation, and the final norm."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        c = config
        self.positions = RotaryPositions(c.max_length, c.head_size, c.rope_theta, c.rope_scaling)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden_size, config.epsilon)
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
        cosine, sine = self.positions(mask, length)  # (batch, 1, length, head / 2) each
        rotation = (cosine.to(vectors.dtype), sine.to(vectors.dtype))
        hidden = vectors
        for number, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled() and caches is None:
                hidden = checkpoint(block, hidden, bias, rotation, use_reentrant=False)
            else:
                hidden = block(hidden, bias, rotation, caches and caches[number][0])
        return self.norm(hidden), mask


class Llama(CausalModel):
    """Llama and its like. `embedding`, `decoder` and `head` are the places where a method can act."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config, self.max_positions = config, config.max_length
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.decoder = Stack(config)
        self.head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        if config.tied_head:
            self.head.weight = self.embedding.weight
        self.apply(self.initialise)

    @staticmethod
    def initialise(module: nn.Module) -> None:
        """Every matrix N(0, 0.02) as in the released code of `transformers`, every bias 0, every norm 1."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
