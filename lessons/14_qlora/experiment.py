"""What 4 bits cost: in the numbers, in the base's loss, in the score after fine-tuning, and when an update is merged.

`python lessons/14_qlora/experiment.py [--quick]` measures all of it, `--figures` draws results.json again.
"""

import time
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn

import minipeft
from minipeft.course.experiment import kept, main, race
from minipeft.methods.low_rank.loftq import LoftQ
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import held_out_batches, mean_loss
from minipeft.quantization.blockwise import dequantize, quantize, scale_to_one
from minipeft.quantization.data_types import LEVELS
from minipeft.quantization.linear import QuantizedLinear
from minipeft.racing.runs import task_of

FORMATS = ("nf4", "fp4", "int4", "int8")
BLOCKS = (16, 32, 64, 128, 256, 512, 1024)
BASES = {"t5-0.4m": "prefix", "t5-0.8m": "prefix", "t5-1.7m": "prefix", "t5-3.5m": "prefix", "gpt-1.7m": "causal"}
ROWS = ("full", "lora", "nf4=qlora", "fp4=qlora:format=fp4", "int4=qlora:format=int4")
STEPS = 300
WAYS = {
    "attached": "adapter attached, as trained",
    "exact": "merged: W_q + update, 32 bits",
    "requantized": "merged and quantized again, 4 bits",
    "original": "update added to W in place of W_q",
}


def runs(args) -> dict:
    """Every part is kept in a file of its own as soon as it is there."""
    seeds = 1 if args.quick else 5
    return {
        "bits": kept(args, "bits", bits),
        "normal": kept(args, "normal", lambda: [normal_weights(seed) for seed in range(seeds)]),
        "real": kept(args, "real", lambda: {base: real_weights(base) for base in BASES}),
        "loss": kept(args, "loss", lambda: {base: held_out(base, BASES[base], args.quick) for base in BASES}),
        "starts": kept(args, "starts", lambda: {base: starts(base, args.quick) for base in ("t5-0.4m", "t5-0.8m")}),
        "speed": kept(args, "speed", lambda: {rows: speed(rows) for rows in (16, 256, 2048)}),
        "sentiment": race("sentiment", list(ROWS), "t5-0.8m", "sentiment", args, STEPS),
        "topic": race("topic", list(ROWS[:3]), "t5-0.8m", "topic", args, STEPS),
        "merges": kept(args, "merges", lambda: {task: merges(args, task) for task in ("sentiment", "topic")}),
    }


def bits() -> dict:
    """Bits for a number as stored, by block size: one scale in 32 bits for each block, and with double quantization."""
    linear = nn.Linear(1024, 1024, bias=False)
    return {
        size: [QuantizedLinear(linear, "nf4", size, double).bits_per_parameter() for double in (False, True)]
        for size in BLOCKS
    }


def relative_error(weights: list[Tensor], format: str, block_size: int) -> float:
    """|stored - W| / |W| over all the matrices together."""
    lost = total = 0.0
    for weight in weights:
        stored = dequantize(*quantize(weight, format, block_size), weight.shape, format, block_size)
        lost, total = lost + float((stored - weight).square().sum()), total + float(weight.square().sum())
    return (lost / total) ** 0.5


def normal_weights(seed: int) -> dict:
    """A matrix of normal numbers: errors, how often each code is used, and what w / absmax looks like."""
    weight = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(seed))
    scaled, _ = scale_to_one(weight.view(-1), 64)
    inner = scaled[scaled.abs() < 1]  # without the largest number of each block
    return {
        "errors": {name: {size: relative_error([weight], name, size) for size in BLOCKS} for name in FORMATS},
        "shares": {name: shares(scaled, LEVELS[name]()) for name in FORMATS[:3]},
        "histogram": torch.histc(inner, 60, -1, 1).div(len(scaled)).tolist(),
    }


def shares(scaled: Tensor, levels: Tensor) -> list[float]:
    """How often each level is the nearest one, from the lowest level to the highest, equal levels as one."""
    levels = levels.unique()
    rank = torch.bucketize(scaled, (levels[:-1] + levels[1:]) / 2)
    return (torch.bincount(rank, minlength=len(levels)) / len(scaled)).tolist()


def block_weights(model: nn.Module) -> list[Tensor]:
    """The weights that QLoRA quantizes: of the linear layers in the blocks."""
    layers = [layer for path, layer in model.named_modules() if "blocks." in path and isinstance(layer, nn.Linear)]
    return [layer.weight.detach() for layer in layers]


def real_weights(base: str) -> dict:
    """The same errors on a pretrained base, and its kurtosis: 3 where weights are normal, more with long tails."""
    weights = block_weights(minipeft.load(base))
    centred = [weight - weight.mean() for weight in weights]
    return {
        "errors": {name: {size: relative_error(weights, name, size) for size in BLOCKS} for name in FORMATS},
        "kurtosis": mean(float(w.pow(4).mean() / w.square().mean() ** 2) for w in centred),
    }


@torch.no_grad()
def held_out(base: str, objective: str, quick: bool) -> dict:
    """Loss on new texts, batch by batch: of the base as it is, and stored in each format without any training."""
    batches = held_out_batches(TextStream(objective), 2 if quick else 12)
    model = minipeft.load(base)
    losses = {"exact": [mean_loss(model, [batch]) for batch in batches]}
    for format in FORMATS:
        method = QLoRA(format=format)
        method.attach(model)  # B = 0: the model is the quantized base
        model.eval()
        losses[format] = [mean_loss(model, [batch]) for batch in batches]
        method.detach()
    return losses


STARTS = {"qlora": QLoRA(), "loftq1": LoftQ(iterations=1), "loftq5": LoftQ(iterations=5), "qpissa": QPiSSA()}


@torch.no_grad()
def starts(base: str, quick: bool) -> dict:
    """Before any training: how far the weight with its update is from W, and the loss, for three ways to start."""
    batches = held_out_batches(TextStream(BASES[base]), 2 if quick else 12)
    model = minipeft.load(base)
    exact = {name: value.clone() for name, value in model.state_dict().items()}
    found = {"exact": {"loss": [mean_loss(model, [batch]) for batch in batches]}}
    for name, method in STARTS.items():
        torch.manual_seed(0)
        method.attach(model)
        model.eval()
        errors = [relative_distance(layer.weight, exact[f"{path}.weight"]) for path, layer in method.layers()]
        found[name] = {"error": mean(errors), "loss": [mean_loss(model, [batch]) for batch in batches]}
        method.detach()
    return found


def relative_distance(weight: Tensor, exact: Tensor) -> float:
    return float((weight - exact).norm() / exact.norm())


def speed(rows: int, rounds: int = 15) -> dict:
    """Milliseconds of a forward and backward pass of one adapted layer, plain and quantized by turns."""
    torch.manual_seed(0)
    linear = nn.Linear(1024, 1024, bias=False).requires_grad_(False)
    layers = {"lora": LoRALinear(linear, 8, 16), "qlora": LoRALinear(QuantizedLinear(linear, "nf4", 64, True), 8, 16)}
    x = torch.randn(rows, 1024, requires_grad=True)
    times: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(rounds):
        for name, layer in layers.items():
            started = time.perf_counter()
            layer(x).sum().backward()
            times[name].append(1000 * (time.perf_counter() - started))
    return times


def merges(args, task_name: str) -> list[dict]:
    """Of every seed of QLoRA: the score as trained, and in three ways without the adapter."""
    limit = 100 if args.quick else None
    rows = []
    for seed in range(args.seeds):
        run = Path(args.out) / task_name / "runs" / f"nf4-seed{seed}"
        rows.append({way: merged(way, run / "adapter.pt", task_of(run), limit) for way in WAYS})
    return rows


@torch.no_grad()
def merged(way: str, file: Path, task, limit: int | None) -> dict:
    """attached: as trained. exact: W_q + update, in 32 bits. requantized: that sum in NF4. original: W + update."""
    model = minipeft.load("t5-0.8m")
    base = {name: value.clone() for name, value in model.state_dict().items()}
    method = minipeft.load_adapter(file, model)
    outcome = {}
    if way == "attached":
        layers = [layer for _, layer in method.layers()]
        outcome["update"] = mean(float(layer.update().norm() / layer.linear.weight.norm()) for layer in layers)
        outcome["lost"] = mean(
            relative_distance(layer.linear.weight, base[f"{path}.weight"]) for path, layer in method.layers()
        )
    if way == "exact":
        method.merge()
    if way == "requantized":
        outcome["error"] = mean(method.merge_requantized().values())
    if way == "original":
        updates = {path: layer.update() for path, layer in method.layers()}
        method.detach()
        for path, update in updates.items():
            model.get_submodule(path).weight.add_(update)
    model.eval()
    return {**outcome, "score": minipeft.evaluate(model, task, "test", limit=limit)["score"]}


if __name__ == "__main__":
    main(__file__, runs)
