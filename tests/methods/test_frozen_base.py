"""The base under a method: what detach brings back, and what a file refuses to be named after."""

import copy
import re

import pytest
import torch
from helpers.laws import new_model
from helpers.models import SLOW_LLAMA
from torch import nn

from minipeft import METHODS
from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.selective.bitfit import BitFit
from minipeft.methods.selective.full import Full
from minipeft.training.adapter_files import load_adapter, save_adapter


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3))


def batches(model, count=3):
    torch.manual_seed(1)
    for _ in range(count):
        model(2 + torch.randn(16, 6))


def same(model, state):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("make", [lambda: LoRA(targets=("0", "3")), BitFit, Full], ids=["lora", "bitfit", "full"])
def test_detaching_brings_back_what_batchnorm_has_counted(make):
    model, method = network(), make()
    before, buffer = copy.deepcopy(model.state_dict()), model[1].running_mean
    method.attach(model)
    batches(model)
    assert model[1].running_mean.any()
    method.detach()
    assert same(model, before) and model[1].running_mean is buffer


def test_detaching_brings_back_buffers_that_were_replaced_emptied_or_resized():
    model = network()
    model.register_buffer("table", torch.arange(4.0), persistent=False)
    model.register_buffer("other", torch.arange(3.0))
    before, method = copy.deepcopy(model.state_dict()), LoRA(targets=("0",))
    method.attach(model)
    model.table, model.other, model[1].running_var = torch.zeros(9), None, torch.ones(4) * 7
    method.detach()
    assert same(model, before) and model.table.tolist() == [0, 1, 2, 3] and model.other.tolist() == [0, 1, 2]


def test_a_model_that_was_moved_or_cast_stays_so_when_it_is_detached():
    model, method = network(), LoRA(targets=("0",))
    method.attach(model)
    batches(model)
    model.double()
    method.detach()
    assert model[1].running_mean.dtype == torch.float64 and not model[1].running_mean.any()


def test_a_file_is_refused_where_batchnorm_has_counted_and_written_where_it_has_not(tmp_path):
    model, method = network(), LoRA(rank=2, targets=("0", "3"))
    base = copy.deepcopy(model)
    method.attach(model)
    batches(model.eval())
    save_adapter(tmp_path / "good.pt", model, method)
    load_adapter(tmp_path / "good.pt", base, METHODS)
    batches(model.train())
    with pytest.raises(UserError, match=r"'1.running_mean' of the base has changed since lora was attached.*eval mode"):
        save_adapter(tmp_path / "bad.pt", model, method)
    assert not (tmp_path / "bad.pt").exists()


@torch.no_grad()
def test_a_checkpoint_that_is_read_late_is_noticed(tmp_path):
    model, method = new_model("gpt2"), PromptTuning(init="uniform")
    method.attach(model)
    model.head.weight.copy_(torch.randn_like(model.head.weight))
    with pytest.raises(UserError, match="'embedding.weight' of the base has changed.*load all weights before"):
        save_adapter(tmp_path / "bad.pt", model, method)


def test_a_weight_under_a_wrapper_is_looked_at_too(tmp_path):
    model, method = network(), LoRA(rank=2, targets=("0",))
    method.attach(model)
    with torch.no_grad():
        model[0].linear.weight[0, 0] += 1
    with pytest.raises(UserError, match="'0.weight' of the base has changed"):
        save_adapter(tmp_path / "bad.pt", model, method)


def test_what_a_method_trains_in_place_is_no_change_of_the_base(tmp_path):
    for method in (BitFit(), Full()):
        model, fresh = network().eval(), network()
        method.attach(model)
        with torch.no_grad():
            model[3].bias.add_(1.0)
        save_adapter(tmp_path / "own.pt", model, method)
        load_adapter(tmp_path / "own.pt", fresh, METHODS)
        assert torch.equal(fresh[3].bias, model[3].bias)


@pytest.mark.parametrize("trains", [False, True], ids=["set", "trained"])
def test_a_head_that_the_user_trains_along_is_refused_by_name(tmp_path, trains):
    model, method = network().eval(), LoRA(rank=2, targets=("0",))
    method.attach(model)
    model[3].requires_grad_(True)
    if trains:
        with torch.no_grad():
            model[3].weight.mul_(2)
    with pytest.raises(UserError, match=r"'3.weight' was set to be trained after lora .* and is no part of it"):
        save_adapter(tmp_path / "head.pt", model, method)
    if trains:
        model[3].requires_grad_(False)
        with pytest.raises(UserError, match="'3.weight' of the base has changed"):
            save_adapter(tmp_path / "head.pt", model, method)
    assert not (tmp_path / "head.pt").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_a_model_that_was_cast_after_attaching_is_refused_with_the_two_types(tmp_path, dtype):
    model, method = new_model("t5"), LoRA(rank=2)
    method.attach(model)
    model.to(dtype)
    words = re.escape(
        f"was torch.float32 when lora was attached and is {dtype} now: load the base in the type you want"
    )
    with pytest.raises(UserError, match=words):
        save_adapter(tmp_path / "cast.pt", model, method)


def test_parameters_of_the_method_that_were_cast_or_frozen_are_refused(tmp_path):
    model, method = network().eval(), LoRA(rank=2, targets=("0",))
    method.attach(model)
    model[0].A.requires_grad_(False)
    with pytest.raises(UserError, match="'0.A' of lora was frozen after attaching"):
        save_adapter(tmp_path / "frozen.pt", model, method)
    model[0].A.requires_grad_(True)
    model[0].A.data = model[0].A.data.half()
    with pytest.raises(UserError, match="'0.A' of lora was torch.float32 when attached and is torch.float16 now"):
        save_adapter(tmp_path / "cast.pt", model, method)


def test_what_was_added_to_the_model_later_and_would_be_trained_is_refused_by_name(tmp_path):
    model, fresh, method = network().eval(), network(), LoRA(rank=2, targets=("0",))
    method.attach(model)
    nn.init.normal_(model[0].B)
    model.append(nn.Linear(3, 2))
    with pytest.raises(UserError, match="'4.weight' was added to the model after lora had been attached"):
        save_adapter(tmp_path / "added.pt", model, method)
    model[4].requires_grad_(False)
    save_adapter(tmp_path / "added.pt", model, method)
    load_adapter(tmp_path / "added.pt", fresh, METHODS)
    assert torch.equal(fresh[0].B, model[0].B)


@pytest.mark.parametrize("field, value", [("rank", 7), ("alpha", 99.0)])
def test_a_field_that_was_set_after_attaching_is_refused_when_saving(tmp_path, field, value):
    model, method = network().eval(), LoRA(rank=2, targets=("0",))
    method.attach(model)
    setattr(method, field, value)
    with pytest.raises(UserError, match=f"lora was attached with {field} .*, not {value}: set it back"):
        save_adapter(tmp_path / "other.pt", model, method)


def test_under_inference_mode_nothing_is_attached():
    with torch.inference_mode():
        made_inside = network()
        with pytest.raises(UserError, match="inference_mode.. cannot be trained"):
            LoRA(rank=2, targets=("0",)).attach(network())
    with pytest.raises(UserError, match="inference_mode.. cannot be trained"):
        LoRA(rank=2, targets=("0",)).attach(made_inside)


@pytest.mark.parametrize("name", ["qlora", "loftq", "qpissa", "freeze_layers", "infix_tuning"])
@pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
def test_what_a_method_keeps_outside_of_the_model_is_cast_along(name, family):
    model, method = new_model(family), METHODS[name](**({"head": "train"} if name == "freeze_layers" else {}))
    cast = copy.deepcopy(model).bfloat16().state_dict()
    method.attach(model)
    model.bfloat16()
    method.detach()
    assert {value.dtype for value in model.state_dict().values()} == {torch.bfloat16} and same(model, cast)


@pytest.mark.parametrize("name", ["lora", "qlora"])
def test_a_model_whose_numbers_are_gone_is_neither_merged_nor_detached(name):
    model, method = network(), METHODS[name](rank=2, targets=("0",))
    method.attach(model)
    model.to("meta")
    for leave in (method.merge, method.detach):
        with pytest.raises(UserError, match="moved to the meta device"):
            leave()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "give", [lambda: None, lambda: nn.Linear, lambda: torch.jit.trace(network(), torch.ones(2, 6))]
)
@pytest.mark.parametrize("name", ["lora", "full"])
def test_what_is_no_module_of_torch_is_refused(name, give):
    with pytest.raises(UserError, match="A method is attached to a torch module, not to a"):
        METHODS[name]().attach(give())


def test_a_nested_tensor_among_the_buffers_is_refused_by_name():
    model = network()
    model.register_buffer("ragged", torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged))
    with pytest.raises(UserError, match="'ragged' is a nested tensor"):
        LoRA(rank=2, targets=("0",)).attach(model)


def test_a_method_that_memory_cannot_hold_is_refused_and_the_model_stays_plain():
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UserError, match="not enough memory"):
        LoRA(rank=10**15, targets=("0",)).attach(model)
    assert not hasattr(model, "attached_method") and same(model, before)


def test_a_start_that_is_not_finite_is_refused():
    model = network()
    with pytest.raises(UserError, match="0.A is not finite everywhere: choose other hyper-parameters"):
        METHODS["pissa"](rank=2, alpha=1e-300, targets=("0",)).attach(model)
    assert not hasattr(model, "attached_method")


def test_weights_in_eight_bits_are_not_trained_in_place():
    model = network()
    model[0].weight = nn.Parameter(model[0].weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    with pytest.raises(UserError, match="full cannot train parameters of type torch.float8_e4m3fn"):
        Full().attach(model)


@pytest.mark.parametrize("name, field, value", [
    ("houlsby", "std", 0.0), ("houlsby", "std", -1.0), ("pfeiffer", "std", 0.0), ("adapter_drop", "std", -0.5),
    ("adalora", "orthogonality", -0.1),
])  # fmt: skip
def test_hyper_parameters_with_which_nothing_could_be_learned_are_refused(name, field, value):
    with pytest.raises(UserError, match=field):
        METHODS[name](**{field: value})


def test_an_interrupted_attach_leaves_the_model_plain():
    class Interrupted(LoRA):
        def install(self, model):
            super().install(model)
            raise KeyboardInterrupt

    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(KeyboardInterrupt):
        Interrupted(rank=2, targets=("0",)).attach(model)
    assert not hasattr(model, "attached_method") and same(model, before)


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_layer_without_a_shape_yet_is_refused_until_the_model_has_run():
    model, method = nn.Sequential(nn.LazyLinear(3)), LoRA(rank=2, targets=("0",))
    with pytest.raises(UserError, match="'0.weight' has no shape yet: run the model once"):
        method.attach(model)
    model(torch.randn(2, 5))
    method.attach(model)
    assert method.stored_count() == 2 * (5 + 3)
