"""What a run tells beside its score: how soon it had learned, and what its base has forgotten and can no longer do.

    steps to 90%    the first evaluation on dev of at least  chance + 0.9 (best - chance)
    forgotten       loss of the adapted model - loss of the base, on held-out texts of pretraining (nats per token)
    skills lost     mean over what the base could do of  AUC of the base - AUC of the adapted model (points)

The loss is that of the base's own objective, on 12 batches of texts which it never read; the skills are those of
`pretraining/skills.py` in which the base reaches at least HAD. The adapted model reads both as its method reads any
text: a prompt stays before it, an adapter in its layer.
"""

import math
from functools import cache
from statistics import mean

import torch

from minipeft.files import read_json
from minipeft.models import find, load
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import held_out_batches, mean_loss
from minipeft.pretraining.skills import skill_aucs
from minipeft.training.batches import positions_for_text
from minipeft.transformer.batch import Batch

SHARE = 0.9
HAD = 90.0  # AUC


def steps_to_learn(dev_scores: list[tuple[int, float]], chance: float) -> int | None:
    """The steps done at the first evaluation that reaches 90% of the way from `chance` to the best dev score.

    Known to the distance of two evaluations. None where no evaluation is above chance.
    """
    best = max((score for _, score in dev_scores), default=chance)
    if best <= chance:
        return None
    return next(step for step, score in dev_scores if score >= chance + SHARE * (best - chance))


def forgotten(model, base: str) -> float | None:
    """How much higher the held-out loss of `model` is than that of `base`, the name or folder from which it came.

    None for a base that does not say how it was pretrained, as a Hugging Face folder, and for a model that cannot read
    or write such texts: with too few positions beside its prompt, or with a head for labels or tags alone.
    """
    stream, method = own_stream(base), getattr(model, "attached_method", None)
    if stream is None or (method is not None and not method.writes_text):
        return None
    batches, device = texts_of(stream), next(model.parameters()).device
    room = positions_for_text(model)
    if room is not None and max(batch.source.shape[1] + batch.target.shape[1] for batch in batches) > room:
        return None
    after = loss(model, batches, device)
    return after - loss_before(base, stream, str(device)) if math.isfinite(after) else None


def skills_lost(model, base: str) -> float | None:
    """By how many points of AUC `model` is worse than `base`, the name or folder from which it came, at what that knew.

    None where the base does not say what it can do, and where `forgotten` is None.
    """
    had = own_skills(base)
    if not had or forgotten(model, base) is None:
        return None
    after = skill_aucs(model, own_stream(base).objective, skills=had)
    return mean(had[skill] - after[skill] for skill in had)


def own_skills(base: str) -> dict[str, float]:
    """What a base could do at the end of its pretraining, as its results.json tells it: AUCs of at least HAD."""
    file = find(base) / "results.json"
    try:
        skills = read_json(file)["curve"][-1]["skills"] if file.exists() else {}
    except (KeyError, IndexError):
        return {}
    return {skill: value for skill, value in skills.items() if value >= HAD}


def own_stream(base: str) -> TextStream | None:
    """The texts and the objective of a base's pretraining, as its results.json names them."""
    file = find(base) / "results.json"
    try:
        return TextStream(**read_json(file)["settings"]["text"]) if file.exists() else None
    except (KeyError, TypeError):
        return None


@cache  # once for each process, which makes many runs
def texts_of(stream: TextStream) -> list[Batch]:
    return held_out_batches(stream)


@cache
def loss_before(base: str, stream: TextStream, device: str) -> float:
    return loss(load(base).to(device), texts_of(stream), device)


@torch.no_grad()
def loss(model, batches: list[Batch], device) -> float:
    model.eval()
    return mean_loss(model, [batch.to(device) for batch in batches])
