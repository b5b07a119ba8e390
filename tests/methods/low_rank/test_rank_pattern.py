"""Ranks by name: which layers get their own, and which names are refused."""

import json

import pytest
from helpers.models import tiny_t5

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.racing.entries import parse_hyperparameters

LORAS = pytest.mark.parametrize("kind", [LoRA, RSLoRA, LoRAPlus], ids=lambda kind: kind.name)


def layers(model):
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}


@LORAS
def test_a_rank_pattern_gives_the_layers_that_it_names_their_own_rank_and_factor(kind):
    pattern = {"decoder.blocks.*.query": 4, "cross_attention.query": 1, "value": 2}
    method = kind(rank=3, alpha=6.0, targets=("query", "value", "up"), rank_pattern=pattern)
    method = kind(**json.loads(json.dumps(method.hyperparameters())))
    model = tiny_t5()
    method.attach(model)
    seen = set()
    for path, layer in layers(model).items():
        rank = 3
        if path.endswith("query") and path.startswith("decoder"):
            rank = 1 if "cross_attention" in path else 4
        if path.endswith("value"):
            rank = 2
        seen.add(rank)
        assert layer.A.shape[0] == layer.B.shape[1] == rank, path
        assert layer.scaling == pytest.approx(6.0 / rank**0.5 if kind is RSLoRA else 6.0 / rank), path
    assert seen == {1, 2, 3, 4}


def test_of_several_patterns_for_a_layer_the_last_one_counts():
    for pattern, rank in (({"query": 2, "*": 5}, 5), ({"*": 5, "query": 2}, 2)):
        model = tiny_t5()
        LoRA(targets=("query",), rank_pattern=pattern).attach(model)
        assert {len(layer.A) for layer in layers(model).values()} == {rank}


def test_a_pattern_that_names_no_targeted_layer_is_refused_and_the_model_left_alone():
    for wrong in ("qurey", "value"):  # there is no such layer; there is one, but it is no target
        model = tiny_t5()
        with pytest.raises(UserError, match=f"rank_pattern names '{wrong}'.*they name query, up"):
            LoRA(targets=("query", "up"), rank_pattern={"query": 2, wrong: 4}).attach(model)
        assert not layers(model) and all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(UserError, match="rank must be at least 1, not 0"):
        LoRA(rank_pattern={"query": 0})


def test_a_rank_pattern_can_be_typed_on_the_command_line():
    assert parse_hyperparameters("lora", ['rank_pattern={"value": 2}', "rank=4"]) == {
        "rank_pattern": {"value": 2},
        "rank": 4,
    }
