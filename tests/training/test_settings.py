"""Settings with which nothing can be learned are refused by name, type and value, before anything is done."""

import math
from dataclasses import fields

import numpy
import pytest

from minipeft.errors import UserError
from minipeft.training.settings import RANGES, TrainingSettings

WRONG = {
    "steps": [0, -1, 2.5, 3.0, "9", True, None, math.nan],
    "batch_size": [0, -8, 1.0, "4", False, None],
    "evaluate_every": [0, -1, 0.5, "1", None],
    "max_source_length": [0, -256, 12.0, "256", True, None],
    "patience": [0, -1, 1.5, "2", True],
    "learning_rate": [0, 0.0, -1e-3, math.nan, math.inf, -math.inf, "0.1", True, 1j],
    "warmup": [1, 1.0, 100, -0.1, math.nan, math.inf, "0.1", True, None],
    "weight_decay": [-0.1, math.nan, math.inf, "0", True, None],
    "clip": [0, 0.0, -1.0, math.nan, math.inf, "1", True],
    "seed": [-1, 2**63, 10**40, 1.0, "0", True, None, math.nan],
    "schedule": ["cosine", "", None, 3, ["constant"]],
    "optimizer": ["sgd", "", 3, ["adamw"]],
    "dtype": ["half", None, 16],
}
RIGHT = {
    "steps": [1, 10**6],
    "batch_size": [1],
    "evaluate_every": [1],
    "max_source_length": [1],
    "patience": [1, None],
    "learning_rate": [1e-8, 3, 1e4, None],
    "warmup": [0, 0.0, 0.5, 0.999],
    "weight_decay": [0, 0.5],
    "clip": [1e-3, 5, None],
    "seed": [0, 2**63 - 1],
    "optimizer": ["paged_adamw", None],
}


def test_every_field_is_held_to_something():
    assert {field.name for field in fields(TrainingSettings)} == set(WRONG)


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG.items() for value in values])
def test_a_setting_with_which_nothing_can_be_learned_is_one_sentence(name, value):
    with pytest.raises(UserError, match=f"^{name} ") as raised:
        TrainingSettings(**{name: value})
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


@pytest.mark.parametrize("name, value", [(name, value) for name, values in RIGHT.items() for value in values])
def test_the_edges_of_what_can_be_learned_are_taken(name, value):
    assert getattr(TrainingSettings(**{name: value}), name) == value


def test_numbers_of_numpy_become_pythons_own_so_that_every_file_can_hold_them():
    settings = TrainingSettings(steps=numpy.int64(7), learning_rate=numpy.float64(0.5), warmup=numpy.float32(0.25))
    assert (settings.steps, settings.learning_rate, settings.warmup) == (7, 0.5, 0.25)
    assert all(type(getattr(settings, name)) in (int, float, type(None)) for name in RANGES)
