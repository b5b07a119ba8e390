"""The tests of chapter 16. Oracles: loops over single numbers, fractions, and the classes of minipeft itself."""

from fractions import Fraction
from functools import cache
from itertools import accumulate, combinations, pairwise
from math import floor

import torch
from torch import nn

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.low_rank import rank_budget
from minipeft.methods.low_rank.adalora import AdaLoRA, AdaLoRALinear
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_importance_step_of_one_number_worked_by_hand(answers):
    check(
        answers,
        lambda answers: answers.importance_step(
            torch.tensor([-0.5]), torch.tensor([[4.0], [-2.0]]), torch.tensor([1.0]), torch.tensor([0.3]), 0.8, 0.5
        ),
        # I = |-0.5 * 4| = 2 and |-0.5 * -2| = 1, on average 1.5; mean = 0.8 * 1 + 0.2 * 1.5 = 1.1;
        # |2 - 1.1| = 0.9 and |1 - 1.1| = 0.1, on average 0.5; jumps = 0.5 * 0.3 + 0.5 * 0.5 = 0.4
        (torch.tensor([1.1]), torch.tensor([0.4])),
        holds="I_mean = beta1 I_mean + (1 - beta1) |w g|, then U_mean = beta2 U_mean + (1 - beta2) |I - I_mean|, both "
        "with means over the parts",
        inputs={"w": -0.5, "g": [4.0, -2.0], "I_mean": 1.0, "U_mean": 0.3, "beta1": 0.8, "beta2": 0.5},
        section="The mathematics",
    )


def test_importance_step_over_four_steps_is_that_of_a_loop(answers):
    weights, gradients = numbers(4, 3, 2, seed=1), numbers(4, 5, 3, 2, seed=2)

    def run(answers):
        mean, jumps = torch.zeros(3, 2), torch.zeros(3, 2)
        for weight, parts in zip(weights, gradients, strict=True):
            mean, jumps = answers.importance_step(weight, parts, mean, jumps, 0.9, 0.7)
        return mean, jumps

    mean, jumps = torch.zeros(3, 2), torch.zeros(3, 2)
    for step in range(4):
        for i in range(3):
            for j in range(2):
                now = [abs(float(weights[step, i, j]) * float(part)) for part in gradients[step, :, i, j]]
                mean[i, j] = 0.9 * float(mean[i, j]) + 0.1 * sum(now) / 5
                far = [abs(one - float(mean[i, j])) for one in now]
                jumps[i, j] = 0.7 * float(jumps[i, j]) + 0.3 * sum(far) / 5
    check(
        answers,
        run,
        (mean, jumps),
        holds="four steps from zero give the averages that a loop over single numbers gives",
        inputs={"w": weights, "g": gradients, "beta1": 0.9, "beta2": 0.7},
        section="The mathematics",
    )


def test_importance_step_in_one_part_is_the_librarys(answers):
    weight = nn.Parameter(numbers(3, 4, seed=3))
    weight.grad = numbers(3, 4, seed=4)
    before = {"w.sensitivity": numbers(3, 4, seed=5).abs(), "w.uncertainty": numbers(3, 4, seed=6).abs()}
    library = rank_budget.Importance(0.85, 0.6)
    library.averages = dict(before)
    library.update({"w": weight})
    check(
        answers,
        lambda answers: answers.importance_step(
            weight.detach(), weight.grad[None], *(average.clone() for average in before.values()), 0.85, 0.6
        ),
        (library.averages["w.sensitivity"], library.averages["w.uncertainty"]),
        holds="with a batch in one part the averages are those of minipeft's Importance",
        inputs={"w": weight, "g": weight.grad[None], "beta1": 0.85, "beta2": 0.6},
        section="The mathematics",
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
        tolerance=0,
    )


SCORES = [torch.tensor([0.3, 9.0, 7.0]), torch.tensor([0.4, 0.2]), torch.tensor([8.0, 0.1, 0.5, 6.0])]


def test_keep_best_leaves_every_layer_its_best_and_chooses_among_all(answers):
    check(
        answers,
        lambda answers: answers.keep_best(SCORES, 5),
        [torch.tensor([False, True, True]), torch.tensor([True, False]), torch.tensor([True, False, False, True])],
        holds="9.0, 0.4 and 8.0 are the best of their layers; the two places left go to 7.0 and 6.0",
        inputs={"scores": [[round(one, 1) for one in layer.tolist()] for layer in SCORES], "budget": 5},
        section="The code",
    )


def test_keep_best_keeps_exactly_the_budget_where_scores_are_equal(answers):
    scores = [torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 0.0, 1.0, 1.0])]
    check(
        answers,
        lambda answers: answers.keep_best(scores, 4),
        [torch.tensor([True, True, True]), torch.tensor([True, False, False, False])],
        holds="exactly 4 are kept, and of equal scores the earlier ones",
        inputs={"scores": [layer.tolist() for layer in scores], "budget": 4},
        section="What people get wrong",
    )


def test_keep_best_with_all_scores_zero_takes_the_first_of_each_layer_and_then_in_order(answers):
    scores = [torch.zeros(40), torch.zeros(3), torch.zeros(17)]  # so many that a sort without stable=True mixes them
    expected = [torch.arange(40) < 39, torch.arange(3) < 1, torch.arange(17) < 1]
    check(
        answers,
        lambda answers: answers.keep_best(scores, 41),
        expected,
        holds="of equal scores the earlier layer goes first, and in a layer the earlier triplet",
        inputs={"scores": "three layers of 40, 3 and 17 zeros", "budget": 41},
        section="What people get wrong",
    )


def best_of_all_ways(scores, budget):
    """The choice with the largest sum among all that leave no layer empty, by trying every one."""
    flat = [(float(score), place) for place, score in enumerate(torch.cat(scores))]
    edges = [0, *accumulate(map(len, scores))]
    ways = [way for way in combinations(range(len(flat)), budget)
            if all(any(low <= place < high for place in way) for low, high in pairwise(edges))]  # fmt: skip
    best = max(ways, key=lambda way: sum(flat[place][0] for place in way))
    return [torch.tensor([place in best for place in range(low, high)]) for low, high in pairwise(edges)]


def test_keep_best_is_the_best_of_all_ways(answers):
    cases = [([numbers(rank, seed=rank) for rank in (4, 1, 5)], budget) for budget in (3, 6, 10)]
    check(
        answers,
        lambda answers: [answers.keep_best(scores, budget) for scores, budget in cases],
        [best_of_all_ways(scores, budget) for scores, budget in cases],
        holds="of all choices that leave no layer empty, the one with the largest sum of scores is taken",
        inputs={"scores": [[round(float(one), 2) for one in layer] for layer in cases[0][0]], "budgets": [3, 6, 10]},
        section="The code",
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
        tolerance=1e-4,
        trained=("p", "q"),
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
        tolerance=1e-4,
    )


@cache
def real_counts() -> dict[str, int]:
    """What the questions ask, counted on a model of the base's sizes (its vocabulary does not count here)."""
    method = AdaLoRA(rank=7, target_rank=4, warmup=0.1, final=0.3)
    config = EncoderDecoderConfig(
        9, hidden_size=88, heads=4, head_size=22, feed_forward_size=112, encoder_layers=3, decoder_layers=3
    )
    method.attach(EncoderDecoder(config))
    layers = dict(method.layers())
    counts = {"trained": method.trained_count()}
    for key, done in (("triplets_at_first", 0), ("triplets_at_last", 600), ("triplets_after_300_steps", 300)):
        counts[key] = method.schedule.budget(done, 600, 7 * len(layers), 4 * len(layers))
    for parameter in method.named_parameters().values():
        parameter.grad = torch.zeros_like(parameter)
    method.importance.update(method.named_parameters())
    averages = method.importance.averages.values()
    counts["importance_bytes"] = sum(average.numel() * average.element_size() for average in averages)
    for path, layer in layers.items():
        layer.kept.copy_(torch.arange(7) < (6 if "feed_forward" in path else 3))
        layer.lam.data.copy_(layer.kept.float())
    return counts | {"stored": method.stored_count()}


def counted(answers, key, holds, **inputs):
    check(
        answers,
        lambda answers: answers.COUNTS[key],
        real_counts()[key],
        holds=holds,
        inputs={"rank": 7, "target_rank": 4, "matrices": "36 of (88, 88), 18 of (112, 88) or (88, 112)", **inputs},
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_counts_what_is_trained(answers):
    counted(answers, "trained", "rank (in + out + 1) numbers of every matrix are trained")


def test_counts_triplets_before_within_and_after_the_pruning(answers):
    for key in ("triplets_at_first", "triplets_at_last", "triplets_after_300_steps"):
        holds = f"the budget counts triplets of all matrices, and falls with a cube from step 60 to 420 ({key})"
        counted(answers, key, holds, steps=600, warmup=0.1, final=0.3)


def test_counts_what_is_stored(answers):
    holds = "stored are the vectors of the triplets left, and lam whole, with its zeros"
    counted(answers, "stored", holds, left="3 in an attention matrix, 6 in a feed-forward matrix")


def test_counts_bytes_of_the_importance(answers):
    counted(answers, "importance_bytes", "there are two float32 averages for every trained number")


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


def moved_to_the_front(p, lam, q, kept):
    order = torch.cat([kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]])
    return p[:, order], (lam * kept)[order], q[order]


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
    "the kept triplets are moved to the front": moved_to_the_front,
    "kept goes with P, not with lam": lambda p, lam, q, kept: (p * kept, lam, q),
}


def test_check_prune_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_prune",
        RIGHT,
        WRONG,
        holds="your test passes a right implementation, in place or not, and fails for each wrong one",
        section="The code",
    )
