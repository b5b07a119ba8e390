"""What needs no training: prefixes of zeros, the share of attention that a prefix gets, and what it costs."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

import minipeft
from minipeft.memory.counting import batch_memory
from minipeft.methods.prompts.prefix_tuning import PrefixedAttention
from minipeft.methods.registry import METHODS
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import held_out_batches, mean_loss
from minipeft.pretraining.skills import PROBES, skill_aucs
from minipeft.racing.entries import make_method, parse_entry
from minipeft.racing.runs import task_of
from minipeft.tasks.making.drawn import drawn_task
from minipeft.training.adapter_files import load_adapter
from minipeft.training.batches import collate, encode_examples
from minipeft.training.evaluating import evaluate
from minipeft.transformer.batch import Batch

MODEL = "t5-0.8m"
ZEROS = (0, 1, 10, 50, 200)  # lengths of prefixes of zeros
SKILLS = ("plain", "contrast", "negation")
KINDS = {"encoder": "encoder.", "decoder": "attention", "cross": "cross_attention"}
COSTS = {  # what is told of a step, of these methods
    "prompt, 18": "prompt_tuning:prompt_length=18",
    "embedding only, 10": "embedding_prefix",
    "prefix, 10, table": "prefix_tuning:reparametrise=false",
    "prefix, 10, network": "prefix_tuning",
    "prefix, 50, table": "prefix_tuning:reparametrise=false:prefix_length=50",
    "LoRA, rank 4": "lora",
    "full tuning": "full",
}
TEXTS, TOKENS = 16, 32  # texts that are answered at once, tokens that are written


def kind_of(path: str) -> str:
    """Which of the three attentions of a T5 stands at `path`."""
    if path.startswith("encoder."):
        return "encoder"
    return "cross" if path.endswith("cross_attention") else "decoder"


def prefixed(model) -> dict[str, PrefixedAttention]:
    return {path: module for path, module in model.named_modules() if isinstance(module, PrefixedAttention)}


@contextmanager
def shares(model, batch: Batch) -> Iterator[dict[str, list[torch.Tensor]]]:
    """The share of the softmax that the prefix gets, by kind of attention: (tokens, heads), of real tokens alone."""
    found = defaultdict(list)

    def watched(path: str, layer: PrefixedAttention):
        attention, count = layer.attention, layer.prefix(layer.layer)[0].shape[1]
        mask = batch.source_mask if kind_of(path) == "encoder" else batch.target_mask

        def attend(query, key, value, bias=None):
            scores = attention.scale * query @ key.transpose(-1, -2)  # (batch, heads, targets, prefix + sources)
            weights = (scores if bias is None else scores + bias).softmax(-1)
            found[kind_of(path)].append(weights[..., :count].sum(-1).transpose(1, 2)[mask])
            return type(attention).attend(attention, query, key, value, bias)

        return attend

    layers = prefixed(model)
    for path, layer in layers.items():
        layer.attention.attend = watched(path, layer)
    try:
        yield found
    finally:
        for layer in layers.values():
            del layer.attention.attend


@torch.no_grad()
def mean_shares(model, batches: list[Batch]) -> dict[str, float]:
    """The mean share in percent over tokens, heads and layers, by kind of attention."""
    found = defaultdict(list)
    for batch in batches:
        with shares(model, batch) as seen:
            model.loss(batch)
        for kind, parts in seen.items():
            found[kind] += parts
    return {kind: 100 * float(torch.cat(found[kind]).mean()) for kind in KINDS}


@torch.no_grad()
def zeros(length: int, args) -> dict:
    """A prefix of `length` zeros: the loss on held-out texts, three skills, and the share of attention it gets."""
    model, batches = minipeft.load(MODEL), held_out_batches(TextStream("prefix"), 2 if args.quick else 12)
    if length:
        method = make_method("prefix_tuning", {"reparametrise": False, "prefix_length": length})
        method.attach(model)
        for parameter in method.named_parameters().values():
            parameter.zero_()
    found = {"loss": mean_loss(model, batches)}
    found["skills"] = skill_aucs(model, "prefix", 20 if args.quick else PROBES, SKILLS)
    return found | {"shares": mean_shares(model, batches) if length else dict.fromkeys(KINDS, 0.0)}


def attached(folder: Path):
    """A fresh base with the prefix that a run left."""
    model = minipeft.load(MODEL)
    load_adapter(folder / "adapter.pt", model, METHODS)
    return model.eval()


def trained(folder: Path, args) -> dict:
    """Of a trained prefix: its shares of attention on test texts, and the score where one kind of it is taken out."""
    task, limit = task_of(folder), 100 if args.quick else None
    model = attached(folder)
    found = {"shares": mean_shares(model, [collate(encode_examples(model, task.test[:128], 256))])}
    found["whole"] = evaluate(model, task, "test", limit=limit)["score"]
    for kind in KINDS:
        model = attached(folder)
        for path, layer in prefixed(model).items():
            if kind_of(path) == kind:
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, layer.attention)
        found[f"without {kind}"] = evaluate(model, task, "test", limit=limit)["score"]
    return found


def costs(args) -> dict:
    """Parameters, bytes and processor time of a training step on 32 texts of sentiment, by method."""
    torch.set_num_threads(1)
    task, blocks, turns = drawn_task("sentiment", 0), *((1, 2) if args.quick else (5, 10))
    found = {}
    for name, entry in COSTS.items():
        model, told = minipeft.load(MODEL), parse_entry(entry)
        batch = collate(encode_examples(model, task.train[:32], 256))
        method = make_method(told.method, told.hyperparameters)
        method.attach(model)
        parameters = list(method.named_parameters().values())
        optimizer = torch.optim.AdamW(parameters, lr=1e-4)

        def step(model=model, batch=batch, optimizer=optimizer) -> None:
            model.loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()

        found[name] = {"moved": method.trained_count(), "stored": method.stored_count()}
        found[name] |= batch_memory(model.train(), method, batch) | {"milliseconds": times(step, blocks, turns)}
    return found


@torch.no_grad()
def written(args) -> dict[str, list[float]]:
    """Milliseconds of processor time a token, while 16 answers are written: without a prefix, with table, network."""
    torch.set_num_threads(1)
    task, models = drawn_task("sentiment", 0), {}
    for name, told in {"none": None, "table": {"reparametrise": False}, "network": {}}.items():
        models[name] = minipeft.load(MODEL)
        if told is not None:
            make_method("prefix_tuning", told).attach(models[name])
        models[name].eval()
    batch = collate(encode_examples(models["none"], task.test[:TEXTS], 256))
    token = batch.target[:, :1]

    def write(model) -> None:
        _, state = model.prefill(Batch(batch.source, batch.source_mask))
        for _ in range(TOKENS):
            model.step(token, torch.ones_like(token, dtype=torch.bool), state)

    found = {name: [] for name in models}
    for _ in range(1 if args.quick else 10):  # by turns, for the machine is not always as fast
        for name, model in models.items():
            found[name] += [spent / TOKENS for spent in times(partial(write, model), 1, 2)]
    return found


def times(run, blocks: int, turns: int) -> list[float]:
    """Milliseconds of processor time of one call, in each of several blocks; a call before them warms up."""
    run()
    found = []
    for _ in range(blocks):
        start = time.thread_time()
        for _ in range(turns):
            run()
        found.append(1000 * (time.thread_time() - start) / turns)
    return found
