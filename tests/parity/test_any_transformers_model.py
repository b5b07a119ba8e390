"""LoRA and its relatives put straight into models of transformers, beside peft's on the same numbers."""

import copy

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
peft = pytest.importorskip("peft", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from test_peft_methods import their_model  # noqa: E402

from minipeft.errors import UserError  # noqa: E402
from minipeft.methods.low_rank.lora import LoRA, LoRALinear  # noqa: E402
from minipeft.methods.low_rank.rslora import RSLoRA  # noqa: E402
from minipeft.methods.multiplicative.ia3 import IA3  # noqa: E402
from minipeft.methods.selective.bitfit import BitFit  # noqa: E402
from minipeft.methods.selective.norm_tuning import NormTuning  # noqa: E402

# Two of GPT-2's and of T5's weights each are of different sizes; c_attn is query, key and value in one.
TARGETS = {"gpt2": ("c_attn", "c_proj", "c_fc"), "t5": ("q", "v", "wi_0", "wo")}
families = pytest.mark.parametrize("family", TARGETS)


def answer(family, model):
    """Logits of the model for a fixed batch."""
    ids = torch.randint(2, 41, (3, 7), generator=torch.Generator().manual_seed(1))
    more = {"decoder_input_ids": ids[:, :4]} if family == "t5" else {}
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits


def assert_same(got, expected):
    """Equal to 1e-5 of the largest number."""
    torch.testing.assert_close(got, expected, atol=1e-5 * float(expected.detach().abs().max()), rtol=0)


def lora_beside_peft(family, kind):
    """Our LoRA in one copy of the model and peft's in another, with the same random A and B."""
    model, ranks = their_model(family).double(), {"c_fc": 2} if family == "gpt2" else {"wo": 2, "v": 1}
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=list(TARGETS[family]), use_rslora=kind is RSLoRA,
                             rank_pattern=ranks, fan_in_fan_out=family == "gpt2")  # fmt: skip
    theirs = peft.get_peft_model(copy.deepcopy(model), config).eval()
    method = kind(rank=3, alpha=5.0, targets=TARGETS[family], rank_pattern=ranks)
    method.attach(model)
    pairs = [(our, their) for our, their in zip(
        (module for module in model.modules() if isinstance(module, LoRALinear)),
        (module for module in theirs.modules() if hasattr(module, "lora_A")), strict=True)]  # fmt: skip
    torch.manual_seed(2)
    for our, their in pairs:
        for own, other in ((our.A, their.lora_A), (our.B, their.lora_B)):
            own.data.normal_(std=0.3)
            other["default"].weight.data.copy_(own)
    return model, method, theirs, pairs


@families
@pytest.mark.parametrize("kind", [LoRA, RSLoRA], ids=["lora", "rslora"])
def test_lora_in_a_transformers_model_gives_the_outputs_and_gradients_of_pefts(family, kind):
    model, _, theirs, pairs = lora_beside_peft(family, kind)
    assert len(pairs) == (3 * 4 if family == "gpt2" else 2 * 4 + 3 * 6)
    ours, expected = answer(family, model), answer(family, theirs)
    assert_same(ours, expected)
    assert (ours - answer(family, their_model(family).double())).abs().max() > 0.1
    for logits in (ours, expected):
        logits.log_softmax(-1)[..., 3].sum().backward()
    for our, their in pairs:
        assert_same(our.A.grad, their.lora_A["default"].weight.grad)
        assert_same(our.B.grad, their.lora_B["default"].weight.grad)


@families
@torch.no_grad()
def test_merging_gives_the_weights_of_pefts_merge_and_unmerging_takes_them_out(family):
    model, method, theirs, _ = lora_beside_peft(family, LoRA)
    expected, plain = answer(family, model), their_model(family).double().state_dict()
    method.merge()
    assert_same(answer(family, model), expected)
    merged = theirs.merge_and_unload().state_dict()
    assert set(merged) == set(model.state_dict())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, merged[name], atol=1e-12, rtol=0)
    method.unmerge()
    assert_same(answer(family, model), expected)
    method.detach()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, plain[name], atol=1e-12, rtol=0)


@families
@pytest.mark.parametrize("kind", [LoRA, IA3, NormTuning, BitFit])
def test_detaching_leaves_the_transformers_model_bit_for_bit(family, kind):
    model = their_model(family)
    before, modules = copy.deepcopy(model.state_dict()), list(model.modules())
    with torch.no_grad():  # torch takes another path through attention where T5's relative bias needs a gradient
        expected = answer(family, model)
    feed_forward = ("wo",) if family == "t5" else ("mlp.c_proj",)
    options = {
        LoRA: {"targets": TARGETS[family]},
        IA3: {"targets": ("k", "v") if family == "t5" else ("c_attn",), "feed_forward_targets": feed_forward},
    }
    method = kind(**options.get(kind, {}))
    if kind is BitFit and family == "t5":
        with pytest.raises(UserError, match="use norm_tuning"):
            method.attach(model)
        return
    method.attach(model)
    with torch.no_grad():
        assert torch.equal(answer(family, model), expected)
    optimizer = torch.optim.Adam(method.parameter_groups(0.05))
    for _ in range(2):
        answer(family, model).log_softmax(-1)[..., 3].sum().backward()
        optimizer.step()
    assert (answer(family, model) - expected).abs().max() > 0.01
    method.detach()
    assert all(own is old for own, old in zip(model.modules(), modules, strict=True))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    with torch.no_grad():
        assert torch.equal(answer(family, model), expected)


@families
def test_all_norms_of_a_transformers_model_are_found(family):
    model, method = their_model(family), NormTuning()
    method.attach(model)
    expected = {name for name, _ in model.named_parameters() if "layer_norm" in name or "ln_" in name}
    assert set(method.named_parameters()) == expected
    assert len(expected) == (2 * (3 * 2 + 1) if family == "gpt2" else 2 * 2 + 3 * 3 + 2)


def test_merging_into_gpt2s_head_which_is_its_embedding_is_refused():
    model, method = their_model("gpt2"), LoRA(targets=("c_attn", "lm_head"))
    before = copy.deepcopy(model.state_dict())
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.normal_()
    with pytest.raises(UserError, match="lm_head shares its weight with another module"):
        method.merge()
    method.detach()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_our_names_in_a_transformers_model_are_refused_with_theirs():
    with pytest.raises(UserError, match="matches no Conv1D or Linear.*c_attn, c_fc, c_proj, lm_head"):
        LoRA(targets=("query",)).attach(their_model("gpt2"))
