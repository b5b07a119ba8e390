"""What is written for the peft library is read again as the same method; tests/parity holds both against peft."""

import sys

import pytest
import torch
from helpers.laws import batch_for, new_model
from helpers.models import tiny_gpt2
from helpers.peft_folders import found_again
from helpers.scrambling import scramble

from minipeft.errors import UserError
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.dora import DoRA
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.pissa import PiSSA
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.methods.low_rank.vera import VeRA
from minipeft.methods.multiplicative.ia3 import IA3
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.registry import METHODS
from minipeft.peft_files.folders import (
    WEIGHTS,
    WRITERS,
    in_pefts_form,
    load_peft_adapter,
    refuse_unwritable,
    save_peft_adapter,
)
from minipeft.peft_files.patterns import of_layer
from minipeft.peft_files.places import places
from minipeft.peft_files.prompts import TENSOR, read_prompt

EVERYWHERE = ("*blocks.*",)
PATTERN = {"value": 2, "decoder.blocks.0.*": 4}
# A method, how it comes back where that is another one, and which of its hyper-parameters do so as they were.
CASES = {
    "lora": (lambda: LoRA(3, 5, EVERYWHERE, dropout=0.25), "lora", "rank alpha dropout rank_pattern"),
    "lora on query and value": (lambda: LoRA(3, 5, ("query", "value")), "lora", "rank alpha targets rank_pattern"),
    "lora by ranks": (lambda: LoRA(3, 5, EVERYWHERE, rank_pattern=PATTERN), "lora", "rank"),
    "rslora": (lambda: RSLoRA(3, 5, EVERYWHERE), "rslora", "rank alpha rank_pattern"),
    "lora_plus": (lambda: LoRAPlus(3, 5, ("key", "output")), "lora", "rank alpha targets rank_pattern"),
    "dora": (lambda: DoRA(3, 5, EVERYWHERE), "dora", "rank alpha"),
    "ia3": (IA3, "ia3", "targets feed_forward_targets"),
    "vera": (lambda: VeRA(6, ("output", "up", "down"), seed=3), "vera", "rank seed targets"),
    "adalora": (
        lambda: AdaLoRA(4, 2, 5, EVERYWHERE, orthogonality=0.3, warmup=0.2, final=0.1, interval=7, beta1=0.5),
        "adalora",
        "rank target_rank alpha orthogonality warmup final interval beta1 beta2",
    ),
    "prompt": (lambda: PromptTuning(4, init="uniform"), "prompt_tuning", "prompt_length init template"),
    "prefix": (lambda: PrefixTuning(4, reparametrise=False), "prefix_tuning", "prefix_length reparametrise"),
}
FAMILIES = ("t5", "gpt2")


def attached(method, model):
    torch.manual_seed(0)
    method.attach(model)
    scramble(method)
    return method


@pytest.mark.parametrize(
    "case, family",
    [(case, family) for case in CASES for family in FAMILIES if (case, family) != ("prefix", "t5")]
    + [("lora", "t5-1.0"), ("ia3", "t5-1.0")],
)
def test_a_method_comes_back_with_its_numbers_and_hyper_parameters(case, family, tmp_path):
    make, name, kept = CASES[case]
    model, fresh = new_model(family), new_model(family)
    method = attached(make(), model)
    found = found_again(model, method, fresh, tmp_path)
    again = found.kind(**found.told)
    again.attach(fresh, found.state)
    assert again.name == name
    told, before = again.hyperparameters(), method.hyperparameters()
    for field in kept.split():
        assert told[field] == (list(before[field]) if isinstance(before[field], tuple) else before[field]), field
    state, expected = again.state_dict(), method.state_dict()
    assert state.keys() == expected.keys()
    for path, tensor in expected.items():  # where ranks differ within a fused layer, B takes a factor and gives it back
        torch.testing.assert_close(state[path], tensor, rtol=3e-7 if case == "lora by ranks" else 0, atol=0)
    batch = batch_for(method)
    torch.testing.assert_close(fresh(batch), model(batch))


@pytest.mark.parametrize("make", [lambda: PiSSA(3, 5, EVERYWHERE), lambda: DoRA(3, 5, ("query", "value"))])
@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_what_comes_back_with_other_numbers_computes_the_same(make, family, tmp_path):
    """PiSSA comes back as a LoRA of twice the rank, and GPT-2's key with the lengths that its rows have."""
    model, fresh = new_model(family), new_model(family)
    method = attached(make(), model)
    found = found_again(model, method, fresh, tmp_path)
    again = found.kind(**found.told)
    again.attach(fresh, found.state)
    assert (again.name, again.rank, again.alpha) == (("lora", 6, 10) if method.name == "pissa" else ("dora", 3, 5))
    batch = batch_for(method)
    torch.testing.assert_close(fresh(batch), model(batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_pruned_triplets_of_adalora_are_not_stored(family, tmp_path):
    model, fresh = new_model(family), new_model(family)
    method = attached(AdaLoRA(4, 2, 5, EVERYWHERE), model)
    for number, (_, layer) in enumerate(method.layers()):
        layer.kept.copy_(torch.arange(4) % 3 != number % 4)  # of four triplets two to four stay
        layer.lam.data.masked_fill_(~layer.kept, 0.0)
    alive = sum(method.ranks().values())
    _, tensors = in_pefts_form(model, method)
    assert sum(len(tensor) for name, tensor in tensors.items() if name.endswith("lora_E")) == alive < 4 * number
    found = found_again(model, method, fresh, tmp_path)
    again = found.kind(**found.told)
    again.attach(fresh, found.state)
    assert sum(again.ranks().values()) == alive
    batch = batch_for(method)
    torch.testing.assert_close(fresh(batch), model(batch))


def test_names_are_the_shortest_that_name_these_layers_and_no_others(tmp_path):
    model = new_model("gpt2")
    names = lambda *targets: in_pefts_form(model, attached(LoRA(2, 3, targets), model))[0]["target_modules"]  # noqa: E731
    expected = {
        ("down",): ["mlp.c_proj"],
        ("down", "output"): ["c_proj"],
        ("value", "up"): ["c_attn", "c_fc"],
        ("decoder.blocks.2.attention.output",): ["2.attn.c_proj"],
        ("head",): ["lm_head"],
    }
    for targets, theirs in expected.items():
        assert names(*targets) == theirs
        model.attached_method.detach()


def test_a_fused_layer_gets_the_ranks_of_its_parts_together():
    """Three updates of rank 2 with an A of their own are one of rank 6: alpha grows with it, and alpha / r stays."""
    model = new_model("gpt2")
    settings, tensors = in_pefts_form(model, attached(LoRA(2, 3, EVERYWHERE), model))
    assert settings["r"] == 2 and settings["lora_alpha"] == 3
    assert settings["rank_pattern"] == {"c_attn": 6} and settings["alpha_pattern"] == {"c_attn": 9}
    assert settings["fan_in_fan_out"] and settings["task_type"] == "CAUSAL_LM"
    B = tensors["base_model.model.transformer.h.1.attn.c_attn.lora_B.weight"]
    blocks = [[bool(block.any()) for block in rows.split(2, dim=1)] for rows in B.split(12)]
    assert blocks == [[True, False, False], [False, True, False], [False, False, True]]


REFUSED = {
    "a method without a counterpart": (lambda: METHODS["houlsby"](), "t5", "houlsby has no counterpart"),
    "a quantized base": (lambda: METHODS["qlora"](), "t5", "qlora has no counterpart"),
    "vera on query": (lambda: VeRA(6), "gpt2", r"c_attn is one layer in peft and 3 here.*LoRA has one"),
    "a prefix of t5": (lambda: PrefixTuning(4), "t5", "its prefix tuning has no counterpart"),
    "a template": (lambda: PromptTuning(4, template="{source} 7"), "t5", "template or a sentinel has no counterpart"),
    "a sentinel": (lambda: PromptTuning(4, sentinel=True), "gpt2", "template or a sentinel has no counterpart"),
    "inputs of query": (lambda: IA3(("value",), ("query",)), "gpt2", "its inputs are scaled once"),
    "inputs of all three": (lambda: IA3((), ("query", "key", "value")), "gpt2", "would need the same vector"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_counterpart_is_not_written(what):
    make, family, words = REFUSED[what]
    model = new_model(family)
    with pytest.raises(UserError, match=words):
        in_pefts_form(model, attached(make(), model))


def test_equal_vectors_on_the_inputs_of_a_fused_layer_are_written_once(tmp_path):
    model, fresh = new_model("gpt2"), new_model("gpt2")
    method = attached(IA3(("output",), ("query", "key", "value")), model)
    for path, layer in method.layers():
        if "output" not in path:
            layer.scale.data.copy_(torch.linspace(0.5, 2, 12))
    found = found_again(model, method, fresh, tmp_path)
    found.kind(**found.told).attach(fresh, found.state)
    torch.testing.assert_close(fresh(batch_for(method)), model(batch_for(method)))


def test_a_method_is_written_of_the_model_it_is_attached_to_and_with_finite_numbers():
    model, lora = new_model("t5"), LoRA(2, 3)
    with pytest.raises(UserError, match="not attached to this model"):
        in_pefts_form(model, lora)
    attached(lora, model)
    next(iter(lora.named_parameters().values())).data[0, 0] = torch.inf
    with pytest.raises(UserError, match="not finite everywhere"):
        in_pefts_form(model, lora)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4))
    other = LoRA(2, 3, targets=("0",))
    other.attach(net)
    with pytest.raises(UserError, match="for a model as minipeft.load gives it, not for a Sequential"):
        in_pefts_form(net, other)


def test_every_method_that_is_written_is_one_of_ours():
    assert WRITERS.keys() <= METHODS.keys()


def test_a_layer_without_a_name_in_their_model_is_named():
    model = tiny_gpt2()
    model.extra = torch.nn.Linear(3, 4)
    with pytest.raises(UserError, match="extra is no linear layer of the Hugging Face model"):
        in_pefts_form(model, attached(LoRA(2, 3, ("extra", "query")), model))


def test_inputs_are_named_so_that_peft_takes_no_other_layer_for_them(tmp_path):
    """It asks of every layer whether its name ends in one of these, and "wo" ends in "o"."""
    model = new_model("t5")
    settings, _ = in_pefts_form(model, attached(IA3(("query", "down"), ("output",)), model))
    assert settings["feedforward_modules"] == ["SelfAttention.o", "EncDecAttention.o"]
    assert settings["target_modules"] == ["q", "wo", "SelfAttention.o", "EncDecAttention.o"]


def test_a_pattern_names_whole_words_and_its_first_name_counts():
    """As in peft, "o" is not for "wo"; "^" stands before all of a name."""
    place = places(new_model("t5"))["decoder.block.0.layer.2.DenseReluDense.wo"]
    rank = lambda **pattern: of_layer({"rank_pattern": pattern}, "rank_pattern", place, 8)  # noqa: E731
    assert rank(o=2, wi_0=3) == 8 and rank(o=2, wo=3) == 3 and rank(wo=3, **{"DenseReluDense.wo": 4}) == 3
    assert rank(**{"^DenseReluDense.wo": 4}) == 8 and rank(**{f"^{place.theirs}": 4}) == 4
    assert rank(**{r"block\.0\.layer\.2\.DenseReluDense\.wo": 4}) == 4


def test_of_the_two_halves_of_a_t5_prompt_the_first_is_read():
    table = torch.arange(8.0 * 12).view(8, 12)
    settings = {"num_virtual_tokens": 4, "num_transformer_submodules": 2}
    assert torch.equal(read_prompt(new_model("t5"), settings, {TENSOR: table}).state["encoder.prompt"], table[:4])


def test_without_the_package_nothing_is_written_or_read_but_one_sentence(tmp_path, monkeypatch):
    model, fresh = new_model("t5"), new_model("t5")
    method = attached(LoRA(2, 3), model)
    found_again(model, method, fresh, tmp_path)  # leaves the settings there
    (tmp_path / WEIGHTS).write_bytes(bytes(100))
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match=r"need the package safetensors: pip install 'minipeft\[hub\]'"):
        load_peft_adapter(tmp_path, fresh)
    for write in (refuse_unwritable, lambda *told: save_peft_adapter(tmp_path / "new", *told)):
        with pytest.raises(UserError, match=r"need the package safetensors: pip install 'minipeft\[hub\]'"):
            write(model, method)
    assert not (tmp_path / "new").exists() and not hasattr(fresh, "attached_method")
