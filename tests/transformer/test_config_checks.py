"""config.json of both kinds of folder: every field is held against its rule, and the sizes against the files."""

import dataclasses
import json

import pytest
from helpers.models import FAMILIES, tiny_gpt2, tiny_llama, tiny_t5
from hypothesis import given
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.memory.shapes.names import SHAPES
from minipeft.transformer.checkpoints import load_checkpoint, read_sizes, save_checkpoint
from minipeft.transformer.config_checks import (
    DECODER_ONLY_RULES,
    ENCODER_DECODER_RULES,
    LLAMA_RULES,
    check_sizes,
    parameter_count,
)
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hugging_face import read_their_sizes
from minipeft.transformer.hugging_face_config import gpt2_settings, t5_settings
from minipeft.transformer.hugging_face_llama import llama_settings
from minipeft.transformer.llama import Llama, LlamaConfig

OURS = {
    name: {"family": name, **dataclasses.asdict(make().config)}
    for name, make in {"encoder_decoder": tiny_t5, "decoder_only": tiny_gpt2, "llama": tiny_llama}.items()
}
BIASED, NORMED = tiny_llama(query_key_value_bias=True).config, tiny_llama(query_key_norm=True).config
THEIRS = {
    "t5": t5_settings(tiny_t5().config),
    "gpt2": gpt2_settings(tiny_gpt2().config),
    "llama of others": llama_settings(tiny_llama().config),
    "mistral": {**llama_settings(tiny_llama().config), "model_type": "mistral", "sliding_window": None},
    "qwen2": llama_settings(BIASED) | {"use_sliding_window": False},
    "qwen3": llama_settings(NORMED),
}
CONFIGS = {
    **{kind: (EncoderDecoder, tiny_t5().config) for kind in ("encoder_decoder", "t5")},
    **{kind: (DecoderOnly, tiny_gpt2().config) for kind in ("decoder_only", "gpt2")},
    **{kind: (Llama, tiny_llama().config) for kind in ("llama", "llama of others", "mistral")},
    "qwen2": (Llama, BIASED),
    "qwen3": (Llama, NORMED),
}
EVERY = {**OURS, **THEIRS}
WRONG = [-1, 2.5, 1e30, "twelve", "", [1, 2], {}, 10**12, float("nan"), float("inf"), -float("inf"), "x" * 5000]
ELSEWHERE = ("mistral", "qwen2")  # checked by the lines that check a Llama and a Qwen3
FREE = {"architectures", "is_encoder_decoder", "model_type", "bos_token_id", "family"}  # no number hangs on them


def read(kind, settings, folder):
    file = folder / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return (read_sizes if kind in OURS else read_their_sizes)(file)


@pytest.mark.parametrize("kind", EVERY)
def test_what_we_write_is_read_as_it_was(kind, tmp_path):
    assert read(kind, EVERY[kind], tmp_path) == CONFIGS[kind]


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind in EVERY if kind not in ELSEWHERE for field in EVERY[kind] if field not in FREE],
)
def test_a_wrong_value_in_any_field_is_refused_in_a_sentence_that_names_file_and_field(kind, field, tmp_path):
    right = EVERY[kind][field]
    wrong = [value for value in WRONG if not (isinstance(right, str) and value == right)]
    wrong += [] if type(right) is bool else [True]
    # An empty rotation is the plain one, and a theta need not be whole.
    right_after_all = {"rope_parameters": {}, "rope_scaling": {}, "rope_theta": 2.5}
    wrong = [value for value in wrong if field not in right_after_all or value != right_after_all[field]]
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
    if kind == "llama":
        optional |= {"key_value_heads", "head_size", "rope_theta", "rope_scaling"}
        optional |= {"query_key_value_bias", "query_key_norm"}
    if kind in THEIRS:  # what transformers leaves out has a meaning
        optional |= set(THEIRS[kind]) - {"vocab_size", "d_model", "num_heads", "d_kv", "d_ff", "num_layers"}
        optional -= {"n_embd", "n_head", "n_layer", "n_positions", "model_type"}
        optional -= {"hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size"}
        optional -= {"max_position_embeddings"} | ({"eos_token_id"} if kind.startswith("qwen") else set())
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
        ("llama", {"key_value_heads": 4}, "heads 6 is not a multiple of key_value_heads 4"),
        ("llama", {"head_size": 5}, "head_size 5 is odd: rotary positions turn pairs"),
        ("llama", {"head_size": 0, "heads": 5, "key_value_heads": 1}, "hidden_size 12 is not a multiple of heads 5"),
        ("qwen3", {"num_key_value_heads": 4}, "num_attention_heads 6 is not a multiple of num_key_value_heads 4"),
        ("mistral", {"head_dim": 7}, "head_dim 7 is odd"),
        ("qwen2", {"head_dim": None, "num_attention_heads": 9}, "multiple of num_attention_heads 9: give head_dim"),
        ("qwen2", {"intermediate_size": 10**9, "hidden_size": 10**9}, r"a model of [\d.]+e\+\d+ parameters"),
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
    for rules, config in (
        (ENCODER_DECODER_RULES, EncoderDecoderConfig),
        (DECODER_ONLY_RULES, DecoderOnlyConfig),
        (LLAMA_RULES, LlamaConfig),
    ):
        assert set(rules) == {field.name for field in dataclasses.fields(config)}


SCALED = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5, "original_max_position_embeddings": 8192}
SCALED |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
BEYOND_OUR_LLAMA = {
    "a scaling": (
        "llama of others",
        {"rope_parameters": SCALED | {"rope_type": "linear"}},
        "rope_parameters is .*line",
    ),
    "a scaling in old files": ("qwen2", {"rope_scaling": {"type": "yarn", "factor": 4.0}}, "rope_scaling is .*yarn"),
    "a scaling that says more": ("mistral", {"rope_scaling": SCALED | {"beta_fast": 3}}, "its numbers and no others"),
    "a scaling upside down": ("mistral", {"rope_scaling": SCALED | {"low_freq_factor": 4}}, "with all of its numbers"),
    "half a scaling": ("llama of others", {"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "all of its numbers"),
    "a scaling without its type": ("qwen3", {"rope_scaling": {"factor": 2.0}}, "rope_scaling is .*factor"),
    "rotations by layer": ("qwen3", {"rope_parameters": {"full_attention": {}}}, "rope_parameters is .*full_att"),
    "half a head turned": ("llama of others", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
    "half a head, said inside": ("mistral", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_fac"),
    "a window": ("mistral", {"sliding_window": 39}, "sliding_window is 39, shorter than max_position_embeddings 40"),
    "a window of text": ("mistral", {"sliding_window": "39"}, "sliding_window is '39'"),
    "Mistral's own window": ("mistral", {"sliding_window": ..., "max_position_embeddings": 32768}, "window is 4096"),
    "a window of Qwen's": ("qwen2", {"use_sliding_window": True}, "use_sliding_window is True; it must be false"),
    "windows by layer": ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is"),
    "biases": ("llama of others", {"attention_bias": True}, "attention_bias is True; it must be false"),
    "biases of a Qwen3": ("qwen3", {"attention_bias": True}, "attention_bias is True; it must be false"),
    "more biases": ("llama of others", {"mlp_bias": True}, "mlp_bias is True; it must be false"),
    "another activation": ("qwen2", {"hidden_act": "gelu"}, "hidden_act is 'gelu'; it must be one of silu"),
    "quantized": ("llama of others", {"quantization_config": {"bits": 4}}, "quantization_config is .*must be absent"),
    "several ends": ("llama of others", {"eos_token_id": [1, 2]}, r"eos_token_id is \[1, 2\]"),
    "no end": ("qwen3", {"eos_token_id": None}, "eos_token_id is null"),
    "no padding by a number": ("llama of others", {"pad_token_id": -1}, "pad_token_id is -1"),
    "a mixture of experts": ("qwen3", {"model_type": "qwen3_moe"}, "holds a 'qwen3_moe' model; minipeft reads t5,"),
}


@pytest.mark.parametrize("case", BEYOND_OUR_LLAMA)
def test_what_our_llama_cannot_compute_is_refused_by_the_name_of_its_field(case, tmp_path):
    kind, changes, sentence = BEYOND_OUR_LLAMA[case]
    settings = {name: value for name, value in (EVERY[kind] | changes).items() if value is not ...}
    with pytest.raises(UserError, match=sentence) as refusal:
        read(kind, settings, tmp_path)
    assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)


PLAIN = [
    {"rope_parameters": None, "rope_scaling": None, "rope_theta": 10000.0},
    {"rope_parameters": {"type": "default"}},
    {"rope_scaling": {"rope_type": "default", "rope_theta": 10000}},
    {"partial_rotary_factor": 1.0, "attention_bias": False, "mlp_bias": False, "hidden_act": "swish"},
    {"sliding_window": 4, "use_sliding_window": False, "layer_types": ["full_attention"] * 3, "max_window_layers": 1},
]


@pytest.mark.parametrize("said", PLAIN)
def test_what_says_nothing_new_of_a_llama_is_read(said, tmp_path):
    for kind in ("llama of others", "qwen2", "qwen3"):
        assert read(kind, EVERY[kind] | said, tmp_path) == CONFIGS[kind]


def test_the_theta_of_a_rotation_is_read_where_each_version_wrote_it(tmp_path):
    for said, theta in [
        ({"rope_parameters": {"rope_theta": 5.5}, "rope_theta": 7.0}, 5.5),
        ({"rope_parameters": None, "rope_theta": 7.0}, 7.0),
        ({"rope_scaling": {"rope_theta": 9.0}}, 9.0),
    ]:
        assert read("mistral", EVERY["mistral"] | said, tmp_path)[1].rope_theta == theta


def test_the_scaling_of_llama_3_is_read_where_each_version_wrote_it_and_written_again(tmp_path):
    for said in ({"rope_parameters": SCALED}, {"rope_scaling": SCALED, "rope_theta": 1.5, "rope_parameters": None}):
        kind, config = read("llama of others", EVERY["llama of others"] | said, tmp_path)
        assert (config.rope_scaling, config.rope_theta) == ((8.0, 1.0, 4.0, 8192), 5e5)
        assert read("llama of others", llama_settings(config), tmp_path) == (kind, config)
        ours = {"family": "llama", **dataclasses.asdict(config)}
        assert read("llama", ours, tmp_path) == (kind, config)


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
