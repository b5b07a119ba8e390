"""What GPT-2 and Llama share: one stack reads the source, and goes on writing the answer behind it.

Padding stands in front, so that the answer follows the last token of the source; the mask hides it, and positions do
not count it.
"""

import torch

from minipeft.transformer.attention import KeyValueCache
from minipeft.transformer.batch import Batch
from minipeft.transformer.generation import DecodingState
from minipeft.transformer.language_model import LanguageModel


class CausalModel(LanguageModel):
    """A family adds `embedding`, `decoder` (a stack with `blocks`) and `head`."""

    reading_stack = "decoder"

    def answer_states(self, batch: Batch) -> torch.Tensor:
        source, source_mask = pad_left(batch.source, batch.source_mask)
        ids = torch.cat([source, batch.target], dim=1)
        mask = torch.cat([source_mask, batch.target_mask], dim=1)  # (batch, source + target)
        hidden, _ = self.decoder(self.embedding(ids), mask)
        # Each target token is predicted one position before it stands; a prompt only makes the front longer.
        return hidden[:, -batch.target.shape[1] - 1 : -1]

    def source_states(self, batch: Batch) -> torch.Tensor:
        # Padding may stand behind: nothing that is real looks at what comes later.
        hidden, _ = self.decoder(self.embedding(batch.source), batch.source_mask)
        return hidden[:, -batch.source.shape[1] :]

    def prefill(self, batch: Batch) -> tuple[torch.Tensor, DecodingState]:
        source, source_mask = pad_left(batch.source, batch.source_mask)
        state = DecodingState(source_mask[:, :0], [[KeyValueCache()] for _ in self.decoder.blocks])
        return self.head(self.read(source, source_mask, state)[:, -1]), state

    def step(self, ids: torch.Tensor, mask: torch.Tensor, state: DecodingState) -> torch.Tensor:
        return self.head(self.read(ids, mask, state))

    def read(self, ids: torch.Tensor, mask: torch.Tensor, state: DecodingState) -> torch.Tensor:
        """The hidden states (batch, n, hidden) of n more tokens."""
        state.mask = torch.cat([state.mask, mask], dim=1)
        hidden, _ = self.decoder(self.embedding(ids), state.mask, caches=state.caches)
        return hidden[:, -ids.shape[1] :]


def pad_left(ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move the padding of each row from its end to its front, so that the answer follows the last real token."""
    order = mask.long().argsort(dim=1, stable=True)  # padding first, then the tokens in their order
    return ids.gather(1, order), mask.gather(1, order)
