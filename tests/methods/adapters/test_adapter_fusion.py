"""AdapterFusion against its equation in float64; stage two trains the fusion and leaves the adapters alone."""

import math
import shutil

import pytest
import torch
from helpers.method_table import new_method, pfeiffer_files
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch
from torch import nn

import minipeft
from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_fusion import AdapterFusion, FusedSublayer, Fusion
from minipeft.methods.adapters.pfeiffer import Pfeiffer, PfeifferAdapter
from minipeft.methods.low_rank.lora import LoRA
from minipeft.training.adapter_files import read_adapter, save_adapter
from minipeft.training.optimizers import make_optimizer

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def fused(family, **hyperparameters):
    model = FAMILIES[family]()
    method = new_method("adapter_fusion", model, **hyperparameters)
    method.attach(model)
    return model, method


def set_random(module, std=0.6):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)


def test_a_fused_sublayer_is_its_equation_worked_out_adapter_by_adapter_and_token_by_token():
    torch.manual_seed(0)
    sublayer, fusion = nn.Linear(6, 6).double(), Fusion(6).double()
    adapters = [PfeifferAdapter(6, bottleneck).double() for bottleneck in (2, 5, 3, 4)]
    for module in (fusion, *adapters):
        set_random(module)
    x, peaks = torch.randn(3, 5, 6, dtype=torch.float64), []
    with torch.no_grad():
        got = FusedSublayer(sublayer, adapters, fusion)(x)
        for row in range(3):
            for position in range(5):
                u = sublayer(x[row, position])
                z = [a.up.weight @ (a.down.weight @ u + a.down.bias).clamp(min=0) + a.up.bias for a in adapters]
                query = fusion.query.weight @ u + fusion.query.bias
                scores = [float(query @ (fusion.key.weight @ z_n + fusion.key.bias)) for z_n in z]
                powers = [math.exp(score - max(scores)) for score in scores]
                peaks.append(max(powers) / sum(powers))
                expected = u.clone()
                for power, z_n in zip(powers, z, strict=True):
                    expected += power / sum(powers) * (fusion.value.weight @ z_n)
                torch.testing.assert_close(got[row, position], expected, atol=1e-11, rtol=1e-11)
    assert min(peaks) < 0.7 < 0.9 < max(peaks)  # neither always one adapter nor always their mean


@families
def test_one_adapter_fused_gives_its_own_output_at_the_start(family):
    model, batch = FAMILIES[family]().double(), random_batch()
    (file,) = pfeiffer_files(model, [7])
    alone = minipeft.load_adapter(file, model)
    expected = model(batch)
    alone.detach()
    assert (model(batch) - expected).abs().max() > 0.5
    AdapterFusion(adapters=[file]).attach(model)
    torch.testing.assert_close(model(batch), expected, atol=1e-4, rtol=1e-4)
    for layer in model.modules():
        if isinstance(layer, Fusion):
            layer.value.weight.data.copy_(torch.eye(12))  # without the 1e-6 beside the diagonal, to rounding
    torch.testing.assert_close(model(batch), expected, atol=1e-10, rtol=1e-10)


def test_values_start_at_the_identity_but_for_1e_6_and_the_weights_of_adapters_nearly_equal():
    torch.manual_seed(0)
    fusion = Fusion(5)
    expected = [[1.0 if i == j else 1e-6 for j in range(5)] for i in range(5)]
    torch.testing.assert_close(fusion.value.weight.detach(), torch.tensor(expected), atol=0, rtol=0)
    assert fusion.value.bias is None and not fusion.query.bias.any() and not fusion.key.bias.any()
    weights = fusion.weights(torch.randn(2, 3, 5), torch.randn(2, 3, 4, 5))
    torch.testing.assert_close(weights, torch.full((2, 3, 4), 0.25), atol=0.01, rtol=0)


@families
def test_the_penalty_is_the_squared_distance_of_all_values_from_the_identity(family):
    model, method = fused(family, identity_penalty=0.03)
    assert float(method.penalty().detach()) < 1e-8
    values = [layer.value.weight for layer in model.modules() if isinstance(layer, Fusion)]
    for number, value in enumerate(values):
        value.data.copy_(torch.eye(12))
        value.data[2, 7] = number + 1.0  # beside the diagonal: number + 1 away
        value.data[4, 4] = -1.0  # on it: 2 away
    expected = 0.03 * sum((number + 1.0) ** 2 + 2.0**2 for number in range(len(values)))
    assert len(values) == {"t5": 5, "gpt2": 3, "llama": 3}[family]
    assert float(method.penalty().detach()) == pytest.approx(expected, rel=1e-6)
    method.penalty().backward()
    assert float(values[1].grad[2, 7]) == pytest.approx(2 * 0.03 * 2.0)


@families
def test_stage_two_moves_the_fusion_and_not_one_bit_of_the_adapters(family):
    model, method = fused(family)
    files = method.adapters
    optimizer = make_optimizer("adamw", method.parameter_groups(0.01), 0.01)
    for seed in range(3):
        (model.loss(random_batch(seed=seed)) + method.penalty()).backward()
        optimizer.step()
        optimizer.zero_grad()
    state, trained = method.state_dict(), set(method.named_parameters())
    assert all(".fusion." in name for name in trained)
    for number, file in enumerate(files):
        saved = read_adapter(file)["weights"]
        for name, tensor in saved.items():
            assert torch.equal(state[name.replace(".adapter.", f".adapters.{number}.")], tensor)
    layers = {"t5": 5, "gpt2": 3, "llama": 3}[family]
    assert method.trained_count() == layers * (3 * 12 * 12 + 2 * 12)
    assert method.stored_count() == method.trained_count() + sum(
        tensor.numel() for file in files for tensor in read_adapter(file)["weights"].values()
    )
    assert set(state) - trained and not any(state[name].requires_grad for name in state)


@families
def test_a_saved_fusion_needs_the_adapters_files_no_more(family, tmp_path):
    model, batch = FAMILIES[family](), random_batch()
    files = [tmp_path / f"{number}.pt" for number in range(2)]
    for source, file in zip(pfeiffer_files(model), files, strict=False):
        shutil.copy(source, file)
    method = AdapterFusion(adapters=files)
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.2 * torch.randn_like(parameter))
    expected = model(batch)
    save_adapter(tmp_path / "fusion.pt", model, method)
    for file in files:
        file.unlink()
    fresh = FAMILIES[family]()
    loaded = minipeft.load_adapter(tmp_path / "fusion.pt", fresh)
    assert torch.equal(fresh(batch), expected)
    assert loaded.stored_count() == method.stored_count()


@families
def test_the_attention_over_adapters_can_be_read_and_decides_what_comes_out(family):
    model, method = fused(family)
    batch = random_batch()
    before = model(batch)
    for layer in method.layers.values():
        set_random(layer.fusion.query)
        set_random(layer.fusion.key)
    attention = method.attention_over_adapters(batch)
    lengths = {"encoder": 7, "decoder": 4 if family == "t5" else 7 + 4}
    assert list(attention) == [path for path, module in model.named_modules() if isinstance(module, FusedSublayer)]
    for path, weights in attention.items():
        assert weights.shape == (4, lengths[path.split(".")[0]], 3)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        assert weights.std() > 0.1
    assert (model(batch) - before).abs().max() > 0.01
    for layer in method.layers.values():
        layer.fusion.query.weight.data.zero_()
        layer.fusion.query.bias.data.zero_()
    equal = method.attention_over_adapters(batch)
    assert all(torch.equal(weights, torch.full_like(weights, 1 / 3)) for weights in equal.values())
    assert not any(layer.fusion._forward_hooks for layer in method.layers.values())


def test_what_cannot_be_fused_is_refused_and_the_model_left_alone(tmp_path):
    model = FAMILIES["t5"]()
    lora, other = LoRA(), FAMILIES["t5"](feed_forward_size=21)
    lora.attach(model)
    save_adapter(tmp_path / "lora.pt", model, lora)
    lora.detach()
    (tmp_path / "text.pt").write_text("not an adapter", encoding="utf-8")
    foreign = Pfeiffer()
    foreign.attach(other)
    save_adapter(tmp_path / "foreign.pt", other, foreign)
    for files, sentence in (
        ([], "Nothing to fuse: train adapters with pfeiffer"),
        (["nowhere.pt"], "There is no adapter file nowhere.pt"),
        ([tmp_path / "text.pt"], "text.pt is not an adapter file, or is damaged"),
        ([tmp_path / "lora.pt"], "of the method 'lora': only those of pfeiffer"),
        ([tmp_path / "foreign.pt"], "another base model"),
    ):
        with pytest.raises(UserError, match=sentence):
            AdapterFusion(adapters=files).attach(model)
        assert not any(isinstance(module, FusedSublayer) for module in model.modules())
        assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(UserError, match="identity_penalty must not be negative"):
        AdapterFusion(identity_penalty=-1.0)
    assert AdapterFusion(adapters="one.pt").adapters == ["one.pt"]
