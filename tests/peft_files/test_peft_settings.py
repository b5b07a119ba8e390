"""adapter_config.json: what changes the outputs and has no counterpart is refused by its name, and nothing else is."""

import json

import pytest

from minipeft.errors import UserError
from minipeft.peft_files.settings import CONFIG, READ, read_settings

# As peft 0.21 writes them, with every field at its default but for sizes and targets.
LORA = {
    "alora_invocation_tokens": None, "alpha_pattern": {}, "arrow_config": None, "auto_mapping": None,
    "base_model_name_or_path": "google/t5-v1_1-small", "bias": "none", "corda_config": None,
    "ensure_weight_tying": False, "eva_config": None, "exclude_modules": None, "fan_in_fan_out": False,
    "inference_mode": True, "init_lora_weights": True, "kasa_config": None, "layer_replication": None,
    "layers_pattern": None, "layers_to_transform": None, "loftq_config": {}, "lora_alpha": 16, "lora_bias": False,
    "lora_dropout": 0.1, "lora_ga_config": None, "megatron_config": None, "megatron_core": "megatron.core",
    "modules_to_save": None, "monteclora_config": None, "peft_type": "LORA", "peft_version": "0.21.2",
    "qalora_group_size": 16, "r": 8, "rank_pattern": {}, "revision": None, "target_modules": ["v", "q"],
    "target_parameters": None, "task_type": "SEQ_2_SEQ_LM", "trainable_token_indices": None, "use_bdlora": None,
    "use_dora": False, "use_qalora": False, "use_rslora": False, "velora_config": None,
}  # fmt: skip
ADALORA = {
    **LORA, "peft_type": "ADALORA", "init_r": 12, "target_r": 8, "tinit": 0, "tfinal": 0, "deltaT": 1, "beta1": 0.85,
    "beta2": 0.85, "orth_reg_weight": 0.5, "total_step": 100, "rank_pattern": None,
}  # fmt: skip
IA3 = {
    "auto_mapping": None, "base_model_name_or_path": "gpt2", "exclude_modules": None, "fan_in_fan_out": True,
    "feedforward_modules": ["mlp.c_proj"], "inference_mode": True, "init_ia3_weights": True, "modules_to_save": None,
    "peft_type": "IA3", "peft_version": "0.21.2", "revision": None, "target_modules": ["c_attn", "mlp.c_proj"],
    "task_type": None,
}  # fmt: skip
VERA = {
    "auto_mapping": None, "base_model_name_or_path": "gpt2", "bias": "none", "d_initial": 0.1, "fan_in_fan_out": False,
    "inference_mode": True, "init_weights": True, "layers_pattern": None, "layers_to_transform": None,
    "modules_to_save": None, "peft_type": "VERA", "peft_version": "0.21.2", "projection_prng_key": 0, "r": 256,
    "revision": None, "save_projection": True, "target_modules": ["v", "q"], "task_type": "SEQ_2_SEQ_LM",
    "vera_dropout": 0.0,
}  # fmt: skip
PROMPT = {
    "auto_mapping": None, "base_model_name_or_path": "gpt2", "inference_mode": True, "modules_to_save": None,
    "num_attention_heads": 12, "num_layers": 12, "num_transformer_submodules": 1, "num_virtual_tokens": 20,
    "peft_type": "PROMPT_TUNING", "peft_version": "0.21.2", "prompt_tuning_init": "TEXT",
    "prompt_tuning_init_text": "Is it good?", "revision": None, "task_type": "CAUSAL_LM", "token_dim": 768,
    "tokenizer_kwargs": {"use_fast": True}, "tokenizer_name_or_path": "gpt2",
}  # fmt: skip
PREFIX = {
    "auto_mapping": None, "base_model_name_or_path": "gpt2", "encoder_hidden_size": 768, "inference_mode": True,
    "init_weights": None, "modules_to_save": None, "num_attention_heads": 12, "num_layers": 12,
    "num_transformer_submodules": 1, "num_virtual_tokens": 20, "peft_type": "PREFIX_TUNING", "peft_version": "0.21.2",
    "prefix_projection": True, "revision": None, "task_type": "CAUSAL_LM", "token_dim": 768,
}  # fmt: skip
FILES = {settings["peft_type"]: settings for settings in (LORA, ADALORA, IA3, VERA, PROMPT, PREFIX)}


def read(folder, settings):
    (folder / CONFIG).write_text(json.dumps(settings), encoding="utf-8")
    return read_settings(folder)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_as_peft_writes_it_is_read(kind, tmp_path):
    assert FILES.keys() == READ.keys()
    settings = read(tmp_path, FILES[kind])
    assert all(settings[field] == FILES[kind][field] for field in READ[kind])


SWITCHED_ON = {
    "LORA": {
        "bias": "all", "modules_to_save": ["lm_head"], "target_parameters": ["mlp.weight"],
        "trainable_token_indices": [3], "alora_invocation_tokens": [5, 6], "megatron_config": {"size": 2},
        "megatron_core": "mine.core", "layer_replication": [[0, 2]], "lora_bias": True, "use_qalora": True,
        "qalora_group_size": 8, "loftq_config": {"loftq_bits": 4}, "corda_config": {"rank": 2},
        "arrow_config": {"top_k": 2}, "kasa_config": {"beta": 0.1}, "velora_config": {"groups": 2},
        "monteclora_config": {"samples": 2}, "use_bdlora": {"blocks": 2}, "ensure_weight_tying": True,
        "what_version_9_adds": 0.5,
    },
    "ADALORA": {"bias": "lora_only", "use_dora": True, "use_rslora": True, "modules_to_save": ["lm_head"]},
    "IA3": {"modules_to_save": ["lm_head"], "bias": "all"},
    "VERA": {"bias": "vera_only", "modules_to_save": ["lm_head"]},
    "PROMPT_TUNING": {"modules_to_save": ["lm_head"], "prefix_words": "so"},
    "PREFIX_TUNING": {"modules_to_save": ["lm_head"], "init": "words"},
}  # fmt: skip


@pytest.mark.parametrize("kind", SWITCHED_ON)
def test_an_option_without_a_counterpart_is_refused_by_its_name(kind, tmp_path):
    for field, value in SWITCHED_ON[kind].items():
        with pytest.raises(UserError, match=rf"adapter_config\.json: {field} is .*has no counterpart here"):
            read(tmp_path, FILES[kind] | {field: value})


@pytest.mark.parametrize("off", [None, False, {}, [], ""])
def test_an_unknown_option_that_is_off_is_passed_over(off, tmp_path):
    assert read(tmp_path, LORA | {"what_version_9_adds": off})["r"] == 8


WRONG = {
    "LORA": {
        "r": ("8", 0, True, 8.5, None, 10**12), "lora_alpha": (0, -1, "16", None, float("nan"), float("inf"), True),
        "lora_dropout": (1, -0.1, "0"), "use_rslora": (1, "yes"), "use_dora": (None,),
        "rank_pattern": ([8], {"q": 0}, {"q": "8"}), "alpha_pattern": ({"q": 0}, {"q": [1]}, 3),
        "target_modules": (None, 3, [3]),
        "init_lora_weights": ("olora", "pissa_niter_4", "corda", "loftq", "lora_ga", None, ["pissa"]),
    },
    "ADALORA": {
        "init_r": (0, "12"), "rank_pattern": ({"q.lora_E": [1, 0]}, {"q.lora_E": True}, [True]),
        "total_step": (0, None), "tinit": (-1, "2"), "beta1": (1.5, "0.85"), "orth_reg_weight": (-1, "0.5", [0]),
        "deltaT": (0,),
    },
    "IA3": {"feedforward_modules": (None, 3, [["wo"]])},
    "VERA": {"projection_prng_key": (-1, "0", 2**64)},
    "PROMPT_TUNING": {"num_virtual_tokens": (0, None), "num_transformer_submodules": (0, 3, None)},
    "PREFIX_TUNING": {"token_dim": (0, None), "num_transformer_submodules": (2,)},
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_that_no_field_can_have_is_refused_by_its_name(kind, tmp_path):
    for field, values in WRONG[kind].items():
        for value in values:
            with pytest.raises(UserError, match=rf"adapter_config\.json: {field} is .*; it must be"):
                read(tmp_path, FILES[kind] | {field: value})


@pytest.mark.parametrize("field", ["r", "lora_alpha", "target_modules"])
def test_a_field_that_is_not_there_is_named(field, tmp_path):
    with pytest.raises(UserError, match=f"adapter_config.json does not say {field}: copy or download"):
        read(tmp_path, {name: value for name, value in LORA.items() if name != field})


def test_a_file_of_an_older_version_lacks_what_came_later(tmp_path):
    later = ("alpha_pattern", "rank_pattern", "use_dora", "use_rslora")
    settings = read(tmp_path, {name: value for name, value in LORA.items() if name not in later})
    assert [settings[name] for name in later] == [{}, {}, False, False]


@pytest.mark.parametrize("kind", ["LOHA", "lora", None, 3, ["LORA"], {}])
def test_another_type_is_refused_with_those_that_are_read(kind, tmp_path):
    with pytest.raises(UserError, match="which has no counterpart here; LORA, ADALORA, IA3"):
        read(tmp_path, LORA | {"peft_type": kind})


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION", 3])
def test_an_adapter_of_a_model_that_writes_no_text_is_refused(task, tmp_path):
    with pytest.raises(UserError, match="task_type is .*a model here writes text"):
        read(tmp_path, LORA | {"task_type": task})


def test_a_file_that_is_missing_or_no_object_is_refused(tmp_path):
    with pytest.raises(UserError, match="adapter_config.json does not exist: copy or download"):
        read_settings(tmp_path)
    for content in ("", "[1]", "{", "3"):
        (tmp_path / CONFIG).write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="adapter_config.json"):
            read_settings(tmp_path)
