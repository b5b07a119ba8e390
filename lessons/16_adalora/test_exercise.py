"""The tests of chapter 16. Oracles: loops over single numbers, fractions, and the classes of minipeft itself."""

from fractions import Fraction
from functools import cache
from math import floor

import torch
from torch import nn

import minipeft
from minipeft.course.checks import accepts, check
from minipeft.methods.low_rank import rank_budget
from minipeft.methods.low_rank.adalora import AdaLoRA, AdaLoRALinear


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_importance_step_of_one_number_worked_by_hand(answers):
    check(
        answers,
        lambda answers: answers.importance_step(
            torch.tensor([-0.5]), torch.tensor([4.0]), torch.tensor([1.0]), torch.tensor([0.3]), 0.8, 0.5
        ),
        # I = |-0.5 * 4| = 2; mean = 0.8 * 1 + 0.2 * 2 = 1.2; jumps = 0.5 * 0.3 + 0.5 * |2 - 1.2| = 0.55
        (torch.tensor([1.2]), torch.tensor([0.55])),
        holds="I_mean = beta1 I_mean + (1 - beta1) |w g|, then U_mean = beta2 U_mean + (1 - beta2) |I - I_mean|",
        inputs={"w": -0.5, "g": 4.0, "I_mean": 1.0, "U_mean": 0.3, "beta1": 0.8, "beta2": 0.5},
        section="The mathematics",
        likely="a part of one of the two averages is missing",
    )


def test_importance_step_over_four_steps_is_that_of_a_loop(answers):
    weights, gradients = numbers(4, 3, 2, seed=1), numbers(4, 3, 2, seed=2)

    def run(answers):
        mean, jumps = torch.zeros(3, 2), torch.zeros(3, 2)
        for weight, gradient in zip(weights, gradients, strict=True):
            mean, jumps = answers.importance_step(weight, gradient, mean, jumps, 0.9, 0.7)
        return mean, jumps

    mean, jumps = torch.zeros(3, 2), torch.zeros(3, 2)
    for step in range(4):
        for i in range(3):
            for j in range(2):
                now = abs(float(weights[step, i, j]) * float(gradients[step, i, j]))
                mean[i, j] = 0.9 * float(mean[i, j]) + 0.1 * now
                jumps[i, j] = 0.7 * float(jumps[i, j]) + 0.3 * abs(now - float(mean[i, j]))
    check(
        answers,
        run,
        (mean, jumps),
        holds="four steps from zero give the averages that a loop over single numbers gives",
        inputs={"w": weights, "g": gradients, "beta1": 0.9, "beta2": 0.7},
        section="The mathematics",
        likely="the averages do not build on those of the step before",
    )


def test_importance_step_is_the_librarys(answers):
    weight = nn.Parameter(numbers(3, 4, seed=3))
    weight.grad = numbers(3, 4, seed=4)
    before = {"w.sensitivity": numbers(3, 4, seed=5).abs(), "w.uncertainty": numbers(3, 4, seed=6).abs()}
    library = rank_budget.Importance(0.85, 0.6)
    library.averages = dict(before)
    library.update({"w": weight})
    check(
        answers,
        lambda answers: answers.importance_step(
            weight.detach(), weight.grad, *(average.clone() for average in before.values()), 0.85, 0.6
        ),
        (library.averages["w.sensitivity"], library.averages["w.uncertainty"]),
        holds="the averages are those of minipeft's Importance",
        inputs={"w": weight, "g": weight.grad, "beta1": 0.85, "beta2": 0.6},
        section="The mathematics",
        likely="a part of one of the two averages is missing",
    )


def test_importance_step_leaves_what_it_is_given_as_it_was(answers):
    def run(answers):
        given = [numbers(3, 4, seed=seed).abs() for seed in range(4)]
        found = answers.importance_step(*given, 0.85, 0.6)
        return found if found is None else given

    check(
        answers,
        run,
        [numbers(3, 4, seed=seed).abs() for seed in range(4)],
        holds="w, g and the two averages that are given stay as they are; the new averages are new tensors",
        inputs={"w, g, mean, jumps": "four tensors (3, 4)", "beta1": 0.85, "beta2": 0.6},
        section="The mathematics",
        likely="one of them is changed in place",
        tolerance=0,
    )


def test_triplet_scores_of_two_triplets_worked_by_hand(answers):
    lam = torch.tensor([1.0, 2.0])
    p = torch.tensor([[3.0, 0.0], [6.0, 3.0], [0.0, 9.0]])  # means of the columns: 3, 4
    q = torch.tensor([[2.0, 4.0, 0.0, 2.0], [8.0, 1.0, 1.0, 2.0]])  # means of the rows: 2, 3
    check(
        answers,
        lambda answers: answers.triplet_scores(lam, p, q),
        torch.tensor([6.0, 9.0]),
        holds="S_i = s(lam_i) + mean over j of s(P_ji) + mean over j of s(Q_ij)",
        inputs={"lam": lam, "p": p, "q": q},
        section="The mathematics",
        likely="one of the three parts is missing, or a mean is taken over the wrong dimension",
    )


def test_triplet_scores_are_the_librarys(answers):
    layer, library = AdaLoRALinear(nn.Linear(5, 7), 3, 3.0), rank_budget.Importance(0.85, 0.85)
    scores = {"P": numbers(7, 3, seed=1).abs(), "lam": numbers(3, seed=2).abs(), "Q": numbers(3, 5, seed=3).abs()}
    library.averages = {f"x.{name}.sensitivity": score for name, score in scores.items()}
    library.averages |= {f"x.{name}.uncertainty": torch.ones_like(score) for name, score in scores.items()}
    check(
        answers,
        lambda answers: answers.triplet_scores(scores["lam"], scores["P"], scores["Q"]),
        library.triplet_scores("x", layer),
        holds="the scores are those of minipeft's Importance.triplet_scores",
        inputs={"lam": scores["lam"], "p": scores["P"], "q": scores["Q"]},
        section="The mathematics",
        likely="one of the three parts is missing, or a mean is taken over the wrong dimension",
    )


def exact_budget(done: int, total: int, first: int, last: int, warmup: float, final: float) -> int:
    """The schedule in fractions, so that nothing is rounded before it is cut off."""
    start, end = round(warmup * total), total - round(final * total)
    left = min(Fraction(1), max(Fraction(0), Fraction(end - done, end - start)))
    return floor(last + (first - last) * left**3)


def test_budget_is_the_papers_example(answers):
    steps = (0, 100, 200, 300, 400, 500, 999)
    check(
        answers,
        lambda answers: [answers.budget(done, 1000, 216, 144, 0.1, 0.5) for done in steps],
        [216, 216, 174, 153, 145, 144, 144],
        holds="b(t) = b_T + (b_0 - b_T) (1 - (t - t_i) / (t_f - t_i))^3, cut off to a whole number",
        inputs={"done": steps, "total": 1000, "first": 216, "last": 144, "warmup": 0.1, "final": 0.5},
        section="The mathematics",
        likely="the power, or where the fall begins and ends",
        tolerance=0,
    )


def test_budget_falls_as_fractions_say(answers):
    setting = (620, 144, 36, 0.1, 0.3)
    steps = [done for done in range(0, 621, 7)]
    check(
        answers,
        lambda answers: [answers.budget(done, *setting) for done in steps],
        [exact_budget(done, *setting) for done in steps],
        holds="every budget is the exact b(t), cut off to a whole number",
        inputs={"done": steps, "total": 620, "first": 144, "last": 36, "warmup": 0.1, "final": 0.3},
        section="The mathematics",
        likely="the rounding, or where the fall begins and ends",
        tolerance=0,
    )


def test_budget_rounds_the_two_outer_stretches(answers):
    setting = (15, 60, 20, 0.1, 0.3)
    check(
        answers,
        lambda answers: [answers.budget(done, *setting) for done in range(16)],
        [exact_budget(done, *setting) for done in range(16)],  # round(1.5) = 2 and round(4.5) = 4 steps: 2 to 11
        holds="t_i = round(warmup * total) and t_f = total - round(final * total)",
        inputs={"done": "0 to 15", "total": 15, "first": 60, "last": 20, "warmup": 0.1, "final": 0.3},
        section="The mathematics",
        likely="the rounding, or where the fall begins and ends",
        tolerance=0,
    )


def test_budget_is_the_librarys(answers):
    schedule, steps = rank_budget.Schedule(0.25, 0.4, 1), range(81)
    check(
        answers,
        lambda answers: [answers.budget(done, 80, 50, 9, 0.25, 0.4) for done in steps],
        [schedule.budget(done, 80, 50, 9) for done in steps],
        holds="every budget is that of minipeft's Schedule",
        inputs={"done": list(steps), "total": 80, "first": 50, "last": 9, "warmup": 0.25, "final": 0.4},
        section="The mathematics",
        likely="the rounding, or where the fall begins and ends",
        tolerance=0,
    )


SCORES = [torch.tensor([0.3, 9.0, 7.0]), torch.tensor([0.4, 0.2]), torch.tensor([8.0, 0.1, 0.5, 6.0])]


def test_keep_best_chooses_among_all_layers(answers):
    check(
        answers,
        lambda answers: answers.keep_best(SCORES, 5),
        [torch.tensor([False, True, True]), torch.tensor([False, False]), torch.tensor([True, False, True, True])],
        holds="the 5 best of all 9 triplets are kept; a layer may lose all",
        inputs={"scores": [[round(one, 1) for one in layer.tolist()] for layer in SCORES], "budget": 5},
        section="The code",
        likely="the layers are not compared with each other",
    )


def test_keep_best_keeps_exactly_the_budget_where_scores_are_equal(answers):
    scores = [torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 0.0, 1.0, 1.0])]
    check(
        answers,
        lambda answers: answers.keep_best(scores, 3),
        [torch.tensor([True, True, True]), torch.tensor([False, False, False, False])],
        holds="exactly 3 are kept, and of equal scores the earlier ones",
        inputs={"scores": [layer.tolist() for layer in scores], "budget": 3},
        section="What people get wrong",
        likely="scores are compared with a threshold, which several of them meet",
    )


def test_keep_best_makes_the_librarys_choice(answers):
    scores = [numbers(rank, seed=rank) for rank in (4, 2, 5)]
    layers = [(str(place), AdaLoRALinear(nn.Linear(3, 2), len(score), 1.0)) for place, score in enumerate(scores)]
    library = rank_budget.Importance(0.5, 0.5, "magnitude")
    for (_, layer), score in zip(layers, scores, strict=True):
        nn.init.zeros_(layer.lam).data.add_(score.exp())  # as large as exp(score): the same order
    rank_budget.keep_best(layers, library, 6)
    check(
        answers,
        lambda answers: answers.keep_best(scores, 6),
        [layer.kept for _, layer in layers],
        holds="the choice is that of minipeft's keep_best",
        inputs={"scores": [[round(float(one), 2) for one in layer] for layer in scores], "budget": 6},
        section="The code",
        likely="the layers are not compared with each other",
    )


def test_orthogonality_penalty_is_zero_for_orthonormal_vectors(answers):
    p, q = torch.linalg.qr(numbers(6, 3)).Q, torch.linalg.qr(numbers(5, 3, seed=1)).Q.T
    check(
        answers,
        lambda answers: answers.orthogonality_penalty(p, q),
        0.0,
        holds="the penalty is 0 where the columns of P and the rows of Q are orthonormal",
        inputs={"p": p, "q": q},
        section="The mathematics",
        likely="it is not the rank vectors that are compared with each other",
    )


def test_orthogonality_penalty_is_the_sum_over_pairs_of_vectors(answers):
    p, q = numbers(4, 3, seed=2), numbers(3, 6, seed=3)
    total = 0.0
    for vectors in (p.T.tolist(), q.tolist()):
        for i, one in enumerate(vectors):
            for j, other in enumerate(vectors):
                total += (sum(a * b for a, b in zip(one, other, strict=True)) - (i == j)) ** 2
    check(
        answers,
        lambda answers: answers.orthogonality_penalty(p, q),
        total,
        holds="the penalty is the sum of (v_i . v_j - [i = j])^2 over all pairs of columns of P, and of rows of Q",
        inputs={"p": p, "q": q},
        section="The mathematics",
        likely="a pair is left out, or no square is taken",
        tolerance=1e-4,
    )


def test_orthogonality_penalty_is_the_librarys(answers):
    layer = AdaLoRALinear(nn.Linear(6, 4), 3, 3.0)
    with torch.no_grad():
        layer.P.copy_(numbers(4, 3, seed=4))
        layer.Q.copy_(numbers(3, 6, seed=5))
        expected = float(sum(error.square().sum() for error in layer.gram_errors()))
    p, q = layer.P.detach(), layer.Q.detach()
    check(
        answers,
        lambda answers: answers.orthogonality_penalty(p, q),
        expected,
        holds="the penalty is that of minipeft's AdaLoRA with gamma = 1",
        inputs={"p": p, "q": q},
        section="The code",
        likely="a pair is left out, or no square is taken",
        tolerance=1e-4,
    )


@cache
def real_counts() -> dict[str, int]:
    """What the questions ask, counted on the real model."""
    method = AdaLoRA(rank=5, target_rank=2, warmup=0.1, final=0.3)
    method.attach(minipeft.load("t5-0.8m"))
    layers = dict(method.layers())
    counts = {"trained": method.trained_count()}
    for key, done in (("triplets_at_first", 0), ("triplets_at_last", 600), ("triplets_after_240_steps", 240)):
        counts[key] = method.schedule.budget(done, 600, 5 * len(layers), 2 * len(layers))
    for parameter in method.named_parameters().values():
        parameter.grad = torch.zeros_like(parameter)
    method.importance.update(method.named_parameters())
    averages = method.importance.averages.values()
    counts["importance_bytes"] = sum(average.numel() * average.element_size() for average in averages)
    for path, layer in layers.items():
        layer.kept.copy_(torch.arange(5) < (4 if "feed_forward" in path else 1))
        layer.lam.data.copy_(layer.kept.float())
    return counts | {"stored": method.stored_count()}


MATRICES = {"rank": 5, "target_rank": 2, "matrices": "36 of (88, 88), 18 of (112, 88) or (88, 112)"}


def test_counts_what_is_trained(answers):
    check(
        answers,
        lambda answers: answers.COUNTS["trained"],
        real_counts()["trained"],
        holds="rank (in + out + 1) numbers of every matrix are trained",
        inputs=MATRICES,
        section="The mathematics",
        likely="P, lam and Q all count, in every matrix",
        tolerance=0,
    )


def test_counts_triplets_before_within_and_after_the_pruning(answers):
    for key in ("triplets_at_first", "triplets_at_last", "triplets_after_240_steps"):
        check(
            answers,
            lambda answers, key=key: answers.COUNTS[key],
            real_counts()[key],
            holds=f"the budget counts triplets of all matrices, and falls with a cube from step 60 to 420 ({key})",
            inputs={**MATRICES, "steps": 600, "warmup": 0.1, "final": 0.3},
            section="The mathematics",
            likely="rank times matrices; and how much of the fall is left after 240 steps",
            tolerance=0,
        )


def test_counts_what_is_stored(answers):
    check(
        answers,
        lambda answers: answers.COUNTS["stored"],
        real_counts()["stored"],
        holds="stored are the vectors of the triplets left, and lam whole, with its zeros",
        inputs={**MATRICES, "left": "1 in an attention matrix, 4 in a feed-forward matrix"},
        section="The code",
        likely="what a file holds is not what is trained",
        tolerance=0,
    )


def test_counts_bytes_of_the_importance(answers):
    check(
        answers,
        lambda answers: answers.COUNTS["importance_bytes"],
        real_counts()["importance_bytes"],
        holds="there are two float32 averages for every trained number",
        inputs=MATRICES,
        section="What people get wrong",
        likely="two averages of 4 bytes each, also for the numbers in P and Q",
        tolerance=0,
    )


def in_place(p, lam, q, kept):
    lam[~kept] = 0.0
    return p, lam, q


def truncated(p, lam, q, kept):
    return p[:, kept], lam[kept], q[kept]


def forgets_p(p, lam, q, kept):
    p[:, ~kept] = 0.0  # in place
    return p, lam * kept, q


def forgets_q(p, lam, q, kept):
    q[~kept] = 0.0
    return p, lam * kept, q


def first_ones(p, lam, q, kept):
    return p, lam * (torch.arange(len(kept)) < kept.sum()), q


RIGHT = {
    "new tensors": lambda p, lam, q, kept: (p, lam * kept, q),
    "in place": in_place,
    "torch.where": lambda p, lam, q, kept: (p.clone(), torch.where(kept, lam, 0.0), q.clone()),
}
WRONG = {
    "the mask is upside down": lambda p, lam, q, kept: (p, lam * ~kept, q),
    "nothing is pruned": lambda p, lam, q, kept: (p, lam, q),
    "everything is pruned": lambda p, lam, q, kept: (p, 0 * lam, q),
    "as many as the mask has, but the first ones": first_ones,
    "what is kept grows": lambda p, lam, q, kept: (p, lam * kept * len(kept) / kept.sum(), q),
    "lam loses its sign": lambda p, lam, q, kept: (p, lam.abs() * kept, q),
    "the columns of P go, too": forgets_p,
    "the rows of Q go, too": forgets_q,
    "the vectors are cut off": truncated,
}


def test_check_prune_accepts_what_is_right(answers):
    check(
        answers,
        lambda answers: {name: accepts(answers.check_prune, prune) for name, prune in RIGHT.items()},
        {name: True for name in RIGHT},
        holds="a right implementation passes, in place or not",
        inputs={"implementations": list(RIGHT)},
        section="The code",
        likely="the test asks for more than the two laws",
    )


def test_check_prune_refuses_what_is_wrong(answers):
    check(
        answers,
        lambda answers: {name: accepts(answers.check_prune, prune) for name, prune in WRONG.items()},
        {name: False for name in WRONG},
        holds="every wrong implementation makes the test raise AssertionError",
        inputs={"implementations": list(WRONG)},
        section="The code",
        likely="the inputs of the test cannot show this mistake, or it looks at one of the two laws only",
    )
