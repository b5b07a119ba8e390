"""Models by name and from Hugging Face folders (written by us: tests/parity holds them against transformers)."""

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
from helpers.models import FAMILIES, random_batch, tiny_gpt2, tiny_llama, tiny_t5
from helpers.tokenizers_of_kinds import llama_kind

import minipeft.models as models
from minipeft.errors import UserError
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.training.batches import encode_answer, encode_source
from minipeft.transformer.checkpoints import load_checkpoint, save_checkpoint
from minipeft.transformer.fingerprints import fingerprint
from minipeft.transformer.hugging_face import from_hugging_face, in_their_form, their_names, to_hugging_face
from minipeft.transformer.hugging_face_config import gpt2_settings
from minipeft.transformer.hugging_face_llama import llama_settings
from minipeft.transformer.llama import Llama

every_family = pytest.mark.parametrize("family", FAMILIES)


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


@pytest.fixture
def llama_folder(tmp_path):
    """A Llama's folder whose tokenizer opens texts with `<s>` and knows two ways to end them."""
    backend = llama_kind()
    end = backend.token_to_id("<|im_end|>")
    config = replace(tiny_llama().config, vocabulary_size=backend.get_vocab_size(), eos=end, pad=end)
    model = Llama(config)
    theirs = {name: weight.contiguous() for name, weight in in_their_form(model).items()}
    torch.save(theirs, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(llama_settings(model.config)), encoding="utf-8")
    backend.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_llama_reads_what_its_tokenizer_puts_before_a_text_and_ends_as_its_config_says(llama_folder):
    model, backend = models.load(llama_folder), llama_kind()
    prompt = PromptTuning(prompt_length=2, init="uniform")
    assert model.tokenizer.eos == backend.token_to_id("<|im_end|>") != backend.token_to_id("<|endoftext|>")
    for attach in (lambda: None, lambda: prompt.attach(model)):
        attach()
        assert encode_source(model, "it was good") == backend.encode("it was good").ids
    assert encode_answer(model, "bad") == [*backend.encode(" bad", add_special_tokens=False).ids, model.tokenizer.eos]
    again = models.random_init(llama_folder, seed=0)
    assert encode_source(again, "it was good") == backend.encode("it was good").ids


def test_a_llama_that_is_to_end_with_a_word_is_refused(llama_folder):
    settings = json.loads((llama_folder / "config.json").read_text(encoding="utf-8"))
    (llama_folder / "config.json").write_text(json.dumps(settings | {"eos_token_id": 70}), encoding="utf-8")
    with pytest.raises(UserError, match="no control token 70, with which the model is to end a text"):
        models.load(llama_folder)


@every_family
def test_every_weight_has_a_hugging_face_name(family):
    model = FAMILIES[family]()
    names = their_names(model.config)
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
    (tmp_path / "config.json").write_text('{"model_type": "mixtral"}', encoding="utf-8")
    with pytest.raises(UserError, match="holds a 'mixtral' model; minipeft reads t5, mt5, gpt2, llama, mistral, qwen2"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(gpt2_settings(tiny_gpt2().config)), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(bytes(10**5))
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(UserError, match="pip install 'minipeft\\[hub\\]'"):
        models.load(tmp_path)


def test_incomplete_hugging_face_folders_are_refused_in_a_sentence(tmp_path):
    pytest.importorskip("safetensors", reason="needs minipeft[hub]")
    to_hugging_face(tiny_gpt2(), tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(settings | {"activation_function": "relu"}), encoding="utf-8")
    with pytest.raises(UserError, match="activation_function is 'relu'; it must be one of gelu_new"):
        from_hugging_face(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(settings | {"n_layer": 4}), encoding="utf-8")
    with pytest.raises(UserError, match=r"transformer.h.3.attn.c_attn.bias' is nothing, expected \(36,\)"):
        from_hugging_face(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(10**5))
    with pytest.raises(UserError, match="cannot be read"):
        from_hugging_face(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="model.safetensors does not exist"):
        from_hugging_face(tmp_path)


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
    with pytest.raises(UserError, match="empty' holds no config.json"):
        models.load(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "The name of the model is empty"),
        ("  ", "The name of the model is empty"),
        ("x" * 5000, "no model or folder 'x+...'"),
        ("a/" * 3000, "no model or folder 'a/"),
        ("nul\0byte", "no model or folder"),
        ("half\ud83d", "no model or folder"),
        ("two\nlines", "no model or folder"),
        ("~nobody-of-this-name/model", "no model or folder"),
        (None, "no model or folder 'None'"),
        (7, "no model or folder '7'"),
        ("google/t5-v1_1-small", "no model or folder 'google/t5-v1_1-small'"),
    ],
)
def test_names_of_every_kind_get_one_short_sentence_and_nothing_is_downloaded(name, sentence, bundled, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(UserError, match=sentence) as refusal:
        models.load(name)
    assert len(str(refusal.value)) < 400 and "\n" not in str(refusal.value)


def test_a_file_in_place_of_a_folder_and_a_folder_that_may_not_be_read_are_refused(bundled, tmp_path, monkeypatch):
    (tmp_path / "model").write_text("no folder", encoding="utf-8")
    with pytest.raises(UserError, match="is a file: give the folder"):
        models.load(tmp_path / "model")

    def locked(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", locked)
    with pytest.raises(UserError, match=r"that can be read \(Permission denied\)"):
        models.load("t5-tiny")


def test_a_tokenizer_that_ends_texts_with_another_token_is_refused(bundled):
    settings = json.loads((bundled / "t5-tiny" / "config.json").read_text(encoding="utf-8"))
    (bundled / "t5-tiny" / "config.json").write_text(json.dumps(settings | {"eos": 2}), encoding="utf-8")
    with pytest.raises(UserError, match="ends a text with token 1, its config.json with 2"):
        models.load("t5-tiny")


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
