"""One layer there, three here: the fused update is the parts' updates one below the other, whatever their ranks."""

import pytest
import torch

from minipeft.peft_files.fused import fuse, split

OUTPUTS = (4, 3, 5)


def factors(rank, out, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, 7, generator=generator), torch.randn(out, rank, generator=generator)


def updates(parts):
    """B A of each part, (out, 7), zeros for none: what the parts do without any fusing."""
    return [
        torch.zeros(out, 7) if part is None else part[1] @ part[0] for part, out in zip(parts, OUTPUTS, strict=True)
    ]


def made(ranks):
    """Parts of these ranks, with an A of their own each; None where the rank is None."""
    parts = enumerate(zip(ranks, OUTPUTS, strict=True))
    return [None if rank is None else factors(rank, out, seed) for seed, (rank, out) in parts]


@pytest.mark.parametrize("ranks", [(2, 2, 2), (1, 3, 2), (2, None, 3), (None, None, 2), (0, 2, 1)])
def test_the_fused_update_is_that_of_the_parts_and_splits_into_them_again(ranks):
    parts = made(ranks)
    A, B = fuse(parts, OUTPUTS)
    assert len(A) == B.shape[1] == sum(rank or 0 for rank in ranks)
    torch.testing.assert_close(B @ A, torch.cat(updates(parts)))
    for part, again in zip(parts, split(A, B, OUTPUTS), strict=True):
        if part is None or not len(part[0]):
            assert again is None
        else:
            assert torch.equal(part[0], again[0]) and torch.equal(part[1], again[1])


@pytest.mark.parametrize("present", [(True, True, True), (True, False, True)])
def test_parts_that_share_their_a_keep_its_rank(present):
    A, _ = factors(2, 1, seed=5)
    parts = [(A.clone(), factors(2, out, seed)[1]) if there else None
             for seed, (there, out) in enumerate(zip(present, OUTPUTS, strict=True))]  # fmt: skip
    fused = fuse(parts, OUTPUTS)
    assert torch.equal(fused[0], A)
    torch.testing.assert_close(fused[1] @ fused[0], torch.cat(updates(parts)))


def test_what_peft_trained_on_the_fused_layer_is_all_of_a_for_every_part():
    A, B = factors(2, sum(OUTPUTS), seed=1)
    B[:, 1] = 0.0  # a column that none of them uses, as at the start, makes no blocks
    for (own, rows), expected in zip(split(A, B, OUTPUTS), (B @ A).split(OUTPUTS), strict=True):
        assert torch.equal(own, A)
        torch.testing.assert_close(rows @ own, expected)


def test_an_untrained_update_keeps_its_rank_in_every_part():
    A, B = factors(2, sum(OUTPUTS), seed=1)
    assert all(torch.equal(own, A) for own, _ in split(A, torch.zeros_like(B), OUTPUTS))


def test_a_layer_of_one_part_is_left_as_it_is():
    A, B = factors(3, 4, seed=1)
    B[:, 0] = 0.0
    ((own, rows),) = split(A, B, (4,))
    assert own is A and torch.equal(rows, B)
    assert all(map(torch.equal, fuse([(A, B)], (4,)), (A, B)))
