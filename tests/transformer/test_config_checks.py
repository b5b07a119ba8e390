"""config.json of both kinds of folder: every field is held against its rule, and the sizes against the files."""

import dataclasses
import json

import pytest
from helpers.models import FAMILIES, tiny_gpt2, tiny_t5
from hypothesis import given
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.memory.shapes.names import SHAPES
from minipeft.transformer.checkpoints import load_checkpoint, read_sizes, save_checkpoint
from minipeft.transformer.config_checks import (
    DECODER_ONLY_RULES,
    ENCODER_DECODER_RULES,
    check_sizes,
    parameter_count,
)
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hugging_face import read_their_sizes
from minipeft.transformer.hugging_face_config import gpt2_settings, t5_settings

OURS = {
    name: {"family": name, **dataclasses.asdict(make().config)}
    for name, make in {"encoder_decoder": tiny_t5, "decoder_only": tiny_gpt2}.items()
}
THEIRS = {"t5": t5_settings(tiny_t5().config), "gpt2": gpt2_settings(tiny_gpt2().config)}
EVERY = {**OURS, **THEIRS}
WRONG = [-1, 2.5, 1e30, "twelve", "", [1, 2], {}, 10**12, float("nan"), float("inf"), -float("inf"), "x" * 5000]
FREE = {"architectures", "is_encoder_decoder", "model_type", "bos_token_id", "family"}  # no number hangs on them


def read(kind, settings, folder):
    file = folder / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return (read_sizes if kind in OURS else read_their_sizes)(file)


@pytest.mark.parametrize("kind", EVERY)
def test_what_we_write_is_read_as_it_was(kind, tmp_path):
    model, config = read(kind, EVERY[kind], tmp_path)
    assert model is (EncoderDecoder if kind in ("t5", "encoder_decoder") else DecoderOnly)
    assert config == (tiny_t5() if model is EncoderDecoder else tiny_gpt2()).config


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind in EVERY for field in EVERY[kind] if field not in FREE]
)
def test_a_wrong_value_in_any_field_is_refused_in_a_sentence_that_names_file_and_field(kind, field, tmp_path):
    right = EVERY[kind][field]
    wrong = [value for value in WRONG if not (isinstance(right, str) and value == right)]
    wrong += [] if type(right) is bool else [True]
    for value in wrong:
        with pytest.raises(UserError) as refusal:
            read(kind, EVERY[kind] | {field: value}, tmp_path)
        sentence = str(refusal.value)
        assert str(tmp_path / "config.json") in sentence and field in sentence
        assert len(sentence) < 500 and "\n" not in sentence


@pytest.mark.parametrize("kind", EVERY)
def test_a_field_that_must_be_there_is_named_where_it_is_missing(kind, tmp_path):
    optional = {"tied_head", "rescaled", "dropout", "epsilon", "pad", "eos", "start", "activation", "gated"}
    optional |= {"relative_buckets", "relative_max_distance", "max_length"} | FREE - {"family", "model_type"}
    if kind == "decoder_only":
        optional |= {"feed_forward_size"}
    if kind in THEIRS:  # what transformers leaves out has a meaning
        optional |= set(THEIRS[kind]) - {"vocab_size", "d_model", "num_heads", "d_kv", "d_ff", "num_layers"}
        optional -= {"n_embd", "n_head", "n_layer", "n_positions", "model_type"}
    if kind == "gpt2":
        optional |= {"eos_token_id"}
    for field in set(EVERY[kind]) - optional:
        with pytest.raises(
            UserError, match=field if field not in ("family", "model_type") else "None|'vocab|has a field"
        ):
            read(kind, {name: value for name, value in EVERY[kind].items() if name != field}, tmp_path)


def test_sizes_that_do_not_belong_together_are_refused(tmp_path):
    for kind, changes, sentence in [
        ("encoder_decoder", {"eos": 37}, "eos is 37, but vocabulary_size is 37: there is no such token"),
        (
            "encoder_decoder",
            {"relative_buckets": 64, "relative_max_distance": 32},
            "more than half of relative_buckets, 64",
        ),
        ("encoder_decoder", {"relative_buckets": 3}, "relative_buckets is 3; it must be a whole number from 4"),
        ("decoder_only", {"heads": 5}, "hidden_size 12 is not a multiple of heads 5"),
        ("t5", {"d_model": 10**9, "d_ff": 10**9}, r"a model of [\d.]+e\+\d+ parameters: no machine holds it"),
        ("gpt2", {"n_layer": 10**9}, "n_layer is 1000000000; it must be a whole number from 1 to 1,000"),
        ("gpt2", {"n_inner": 0}, "n_inner is 0; it must be a whole number from 1"),
        ("gpt2", {"eos_token_id": 50256, "pad_token_id": 0}, "eos_token_id is 50256, but vocab_size is 37"),
    ]:
        with pytest.raises(UserError, match=sentence):
            read(kind, EVERY[kind] | changes, tmp_path)


def test_an_end_that_stands_for_the_pad_is_named_as_the_end(tmp_path):
    values = {name: value for name, value in EVERY["gpt2"].items() if name != "pad_token_id"}
    with pytest.raises(UserError, match="eos_token_id is 50256, but vocab_size is 37"):
        read("gpt2", values | {"eos_token_id": 50256}, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_counted_by_formula(family):
    model = FAMILIES[family]()
    assert parameter_count(model.config) == sum(weight.numel() for weight in model.parameters())
    untied = dataclasses.replace(model.config, tied_head=False)
    assert parameter_count(untied) == sum(weight.numel() for weight in type(model)(untied).parameters())


def test_models_known_by_name_pass_the_check_of_sizes(tmp_path):
    for _, config in SHAPES.values():
        check_sizes(config, tmp_path)


def test_a_config_of_a_larger_model_than_its_weights_is_refused_before_anything_is_allocated(tmp_path):
    save_checkpoint(tmp_path, tiny_gpt2())
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(
        json.dumps(settings | {"layers": 1000, "hidden_size": 3 * 10**4}), encoding="utf-8"
    )
    with pytest.raises(UserError, match="they belong to different models, or the download broke off"):
        load_checkpoint(tmp_path)


def test_rules_and_configs_have_the_same_fields():
    for rules, config in ((ENCODER_DECODER_RULES, EncoderDecoderConfig), (DECODER_ONLY_RULES, DecoderOnlyConfig)):
        assert set(rules) == {field.name for field in dataclasses.fields(config)}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(WRONG),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data(), kind=st.sampled_from(sorted(EVERY)))
def test_any_json_is_read_or_refused_in_a_sentence(data, kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    field = data.draw(st.sampled_from(sorted(EVERY[kind])) | st.text(max_size=5))
    try:
        read(kind, EVERY[kind] | {field: data.draw(JSON_VALUES)}, folder)
    except UserError as refusal:
        assert "\n" not in str(refusal) and len(str(refusal)) < 600


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "is not valid JSON"),
        ('{"heads": ' + "9" * 6000 + "}", "is not valid JSON"),
        ('{"family": ' + "[" * 500 + "]" * 500 + "}", "names the family"),
        ("", "is not valid JSON"),
        ("null", "holds a NoneType"),
        ("{'heads': 2}", "is not valid JSON"),
    ],
)
def test_broken_json_is_refused_in_a_sentence(text, sentence, tmp_path):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        read_sizes(tmp_path / "config.json")
