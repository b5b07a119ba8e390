"""What linear methods share: which layers they wrap, what they write when merging, and where they must not."""

import copy

import pytest
import torch
from helpers.conv1d import Conv1D, Model
from helpers.scrambling import scramble
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from minipeft.errors import UserError
from minipeft.methods.linear_method import LinearMethod
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.pissa import PiSSA
from minipeft.methods.low_rank.qlora import QLoRA
from minipeft.methods.low_rank.vera import VeRA
from minipeft.methods.multiplicative.ia3 import IA3
from minipeft.methods.multiplicative.oft import OFT
from minipeft.methods.registry import METHODS
from minipeft.methods.selective.bitfit import BitFit
from minipeft.methods.selective.full import Full

MAKERS = {
    "lora": lambda *targets: LoRA(rank=2, alpha=3.0, targets=targets),
    "dora": lambda *targets: DoRA(rank=2, targets=targets),
    "pissa": lambda *targets: PiSSA(rank=2, alpha=3.0, targets=targets),
    "vera": lambda *targets: VeRA(rank=5, targets=targets),
    "adalora": lambda *targets: AdaLoRA(rank=3, target_rank=2, targets=targets),
    "qlora": lambda *targets: QLoRA(rank=2, targets=targets, format="int8", block_size=4, double_quantization=False),
    "oft": lambda *targets: OFT(block_size=2, targets=targets),
    "ia3": lambda *targets: IA3(targets=targets, feed_forward_targets=()),
}
every_method = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 4))


def test_every_linear_method_of_the_library_is_tried_here():
    linear = [kind for kind in METHODS.values() if issubclass(kind, LinearMethod)]
    parents = {kind.__mro__[kind.__mro__.index(LinearMethod) - 1] for kind in linear}
    assert parents == {type(make("0")) for make in MAKERS.values()} - {QLoRA}


@pytest.mark.parametrize(
    "method",
    [LoRA(rank=2, alpha=3.0, targets=("first", "second")), IA3(targets=("first",), feed_forward_targets=("second",))],
    ids=["lora", "ia3"],
)
def test_merging_into_a_transposed_layer_keeps_the_outputs_and_its_shape(method):
    torch.manual_seed(0)
    model, x = Model(), torch.randn(4, 6, 5)
    before, start = model.first.weight.detach().clone(), model(x)
    method.attach(model)
    assert torch.equal(model(x), start)
    scramble(method, seed=0)
    expected = model(x)
    method.merge()
    assert type(model.first) is Conv1D and model.first.weight.shape == (5, 7)
    assert not torch.equal(model.first.weight, before)
    torch.testing.assert_close(model(x), expected)


def test_a_target_that_no_linear_layer_has_lists_both_kinds():
    with pytest.raises(UserError, match="matches no Conv1D or Linear .*'first'.*There are: first, second"):
        LoRA(targets=("frist",)).attach(Model())


@every_method
def test_a_layer_that_stands_in_two_places_is_merged_once(make):
    shared = nn.Linear(4, 4)
    model, x, method = nn.Sequential(shared, nn.Tanh(), shared), torch.randn(5, 4), make("0", "2")
    method.attach(model)
    assert model[0] is model[2]
    scramble(method, seed=0)
    expected = model(x)
    method.merge()
    assert model[0] is shared and model[2] is shared
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


def half_wrapped():
    """One layer in two places, of which the first alone is a target."""
    model = network()
    model.append(model[0])
    return model


def tied():
    """Two layers with one weight, as a head tied to an embedding."""
    model = network()
    model.append(nn.Linear(6, 4))
    model[3].weight = model[0].weight
    return model


def same_memory():
    """Two parameters that are one block of memory."""
    model = network()
    model.append(nn.Linear(6, 4))
    model[3].weight = nn.Parameter(model[0].weight.detach())
    return model


def overlapping():
    """Two parameters that have some rows of one block of memory in common, and start at different places."""
    model, rows = network(), torch.randn(6, 6)
    model.append(nn.Linear(6, 4))
    model[0].weight, model[3].weight = nn.Parameter(rows[:4]), nn.Parameter(rows[2:])
    return model


def seen_by_a_buffer():
    """A buffer of another module that is a part of the weight."""
    model = network()
    model.append(nn.Identity())
    model[3].register_buffer("rows", model[0].weight.detach()[1:3])
    return model


@every_method
@pytest.mark.parametrize("build", [half_wrapped, tied, same_memory, overlapping, seen_by_a_buffer])
def test_a_weight_that_another_layer_uses_unwrapped_is_not_merged_into(make, build):
    model, method = build(), make("0", "2")
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    scramble(method, seed=0)
    with pytest.raises(UserError, match="0 shares its weight with another module"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@every_method
@pytest.mark.parametrize("dim", [0, 1], ids=["rows", "columns"])
def test_weights_that_are_parts_of_one_tensor_without_a_common_number_are_merged(make, dim):
    model, x, method = network(), torch.randn(5, 6), make("0")
    whole = torch.randn(8, 6) if dim == 0 else torch.randn(4, 12)
    first, second = whole.chunk(2, dim)
    model.append(nn.Linear(4, 6)).append(nn.Linear(6, 4))
    model[0].weight, model[4].weight = nn.Parameter(first), nn.Parameter(second)
    untouched = second.clone()
    method.attach(model)
    scramble(method, seed=0)
    expected = model(x)
    method.merge()
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(model[4].weight, untouched)


@every_method
def test_a_weight_that_repeats_numbers_is_refused_before_anything_is_changed(make):
    model, method = network(), make("0", "2")
    model[2].weight = nn.Parameter(model[2].weight.detach()[:1].expand(4, 4))
    before = copy.deepcopy(model[0].weight)
    method.attach(model)
    scramble(method, seed=0)
    with pytest.raises(UserError, match="The weight of 2 repeats numbers"):
        method.merge()
    method.detach()
    assert torch.equal(model[0].weight, before)


def test_training_parameters_that_repeat_numbers_in_place_is_refused():
    model = network()
    model[2].bias = nn.Parameter(torch.ones(1).expand(3))
    with pytest.raises(UserError, match="bitfit cannot train parameters that repeat numbers"):
        METHODS["bitfit"]().attach(model)


@every_method
def test_a_layer_that_was_taken_out_of_the_model_is_missed_when_merging(make):
    model, method = network(), make("0", "2")
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    del model[2]
    with pytest.raises(UserError, match="was taken out of the model: put it back, or detach"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@every_method
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_merged_after_a_cast_the_whole_model_is_of_the_new_type(make, bias):
    torch.manual_seed(0)
    model, method = nn.Sequential(nn.Linear(6, 4, bias=bias), nn.Linear(4, 4, bias=bias)), make("0", "1")
    method.attach(model)
    scramble(method, seed=0)
    model.double()
    x = torch.randn(5, 6, dtype=torch.float64)
    expected = model(x)
    method.merge()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-5)


def test_a_bias_that_others_share_stops_only_what_changes_it():
    for make, refused in ((MAKERS["lora"], False), (MAKERS["ia3"], True)):
        model, method = network(), make("0")
        model[2].bias = model[0].bias
        method.attach(model)
        scramble(method, seed=0)
        if refused:
            with pytest.raises(UserError, match="0 shares its bias with another module"):
                method.merge()
        else:
            method.merge()


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


PARAMETRIZATIONS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "a user's own": lambda layer: parametrize.register_parametrization(layer, "weight", Doubled()),
    "weight norm, by hooks": weight_norm,
    "spectral norm, by hooks": spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 3),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning", "ignore:.*deprecated.*")
@every_method
@pytest.mark.parametrize("change", PARAMETRIZATIONS.values(), ids=PARAMETRIZATIONS)
def test_a_weight_that_is_computed_from_others_is_refused_before_anything_is_changed(make, change):
    model, x = network(), torch.randn(3, 6)
    change(model[2])
    model.eval()
    model(x)  # what hooks compute
    expected, before, method = model(x), copy.deepcopy(dict(model.named_parameters())), make("0", "2")
    method.attach(model)
    scramble(method, seed=0)
    with pytest.raises(UserError, match="The weight of 2 is computed from other parameters"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert torch.equal(model(x), expected)


def test_a_bias_that_is_computed_is_refused_where_merging_changes_it():
    model, method = network(), MAKERS["ia3"]("0")
    parametrize.register_parametrization(model[0], "bias", Doubled())
    method.attach(model)
    with pytest.raises(UserError, match="The bias of 0 is computed from other parameters"):
        method.merge()


@every_method
@pytest.mark.parametrize("wrong", [torch.inf, -torch.inf, torch.nan])
def test_an_update_that_is_not_finite_is_not_merged_and_the_base_stays(make, wrong):
    model, method = network(), make("0", "2")
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    name, parameter = list(method.named_parameters().items())[-1]
    with torch.no_grad():
        parameter[(0,) * parameter.dim()] = wrong
    with pytest.raises(UserError, match=f"{name} is not finite everywhere: nothing was merged"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_sum_that_overflows_is_not_merged():
    model, method = network().half(), LoRA(rank=1, alpha=1.0, targets=("0", "2"))
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    with torch.no_grad():
        model[2].A.fill_(300.0)
        model[2].B.fill_(300.0)  # 90,000 is more than 16 bits hold
    with pytest.raises(UserError, match="merged weight of 2 would not be finite: nothing was merged"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", [BitFit(), Full()], ids=["bitfit", "full"])
def test_what_was_trained_in_place_and_is_not_finite_stays_attached_too(method):
    model = network()
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    with torch.no_grad():
        model[2].bias[1] = torch.nan
    with pytest.raises(UserError, match="2.bias is not finite everywhere"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@every_method
def test_merging_keeps_the_mode_the_model_is_in_and_detaching_brings_back_the_old_one(make):
    for leave in ("merge", "detach"):
        model, method = network().append(nn.Dropout(0.5)), make("0", "2")
        model[1].eval()
        method.attach(model)
        model.eval()
        getattr(method, leave)()
        assert [module.training for module in model.modules()] == (
            [False] * 5 if leave == "merge" else [True, True, False, True, True]
        )


class Foreign(nn.Linear):
    """A linear layer with its weight in codes, as other libraries quantize."""

    def __init__(self, dtype):
        super().__init__(6, 4)
        codes = torch.zeros(12, 1).to(dtype)
        self.weight = nn.Parameter(codes, requires_grad=False)


@every_method
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.float8_e4m3fn, torch.complex64], ids=str)
def test_a_layer_quantized_by_others_is_refused_when_attached(make, dtype):
    model, method = nn.Sequential(nn.Linear(6, 6), Foreign(dtype)), make("0", "1")
    with pytest.raises(UserError, match=rf"The weight of 1 is a Parameter of type {dtype}.*cannot be read here"):
        method.attach(model)
    assert type(model[0]) is nn.Linear and not hasattr(model, "attached_method")
    make("0").attach(model)  # beside it everything goes on


class Packed(nn.Parameter):
    """A parameter of a class of its own, which keeps more than the numbers that it shows."""


def test_a_weight_of_a_foreign_class_is_refused_when_attached():
    model = network()
    model[0].weight = Packed(model[0].weight.detach())
    with pytest.raises(UserError, match="The weight of 0 is a Packed of type torch.float32"):
        LoRA(targets=("0",)).attach(model)


def test_full_tuning_of_a_quantized_layer_is_refused():
    model = nn.Sequential(Foreign(torch.uint8))
    with pytest.raises(UserError, match="full cannot train parameters of type torch.uint8"):
        Full().attach(model)
    assert not hasattr(model, "attached_method")


def attention():
    return nn.ModuleDict({"a": nn.MultiheadAttention(8, 2)})


def test_dropout_where_torchs_attention_reads_the_weight_is_refused():
    model = attention()
    with pytest.raises(UserError, match="a.out_proj: torch's MultiheadAttention reads weights .* so dropout cannot"):
        LoRA(rank=2, targets=("out_proj",), dropout=0.5).attach(model)
    assert not hasattr(model, "attached_method")
    LoRA(rank=2, targets=("out_proj",)).attach(model)


def test_dropout_acts_in_the_feed_forward_part_of_torchs_layer():
    """It calls these layers while training; in eval mode it reads their weights, and dropout does nothing there."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    method, x = LoRA(rank=2, targets=("linear1", "linear2"), dropout=0.5), torch.randn(2, 5, 8)
    method.attach(model)
    scramble(method, seed=0)
    assert not torch.equal(model.train()(x), model(x))
    with torch.no_grad():
        assert torch.equal(model.eval()(x), model(x))
