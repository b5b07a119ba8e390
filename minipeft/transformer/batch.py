"""Token ids in, token ids out: the one shape of data that all model families take."""

from dataclasses import dataclass

import torch


@dataclass
class Batch:
    """`batch` pairs of texts as token ids, padded at the end of each row.

    source, source_mask: (batch, source_length), the text to read; the mask is True on real tokens.
    target, target_mask: (batch, target_length), the text to write, end-of-sequence included. Absent for generation.
    """

    source: torch.Tensor
    source_mask: torch.Tensor
    target: torch.Tensor | None = None
    target_mask: torch.Tensor | None = None

    def to(self, device) -> "Batch":
        """The same batch on `device`."""
        fields = (self.source, self.source_mask, self.target, self.target_mask)
        return Batch(*(None if field is None else field.to(device) for field in fields))

    def answer_places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and column of every real target token, (tokens,) each."""
        return self.target_mask.nonzero(as_tuple=True)

    def __len__(self) -> int:
        return len(self.source)


def pad(rows: list[list[int]], padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of unequal length as one (rows, longest) tensor, padded at the end, and the mask of what is real."""
    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [padding] * (length - len(row)) for row in rows], dtype=torch.long)
    mask = torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None]
    return ids, mask
