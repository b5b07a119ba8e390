"""What 4 bits take from a base that nobody has tuned: bytes, errors, loss, skills, and where better starts begin."""

from collections.abc import Callable
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

import minipeft
from minipeft.memory.counting import step_memory
from minipeft.methods.low_rank.loftq import LoftQ
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.methods.selective.full import Full
from minipeft.pretraining.batches import TextStream
from minipeft.pretraining.held_out import held_out_batches, mean_loss
from minipeft.pretraining.skills import PROBES, SKILLS, auc, probes
from minipeft.quantization.blockwise import dequantize, quantize, scale_to_one
from minipeft.quantization.data_types import LEVELS
from minipeft.quantization.linear import QuantizedLinear

BASES = {"t5-0.4m": "prefix", "t5-0.8m": "prefix", "t5-1.7m": "prefix"}  # and the objective of its texts
FORMATS = ("nf4", "fp4", "int4", "int8")
WHOLE = 65536  # numbers in a block: more than a matrix of these bases has, so one scale for all of it
BLOCKS = (16, 32, 64, 128, 256, 512, 1024, WHOLE)
COARSE = {f"{name}_whole": (name, WHOLE) for name in FORMATS[:3]}
STORED = {name: (name, 64) for name in FORMATS} | COARSE  # format and block size
STARTS = {"qlora": QLoRA(), "loftq1": LoftQ(iterations=1), "loftq5": LoftQ(iterations=5), "qpissa": QPiSSA()}


def block_layers(model: nn.Module) -> list[nn.Linear]:
    """The layers that QLoRA quantizes: the linear ones in the blocks."""
    return [layer for path, layer in model.named_modules() if "blocks." in path and isinstance(layer, nn.Linear)]


def block_weights(model: nn.Module) -> list[Tensor]:
    return [layer.weight.detach() for layer in block_layers(model)]


def stored(base: str) -> dict:
    """Parameters in all and in the blocks, bits that one in a block takes, and bytes of a step by method."""
    model, task = minipeft.load(base), minipeft.load_task("sentiment")
    weights = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    weights["in_blocks"] = sum(weight.numel() for weight in block_weights(model))
    for name, double in (("bits", False), ("bits_double", True)):
        stored_bytes = [QuantizedLinear(layer, "nf4", 64, double).stored_bytes() for layer in block_layers(model)]
        weights[name] = 8 * sum(stored_bytes) / weights["in_blocks"]
    memory = {}
    for name, method in {"full": Full(), "lora": LoRA(), "nf4": QLoRA()}.items():
        method.attach(model)
        memory[name] = step_memory(model, method, task, batch_size=32)
        method.detach()
    return {**weights, "memory": memory}


def relative_error(weights: list[Tensor], format: str, block_size: int) -> float:
    """|stored - W| / |W| over all the matrices together."""
    lost = total = 0.0
    for weight in weights:
        kept_weight = dequantize(*quantize(weight, format, block_size), weight.shape, format, block_size)
        lost, total = lost + float((kept_weight - weight).square().sum()), total + float(weight.square().sum())
    return (lost / total) ** 0.5


def all_errors(weights: list[Tensor]) -> dict:
    return {name: {size: relative_error(weights, name, size) for size in BLOCKS} for name in FORMATS}


def normal_weights(seed: int) -> dict:
    """A matrix of normal numbers: errors, how often each code is used, and what w / absmax looks like."""
    weight = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(seed))
    scaled, _ = scale_to_one(weight.view(-1), 64)
    inner = scaled[scaled.abs() < 1]  # without the largest number of each block
    return {
        "errors": all_errors([weight]),
        "shares": {name: shares(scaled, LEVELS[name]()) for name in FORMATS[:3]},
        "histogram": torch.histc(inner, 60, -1, 1).div(len(scaled)).tolist(),
    }


def shares(scaled: Tensor, levels: Tensor) -> list[float]:
    """How often each level is the nearest one, from the lowest level to the highest, equal levels as one."""
    levels = levels.unique()
    rank = torch.bucketize(scaled, (levels[:-1] + levels[1:]) / 2)
    return (torch.bincount(rank, minlength=len(levels)) / len(scaled)).tolist()


def real_weights(base: str) -> dict:
    """The same errors on a pretrained base, and its kurtosis: 3 where weights are normal, more with long tails."""
    weights = block_weights(minipeft.load(base))
    centred = [weight - weight.mean() for weight in weights]
    kurtosis = mean(float(w.pow(4).mean() / w.square().mean() ** 2) for w in centred)
    return {"errors": all_errors(weights), "kurtosis": kurtosis}


@torch.no_grad()
def in_each_format(base: str, measure: Callable[[nn.Module], Any]) -> dict:
    """What `measure(model)` says of the base as it is, and stored in each format without any training."""
    model = minipeft.load(base)
    found = {"exact": measure(model)}
    for name, (format, block_size) in STORED.items():
        method = QLoRA(format=format, block_size=block_size)
        method.attach(model)  # B = 0: the model is the quantized base
        model.eval()
        found[name] = measure(model)
        method.detach()
    return found


def held_out(base: str, count: int) -> dict:
    """Loss on new texts, batch by batch."""
    batches = held_out_batches(TextStream(BASES[base]), count)
    return in_each_format(base, lambda model: [mean_loss(model, [batch]) for batch in batches])


def skills(base: str, draws: int) -> dict:
    """What the base reads in reviews, asked as in pretraining: by format and skill the AUC of each of `draws` parts."""
    asked = {skill: probes(skill, draws * PROBES) for skill in list(SKILLS)[:3]}
    parts = {name: [some[n::draws] for n in range(draws)] for name, some in asked.items()}
    return in_each_format(
        base,
        lambda model: {name: [auc(model, BASES[base], part) for part in some] for name, some in parts.items()},
    )


@torch.no_grad()
def starts(base: str, count: int) -> dict:
    """Before any training: how far the weight with its update is from W, and the loss, for three ways to start."""
    batches = held_out_batches(TextStream(BASES[base]), count)
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
