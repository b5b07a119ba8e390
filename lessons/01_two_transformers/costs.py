"""Where parameters, multiplications and time go, part by part, and what a cache of keys and values saves."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minipeft.transformer.attention import Attention, KeyValueCache
from minipeft.transformer.batch import Batch
from minipeft.transformer.encoder_decoder import EncoderDecoder
from minipeft.transformer.feed_forward import FeedForward, GatedFeedForward
from minipeft.transformer.normalization import RMSNorm
from minipeft.transformer.positions import LearnedPositions, RelativePositionBias

KINDS = {
    nn.Embedding: "vocabulary",
    RelativePositionBias: "positions",
    LearnedPositions: "positions",
    RMSNorm: "norms",
    nn.LayerNorm: "norms",
    Attention: "scores",
    GatedFeedForward: "feed-forward",
    FeedForward: "feed-forward",
}
PARTS = ("vocabulary", "matrices", "scores", "feed-forward", "norms", "positions", "rest")
STEPS = 32  # timed steps of one text


def parts_of(model) -> dict[str, tuple[str, nn.Module]]:
    """Path -> part and module, for every module that is one part or holds one.

    "matrices" are the four linear maps of an attention layer, "scores" what it does between them; embedding and head
    are both "vocabulary".
    """
    found = {}
    for path, module in model.named_modules():
        inside = any(path.startswith(f"{other}.") for other, (part, _) in found.items() if part != "scores")
        if type(module) in KINDS and not inside:
            found[path] = KINDS[type(module)], module
        elif path == "head":
            found[path] = "vocabulary", module
        elif isinstance(module, nn.Linear) and not inside:
            found[path] = "matrices", module
    return found


def parameters(model) -> dict[str, int]:
    """How many numbers each part holds; a head that is tied to the embedding counts once."""
    counted, seen = Counter(), set()
    for part, module in reversed(parts_of(model).values()):  # linear maps before the attention that they are in
        for parameter in module.parameters():
            counted[part] += parameter.numel() if id(parameter) not in seen else 0
            seen.add(id(parameter))
    return {part: counted[part] for part in PARTS}


@contextmanager
def metered(model, meter: Callable[[], float]) -> Iterator[Counter]:
    """By how much `meter` goes on in each part of `model` while the context is open; "rest" is what no part takes."""
    spent, running = Counter(), []  # running: [reading, what the parts inside took] of the parts that are under way

    def enter(module, inputs) -> None:
        running.append([meter(), 0])

    def leave(part: str) -> Callable:
        def hook(module, inputs, output) -> None:
            start, inside = running.pop()
            whole = meter() - start
            spent[part] += whole - inside
            if running:
                running[-1][1] += whole

        return hook

    hooks = []
    for part, module in parts_of(model).values():
        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave(part))]
    start = meter()
    try:
        yield spent
    finally:
        spent["rest"] = meter() - start - sum(spent.values())
        for hook in hooks:
            hook.remove()


def multiplications(model, run: Callable) -> dict[str, int]:
    """Multiplications in matrix products of one call of `run`, by part; an addition goes with each of them."""
    with FlopCounterMode(display=False) as counter, metered(model, counter.get_total_flops) as spent:
        run()
    return {part: spent[part] // 2 for part in PARTS}


def shares_of_time(model, run: Callable, turns: int) -> dict[str, float]:
    """The share of each part in the processor time of `turns` calls, in percent, and the milliseconds of one call."""
    run()
    with metered(model, time.thread_time) as spent:
        for _ in range(turns):
            run()
    whole = sum(spent.values())
    return {part: 100 * spent[part] / whole for part in PARTS} | {"milliseconds": 1000 * whole / turns}


@torch.no_grad()
def by_part(model, batch: Batch, blocks: int, turns: int) -> dict:
    """Parameters, multiplications and shares of time: a forward pass over `batch`, and steps of one answer."""
    forward = lambda: model.loss(batch)  # noqa: E731
    one = Batch(batch.source[:1], batch.source_mask[:1])

    def steps() -> None:
        _, state = model.prefill(one)
        token = batch.target[:1, :1]
        for _ in range(STEPS):
            model.step(token, torch.ones_like(token, dtype=torch.bool), state)

    return {
        "parameters": parameters(model),
        "forward": multiplications(model, forward),
        "step": multiplications(model, steps),
        "forward_time": [shares_of_time(model, forward, turns) for _ in range(blocks)],
        "step_time": [shares_of_time(model, steps, 1) for _ in range(blocks)],
        "texts": len(batch), "source": batch.source.shape[1], "target": batch.target.shape[1],
    }  # fmt: skip


def read_on(model, state, ids: torch.Tensor) -> torch.Tensor:
    """The likeliest next token behind `ids`, (batch, n), which the decoder reads now: (batch, 1)."""
    state.mask = torch.cat([state.mask, torch.ones_like(ids, dtype=torch.bool)], dim=1)
    context = () if state.context is None else (state.context, state.context_mask)
    hidden, _ = model.decoder(model.embedding(ids), state.mask, *context, caches=state.caches)
    return model.head(hidden[:, -1:]).argmax(-1)  # of the last place only: `step` would project all


def fresh(state):
    """The state before anything was written: empty caches, the same context."""
    caches = [[KeyValueCache() for _ in block] for block in state.caches]
    return replace(state, mask=state.mask[:, :0], caches=caches)


@torch.no_grad()
def write(model, batch: Batch, length: int, cached: bool, mark: Callable) -> torch.Tensor:
    """`length` tokens of an answer, (batch, length); `mark` is called before the first and after each.

    Without a cache the decoder reads everything once more for each token; a T5's encoder reads its source once.
    """
    _, state = model.prefill(batch)
    if isinstance(model, EncoderDecoder):
        read = torch.full_like(batch.source[:, :1], model.config.start)
    else:
        read = batch.source
    state, written = fresh(state), []
    mark()
    for _ in range(length):
        token = read_on(model, state, read) if cached else read_on(model, fresh(state), torch.cat([read, *written], 1))
        written.append(token)
        read = token if cached else read
        mark()
    return torch.cat(written, dim=1)


def writing(model, batch: Batch, length: int, blocks: int) -> dict:
    """Milliseconds and multiplications after each token, with and without a cache, in one text and in all of them."""
    torch.set_num_threads(1)
    found, one = {"same": True}, Batch(batch.source[:1], batch.source_mask[:1])
    for texts, rows in ((1, one), (len(batch), batch)):
        taken = {"cached": [], "uncached": []}
        for _ in range(blocks):
            answers = []
            for way, clocks in taken.items():
                marks = []
                answers.append(
                    write(model, rows, length, way == "cached", lambda m=marks: m.append(time.thread_time()))
                )
                clocks.append([1000 * (now - marks[0]) for now in marks[1:]])
            found["same"] = found["same"] and torch.equal(*answers)
        found[f"{texts}"] = {
            way: {"median": list(map(median, zip(*clocks, strict=True))), "last": [clock[-1] for clock in clocks]}
            for way, clocks in taken.items()
        }
    found["counted"] = {}
    for way in ("cached", "uncached"):
        marks = []
        with FlopCounterMode(display=False) as counter:
            write(model, one, length, way == "cached", lambda m=marks: m.append(counter.get_total_flops() // 2))
        found["counted"][way] = [now - marks[0] for now in marks[1:]]
    return found


@torch.no_grad()
def norm_times(blocks: int) -> dict[str, dict[str, list[float]]]:
    """Microseconds of one call of each norm, by turns: a single vector, and 1,312 of them, as wide as t5-0.8m's."""
    torch.set_num_threads(1)
    norms = {"RMSNorm": RMSNorm(88), "LayerNorm": nn.LayerNorm(88)}
    found = {}
    for vectors, turns in ((1, 2000), (32 * 41, 200)):
        x = torch.randn(vectors, 88, generator=torch.Generator().manual_seed(0))
        found[f"{vectors}"] = {name: [] for name in norms}
        for block in range(blocks + 1):
            for name, norm in norms.items():
                start = time.thread_time()
                for _ in range(turns):
                    norm(x)
                if block:  # the first one only warms up
                    found[f"{vectors}"][name].append(1e6 * (time.thread_time() - start) / turns)
    return found
