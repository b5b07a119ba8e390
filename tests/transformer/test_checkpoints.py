"""Saved models come back whole, a fingerprint names them, and a broken folder is refused in a sentence."""

import json

import pytest
import torch
from helpers.models import FAMILIES, random_batch, tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.transformer.checkpoints import load_checkpoint, save_checkpoint
from minipeft.transformer.fingerprints import fingerprint

every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_a_float32_checkpoint_comes_back_bit_for_bit(family, tmp_path):
    model, batch = FAMILIES[family](), random_batch()
    save_checkpoint(tmp_path / "new" / "folder", model, {"loss": 1.5}, dtype=torch.float32)
    loaded = load_checkpoint(tmp_path / "new" / "folder")
    assert type(loaded) is type(model) and loaded.config == model.config and not loaded.training
    assert torch.equal(loaded(batch), model(batch))
    assert fingerprint(loaded) == fingerprint(model)
    assert [(n, p.requires_grad) for n, p in loaded.named_parameters()] == [
        (n, True) for n in dict(model.named_parameters())
    ]
    assert json.loads((tmp_path / "new" / "folder" / "results.json").read_text(encoding="utf-8")) == {"loss": 1.5}


@every_family
def test_the_default_checkpoint_is_the_model_rounded_to_16_bits(family, tmp_path):
    model = FAMILIES[family]()
    save_checkpoint(tmp_path, model)
    loaded = load_checkpoint(tmp_path)
    for name, weight in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], weight.half().float())
    stored = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert all(weight.dtype == torch.float16 for weight in stored.values())
    assert ("head.weight" in stored) == (family in ("t5", "llama"))  # a tied head is not stored again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "weights.pt"]


def test_a_tied_head_is_still_tied_after_loading(tmp_path):
    save_checkpoint(tmp_path, tiny_gpt2())
    loaded = load_checkpoint(tmp_path)
    assert loaded.head.weight is loaded.embedding.weight


def test_loading_draws_no_random_numbers(tmp_path):
    save_checkpoint(tmp_path, tiny_t5())
    before = torch.get_rng_state()
    load_checkpoint(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_dtype_chooses_the_type_of_the_loaded_weights(tmp_path):
    save_checkpoint(tmp_path, tiny_t5())
    assert {weight.dtype for weight in load_checkpoint(tmp_path, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


def test_copies_of_one_checkpoint_share_a_fingerprint_and_one_changed_bit_gives_another(tmp_path):
    save_checkpoint(tmp_path, tiny_t5())
    one, two = load_checkpoint(tmp_path), load_checkpoint(tmp_path)
    assert fingerprint(one) == fingerprint(two) != fingerprint(tiny_t5())
    assert len(fingerprint(one)) == 64
    with torch.no_grad():
        weight = two.decoder.blocks[1].attention.key.weight
        weight[3, 2] = torch.nextafter(weight[3, 2], torch.tensor(10.0))
    assert fingerprint(one) != fingerprint(two)


def test_a_fingerprint_sees_types_and_names():
    model = tiny_t5()
    plain = fingerprint(model)
    model.encoder.blocks[0], model.encoder.blocks[1] = model.encoder.blocks[1], model.encoder.blocks[0]
    assert fingerprint(model) != plain
    assert fingerprint(tiny_t5().bfloat16()) != fingerprint(tiny_t5().bfloat16().float()) != plain


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "weights.pt").unlink(), "weights.pt does not exist"),
        (
            lambda folder: (folder / "weights.pt").write_bytes(b"nothing"),
            "at least 21,240 bytes, but",
        ),
        (lambda folder: (folder / "weights.pt").write_bytes(bytes(10**5)), r"weights.pt cannot be read \("),
        (lambda folder: (folder / "config.json").unlink(), "config.json does not exist"),
        (lambda folder: (folder / "config.json").write_text("{", encoding="utf-8"), "config.json is not valid JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]", encoding="utf-8"), "config.json holds a list"),
        (
            lambda folder: (folder / "config.json").write_text("{}", encoding="utf-8"),
            "names the family None; it must be one of",
        ),
        (lambda folder: edit(folder, width=3), "has a field 'width', which no model of family encoder_decoder has"),
        (lambda folder: edit(folder, heads=4), r"key.weight' is \(15, 12\), expected \(20, 12\)"),
        (lambda folder: edit(folder, decoder_layers=4), r"decoder.blocks.3\..* is nothing, expected \("),
        (lambda folder: edit(folder, decoder_layers=2), r"decoder.blocks.2.* is \(.*\), expected nothing"),
    ],
)
def test_a_broken_folder_is_refused_in_a_sentence(tmp_path, damage, sentence):
    save_checkpoint(tmp_path, tiny_t5())
    damage(tmp_path)
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(tmp_path)


def edit(folder, **changes):
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(settings | changes), encoding="utf-8")


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, tiny_t5())
    before = fingerprint(load_checkpoint(tmp_path))

    def full_disk(weights, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(UserError, match="weights.pt cannot be written .no space"):
        save_checkpoint(tmp_path, tiny_gpt2())
    assert fingerprint(load_checkpoint(tmp_path)) == before
