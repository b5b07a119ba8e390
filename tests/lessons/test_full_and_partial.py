"""What chapter 03's experiment watches while it trains, and what it counts."""

import argparse

import pytest
import torch

from minipeft.course.chapters import LESSONS, load_answers
from minipeft.methods.selective.full import Full
from minipeft.training.batches import collate, encode_examples
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

CHAPTER = LESSONS / "03_full_and_partial"


def test_a_watched_run_tells_the_loss_on_dev_and_keeps_its_last_weights(make_tiny_model, tiny_task):
    experiment = load_answers(CHAPTER / "experiment.py")
    model, method = make_tiny_model(), Full()
    method.attach(model)
    curve, last = experiment.watch(model, method, tiny_task)
    settings = TrainingSettings(steps=40, batch_size=8, learning_rate=0.3, evaluate_every=10)  # too high, on purpose
    result = fine_tune(model, method, tiny_task, settings)
    assert [point["step"] for point in curve] == [20, 40] and result.best_step < 40
    assert any(not torch.equal(value, last[name]) for name, value in method.state_dict().items())
    method.load_state_dict(last)
    with torch.no_grad():
        loss = float(model.loss(collate(encode_examples(model, tiny_task.dev))))
    assert curve[-1]["dev"] == pytest.approx(loss, rel=1e-5)


def test_a_t5_pays_for_the_way_through_its_decoder_with_the_first_trained_block():
    costs = load_answers(CHAPTER / "costs.py")
    found = costs.by_blocks("t5-0.4m", argparse.Namespace(quick=True, seeds=1))
    backward = [row["backward"] for row in found.values()]
    assert list(found) == ["0", "1", "2", "3", "all"] and backward == sorted(backward)
    step = backward[2] - backward[1]
    assert backward[1] > 1.4 * step and backward[3] - backward[2] == pytest.approx(step, rel=0.05)
    head = found["0"]["trained"] / 3 - 1  # of three classes: two labels and end-of-sequence
    assert found["0"]["backward"] == 32 * 2 * 3 * head, "of 32 answers of two tokens: its own matrix alone"
