"""Folders of the peft library as files: the same outputs, or one sentence and a model that is left as it was."""

import json
import re

import pytest
import torch
from helpers.command_line import refusal
from helpers.laws import assert_same_snapshot, batch_for, new_model, snapshot
from helpers.scrambling import scramble
from hypothesis import given, settings
from hypothesis import strategies as st

import minipeft
from minipeft.__main__ import main
from minipeft.errors import UserError
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.vera import VeRA
from minipeft.methods.multiplicative.ia3 import IA3
from minipeft.methods.prompts.prefix_tuning import PrefixTuning
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.peft_files.folders import WEIGHTS
from minipeft.peft_files.settings import CONFIG

safetensors = pytest.importorskip("safetensors.torch", reason="needs minipeft[hub]")

T5_QUERY = "base_model.model.encoder.block.1.layer.0.SelfAttention.q"
GPT2_FUSED = "base_model.model.transformer.h.1.attn.c_attn"


def saved(folder, method, family):
    """A folder with a trained adapter, and what the model with it computes."""
    model = new_model(family)
    torch.manual_seed(0)
    method.attach(model)
    scramble(method)
    minipeft.save_peft_adapter(folder, model, method)
    return model(batch_for(method))


def edit(folder, **settings):
    content = json.loads((folder / CONFIG).read_text(encoding="utf-8")) | settings
    (folder / CONFIG).write_text(json.dumps(content), encoding="utf-8")


def put(folder, **tensors):
    """Change tensors by name; those that are None go."""
    content = safetensors.load_file(folder / WEIGHTS) | tensors
    safetensors.save_file({name: tensor for name, tensor in content.items() if tensor is not None}, folder / WEIGHTS)


def refused(folder, family):
    """The sentence about a folder, which leaves the model as it was."""
    model = new_model(family)
    before = snapshot(model)
    with pytest.raises(UserError) as caught:
        minipeft.load_peft_adapter(folder, model)
    assert_same_snapshot(snapshot(model), before)
    assert not hasattr(model, "attached_method")
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 700 and folder.name in sentence and sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_a_folder_gives_the_same_outputs_and_can_be_kept_as_a_file_of_ours(family, tmp_path):
    outputs = saved(tmp_path / "adapter", LoRA(3, 5, rank_pattern={"value": 2}), family)
    assert sorted(entry.name for entry in (tmp_path / "adapter").iterdir()) == [CONFIG, WEIGHTS]
    model = new_model(family)
    method = minipeft.load_peft_adapter(tmp_path / "adapter", model)
    torch.testing.assert_close(model(batch_for(method)), outputs)
    minipeft.save_adapter(tmp_path / "adapter.pt", model, method)
    again = new_model(family)
    minipeft.load_adapter(tmp_path / "adapter.pt", again)
    assert torch.equal(again(batch_for(method)), model(batch_for(method)))


def test_numbers_take_the_type_of_the_base(tmp_path):
    saved(tmp_path / "adapter", LoRA(3, 5), "t5")
    model = new_model("t5", torch.bfloat16)
    method = minipeft.load_peft_adapter(tmp_path / "adapter", model)
    assert {parameter.dtype for parameter in method.named_parameters().values()} == {torch.bfloat16}


BROKEN = {
    "a layer is missing": (
        lambda folder: put(folder, **{f"{T5_QUERY}.lora_A.weight": None, f"{T5_QUERY}.lora_B.weight": None}),
        r"its target_modules name encoder.block.1.layer.0.SelfAttention.q, for which it has no tensors",
    ),
    "half of a layer is missing": (lambda folder: put(folder, **{f"{T5_QUERY}.lora_B.weight": None}), "lacks .*lora_B"),
    "a layer that is not named": (
        lambda folder: edit(folder, target_modules=["v"]),
        "tensors for decoder.*, which its target_modules do not name",
    ),
    "a tensor of no layer": (lambda folder: put(folder, extra=torch.ones(2)), "'extra' is no tensor of such"),
    "an embedding": (
        lambda folder: put(folder, **{"base_model.model.shared.lora_embedding_A": torch.ones(3, 37)}),
        "shared.lora_embedding_A' is no tensor of such",
    ),
    "dora's lengths without dora": (
        lambda folder: put(folder, **{f"{T5_QUERY}.lora_magnitude_vector": torch.ones(15)}),
        "lora_magnitude_vector' is no tensor",
    ),
    "dora without its lengths": (lambda folder: edit(folder, use_dora=True), "lacks .*lora_magnitude_vector"),
    "another rank": (lambda folder: edit(folder, r=4), r"lora_A of .* is \(3, 12\) and not \(4, 12\)"),
    "a rank that no memory holds": (lambda folder: edit(folder, r=10**9), r"is \(3, 12\) and not \(1000000000, 12\)"),
    "another width": (
        lambda folder: put(folder, **{f"{T5_QUERY}.lora_A.weight": torch.ones(3, 11)}),
        r"lora_A of encoder.* is \(3, 11\) and not \(3, 12\)",
    ),
    "a number too few": (
        lambda folder: put(folder, **{f"{T5_QUERY}.lora_B.weight": torch.ones(14, 3)}),
        r"lora_B of encoder.* is \(14, 3\) and not \(15, 3\)",
    ),
    "a number that is none": (
        lambda folder: put(folder, **{f"{T5_QUERY}.lora_B.weight": torch.full((15, 3), torch.nan)}),
        "no finite number",
    ),
    "whole numbers": (
        lambda folder: put(folder, **{f"{T5_QUERY}.lora_B.weight": torch.ones(15, 3, dtype=torch.int64)}),
        "no finite number",
    ),
    "a pattern of alphas that is a regular expression": (
        lambda folder: edit(folder, alpha_pattern={"(q|v)": 3}),
        r"alpha_pattern names layers by '\(q\|v\)', a regular expression",
    ),
    "no numbers": (lambda folder: (folder / WEIGHTS).unlink(), "adapter_model.safetensors does not exist"),
    "an old format": (
        lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"),
        "adapter_model.bin, a format that may run code",
    ),
    "half of the bytes": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-99]),
        "adapter_model.safetensors cannot be read",
    ),
    "no settings": (lambda folder: (folder / CONFIG).unlink(), "adapter_config.json does not exist"),
    "an option without counterpart": (
        lambda folder: edit(folder, bias="all"),
        "bias is 'all', which has no counterpart",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_damaged_folder_is_refused_and_the_model_stays_plain(what, tmp_path):
    damage, words = BROKEN[what]
    saved(tmp_path / "adapter", LoRA(3, 5, ("query", "value")), "t5")
    damage(tmp_path / "adapter")
    sentence = refused(tmp_path / "adapter", "t5")
    assert re.search(words, sentence), sentence


def test_a_layer_that_peft_left_out_by_its_settings_is_not_missed(tmp_path):
    saved(tmp_path / "adapter", LoRA(3, 5, ("decoder.blocks.1.attention.query",)), "t5")
    edit(tmp_path / "adapter", target_modules=["q"], layers_to_transform=[1], exclude_modules=".*EncDec.*|encoder.*")
    method = minipeft.load_peft_adapter(tmp_path / "adapter", new_model("t5"))
    assert [path for path, _ in method.layers()] == ["decoder.blocks.1.attention.query"]


def test_an_adapter_of_another_model_is_refused(tmp_path):
    saved(tmp_path / "adapter", LoRA(3, 5, ("value",)), "t5")
    assert "so it was made for another one" in refused(tmp_path / "adapter", "gpt2")
    saved(tmp_path / "other", LoRA(3, 5, ("value",)), "gpt2")
    assert "so it was made for another one" in refused(tmp_path / "other", "t5")


@pytest.mark.parametrize(
    "method, family, change, words",
    [
        (lambda: AdaLoRA(4, 2, 5), "t5", dict(init_r=5), r"lora_A of .* is \(4, 12\) and not \(5, 12\)"),
        (lambda: AdaLoRA(4, 2, 5), "t5", dict(init_r=10**9), r"not \(1000000000, 12\)"),
        (lambda: AdaLoRA(4, 2, 5), "gpt2", dict(init_r=5), "rank_pattern has 12 choices for .*, and init_r is 5"),
        (IA3, "t5", dict(feedforward_modules=["k"]), r"ia3_l of .*\.k is \(15, 1\) and not \(1, 12\)"),
        (lambda: VeRA(6, ("output",)), "t5", dict(projection_prng_key=1), "vera_A is not what projection_prng_key 1"),
        (lambda: VeRA(6, ("output",)), "t5", dict(r=7), r"vera_lambda_d of .* is \(6,\) and not \(7,\)"),
        (lambda: PromptTuning(4, init="uniform"), "t5", dict(num_virtual_tokens=3), r"is \(4, 12\) and not \(3, 12\)"),
        (
            lambda: PrefixTuning(4),
            "gpt2",
            dict(num_attention_heads=5),
            "12 is not a multiple of its num_attention_heads",
        ),
        (lambda: PrefixTuning(4), "gpt2", dict(num_layers=2), r"is \(4, 72\) and not \(4, 48\)"),
        (
            lambda: PrefixTuning(4),
            "gpt2",
            dict(num_attention_heads=2),
            r"\(3, 2, 2, 4, 6\) .*and \(3, 2, 3, 4, 4\) here",
        ),
        (lambda: LoRA(3, 5), "gpt2", dict(init_lora_weights="pissa"), "starts from the SVD of three layers"),
    ],
)
def test_settings_and_numbers_of_different_adapters_are_refused(method, family, change, words, tmp_path):
    saved(tmp_path / "adapter", method(), family)
    edit(tmp_path / "adapter", **change)
    assert re.search(words, refused(tmp_path / "adapter", family))


def test_pissa_that_was_not_converted_has_one_rank(tmp_path):
    saved(tmp_path / "adapter", LoRA(3, 5, ("query", "value"), rank_pattern={"value": 2}), "t5")
    edit(tmp_path / "adapter", init_lora_weights="pissa")
    assert "PiSSA with several ranks or alphas" in refused(tmp_path / "adapter", "t5")


def test_a_prefix_of_t5_and_a_fused_vera_of_peft_are_refused(tmp_path):
    saved(tmp_path / "prefix", PrefixTuning(4), "gpt2")
    assert "its prefix tuning has no counterpart here" in refused(tmp_path / "prefix", "t5")
    saved(tmp_path / "vera", VeRA(6, ("output",)), "gpt2")
    put(
        tmp_path / "vera",
        **{f"{GPT2_FUSED}.vera_lambda_d": torch.ones(6), f"{GPT2_FUSED}.vera_lambda_b": torch.ones(36)},
    )
    edit(tmp_path / "vera", target_modules=".*")
    assert "c_attn is one layer in peft and 3 here" in refused(tmp_path / "vera", "gpt2")


def test_a_folder_is_not_loaded_over_a_method_nor_into_another_kind_of_model(tmp_path):
    saved(tmp_path / "adapter", LoRA(3, 5), "t5")
    model = new_model("t5")
    LoRA().attach(model)
    with pytest.raises(UserError, match="already carries lora: detach"):
        minipeft.load_peft_adapter(tmp_path / "adapter", model)
    with pytest.raises(UserError, match="as minipeft.load gives it, not for a Linear"):
        minipeft.load_peft_adapter(tmp_path / "adapter", torch.nn.Linear(3, 4))


def test_a_folder_that_cannot_be_written_leaves_what_was_there(tmp_path):
    saved(tmp_path / "adapter", LoRA(3, 5), "t5")
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "adapter").iterdir()}
    with pytest.raises(UserError, match="vera_.*|c_attn"):
        saved(tmp_path / "adapter", VeRA(6), "gpt2")
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "adapter").iterdir()} == before
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        saved(tmp_path / "file", LoRA(3, 5), "t5")


def test_the_command_line_writes_a_folder_and_reads_it_where_it_takes_adapters(capsys, base_folder, own_data, tmp_path):
    flags = ["--model", base_folder, "--data", own_data]
    train = ["train", *flags, "--set", "rank=2", "--steps", "2", "--out", str(tmp_path / "run"), "--peft"]
    assert main(train) == 0
    assert f"For the peft library: {tmp_path / 'run' / 'peft'}" in capsys.readouterr().out
    scores = []
    for adapter in ("adapter.pt", "peft"):
        assert main(["evaluate", *flags, "--adapter", str(tmp_path / "run" / adapter)]) == 0
        scores.append(capsys.readouterr().out)
    assert scores[0] == scores[1] and "%" in scores[0]
    assert (
        main(["generate", "the a met", *flags, "--adapter", str(tmp_path / "run" / "peft"), "--max-length", "2"]) == 0
    )
    (tmp_path / "run" / "peft" / CONFIG).unlink()
    capsys.readouterr()
    assert main(train) == 0, "a finished run is written for peft all the same"
    assert "This run is finished" in capsys.readouterr().out and (tmp_path / "run" / "peft" / CONFIG).exists()


def test_the_command_line_refuses_before_it_trains(capsys, base_folder, tmp_path):
    sentence = refusal(
        capsys, "train", "--model", base_folder, "--method", "houlsby", "--peft", "--out", str(tmp_path / "x")
    )
    assert "houlsby has no counterpart among peft's files" in sentence and not (tmp_path / "x").exists()
    (tmp_path / "empty").mkdir()
    sentence = refusal(capsys, "evaluate", "--model", base_folder, "--adapter", str(tmp_path / "empty"))
    assert "adapter_config.json does not exist" in sentence


VALUES = st.sampled_from(
    [None, True, 0, 1, -1, 3, 5, 10**9, 2**70, 0.5, float("nan"), "", "q", "(a+)+$", [], [1], ["q"], {}, {"q": 2},
     {"q": [True]}, {"(": 2}, {"": 3}]
)  # fmt: skip
TENSORS = st.sampled_from(
    [lambda old: old[None], lambda old: old[:0], lambda old: old.flatten()[:-1], lambda old: old.half(),
     lambda old: old.int(), lambda old: old > 0, lambda old: old / 0, lambda old: torch.ones(0, 2**20)]
)  # fmt: skip
FORGED = {
    "lora": (lambda: LoRA(3, 5), "gpt2"),
    "adalora": (lambda: AdaLoRA(4, 2, 5), "gpt2"),
    "ia3": (IA3, "t5"),
    "prefix": (lambda: PrefixTuning(4), "gpt2"),
}


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged")
    for name, (make, family) in FORGED.items():
        saved(folder / name, make(), family)
    return {name: (folder / name, new_model(family)) for name, (_, family) in FORGED.items()}


@settings(max_examples=10)
@given(data=st.data())
def test_folders_forged_by_someone_who_knows_the_format(forged, data):
    """Whatever is changed, the folder is read or refused in one sentence, and the model can be made plain again."""
    folder, model = forged[data.draw(st.sampled_from(sorted(FORGED)))]
    before, whole = snapshot(model), {entry: entry.read_bytes() for entry in folder.iterdir()}
    tensors = safetensors.load_file(folder / WEIGHTS)
    if data.draw(st.booleans()):
        field = data.draw(st.sampled_from(sorted(json.loads(whole[folder / CONFIG]))))
        edit(folder, **{field: data.draw(VALUES)})
    else:
        name = data.draw(st.sampled_from(sorted(tensors)))
        put(folder, **{name: data.draw(TENSORS)(tensors[name]).contiguous()})
    try:
        minipeft.load_peft_adapter(folder, model).detach()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 900
    finally:
        for entry, content in whole.items():
            entry.write_bytes(content)
    assert_same_snapshot(snapshot(model), before)
