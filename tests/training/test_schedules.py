"""Schedules against their closed forms."""

import pytest

from minipeft.training.schedules import SCHEDULES, constant, inverse_square_root, linear


def test_constant_rises_to_one_and_stays():
    assert [constant(step, 100, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert constant(0, 100) == 1.0


def test_linear_rises_then_falls_to_zero_at_the_end():
    factors = [linear(step, 10, 2) for step in range(11)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0])
    assert [linear(step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_inverse_square_root_is_flat_then_halves_when_steps_quadruple():
    assert [inverse_square_root(step, 0, 100) for step in (0, 50, 99)] == [1.0, 1.0, 1.0]
    assert inverse_square_root(399, 0, 100) == pytest.approx(0.5)
    assert inverse_square_root(1599, 0, 100) == pytest.approx(0.25)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_every_schedule_stays_above_zero_and_at_most_one_during_the_run(name, warmup):
    assert all(0 < SCHEDULES[name](step, 20, warmup) <= 1 for step in range(20))
