"""Chapter 07, P-tuning: the answers written out."""

from collections.abc import Callable

import torch
from torch import Tensor


def fill_template(
    template: list[int | str], firsts: list[list[int]], seconds: list[list[int]], words: Tensor, virtual: Tensor
) -> tuple[Tensor, Tensor]:
    rows = []
    for first, second in zip(firsts, seconds, strict=True):
        parts, used = [words.new_zeros(0, words.shape[1])], 0
        for part in template:
            if part == "V":
                parts.append(virtual[used : used + 1])
                used += 1
            else:
                ids = {"first": first, "second": second}.get(part, [part])
                parts.append(words[torch.tensor(ids, dtype=torch.long)])
        rows.append(torch.cat(parts))
    lengths = torch.tensor([len(row) for row in rows])
    vectors = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return vectors, torch.arange(vectors.shape[1]) < lengths[:, None]


def tags_of_names(ends: list[int], names: list[tuple[int, int, int]]) -> list[int]:
    tags = [0] * len(ends)
    for begin, end, kind in names:
        inside = False
        for number in range(len(ends)):
            start = ends[number - 1] if number else 0
            if max(start, begin) < min(ends[number], end):
                tags[number] = 2 * kind if inside else 2 * kind - 1
                inside = True
    return tags


def names_of_tags(tags: list[int], starts: list[bool]) -> list[tuple[int, int, int]]:
    names = []
    first, open_kind = 0, 0  # where this word begins; the kind of the word before
    for last in range(len(tags)):
        if starts[last]:
            first = last
        if last + 1 < len(tags) and not starts[last + 1]:
            continue  # the word goes on
        kind = (tags[last] + 1) // 2
        if kind and tags[last] == 2 * kind and kind == open_kind:
            names[-1] = (names[-1][0], last, kind)
        elif kind:
            names.append((first, last, kind))
        open_kind = kind
    return names


COUNTS = {
    "lstm": 14 * 320 + 14 * 320**2 + 18 * 320,
    "mlp": 14 * 320 + 3 * 320 * (320 + 1),
    "stored": 14 * 320,
    "labels": 3 * 4 * 2 * 14 * 5 * 48 + 6 * (320 + 1),
    "tags": 9 * 2 * 14 * 5 * 48 + 12 * (320 + 1),
}

REACH = {
    "lstm": 9,
    "lstm, one direction": 9 - 3,
    "mlp": 1,
    "gpt": 6 * (1 + 41 + 1),
    "top": 2 * 31 + 4 * 53,
    "bottom": 3 * 53,
}


def tagging_loss(states: Tensor, tags: list[list[int]], weight: Tensor, bias: Tensor) -> Tensor:
    longest = max(len(row) for row in tags)
    losses = []
    for state, row in zip(states, tags, strict=True):
        own = state[-longest:][: len(row)]
        scores = own / own.square().mean(1, keepdim=True).sqrt() @ weight.T + bias  # (length, kinds)
        losses.append(torch.nn.functional.cross_entropy(scores, torch.tensor(row), reduction="none"))
    return torch.cat(losses).mean()


def check_virtual(implementation: Callable[..., Tensor]) -> None:
    generator = torch.Generator().manual_seed(7)
    rows = {
        (7, 3): [[[0, 7, 6, 8, 9, 3], [9, 9, 1, 7, 2, 8], [1, 2, 3, 4, 5, 6]], [[7, 8], [9, 0]]],
        (4, 5): [[[8, 3, 4], [0, 6, 3]], [[3, 2, 1, 0]]],
    }
    for (vocabulary, count), batches in rows.items():
        for batch in batches:
            ids = torch.tensor(batch)
            words = torch.randn(vocabulary, 5, generator=generator).requires_grad_()
            virtual = torch.randn(count, 5, generator=generator).requires_grad_()
            kept = ids.clone(), words.detach().clone(), virtual.detach().clone()
            expected = torch.cat([words, virtual])[ids]
            found = implementation(ids, words, virtual)
            torch.testing.assert_close(found, expected)
            assert torch.equal(ids, kept[0]), "the ids are changed"
            assert torch.equal(words, kept[1]) and torch.equal(virtual, kept[2]), "a table is changed"
            scale = torch.randn(expected.shape, generator=generator)
            wanted = torch.autograd.grad((expected * scale).sum(), (words, virtual))
            assert found.requires_grad, "nothing can be trained"
            got = torch.autograd.grad((found * scale).sum(), (words, virtual), allow_unused=True)
            for one, other in zip(got, wanted, strict=True):
                torch.testing.assert_close(torch.zeros_like(other) if one is None else one, other)


def loss_of_tasks(
    states: Tensor, task: Tensor, label: Tensor, weights: list[Tensor], biases: list[Tensor], share: Tensor
) -> Tensor:
    losses, shares = [], []
    for number in task.unique().tolist():
        own = task == number
        scores = states[own] @ weights[number].T + biases[number]
        losses.append(torch.nn.functional.cross_entropy(scores, label[own]))
        shares.append(share[number])
    return (torch.stack(losses) * torch.stack(shares)).sum() / torch.stack(shares).sum()
