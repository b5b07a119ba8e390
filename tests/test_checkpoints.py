"""Saved models come back whole, Hugging Face folders too, and a broken folder is one sentence."""

import json
import sys

import pytest
import tokenizers
import torch
from tiny_models import FAMILIES, random_batch, tiny_gpt2, tiny_t5

import minipeft.models as models
from minipeft.errors import UserError
from minipeft.transformer.checkpoints import fingerprint, load_checkpoint, save_checkpoint
from minipeft.transformer.hugging_face import from_hugging_face, gpt2_names, t5_names, to_hugging_face

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
    assert json.loads((tmp_path / "new" / "folder" / "results.json").read_text()) == {"loss": 1.5}


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
    assert ("head.weight" in stored) == (family == "t5")  # a tied head is not stored again
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
        (lambda folder: (folder / "weights.pt").write_bytes(b"nothing"), r"weights.pt cannot be read \("),
        (lambda folder: (folder / "config.json").unlink(), "config.json does not exist"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not valid JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json holds a list"),
        (lambda folder: (folder / "config.json").write_text("{}"), "names the family None; it must be one of"),
        (lambda folder: edit(folder, width=3), "does not describe a model of family encoder_decoder: .*width"),
        (lambda folder: edit(folder, heads=4), r"key.weight is \(15, 12\), expected \(20, 12\)"),
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
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | changes))


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, tiny_t5())
    before = fingerprint(load_checkpoint(tmp_path))

    def full_disk(weights, path):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(tmp_path, tiny_gpt2())
    assert fingerprint(load_checkpoint(tmp_path)) == before


# Hugging Face folders, without transformers


def write_tokenizer(folder, words=30):
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", *(f"w{n}" for n in range(words))])}
    tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="w0")).save(str(folder / "tokenizer.json"))


@every_family
def test_a_hugging_face_folder_gives_the_same_model_and_its_tokenizer(family, tmp_path):
    pytest.importorskip("safetensors", reason="needs minipeft[hub]")
    model, batch = FAMILIES[family](), random_batch()
    to_hugging_face(model, tmp_path)
    write_tokenizer(tmp_path)
    loaded = models.load(tmp_path)
    assert loaded.config == model.config and not loaded.training
    assert fingerprint(loaded) == fingerprint(model)
    assert torch.equal(loaded(batch), model(batch))
    assert loaded.tokenizer.size == 32 and loaded.tokenizer.encode("w3") == [5]


@every_family
def test_every_weight_has_a_hugging_face_name(family):
    model = FAMILIES[family]()
    names = (gpt2_names if family == "gpt2" else t5_names)(model.config)
    ours = [own for parts in names.values() for own in parts]
    assert sorted(ours) == sorted(name for name, _ in model.named_parameters())


def test_an_older_pytorch_bin_file_is_read(tmp_path):
    pytest.importorskip("safetensors", reason="needs minipeft[hub]")
    from safetensors.torch import load_file

    to_hugging_face(tiny_t5(), tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert fingerprint(from_hugging_face(tmp_path)) == fingerprint(tiny_t5())


def test_another_kind_of_model_and_a_missing_package_are_refused_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="holds a 'llama' model; minipeft reads t5, mt5 and gpt2"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match="pip install 'minipeft\\[hub\\]'"):
        models.load(tmp_path)


def test_incomplete_hugging_face_folders_are_refused_in_a_sentence(tmp_path):
    pytest.importorskip("safetensors", reason="needs minipeft[hub]")
    to_hugging_face(tiny_gpt2(), tmp_path)
    edit(tmp_path, activation_function="relu")
    with pytest.raises(UserError, match="activation_function 'relu' is not supported"):
        from_hugging_face(tmp_path)
    edit(tmp_path, activation_function="gelu_new", n_layer=4)
    with pytest.raises(UserError, match="hold no weight transformer.h.3"):
        from_hugging_face(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        from_hugging_face(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="model.safetensors does not exist"):
        from_hugging_face(tmp_path)


# Names


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """Two bundled models of our own, with tokenizers of their own."""
    monkeypatch.setattr(models, "CHECKPOINTS", tmp_path)
    for name, model in {"t5-tiny": tiny_t5(), "gpt-tiny": tiny_gpt2()}.items():
        save_checkpoint(tmp_path / name, model)
        write_tokenizer(tmp_path / name)
    return tmp_path


def test_a_bundled_model_is_loaded_by_name(bundled):
    assert models.model_names() == ["gpt-tiny", "t5-tiny"]
    assert fingerprint(models.load("gpt-tiny")) == fingerprint(load_checkpoint(bundled / "gpt-tiny"))
    assert models.load("t5-tiny").tokenizer.eos == 1


def test_an_unknown_name_is_refused_with_the_nearest_one(bundled):
    with pytest.raises(UserError, match="no model or folder 't5-tinny'; did you mean 't5-tiny'"):
        models.load("t5-tinny")
    with pytest.raises(UserError, match="the bundled ones are gpt-tiny, t5-tiny"):
        models.load("zzz")


def test_a_folder_without_a_model_is_refused(bundled, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no config.json"):
        models.load(tmp_path / "empty")


def test_a_tokenizer_larger_than_the_model_is_refused(bundled):
    write_tokenizer(bundled / "t5-tiny", words=60)
    with pytest.raises(UserError, match="has 62 tokens, its model 37"):
        models.load("t5-tiny")


def test_random_init_is_the_architecture_with_fresh_weights_that_the_seed_decides(bundled):
    before = torch.get_rng_state()
    one, again, other = (models.random_init("t5-tiny", seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.config == models.load("t5-tiny").config and one.tokenizer.size == 32 and not one.training
    assert len({fingerprint(one), fingerprint(other), fingerprint(models.load("t5-tiny"))}) == 3
    assert fingerprint(one) == fingerprint(again)
    assert torch.equal(one.encoder.norm.weight, torch.ones(12))
