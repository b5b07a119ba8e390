"""The laws of span corruption, on your answers. Hand-worked cases, counting of draws, and the real functions."""

import random
from collections import Counter

from minipeft.course.checks import accepts, check
from minipeft.pretraining import language_modeling, span_corruption

DRAWS = 3000


def mark(number: int) -> int:
    """A sentinel of a vocabulary of 4,096 ids, as the bundled tokenizer has them."""
    return 4095 - number


def readable(ids):
    """Ids as one line, sentinels as <s0>, <s1>, ...; what is no list stays as it is, to be explained."""
    if not isinstance(ids, list | tuple) or not all(isinstance(item, int) for item in ids):
        return ids
    return " ".join(f"<s{mark(0) - item}>" if mark(100) < item <= mark(0) else str(item) for item in ids)


def both(sides):
    """Source and target, each as one line."""
    return tuple(map(readable, sides)) if isinstance(sides, list | tuple) else sides


def tenths(values: list[int]) -> dict[int, int]:
    """The share of each value in percent, rounded to 10, so that chance does not show."""
    return {value: 10 * round(10 * count / len(values)) for value, count in sorted(Counter(values).items())}


def test_noise_counts_are_those_worked_out_by_hand(answers):
    check(
        answers,
        lambda answers: [answers.noise_counts(length) for length in (8, 20, 57, 70, 200, 333)],
        [(1, 1), (3, 1), (9, 3), (10, 3), (30, 10), (50, 17)],  # 1.2, 3.0, 8.55, 10.5, 30.0 and 49.95 tokens, rounded
        holds="hidden = round(0.15 length), spans = round(hidden / 3)",
        inputs={"lengths": [8, 20, 57, 70, 200, 333]},
        section="The mathematics",
        likely="a count is rounded otherwise, or worked out from another number",
        tolerance=0,
    )


def test_noise_counts_round_halves_to_even(answers):
    check(
        answers,
        lambda answers: [answers.noise_counts(10, 0.25, 1.0), answers.noise_counts(50, 0.1, 2.0)],
        [(2, 2), (5, 2)],  # 2.5 tokens, 2.5 spans
        holds="2.5 tokens become 2, and 2.5 spans become 2: halves go to the even number",
        inputs={"(length, noise_density, mean_span)": [(10, 0.25, 1.0), (50, 0.1, 2.0)]},
        section="The mathematics",
        likely="halves are rounded up or down",
        tolerance=0,
    )


def test_noise_counts_leave_one_token_visible_and_hide_one(answers):
    check(
        answers,
        lambda answers: [
            answers.noise_counts(*case) for case in ((2,), (3,), (7, 0.99), (10, 0.8, 1.0), (5, 0.4, 9.0))
        ],
        [(1, 1), (1, 1), (6, 1), (8, 2), (2, 1)],
        holds="1 <= hidden <= length - 1 and 1 <= spans <= length - hidden",
        inputs={"(length, noise_density, mean_span)": [(2,), (3,), (7, 0.99), (10, 0.8, 1.0), (5, 0.4, 9.0)]},
        section="The mathematics",
        likely="a limit is missing",
        tolerance=0,
    )


def test_noise_counts_agree_with_the_library(answers):
    check(
        answers,
        lambda answers: [answers.noise_counts(length, 0.3, 2.0) for length in range(2, 129)],
        [span_corruption.noise_counts(length, 0.3, 2.0) for length in range(2, 129)],
        holds="the counts are those of minipeft/pretraining/span_corruption.py",
        inputs={"lengths": "2 ... 128", "noise_density": 0.3, "mean_span": 2.0},
        section="The code",
        likely="noise_density or mean_span is not the one that was given, or a count is rounded otherwise",
        tolerance=0,
    )


def test_random_composition_has_positive_parts_that_add_up(answers):
    def run(answers):
        generator = random.Random(3)
        drawn = [answers.random_composition(9, 4, generator) for _ in range(300)]
        return {
            "sums": sorted({sum(parts) for parts in drawn}),
            "numbers of parts": sorted({len(parts) for parts in drawn}),
            "smallest part": min(min(parts) for parts in drawn),
        }

    check(
        answers,
        run,
        {"sums": [9], "numbers of parts": [4], "smallest part": 1},
        holds="4 parts, each at least 1, and their sum is 9",
        inputs={"items": 9, "parts": 4, "draws": 300},
        section="The mathematics",
        likely="a cut falls outside the gaps between the items, or two cuts fall into one gap",
        tolerance=0,
    )


def test_random_composition_draws_every_way_there_is(answers):
    def run(answers):
        generator = random.Random(4)
        return sorted({tuple(answers.random_composition(5, 3, generator)) for _ in range(500)})

    check(
        answers,
        run,
        [(1, 1, 3), (1, 2, 2), (1, 3, 1), (2, 1, 2), (2, 2, 1), (3, 1, 1)],
        holds="every way to write 5 as a sum of 3 positive numbers comes up, and no other",
        inputs={"items": 5, "parts": 3, "draws": 500},
        section="The mathematics",
        likely="some ways can never be drawn",
        tolerance=0,
    )


def test_random_composition_draws_every_way_equally_often(answers):
    def run(answers):
        generator = random.Random(5)
        return tenths([answers.random_composition(6, 3, generator)[0] for _ in range(DRAWS)])

    check(
        answers,
        run,
        {1: 40, 2: 30, 3: 20, 4: 10},  # of the 10 ways, 4 start with 1, 3 with 2, 2 with 3, and 1 with 4
        holds="all 10 ways are equally likely, so the first part is 1, 2, 3, 4 in 40, 30, 20, 10 percent of all draws",
        inputs={"items": 6, "parts": 3, "draws": DRAWS},
        section="The mathematics",
        likely="some ways are likelier than others",
        tolerance=0,
    )


def test_random_composition_makes_long_parts_as_rare_as_they_are(answers):
    def run(answers):
        generator = random.Random(6)
        drawn = [answers.random_composition(8, 4, generator) for _ in range(DRAWS)]
        return {
            "smallest part": min(map(min, drawn)),
            "some part is 5": tenths([5 in parts for parts in drawn]).get(True, 0),
            "the first part is 5": tenths([parts[0] == 5 for parts in drawn]).get(True, 0),
        }

    check(
        answers,
        run,
        {"smallest part": 1, "some part is 5": 10, "the first part is 5": 0},  # 11.4 and 2.9 percent
        holds="of the 35 ways, 4 have a part of 5, and 1 has it first: 10 and 0 percent of all draws, in whole tens",
        inputs={"items": 8, "parts": 4, "draws": DRAWS},
        section="What people get wrong",
        likely="long parts are likelier or rarer than they should be, wherever they stand",
        tolerance=0,
    )


def test_random_composition_of_one_part_is_the_whole(answers):
    check(
        answers,
        lambda answers: [
            answers.random_composition(items, parts, random.Random(0)) for items, parts in ((7, 1), (4, 4))
        ],
        [[7], [1, 1, 1, 1]],
        holds="7 in one part is [7], and 4 in four parts is [1, 1, 1, 1]",
        inputs={"(items, parts)": [(7, 1), (4, 4)]},
        section="The mathematics",
        likely="the first or the last part is not counted",
        tolerance=0,
    )


# Paul took the lamp and walked to the garden . (hidden: the lamp, and the full stop)
SENTENCE = [51, 52, 53, 54, 55, 56, 57, 58, 59, 60]
HIDDEN = [number in (53, 54, 60) for number in SENTENCE]
SOURCE, TARGET = [51, 52, 4095, 55, 56, 57, 58, 59, 4094], [4095, 53, 54, 4094, 60]


def test_source_and_target_of_the_sentence_of_the_chapter(answers):
    check(
        answers,
        lambda answers: both(answers.source_and_target(SENTENCE, HIDDEN, mark)),
        both((SOURCE, TARGET)),
        holds="one sentinel for each hidden span, in the source in its place, in the target before its tokens",
        inputs={"ids": readable(SENTENCE), "hidden": [53, 54, 60]},
        section="The picture",
        likely="a sentinel or a token stands at another place",
        tolerance=0,
    )


def test_source_and_target_of_spans_at_the_very_start(answers):
    mask = [True, True, False, True, False, True]
    check(
        answers,
        lambda answers: both(answers.source_and_target([61, 62, 63, 64, 65, 66], mask, mark)),
        ("<s0> 63 <s1> 65 <s2>", "<s0> 61 62 <s1> 64 <s2> 66"),
        holds="a text may start hidden: its first sentinel then comes first in the source",
        inputs={"ids": [61, 62, 63, 64, 65, 66], "hidden": [61, 62, 64, 66]},
        section="The code",
        likely="the first token is treated like the others, though there is none before it",
        tolerance=0,
    )


def test_source_and_target_of_a_text_that_ends_visible(answers):
    check(
        answers,
        lambda answers: both(answers.source_and_target([61, 62, 63, 64, 65], [False, True, False, True, False], mark)),
        ("61 <s0> 63 <s1> 65", "<s0> 62 <s1> 64"),
        holds="the target ends with its last hidden token: no closing sentinel was asked for",
        inputs={"ids": [61, 62, 63, 64, 65], "hidden": [62, 64]},
        section="The code",
        likely="something is added at the end",
        tolerance=0,
    )


def test_source_and_target_agree_with_the_library(answers):
    ids, generator = list(range(100, 160)), random.Random(8)
    mask = span_corruption.span_mask(len(ids), random.Random(8), 0.3, 2.0)
    check(
        answers,
        lambda answers: both(answers.source_and_target(ids, mask, mark)),
        both(span_corruption.corrupt(ids, mark, generator, 0.3, 2.0)),
        holds="source and target are those of minipeft/pretraining/span_corruption.py for the same mask",
        inputs={"ids": "100 ... 159", "hidden tokens": sum(mask)},
        section="The code",
        likely="a sentinel or a token stands at another place",
        tolerance=0,
    )


def lengths(length: int) -> tuple[int, int]:
    """The ids of source and target of a text with T5's settings, by corrupting one, with end-of-sequence."""
    source, target = span_corruption.corrupt(list(range(100, 100 + length)), lambda n: 32099 - n, random.Random(1))
    return len(source) + 1, len(target) + 1


def test_lengths_are_those_of_a_real_corrupted_text(answers):
    check(
        answers,
        lambda answers: answers.LENGTHS,
        lengths(110),
        holds="source = length - hidden + spans + 1, target = hidden + spans + 1",
        inputs={"length": 110, "noise_density": 0.15, "mean_span": 3.0},
        section="The mathematics",
        likely="a part of the sum is missing",
        tolerance=0,
    )


def test_longest_text_is_the_last_one_that_fits(answers):
    longest = max(length for length in range(400, 700) if lengths(length)[0] <= 512)
    check(
        answers,
        lambda answers: answers.LONGEST_TEXT,
        (longest, lengths(longest)[1]),
        holds="length - hidden + spans + 1 <= 512, and one token more no longer fits",
        inputs={"room for the source": 512, "noise_density": 0.15, "mean_span": 3.0},
        section="The mathematics",
        likely="a part of the sum is missing, or a longer text would still fit",
        tolerance=0,
    )


def test_rebuild_gives_the_text_back_without_a_closing_sentinel(answers):
    check(
        answers,
        lambda answers: readable(answers.rebuild(SOURCE, TARGET, mark)),
        readable(SENTENCE),
        holds="every sentinel of the source is replaced by its span, the last one, too",
        inputs={"source": readable(SOURCE), "target": readable(TARGET)},
        section="What people get wrong",
        likely="a span is lost or stands at another place",
        tolerance=0,
    )


def test_rebuild_gives_the_text_back_with_a_closing_sentinel(answers):
    source, target = [4095, 63, 4094, 65], [4095, 61, 62, 4094, 64, 4093]
    check(
        answers,
        lambda answers: readable(answers.rebuild(source, target, mark)),
        "61 62 63 64 65",
        holds="a closing sentinel stands for nothing",
        inputs={"source": readable(source), "target": readable(target)},
        section="What people get wrong",
        likely="the closing sentinel is read as text, or its span is missing",
        tolerance=0,
    )


def test_rebuild_leaves_out_what_the_target_does_not_say(answers):
    source, target = [61, 4095, 63, 4094, 65, 4093, 67], [4095, 62, 4093, 66, 66]
    check(
        answers,
        lambda answers: readable(answers.rebuild(source, target, mark)),
        "61 62 63 65 66 66 67",
        holds="a sentinel that the target leaves out stands for nothing",
        inputs={"source": readable(source), "target": readable(target)},
        section="What people get wrong",
        likely="spans are counted, not looked up by their sentinels",
        tolerance=0,
    )


def test_rebuild_undoes_the_corruption_of_the_library(answers):
    texts = [list(range(100, 100 + length)) for length in (2, 20, 21, 64)]
    pairs = [span_corruption.corrupt(ids, mark, random.Random(len(ids)), 0.3, 2.0) for ids in texts]
    check(
        answers,
        lambda answers: [readable(answers.rebuild(source, target, mark)) for source, target in pairs],
        [readable(ids) for ids in texts],
        holds="rebuild(corrupt(text)) is the text",
        inputs={"lengths": [2, 20, 21, 64], "noise_density": 0.3, "mean_span": 2.0},
        section="What people get wrong",
        likely="a span is lost or stands at another place",
        tolerance=0,
    )


def right(ids, sentinel, generator):
    return span_corruption.corrupt(ids, sentinel, generator)


def loses_the_last_token(ids, sentinel, generator):
    source, target = right(ids, sentinel, generator)
    return source, target[:-1]


def exchanges_two_hidden_tokens(ids, sentinel, generator):
    source, target = right(ids, sentinel, generator)
    return (source, target[:-2] + target[:-3:-1]) if len(ids) > 12 else (source, target)


def doubles_a_visible_token(ids, sentinel, generator):
    source, target = right(ids, sentinel, generator)
    return [source[0], *source], target


def reuses_the_first_sentinel(ids, sentinel, generator):
    return right(ids, lambda number: sentinel(0), generator)


def numbers_from_one(ids, sentinel, generator):
    return right(ids, lambda number: sentinel(number + 1), generator)


def hides_twice_as_much(ids, sentinel, generator):
    return span_corruption.corrupt(ids, sentinel, generator, noise_density=0.3)


def hides_single_tokens(ids, sentinel, generator):
    return span_corruption.corrupt(ids, sentinel, generator, mean_span=1.0)


def fails_beyond_fifty_tokens(ids, sentinel, generator):
    source, target = right(ids, sentinel, generator)
    return (source[:-2] + source[:-3:-1], target) if len(ids) > 50 else (source, target)


def closes_the_target(ids, sentinel, generator):
    source, target = right(ids, sentinel, generator)
    return source, [*target, sentinel(sum(token > 32099 - 100 for token in target))]


def hides_on_paper_only(ids, sentinel, generator):
    """Hidden tokens stand in the target, and in the source as well."""
    source, target = right(ids, sentinel, generator)
    return [*source, *target[1:2]], target


WRONG = (
    loses_the_last_token, exchanges_two_hidden_tokens, doubles_a_visible_token, reuses_the_first_sentinel,
    numbers_from_one, hides_twice_as_much, hides_single_tokens, fails_beyond_fifty_tokens, closes_the_target,
    hides_on_paper_only,
)  # fmt: skip


def test_check_corruption_accepts_what_is_right(answers):
    def by_hand(ids, sentinel, generator):
        """Right as well, and written otherwise: all hidden spans but the last have one token."""
        hidden, spans = span_corruption.noise_counts(len(ids))
        sizes = [1] * (spans - 1) + [hidden - spans + 1]
        source, target, place = list(ids[: len(ids) - hidden - spans + 1]), [], len(ids) - hidden - spans + 1
        for number, size in enumerate(sizes):
            source.append(sentinel(number))
            target += [sentinel(number), *ids[place : place + size]]
            place += size
            source += ids[place : place + 1]
            place += 1
        return source, target

    check(
        answers,
        lambda answers: [accepts(answers.check_corruption, implementation) for implementation in (right, by_hand)],
        [True, True],
        holds="a right implementation passes the test, wherever its cuts fall",
        inputs={"implementations": "the library's, and one with spans of one token before a long one"},
        section="The mathematics",
        likely="the test asks for more than the law says",
        tolerance=0,
    )


def test_check_corruption_refuses_what_is_wrong(answers):
    check(
        answers,
        lambda answers: {wrong.__name__: accepts(answers.check_corruption, wrong) for wrong in WRONG},
        {wrong.__name__: False for wrong in WRONG},
        holds="the test raises AssertionError for each of these wrong implementations",
        inputs={"implementations": len(WRONG)},
        section="The mathematics",
        likely="the test does not look at everything, or not at texts that show it",
        tolerance=0,
    )


def test_prefix_split_keeps_the_text_and_no_side_is_empty(answers):
    def run(answers):
        generator = random.Random(6)
        drawn = [answers.prefix_split([71, 72, 73, 74], generator) for _ in range(200)]
        return sorted({(tuple(source), tuple(target)) for source, target in drawn})

    check(
        answers,
        run,
        [((71,), (72, 73, 74)), ((71, 72), (73, 74)), ((71, 72, 73), (74,))],
        holds="the text is cut at one of the 3 places between its 4 tokens, and both sides are kept as they are",
        inputs={"ids": [71, 72, 73, 74], "draws": 200},
        section="The mathematics",
        likely="the cut falls at another place, or something is added",
        tolerance=0,
    )


def test_prefix_split_cuts_everywhere_equally_often(answers):
    def run(answers):
        generator = random.Random(7)
        return tenths([len(answers.prefix_split([71, 72, 73, 74, 75, 76], generator)[0]) for _ in range(DRAWS)])

    check(
        answers,
        run,
        {1: 20, 2: 20, 3: 20, 4: 20, 5: 20},
        holds="each of the 5 places to cut 6 tokens comes in 20 percent of all draws",
        inputs={"ids": [71, 72, 73, 74, 75, 76], "draws": DRAWS},
        section="The mathematics",
        likely="some places are likelier than others",
        tolerance=0,
    )


def test_prefix_split_agrees_with_the_library_on_two_tokens(answers):
    check(
        answers,
        lambda answers: answers.prefix_split([71, 72], random.Random(0)),
        language_modeling.prefix_split([71, 72], random.Random(0)),
        holds="two tokens can only be cut between them",
        inputs={"ids": [71, 72]},
        section="The mathematics",
        likely="a side is empty",
        tolerance=0,
    )
