"""Other right answers to the exercises of chapter 02, each put behind the solution: all must pass."""

RIGHT = {
    "noise_counts": [
        """
def noise_counts(length, noise_density=0.15, mean_span=3.0, sentinels=100):
    import decimal
    def near(number):
        return int(decimal.Decimal(repr(number)).to_integral_value(decimal.ROUND_HALF_UP))
    hidden = near(length * noise_density)
    hidden = 1 if hidden < 1 else length - 1 if hidden >= length else hidden
    spans = near(hidden / mean_span)
    return [hidden, sorted([1, spans, min(length - hidden + 1, sentinels)])[1]]
""",
        """
import numpy

def noise_counts(length, noise_density=0.15, mean_span=3.0, sentinels=100):
    hidden = numpy.clip(numpy.floor(length * noise_density + 0.5).astype(int), 1, length - 1)
    spans = numpy.floor(hidden / mean_span + 0.5).astype(int)
    return hidden, numpy.clip(spans, 1, min(length - hidden + 1, sentinels))
""",
    ],
    "random_composition": [
        """
def random_composition(items, parts, generator):
    row = ["item"] * items + ["bar"] * (parts - 1)
    generator.shuffle(row)
    counts = [0]
    for one in row:
        if one == "bar":
            counts.append(0)
        else:
            counts[-1] += 1
    return counts
""",
        """
from math import comb

def random_composition(items, parts, generator):
    if parts == 1:
        return [items]
    ways = [comb(items - first + parts - 2, parts - 2) for first in range(items + 1)]
    first = generator.choices(range(items + 1), ways)[0]
    return [first] + random_composition(items - first, parts - 1, generator)
""",
    ],
    "source_and_target": [
        """
from itertools import groupby

def source_and_target(ids, mask, sentinel, most):
    source, target, count = [], [], 0
    for hidden, group in groupby(zip(ids, mask), key=lambda pair: bool(pair[1])):
        span = [token for token, _ in group]
        if not hidden:
            source += span
            continue
        for start in range(0, len(span), most):
            source.append(sentinel(count))
            target += [sentinel(count)] + span[start : start + most]
            count += 1
    return source, target
""",
        """
def source_and_target(ids, mask, sentinel, most):
    source, target = (), ()
    i = number = 0
    while i < len(ids):
        if not mask[i]:
            source += (ids[i],)
            i += 1
            continue
        end = i
        while end < len(ids) and mask[end] and end - i < most:
            end += 1
        source += (sentinel(number),)
        target += (sentinel(number), *ids[i:end])
        i, number = end, number + 1
    return source, target
""",
    ],
    "lengths": ["LENGTHS = [110 - 50 + 12 + 1, 50 + 12 + 1]", "import numpy\nLENGTHS = tuple(numpy.array([73, 63]))"],
    "longest_text": [
        "LONGEST_TEXT = [568, 85 + 28 + 1]",
        "from fractions import Fraction\nLONGEST_TEXT = (Fraction(568), 114)",
    ],
    "rebuild": [
        """
def rebuild(source, target, sentinel):
    marks = {sentinel(number) for number in range(SENTINELS)}
    ids = []
    for token in source:
        if token not in marks:
            ids.append(token)
        elif token in target:
            place = target.index(token) + 1
            while place < len(target) and target[place] not in marks:
                ids.append(target[place])
                place += 1
    return ids
""",
        """
def rebuild(source, target, sentinel):
    marks = [sentinel(number) for number in range(SENTINELS)]
    starts = [place for place, token in enumerate(target) if token in marks] + [len(target)]
    spans = {target[start]: target[start + 1 : end] for start, end in zip(starts, starts[1:])}
    return tuple(t for token in source for t in (spans.get(token, ()) if token in marks else (token,)))
""",
    ],
    "check_corruption": [
        """
def check_corruption(implementation):
    for seed in range(30):
        length = 2 + 5 * seed
        ids = random.sample(range(20000), length)
        source, target = implementation(list(ids), sentinel, random.Random(seed))
        hidden, spans = t5_counts(length)
        marks = [sentinel(number) for number in range(spans)]
        assert [token for token in source if token > 31999] == marks
        assert [token for token in target if token > 31999] == marks
        assert len(source) == length - hidden + spans
        assert len(target) == hidden + spans
        assert list(rebuild(source, target, sentinel)) == ids
""",
        """
def check_corruption(implementation):
    for length in [*range(2, 70), 200]:
        ids = list(range(5, 5 + length))
        source, target = implementation(ids, sentinel, random.Random(1))
        counts = t5_counts(length)
        found = sum(token < 30000 for token in target), sum(token > 30000 for token in target)
        if found != counts or sum(token > 30000 for token in source) != counts[1]:
            raise AssertionError("counts")
        for side in (source, target):
            marks = [32099 - token for token in side if token > 30000]
            if marks != list(range(len(marks))):
                raise AssertionError("sentinels")
        if rebuild(source, target, sentinel) != ids:
            raise AssertionError("text")
""",
    ],
    "prefix_split": [
        """
def prefix_split(ids, generator, room):
    starts = range(len(ids) - room + 1) if len(ids) > room else [0]
    start = generator.choice(starts)
    piece = list(ids)[start : start + room]
    cut = generator.randint(1, len(piece) - 1)
    return piece[:cut], piece[cut:]
""",
        """
def prefix_split(ids, generator, room):
    room = min(room, len(ids))
    ways = [(start, start + cut, start + room) for start in range(len(ids) - room + 1) for cut in range(1, room)]
    start, cut, end = ways[int(generator.random() * len(ways))]
    return tuple(ids[start:cut]), tuple(ids[cut:end])
""",
    ],
}
