"""Prompt ensembles against their members run one by one, and against votes counted by hand."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from helpers.choices import CHOICES
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, scrambled
from helpers.word_models import make_tiny_task

from minipeft.course.chapters import LESSONS, load_answers
from minipeft.errors import UserError
from minipeft.methods.prompts.prompt_ensemble import PromptEnsemble, majority
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.training.evaluating import evaluate, predict
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transformer.batch import Batch

study = load_answers(LESSONS / "08_prompt_transfer" / "ensembles.py")

LENGTH, MEMBERS = 3, 4
families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def prompt_states(model, count=MEMBERS, size=1.5):
    """States of `count` different prompt tunings of `model`, which is left plain."""
    states = []
    for seed in range(count):
        method = PromptTuning(prompt_length=LENGTH, init="uniform")
        method.attach(model)
        states.append({name: size * torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
                       for name, value in method.state_dict().items()})  # fmt: skip
        method.detach()
    return states


def ensemble_on(model, states):
    ensemble = PromptEnsemble(members=len(states), prompt_length=LENGTH, init="uniform")
    ensemble.attach(model)
    ensemble.load_members(states)
    return ensemble


def alone(model, state):
    method = PromptTuning(prompt_length=LENGTH, init="uniform")
    method.attach(model)
    method.load_state_dict(state)
    return method


@families
@torch.no_grad()
def test_every_row_reads_its_own_prompt_in_training_and_the_first_one_otherwise(family):
    model, batch, states = FAMILIES[family](), random_batch(), prompt_states(FAMILIES[family](), 3)
    expected = []  # logits of the whole batch with each prompt alone
    for state in states:
        method = alone(model, state)
        expected.append(model(batch))
        method.detach()
    ensemble = ensemble_on(model, states)
    torch.testing.assert_close(model(batch), expected[0])
    model.train()
    for row in range(len(batch)):  # four rows, three prompts: the fourth row begins anew
        torch.testing.assert_close(model(batch)[row], expected[row % 3][row], atol=1e-5, rtol=1e-5)
    ensemble.bank.rows = torch.tensor([2, 1])  # each for two rows next to each other
    for row, number in enumerate((2, 2, 1, 1)):
        torch.testing.assert_close(model(batch)[row], expected[number][row], atol=1e-5, rtol=1e-5)


@families
def test_a_training_step_moves_every_member_that_has_a_row(family):
    model = FAMILIES[family]().train()
    ensemble = ensemble_on(model, prompt_states(model, 3))
    batch = random_batch()
    two = Batch(*(getattr(batch, name)[:2] for name in ("source", "source_mask", "target", "target_mask")))
    model.loss(two).backward()
    (prompts,) = ensemble.named_parameters().values()
    assert [bool(gradient.any()) for gradient in prompts.grad] == [True, True, False]


@families
def test_rows_are_counted_through_the_steps_so_that_every_member_has_its_turn(family):
    """Two rows a step, three members: 0 1, 2 0, 1 2; and of two processes each reads every other row."""
    model = FAMILIES[family]().train()
    ensemble = ensemble_on(model, prompt_states(model, 3))
    batch = random_batch()
    two = Batch(*(getattr(batch, name)[:2] for name in ("source", "source_mask", "target", "target_mask")))
    (prompts,) = ensemble.named_parameters().values()
    told = [(range(0, 2), [0, 1]), (range(2, 4), [0, 2]), (range(4, 6), [1, 2]), (range(1, 4, 2), [0, 1])]
    for step, (rows, moved) in enumerate(told):
        prompts.grad = None
        ensemble.before_step(step, 4, rows)
        model.loss(two).backward()
        ensemble.after_step(step, 4)
        assert [number for number in range(3) if prompts.grad[number].any()] == moved
    with pytest.raises(UserError, match="1 steps of 2 rows leave some of the 3 members untrained"):
        ensemble.before_step(0, 1, range(0, 2))


def test_a_run_with_fewer_rows_than_members_trains_every_member(make_tiny_model):
    model, ensemble = make_tiny_model(), PromptEnsemble(prompt_length=2, members=7)
    ensemble.attach(model)
    (before,) = ensemble.state_dict().values()
    task = make_tiny_task()
    fine_tune(
        model, ensemble, replace(task, dev=task.dev[:2]), TrainingSettings(steps=3, batch_size=3, evaluate_every=3)
    )
    (after,) = ensemble.state_dict().values()
    assert (before != after).flatten(1).any(1).tolist() == [True] * 7


def test_votes_are_counted_and_ties_broken_by_the_mean_log_likelihood():
    scores = torch.log(torch.tensor([
        # three members, three candidates: two vote for 1, although 0 has the highest mean
        [[0.90, 0.05, 0.05], [0.45, 0.50, 0.05], [0.45, 0.50, 0.05]],
        # one vote each: the mean decides, for 2
        [[0.50, 0.10, 0.40], [0.10, 0.50, 0.40], [0.05, 0.05, 0.90]],
        # two candidates without a vote: neither may come near the winner, who is the least likely of all
        [[1e-9, 2e-9, 1e-8], [1e-9, 2e-9, 1e-8], [0.90, 0.80, 1e-30]],
    ]))  # fmt: skip
    votes = majority(scores)
    assert votes.argmax(-1).tolist() == [1, 2, 2]
    assert votes.floor().tolist() == [[1, 2, 0], [1, 1, 1], [1, 0, 2]]
    assert votes[2, 0] < votes[2, 2]


@torch.no_grad()
def voted_by_hand(model, states, examples):
    """Every member's log-likelihoods in a run of its own, one example at a time; then the vote with plain loops."""
    answers, split = [], 0
    for example in examples:
        everything = []
        for state in states:
            method = alone(model, state)
            tokenizer = model.tokenizer
            source = torch.tensor([[*tokenizer.encode(example.source), *model.source_suffix]])
            scores = []
            for text in example.candidates:
                ids = torch.tensor([[[*tokenizer.encode(text), tokenizer.eos]]])
                scores.append(float(model.score(Batch(source, torch.ones_like(source).bool()), ids, ids > -1)))
            everything.append(scores)
            method.detach()
        votes = Counter(row.index(max(row)) for row in everything)
        split += len(votes) > 1
        means = [sum(column) / len(states) for column in zip(*everything, strict=True)]
        best = max(range(len(means)), key=lambda number: (votes[number], means[number]))  # noqa: B023
        answers.append(example.candidates[best])
    return answers, split


def test_the_ensemble_answers_as_its_members_vote_one_by_one(make_tiny_model):
    """The examples have different numbers of candidates, so short rows are filled up with copies."""
    model = scrambled(make_tiny_model())  # a new GPT-2 is so tame that all prompts give one answer
    examples = [*CHOICES, *(type(e)(e.source, e.target, ("warm", "cold")) for e in make_tiny_task().dev[:8])]
    states = prompt_states(model, size=3.0)
    expected, split = voted_by_hand(model, states, examples)
    assert split >= 3 and len(set(expected)) > 2, "members that always agree show nothing"
    ensemble_on(model, states)
    for batch_size in (1, 4, 32):
        assert predict(model, examples, batch_size=batch_size) == expected


def test_a_copy_that_fills_up_a_short_row_takes_no_votes_from_the_first_candidate(tiny_t5, monkeypatch):
    """Rounding may differ from row to row: here the copy looks better than what it is a copy of."""
    ensemble = ensemble_on(tiny_t5, prompt_states(tiny_t5, 3))
    ids = torch.tensor([[[5, 1], [7, 1], [5, 1]]])  # the third is a copy of the first
    scores = torch.tensor([[-1.0, -2.0, -0.9999], [-1.0, -2.0, -0.9999], [-3.0, -2.0, -3.0]])
    monkeypatch.setattr(tiny_t5, "score", lambda *arguments: scores)
    source = torch.tensor([[3, 4]])
    votes = ensemble.score(Batch(source, source > 0), ids, ids > 0)
    assert votes.floor().tolist() == [[2, 1, 0]]


@families
@torch.no_grad()
def test_one_member_alone_writes_and_scores_as_its_own_prompt_tuning(family):
    model, batch = FAMILIES[family](), random_batch()
    states = prompt_states(model)
    candidates = torch.stack([batch.target, batch.target.roll(1, 0)], dim=1)
    masks = torch.stack([batch.target_mask, batch.target_mask.roll(1, 0)], dim=1)
    method = alone(model, states[2])
    expected = model.generate(batch, 6), method.score(batch, candidates, masks)
    method.detach()
    ensemble = ensemble_on(model, states)
    with ensemble.only(2):
        assert model.generate(batch, 6) == expected[0]
        torch.testing.assert_close(ensemble.score(batch, candidates, masks), expected[1])
    assert ensemble.bank.rows is None
    with pytest.raises(UserError, match="no member 4: the ensemble has 0 to 3"), ensemble.only(4):
        pass


def test_members_that_do_not_fit_are_refused(tiny_t5):
    states = prompt_states(tiny_t5)
    ensemble = ensemble_on(tiny_t5, states)
    good = ensemble.state_dict()
    for wrong, words in (
        (states[:2], "4 members and 2 prompts"),
        ([*states[:3], {"encoder.prompt": torch.zeros(2, 16)}], r"Member 3 is .*\(2, 16\).*expected.*\(3, 16\)"),
        ([{"decoder.prompt": torch.zeros(3, 16)}, *states[1:]], "Member 0 is .*decoder.prompt"),
    ):
        with pytest.raises(UserError, match=words):
            ensemble.load_members(wrong)
    assert all(torch.equal(value, good[name]) for name, value in ensemble.state_dict().items())
    with pytest.raises(UserError, match="at least 1 member"):
        PromptEnsemble(members=0)


def test_members_are_scored_each_alone_and_the_vote_beside_them(make_tiny_model, tiny_task):
    model = make_tiny_model()
    states, expected = prompt_states(model, size=3.0), []
    for state in states:
        method = alone(model, state)
        expected.append([evaluate(model, tiny_task, split)["score"] for split in ("test", "dev")])
        method.detach()
    ensemble = ensemble_on(model, states)
    result = study.evaluate_members(model, ensemble, tiny_task, "test")
    assert result["members"] == [test for test, _ in expected]
    assert result["average"] == pytest.approx(sum(result["members"]) / 4)
    assert result["ensemble"] == evaluate(model, tiny_task, "test")["score"]


def test_the_best_member_is_named_on_dev_and_not_by_the_scores_it_reports(tiny_t5, tiny_task, monkeypatch):
    ensemble = ensemble_on(tiny_t5, prompt_states(tiny_t5, 3))
    pretended = {"dev": [60.0, 80.0, 70.0], "test": [50.0, 40.0, 90.0]}

    def pretend(model, task, split, **reading):
        rows = ensemble.bank.rows
        return {"score": 77.0 if rows is None else pretended[split][int(rows)]}

    monkeypatch.setattr(study, "evaluate", pretend)
    assert study.evaluate_members(tiny_t5, ensemble, tiny_task, "test") == {
        "members": [50.0, 40.0, 90.0], "average": 60.0, "best": 40.0, "best_member": 1, "ensemble": 77.0
    }  # fmt: skip
