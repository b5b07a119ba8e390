"""The methods that act on linear layers, norms or biases, on modules that are no model of this library.

A row is a method whose targets, if it has any, are the layers that end in "0" and "3"; a new method adds a row.
"""

import copy
import json

import pytest
import torch
from torch import nn

from minipeft import METHODS
from minipeft.errors import UserError
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.loftq import LoftQ
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.pissa import PiSSA
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.qpissa import QPiSSA
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.methods.low_rank.vera import VeRA
from minipeft.methods.multiplicative.ia3 import IA3
from minipeft.methods.selective.bitfit import BitFit
from minipeft.methods.selective.freeze_layers import FreezeLayers
from minipeft.methods.selective.full import Full
from minipeft.methods.selective.norm_tuning import NormTuning
from minipeft.methods.targets import replace_modules
from minipeft.training.adapter_files import load_adapter, save_adapter

LAYERS = ("0", "3")
METHOD_MAKERS = {
    "lora": lambda: LoRA(rank=2, alpha=3.0, targets=LAYERS, rank_pattern={"3": 1}),
    "rslora": lambda: RSLoRA(rank=3, alpha=3.0, targets=LAYERS),
    "lora_plus": lambda: LoRAPlus(rank=2, targets=LAYERS, ratio=4.0),
    "dora": lambda: DoRA(rank=2, targets=LAYERS),
    "pissa": lambda: PiSSA(rank=2, alpha=3.0, targets=LAYERS),
    "vera": lambda: VeRA(rank=9, targets=LAYERS),
    "adalora": lambda: AdaLoRA(rank=2, target_rank=2, targets=LAYERS),
    "qlora": lambda: QLoRA(rank=2, targets=LAYERS, block_size=8),
    "loftq": lambda: LoftQ(rank=2, targets=LAYERS, block_size=8),
    "qpissa": lambda: QPiSSA(rank=2, targets=LAYERS, block_size=8),
    "ia3": lambda: IA3(targets=("0",), feed_forward_targets=("3",)),
    "bitfit": BitFit,
    "norm_tuning": NormTuning,
    "full": Full,
}


class Conv1D(nn.Module):
    """y = x W + b with W: (in, out), as transformers' GPT-2 has it."""

    def __init__(self, out_features, in_features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, out_features) / in_features**0.5)
        self.bias = nn.Parameter(torch.randn(out_features))

    def forward(self, x):
        return x @ self.weight + self.bias


class T5LayerNorm(nn.Module):
    """A scale without a mean, as transformers' T5 has it."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return self.weight * x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()


class Branches(nn.Module):
    """Layers in a dictionary and in a list, one of them used twice."""

    def __init__(self):
        super().__init__()
        self.sides = nn.ModuleDict({side: perceptron() for side in ("left", "right")})
        self.rest = nn.ModuleList([nn.Linear(6, 6), T5LayerNorm(6)])

    def forward(self, x):
        x = self.sides["left"](x) * self.sides["right"](x)
        return self.rest[0](self.rest[1](self.rest[0](x)))


def perceptron():
    return nn.Sequential(nn.Linear(7, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 6, bias=False))


MODELS = {
    "perceptron": perceptron,
    "transposed": lambda: nn.Sequential(Conv1D(5, 7), T5LayerNorm(5), nn.Tanh(), Conv1D(6, 5)),
    "branches": Branches,
}
every_case = pytest.mark.parametrize(
    "make_model, make_method",
    [pytest.param(m, n, id=f"{a}-{b}") for a, m in MODELS.items() for b, n in METHOD_MAKERS.items()],
)
x = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def new(make_model):
    """The model with every number, norms and biases too, away from 0 and 1; always the same."""
    torch.manual_seed(1)
    model = make_model().double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model


def train(model, method, steps=3):
    """A few steps with plain PyTorch."""
    optimizer = torch.optim.Adam(method.parameter_groups(0.05), lr=0.05)
    for step in range(steps):
        optimizer.zero_grad()
        ((model(x) - 1).square().mean() + method.penalty()).backward()
        method.after_backward(step, steps)
        optimizer.step()
        method.after_step(step, steps)


@every_case
def test_attached_it_computes_as_before_and_training_moves_what_is_trained_and_nothing_else(make_model, make_method):
    model, method = new(make_model), make_method()
    expected = model(x)
    method.attach(model)
    if method.starts_at_identity:
        assert torch.equal(model(x), expected)
    else:  # quantized: near the base
        assert 0 < (model(x) - expected).norm() < 0.25 * expected.norm()
    expected = model(x)
    trained = method.named_parameters()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    train(model, method)
    assert trained and (model(x) - expected).abs().max() > 1e-3
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != (name in trained), name
        assert parameter.grad is None or name in trained


@every_case
def test_merged_it_is_the_plain_module_with_the_same_outputs_or_says_why_not(make_model, make_method):
    model, method = new(make_model), make_method()
    kinds, shapes = [type(module) for module in model.modules()], {n: p.shape for n, p in model.named_parameters()}
    method.attach(model)
    train(model, method)
    expected = model(x)
    if not method.can_merge:
        with pytest.raises(UserError, match="cannot be merged"):
            method.merge()
        return
    method.merge()
    torch.testing.assert_close(model(x), expected, atol=1e-10, rtol=1e-10)
    assert [type(module) for module in model.modules()] == kinds
    assert {name: parameter.shape for name, parameter in model.named_parameters()} == shapes


@every_case
def test_detached_it_is_the_module_as_it_was_bit_for_bit(make_model, make_method):
    model, method = new(make_model), make_method()
    modules, values, expected = list(model.modules()), copy.deepcopy(model.state_dict()), model(x)
    method.attach(model)
    train(model, method)
    method.detach()
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in values.items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(model(x), expected)


@every_case
def test_saved_to_a_file_and_loaded_on_a_fresh_module_it_computes_the_same_bits(make_model, make_method, tmp_path):
    model, method = new(make_model), make_method()
    method.attach(model)
    train(model, method)
    save_adapter(tmp_path / "adapter.pt", model, method)
    fresh = new(make_model)
    loaded = load_adapter(tmp_path / "adapter.pt", fresh, METHODS)
    assert torch.equal(fresh(x), model(x)) and not torch.equal(fresh(x), new(make_model)(x))
    assert json.loads(json.dumps(loaded.hyperparameters())) == json.loads(json.dumps(method.hyperparameters()))


@pytest.mark.parametrize("name", METHOD_MAKERS)
def test_default_targets_that_do_not_fit_are_refused_with_the_names_there_are(name):
    method, model = METHODS[name](), perceptron()
    if not hasattr(method, "targets"):
        return
    with pytest.raises(UserError, match=r"matches no Linear of this model.*There are: 0, 3\.$"):
        method.attach(model)
    assert not hasattr(model, "attached_method") and all(weight.requires_grad for weight in model.parameters())


def test_what_a_module_does_not_have_is_said():
    for method, words in (
        (BitFit(), "this model has none"),
        (NormTuning(), "this model has none"),
        (FreezeLayers(), "minipeft.load"),
    ):
        with pytest.raises(UserError, match=words):
            method.attach(nn.Sequential(nn.Linear(3, 2, bias=False)))


def test_biases_and_norms_of_other_modules_are_found_under_their_own_names():
    module = nn.ModuleDict(
        {"attention": nn.MultiheadAttention(8, 2), "lstm": nn.LSTM(8, 3), "norm": T5LayerNorm(8), "up": Conv1D(5, 8)}
    )
    for method, names in (
        (
            BitFit(),
            {"attention.in_proj_bias", "attention.out_proj.bias", "lstm.bias_ih_l0", "lstm.bias_hh_l0", "up.bias"},
        ),
        (NormTuning(), {"norm.weight"}),
    ):
        method.attach(module)
        assert set(method.named_parameters()) == names
        method.detach()


def test_a_model_with_counters_among_its_buffers_has_a_fingerprint():
    model = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5))  # num_batches_tracked has no dimension
    LoRA(targets=("0",)).attach(model)
    assert len(model.attached_method.fingerprint) == 64


class Doubled(nn.Module):
    """A wrapper that shows no weight."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear

    def forward(self, x):
        return 2 * self.linear(x)


@pytest.mark.parametrize("target", ["linear1", "self_attn.out_proj"])
def test_where_torch_reads_weights_itself_a_wrapper_without_one_is_refused(target):
    model = nn.TransformerEncoderLayer(8, 2, 12)
    with pytest.raises(UserError, match=f"{target}: torch's .* reads weights without calling layers, so no Doubled"):
        replace_modules(model, [target], Doubled)
    assert not any(isinstance(module, Doubled) for module in model.modules())


@pytest.mark.parametrize("name", METHOD_MAKERS)
def test_torchs_own_transformer_layer_reads_the_adapted_weights_or_the_method_refuses_it(name):
    """In eval mode it does not call its layers but reads their weights: an adapter there must not be skipped."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    method, vectors = METHOD_MAKERS[name](), torch.randn(2, 5, 8)
    if hasattr(method, "feed_forward_targets"):
        method.targets, method.feed_forward_targets = ("linear1",), ()
    elif hasattr(method, "targets"):
        method.targets = ("linear1", "out_proj", "linear2")
    if hasattr(method, "rank_pattern"):
        method.rank_pattern = {"out_proj": 1}
    try:
        method.attach(model)
    except UserError as error:
        assert "reads weights without calling layers" in str(error) and type(model.linear1) is nn.Linear
        return
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    expected = model.train()(vectors)
    expected.square().sum().backward()
    assert all(parameter.grad.any() for parameter in method.named_parameters().values())
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(vectors), expected, atol=1e-5, rtol=1e-5)
        if method.can_merge:
            method.merge()
            torch.testing.assert_close(model.eval()(vectors), expected, atol=1e-5, rtol=1e-5)


def test_a_linear_layer_that_is_the_whole_model_has_no_place_to_be_wrapped_in():
    with pytest.raises(UserError, match="The model itself is a Linear: put it into an nn.Sequential"):
        METHODS["lora"](targets=("weight",)).attach(nn.Linear(4, 4))
