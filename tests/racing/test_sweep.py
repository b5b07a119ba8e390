"""The sweep of learning rates: which one wins, how a grid grows, and what a rate at which training fails counts for."""

import json
import math
from pathlib import Path

import pytest

from minipeft.errors import TrainingFailed, UserError
from minipeft.models import load
from minipeft.racing import race, runs, sweep
from minipeft.racing.rates import hopeful, is_inside, next_rate, value, winner
from minipeft.racing.runs import RunSpec
from minipeft.racing.sweep import SWEEP_SEEDS, WIDENINGS, dev_means, grid, read_rates


def test_a_rate_is_worth_its_mean_less_its_spread():
    # mean 90; squared distances 4, 4, 0 over n - 1 = 2: standard deviation 2
    assert value([88.0, 92.0, 90.0]) == pytest.approx(88.0)
    assert value([70.0]) == 70.0 and value([99.0, None, 99.0]) == -math.inf


def test_a_steady_rate_wins_over_one_that_is_better_on_average():
    assert winner({0.01: [90.0, 90.0, 90.0], 0.02: [99.0, 99.0, 78.0]}) == 0.01  # means 90 and 92


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([97.0, 97.2, 97.4, 80.0], 0.02),  # three within half a point: the middle one, not the best
        ([97.0, 97.2, 97.4, 97.6], 0.03),  # the lowest is further off; of the three others the middle one
        ([80.0, 97.4, 97.0, 60.0], 0.02),  # two: the better one of them
        ([80.0, 97.0, 97.4, 60.0], 0.03),
        ([97.0, 60.0, 97.2, 60.0], 0.03),
        ([50.0, 50.0, 50.0, 50.0], 0.02),  # nothing learned anywhere: one of the two in the middle
    ],
)
def test_ties_go_to_the_rate_in_the_middle(values, expected):
    rates = (0.01, 0.02, 0.03, 0.04)
    assert winner({rate: [found] * 3 for rate, found in zip(rates, values, strict=True)}) == expected


def test_a_rate_far_below_the_best_is_given_up_until_the_best_falls_back():
    first = {0.01: [60.0], 0.02: [84.0], 0.03: [99.0], 0.04: [None]}
    assert hopeful(first) == [0.03] and hopeful(first | {0.02: [84.1]}) == [0.02, 0.03]
    assert hopeful(first | {0.03: [99.0, 50.0, 50.0]}) == [0.02], "a lucky seed: worth 66.3 less 28.3"
    assert hopeful({0.01: [None], 0.02: [None]}) == []


def test_a_rate_at_which_training_fails_never_wins():
    assert winner({0.01: [0.0], 0.02: [None], 0.03: [None]}) == 0.01, "not by a tie of zeros, either"
    assert winner({0.02: [None], 0.01: [None]}) == 0.01, "the lowest, from which a grid can grow down"


def test_a_grid_grows_by_its_own_factor():
    rates = dict.fromkeys((0.01, 0.03, 0.1, 0.3), [])
    assert next_rate(rates, 0.3) == 0.9 and next_rate(rates, 0.01) == 0.00333
    assert is_inside(rates, 0.03) and not is_inside(rates, 0.3) and not is_inside(rates, 0.01)


def test_rates_of_prompts_in_older_files_are_read_in_units_of_the_embeddings(tmp_path):
    file, older = tmp_path / "rates.json", {"t5-0.8m": {"topic": {"spot": 3.0, "lora": 0.5, "random_base": 0.2}}}
    file.write_text(json.dumps(older), encoding="utf-8")
    size = load("t5-0.8m").embedding.weight.square().mean().sqrt().item()
    read = read_rates(file)
    assert read["t5-0.8m"]["topic"] == {"spot": pytest.approx(3.0 / size, rel=0.01), "lora": 0.5, "random_base": 0.2}
    file.write_text(json.dumps(read), encoding="utf-8")
    assert read_rates(file) == read, "once"


@pytest.fixture
def base(base_folder, own_data, tmp_path):
    return RunSpec(folder=str(tmp_path), model=base_folder, task="", method="", data=own_data)


def pretend(monkeypatch, score, asked):
    """Instead of runs, dev scores by rate; `score` gives None where training is to fail."""

    def run_all(specs, workers, description, done=None):
        asked.extend(specs)
        found = [score(spec.learning_rate) for spec in specs]
        return [{"dev": 0.0, "failed": "so"} if dev is None else {"dev": dev} for dev in found]

    monkeypatch.setattr(sweep, "run_all", run_all)


def test_a_grid_grows_until_the_winner_stands_inside(base, monkeypatch, capsys):
    asked = []
    pretend(monkeypatch, lambda rate: 100 - 10 * abs(math.log2(rate / 0.08)), asked)
    best, found = sweep.sweep(base, ["lora", "full"], 1)
    assert best["lora"] == 0.08 and max(found["lora"]["dev"]) == 0.16 and found["lora"]["inside"]
    assert len(found["lora"]["dev"]) == len(grid("lora")) + 3  # 0.04, 0.08, 0.16
    assert len(found["full"]["dev"]) == 4 + WIDENINGS and best["full"] == 2e-3 * 2**WIDENINGS
    assert not found["full"]["inside"] and "full: learning rate 0.032" in capsys.readouterr().out
    assert len(asked) == len({spec.folder for spec in asked})
    assert {(spec.row, spec.learning_rate, spec.seed) for spec in asked} == {
        (row, rate, seed)
        for row, outcome in found.items()
        for rate, scores in outcome["dev"].items()
        for seed in SWEEP_SEEDS[: len(scores)]
    }
    kept = json.loads((Path(base.folder) / "sweep.json").read_text(encoding="utf-8"))["rows"]
    assert kept["lora"]["rate"] == 0.08 and len(kept["lora"]["dev"]["0.08"]) == len(SWEEP_SEEDS)


def test_a_rate_that_was_lucky_once_does_not_win_over_those_given_up_for_it(base, monkeypatch):
    low, steady, lucky, high = grid("lora")
    scores = {low: [60.0] * 3, steady: [80.0] * 3, lucky: [99.0, 50.0, 50.0], high: [10.0] * 3}

    def run_all(specs, workers, description, done=None):
        return [{"dev": scores[spec.learning_rate][SWEEP_SEEDS.index(spec.seed)]} for spec in specs]

    monkeypatch.setattr(sweep, "run_all", run_all)
    best, found = sweep.sweep(base, ["lora"], 1)
    assert best == {"lora": steady} and found["lora"]["dev"][low] == [60.0]


def test_no_grid_grows_past_a_rate_at_which_training_fails(base, monkeypatch):
    asked = []
    pretend(monkeypatch, lambda rate: None if rate > 0.02 else 1000 * rate, asked)
    best, found = sweep.sweep(base, ["lora"], 1)
    assert best == {"lora": 0.02} and max(found["lora"]["dev"]) == 0.04 and found["lora"]["inside"]
    assert found["lora"]["dev"][0.04] == [None] and dev_means(found["lora"])[0.04] == 0.0
    pretend(monkeypatch, lambda rate: None, asked)
    with pytest.raises(UserError, match="lora: training fails at every learning rate from .* to 0.02"):
        sweep.sweep(base, ["lora"], 1)


def test_a_run_that_fails_is_a_result_of_a_sweep_and_an_error_elsewhere(base, tmp_path, monkeypatch):
    def fail(*arguments, **more):
        raise TrainingFailed("training stopped at step 1")

    monkeypatch.setattr(runs, "fine_tune", fail)
    (spec, *_) = sweep.sweep_specs(base, ["lora:rank=2"])
    assert runs.run(spec)["failed"] == "training stopped at step 1"
    again = runs.run(spec)
    assert again["dev"] == 0.0 and "failed" in again, "it is read, not made again"
    with pytest.raises(TrainingFailed):
        runs.run(RunSpec(str(tmp_path / "race"), base.model, "", "lora", data=base.data, hyperparameters={"rank": 2}))


@pytest.mark.parametrize("first, seeds, seed", [(1000, 5, 1000), (998, 5, 1000), (1002, 1, 1002), (0, 1001, 1000)])
@pytest.mark.parametrize("given", [{"tune": True}, {"tune": False, "rates": {"lora": 0.01}}])
def test_no_seed_that_chooses_rates_is_raced(first, seeds, seed, given, tmp_path, monkeypatch):
    monkeypatch.setattr(race, "rehearse", lambda specs: pytest.fail("work was begun"))
    base = RunSpec(str(tmp_path), "t5-0.8m", "topic", "", seed=first)
    with pytest.raises(UserError, match=f"^Seed {seed} cannot be raced: .* seeds 1000 to 1002. Take other ones"):
        race.race(base, ["lora"], seeds, 1, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first, seeds, tune", [(0, 1000, True), (1003, 5, True), (1000, 3, False)])
def test_seeds_beside_those_and_rates_that_nothing_chose_are_raced(first, seeds, tune, tmp_path, monkeypatch):
    class Begun(Exception):
        pass

    def rehearse(specs):
        raise Begun

    monkeypatch.setattr(race, "rehearse", rehearse)
    with pytest.raises(Begun):
        race.race(RunSpec(str(tmp_path), "t5-0.8m", "topic", "", seed=first), ["lora"], seeds, 1, tune)
