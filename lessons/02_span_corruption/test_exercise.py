"""The laws of span corruption, on your answers. Hand-worked cases, counting of draws, and the real functions."""

import random
from collections import Counter
from fractions import Fraction
from numbers import Integral

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.pretraining import language_modeling, span_corruption

DRAWS = 2000


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
    lengths = (8, 20, 33, 57, 200, 333)
    check(
        answers,
        lambda answers: [answers.noise_counts(length) for length in lengths],
        [(1, 1), (3, 1), (5, 2), (9, 3), (30, 10), (50, 17)],  # 1.2, 3.0, 4.95, 8.55, 30.0 and 49.95 tokens, rounded
        holds="hidden = 0.15 length, spans = hidden / 3, both rounded",
        inputs={"lengths": lengths},
        section="The mathematics",
        tolerance=0,
    )


def test_noise_counts_round_halves_up(answers):
    cases = [(10, 0.25, 1.0), (50, 0.125, 4.0), (52, 0.125, 2.0)]  # 2.5, 6.25 in 1.5, 6.5 in 3.5
    check(
        answers,
        lambda answers: [answers.noise_counts(*case) for case in cases],
        [(3, 3), (6, 2), (7, 4)],
        holds="2.5 and 6.5 tokens become 3 and 7; 1.5 and 3.5 spans become 2 and 4",
        inputs={"(length, noise_density, mean_span)": cases},
        section="The mathematics",
        tolerance=0,
    )


def test_noise_counts_keep_their_limits(answers):
    cases = [
        (2,),
        (3,),
        (7, 0.99),
        (10, 0.8, 1.0),
        (10, 0.6, 1.0),
        (5, 0.4, 9.0),
        (300, 0.5, 1.0, 32),
        (9, 0.5, 1.0, 1),
    ]
    check(
        answers,
        lambda answers: [answers.noise_counts(*case) for case in cases],
        [(1, 1), (1, 1), (6, 2), (8, 3), (6, 5), (2, 1), (150, 32), (5, 1)],
        holds="1 <= hidden <= length - 1 and 1 <= spans <= length - hidden + 1, and spans <= sentinels",
        inputs={"(length, noise_density, mean_span, sentinels)": cases},
        section="The mathematics",
        tolerance=0,
    )


def nearest(number: Fraction, low: int, high: int) -> int:
    """The whole number from low to high that is nearest to `number`, of two the larger."""
    return min(range(low, high + 1), key=lambda whole: (abs(whole - number), -whole))


def test_noise_counts_are_the_nearest_whole_numbers(answers):
    lengths = [length for length in range(2, 129) if 3 * length % 10 != 5]  # no halves: 0.3 is none exactly
    expected = []
    for length in lengths:
        hidden = nearest(Fraction(3, 10) * length, 1, length - 1)
        expected.append((hidden, nearest(Fraction(hidden, 2), 1, length - hidden + 1)))
    check(
        answers,
        lambda answers: [answers.noise_counts(length, 0.3, 2.0) for length in lengths],
        expected,
        holds="hidden is the whole number nearest to 0.3 length, spans the one nearest to hidden / 2",
        inputs={"lengths": "2 ... 128", "noise_density": 0.3, "mean_span": 2.0},
        section="The code",
        tolerance=0,
    )


def test_random_composition_has_parts_of_nothing_or_more_that_add_up(answers):
    def run(answers):
        generator = random.Random(3)
        drawn = [answers.random_composition(6, 4, generator) for _ in range(100)]
        return {
            "sums": sorted({sum(parts) for parts in drawn}),
            "numbers of parts": sorted({len(parts) for parts in drawn}),
            "smallest part": min(min(parts) for parts in drawn),
            "whole numbers": all(isinstance(part, Integral) for parts in drawn for part in parts),
        }

    check(
        answers,
        run,
        {"sums": [6], "numbers of parts": [4], "smallest part": 0, "whole numbers": True},
        holds="4 parts, each at least 0, and their sum is 6",
        inputs={"items": 6, "parts": 4, "draws": 100},
        section="The mathematics",
        tolerance=0,
    )


def test_random_composition_draws_every_way_there_is(answers):
    def run(answers):
        generator = random.Random(4)
        return sorted({tuple(answers.random_composition(2, 3, generator)) for _ in range(200)})

    check(
        answers,
        run,
        [(0, 0, 2), (0, 1, 1), (0, 2, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)],
        holds="every way to write 2 as a sum of 3 numbers comes up, and no other",
        inputs={"items": 2, "parts": 3, "draws": 200},
        section="The mathematics",
        tolerance=0,
    )


def test_random_composition_draws_every_way_equally_often(answers):
    def run(answers):
        generator = random.Random(5)
        return tenths([answers.random_composition(3, 3, generator)[0] for _ in range(DRAWS)])

    check(
        answers,
        run,
        {0: 40, 1: 30, 2: 20, 3: 10},  # of the 10 ways, 4 start with 0, 3 with 1, 2 with 2, and 1 with 3
        holds="all 10 ways are equally likely, so the first part is 0, 1, 2, 3 in 40, 30, 20, 10 percent of all draws",
        inputs={"items": 3, "parts": 3, "draws": DRAWS},
        section="The mathematics",
        tolerance=0,
    )


def test_random_composition_makes_long_parts_as_rare_as_they_are(answers):
    def run(answers):
        generator = random.Random(6)
        drawn = [answers.random_composition(4, 4, generator) for _ in range(DRAWS)]
        return {
            "smallest part": min(map(min, drawn)),
            "some part is 4": tenths([4 in parts for parts in drawn]).get(True, 0),
            "the first part is 4": tenths([parts[0] == 4 for parts in drawn]).get(True, 0),
        }

    check(
        answers,
        run,
        {"smallest part": 0, "some part is 4": 10, "the first part is 4": 0},  # 11.4 and 2.9 percent
        holds="of the 35 ways, 4 have a part of 4, and 1 has it first: 10 and 0 percent of all draws, in whole tens",
        inputs={"items": 4, "parts": 4, "draws": DRAWS},
        section="What people get wrong",
        tolerance=0,
    )


def test_random_composition_of_one_part_or_of_nothing(answers):
    cases = ((7, 1), (0, 3), (0, 1))
    check(
        answers,
        lambda answers: [answers.random_composition(items, parts, random.Random(0)) for items, parts in cases],
        [[7], [0, 0, 0], [0]],
        holds="7 in one part is [7], and 0 in three parts is [0, 0, 0]",
        inputs={"(items, parts)": cases},
        section="The mathematics",
        tolerance=0,
    )


# Paul took the lamp and walked to the garden . (hidden: the lamp, and the full stop)
SENTENCE = [51, 52, 53, 54, 55, 56, 57, 58, 59, 60]
HIDDEN = [number in (53, 54, 60) for number in SENTENCE]
SOURCE, TARGET = [51, 52, 4095, 55, 56, 57, 58, 59, 4094], [4095, 53, 54, 4094, 60]


def test_source_and_target_of_the_sentence_of_the_chapter(answers):
    check(
        answers,
        lambda answers: both(answers.source_and_target(SENTENCE, HIDDEN, mark, 2)),
        both((SOURCE, TARGET)),
        holds="one sentinel for each hidden piece, in the source in its place, in the target before its tokens",
        inputs={"ids": SENTENCE, "hidden": [53, 54, 60], "most": 2},
        section="The code",
        tolerance=0,
    )


def test_source_and_target_cut_long_spans_into_pieces(answers):
    ids = [61, 62, 61, 64, 65, 62, 67, 62, 64, 70]  # tokens repeat, hidden and visible
    hidden = [True, True, True, True, True, False, True, True, False, True]
    check(
        answers,
        lambda answers: [both(answers.source_and_target(ids, hidden, mark, most)) for most in (2, 3, 1, 9)],
        [
            ("<s0> <s1> <s2> 62 <s3> 64 <s4>", "<s0> 61 62 <s1> 61 64 <s2> 65 <s3> 67 62 <s4> 70"),
            ("<s0> <s1> 62 <s2> 64 <s3>", "<s0> 61 62 61 <s1> 64 65 <s2> 67 62 <s3> 70"),
            ("<s0> <s1> <s2> <s3> <s4> 62 <s5> <s6> 64 <s7>",
             "<s0> 61 <s1> 62 <s2> 61 <s3> 64 <s4> 65 <s5> 67 <s6> 62 <s7> 70"),
            ("<s0> 62 <s1> 64 <s2>", "<s0> 61 62 61 64 65 <s1> 67 62 <s2> 70"),
        ],
        holds="a span of 5 with most = 2 has pieces of 2, 2 and 1, each with a sentinel of its own on both sides",
        inputs={"ids": ids, "hidden": [int(one) for one in hidden], "most": [2, 3, 1, 9]},
        section="The code",
        tolerance=0,
    )  # fmt: skip


def test_source_and_target_of_a_text_that_ends_visible(answers):
    check(
        answers,
        lambda answers: both(
            answers.source_and_target([61, 62, 63, 64, 65], [False, True, False, True, False], mark, 3)
        ),
        ("61 <s0> 63 <s1> 65", "<s0> 62 <s1> 64"),
        holds="the target ends with its last hidden token: no closing sentinel was asked for",
        inputs={"ids": [61, 62, 63, 64, 65], "hidden": [62, 64], "most": 3},
        section="The code",
        tolerance=0,
    )


def test_source_and_target_agree_with_the_library_where_no_span_is_cut(answers):
    ids, generator = list(range(100, 160)), random.Random(8)
    mask = span_corruption.span_mask(len(ids), random.Random(8), 0.3, 2.0)
    check(
        answers,
        lambda answers: both(answers.source_and_target(ids, mask, mark, 60)),
        both(span_corruption.corrupt(ids, mark, generator, 0.3, 2.0)),
        holds="source and target are those of minipeft/pretraining/span_corruption.py for the same mask",
        inputs={"ids": "100 ... 159", "hidden tokens": sum(mask), "most": 60},
        section="The code",
        tolerance=0,
    )


def lengths(length: int, *settings: float) -> tuple[int, int]:
    """The ids of source and target of a text, by corrupting one, with end-of-sequence."""
    ids = list(range(100, 100 + length))
    source, target = span_corruption.corrupt(ids, lambda n: 32099 - n, random.Random(1), *settings)
    return len(source) + 1, len(target) + 1


def test_lengths_are_those_of_a_real_corrupted_text(answers):
    check(
        answers,
        lambda answers: answers.LENGTHS,
        lengths(110, 0.45, 4.0),
        holds="source = length - hidden + spans + 1, target = hidden + spans + 1",
        inputs={"length": 110, "noise_density": 0.45, "mean_span": 4.0},
        section="The mathematics",
        tolerance=0,
        secret=True,
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
        tolerance=0,
        secret=True,
    )


def test_rebuild_gives_the_text_back_without_a_closing_sentinel(answers):
    check(
        answers,
        lambda answers: readable(answers.rebuild(SOURCE, TARGET, mark)),
        readable(SENTENCE),
        holds="every sentinel of the source is replaced by its span, the last one, too",
        inputs={"source": readable(SOURCE), "target": readable(TARGET)},
        section="What people get wrong",
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


def swaps_the_sentinels_of_the_target(ids, sentinel, generator):
    """Two sentinels of the target change places, and with them their spans."""
    source, target = right(ids, sentinel, generator)
    swapped = {sentinel(0): sentinel(1), sentinel(1): sentinel(0)}
    return source, [swapped.get(token, token) for token in target] if sentinel(1) in target else target


def numbers_backwards(ids, sentinel, generator):
    spans = span_corruption.noise_counts(len(ids))[1]
    return right(ids, lambda number: sentinel(spans - 1 - number), generator)


def loses_the_end_of_short_texts(ids, sentinel, generator):
    source, target = right(ids, sentinel, generator)
    return source, target[:-1] if len(ids) < 4 else target


RIGHT = {"the library's": right, "spans of one token before a long one": by_hand}
WRONG = {
    "the last hidden token is lost": loses_the_last_token,
    "two hidden tokens change places": exchanges_two_hidden_tokens,
    "a visible token stands twice": doubles_a_visible_token,
    "every span has sentinel 0": reuses_the_first_sentinel,
    "the sentinels are numbered from 1": numbers_from_one,
    "the target's sentinels 0 and 1 change places": swaps_the_sentinels_of_the_target,
    "30% are hidden": hides_twice_as_much,
    "spans of single tokens": hides_single_tokens,
    "two visible tokens change places in texts above fifty": fails_beyond_fifty_tokens,
    "the target is closed by a sentinel": closes_the_target,
    "a hidden token stays in the source": hides_on_paper_only,
    "the sentinels are numbered from the last span to the first": numbers_backwards,
    "texts of fewer than four tokens lose their last one": loses_the_end_of_short_texts,
    "the text given back, and no target": lambda ids, sentinel, generator: (list(ids), []),
}


def test_check_corruption_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_corruption",
        RIGHT,
        WRONG,
        holds="your test passes a right implementation, wherever its cuts fall, and fails for each wrong one",
        section="The mathematics",
    )


def test_prefix_split_keeps_the_text_and_no_side_is_empty(answers):
    def run(answers):
        generator = random.Random(6)
        drawn = [answers.prefix_split([71, 72, 71, 74], generator, 4) for _ in range(100)]
        return sorted({(tuple(source), tuple(target)) for source, target in drawn})

    check(
        answers,
        run,
        [((71,), (72, 71, 74)), ((71, 72), (71, 74)), ((71, 72, 71), (74,))],
        holds="the text is cut at one of the 3 places between its 4 tokens, and both sides are kept as they are",
        inputs={"ids": [71, 72, 71, 74], "room": 4, "draws": 100},
        section="The mathematics",
        tolerance=0,
    )


def test_prefix_split_takes_every_piece_of_a_long_text(answers):
    def run(answers):
        generator = random.Random(8)
        drawn = [answers.prefix_split([71, 72, 73, 74, 75], generator, 3) for _ in range(200)]
        return sorted({(tuple(source), tuple(target)) for source, target in drawn})

    pieces = [(71, 72, 73), (72, 73, 74), (73, 74, 75)]
    check(
        answers,
        run,
        sorted((piece[:cut], piece[cut:]) for piece in pieces for cut in (1, 2)),
        holds="there are 3 pieces of 3 tokens, the first and the last included, and 2 places to cut each",
        inputs={"ids": [71, 72, 73, 74, 75], "room": 3, "draws": 200},
        section="The mathematics",
        tolerance=0,
    )


def test_prefix_split_draws_pieces_and_places_equally_often(answers):
    def run(answers):
        generator = random.Random(7)
        drawn = [answers.prefix_split(list(range(71, 80)), generator, 6) for _ in range(DRAWS)]
        starts, cuts = [source[0] - 71 for source, _ in drawn], [len(source) for source, _ in drawn]
        return {"start": tenths([4 * (start > 1) for start in starts]), "tokens to read": tenths(cuts)}

    check(
        answers,
        run,
        {"start": {0: 50, 4: 50}, "tokens to read": {1: 20, 2: 20, 3: 20, 4: 20, 5: 20}},
        holds="half of all pieces begin with one of the first 2 tokens that can begin one, half with the other 2; each "
        "of the 5 places to cut 6 tokens comes in 20 percent of all draws",
        inputs={"ids": "71 ... 79", "room": 6, "draws": DRAWS},
        section="The mathematics",
        tolerance=0,
    )


def test_prefix_split_agrees_with_the_library_on_two_tokens(answers):
    check(
        answers,
        lambda answers: answers.prefix_split([71, 72], random.Random(0), 9),
        language_modeling.prefix_split([71, 72], random.Random(0)),
        holds="two tokens can only be cut between them",
        inputs={"ids": [71, 72], "room": 9},
        section="The mathematics",
        tolerance=0,
    )
