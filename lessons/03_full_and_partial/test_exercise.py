"""The tests of chapter 03's exercises: `pytest lessons/03_full_and_partial`."""

import copy
import itertools
from functools import cache

import torch

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.selective.freeze_layers import FreezeLayers
from minipeft.models import load
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.hollow import build_hollow


def numbers(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


T5_NAMES = [
    "embedding.weight",
    "encoder.positions.table.weight",
    "encoder.blocks.0.attention.query.weight",
    "encoder.blocks.3.feed_forward_norm.weight",
    "encoder.norm.weight",
    "decoder.positions.table.weight",
    "decoder.blocks.0.attention_norm.weight",
    "decoder.blocks.1.cross_attention.key.weight",
    "decoder.norm.weight",
    "head.weight",
]


def test_block_rates_of_the_blocks_and_of_what_is_around_them(answers):
    rate = 0.64
    check(
        answers,
        lambda answers: answers.block_rates(T5_NAMES, {"encoder": 4, "decoder": 2}, rate, 0.5),
        [0.04, 0.04, 0.08, 0.64, 0.64, 0.16, 0.32, 0.64, 0.64, 0.64],
        holds="the rate is halved for each block that stands above, in the parameter's own stack",
        inputs={"names": T5_NAMES, "blocks": {"encoder": 4, "decoder": 2}, "rate": rate, "decay": 0.5},
        section="Exercises",
        tolerance=1e-9,
    )


def test_block_rates_where_the_decoder_is_the_taller_stack(answers):
    names = ["decoder.blocks.11.attention.key.weight", "embedding.weight", "encoder.blocks.2.attention.key.weight",
             "decoder.blocks.2.attention.key.weight", "encoder.positions.table.weight"]  # fmt: skip
    check(
        answers,
        lambda answers: answers.block_rates(names, {"encoder": 5, "decoder": 13}, 3.0, 0.7),
        [3 * 0.7, 3 * 0.7**13, 3 * 0.7**2, 3 * 0.7**10, 3 * 0.7**5],
        holds="block 11 of 13 is one below the top; the embedding is one place below the lowest block of the tallest",
        inputs={"names": names, "blocks": {"encoder": 5, "decoder": 13}, "rate": 3.0, "decay": 0.7},
        section="Exercises",
        tolerance=1e-9,
    )


@cache
def rates_of_the_library() -> dict[str, float]:
    """Those of all blocks of the GPT."""
    model, method = load("gpt-1.7m"), FreezeLayers(6, decay=0.6)
    method.attach(model)
    by_id = {id(p): group["lr"] for group in method.parameter_groups(0.01) for p in group["params"]}
    return {name: by_id[id(parameter)] for name, parameter in method.named_parameters().items()}


def test_block_rates_of_a_gpt_are_those_that_the_library_gives_its_blocks(answers):
    expected = dict(rates_of_the_library())
    expected |= {"embedding.weight": 0.01 * 0.6**6, "decoder.positions.table.weight": 0.01 * 0.6**6}
    expected |= {"decoder.norm.bias": 0.01}
    names = sorted(expected)
    check(
        answers,
        lambda answers: answers.block_rates(names, {"decoder": 6}, 0.01, 0.6),
        [expected[name] for name in names],
        holds="blocks have the rates of minipeft/methods/selective/freeze_layers.py",
        inputs={"names": f"{len(names)} of gpt-1.7m", "blocks": {"decoder": 6}, "rate": 0.01, "decay": 0.6},
        section="The mathematics",
        tolerance=1e-9,
    )


def head_by_descent(features, labels, classes, strength):
    """The same minimum, found by Newton's step on all numbers at once: the loss is quadratic, so one step is enough."""
    texts, width = features.shape
    features = features.double()
    target = torch.zeros(texts, classes, dtype=torch.float64)
    target[torch.arange(texts), labels] = 1.0

    def loss(flat):
        w, b = flat[: classes * width].view(classes, width), flat[classes * width :]
        return (features @ w.T + b - target).square().sum() + strength * w.square().sum()

    start = torch.zeros(classes * (width + 1), dtype=torch.float64)
    gradient = torch.func.grad(loss)(start)
    found = start - torch.linalg.solve(torch.func.hessian(loss)(start), gradient)
    return found[: classes * width].view(classes, width).float(), found[classes * width :].float()


def check_head(answers, features, labels, classes, strength, holds):
    check(
        answers,
        lambda answers: answers.fit_head(features, labels, classes, strength),
        head_by_descent(features, labels, classes, strength),
        holds=holds,
        inputs={"features": features, "labels": labels.tolist(), "classes": classes, "strength": strength},
        section="The mathematics",
        tolerance=1e-4,
    )


def test_fit_head_finds_the_minimum(answers):
    features, labels = numbers(11, 4) + 0.8, torch.tensor([2, 0, 1, 1, 2, 2, 2, 0, 1, 2, 2])
    holds = "W and b minimise sum |W h_i + b - y_i|^2 + strength |W|^2"
    check_head(answers, features, labels, 3, 0.7, holds)


def test_fit_head_does_not_hold_the_bias_back(answers):
    features, labels = 0.1 * numbers(9, 2, seed=3) + 4.0, torch.tensor([0, 0, 0, 1, 0, 0, 1, 0, 0])
    holds = "with a very strong pull W is nearly 0, and b says how frequent each label is"
    check_head(answers, features, labels, 2, 300.0, holds)


def test_fit_head_from_fewer_texts_than_the_width_and_with_a_class_that_has_none(answers):
    features, labels = numbers(5, 8, seed=4), torch.tensor([3, 0, 3, 1, 0])
    check_head(answers, features, labels, 5, 0.05, "class 2 has no text: its row of W and its b are 0")


@cache
def sizes_of_gpt_2_medium() -> dict[str, int]:
    """The parameters by name, of a model that takes no memory."""
    model = build_hollow(DecoderOnly, DecoderOnlyConfig(50257, 1024, 16, 24, 1024))
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


def test_counts_of_gpt_2_medium(answers):
    sizes = sizes_of_gpt_2_medium()
    top = sum(size for name, size in sizes.items() if name.split(".")[2:3] and name.split(".")[2] in ("21", "22", "23"))
    whole = sum(sizes.values())
    expected = {
        "biases": sum(size for name, size in sizes.items() if name.endswith("bias")),
        "norms": sum(size for name, size in sizes.items() if "norm" in name),
        "top three blocks": top,
        "bytes, everything": 16 * whole,
        "bytes, top three blocks": 4 * whole + 12 * top,
    }
    for name, value in expected.items():
        check(
            answers,
            lambda answers, name=name: answers.COUNTS[name],
            value,
            holds=f"COUNTS[{name!r}] is what the model built of these sizes has",
            inputs={"blocks": 24, "width": 1024, "feed-forward": 4096},
            section="The mathematics",
            tolerance=0,
            secret=True,
        )


def backward_of(costs, trained, reads=(), below=True):
    """The cost of a backward pass through a chain, from the bottom up: `trained` places compute their own gradients.

    A place hands on where something below it is trained. reads: places that hand on in any case. below: whether what
    stands under the chain is trained.
    """
    total = 0
    for place, cost in enumerate(costs):
        needed = below or any(lower in trained for lower in range(place)) or place in reads
        total += cost * (needed + (place in trained))
    return total


def test_backward_is_counted_block_by_block(answers):
    gpt, head = [1310] * 17 + [2070], 17
    decoder = [2290] * 11 + [2070]
    expected = {
        "head": backward_of(gpt, {head}, below=False),
        "top five": backward_of(gpt, set(range(12, 17)), below=False),
        "seven and eight": backward_of(gpt, {7, 8}, below=False),
        "biases": backward_of(gpt, set()),
        "everything": backward_of(gpt, set(range(18))),
        "T5, top two": backward_of(decoder, {9, 10}, reads=range(11), below=True)
        + backward_of([1130] * 7, {5, 6}, below=False),
    }
    for name, value in expected.items():
        check(
            answers,
            lambda answers, name=name: answers.BACKWARD[name],
            value,
            holds=f"BACKWARD[{name!r}]: a block hands the gradient on where something below needs it",
            inputs={"blocks": 17, "each": 1310, "head": 2070},
            section="The mathematics",
            tolerance=1e-9,
            secret=True,
        )


def one_part(texts, length, seed, padding):
    """hidden, targets: the last `padding` tokens of every text but the first are padding."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 7, (texts, length), generator=generator)
    if padding:
        targets[1:, -padding:] = -100
    return numbers(texts, length, 4, seed=seed), targets


def in_one_piece(weight, parts, rate):
    """Every real token by itself, in float64."""
    gradient, tokens = torch.zeros_like(weight, dtype=torch.float64), 0
    for hidden, targets in parts:
        for h, target in zip(hidden.flatten(0, 1).double(), targets.flatten().tolist(), strict=True):
            if target != -100:
                miss = (weight.double() @ h).softmax(0)
                miss[target] -= 1.0
                gradient += miss[:, None] * h
                tokens += 1
    return (weight.double() - rate * gradient / tokens).float()


def check_parts(answers, parts, holds):
    """Twice on the same weight: a gradient that is left there would be added to the next."""

    def run(answers):
        weight = numbers(7, 4, seed=8)
        return [answers.accumulated(weight, parts, 0.3) for _ in range(2)]

    weight = numbers(7, 4, seed=8)
    check(
        answers,
        run,
        [in_one_piece(weight, parts, 0.3)] * 2,
        holds=f"{holds}, call after call",
        inputs={"weight": weight, "parts": [tuple(targets.shape) for _, targets in parts], "rate": 0.3},
        section="The mathematics",
    )


def test_accumulated_from_parts_of_one_size(answers):
    parts = [one_part(3, 5, seed, 0) for seed in (11, 12)]
    check_parts(answers, parts, "two parts of 15 tokens each give the step of all 30")


def test_accumulated_from_parts_that_differ_in_length_and_padding(answers):
    parts = [one_part(2, 6, 13, 4), one_part(5, 3, 14, 1), one_part(1, 2, 15, 0)]
    check_parts(answers, parts, "three parts give the step that all of their real tokens give in one piece")


def test_accumulated_from_a_single_part(answers):
    check_parts(answers, [one_part(4, 3, 16, 2)], "one part is the whole batch")


# Early stopping: right and wrong ways.


def stop_by_waiting(scores, patience):
    best, kept, waited = None, 0, 0
    for look, score in enumerate(scores):
        if look == 0 or score > best:
            best, kept, waited = score, look, 0
        else:
            waited += 1
        if waited == patience:
            return look + 1, kept
    return len(scores), kept


def stop_by_places(scores, patience):
    """From the place of the best so far, worked out anew after every look."""
    for looks in range(1, len(scores) + 1):
        seen = list(scores[:looks])
        kept = seen.index(max(seen))
        if looks - 1 - kept >= patience:
            break
    return looks, kept


def stop_by_highest(scores, patience):
    highest = list(itertools.accumulate(scores, max))
    looks = next((n + 1 for n in range(patience, len(scores)) if highest[n] == highest[n - patience]), len(scores))
    return looks, highest.index(highest[looks - 1])


def waiting(better=lambda score, best, last: score > best, start=None, forget=True, extra=0):
    """Ways of waiting in which one thing is another."""

    def stop(scores, patience):
        best, kept, waited, last = scores[0] if start is None else start, 0, 0, None
        for look, score in enumerate(scores):
            if better(score, best, last) or (look == 0 and start is None):
                best, kept, waited = score, look, 0 if forget else waited
            else:
                waited += 1
            last = score
            if waited >= patience + extra:
                return look + 1, kept
        return len(scores), kept

    return stop


def looks_ahead(scores, patience):
    looks, _ = stop_by_waiting(scores, patience)
    return looks, list(scores).index(max(scores))


def keeps_the_last(scores, patience):
    looks, _ = stop_by_waiting(scores, patience)
    return looks, looks - 1


def keeps_the_last_of_equals(scores, patience):
    looks, kept = stop_by_waiting(scores, patience)
    return looks, max(n for n in range(looks) if scores[n] == scores[kept])


class RemembersTheBest:
    """The best of earlier calls is still the best."""

    def __init__(self):
        self.best = float("-inf")

    def __call__(self, scores, patience):
        found = waiting(start=self.best)(scores, patience)
        self.best = max(self.best, *scores)
        return found


class KeepsItsPatience:
    """The patience of the first call is that of all."""

    def __init__(self):
        self.patience = None

    def __call__(self, scores, patience):
        self.patience = self.patience or patience
        return stop_by_waiting(scores, self.patience)


def as_many_as_patience(scores, patience):
    looks, kept = stop_by_waiting(scores, patience)
    return max(looks, patience), kept


def empties_the_list(scores, patience):
    found = stop_by_waiting(scores, patience)
    scores.clear()
    return found


RIGHT = {
    "one that counts how long it has waited": stop_by_waiting,
    "one that finds the place of the best after every look": stop_by_places,
    "one that compares running maxima": stop_by_highest,
}


def wrong_implementations():
    return {
        "counts all looks without a better one, not those in a row": waiting(forget=False),
        "takes an equal score for a better one": waiting(better=lambda score, best, last: score >= best),
        "compares with the look before, not with the best":
            waiting(better=lambda score, best, last: last is not None and score > last),
        "waits for one look too few": waiting(extra=-1),
        "waits for one look too many": waiting(extra=1),
        "ends at the first look that is no better, whatever the patience":
            lambda scores, patience: stop_by_waiting(scores, 1),
        "never ends before the last score":
            lambda scores, patience: (len(scores), scores.index(max(scores))),
        "takes lower for better": waiting(better=lambda score, best, last: score < best),
        "begins with 0 as the best": waiting(start=0.0),
        "keeps the last weights": keeps_the_last,
        "keeps the last of equally good ones": keeps_the_last_of_equals,
        "keeps the best of all scores, those behind its end, too": looks_ahead,
        "counts the looks from 0":
            lambda scores, patience: (stop_by_waiting(scores, patience)[0] - 1, stop_by_waiting(scores, patience)[1]),
        "remembers the best of earlier calls": RemembersTheBest(),
        "keeps the patience of its first call": KeepsItsPatience(),
        "gives as many looks as the patience where there are fewer scores": as_many_as_patience,
        "empties the list of scores": empties_the_list,
    }  # fmt: skip


def test_check_early_stopping_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_early_stopping",
        RIGHT,
        wrong_implementations(),
        holds="your test passes where a run ends and keeps weights as it should, and fails everywhere else",
        section="Exercises",
    )


def chain(count):
    """weights, gradients, momenta of `count` layers, all of different shapes."""
    shapes = [(2, 3), (4,), (5, 2), (3, 7)][:count]
    return [[numbers(*shape, seed=10 * kind + n) for n, shape in enumerate(shapes)] for kind in (1, 2, 3)]


def thawed(count, trained):
    """What a step with rate 0.1 and beta 0.9 leaves where the layers `trained` are trained."""
    weights, gradients, momenta = copy.deepcopy(chain(count))
    for layer in trained:
        momenta[layer].mul_(0.9).add_(gradients[layer])
        weights[layer].sub_(0.1 * momenta[layer])
    return weights, momenta


def check_step(answers, count, step, total, trained, holds):
    weights, gradients, momenta = chain(count)
    check(
        answers,
        lambda answers: answers.chain_thaw_step(weights, gradients, momenta, step, total, 0.1, 0.9),
        thawed(count, trained),
        holds=holds,
        inputs={"layers": count, "step": step, "total": total, "rate": 0.1, "beta": 0.9},
        section="Exercises",
        tolerance=1e-6,
    )


def test_chain_thaw_step_begins_with_the_head_alone(answers):
    check_step(answers, 3, 0, 8, [2], "in the first phase the head is trained, and nothing else moves")


def test_chain_thaw_step_goes_on_with_the_lowest_layer_alone(answers):
    check_step(answers, 4, 5, 20, [0], "step 5 of 20 is in the second of five phases: the lowest layer")


def test_chain_thaw_step_shares_out_steps_that_do_not_divide(answers):
    for step, trained in ((2, [3]), (3, [0]), (4, [0]), (5, [0]), (6, [1]), (8, [2]), (10, [2]), (11, [0, 1, 2, 3])):
        check_step(answers, 4, step, 13, trained, f"step {step} of 13 is in phase {step * 5 // 13}, counted from 0")


def test_chain_thaw_step_ends_with_all_layers(answers):
    check_step(answers, 3, 7, 8, [0, 1, 2], "in the last phase all layers are trained")
