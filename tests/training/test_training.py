"""The trainer: it learns, it trains nothing but the method, it stops where it should, and a resumed run is the same."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from helpers.method_table import TABLE, new_method
from helpers.word_models import MAKERS, make_easy_task, second_family_slow

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.registry import METHODS
from minipeft.training import trainer
from minipeft.training.evaluating import evaluate
from minipeft.training.resuming import describe_run
from minipeft.training.trainer import TrainingSettings, fine_tune
from minipeft.transformer import tensor_files

SHORT = TrainingSettings(steps=9, batch_size=16, evaluate_every=3, learning_rate=0.01)


def attached(make, **hyperparameters):
    """A fresh model with a LoRA whose random start is always the same."""
    model, method = make(), LoRA(**({"rank": 4, "targets": ("*blocks.*",)} | hyperparameters))
    torch.manual_seed(1)
    method.attach(model)
    return model, method


def test_a_method_learns_a_task_and_the_base_keeps_every_bit(make_tiny_model):
    task = make_easy_task()  # learned whatever the kernels round: the outcome of the harder one hangs on the last bits
    model, method = attached(make_tiny_model, rank=8)
    before = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    result = fine_tune(
        model, method, task, TrainingSettings(steps=60, batch_size=16, learning_rate=0.01, schedule="constant")
    )
    assert evaluate(model, task, "test")["score"] > 90
    assert result.trained_parameters == method.stored_count()
    assert len(result.losses) == 60 and result.losses[-1] < result.losses[0] and result.seconds_per_step > 0
    for name, weight in model.named_parameters():
        if name in before:
            assert torch.equal(weight, before[name]) and weight.grad is None
    assert not model.training


def test_the_same_seed_gives_the_same_run_and_another_seed_another(make_tiny_model, tiny_task):
    losses = []
    for seed in (0, 0, 1):
        model, method = attached(lambda: make_tiny_model(dropout=0.1))
        losses.append(fine_tune(model, method, tiny_task, TrainingSettings(steps=3, batch_size=8, seed=seed)).losses)
    assert losses[0] == losses[1] != losses[2]


class Killed(BaseException):
    pass


def die_at(last):
    """A hook that kills the run in step `last`."""

    def die(step, total):
        if step == last:
            raise Killed

    return die


@second_family_slow
@pytest.mark.parametrize("optimizer", ["adamw", "paged_adamw", "adafactor"])
@pytest.mark.parametrize("killed_at", [1, 5, 8])
def test_a_killed_and_resumed_run_equals_an_unbroken_one_bit_for_bit(
    make_tiny_model, tiny_task, tmp_path, optimizer, killed_at
):
    make = lambda: make_tiny_model(dropout=0.1)  # noqa: E731
    settings = TrainingSettings(
        steps=9, batch_size=16, evaluate_every=3, learning_rate=0.02, optimizer=optimizer, schedule="linear"
    )
    unbroken, method = attached(make)
    expected = fine_tune(unbroken, method, tiny_task, settings)

    model, broken = attached(make)
    broken.after_backward = die_at(killed_at)
    with pytest.raises(Killed):
        fine_tune(model, broken, tiny_task, settings, tmp_path)
    torch.manual_seed(99)  # a new process has other random numbers
    model, resumed = attached(make)
    with torch.no_grad():  # and other starting weights, which the saved ones replace
        if killed_at >= settings.evaluate_every:
            next(iter(resumed.named_parameters().values())).add_(1.0)
    result = fine_tune(model, resumed, tiny_task, settings, tmp_path)

    assert result.losses == expected.losses and result.dev_scores == expected.dev_scores
    for name, weight in method.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert list(tmp_path.iterdir()) == [], "a finished run needs no file to resume from"


# One of each kind of state; the other methods are left to the slow tests.
RESUMED_DAILY = ("full", "freeze_layers", "lora", "adalora", "qlora", "adapter_fusion", "adapter_drop", "prompt_tuning")
RESUMED_DAILY += ("prompt_ensemble", "prefix_tuning", "p_tuning")


@second_family_slow
@pytest.mark.parametrize(
    "name",
    [
        name if name in RESUMED_DAILY else pytest.param(name, marks=pytest.mark.slow)
        for name in METHODS
        if not TABLE[name].trains_nothing
    ],
)
def test_every_method_resumes_as_if_never_killed(make_tiny_model, tiny_task, tmp_path, name):
    settings = TrainingSettings(steps=6, batch_size=16, evaluate_every=2, learning_rate=0.02)
    tiny_task = replace(tiny_task, dev=tiny_task.dev[:4], test=tiny_task.test[:4])
    ends, steps_run = [], []
    for folder, killed_at in (("whole", None), ("broken", 3), ("broken", None)):
        model = make_tiny_model()
        method = new_method(name, model)
        torch.manual_seed(1)
        try:
            method.attach(model)
        except UserError:
            pytest.skip(f"{name} does not act on this family")

        def watch(step, total, killed_at=killed_at, act=method.after_backward):
            steps_run.append(step)
            if step == killed_at:
                raise Killed
            act(step, total)

        method.after_backward = watch
        if killed_at is None:
            fine_tune(model, method, tiny_task, settings, tmp_path / folder)
            ends.append(method.state_dict())
        else:
            with pytest.raises(Killed):
                fine_tune(model, method, tiny_task, settings, tmp_path / folder)
    assert steps_run == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 2, 3, 4, 5]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0] | ends[1])


def test_a_run_with_other_settings_is_not_resumed(tiny_t5, tiny_task, tmp_path):
    model, method = attached(MAKERS["t5"])
    method.after_backward = die_at(4)
    with pytest.raises(Killed):
        fine_tune(model, method, tiny_task, SHORT, tmp_path)
    model, other = attached(MAKERS["t5"], rank=3)
    with pytest.raises(UserError, match="lora.rank = 4, not 3"):
        fine_tune(model, other, tiny_task, SHORT, tmp_path)
    (tmp_path / "resume.pt").write_bytes(b"PK broken")
    with pytest.raises(UserError, match="delete it"):
        fine_tune(model, other, tiny_task, SHORT, tmp_path)


def scripted_scores(monkeypatch, scores):
    """Make the dev evaluation return these numbers, and remember the weights it saw."""
    remaining, seen = iter(scores), []

    def score(model, *args, **kwargs):
        seen.append(model.attached_method.state_dict())
        return {"score": next(remaining)}

    monkeypatch.setattr(trainer, "evaluate", score)
    return seen


def test_the_weights_best_on_dev_remain_and_patience_ends_the_run(monkeypatch, tiny_task):
    seen = scripted_scores(monkeypatch, [50.0, 70.0, 60.0, 70.0, 90.0])
    model, method = attached(MAKERS["t5"])
    settings = TrainingSettings(steps=50, batch_size=4, evaluate_every=2, patience=2)
    result = fine_tune(model, method, tiny_task, settings)
    assert result.dev_scores == [(2, 50.0), (4, 70.0), (6, 60.0), (8, 70.0)]
    assert (result.best_dev, result.best_step) == (70.0, 4)
    for name, weight in method.state_dict().items():
        assert torch.equal(weight, seen[1][name])
    assert any(not torch.equal(seen[1][name], seen[2][name]) for name in seen[1])


def test_patience_counts_on_in_a_resumed_run(monkeypatch, tiny_task, tmp_path):
    scripted_scores(monkeypatch, [70.0, 60.0, 50.0, 90.0])
    settings = TrainingSettings(steps=50, batch_size=4, evaluate_every=2, patience=2)
    model, method = attached(MAKERS["t5"])
    method.after_backward = die_at(4)  # after the scores 70 and 60
    with pytest.raises(Killed):
        fine_tune(model, method, tiny_task, settings, tmp_path)
    model, method = attached(MAKERS["t5"])
    assert fine_tune(model, method, tiny_task, settings, tmp_path).dev_scores == [(2, 70.0), (4, 60.0), (6, 50.0)]


def test_a_patience_below_one_is_refused():
    with pytest.raises(UserError, match="patience is 0: it must be at least 1, or None"):
        TrainingSettings(patience=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_a_sentence_and_the_last_good_weights(monkeypatch, tiny_task, bad):
    seen = scripted_scores(monkeypatch, [50.0])
    model, method = attached(MAKERS["gpt"])
    penalties = iter([0.0] * 4 + [bad])
    plain_loss = model.loss
    monkeypatch.setattr(model, "loss", lambda batch: plain_loss(batch) + next(penalties))
    settings = TrainingSettings(steps=9, batch_size=4, evaluate_every=3, learning_rate=0.25)
    with pytest.raises(UserError, match="step 5.*learning rate below 0.25.*weights of step 3"):
        fine_tune(model, method, tiny_task, settings)
    for name, weight in method.state_dict().items():
        assert torch.equal(weight, seen[0][name])


def test_the_penalty_is_part_of_the_gradient_and_after_backward_sees_every_step(tiny_task):
    model, method = attached(MAKERS["t5"])
    calls = []
    weights = list(method.named_parameters().values())
    method.penalty = lambda: 1e3 * sum(weight.square().sum() for weight in weights)
    method.after_backward = lambda step, total: calls.append((step, total, weights[0].grad is not None))
    size = sum(float(weight.detach().square().sum()) for weight in weights)
    fine_tune(model, method, tiny_task, TrainingSettings(steps=4, batch_size=4, learning_rate=0.02, warmup=0))
    assert calls == [(step, 4, True) for step in range(4)]
    assert sum(float(weight.detach().square().sum()) for weight in weights) < size


def test_gradients_are_clipped_to_the_norm_that_was_asked_for(monkeypatch, tiny_task):
    norms = []
    for clip in (1e-3, None):
        model, method = attached(MAKERS["t5"])

        def note(step, total, method=method):
            grads = [weight.grad.flatten() for weight in method.named_parameters().values()]
            norms.append(float(torch.cat(grads).norm()))

        method.after_backward = note
        fine_tune(model, method, tiny_task, TrainingSettings(steps=1, batch_size=4, clip=clip))
    assert norms[0] == pytest.approx(1e-3, rel=1e-2) and norms[1] > 0.01


def test_bfloat16_computes_in_16_bit_and_keeps_trained_weights_in_32(make_tiny_model, tiny_task):
    model, method = attached(make_tiny_model)
    result = fine_tune(model, method, tiny_task, TrainingSettings(steps=3, batch_size=8, dtype="bfloat16"))
    exact, other = attached(make_tiny_model)
    reference = fine_tune(exact, other, tiny_task, TrainingSettings(steps=3, batch_size=8))
    assert {weight.dtype for weight in method.named_parameters().values()} == {torch.float32}
    assert result.losses != reference.losses and result.losses == pytest.approx(reference.losses, rel=0.05)


def test_impossible_settings_get_one_sentence(tiny_t5, tiny_task):
    for wrong, word in (({"steps": 0}, "at least 1"), ({"schedule": "cosine"}, "linear"), ({"dtype": "half"}, "bf")):
        with pytest.raises(UserError, match=word):
            TrainingSettings(**wrong)
    with pytest.raises(UserError, match="attach"):
        fine_tune(tiny_t5, LoRA(), tiny_task)


def test_an_evaluation_that_fails_loses_no_step_and_leaves_the_model_in_eval_mode(monkeypatch, tiny_task, tmp_path):
    model, method = attached(MAKERS["t5"])
    whole = fine_tune(model, method, tiny_task, SHORT)
    weights, steps = method.state_dict(), []

    def fail(*_, **__):
        raise MemoryError

    model, method = attached(MAKERS["t5"])
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(trainer, "evaluate", fail)
        fine_tune(model, method, tiny_task, SHORT, tmp_path)
    assert not model.training
    model, method = attached(MAKERS["t5"])
    method.after_backward = lambda step, total: steps.append(step)
    resumed = fine_tune(model, method, tiny_task, SHORT, tmp_path)
    assert steps == [3, 4, 5, 6, 7, 8] and resumed.dev_scores == whole.dev_scores and resumed.losses == whole.losses
    assert all(torch.equal(weight, weights[name]) for name, weight in method.state_dict().items())


def test_a_state_with_one_other_bit_is_not_gone_on_from(tiny_task, tmp_path):
    model, method = attached(MAKERS["t5"])
    method.after_backward = die_at(4)
    with pytest.raises(Killed):
        fine_tune(model, method, tiny_task, SHORT, tmp_path)
    state = tmp_path / "resume.pt"
    numbers = next(iter(torch.load(state, weights_only=True)["state"]["weights"].values())).numpy().tobytes()
    whole = state.read_bytes()
    place = whole.index(numbers) + len(numbers) // 2
    state.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    model, method = attached(MAKERS["t5"])
    with pytest.raises(UserError, match="resume.pt is damaged.*delete it to start anew"):
        fine_tune(model, method, tiny_task, SHORT, tmp_path)


def test_the_largest_seed_trains(tiny_t5, tiny_task):
    method = LoRA(rank=2)
    method.attach(tiny_t5)
    settings = TrainingSettings(steps=2, batch_size=4, seed=2**63 - 1)
    assert len(fine_tune(tiny_t5, method, tiny_task, settings).losses) == 2


def test_a_place_that_takes_no_files_is_found_before_the_first_step(tiny_t5, tiny_task, tmp_path):
    method = LoRA(rank=2)
    method.attach(tiny_t5)
    method.after_backward = lambda step, total: pytest.fail("a step was made")
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / ("n" * 300)):
        with pytest.raises(UserError, match="cannot be written"):
            fine_tune(tiny_t5, method, tiny_task, SHORT, place)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_run_has_its_folder_to_itself(tiny_t5, tiny_task, tmp_path):
    method, seen = LoRA(rank=2), []
    method.attach(tiny_t5)
    method.after_backward = lambda step, total: seen.append((tmp_path / ".lock").exists())
    fine_tune(tiny_t5, method, tiny_task, TrainingSettings(steps=1, batch_size=4), tmp_path)
    assert seen == [True] and list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_full_for_the_state_is_found_before_the_first_step(
    tiny_t5, tiny_task, tmp_path, monkeypatch
):
    method = LoRA(rank=2)
    method.attach(tiny_t5)
    method.after_backward = lambda step, total: pytest.fail("a step was made")

    def full(content, part):
        part.write_bytes(b"PK half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="resume.pt cannot be written .No space left"):
        fine_tune(tiny_t5, method, tiny_task, SHORT, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_the_state_of_another_kind_of_run_is_one_sentence(tiny_t5, tiny_task, tmp_path):
    method = LoRA(rank=2)
    method.attach(tiny_t5)
    description = describe_run(method, tiny_task, asdict(SHORT))
    for content, words in (
        ({"model": {}, "optimizer": {}, "settings": {}, "progress": {}}, "lacks the description"),
        ({"description": [], "state": {}}, "its description is a list"),
        ({"description": description, "state": {"step": 3}}, "lacks the seconds"),
        ({"description": description | {"from_the_future": 1}, "state": {}}, "from_the_future = 1, not None"),
    ):
        tensor_files.write_state(tmp_path / "resume.pt", content)
        with pytest.raises(UserError, match=words):
            fine_tune(tiny_t5, method, tiny_task, SHORT, tmp_path)


def test_weights_that_a_step_made_infinite_are_neither_kept_nor_saved(tiny_t5, tiny_task, tmp_path):
    method = LoRA(rank=2)
    method.attach(tiny_t5)
    weight = next(iter(method.named_parameters().values()))

    def too_far(step, total):
        if step == 5:
            weight.data[0, 0] = math.inf

    method.after_step = too_far
    with pytest.raises(UserError, match="training stopped at step 7.*the weights of step"):
        fine_tune(tiny_t5, method, tiny_task, SHORT, tmp_path)
    assert all(tensor.isfinite().all() for tensor in method.state_dict().values())
    assert tensor_files.read_state(tmp_path / "resume.pt")["state"]["step"] == 3
