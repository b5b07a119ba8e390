"""ChatGLM-6B, for planning only: LayerNorm, biases, and query, key and value from one matrix, `query_key_value`.

Left out, because it takes no memory of its own: two dimensions of rotary positions where one stands here, attention to
the whole source, and factors on the residual stream. The head is counted as tied to the embedding.
Source: Du et al. 2022 (GLM), arXiv:2103.10360; the sizes are those of the released ChatGLM-6B.
"""

import torch
from torch import nn

from minipeft.memory.shapes.llama import PlannedBlock, PlannedStack, RotaryAttention, rotate
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.feed_forward import FeedForward


class FusedAttention(RotaryAttention):
    """Rotary attention whose queries, keys and values come out of one matrix, (3 hidden, hidden)."""

    def __init__(self, hidden_size: int, heads: int, dropout: float = 0.0):
        nn.Module.__init__(self)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.heads, self.head_size, self.scale = heads, hidden_size // heads, (hidden_size // heads) ** -0.5
        self.dropout, self.fused = nn.Dropout(dropout), False

    def project(
        self, hidden: torch.Tensor, context=None, cache=None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, key, value = map(self.split_heads, self.query_key_value(hidden).chunk(3, dim=-1))
        return rotate(query), rotate(key), value  # (batch, heads, length, head) each


class ChatGLM(DecoderOnly):
    """Its weights mean nothing: they are whatever PyTorch starts with."""

    def __init__(self, config: DecoderOnlyConfig):
        nn.Module.__init__(self)
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        blocks = [self.new_block(config) for _ in range(config.layers)]
        self.decoder = PlannedStack(blocks, nn.LayerNorm(config.hidden_size, config.epsilon), config)
        self.head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        self.head.weight = self.embedding.weight

    @staticmethod
    def new_block(config: DecoderOnlyConfig) -> PlannedBlock:
        attention = FusedAttention(config.hidden_size, config.heads, config.dropout)
        feed_forward = FeedForward(config.hidden_size, config.feed_forward_size, "gelu", bias=True)
        return PlannedBlock(nn.LayerNorm, attention, feed_forward, config)
