"""ChatGLM-6B, for planning only: LayerNorm, biases, and query, key and value from one matrix, `query_key_value`.

Left out, because it takes no memory of its own: two dimensions of rotary positions where one stands here, attention to
the whole source, and factors on the residual stream. The head is counted as tied to the embedding.
Source: Du et al. 2022 (GLM), arXiv:2103.10360; the sizes are those of the released ChatGLM-6B.
"""

import torch
from torch import nn

from minipeft.transformer.feed_forward import FeedForward
from minipeft.transformer.llama import Llama, LlamaConfig, RotaryAttention
from minipeft.transformer.positions import rotate


class FusedAttention(RotaryAttention):
    """Rotary attention whose queries, keys and values come out of one matrix, (3 hidden, hidden)."""

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        del self.query, self.key, self.value, self.output
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def project(
        self, hidden: torch.Tensor, context=None, cache=None, rotation=None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, key, value = map(self.split_heads, self.query_key_value(hidden).chunk(3, dim=-1))
        return rotate(query, *rotation), rotate(key, *rotation), value  # (batch, heads, length, head) each


class ChatGLM(Llama):
    """A Llama with other parts in it. Its weights mean nothing: they are whatever PyTorch starts with."""

    def __init__(self, config: LlamaConfig):
        super().__init__(config)
        for block in self.decoder.blocks:
            block.attention_norm = nn.LayerNorm(config.hidden_size, config.epsilon)
            block.attention = FusedAttention(config)
            block.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.epsilon)
            block.feed_forward = FeedForward(config.hidden_size, config.feed_forward_size, "gelu", bias=True)
        self.decoder.norm = nn.LayerNorm(config.hidden_size, config.epsilon)
