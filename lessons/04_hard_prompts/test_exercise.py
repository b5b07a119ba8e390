"""The tests of chapter 04's exercises: `pytest lessons/04_hard_prompts`."""

import math
from collections import Counter
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.training.batches import encode_source
from minipeft.transformer.batch import Batch
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def table(*rows: str) -> torch.Tensor:
    """Rows of 0 and 1 as truth values."""
    return torch.tensor([[one == "1" for one in row] for row in rows])


def test_label_scores_of_two_labels_worked_by_hand(answers):
    token_scores = torch.tensor([[[0.5, 0.5], [0.1, 1.0], [0.8, 0.25]]]).log()  # words of 0.25, 0.1 and 0.2
    real = table("11", "10", "11")
    check(
        answers,
        lambda answers: answers.label_scores(token_scores, real, torch.tensor([1, 0, 1])),
        torch.tensor([[0.1, 0.225]]).log(),
        holds="a label's score is the logarithm of the mean probability of its words",
        inputs={"token_scores": token_scores, "real": real.int().tolist(), "label_of_word": [1, 0, 1]},
        section="The mathematics",
    )


def random_words(seed, texts, words, length, labels):
    """Scores of tokens, which are real, and whose word each is: every label has at least one."""
    generator = torch.Generator().manual_seed(seed)
    token_scores = -3 * torch.rand(texts, words, length, generator=generator) - 0.1
    lengths = torch.randint(1, length + 1, (words,), generator=generator)
    label_of_word = torch.cat([torch.arange(labels), torch.randint(0, labels, (words - labels,), generator=generator)])
    order = torch.randperm(words, generator=generator)
    return token_scores, torch.arange(length) < lengths[:, None], label_of_word[order]


def label_scores_by_loops(token_scores, real, label_of_word):
    rows = []
    for text in token_scores.double().tolist():
        probabilities = [
            math.prod(math.exp(score) for score, counts in zip(word, mask, strict=True) if counts)
            for word, mask in zip(text, real.tolist(), strict=True)
        ]
        by_label = {}
        for probability, label in zip(probabilities, label_of_word.tolist(), strict=True):
            by_label.setdefault(label, []).append(probability)
        rows.append([math.log(sum(found) / len(found)) for _, found in sorted(by_label.items())])
    return torch.tensor(rows)


def test_label_scores_of_random_words_are_those_of_a_loop(answers):
    for seed, sizes in ((1, (3, 7, 4, 3)), (2, (5, 4, 3, 4)), (3, (2, 9, 5, 2))):
        given = random_words(seed, *sizes)
        check(
            answers,
            lambda answers, given=given: answers.label_scores(*given),
            label_scores_by_loops(*given),
            holds="tokens are added up, words are averaged as probabilities, padding counts nothing",
            inputs={"token_scores": given[0], "real": given[1], "label_of_word": given[2].tolist()},
            section="The mathematics",
            trained=("token_scores",),
        )


def test_label_scores_of_very_unlikely_words_and_odd_padding(answers):
    token_scores, real, label_of_word = random_words(4, 3, 6, 4, 2)
    expected = label_scores_by_loops(token_scores, real, label_of_word) - 900
    lowered = token_scores.clone()
    lowered[:, :, 0] -= 900
    lowered[0].masked_fill_(~real, torch.nan)
    lowered[1].masked_fill_(~real, -torch.inf)
    check(
        answers,
        lambda answers: answers.label_scores(lowered, real, label_of_word),
        expected,
        holds="a score of -900 is one like any other, and whatever stands in the padding counts nothing",
        inputs={"token_scores": lowered, "real": real, "label_of_word": label_of_word.tolist()},
        section="Exercises",
        trained=("token_scores",),
    )


def test_calibrate_a_toy_by_hand(answers):
    scores = torch.tensor([[0.3, 0.1], [0.3, 0.2]]).log()
    content_free = torch.tensor([[0.06, 0.02]]).log()  # a prior of 3/4 and 1/4
    check(
        answers,
        lambda answers: answers.calibrate(scores, content_free),
        torch.tensor([[0.5, 0.5], [1 / 3, 2 / 3]]).log(),
        holds="probabilities are divided by the prior, here 3/4 and 1/4, and add up to 1 again",
        inputs={"scores": scores, "content_free": content_free},
        section="The mathematics",
    )


def calibrate_by_loops(scores, content_free):
    def shares(values):
        top = max(values)
        whole = sum(math.exp(value - top) for value in values)
        return [math.exp(value - top) / whole for value in values]

    rows = [shares(row) for row in content_free.double().tolist()]
    prior = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    found = []
    for row in scores.double().tolist():
        divided = [share / part for share, part in zip(shares(row), prior, strict=True)]
        found.append([math.log(value / sum(divided)) for value in divided])
    return torch.tensor(found)


def test_calibrate_with_several_inputs_is_what_a_loop_gives(answers):
    for seed, (texts, inputs, labels) in enumerate(((4, 3, 2), (2, 5, 3), (6, 2, 5)), start=10):
        scores, content_free = (
            2 * numbers(texts, labels, seed=seed) - 4,
            3 * numbers(inputs, labels, seed=seed + 50) - 7,
        )
        check(
            answers,
            lambda answers, given=(scores, content_free): answers.calibrate(*given),
            calibrate_by_loops(scores, content_free),
            holds="each input's probabilities add up to 1 before the mean is taken, and so do the results",
            inputs={"scores": scores, "content_free": content_free},
            section="The mathematics",
            trained=("scores", "content_free"),
        )


def test_calibrate_takes_scores_that_no_float_holds_as_probabilities(answers):
    scores, content_free = numbers(3, 4, seed=30) - 900, numbers(2, 4, seed=31)
    content_free[0] -= 700
    check(
        answers,
        lambda answers: answers.calibrate(scores, content_free),
        calibrate_by_loops(scores, content_free),
        holds="a constant added to all scores of one text changes nothing, not even -900",
        inputs={"scores": scores, "content_free": content_free},
        section="Exercises",
        trained=("scores", "content_free"),
        tolerance=1e-4,
    )


def honest_by_loops(right):
    rows, hits = right.int().tolist(), 0
    for text in range(len(rows[0])):
        counts = [sum(row) - row[text] for row in rows]
        hits += rows[counts.index(max(counts))][text]
    return 100 * hits / len(rows[0])


def test_honest_accuracy_of_two_wordings_worked_by_hand(answers):
    cases = [table("11000", "00110"), table("11101", "11011")]
    check(
        answers,
        lambda answers: [answers.honest_accuracy(right) for right in cases],
        [0.0, 60.0],  # 0: each wording leads exactly where it is wrong, and text 4 has a tie that the first one takes
        holds="the text that is asked does not count in the choice of its wording",
        inputs={"right": [["11000", "00110"], ["11101", "11011"]]},
        section="Exercises",
    )


def test_honest_accuracy_of_random_wordings_is_that_of_a_loop(answers):
    cases = [torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6
             for seed, shape in enumerate(((7, 5), (3, 16), (11, 9), (40, 12), (1, 4), (2, 2)))]  # fmt: skip
    cases.append(table("011100000", "100011100"))  # which wording leads depends on the first text
    check(
        answers,
        lambda answers: [answers.honest_accuracy(right) for right in cases],
        [honest_by_loops(right) for right in cases],
        holds="for each text the wording is chosen on all others, of equal ones the first",
        inputs={"right": f"seven tables, of {[tuple(right.shape) for right in cases]}"},
        section="Exercises",
    )


BATCHES = [numbers(n, 3, seed=70 + n) + torch.tensor([n, -n, 0.5]) for n in (4, 1, 7, 2)]


def prior_after(answers, batches):
    prior = answers.LabelPrior(3)
    for batch in batches:
        prior.add(batch)
    return prior


def test_label_prior_of_one_batch(answers):
    check(
        answers,
        lambda answers: prior_after(answers, BATCHES[:1]).mean,
        BATCHES[0].mean(0),
        holds="after one batch the mean is that of its rows",
        inputs={"scores": BATCHES[0]},
        section="The mathematics",
    )


def test_label_prior_after_every_batch_is_the_mean_of_all_texts(answers):
    def run(answers):
        prior, found = answers.LabelPrior(3), []
        for batch in BATCHES:
            prior.add(batch)
            found.append((prior.mean, prior.texts))
        return found

    expected = [(torch.cat(BATCHES[: n + 1]).mean(0), sum(map(len, BATCHES[: n + 1]))) for n in range(len(BATCHES))]
    check(
        answers,
        run,
        expected,
        holds="every text counts the same, whichever batch it came in",
        inputs={"batches of": [len(batch) for batch in BATCHES], "labels": 3},
        section="The mathematics",
    )


def test_label_prior_is_taken_from_every_row(answers):
    scores = numbers(5, 3, seed=90)
    check(
        answers,
        lambda answers: [prior_after(answers, BATCHES[:count]).without(scores) for count in range(len(BATCHES) + 1)],
        [scores, *(scores - torch.cat(BATCHES[: n + 1]).mean(0) for n in range(len(BATCHES)))],
        holds="`without` takes each label's mean off every row; before the first batch it takes off nothing",
        inputs={"scores": scores, "batches of": [len(batch) for batch in BATCHES]},
        section="The mathematics",
    )


def test_label_prior_gives_new_numbers_each_time(answers):
    scores = numbers(2, 3, seed=91)

    def run(answers):
        prior = prior_after(answers, BATCHES[:2])
        first = prior.without(scores)
        before = first.clone()
        prior.add(BATCHES[2])
        return [before, first, prior.without(scores), scores.clone()]

    early, late = (scores - torch.cat(BATCHES[:count]).mean(0) for count in (2, 3))
    check(
        answers,
        run,
        [early, early, late, scores],
        holds="what `without` gave stays as it was when more texts come, and so does its argument",
        inputs={"scores": scores},
        section="Exercises",
    )


class Words:
    """A tokenizer of one id a word: as many tokens as the exercise says."""

    adds_space, eos = True, 1

    def encode(self, text):
        return [2] * len(text.split())

    def sentinel(self, number):
        return 3


@cache
def real_cost() -> dict[str, int]:
    """What the questions ask, counted on a model of these sizes and on prompts as the library writes them."""
    config = EncoderDecoderConfig(
        9, hidden_size=88, heads=4, head_size=22, feed_forward_size=112, encoder_layers=3, decoder_layers=1
    )
    model = EncoderDecoder(config).eval()
    model.tokenizer = Words()
    review, template = " ".join("abcdefghijklm"), "{source} All in all , it was"
    method = HardPrompt(template, [(review, "good"), (review, "bad")] * 3 + [(review, "good")],
                        {"good": ["good ."], "bad": ["bad ."]})  # fmt: skip
    method.attach(model)
    ids = encode_source(model, review)
    method.detach()
    source = torch.full((1, len(ids)), 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encode(Batch(source, torch.ones_like(source, dtype=torch.bool)))
    read = Counter()
    for _template in range(23):
        for _text in range(30):
            read["readings"] += 1  # all words of all verbalizers are scored behind one reading
            for _verbalizer in range(4):  # whose words stand in the demonstrations
                for _draw in range(3):
                    read["readings behind demonstrations"] += 1
    return {"tokens": len(ids), "multiplications": counter.get_total_flops() // 2, **read}


def test_cost_of_demonstrations(answers):
    holds = {
        "tokens": "a source is every demonstration in the template, with its answer, then the text itself",
        "multiplications": "every token passes all matrices, and every place looks at all places",
        "readings": "the words of all verbalizers can be scored behind the same source",
        "readings behind demonstrations": "a demonstration holds its answer, in the verbalizer's words",
    }
    for key, law in holds.items():
        check(
            answers,
            lambda answers, key=key: answers.COST[key],
            real_cost()[key],
            holds=f"{law} ({key})",
            inputs={"layers": 3, "width": 88, "heads": "4 of 22", "inside": 112, "demonstrations": 7},
            section="The mathematics",
            tolerance=0,
            secret=True,
        )


def joined(template, demonstrations, words, source):
    parts = [f"{template.replace('{source}', text)} {words[label]}" for text, label in demonstrations]
    return " ".join([*parts, template.replace("{source}", source)])


def by_parts(template, demonstrations, words, source):
    before, _, after = template.partition("{source}")
    prompt = ""
    for text, label in demonstrations:
        prompt = prompt + before + text + after + " " + words[label] + " "
    return prompt + before + source + after


def from_the_end(template, demonstrations, words, source):
    place, prompt = template.index("{source}"), ""
    for text, end in [(source, "")] + [(text, f" {words[label]} ") for text, label in reversed(demonstrations)]:
        prompt = template[:place] + text + template[place + len("{source}") :] + end + prompt
    return prompt


def fills_all_at_once(template, demonstrations, words, source):
    parts = [f"{template.replace('{source}', text)} {words[label]}" for text, label in demonstrations]
    return " ".join([*parts, template]).replace("{source}", source)


def empties_the_list(template, demonstrations, words, source):
    prompt = joined(template, demonstrations, words, source)
    demonstrations.clear()
    return prompt


class GoesOn:
    """Shows the demonstrations of the call before in place of its own, where their number is the same."""

    def __init__(self):
        self.last = []

    def __call__(self, template, demonstrations, words, source):
        shown = self.last if len(self.last) == len(demonstrations) and self.last else demonstrations
        self.last = list(demonstrations)
        return joined(template, shown, words, source)


RIGHT = {
    "parts that are joined": joined,
    "what stands before and behind the source, put together": by_parts,
    "built up from the end": from_the_end,
}


def wrong_implementations():
    def with_others(change):
        return lambda template, shown, words, source: joined(template, change(shown), words, source)

    return {
        "leaves the first demonstration out": with_others(lambda shown: shown[1:]),
        "leaves the last demonstration out": with_others(lambda shown: shown[:-1]),
        "turns the order round": with_others(lambda shown: shown[::-1]),
        "sorts the demonstrations": with_others(sorted),
        "leaves out a demonstration that is there already": with_others(lambda shown: list(dict.fromkeys(shown))),
        "takes four demonstrations at most": with_others(lambda shown: shown[:4]),
        "puts no template around the demonstrations": lambda template, shown, words, source: " ".join(
            [*(f"{text} {words[label]}" for text, label in shown), template.replace("{source}", source)]
        ),
        "puts no template around the source": lambda template, shown, words, source: joined(
            template, shown, words, ""
        ).removesuffix(template.replace("{source}", "")) + source,
        "writes labels in place of their words": lambda template, shown, words, source: joined(
            template, shown, {label: label for label in words}, source
        ),
        "gives every demonstration the first one's answer": with_others(
            lambda shown: [(text, shown[0][1]) for text, _ in shown]
        ),
        "joins without a space behind an answer": lambda template, shown, words, source: "".join(
            f"{template.replace('{source}', text)} {words[label]}" for text, label in shown
        ) + template.replace("{source}", source),
        "begins with a space where there are no demonstrations": lambda template, shown, words, source: (
            joined(template, shown, words, source) if shown else " " + joined(template, shown, words, source)
        ),
        "writes an answer behind the last source": lambda template, shown, words, source: (
            joined(template, shown, words, source) + (f" {words[shown[-1][1]]}" if shown else "")
        ),
        "fills {source} in a demonstration's own text": fills_all_at_once,
        "takes the spaces off the ends of sources": lambda template, shown, words, source: joined(
            template, [(text.strip(), label) for text, label in shown], words, source.strip()
        ),
        "leaves braces out of sources": lambda template, shown, words, source: joined(
            template, [(text.replace("{", "").replace("}", ""), label) for text, label in shown], words, source
        ),
        "empties the list that it is given": empties_the_list,
        "shows the demonstrations of the call before, if there were as many": GoesOn(),
    }  # fmt: skip


def test_check_render_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_render",
        RIGHT,
        wrong_implementations(),
        holds="your test passes where prompts are written as described, and fails everywhere else",
        section="Exercises",
    )


def scores_with_answers(answers_of_orders, labels, seed):
    """Scores whose likeliest labels are these: the rest is random, and of another size for each text."""
    scores = numbers(len(answers_of_orders), len(answers_of_orders[0]), labels, seed=seed) * 3 - 6
    for order, row in enumerate(answers_of_orders):
        for text, label in enumerate(row):
            scores[order, text, label] = scores[order, text].max() + 0.5
    return scores


def entropy_order(answers_of_orders):
    def entropy(row):
        return round(-sum(n / len(row) * math.log(n / len(row)) for n in Counter(row).values()), 6)

    return torch.tensor(sorted(range(len(answers_of_orders)), key=lambda order: -entropy(answers_of_orders[order])))


def test_rank_orders_of_three_orders_worked_by_hand(answers):
    told = [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]]
    check(
        answers,
        lambda answers: answers.rank_orders(scores_with_answers(told, 2, seed=5)),
        torch.tensor([1, 2, 0]),
        holds="half and half has the highest entropy, one answer for all has none",
        inputs={"likeliest labels": told},
        section="Exercises",
        tolerance=0,
    )


def test_rank_orders_where_some_are_equal(answers):
    told = [[2, 2, 1, 1, 0, 1], [0, 1, 0, 1, 0, 1], [1, 2, 2, 0, 2, 0], [2, 2, 2, 2, 2, 2], [0, 0, 0, 1, 2, 2],
            [0, 1, 2, 0, 1, 2], [1, 1, 0, 0, 2, 1], [2, 2, 2, 0, 0, 0]]  # fmt: skip
    check(
        answers,
        lambda answers: answers.rank_orders(scores_with_answers(told, 3, seed=6)),
        entropy_order(told),
        holds="of orders whose shares are the same, in whatever labels, the lower number goes first",
        inputs={"likeliest labels": told},
        section="Exercises",
        tolerance=0,
    )


def test_rank_orders_of_all_orders_of_four_demonstrations(answers):
    generator = torch.Generator().manual_seed(8)
    told = (torch.rand(24, 13, generator=generator) ** (1 + torch.arange(24)[:, None] / 6) * 5).long().tolist()
    check(
        answers,
        lambda answers: answers.rank_orders(scores_with_answers(told, 5, seed=9)),
        entropy_order(told),
        holds="orders are sorted by the entropy of the shares, and equal ones by their number",
        inputs={"scores": scores_with_answers(told, 5, seed=9)},
        section="Exercises",
        tolerance=0,
    )


def test_rank_orders_whose_entropies_differ_in_their_last_bits_alone(answers):
    generator, told = torch.Generator().manual_seed(11), []
    for _order in range(10):
        labels = torch.randperm(4, generator=generator).tolist()
        counts = [[1, 2, 3, 5], [1, 1, 4, 5], [2, 2, 3, 4]][int(torch.randint(3, (), generator=generator))]
        row = [label for label, count in zip(labels, counts, strict=True) for _ in range(count)]
        told.append([row[place] for place in torch.randperm(11, generator=generator).tolist()])
    check(
        answers,
        lambda answers: answers.rank_orders(scores_with_answers(told, 4, seed=6)),
        entropy_order(told),
        holds="entropies are rounded to six decimals before they are compared",
        inputs={"likeliest labels": told},
        section="Exercises",
        tolerance=0,
    )
