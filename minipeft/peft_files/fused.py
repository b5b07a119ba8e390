"""Low-rank updates of layers that stand apart here and are one layer there: GPT-2's query, key and value in `c_attn`.

The fused layer's outputs are those of its parts, one below the other, and they read the same x:

    W = [W_q; W_k; W_v]        W + s B A,  B = [B_q; B_k; B_v]:  each part has all of A and its own rows of B

That is how a fused update is read, exactly. To write three updates, each with an A of its own, takes blocks:

    A = [A_q; A_k; A_v]: (3 rank, in)        B = [B_q 0 0; 0 B_k 0; 0 0 B_v]: (3 out, 3 rank)        or
    A = A_q, B = [B_q; B_k; B_v]             where A_q = A_k = A_v, as in what was read from a fused layer

A part without an update has rows of zeros. Blocks are known again when they are read, by columns of B that are zero in
all parts but one, so that a file of ours comes back with the ranks that it had.
"""

from collections.abc import Sequence

import torch

Factors = tuple[torch.Tensor, torch.Tensor]  # A: (rank, in)   B: (out, rank)


def fuse(parts: Sequence[Factors | None], outputs: Sequence[int]) -> Factors:
    """A and B of the layer whose parts have these factors, None for one without an update."""
    present = [part for part in parts if part is not None]
    A = present[0][0]
    if all(A.shape == other.shape and torch.equal(A, other) for other, _ in present):
        rows = [A.new_zeros(out, len(A)) if part is None else part[1] for part, out in zip(parts, outputs, strict=True)]
        return A, torch.cat(rows)
    rows, start = [], 0
    rank = sum(len(A) for A, _ in present)
    for part, out in zip(parts, outputs, strict=True):
        block = A.new_zeros(out, rank)
        if part is not None:
            width = part[1].shape[1]
            block[:, start : start + width] = part[1]
            start += width
        rows.append(block)
    return torch.cat([A for A, _ in present]), torch.cat(rows)


def split(A: torch.Tensor, B: torch.Tensor, outputs: Sequence[int]) -> list[Factors | None]:
    """The factors of each part of a layer; None for a part that blocks leave without any."""
    rows = B.split(list(outputs))  # (out, rank) each
    used = torch.stack([(part != 0).any(0) for part in rows])  # (parts, rank)
    blocks = len(rows) > 1 and bool(used.any()) and int(used.sum(0).max()) == 1
    if not blocks:
        return [(A, part) for part in rows]
    return [(A[own], part[:, own]) if own.any() else None for part, own in zip(rows, used, strict=True)]
