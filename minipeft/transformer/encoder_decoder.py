"""T5: an encoder that reads, a decoder that writes.

Version 1.1 unless the configuration says otherwise: RMSNorm before each sublayer, relative position buckets shared by
the layers of a stack, attention without 1/sqrt(head) and without biases, gated GELU, input and output embedding apart.
Source: Raffel et al. 2019, arXiv:1910.10683, and its released code.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from minipeft.transformer.attention import Attention, KeyValueCache
from minipeft.transformer.batch import Batch
from minipeft.transformer.feed_forward import FeedForward, GatedFeedForward
from minipeft.transformer.generation import DecodingState
from minipeft.transformer.language_model import LanguageModel
from minipeft.transformer.normalization import RMSNorm
from minipeft.transformer.positions import RelativePositionBias, causal_mask, mask_bias


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """Sizes of a T5. `head_size * heads` need not equal `hidden_size`. T5 1.0: activation "relu", gated False, tied.

    rescaled: the head reads hidden / sqrt(hidden_size); None: where it is tied to the embedding, as in T5 1.0.
    """

    vocabulary_size: int
    hidden_size: int
    heads: int
    head_size: int
    feed_forward_size: int
    encoder_layers: int
    decoder_layers: int
    activation: str = "gelu"
    gated: bool = True
    tied_head: bool = False
    rescaled: bool | None = None
    relative_buckets: int = 32
    relative_max_distance: int = 128
    dropout: float = 0.0
    epsilon: float = 1e-6
    pad: int = 0
    eos: int = 1
    start: int = 0

    def __post_init__(self):
        if self.rescaled is None:
            object.__setattr__(self, "rescaled", self.tied_head)


class Block(nn.Module):
    """One layer of a stack: normalise, sublayer, add; the decoder's layers also look at the encoder's output."""

    def __init__(self, config: EncoderDecoderConfig, decoder: bool):
        super().__init__()
        size, c = config.hidden_size, config
        self.attention_norm = RMSNorm(size, c.epsilon)
        self.attention = Attention(size, c.heads, c.head_size, dropout=c.dropout)
        if decoder:
            self.cross_attention_norm = RMSNorm(size, c.epsilon)
            self.cross_attention = Attention(size, c.heads, c.head_size, dropout=c.dropout)
        self.feed_forward_norm = RMSNorm(size, c.epsilon)
        if c.gated:
            self.feed_forward = GatedFeedForward(size, c.feed_forward_size, c.activation, c.dropout)
        else:
            self.feed_forward = FeedForward(size, c.feed_forward_size, c.activation, bias=False, dropout=c.dropout)
        self.dropout = nn.Dropout(c.dropout)

    def forward(
        self,
        hidden: torch.Tensor,
        bias: torch.Tensor,
        context: torch.Tensor | None = None,
        context_bias: torch.Tensor | None = None,
        caches: list[KeyValueCache] | None = None,
    ) -> torch.Tensor:
        """hidden: (batch, length, hidden); context: (batch, source, hidden); the biases are added to the scores."""
        own, cross = caches if caches is not None else (None, None)
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), bias=bias, cache=own))
        if context is not None:
            normed = self.cross_attention_norm(hidden)
            hidden = hidden + self.dropout(self.cross_attention(normed, context, bias=context_bias, cache=cross))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class Stack(nn.Module):
    """Blocks that share one table of relative positions, with a final norm. The encoder, or the decoder."""

    def __init__(self, config: EncoderDecoderConfig, decoder: bool):
        super().__init__()
        layers = config.decoder_layers if decoder else config.encoder_layers
        self.positions = RelativePositionBias(
            config.heads, config.relative_buckets, config.relative_max_distance, bidirectional=not decoder
        )
        self.blocks = nn.ModuleList(Block(config, decoder) for _ in range(layers))
        self.norm = RMSNorm(config.hidden_size, config.epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.causal = decoder
        self.gradient_checkpointing = False

    def forward(
        self,
        vectors: torch.Tensor,
        mask: torch.Tensor,
        context: torch.Tensor | None = None,
        context_mask: torch.Tensor | None = None,
        caches: list[list[KeyValueCache]] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """vectors: (batch, length, hidden), the new positions; mask: (batch, seen), old and new positions.

        Returns the hidden states of the new positions and the mask that goes with all seen ones.
        """
        length, seen = vectors.shape[1], mask.shape[1]
        allowed = mask[:, None, None, :]  # (batch, 1, 1, seen)
        if self.causal:
            allowed = allowed & causal_mask(length, seen, mask.device)  # (batch, 1, length, seen)
        bias = self.positions(length, seen) + mask_bias(allowed, vectors.dtype)  # (batch, heads, length, seen)
        context_bias = None if context is None else mask_bias(context_mask[:, None, None, :], vectors.dtype)
        hidden = self.dropout(vectors)
        for number, block in enumerate(self.blocks):
            if self.gradient_checkpointing and torch.is_grad_enabled() and caches is None:
                hidden = checkpoint(block, hidden, bias, context, context_bias, use_reentrant=False)
            else:
                hidden = block(hidden, bias, context, context_bias, caches and caches[number])
        return self.dropout(self.norm(hidden)), mask


class EncoderDecoder(LanguageModel):
    """T5 v1.1 (or 1.0). `embedding`, `encoder`, `decoder` and `head` are the places where a method can act."""

    reading_stack = "encoder"

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.config = config
        self.source_suffix = (config.eos,)
        self.embedding = nn.Embedding(config.vocabulary_size, config.hidden_size)
        self.encoder = Stack(config, decoder=False)
        self.decoder = Stack(config, decoder=True)
        self.head = nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)
        self.apply(self.initialise)
        nn.init.normal_(self.head.weight)  # v1.1: its own table, standard deviation 1
        if config.tied_head:
            self.head.weight = self.embedding.weight

    def initialise(self, module: nn.Module) -> None:
        """T5's standard deviations: chosen so that attention scores start near unit size without 1/sqrt(head)."""
        c = self.config
        if isinstance(module, Attention):
            nn.init.normal_(module.query.weight, std=(c.hidden_size * c.head_size) ** -0.5)
            nn.init.normal_(module.key.weight, std=c.hidden_size**-0.5)
            nn.init.normal_(module.value.weight, std=c.hidden_size**-0.5)
            nn.init.normal_(module.output.weight, std=(c.heads * c.head_size) ** -0.5)
        elif isinstance(module, GatedFeedForward | FeedForward):
            for linear in module.children():
                if isinstance(linear, nn.Linear):
                    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        elif isinstance(module, RelativePositionBias):
            nn.init.normal_(module.table.weight, std=c.hidden_size**-0.5)
        elif module is self.embedding:
            nn.init.normal_(module.weight)

    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The encoder's output (batch, source, hidden) and its mask; a method may have made both longer."""
        return self.encoder(self.embedding(batch.source), batch.source_mask)

    def source_states(self, batch: Batch) -> torch.Tensor:
        context, _ = self.encode(batch)
        return context[:, -batch.source.shape[1] :]

    def answer_states(self, batch: Batch) -> torch.Tensor:
        context, context_mask = self.encode(batch)
        start = torch.full_like(batch.target[:, :1], self.config.start)
        # (batch, target) each: the decoder reads the target one step late
        ids = torch.cat([start, batch.target[:, :-1]], dim=1)
        mask = torch.cat([torch.ones_like(batch.target_mask[:, :1]), batch.target_mask[:, :-1]], dim=1)
        hidden, _ = self.decoder(self.embedding(ids), mask, context, context_mask)
        return self.rescale(hidden[:, -ids.shape[1] :])

    def rescale(self, hidden: torch.Tensor) -> torch.Tensor:
        """T5 1.0's head reads hidden / sqrt(hidden_size); that of v1.1 reads hidden as it is."""
        return hidden * self.config.hidden_size**-0.5 if self.config.rescaled else hidden

    def prefill(self, batch: Batch) -> tuple[torch.Tensor, DecodingState]:
        context, context_mask = self.encode(batch)
        caches = [[KeyValueCache(), KeyValueCache()] for _ in self.decoder.blocks]
        state = DecodingState(batch.source_mask[:, :0], caches, context, context_mask)
        start = torch.full_like(batch.source[:, :1], self.config.start)
        return self.step(start, torch.ones_like(start, dtype=torch.bool), state)[:, 0], state

    def step(self, ids: torch.Tensor, mask: torch.Tensor, state: DecodingState) -> torch.Tensor:
        state.mask = torch.cat([state.mask, mask], dim=1)
        vectors = self.embedding(ids)
        hidden, _ = self.decoder(vectors, state.mask, state.context, state.context_mask, caches=state.caches)
        return self.head(self.rescale(hidden[:, -ids.shape[1] :]))
