"""Which tasks are alike? A prompt, tuned for a fixed number of early steps, is an embedding of its task (SPoT).

    similarity(A, B) = cos(mean of A's rows, mean of B's rows)       or       mean over all pairs i, j of cos(A_i, B_j)

A: (length, hidden), B: (other length, hidden), all tuned for equally many steps. A new task looks for a start among
the prompts of tasks like it: it tries the k most similar and keeps the best on dev, or starts from their average
weighted by similarity, or from a prompt tuned on the k tasks together. `minipeft transfer` does all three.
Paper: Vu et al. 2022, arXiv:2110.07904, section 3.
Lesson: lessons/08_prompt_transfer. Test: tests/transfer/test_prompt_transfer.py.
"""

from collections.abc import Mapping, Sequence

import torch
from torch.nn.functional import cosine_similarity

from minipeft.errors import UserError


def cosine_of_means(one: torch.Tensor, other: torch.Tensor) -> float:
    """The cosine of the two mean vectors."""
    return float(cosine_similarity(one.float().mean(0), other.float().mean(0), dim=0))


def mean_of_cosines(one: torch.Tensor, other: torch.Tensor) -> float:
    """The mean cosine over all pairs of a row of `one` and a row of `other`."""
    pairs = cosine_similarity(one.float()[:, None], other.float()[None], dim=2)  # (length, other length)
    return float(pairs.mean())


SIMILARITIES = {"means": cosine_of_means, "tokens": mean_of_cosines}


def most_similar(
    target: torch.Tensor, sources: Mapping[str, torch.Tensor], count: int, similarity: str = "means"
) -> list[tuple[str, float]]:
    """The `count` sources most like the target, with their similarities, the most similar first."""
    if similarity not in SIMILARITIES:
        raise UserError(f"The similarity must be one of {', '.join(SIMILARITIES)}, not {similarity!r}.")
    if not 1 <= count <= len(sources):
        raise UserError(f"There are {len(sources)} sources to choose from; ask for 1 to {len(sources)}, not {count}.")
    found = [(name, SIMILARITIES[similarity](target, source)) for name, source in sources.items()]
    return sorted(found, key=lambda pair: -pair[1])[:count]


def weighted_average(prompts: Sequence[torch.Tensor], similarities: Sequence[float]) -> torch.Tensor:
    """The mean of the prompts, each with its similarity over the sum of all as its weight."""
    if min(similarities) <= 0:
        raise UserError(
            f"A source of similarity {min(similarities):.3f} has no weight in an average: take a smaller k."
        )
    total = sum(similarities)
    return sum(prompt * (value / total) for prompt, value in zip(prompts, similarities, strict=True))
