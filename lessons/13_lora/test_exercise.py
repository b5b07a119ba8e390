"""The tests of chapter 13's exercises: `pytest lessons/13_lora`."""

import torch
from torch import nn

from minipeft.course.checks import accepts, check
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.models import load

X = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.5, -1.0, 3.0, 2.0]])  # (batch 2, in 4)
W = torch.tensor([[1.0, 0.0, 2.0, -1.0], [0.0, 1.0, 1.0, 1.0], [2.0, -1.0, 0.0, 3.0]])  # (out 3, in 4)
A = torch.tensor([[1.0, -1.0, 0.0, 2.0], [0.0, 3.0, 1.0, -1.0]])  # (rank 2, in 4)
B = torch.tensor([[1.0, 0.5], [-2.0, 1.0], [0.0, 3.0]])  # (out 3, rank 2)
ALPHA = 6.0
OTHER_A = torch.tensor([[2.0, 0.0, 1.0, 1.0], [-1.0, 1.0, 0.0, 3.0], [0.5, 2.0, -2.0, 0.0]])  # (rank 3, in 4)
OTHER_B = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 1.0], [-1.0, 3.0, 0.5]])  # (out 3, rank 3)
PAIRS = {"load other": (OTHER_A, OTHER_B), "load first": (A, B)}
CALLS = ["merge", "merge", "unmerge", "unmerge", "load other", "merge", "load first", "unmerge", "merge", "load other"]
GIVEN = {"x": X, "w": W, "a": A, "b": B, "alpha": ALPHA}


def by_hand(x, w, a, b, factor):
    """y = W x + factor B A x, one number after another."""
    rows = []
    for row in x.tolist():
        low = [sum(a[r, i].item() * row[i] for i in range(len(row))) for r in range(len(a))]
        rows.append(
            [
                sum(w[o, i].item() * row[i] for i in range(len(row)))
                + factor * sum(b[o, r].item() * low[r] for r in range(len(a)))
                for o in range(len(w))
            ]
        )
    return torch.tensor(rows)


def random_case(outputs, inputs, rank, seed=1):
    torch.manual_seed(seed)
    return torch.randn(5, inputs), torch.randn(outputs, inputs), torch.randn(rank, inputs), torch.randn(outputs, rank)


def test_lora_output_adds_the_scaled_low_rank_product(answers):
    check(
        answers,
        lambda answers: answers.lora_output(X, W, A, B, ALPHA),
        by_hand(X, W, A, B, ALPHA / 2),
        holds="y = W x + (alpha / rank) B A x, for every row x",
        inputs=GIVEN,
        section="The mathematics",
        likely="a factor or a product of the formula is another one",
    )


def test_lora_output_is_that_of_the_real_layer(answers):
    x, w, a, b = random_case(7, 3, 4)
    layer = LoRALinear(nn.Linear(3, 7, bias=False), rank=4, alpha=10.0)
    with torch.no_grad():
        layer.linear.weight.copy_(w), layer.A.copy_(a), layer.B.copy_(b)
        expected = layer(x)
    check(
        answers,
        lambda answers: answers.lora_output(x, w, a, b, 10.0),
        expected,
        holds="the same outputs as minipeft's LoRALinear with these weights",
        inputs={"x": x, "w": w, "a": a, "b": b, "alpha": 10.0},
        section="The code",
        likely="a factor or a product of the formula is another one",
    )


def test_initial_factors_have_the_shapes_and_the_spread(answers):
    def run(answers):
        a, b = answers.initial_factors(400, 7, 9, seed=3)
        lowest, highest = (a.min() * 400**0.5).item(), (a.max() * 400**0.5).item()
        return {"shape of a": list(a.shape), "shape of b": list(b.shape), "sum of |b|": b.abs().sum().item(),
                "lowest a * sqrt(in)": lowest, "highest a * sqrt(in)": highest}  # fmt: skip

    check(
        answers,
        run,
        {"shape of a": [9, 400], "shape of b": [7, 9], "sum of |b|": 0.0,
         "lowest a * sqrt(in)": -1.0, "highest a * sqrt(in)": 1.0},
        holds="b is zero, a is uniform between -1/sqrt(in) and 1/sqrt(in)",
        inputs={"inputs": 400, "outputs": 7, "rank": 9, "seed": 3},
        section="The mathematics",
        likely="the bound is that of another size, or the wrong factor is zero",
        tolerance=0.005,
    )  # fmt: skip


def test_initial_factors_let_the_first_gradient_through(answers):
    def run(answers):
        a, b = (factor.clone().requires_grad_() for factor in answers.initial_factors(4, 3, 2, seed=0))
        (X @ W.T + 2.0 * (X @ a.T @ b.T)).square().sum().backward()
        return {"a has a gradient": a.grad.any().item(), "b has a gradient": b.grad.any().item()}

    check(
        answers,
        run,
        {"a has a gradient": False, "b has a gradient": True},
        holds="at the first step b learns and a waits, since the gradient of a has the factor b = 0",
        inputs={"inputs": 4, "outputs": 3, "rank": 2},
        section="The mathematics",
        likely="the wrong factor is zero, or both are",
    )


def test_initial_factors_come_from_the_seed_alone(answers):
    def run(answers):
        same = [answers.initial_factors(6, 3, 2, seed=seed)[0] for seed in (5, 5, 6)]
        return {"5 and 5 alike": torch.equal(same[0], same[1]), "5 and 6 alike": torch.equal(same[0], same[2])}

    check(
        answers,
        run,
        {"5 and 5 alike": True, "5 and 6 alike": False},
        holds="the same seed gives the same a, another seed another",
        inputs={"inputs": 6, "outputs": 3, "rank": 2, "seeds": [5, 5, 6]},
        section="Exercises",
        likely="the seed is set in another place than the numbers are drawn from",
    )


def test_merged_weight_alone_gives_the_outputs_of_all_three(answers):
    check(
        answers,
        lambda answers: X @ answers.merged_weight(W.clone(), A, B, ALPHA).T,
        by_hand(X, W, A, B, ALPHA / 2),
        holds="W' x = W x + (alpha / rank) B A x",
        inputs=GIVEN,
        section="The mathematics",
        likely="a factor or a product of the formula is another one",
    )


def test_merged_weight_leaves_the_old_one_alone(answers):
    def run(answers):
        w = W.clone()
        answers.merged_weight(w, A, B, ALPHA)
        return w

    check(
        answers,
        run,
        W.clone(),
        holds="w is the same matrix before and after the call",
        inputs=GIVEN,
        section="Exercises",
        likely="w is changed in place",
        tolerance=0,
    )


def test_merged_weight_can_be_undone_by_subtracting(answers):
    x, w, a, b = random_case(6, 4, 3)
    check(
        answers,
        lambda answers: answers.merged_weight(w.clone(), a, b, 2.0) - 2.0 / 3 * (b @ a),
        w,
        holds="W' - (alpha / rank) B A = W, up to rounding",
        inputs={"w": w, "a": a, "b": b, "alpha": 2.0},
        section="The mathematics",
        likely="something else than the update was added",
    )


def test_trained_numbers_of_roberta(answers):
    check(
        answers,
        lambda answers: answers.TRAINED_NUMBERS["RoBERTa-base"],
        294_912,
        holds="12 layers, two matrices each, rank (in + out) numbers for a matrix",
        inputs={"layers": 12, "width": 768, "rank": 8, "matrices": "query, value"},
        section="The mathematics",
        likely="matrices are missing, or some are counted that LoRA does not train",
        tolerance=0,
    )


def test_trained_numbers_of_gpt_2(answers):
    check(
        answers,
        lambda answers: answers.TRAINED_NUMBERS["GPT-2 medium"],
        393_216,
        holds="24 layers, two matrices each, rank (in + out) numbers for a matrix",
        inputs={"layers": 24, "width": 1024, "rank": 4, "matrices": "query, value"},
        section="The mathematics",
        likely="matrices are missing, or some are counted that LoRA does not train",
        tolerance=0,
    )


def test_trained_numbers_of_our_base_are_those_of_the_real_model(answers):
    model, method = load("t5-0.8m"), LoRA(rank=6, alpha=12, targets=("value", "down"))
    method.attach(model)
    check(
        answers,
        lambda answers: answers.TRAINED_NUMBERS["t5-0.8m"],
        sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        holds="every value and every down matrix, rank (in + out) numbers for a matrix",
        inputs={"base": "t5-0.8m", "width": 88, "feed-forward width": 112, "rank": 6, "matrices": "value, down"},
        section="The mathematics",
        likely="matrices are missing, or some are counted that LoRA does not train",
        tolerance=0,
    )


def states_of(layer, read) -> dict:
    """What `read(layer)` gives at first and after each of CALLS, by the calls up to there."""
    outputs, done = {"the start": read(layer)}, []
    for call in CALLS:
        getattr(layer, call.split()[0])(*PAIRS.get(call, ()))
        done.append(call)
        outputs[", ".join(done)] = read(layer)
    return outputs


def expected_states(of_pair, of_merged) -> dict:
    """The same of a right layer: what `of_pair` gives for the factors in force, or `of_merged` for the flag."""
    pair, merged, outputs, done = (A, B), False, {}, []
    for call in ("", *CALLS):
        pair = PAIRS.get(call, pair)
        merged = {"merge": True, "unmerge": False}.get(call, merged)
        done += [call] if call else []
        outputs[", ".join(done) or "the start"] = of_merged(merged) if of_pair is None else of_pair(*pair)
    return outputs


def test_switchable_lora_gives_the_outputs_of_the_factors_given_last(answers):
    check(
        answers,
        lambda answers: states_of(answers.SwitchableLoRA(W.clone(), A, B, ALPHA), lambda layer: layer(X)),
        expected_states(lambda a, b: by_hand(X, W, a, b, ALPHA / len(a)), None),
        holds="y = W x + (alpha / rank) B A x, merged or not, with the factors given last",
        inputs=GIVEN | {"other a": OTHER_A, "other b": OTHER_B},
        section="The mathematics",
        likely="in one of the states w holds an update that is not that of the factors in force",
    )


def test_switchable_lora_is_merged_and_unmerged_by_those_calls_alone(answers):
    check(
        answers,
        lambda answers: states_of(answers.SwitchableLoRA(W.clone(), A, B, ALPHA), lambda layer: bool(layer.merged)),
        expected_states(None, bool),
        holds="`merged` is True from merge to unmerge, and load leaves it as it was",
        inputs={"calls": CALLS},
        section="Exercises",
        likely="one of the calls sets `merged` to another value than it should, or forgets to set it",
    )


def test_switchable_lora_has_a_copy_of_its_own(answers):
    def run(answers):
        w = W.clone()
        answers.SwitchableLoRA(w, A, B, ALPHA).merge()
        return w

    check(
        answers,
        run,
        W.clone(),
        holds="the caller's w does not change when a layer is merged",
        inputs=GIVEN,
        section="What people get wrong",
        likely="the layer changes a weight that others may use",
        tolerance=0,
    )


def in_place(w, a, b, alpha):
    return w.add_(alpha / len(a) * (b @ a))


def transposed_where_it_fits(w, a, b, alpha):
    update = alpha / len(a) * (b @ a)
    return w + (update.T if len(w) == w.shape[1] else update)


MERGES = {
    "the right one": lambda w, a, b, alpha: w + alpha / len(a) * (b @ a),
    "one without alpha / rank": lambda w, a, b, alpha: w + b @ a,
    "one with alpha alone": lambda w, a, b, alpha: w + alpha * (b @ a),
    "one that divides by the input size": lambda w, a, b, alpha: w + alpha / a.shape[1] * (b @ a),
    "one that subtracts": lambda w, a, b, alpha: w - alpha / len(a) * (b @ a),
    "one that adds nothing": lambda w, a, b, alpha: w.clone(),
    "one with the first direction only": lambda w, a, b, alpha: w + alpha / len(a) * torch.outer(b[:, 0], a[0]),
    "one that transposes where w is square": transposed_where_it_fits,
    "one that rounds to 16 bit": lambda w, a, b, alpha: (w + alpha / len(a) * (b @ a)).bfloat16().to(w.dtype),
    "one that changes w in place": in_place,
}


def test_check_merge_tells_right_from_wrong(answers):
    check(
        answers,
        lambda answers: {name: accepts(answers.check_merge, merge) for name, merge in MERGES.items()},
        {name: name == "the right one" for name in MERGES},
        holds="your test accepts the right merge and no wrong one (True: accepted)",
        inputs={"merges": len(MERGES)},
        section="Exercises",
        likely="some inputs hide a mistake: equal sizes, alpha = rank, rank 1, a zero factor, a wide tolerance",
    )


def test_stabilised_output_divides_by_the_root_of_the_rank(answers):
    x, w, a, b = random_case(6, 3, 4)
    check(
        answers,
        lambda answers: answers.stabilised_output(x, w, a, b, 6.0),
        by_hand(x, w, a, b, 6.0 / 2),
        holds="y = W x + (alpha / sqrt(rank)) B A x",
        inputs={"x": x, "w": w, "a": a, "b": b, "alpha": 6.0},
        section="What people get wrong",
        likely="another factor stands before B A x",
    )


def test_stabilised_output_is_that_of_the_real_layer(answers):
    x, w, a, b = random_case(6, 4, 3)
    layer = RSLoRA(rank=3, alpha=5.0).wrap(nn.Linear(4, 6, bias=False), 3)
    with torch.no_grad():
        layer.linear.weight.copy_(w), layer.A.copy_(a), layer.B.copy_(b)
        expected = layer(x)
    check(
        answers,
        lambda answers: answers.stabilised_output(x, w, a, b, 5.0),
        expected,
        holds="the same outputs as minipeft's RSLoRA with these weights",
        inputs={"x": x, "w": w, "a": a, "b": b, "alpha": 5.0},
        section="What people get wrong",
        likely="another factor stands before B A x",
    )
