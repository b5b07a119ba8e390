"""What 4 bits cost: in the numbers, in the base's loss, in the score after fine-tuning, and when an update is merged.

`python lessons/14_qlora/experiment.py [--quick]` measures all of it, `--figures` draws results.json again.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn

import minipeft
from minipeft.course.experiment import main, race
from minipeft.files import write_json
from minipeft.methods.low_rank.loftq import LoftQ
from minipeft.methods.low_rank.lora import LoRALinear
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import held_out_batches, mean_loss
from minipeft.quantization.blockwise import dequantize, quantize, scale_to_one
from minipeft.quantization.data_types import LEVELS
from minipeft.quantization.linear import QuantizedLinear
from minipeft.racing.table import interval

FORMATS = ("nf4", "fp4", "int4", "int8")
BLOCKS = (16, 32, 64, 128, 256, 512, 1024)
BASES = {"t5-0.4m": "prefix", "t5-0.8m": "prefix", "t5-1.7m": "prefix", "t5-3.5m": "prefix", "gpt-1.7m": "causal"}
ROWS = ("full", "lora", "nf4=qlora", "fp4=qlora:format=fp4", "int4=qlora:format=int4")
STEPS = 300
NAMES = {"full": "full tuning", "lora": "LoRA, 32-bit base", "nf4": "QLoRA, NF4", "fp4": "QLoRA, FP4",
         "int4": "QLoRA, Int4"}  # fmt: skip


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


def kept(args, name: str, part: Callable[[], object]) -> object:
    """What `part` measured, now or in an earlier call of this script."""
    file = Path(args.out) / f"{name}.json"
    if not file.exists():
        print(f"{name} ...", flush=True)
        write_json(file, part())
    return json.loads(file.read_text(encoding="utf-8"))


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
    task = minipeft.load_task(task_name)
    limit = 100 if args.quick else None
    rows = []
    for seed in range(args.seeds):
        file = Path(args.out) / task_name / "runs" / f"nf4-seed{seed}" / "adapter.pt"
        rows.append({way: merged(way, file, task, limit) for way in ("attached", "exact", "requantized", "original")})
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


def plus_minus(values: list[float], digits: int = 1) -> str:
    """Mean and half the width of the 95% interval."""
    spread = f" ± {interval(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def summary(measured: dict) -> tuple[dict, dict]:
    """Tables and numbers of the chapter."""
    tables = {
        "bits": bits_table(measured["bits"]),
        "errors": errors_table(measured),
        "losses": losses_table(measured["loss"]),
        "starts": starts_table(measured["starts"]),
        "race": race_table(measured),
        "merges": merges_table(measured["merges"]),
    }
    return tables, numbers(measured)


def bits_table(measured: dict) -> dict:
    rows = [[size, *(f"{value:.3f}" for value in values)] for size, values in measured.items()]
    return {"columns": ["numbers in a block", "scales in 32 bits", "scales quantized, too"], "rows": rows}


def errors_table(measured: dict) -> dict:
    """Percent of the weights' size at blocks of 64."""
    rows = []
    for name in FORMATS:
        normal = [100 * seed["errors"][name]["64"] for seed in measured["normal"]]
        real = [f"{100 * base['errors'][name]['64']:.2f}" for base in measured["real"].values()]
        rows.append([name, plus_minus(normal, 2), *real])
    return {"columns": ["format", "normal numbers", *measured["real"]], "rows": rows}


def loss_rise(losses: dict, format: str) -> list[float]:
    """Batch by batch: how much higher the loss is than that of the base as it is."""
    return [stored - exact for stored, exact in zip(losses[format], losses["exact"], strict=True)]


def risen(values: list[float]) -> str:
    """With a sign, as the difference that it is; no minus before a zero."""
    return f"{round(mean(values), 3) + 0.0:+.3f} ± {interval(values):.3f}"


def losses_table(measured: dict) -> dict:
    rows = [["as it is", *(f"{mean(losses['exact']):.3f}" for losses in measured.values())]]
    for name in FORMATS:
        rows.append([name, *(risen(loss_rise(losses, name)) for losses in measured.values())])
    return {"columns": ["format", *measured], "rows": rows}


def starts_table(measured: dict) -> dict:
    """Percent of the weights' size, and the rise of the loss, on each base."""
    labels = {"qlora": "QLoRA", "loftq1": "LoftQ, 1 round", "loftq5": "LoftQ, 5 rounds", "qpissa": "QPiSSA"}
    rows = []
    for name, label in labels.items():
        cells = []
        for base in measured.values():
            rise = [after - exact for after, exact in zip(base[name]["loss"], base["exact"]["loss"], strict=True)]
            cells += [f"{100 * base[name]['error']:.2f}", risen(rise)]
        rows.append([label, *cells])
    return {
        "columns": ["start", *(f"{base}: {what}" for base in measured for what in ("error %", "loss"))],
        "rows": rows,
    }


def scores(measured: dict, task: str) -> dict[str, list[float]]:
    return {row["method"]: row["scores"] for row in measured[task]["rows"]}


def race_table(measured: dict) -> dict:
    """Scores on both tasks, and the megabytes of the weights on the first."""
    sentiment, topic = scores(measured, "sentiment"), scores(measured, "topic")
    memory = {row["method"]: row["memory"] for row in measured["sentiment"]["rows"]}
    rows = []
    for name, label in NAMES.items():
        other = plus_minus(topic[name]) if name in topic else "-"
        megabytes = [f"{memory[name][part] / 1e6:.2f}" for part in ("weights", "gradients", "optimizer")]
        rows.append([label, plus_minus(sentiment[name]), other, *megabytes])
    return {"columns": ["method", "sentiment", "topic", "weights MB", "gradients MB", "optimizer MB"], "rows": rows}


def merges_table(measured: dict) -> dict:
    ways = {
        "attached": "adapter attached, as trained",
        "exact": "merged: W_q + update, 32 bits",
        "requantized": "merged and quantized again, 4 bits",
        "original": "update added to W in place of W_q",
    }
    rows = [
        [label, *(plus_minus([seed[way]["score"] for seed in seeds]) for seeds in measured.values())]
        for way, label in ways.items()
    ]
    return {"columns": ["", *measured], "rows": rows}


def numbers(measured: dict) -> dict[str, float]:
    """What the text quotes one by one."""
    found = {}
    for name in FORMATS:
        for size in BLOCKS:
            found[f"{name}_error_{size}"] = mean(100 * seed["errors"][name][str(size)] for seed in measured["normal"])
            found[f"{name}_real_error_{size}"] = mean(
                100 * base["errors"][name][str(size)] for base in measured["real"].values()
            )
        found[f"{name}_loss_rise"] = mean(mean(loss_rise(losses, name)) for losses in measured["loss"].values())
    for name in FORMATS[:3]:
        used = [sum(seed["shares"][name][code] for seed in measured["normal"]) / len(measured["normal"])
                for code in range(len(measured["normal"][0]["shares"][name]))]  # fmt: skip
        used = [share for share in used if share]
        found[f"{name}_rarest"], found[f"{name}_commonest"] = 100 * min(used), 100 * max(used)
        found[f"{name}_entropy"] = -sum(share * math.log2(share) for share in used)
    for base, values in measured["real"].items():
        found[f"kurtosis_{base}"] = values["kurtosis"]
    for rows, times in measured["speed"].items():
        found[f"slower_{rows}"] = min(times["qlora"]) / min(times["lora"])  # other programs only make a round slower
    for task in ("sentiment", "topic"):
        for name, values in scores(measured, task).items():
            found[f"{task}_{name}"] = mean(values)
        seeds = measured["merges"][task]
        for way in ("attached", "exact", "requantized", "original"):
            found[f"{task}_{way}"] = mean(seed[way]["score"] for seed in seeds)
        found[f"{task}_update"] = mean(100 * seed["attached"]["update"] for seed in seeds)
        found[f"{task}_lost"] = mean(100 * seed["attached"]["lost"] for seed in seeds)
        found[f"{task}_requantized_error"] = mean(100 * seed["requantized"]["error"] for seed in seeds)
        found[f"{task}_update_gone"] = 100 * found[f"{task}_requantized_error"] / found[f"{task}_update"]
    return found


def figures(results: dict, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    draw_levels(pyplot, results["runs"], folder / "levels.png")
    draw_errors(pyplot, results["runs"], folder / "errors.png")


def draw_levels(pyplot, measured: dict, path: Path) -> None:
    """The levels of each format as lines over the numbers that they have to stand for."""
    histogram = torch.tensor([seed["histogram"] for seed in measured["normal"]]).mean(0) * 30  # a density
    places = torch.linspace(-1, 1, 61)
    centres = ((places[:-1] + places[1:]) / 2).tolist()
    figure, panels = pyplot.subplots(3, 1, figsize=(7, 5.4), dpi=150, facecolor="white", sharex=True)
    for axes, name, title in zip(panels, FORMATS[:3], ("NF4", "FP4", "Int4"), strict=True):
        axes.bar(centres, histogram.tolist(), width=2 / 60, color="#c9d6e8", label="w / absmax, blocks of 64")
        levels = LEVELS[name]()
        for level in levels[levels.abs() <= 1].tolist():
            axes.axvline(level, color="#b0413e", linewidth=1.3)
        axes.set_title(f"{title}: {len(levels[levels.abs() <= 1].unique())} different levels", fontsize=11, loc="left")
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[-1].set_xlabel("w / absmax of its block: the numbers (blue), the levels (red)", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def draw_errors(pyplot, measured: dict, path: Path) -> None:
    """Error by block size, on normal numbers and on the weights of the bases."""
    figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.9), dpi=150, facecolor="white", sharey=True)
    colours = {"int4": "#b0413e", "fp4": "#d98e2b", "nf4": "#2b6cb0", "int8": "#4a7c59"}
    real = list(measured["real"].values())
    for axes, weights, title in zip(
        panels, (measured["normal"], real), ("normal numbers", "our five bases, mean"), strict=True
    ):
        for name, colour in colours.items():
            values = [mean(100 * entry["errors"][name][str(size)] for entry in weights) for size in BLOCKS]
            axes.plot(BLOCKS, values, marker="o", markersize=4, color=colour, label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(BLOCKS, [str(size) for size in BLOCKS])
        axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("numbers in a block")
    panels[0].set_ylabel("error, % of the weights' size")
    panels[1].legend(fontsize=10)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


if __name__ == "__main__":
    main(__file__, runs, summary, figures)
