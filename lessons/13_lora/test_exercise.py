"""The tests of chapter 13's exercises: `pytest lessons/13_lora`."""

import torch
from torch import nn

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.low_rank.lora import LoRA, LoRALinear
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

X = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.5, -1.0, 3.0, 2.0]])  # (batch 2, in 4)
W = torch.tensor([[1.0, 0.0, 2.0, -1.0], [0.0, 1.0, 1.0, 1.0], [2.0, -1.0, 0.0, 3.0]])  # (out 3, in 4)
A = torch.tensor([[1.0, -1.0, 0.0, 2.0], [0.0, 3.0, 1.0, -1.0]])  # (rank 2, in 4)
B = torch.tensor([[1.0, 0.5], [-2.0, 1.0], [0.0, 3.0]])  # (out 3, rank 2)
ALPHA = 6.0
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


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_case(outputs, inputs, rank, seed=1):
    return numbers(5, inputs, seed=seed), numbers(outputs, inputs, seed=seed + 1), numbers(
        rank, inputs, seed=seed + 2), numbers(outputs, rank, seed=seed + 3)  # fmt: skip


def test_lora_output_gives_every_row_the_update_of_its_task(answers):
    x, tasks = torch.cat([X, X[:1], -X]), torch.tensor([2, 0, 0, 2, 2])
    a, b = torch.stack([A, 3 * A, A.flip(1)]), torch.stack([B, B, B.flip(0) + 1])
    rows = [by_hand(x[i : i + 1], W, a[task], b[task], ALPHA / 2) for i, task in enumerate(tasks.tolist())]
    check(
        answers,
        lambda answers: answers.lora_output(x, W, a, b, ALPHA, tasks),
        torch.cat(rows),
        holds="y_i = W x_i + (alpha / rank) B_t A_t x_i, where t = tasks[i]",
        inputs={"x": x, "w": W, "a": a, "b": b, "alpha": ALPHA, "tasks": tasks.tolist()},
        section="The mathematics",
        trained=("a", "b"),
    )


def test_lora_output_is_that_of_the_real_layer_for_each_row(answers):
    x, w, a, b = numbers(5, 3), numbers(7, 3, seed=2), numbers(2, 4, 3, seed=3), numbers(2, 7, 4, seed=4)
    tasks, rows = torch.tensor([1, 1, 0, 1, 0]), []
    for i, task in enumerate(tasks.tolist()):
        layer = LoRALinear(nn.Linear(3, 7, bias=False), rank=4, alpha=10.0)
        with torch.no_grad():
            layer.linear.weight.copy_(w), layer.A.copy_(a[task]), layer.B.copy_(b[task])
            rows.append(layer(x[i : i + 1]))
    check(
        answers,
        lambda answers: answers.lora_output(x, w, a, b, 10.0, tasks),
        torch.cat(rows),
        holds="row i is what minipeft's LoRALinear gives with the weights of task tasks[i]",
        inputs={"x": x, "w": w, "a": a, "b": b, "alpha": 10.0, "tasks": tasks.tolist()},
        section="The code",
        trained=("a", "b"),
    )


def test_initial_factors_have_the_shapes_and_the_spread(answers):
    def run(answers):
        a, b = answers.initial_factors(400, 7, 9, seed=3)
        lowest, highest = (a.min() * 400**0.5).item(), (a.max() * 400**0.5).item()
        return {"shape of a": list(a.shape), "shape of b": list(b.shape), "sum of |b|": b.abs().sum().item(),
                "lowest a * sqrt(in)": lowest, "highest a * sqrt(in)": highest,
                "nearly all numbers of a differ": a.unique().numel() > 0.9 * a.numel()}  # fmt: skip

    check(
        answers,
        run,
        {"shape of a": [9, 400], "shape of b": [7, 9], "sum of |b|": 0.0,
         "lowest a * sqrt(in)": -1.0, "highest a * sqrt(in)": 1.0, "nearly all numbers of a differ": True},
        holds="b is zero, a is uniform between -1/sqrt(in) and 1/sqrt(in)",
        inputs={"inputs": 400, "outputs": 7, "rank": 9, "seed": 3},
        section="The mathematics",
        tolerance=0.005,
    )  # fmt: skip


def test_initial_factors_let_the_first_gradient_through(answers):
    def run(answers):
        a, b = (factor.detach().float().clone().requires_grad_() for factor in answers.initial_factors(4, 3, 2, seed=0))
        (X @ W.T + 2.0 * (X @ a.T @ b.T)).square().sum().backward()
        return {"a has a gradient": a.grad.any().item(), "b has a gradient": b.grad.any().item()}

    check(
        answers,
        run,
        {"a has a gradient": False, "b has a gradient": True},
        holds="at the first step b learns and a waits, since the gradient of a has the factor b = 0",
        inputs={"inputs": 4, "outputs": 3, "rank": 2},
        section="The mathematics",
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
    )


def updates():
    """Two updates of W, of rank 2 and 1, with other factors."""
    return [(A, B, ALPHA), (A[:1] - 1, B[:, 1:], -0.75)]


def test_merged_weight_alone_gives_the_outputs_of_all(answers):
    (a, b, alpha), (other_a, other_b, other_alpha) = updates()
    expected = by_hand(X, W, a, b, alpha / 2) + by_hand(X, torch.zeros(3, 4), other_a, other_b, other_alpha)
    check(
        answers,
        lambda answers: X @ answers.merged_weight(W.clone(), updates()).T,
        expected,
        holds="W' x = W x + the sum of (alpha / rank) B A x over all updates",
        inputs={"w": W, "updates": "a (2, 4), b (3, 2), alpha = 6.0; a (1, 4), b (3, 1), alpha = -0.75"},
        section="The mathematics",
    )


def test_merged_weight_of_one_update_can_be_undone_by_subtracting(answers):
    _, w, a, b = random_case(6, 4, 3)
    check(
        answers,
        lambda answers: answers.merged_weight(w, [(a, b, 2.0)]) - 2.0 / 3 * (b @ a),
        w.clone(),
        holds="W' - (alpha / rank) B A = W, up to rounding",
        inputs={"w": w, "a": a, "b": b, "alpha": 2.0},
        section="The mathematics",
    )


def test_merged_weight_is_rounded_once_and_keeps_the_type(answers):
    w = 100 * numbers(6, 4, seed=2).bfloat16()
    parts = [(numbers(rank, 4, seed=rank), 0.5 * numbers(6, rank, seed=9), float(rank)) for rank in (1, 2, 3, 5)]
    total = w.double() + sum(b.double() @ a.double() for a, b, _ in parts)

    def run(answers):
        merged = answers.merged_weight(w, parts)
        return {"type": str(merged.dtype), "merged": merged.float()}

    check(
        answers,
        run,
        {"type": "torch.bfloat16", "merged": total.bfloat16().float()},
        holds="the sum is made in float32 and rounded once, to the type of w",
        inputs={"w": "(6, 4) in bfloat16", "updates": "four, of rank 1, 2, 3 and 5"},
        section="What people get wrong",
        tolerance=0,
    )


def predicted(answers, model, expected, holds, **inputs):
    check(
        answers,
        lambda answers: answers.TRAINED_NUMBERS[model],
        expected,
        holds=holds,
        inputs=inputs,
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_trained_numbers_of_roberta(answers):
    sizes = [(768, 768), (768, 768), (768, 3072), (3072, 768)]
    expected = 12 * sum(6 * inputs + 6 * outputs for inputs, outputs in sizes)
    holds = "12 layers, four matrices each, rank (in + out) numbers for a matrix"
    predicted(answers, "RoBERTa-base", expected, holds, layers=12, rank=6, matrices="query, value, up, down")


def test_trained_numbers_of_gpt_3(answers):
    expected = sum(2 * 3 * 12288 for _ in range(3 * 96))
    holds = "96 layers, three matrices each, rank (in + out) numbers for a matrix"
    predicted(answers, "GPT-3", expected, holds, layers=96, rank=3, matrices="key, value, output")


def test_trained_numbers_of_our_base_are_those_of_the_real_model(answers):
    config = EncoderDecoderConfig(  # the sizes of t5-0.8m; its vocabulary does not count here
        9, hidden_size=88, heads=4, head_size=22, feed_forward_size=112, encoder_layers=3, decoder_layers=3
    )
    model = EncoderDecoder(config)
    LoRA(rank=5, alpha=8).attach(model)
    expected = sum(weight.numel() for weight in model.decoder.parameters() if weight.requires_grad)
    holds = "every matrix of attention and of feed-forward in the decoder has rank (in + out) numbers"
    predicted(answers, "t5-0.8m", expected, holds, width=88, inner=112, rank=5)


ORDERS = {
    "merged, unmerged, and that again": ("", "merge", "merge", "unmerge", "unmerge", "merge", "unmerge"),
    "trained between two merges": ("", "merge", "unmerge", "train", "merge", "unmerge"),
    "trained while merged": ("merge", "train", "", "unmerge", "merge", "train", "merge", "unmerge", "train", ""),
}


def states_of(layer, calls, a, b):
    """The outputs after every call, and the weight wherever the layer is not merged."""
    found = {}
    for number, call in enumerate(calls, 1):
        if call == "train":
            a.mul_(0.5), b.add_(1.0)
        elif call:
            getattr(layer, call)()
        after = f"{number}. {call or 'nothing'}"
        found[f"y after {after}"] = layer(X)
        if not layer.merged:
            found[f"w after {after}"] = layer.w.clone()
    return found


class Exact:
    """The layer by its law: it keeps w, and what it answers with."""

    def __init__(self, a, b):
        self.w, self.a, self.b, self.frozen, self.merged = W.clone(), a, b, None, False

    def merge(self):
        if not self.merged:
            self.frozen, self.merged = (self.a.clone(), self.b.clone()), True

    def unmerge(self):
        self.merged = False

    def __call__(self, x):
        a, b = self.frozen if self.merged else (self.a, self.b)
        return by_hand(x, self.w, a, b, ALPHA / 2)


def switched(answers, order, holds):
    def run(answers):
        a, b = A.clone(), B.clone()
        with_own = answers.SwitchableLoRA(W.clone(), a, b, ALPHA)
        return states_of(with_own, ORDERS[order], a, b)

    a, b = A.clone(), B.clone()
    expected = states_of(Exact(a, b), ORDERS[order], a, b)
    calls = [call or "nothing" for call in ORDERS[order]]
    check(answers, run, expected, holds=holds, inputs={**GIVEN, "calls": ", ".join(calls)}, section="The code")


def test_switchable_lora_gives_the_same_outputs_in_every_state(answers):
    switched(answers, "merged, unmerged, and that again", "y = W x + (alpha / rank) B A x, however often it is merged")


def test_switchable_lora_may_be_trained_between_two_merges(answers):
    switched(answers, "trained between two merges", "unmerged, it answers with a and b as they are now")


def test_switchable_lora_may_be_trained_while_it_is_merged(answers):
    switched(answers, "trained while merged", "unmerged, w is what it was at first, whatever a and b have become")


def test_switchable_lora_moves_the_weight_itself(answers):
    def run(answers):
        w = W.clone()
        layer = answers.SwitchableLoRA(w, A, B, ALPHA)
        layer.merge()
        return {"the layer's w once merged": layer.w.clone(), "the caller's w": w}

    check(
        answers,
        run,
        {"the layer's w once merged": by_hand(torch.eye(4), W, A, B, ALPHA / 2).T.contiguous(), "the caller's w": W},
        holds="a merged layer has W + (alpha / rank) B A as its w, a copy of its own",
        inputs=GIVEN,
        section="The code",
    )


def in_place(w, a, b, alpha):
    return w.add_(alpha / len(a) * (b @ a))


def transposed_where_it_fits(w, a, b, alpha):
    update = alpha / len(a) * (b @ a)
    return w + (update.T if len(w) == w.shape[1] else update)


def by_columns(w, a, b, alpha):
    """Right: one direction after another, and in another order of products."""
    merged = w.clone()
    for r in range(len(a)):
        merged += torch.outer(b[:, r], alpha * a[r]) / len(a)
    return merged


RIGHT = {
    "w + alpha / rank * (b @ a)": lambda w, a, b, alpha: w + alpha / len(a) * (b @ a),
    "one direction after another": by_columns,
    "torch.addmm": lambda w, a, b, alpha: torch.addmm(w, b, a, alpha=alpha / len(a)),
}
WRONG = {
    "without alpha / rank": lambda w, a, b, alpha: w + b @ a,
    "with alpha alone": lambda w, a, b, alpha: w + alpha * (b @ a),
    "divided by the input size": lambda w, a, b, alpha: w + alpha / a.shape[1] * (b @ a),
    "subtracted": lambda w, a, b, alpha: w - alpha / len(a) * (b @ a),
    "nothing added": lambda w, a, b, alpha: w.clone(),
    "the first direction only": lambda w, a, b, alpha: w + alpha / len(a) * torch.outer(b[:, 0], a[0]),
    "transposed where w is square": transposed_where_it_fits,
    "rounded to 16 bit": lambda w, a, b, alpha: (w + alpha / len(a) * (b @ a)).bfloat16().to(w.dtype),
    "w changed in place": in_place,
    "the update alone": lambda w, a, b, alpha: alpha / len(a) * (b @ a),
}


def test_check_merge_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_merge",
        RIGHT,
        WRONG,
        holds="your test passes a right merge and fails for each wrong one",
        section="Exercises",
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
        trained=("a", "b"),
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
    )
