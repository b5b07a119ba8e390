"""The tests of chapter 08. Oracles: loops over pairs, counting, simulated searches and votes, minipeft itself."""

import itertools
import math
from fractions import Fraction

import torch

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.methods.prompts.prompt_ensemble import majority
from minipeft.transfer.task_embeddings import cosine_of_means, mean_of_cosines, most_similar


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(one, other):
    """Of two lists of numbers; 0 where one of them is all zeros."""
    sizes = [math.sqrt(sum(x * x for x in vector)) for vector in (one, other)]
    return sum(x * y for x, y in zip(one, other, strict=True)) / (sizes[0] * sizes[1]) if all(sizes) else 0.0


def similarities_by_loops(early, start):
    changes = (early.double() - start.double()).tolist()
    found = [[sum(cosine(x, y) for x in one for y in other) / len(one) ** 2 for other in changes] for one in changes]
    return torch.tensor(found)


def similar(answers, early, start, holds, trained=()):
    check(
        answers,
        lambda answers: answers.change_similarities(early, start),
        similarities_by_loops(early, start),
        holds=holds,
        inputs={"early": early, "start": start},
        section="The mathematics",
        trained=trained,
    )


def test_change_similarities_of_one_vector_each_worked_by_hand(answers):
    # changes (3, 4), (5, 0), (0, -2): cosines 3/5, -4/5, 0
    early = torch.tensor([[[4.0, 6.0]], [[6.0, 2.0]], [[1.0, 0.0]]])
    similar(answers, early, torch.tensor([[1.0, 2.0]]), "the cosine of early - start of one task and of the other")


def test_change_similarities_of_many_vectors_are_means_over_all_pairs(answers):
    early, start = numbers(5, 3, 7, seed=2), 3 * numbers(3, 7, seed=3)
    holds = "entry (a, b) is the mean over all length * length pairs of vectors"
    similar(answers, early + start, start, holds, trained=("early",))


def test_change_similarities_where_a_vector_has_not_changed(answers):
    early, start = numbers(3, 4, 6, seed=4), numbers(4, 6, seed=5)
    early[1, 2], early[2] = start[2], start
    similar(answers, early, start, "a change of zero has the cosine 0 with everything")


def test_change_similarities_are_the_librarys_where_all_begin_at_zero(answers):
    early = numbers(4, 5, 6, seed=6) + 0.5
    check(
        answers,
        lambda answers: answers.change_similarities(early, torch.zeros(5, 6)),
        torch.tensor([[mean_of_cosines(one, other) for other in early] for one in early]),
        holds="from a start of zeros, the same as minipeft's mean_of_cosines",
        inputs={"early": early, "start": "zeros"},
        section="The code",
    )


def ranks_by_counting(values):
    """By sorting, as one does on paper: equal numbers share the mean of their places."""
    order = sorted(values)
    places = {value: [place for place, other in enumerate(order, 1) if other == value] for value in values}
    return [sum(places[value]) / len(places[value]) for value in values]


def correlation_by_tensors(first, second):
    pair = torch.tensor([ranks_by_counting(first), ranks_by_counting(second)], dtype=torch.float64)
    return float(torch.corrcoef(pair)[0, 1])


def correlated(answers, first, second, expected, holds):
    check(
        answers,
        lambda answers: answers.rank_correlation(list(first), list(second)),
        expected,
        holds=holds,
        inputs={"first": list(first), "second": list(second)},
        section="The mathematics",
    )


def test_rank_correlation_knows_order_alone(answers):
    correlated(answers, (0.1, 0.2, 0.3, 90.0), (-5.0, 1.0, 2.0, 2.5), 1.0, "lists in the same order have 1")
    correlated(answers, (0.1, 0.2, 0.3, 90.0), (7.0, 6.0, 5.0, -100.0), -1.0, "lists in opposite orders have -1")


def test_rank_correlation_worked_by_hand(answers):
    # ranks 1 2 3 4 5 and 2 1 4 5 3: differences 1 1 1 1 2, so 1 - 6 * 8 / (5 * 24) = 0.6
    correlated(answers, (3, 8, 9, 20, 21), (0.5, 0.1, 4.0, 9.0, 1.0), 0.6, "1, 2, 3, 4, 5 and 2, 1, 4, 5, 3")


def test_rank_correlation_where_numbers_are_equal(answers):
    holds = "equal numbers share the mean of the ranks that they take up"
    for first, second in (
        ((5.0, 7.0, 7.0, 9.0), (1.0, 3.0, 2.0, 4.0)),
        ((2.0, 2.0, 2.0, 1.0, 6.0, 6.0), (0.3, 0.9, 0.9, 0.9, 0.1, 0.2)),
    ):
        correlated(answers, first, second, correlation_by_tensors(first, second), holds)


def test_rank_correlation_of_a_list_without_order_is_zero(answers):
    correlated(answers, (4.0, 4.0, 4.0), (1.0, 2.0, 3.0), 0.0, "where all numbers are equal, it is 0.0")
    correlated(answers, (1.0, 2.0, 3.0), (4.0, 4.0, 4.0), 0.0, "where all numbers are equal, it is 0.0")


def test_rank_correlation_of_long_lists(answers):
    first = numbers(60, seed=8).mul(4).round().tolist()
    second = (numbers(60, seed=9) + 0.3 * torch.tensor(first)).mul(3).round().tolist()
    expected = correlation_by_tensors(first, second)
    correlated(answers, first, second, expected, "Pearson's correlation of the ranks, with many equal numbers")


def pairs_by_sets(documents):
    """The same questions by going through all pairs of places there are."""
    places = [(d, i) for d, document in enumerate(documents) for i in range(len(document))]
    found = []
    for d, i in places:
        if i + 1 == len(documents[d]):
            continue
        answers = {"yes": [], "maybe": [], "no": []}
        for other, j in places:
            if other == d and j - i == 1:
                answers["yes"].append(documents[d][j])
            elif other == d and j not in (i - 1, i, i + 1):
                answers["maybe"].append(documents[d][j])
            elif other != d and documents[other][j] not in set(documents[d]):
                answers["no"].append(documents[other][j])
        found += [(documents[d][i], second, word) for word, seconds in answers.items() for second in seconds]
    return found


def pairs(answers, documents, holds, expected=None):
    check(
        answers,
        lambda answers: list(map(tuple, answers.labelled_pairs([list(document) for document in documents]))),
        expected or pairs_by_sets(documents),
        holds=holds,
        inputs={"documents": documents},
        section="The mathematics",
    )


def test_labelled_pairs_of_one_document_worked_by_hand(answers):
    expected = [("a", "b", "yes"), ("a", "c", "maybe"), ("b", "c", "yes")]
    pairs(answers, [["a", "b", "c"]], "the next one is yes, one further away maybe; one before is neither", expected)


def test_labelled_pairs_of_one_longer_document(answers):
    pairs(answers, [list("pqrst")], "maybe are all that are not next to the first, on either side")


def test_labelled_pairs_of_several_documents(answers):
    pairs(answers, [list("abc"), list("de"), list("fghi")], "no are the sentences of all other documents, in order")


def test_labelled_pairs_where_a_sentence_stands_in_two_documents(answers):
    documents = [["a", "once", "b"], ["once", "c"], ["d", "c", "a", "e"]]
    pairs(answers, documents, "a sentence of the first's own document is never the no of that document")


SEARCHED = {"sources": 13, "targets": 6, "source steps": 900, "early": 150, "target steps": 275, "prompt": "20 x 512"}


class Machine:
    """Counts the steps and the numbers on disk of a search that is walked through."""

    def __init__(self):
        self.steps, self.disk = 0, 0

    def train(self, steps, kept=0):
        self.steps += steps
        self.disk += kept * 20 * 512


def searched(way):
    """Walk through a search over 13 sources and 6 targets; its steps, and the numbers it leaves on disk."""
    machine = Machine()
    for _source in range(13):
        machine.train(150, kept=0 if way == "all" else 1)
        if way != "mixture of 3":
            machine.train(900 - 150, kept=1)
    for _target in range(6):
        if way != "all":
            machine.train(150, kept=1)
        if way == "mixture of 3":
            machine.train(900)
        for _start in range({"all": 13, "best of 3": 3}.get(way, 1)):
            machine.train(275)
        machine.train(0, kept=1)
    return machine


def cost(answers, key, holds):
    expected = searched("best of 3").disk if key == "stored" else searched(key).steps
    check(
        answers,
        lambda answers: answers.COSTS[key],
        expected,
        holds=holds,
        inputs=SEARCHED,
        section="The picture",
        tolerance=0,
        secret=True,
    )


def test_costs_of_trying_all_and_of_trying_three(answers):
    cost(answers, "all", "every source is trained to its end, and every target once for every source")
    cost(answers, "best of 3", "a target needs its own early prompt, then one run for each source that is tried")


def test_costs_of_one_start_made_of_three(answers):
    cost(answers, "average of 3", "an average of ready prompts is made without a step; it is tried once")
    cost(answers, "mixture of 3", "sources only up to their early prompts; each target has a mixture of its own")


def test_costs_on_disk(answers):
    cost(answers, "stored", "two prompts of each source and two of each target")


def chance(members, right):
    """The share of texts on which most members are right. members: groups that always say the same, by their sizes."""
    found, of_all = Fraction(0), sum(members)
    for answers in itertools.product((True, False), repeat=len(members)):
        weight = math.prod((right if answer else 1 - right for answer in answers), start=Fraction(1))
        if 2 * sum(size for size, answer in zip(members, answers, strict=True) if answer) > of_all:
            found += weight
    return 100 * float(found)


def guessed():
    questions = [(count, place) for count in range(3, 10) for place in range(count)]
    weights = {question: 1 / 7 / question[0] for question in questions}  # each count, and each place of it, as often
    return {
        "blind": 100 * sum(weight / count for (count, _), weight in weights.items()),
        "always I": 100 * sum(weight for (_, place), weight in weights.items() if place == 8),
        "five": chance((1, 1, 1, 1, 1), Fraction(7, 10)),
        "two copies": chance((2, 1, 1, 1), Fraction(7, 10)),
        "weak": chance((1, 1, 1, 1, 1), Fraction(4, 10)),
    }


def guess(answers, key, holds):
    options = {"options": "3 to 9, each as often"}
    inputs = options if key in ("blind", "always I") else {"members": 5, "right": "40%" if key == "weak" else "70%"}
    check(
        answers,
        lambda answers: answers.GUESSES[key],
        guessed()[key],
        holds=holds,
        inputs=inputs,
        section="The mathematics",
        tolerance=5e-4,
        secret=True,
    )


def test_guesses_in_the_unified_form(answers):
    guess(answers, "blind", "the mean over the numbers of options of one over that number")
    guess(answers, "always I", "right only where there are nine options and the right one is the last")


def test_guesses_of_independent_votes(answers):
    guess(answers, "five", "the sum over all ways in which three, four or five members are right")
    guess(answers, "weak", "a majority makes of what is mostly wrong something that is wrong more often")


def test_guesses_of_a_vote_with_copies(answers):
    guess(answers, "two copies", "the copies bring two votes or none")


def votes_by_loops(scores, mask):
    found = []
    for row in range(scores.shape[1]):
        real = [number for number in range(scores.shape[2]) if mask[row, number]]
        votes = [max(real, key=lambda number: float(member[row, number])) for member in scores]
        key = {number: (votes.count(number), float(scores[:, row, number].double().mean())) for number in real}
        found.append(max(real, key=key.get))
    return torch.tensor(found)


def voted(answers, scores, mask, holds):
    check(
        answers,
        lambda answers: answers.vote(scores, mask),
        votes_by_loops(scores, mask),
        holds=holds,
        inputs={"scores": scores, "mask": mask},
        section="The mathematics",
        tolerance=0,
    )


def test_vote_counts_members(answers):
    holds = "three votes of little conviction beat two of much, however long the answers and low the scores"
    mild, strong, long = [-1.0, -1.1], [-40.0, -0.1], [-20000.0, -10.0]
    for few in (strong, long):
        first = torch.tensor([[mild], [mild], [mild], [few], [few]])
        for scores in (first, first.flip(2)):  # the candidate with three votes is the first, then the last
            voted(answers, scores, torch.ones(1, 2, dtype=torch.bool), holds)


def test_vote_breaks_a_tie_by_the_mean(answers):
    holds = "among those with most votes the mean log-likelihood decides"
    scores = torch.tensor([[[-1.0, -3.0, -2.5]], [[-9.0, -2.0, -2.5]]])  # candidate 2 has the best mean, and no vote
    voted(answers, scores, torch.ones(1, 3, dtype=torch.bool), holds)


def test_vote_of_many_rows(answers):
    scores = -5 * numbers(4, 200, 3, seed=10).exp()
    voted(answers, scores, torch.ones(200, 3, dtype=torch.bool), "each row has a vote of its own, with ties in many")


def test_vote_does_not_choose_what_fills_up_a_row(answers):
    scores = -3 * numbers(5, 60, 4, seed=11).exp()
    mask = torch.ones(60, 4, dtype=torch.bool)
    mask[::2, 3], mask[1::3, 0], mask[7] = False, False, torch.tensor([False, False, True, False])
    scores[:, :, 0], scores[:, :, 3] = scores[:, :, 0] / 9, 0.0  # the fillings look likely
    voted(answers, scores, mask, "a candidate that is not real has no vote, whatever its scores")


def test_vote_is_the_librarys_where_all_candidates_are_real(answers):
    scores = -4 * numbers(5, 50, 4, seed=12).exp()
    check(
        answers,
        lambda answers: answers.vote(scores, torch.ones(50, 4, dtype=torch.bool)),
        majority(scores.transpose(0, 1)).argmax(1),
        holds="the same answers as minipeft's prompt ensemble",
        inputs={"scores": scores},
        section="The code",
        tolerance=0,
    )


# Implementations for check_start: most choose by a likeness of their own.


def nearest_ready(alike, pick=max, of=None):
    """Gives back a copy of one of `of` (ready prompts): the one that `pick` finds by `alike`(target, early prompt)."""

    def found(target, early, ready):
        likeness = [float(alike(target, one)) for one in early]
        number = likeness.index(pick(likeness))
        return (ready if of is None else of(target, early, ready))[number].clone()

    return found


def by_library(target, early, ready):
    ((name, _),) = most_similar(target, {str(i): one for i, one in enumerate(early)}, 1)
    return ready[int(name)].clone()


def by_angle(target, early, ready):
    mean = target.double().mean(0)
    unit = torch.nn.functional.normalize(early.double().sum(1), dim=1)
    return ready[(unit @ mean).argmax()] * 1


def no_copy(target, early, ready):
    return ready[max(range(len(early)), key=lambda i: cosine_of_means(target, early[i]))]


def changes_the_target(target, early, ready):
    found = by_library(target, early, ready)
    target /= target.norm()
    return found


def changes_the_sources(target, early, ready):
    found = by_library(target, early, ready)
    early -= early.mean()
    return found


class Remembers:
    """Goes on with the source that was found in the first call, as long as there is one."""

    def __init__(self):
        self.number = None

    def __call__(self, target, early, ready):
        likeness = [cosine_of_means(target, one) for one in early]
        self.number = likeness.index(max(likeness)) if self.number is None else self.number
        return ready[min(self.number, len(ready) - 1)].clone()


def weighted(target, early, ready):
    weights = torch.tensor([cosine_of_means(target, one) for one in early]).softmax(0)
    return torch.einsum("s,slh->lh", weights, ready)


RIGHT = {"the library's": by_library, "by angles, in float64": by_angle, "in a loop": nearest_ready(cosine_of_means)}


def wrong_implementations():
    """Made for each verdict anew: one of them remembers."""
    return {
        "gives back the early prompt": nearest_ready(cosine_of_means, of=lambda target, early, ready: early),
        "gives back the target's own early prompt": lambda target, early, ready: target.clone(),
        "takes the least similar": nearest_ready(cosine_of_means, pick=min),
        "takes the first source": lambda target, early, ready: ready[0].clone(),
        "takes the last source": lambda target, early, ready: ready[-1].clone(),
        "never looks at the last source": lambda target, early, ready: by_library(
            target, early[:-1] if len(early) > 1 else early, ready
        ),
        "takes the product of the means, not the cosine": nearest_ready(lambda a, b: a.mean(0) @ b.mean(0)),
        "takes the nearest by distance": nearest_ready(lambda a, b: -(a.mean(0) - b.mean(0)).norm()),
        "takes the cosine of the first vectors alone": nearest_ready(lambda a, b: cosine_of_means(a[:1], b[:1])),
        "takes the mean of the cosines, place by place":
            nearest_ready(lambda a, b: torch.cosine_similarity(a, b, dim=1).mean()),
        "takes the cosine of all numbers in one row":
            nearest_ready(lambda a, b: torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)),
        "takes the mean of the cosines of all pairs": nearest_ready(mean_of_cosines),
        "takes the size of the cosine, without its sign": nearest_ready(lambda a, b: abs(cosine_of_means(a, b))),
        "compares the target with the ready prompts":
            lambda target, early, ready: by_library(target, ready, ready),
        "gives back no copy": no_copy,
        "changes the target's prompt": changes_the_target,
        "changes the sources' early prompts": changes_the_sources,
        "remembers the source of the first call": Remembers(),
        "averages all sources": weighted,
    }  # fmt: skip


def test_check_start_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_start",
        RIGHT,
        wrong_implementations(),
        holds="your test passes where the start is a copy of the right ready prompt, and fails everywhere else",
        section="Exercises",
    )


def attended_by_loops(text, mask, own, sources, w_down, w_up, temperature):
    prompts, found = [*sources.double(), own.double()], []
    for words, real in zip(text.double(), mask, strict=True):
        pooled = torch.stack([word for word, is_real in zip(words, real, strict=True) if is_real]).max(0).values
        inner = w_down.double() @ pooled
        question = w_up.double() @ (inner / (1 + (-inner).exp()))
        scores = [float(question @ prompt.max(0).values) / temperature for prompt in prompts]
        sizes = [math.exp(score - max(scores)) for score in scores]
        mixed = sum(size / sum(sizes) * prompt for size, prompt in zip(sizes, prompts, strict=True))
        found.append((own.double() + mixed).float())
    return torch.stack(found)


def attention_inputs(batch, words, length, hidden, n, inner, seed):
    shapes = ((batch, words, hidden), (length, hidden), (n, length, hidden), (inner, hidden), (hidden, inner))
    text, own, sources, w_down, w_up = (numbers(*shape, seed=seed + i) for i, shape in enumerate(shapes))
    return text, torch.ones(batch, words, dtype=torch.bool), own, sources, w_down, w_up


def attend(answers, inputs, temperature, holds, trained=()):
    check(
        answers,
        lambda answers: answers.attend_to_sources(*inputs, temperature),
        attended_by_loops(*inputs, temperature),
        holds=holds,
        inputs={"text": inputs[0], "own": inputs[2], "sources": inputs[3], "temperature": temperature},
        section="The mathematics",
        tolerance=1e-4,
        trained=trained,
    )


def test_attend_to_sources_mixes_one_prompt_for_each_text(answers):
    holds = "own plus the sum of all n + 1 prompts, weighted by the softmax of question times answer"
    attend(answers, attention_inputs(3, 5, 4, 6, 7, 2, seed=20), 2.0, holds, trained=("own", "w_down", "w_up"))


def test_attend_to_sources_asks_with_real_words_alone(answers):
    inputs = list(attention_inputs(3, 6, 2, 5, 4, 3, seed=30))
    inputs[0] = inputs[0] - 2.0  # with zeros in place of padding the maximum would be 0
    inputs[1] = torch.tensor([[True] * 6, [True, False, True, False, False, False], [False] * 5 + [True]])
    attend(answers, inputs, 1.5, "the maximum is over the real words of the text")


def test_attend_to_sources_with_a_low_temperature(answers):
    inputs = attention_inputs(2, 3, 3, 5, 2, 4, seed=40)
    attend(answers, inputs, 0.05, "scores are divided by the temperature: a low one lets a single prompt win")


def test_attend_to_sources_without_sources_is_twice_its_own_prompt(answers):
    inputs = list(attention_inputs(2, 3, 4, 5, 1, 6, seed=50))
    inputs[3] = inputs[3][:0]
    attend(answers, inputs, 1.0, "own is one of the prompts that are weighted, and is added once more")
