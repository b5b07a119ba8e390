"""Chapter 08, prompts that travel: the answers written out."""

from collections.abc import Callable

import torch
from torch import Tensor


def change_similarities(early: Tensor, start: Tensor) -> Tensor:
    changes = early - start
    directions = torch.nn.functional.normalize(changes, dim=2)  # of length 1, or 0 where nothing has changed
    means = directions.mean(1)  # (tasks, hidden)
    return means @ means.T


def rank_correlation(first: list[float], second: list[float]) -> float:
    deviations = []
    for numbers in (first, second):
        ranks = [sum(x < y for x in numbers) + (numbers.count(y) + 1) / 2 for y in numbers]
        middle = (len(numbers) + 1) / 2
        deviations.append([rank - middle for rank in ranks])
    one, other = deviations
    sizes = sum(x * x for x in one) * sum(y * y for y in other)
    products = sum(x * y for x, y in zip(one, other, strict=True))
    return products / sizes**0.5 if sizes else 0.0


def labelled_pairs(documents: list[list[str]]) -> list[tuple[str, str, str]]:
    found = []
    for home, document in enumerate(documents):
        for place, first in enumerate(document[:-1]):
            found.append((first, document[place + 1], "yes"))
            distant = [second for other, second in enumerate(document) if abs(other - place) > 1]
            found += [(first, second, "maybe") for second in distant]
            for number, foreign in enumerate(documents):
                if number != home:
                    found += [(first, second, "no") for second in foreign if second not in document]
    return found


COSTS = {
    "all": 13 * 900 + 6 * 13 * 275,
    "best of 3": 13 * 900 + 6 * (150 + 3 * 275),
    "average of 3": 13 * 900 + 6 * (150 + 275),
    "mixture of 3": 13 * 150 + 6 * (150 + 900 + 275),
    "stored": (2 * 13 + 2 * 6) * 20 * 512,
}

GUESSES = {
    "blind": 100 * (1 / 3 + 1 / 4 + 1 / 5 + 1 / 6 + 1 / 7 + 1 / 8 + 1 / 9) / 7,
    "always I": 100 / 7 / 9,
    "five": 100 * (0.7**5 + 5 * 0.7**4 * 0.3 + 10 * 0.7**3 * 0.3**2),
    "two copies": 100 * (0.7 * (1 - 0.3**3) + 0.3 * 0.7**3),
    "weak": 100 * (0.4**5 + 5 * 0.4**4 * 0.6 + 10 * 0.4**3 * 0.6**2),
}


def vote(scores: Tensor, mask: Tensor) -> Tensor:
    scores = scores.masked_fill(~mask, -torch.inf)
    votes = torch.nn.functional.one_hot(scores.argmax(2), scores.shape[2]).sum(0)  # (batch, candidates)
    ahead = votes == votes.amax(1, keepdim=True)
    return scores.mean(0).masked_fill(~ahead, -torch.inf).argmax(1)


def check_start(implementation: Callable[..., Tensor]) -> None:
    generator = torch.Generator().manual_seed(8)
    for trial in range(12):
        count, shift = (1, 2, 5)[trial % 3], (0.0, 2.0)[trial % 2]
        sizes = 0.2 + 4 * torch.rand(count, 1, 1, generator=generator)
        target = torch.randn(4, 3, generator=generator) + shift
        early = sizes * (torch.randn(count, 4, 3, generator=generator) + shift)
        ready = torch.randn(count, 4, 3, generator=generator)
        before = [target.clone(), early.clone(), ready.clone()]
        cosines = torch.cosine_similarity(early.mean(1), target.mean(0)[None], dim=1)
        expected = ready[cosines.argmax()].clone()
        found = implementation(target, early, ready)
        torch.testing.assert_close(found, expected)
        for now, then in zip((target, early, ready), before, strict=True):
            assert torch.equal(now, then), "an argument is changed"
        found.detach().add_(1.0)
        assert torch.equal(ready, before[2]), "who trains the start changes the source"


def attend_to_sources(
    text: Tensor, mask: Tensor, own: Tensor, sources: Tensor, w_down: Tensor, w_up: Tensor, temperature: float
) -> Tensor:
    prompts = torch.cat([sources, own[None]])  # (n + 1, length, hidden)
    pooled = text.masked_fill(~mask[:, :, None], -torch.inf).amax(1)  # (batch, hidden)
    question = torch.nn.functional.silu(pooled @ w_down.T) @ w_up.T
    weights = (question @ prompts.amax(1).T / temperature).softmax(1)  # (batch, n + 1)
    return own + torch.einsum("bn,nlh->blh", weights, prompts)
