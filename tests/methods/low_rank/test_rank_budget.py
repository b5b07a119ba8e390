"""AdaLoRA's budget, its choice and what a file keeps, each by itself; at work in a training: test_adalora.py."""

import pytest
import torch
from torch import nn

from minipeft.methods.low_rank.adalora import AdaLoRALinear
from minipeft.methods.low_rank.rank_budget import Importance, Schedule, alive, keep_best, with_pruned, without_pruned


def layers(seed=0):
    """Two layers of rank 3 on weights of other sizes, every parameter drawn."""
    torch.manual_seed(seed)
    made = [("first", AdaLoRALinear(nn.Linear(7, 5), 3, 3.0)), ("second", AdaLoRALinear(nn.Linear(5, 4), 3, 3.0))]
    for _, layer in made:
        for parameter in (layer.P, layer.lam, layer.Q):
            nn.init.normal_(parameter)
    return made


def test_the_budget_falls_with_the_cube_of_what_is_left():
    """The example of the paper's setting: 72 matrices, from 3 ranks each to 2."""
    schedule = Schedule(warmup=0.1, final=0.5, interval=1)
    assert [schedule.budget(step, 1000, 216, 144) for step in (0, 100, 200, 300, 400, 500, 999)] == [
        216, 216, 174, 153, 145, 144, 144,
    ]  # fmt: skip
    assert [schedule.budget(step, 1000, 72, 72) for step in (0, 250, 999)] == [72, 72, 72]


def test_the_budget_falls_at_once_where_nothing_lies_between_warm_up_and_final_phase():
    assert [Schedule(0.1, 0.9, 10).budget(done, 100, 9, 3) for done in (0, 9, 10, 11, 100)] == [9, 9, 3, 3, 3]


def test_pruning_happens_every_interval_between_warm_up_and_final_phase_and_at_its_start():
    schedule = Schedule(warmup=0.2, final=0.35, interval=4)
    assert [done for done in range(1, 21) if schedule.prunes(done, 20)] == [8, 12, 13]
    assert [done for done in range(1, 4) if Schedule(0.0, 1.0, 1).prunes(done, 3)] == [1]  # never without pruning
    assert [done for done in range(1, 4) if Schedule(1.0, 0.0, 1).prunes(done, 3)] == [3]


def test_of_equal_scores_exactly_as_many_are_kept_as_the_budget_allows():
    made = layers()
    for _, layer in made:
        nn.init.ones_(layer.lam)
    for budget in (0, 1, 4, 6):
        keep_best(made, Importance(0.85, 0.85, "magnitude"), budget)
        assert sum(int(layer.kept.sum()) for _, layer in made) == budget


def test_the_largest_lam_of_all_layers_together_are_kept_whatever_their_sign():
    made = layers()
    with torch.no_grad():
        made[0][1].lam.copy_(torch.tensor([0.1, -5.0, 3.0]))
        made[1][1].lam.copy_(torch.tensor([-4.0, 0.2, 0.3]))
    keep_best(made, Importance(0.85, 0.85, "magnitude"), 3)
    assert [layer.kept.tolist() for _, layer in made] == [[False, True, True], [True, False, False]]


def test_a_file_holds_the_vectors_of_what_is_alive_and_gives_them_their_old_places():
    made, others = layers(), layers(seed=1)
    with torch.no_grad():
        made[0][1].lam[1] = 0.0
        made[0][1].kept[1] = False
    state = without_pruned(made)
    assert [len(state[f"{path}.lam"]) for path, _ in made] == [3, 3]
    assert state["first.P"].shape == (5, 2) and state["first.Q"].shape == (2, 7)
    assert state["second.P"].shape == (4, 3), "a layer of which nothing is pruned is kept whole"
    full = with_pruned(others, state)
    layer, other = made[0][1], others[0][1]
    for place, source in enumerate((layer, other, layer)):  # the pruned one has the vectors of the fresh layer
        assert torch.equal(full["first.P"][:, place], source.P[:, place])
        assert torch.equal(full["first.Q"][place], source.Q[place])
    assert alive(layer).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["first.P", "first.lam", "first.Q"])
def test_a_state_that_does_not_fit_is_left_as_it_is_for_the_loader_to_refuse(name):
    state = without_pruned(layers())
    lacking = {key: tensor for key, tensor in state.items() if key != name}
    assert with_pruned(layers(), lacking).keys() == lacking.keys()
    wrong = state | {name: torch.ones(9)}
    assert torch.equal(with_pruned(layers(), wrong)[name], torch.ones(9))
