"""Fields of a wrong type are refused where a method is made, in one sentence; plain kin of the right one are taken."""

from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import get_origin

import numpy
import pytest
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_fusion import AdapterFusion
from minipeft.methods.hyperparameter_types import field_types
from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.multiplicative.ia3 import IA3
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.methods.registry import METHODS

ALL = [(name, field.name) for name, kind in METHODS.items() for field in fields(kind)]
WRONG = {
    int: ["8", 2.0, True, None, [8], torch.tensor(8), 2**63, float("nan")],
    float: ["1.0", True, None, float("inf"), float("nan"), -1e30, 10**400, torch.tensor(1.0)],
    bool: ["true", 1, 0.0, None],
    str: [7, None, b"text", ["text"]],
}
NO_SEQUENCES = [8, None, {"query"}, (one for one in ("query",)), {"query": 1}, ("query", 3), [b"query"], b"query"]
NO_MAPPINGS = [8, None, "query", ("query",), {"query"}, {3: 1}]


@pytest.mark.parametrize("name, field", ALL)
def test_every_field_of_every_method_refuses_values_of_a_wrong_type_and_names_itself(name, field):
    kind = field_types(METHODS[name])[field]
    several = NO_MAPPINGS if get_origin(kind) is Mapping else NO_SEQUENCES
    for wrong in WRONG.get(kind, several):
        with pytest.raises(UserError, match=f"^{name}: {field} must be .*, not ") as refusal:
            METHODS[name](**{field: wrong})
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 300


def test_numbers_of_numpy_are_kept_as_plain_ones():
    method = LoRA(rank=numpy.int64(3), alpha=numpy.float32(0.5), rank_pattern={numpy.str_("value"): numpy.int32(2)})
    assert method == LoRA(rank=3, alpha=0.5, rank_pattern={"value": 2})
    assert [type(one) for one in (method.rank, method.alpha, *method.rank_pattern.values())] == [int, float, int]
    assert type(LoRA(alpha=Fraction(1, 2)).alpha) is float


def test_one_target_may_be_given_as_a_text():
    model = nn.ModuleDict({"query": nn.Linear(3, 2), "key": nn.Linear(3, 2)})
    LoRA(targets="query").attach(model)
    assert type(model["query"]) is LoRALinear and type(model["key"]) is nn.Linear
    method = IA3(targets="key", feed_forward_targets="down")
    assert (method.targets, method.feed_forward_targets) == (("key",), ("down",))


def test_lists_stay_as_they_were_given():
    assert LoRA(targets=["query", "value"]).targets == ["query", "value"]
    assert AdapterFusion([Path("a.pt"), "b.pt"]).adapters == ["a.pt", "b.pt"]


def test_what_stands_inside_of_a_field_is_asked_too():
    for method, settings, words in (
        (LoRA, {"rank_pattern": {"value": 2.0}}, "rank_pattern must be a dictionary from a text to a whole number"),
        (LoRA, {"rank_pattern": {3: 2}}, "rank_pattern must be"),
        (HardPrompt, {"verbalizer": {"good": 3}}, "verbalizer must be"),
        (HardPrompt, {"demonstrations": [("a film", 1)]}, "demonstrations must be a list or tuple"),
    ):
        with pytest.raises(UserError, match=words):
            method(**settings)


def test_a_wrong_type_is_told_before_a_wrong_size():
    with pytest.raises(UserError, match="adalora: rank must be a whole number, not '8'"):
        AdaLoRA(rank="8", target_rank=9)
