"""Files of the type ADALORA.

    here: W + (alpha / rank) P diag(lam) Q        peft: W + lora_alpha / (init_r + 0.00001) B diag(E) A

    A = Q: (rank, in)   E = lam: (rank, 1)   B = P: (out, rank)

Pruned triplets are not stored. rank_pattern says for every layer which of init_r are: True for those that follow in the
tensors. peft needs a number of steps for its schedule, which a method here does not know: the file says 1,000, and the
shares of the schedule are rounded to whole steps of these.
"""

from collections.abc import Mapping
from typing import Any

import torch

from minipeft.errors import UserError
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.peft_files.found import Found, rounded
from minipeft.peft_files.fused import fuse, split
from minipeft.peft_files.places import PREFIX, adapted_places, by_place, our_targets, require_shape, told_of_layers

STEPS = 1000
PARTS = ("lora_A", "lora_E", "lora_B")


def peft_divisor(rank: int) -> float:
    """What peft divides lora_alpha by."""
    return rank + 1e-5


def write(model, method: AdaLoRA) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The settings and tensors of an attached AdaLoRA. lam travels as the first column of Q, so that blocks keep it."""
    state, tensors, kept = method.state_dict(), {}, {}
    adapted = adapted_places(model, dict(method.layers()))
    for place in adapted:
        parts = []
        for path in place.ours:
            if f"{path}.P" in state:
                P, lam, Q = (state[f"{path}.{name}"] for name in ("P", "lam", "Q"))
                lam = lam if len(Q) == len(lam) else lam[lam != 0]
                parts.append((torch.cat([lam[:, None], Q], dim=1), P))
            else:
                parts.append(None)
        A, B = fuse(parts, place.outputs)
        for name, tensor in zip(PARTS, (A[:, 1:], A[:, :1], B), strict=True):
            tensors[f"{PREFIX}{place.theirs}.{name}"] = tensor
        kept[place.theirs] = len(A)
    most = max(method.rank, *kept.values())
    choice = {f"{path}.lora_E": [True] * count + [False] * (most - count) for path, count in kept.items()}
    final = min(round(STEPS * method.final), STEPS - 1)
    settings = {
        "init_r": most,
        "target_r": method.target_rank,
        "lora_alpha": method.alpha / method.rank * peft_divisor(most),
        "rank_pattern": choice if any(count < most for count in kept.values()) else None,
        "total_step": STEPS,
        "tinit": min(round(STEPS * method.warmup), STEPS - final - 1),
        "tfinal": final,
        "deltaT": method.interval,
        "beta1": method.beta1,
        "beta2": method.beta2,
        "orth_reg_weight": method.orthogonality,
        **told_of_layers(model, adapted),
    }
    return settings, tensors


def read(model, settings: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Found:
    """The AdaLoRA whose file this is. Raises UserError where the tensors do not fit the settings or this model."""
    most, pattern, layers = settings["init_r"], settings["rank_pattern"] or {}, {}
    blocks = False
    for place, (Q, lam, P) in by_place(model, settings, tensors, PARTS).items():
        kept = pattern.get(f"{place.theirs}.lora_E")
        if kept is not None and len(kept) != most:
            raise UserError(f"rank_pattern has {len(kept)} choices for {place.theirs}, and init_r is {most}")
        count = most if kept is None else sum(kept)
        require_shape(f"lora_A of {place.theirs}", Q, (count, place.inputs))
        require_shape(f"lora_E of {place.theirs}", lam, (count, 1))
        require_shape(f"lora_B of {place.theirs}", P, (sum(place.outputs), count))
        own = split(torch.cat([lam, Q], dim=1), P, place.outputs)
        blocks = blocks or any(part is None or len(part[0]) < count for part in own)
        layers |= {path: part for path, part in zip(place.ours, own, strict=True) if part is not None}
    # Blocks of a fused layer have room for several of our layers, so init_r is more than any of these needs.
    rank = max(1, *(len(A) for A, _ in layers.values())) if blocks else most
    state = {}
    for path, (A, P) in layers.items():
        lam, Q = A[:, 0], A[:, 1:]
        if len(lam) < rank:  # as our files keep what is pruned: what is alive, and a lam of 0 for each other
            alive = lam != 0
            lam, Q, P = lam[alive], Q[alive], P[:, alive]
        state[f"{path}.P"], state[f"{path}.Q"] = P, Q
        state[f"{path}.lam"] = torch.cat([lam, lam.new_zeros(rank - len(lam))])
    steps = settings["total_step"]
    told = {
        "rank": rank,
        "target_rank": min(settings["target_r"], rank),
        "alpha": rounded(settings["lora_alpha"] / peft_divisor(most) * rank),
        "targets": our_targets(model, layers),
        "orthogonality": settings["orth_reg_weight"],
        "warmup": settings["tinit"] / steps,
        "final": settings["tfinal"] / steps,
        "interval": settings["deltaT"],
        "beta1": settings["beta1"],
        "beta2": settings["beta2"],
    }
    return Found(AdaLoRA, told, state)
