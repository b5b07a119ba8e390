"""Every module of every method runs in an empty file, under `import torch` and `from torch import nn` alone.

Each class is cut out of its file, executed there, built on plain parts and run forward and backward; its outputs and
gradients must be those of the class in its own file. The blocks and stacks of the transformers, and the quantized
layers, rest on other pieces of ours: they are pasted together with these, and with nothing else.
"""

import importlib
import inspect

import pytest
import torch
from helpers.conv1d import Conv1D
from helpers.models import FAMILIES, random_batch
from helpers.pasting import (
    Gives,
    Mean,
    PlainAdapter,
    PlainAttention,
    PlainPositions,
    PlainStack,
    cut_out,
    foreign_names,
    paste,
    run,
    with_its_parts,
)
from torch import nn

import minipeft
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoderConfig
from minipeft.transformer.llama import LlamaConfig

ROOMS = ("methods", "serving", "quantization", "transformer")
T5 = EncoderDecoderConfig(11, 6, 2, 3, 8, 1, 1)
GPT2 = DecoderOnlyConfig(11, 6, 2, 1, max_length=9)
LLAMA = LlamaConfig(11, 6, 4, 1, 5, 9, key_value_heads=2, head_size=4, query_key_value_bias=True, query_key_norm=True)


def random(*shape):
    return torch.randn(shape, requires_grad=True)


def linear():
    return nn.Linear(6, 4)


def square():
    return nn.Linear(6, 6)


def switched(module, **attributes):
    """The module with some of its attributes set, as the method around it does."""
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


ROTATION = (torch.rand(2, 1, 5, 2), torch.rand(2, 1, 5, 2))  # no true one: a class takes it as it comes
X, MASK = (2, 5, 6), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
IDS = torch.tensor([[3, 9, 0], [10, 2, 9]])  # the last two of eleven are virtual

ALONE = {  # how each class is built, and what it reads
    "TransposedLinear": lambda c: (c(Conv1D(4, 6)), (random(*X),)),
    "TokenHead": lambda c: (c(6, 2), (random(*X),)),
    "LabelHead": lambda c: (c(6, 9, [2, 5]), (random(*X),)),
    "LoRALinear": lambda c: (c(linear(), 3, 2.0), (random(*X),)),
    "DoRALinear": lambda c: (c(linear(), 3, 2.0), (random(*X),)),
    "PiSSALinear": lambda c: (c(linear(), 3, 2.0), (random(*X),)),
    "AdaLoRALinear": lambda c: (c(linear(), 3, 2.0), (random(*X),)),
    "SharedProjections": lambda c: (c(6, 4, 3, 0), (5, 3)),
    "VeRALinear": lambda c: (c(linear(), Projections()), (random(*X),)),
    "OFTLinear": lambda c: (c(linear(), 3), (random(*X),)),
    "ScaledOutput": lambda c: (c(linear()), (random(*X),)),
    "ScaledInput": lambda c: (c(linear()), (random(*X),)),
    "Adapter": lambda c: (c(6, 3), (random(*X),)),
    "AdaptedSublayer": lambda c: (c(linear(), nn.Linear(4, 4)), (random(*X),)),
    "DroppableSublayer": lambda c: (c(linear(), nn.Linear(4, 4)), (random(*X),)),
    "PfeifferAdapter": lambda c: (c(6, 3), (random(*X),)),
    "Bottleneck": lambda c: (c(6, 3), (random(*X),)),
    "ParallelSublayer": lambda c: (c(linear(), linear()), (random(*X),)),
    "Scaled": lambda c: (c(linear(), 2.5, True), (random(*X),)),
    "AdaptedHeads": lambda c: (c(PlainAttention(6, 2, 4), 3), (random(*X),)),
    "KroneckerLinear": lambda c: (c(6, 4, nn.Parameter(torch.randn(2, 2, 2))), (random(*X),)),
    "KroneckerAdapter": lambda c: (c(linear(), nn.Linear(4, 6)), (random(*X),)),
    "Fusion": lambda c: (c(6), (random(*X), random(2, 5, 3, 6))),
    "FusedSublayer": lambda c: (c(linear(), [PlainAdapter(4, 4), PlainAdapter(4, 4)], Mean()), (random(*X),)),
    "PromptedStack": lambda c: (c(PlainStack(6), torch.randn(4, 6)), (random(*X), MASK)),
    "PromptBank": lambda c: (c(PlainStack(6), torch.randn(3, 4, 6)), (random(*X), MASK)),
    "PrefixTable": lambda c: (c(torch.randn(2, 2, 3, 4, 5)), (1,)),
    "PrefixNetwork": lambda c: (c(2, 3, 4, 5, 6, 7), (1,)),
    "PrefixedAttention": lambda c: (c(PlainAttention(6, 2, 4), Gives(3, 2, 2, 7, 4), 1), (random(*X),)),
    "ShiftedPositions": lambda c: (c(PlainPositions(9, 6), 2), (MASK, 3)),
    "InfixEmbedding": lambda c: (c(nn.Embedding(9, 6), 9), (IDS,)),
    "InfixProjection": lambda c: (
        c(square(), Gives(3, 2, 2, 2, 3), 1, 0, switched(nn.Module(), infix_index=IDS - 9)),
        (random(2, 3, 6),),
    ),
    "EmbeddingNetwork": lambda c: (c(3, 6, 4), ()),
    "PrefixedStack": lambda c: (c(PlainStack(6), Gives(4, 6)), (random(*X), MASK)),
    "PromptTable": lambda c: (c(torch.randn(3, 6)), ()),
    "LSTMEncoder": lambda c: (c(3, 6), ()),
    "MLPEncoder": lambda c: (c(3, 6), ()),
    "VirtualEmbedding": lambda c: (c(nn.Embedding(9, 6), Gives(2, 6), 9), (IDS,)),
    "LoRASumLinear": lambda c: (
        c(linear(), torch.randn(3, 6), torch.randn(4, 3), torch.ones(3), torch.tensor([0, 0, 1])),
        (random(*X),),
    ),
    "MixedLoRALinear": lambda c: (
        switched(c(linear(), torch.randn(3, 2, 6), torch.randn(3, 4, 2), 0.5), rows=torch.tensor([2, 0])),
        (random(*X),),
    ),
    "SharedBlock": lambda c: (c(linear()), (random(*X),)),
    "TaskSublayer": lambda c: (switched(c(linear(), [nn.Linear(4, 4), nn.Linear(4, 4)]), task=1), (random(*X),)),
    "Attention": lambda c: (c(6, 2, 4, bias=True), (random(*X), random(2, 7, 6))),
    "GatedFeedForward": lambda c: (c(6, 8), (random(*X),)),
    "FeedForward": lambda c: (c(6, 8, "relu", True), (random(*X),)),
    "RMSNorm": lambda c: (c(6), (random(*X),)),
    "LearnedPositions": lambda c: (c(9, 6), (MASK, 3)),
    "RotaryPositions": lambda c: (c(9, 6, 100.0, (8.0, 0.5, 4.0, 30)), (MASK, 3)),
}


def read_twice(model):
    """The loss's gradients through a whole model, called as it is called in training."""
    return model, (random_batch(sources=(4, 2), targets=(2, 3)),)


WITH_PARTS = {
    "positions.RelativePositionBias": lambda c: (c(2, 8, 20, True), (3, 5)),
    "encoder_decoder.Block": lambda c: (c(T5, True), (random(*X), torch.zeros(1), random(2, 7, 6), torch.zeros(1))),
    "encoder_decoder.Stack": lambda c: (c(T5, False), (random(*X), MASK)),
    "encoder_decoder.EncoderDecoder": lambda c: read_twice(c(FAMILIES["t5"]().config)),
    "decoder_only.Block": lambda c: (c(GPT2), (random(*X), torch.zeros(1))),
    "decoder_only.CausalStack": lambda c: (c(GPT2), (random(*X), MASK)),
    "decoder_only.DecoderOnly": lambda c: read_twice(c(FAMILIES["gpt2"]().config)),
    "llama.RotaryAttention": lambda c: (c(LLAMA), (random(*X), None, None, None, ROTATION)),
    "llama.Block": lambda c: (c(LLAMA), (random(*X), torch.zeros(1), ROTATION)),
    "llama.Stack": lambda c: (c(LLAMA), (random(*X), MASK)),
    "llama.Llama": lambda c: read_twice(c(FAMILIES["llama"]().config)),
    "linear.QuantizedLinear": lambda c: (c(nn.Linear(6, 4), "int8", 5), (random(*X),)),
}
FROZEN = {"SharedProjections", "RotaryPositions"}  # numbers that are never trained
FACES = {"language_model.LanguageModel", "causal_model.CausalModel"}  # what families share, and no module by itself


class Projections(nn.Module):
    """The shared matrices of VeRA."""

    def __init__(self):
        super().__init__()
        self.A, self.B = (nn.Parameter(torch.randn(*shape)) for shape in ((3, 6), (4, 3)))

    def forward(self, in_features, out_features):
        return self.A, self.B


def every_module():
    """(file, class) of every nn.Module that the rooms of arithmetic define, by the name of its file and its own."""
    found = {}
    package = importlib.resources.files(minipeft)
    for room in ROOMS:
        for file in sorted((package / room).rglob("*.py")):
            name = ".".join(file.relative_to(package).with_suffix("").parts)
            module = importlib.import_module(f"minipeft.{name}")
            for kind in vars(module).values():
                if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == module.__name__:
                    found[f"{file.stem}.{kind.__name__}"] = module
    return found


MODULES = every_module()


def assert_same(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert len(one) == len(other)
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_module_of_the_rooms_is_pasted():
    alone = {name for name in MODULES if name.partition(".")[2] in ALONE and name not in WITH_PARTS}
    assert {name.partition(".")[2] for name in alone} == set(ALONE)
    assert set(MODULES) - alone == set(WITH_PARTS) | FACES


@pytest.mark.parametrize("name", [name for name in MODULES if name not in {*WITH_PARTS, *FACES}])
def test_a_class_runs_in_an_empty_file_as_in_its_own(name):
    class_name, module = name.partition(".")[2], MODULES[name]
    source = inspect.getsource(module)
    assert foreign_names(source, class_name) == set()
    pasted = paste(cut_out(source, class_name), class_name)
    outputs, gradients = run(ALONE[class_name], pasted)
    assert bool(gradients) != (class_name in FROZEN) and all(gradient.isfinite().all() for gradient in gradients)
    assert_same((outputs, gradients), run(ALONE[class_name], getattr(module, class_name)))


@pytest.mark.parametrize("name", WITH_PARTS)
def test_a_class_that_rests_on_others_runs_in_a_file_with_these_alone(name):
    class_name, module = name.partition(".")[2], MODULES[name]
    pasted = paste("\n\n".join(with_its_parts(module, class_name).values()), class_name)
    outputs, gradients = run(WITH_PARTS[name], pasted)
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    assert_same((outputs, gradients), run(WITH_PARTS[name], getattr(module, class_name)))


@pytest.mark.parametrize(
    "old, new, error",
    [
        ("return torch.linalg.solve(", "return gcd(1, 1) * torch.linalg.solve(", NameError),
        ("def forward(self, x: torch.Tensor)", "def forward(self, x: Tensor)", NameError),
        ("class OFTLinear(nn.Module)", "class OFTLinear(Module)", NameError),
    ],
)
def test_a_name_of_the_file_inside_a_class_is_noticed(old, new, error):
    source = "from math import gcd\nfrom torch import Tensor\nfrom torch.nn import Module\n"
    source += inspect.getsource(MODULES["oft.OFTLinear"])
    assert source.count(old) == 1
    source = source.replace(old, new)
    assert foreign_names(source, "OFTLinear")
    with pytest.raises(error):
        run(ALONE["OFTLinear"], paste(cut_out(source, "OFTLinear"), "OFTLinear"))
