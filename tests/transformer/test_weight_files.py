"""Files of weights, ours and Hugging Face's: the model that was saved, or one sentence, whatever the bytes are."""

import json
import os

import pytest
import torch
from helpers.models import random_batch, tiny_gpt2, tiny_t5
from hypothesis import given
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.transformer.checkpoints import load_checkpoint, save_checkpoint
from minipeft.transformer.fingerprints import fingerprint
from minipeft.transformer.hugging_face import from_hugging_face, in_their_form, to_hugging_face

BIAS = "decoder.blocks.1.feed_forward.up.bias"


def ours(folder):
    save_checkpoint(folder, tiny_gpt2(), dtype=torch.float32)
    return folder / "weights.pt"


def theirs(folder):
    """A Hugging Face folder whose weights are a pytorch_model.bin, which needs no safetensors."""
    from minipeft.files import write_json
    from minipeft.transformer.hugging_face_config import gpt2_settings

    write_json(folder / "config.json", gpt2_settings(tiny_gpt2().config))
    torch.save(
        {name: weight.contiguous() for name, weight in in_their_form(tiny_gpt2()).items()}, folder / "pytorch_model.bin"
    )
    return folder / "pytorch_model.bin"


KINDS = {"ours": (ours, load_checkpoint, BIAS), "theirs": (theirs, from_hugging_face, "transformer.h.1.mlp.c_fc.bias")}
both_kinds = pytest.mark.parametrize("kind", KINDS)


@both_kinds
def test_the_unchanged_file_is_read_bit_for_bit(kind, tmp_path):
    make, load, _ = KINDS[kind]
    make(tmp_path)
    assert fingerprint(load(tmp_path)) == fingerprint(tiny_gpt2())
    assert torch.equal(load(tmp_path)(random_batch()), tiny_gpt2()(random_batch()))


def changed(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


CHANGES = {
    "one nan": (lambda bias: changed(bias, 7, float("nan")), "damaged: .*bias holds a number that is not finite"),
    "one infinity": (lambda bias: changed(bias, 7, -float("inf")), "damaged: .*bias holds a number that is not finite"),
    "booleans": (lambda bias: bias > 0, "not floating-point numbers of 16 to 64 bits: .*bias is bool"),
    "integers": (lambda bias: bias.long(), "not floating-point numbers of 16 to 64 bits: .*bias is int64"),
    "complex numbers": (lambda bias: bias.to(torch.complex64), "bias is complex64"),
    "eight bits": (lambda bias: bias.to(torch.float8_e4m3fn), "bias is float8_e4m3fn"),
    "another shape": (lambda bias: bias.view(2, 24), r"bias' is \(2, 24\), expected \(48,\)"),
    "one number less": (lambda bias: bias[1:].clone(), r"bias' is \(47,\), expected \(48,\)"),
    "no dimensions": (lambda bias: bias[0].clone(), r"bias' is \(\), expected \(48,\)"),
    "nothing": (lambda bias: None, "tensor|nothing"),
    "a text": (lambda bias: "bias", "no tensor with a name"),
    "one number in many places": (lambda bias: bias[:1].expand(10**9), "no plain tensor, or larger than its file"),
    "a sparse tensor": (lambda bias: bias.to_sparse(), "cannot be read|no plain tensor"),
    "no storage": (lambda bias: bias.to("meta"), "no plain tensor"),
}


@both_kinds
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_weight_is_refused_by_its_name(kind, change, tmp_path):
    make, load, name = KINDS[kind]
    file, (act, sentence) = make(tmp_path), CHANGES[change]
    content = torch.load(file, weights_only=True)
    torch.save(content | {name: act(content[name])}, file)
    with pytest.raises(UserError, match=sentence) as refusal:
        load(tmp_path)
    assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)


@both_kinds
def test_a_weight_too_many_or_too_few_is_refused_by_its_name(kind, tmp_path):
    make, load, name = KINDS[kind]
    file = make(tmp_path)
    content = torch.load(file, weights_only=True)
    torch.save({**content, "surplus": torch.ones(3)}, file)
    with pytest.raises(UserError, match=r"'surplus' is \(3,\), expected nothing"):
        load(tmp_path)
    torch.save({own: tensor for own, tensor in content.items() if own != name}, file)
    with pytest.raises(UserError, match=f"'{name}' is nothing, expected"):
        load(tmp_path)


@both_kinds
@pytest.mark.parametrize("content", [[torch.ones(9999)], torch.ones(9999), {3: torch.ones(9999)}, {}, "text" * 5000])
def test_something_else_than_named_tensors_is_refused(kind, content, tmp_path):
    make, load, _ = KINDS[kind]
    torch.save(content, make(tmp_path))
    with pytest.raises(UserError):
        load(tmp_path)


@both_kinds
def test_the_older_form_of_torch_files_is_read(kind, tmp_path):
    make, load, _ = KINDS[kind]
    file = make(tmp_path)
    torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=False)
    assert fingerprint(load(tmp_path)) == fingerprint(tiny_gpt2())


@both_kinds
def test_a_folder_a_pipe_or_a_broken_link_in_place_of_the_file_is_refused_and_not_waited_for(kind, tmp_path):
    make, load, _ = KINDS[kind]
    file = make(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(UserError, match="is not a file"):
        load(tmp_path)
    file.rmdir()
    if not hasattr(os, "mkfifo"):
        return
    os.mkfifo(file)
    with pytest.raises(UserError, match="is not a file"):
        load(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path)


@both_kinds
@given(data=st.data())
def test_a_damaged_file_gives_the_very_model_or_a_sentence(kind, data, tmp_path_factory):
    make, load, _ = KINDS[kind]
    folder = tmp_path_factory.mktemp("damaged")
    file = make(folder)
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        assert fingerprint(load(folder)) == fingerprint(tiny_gpt2())  # some bytes are mere filling
    except UserError as refusal:
        assert "\n" not in str(refusal)


@both_kinds
def test_a_number_that_the_chosen_type_cannot_hold_is_refused(kind, tmp_path):
    make, load, name = KINDS[kind]
    file = make(tmp_path)
    content = torch.load(file, weights_only=True)
    torch.save(content | {name: changed(content[name].double(), 3, 1e300)}, file)
    assert load(tmp_path, dtype=torch.float64).state_dict()[BIAS][3] == 1e300
    with pytest.raises(UserError, match=f"{BIAS} holds numbers that torch.float32 cannot hold"):
        load(tmp_path)


def sharded(folder):
    """Our T5 as two safetensors files and their index; the names of both."""
    safetensors = pytest.importorskip("safetensors.torch", reason="needs minipeft[hub]")
    to_hugging_face(tiny_t5(), folder)
    weights = safetensors.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    places = {name: f"model-0000{1 + (number % 2)}-of-00002.safetensors" for number, name in enumerate(names)}
    for file in set(places.values()):
        safetensors.save_file({name: weights[name] for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    return places


def test_shards_make_one_model(tmp_path):
    sharded(tmp_path)
    assert fingerprint(from_hugging_face(tmp_path)) == fingerprint(tiny_t5())


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("../model-00001-of-00002.safetensors", "which is no .safetensors file of its folder"),
        ("/etc/passwd", "which is no .safetensors file of its folder"),
        ("..\\model.safetensors", "which is no .safetensors file of its folder"),
        ("C:model.safetensors", "which is no .safetensors file of its folder"),
        ("model\0.safetensors", "which is no .safetensors file of its folder"),
        ("config.json", "which is no .safetensors file of its folder"),
        (7, "names 7"),
        (None, "names None"),
        ("x" * 5000 + ".safetensors", "cannot be read|does not exist"),
        ("model-00003-of-00003.safetensors", "00003.safetensors does not exist"),
    ],
)
def test_an_index_names_files_of_its_own_folder(place, sentence, tmp_path):
    places = sharded(tmp_path)
    places["shared.weight"] = place
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    with pytest.raises(UserError, match=sentence) as refusal:
        from_hugging_face(tmp_path)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', "[" * 100_000])
def test_a_broken_index_is_refused(content, tmp_path):
    sharded(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"index\.json"):
        from_hugging_face(tmp_path)


def test_a_weight_that_stands_in_two_shards_is_refused(tmp_path):
    first, second = sorted(set(sharded(tmp_path).values()))
    safetensors = pytest.importorskip("safetensors.torch", reason="needs minipeft[hub]")
    weights = {file: safetensors.load_file(tmp_path / file) for file in (first, second)}
    weights[second] |= dict(list(weights[first].items())[:1])
    safetensors.save_file(weights[second], tmp_path / second)
    with pytest.raises(UserError, match="has been read already"):
        from_hugging_face(tmp_path)
