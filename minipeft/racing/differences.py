"""Whether two rows of a race differ: the interval of their *difference*, not a look at two intervals.

    paired by seed   d_k = a_k - b_k,  mean(d) +- t(n - 1) * sqrt(var(d) / n)
    Welch            mean(a) - mean(b) +- t(v) * sqrt(var(a) / n + var(b) / m),
                     v = (var(a) / n + var(b) / m)^2 / ((var(a) / n)^2 / (n - 1) + (var(b) / m)^2 / (m - 1))

Runs of one seed see the same batches in the same order, so rows with the same seeds are paired; others are compared by
Welch's formula. A row whose runs are copies of one run (no training, as a hard prompt) has no spread of its own: it is
a fixed number to the other row, and two such rows have no interval at all. Two intervals that overlap tell nothing: the
rows may well differ.

Many rows against one give many chances of a false alarm, so p-values are corrected within a table as Holm does: the
smallest of m times m, the next times m - 1, and so on. The verdict: "higher" or "lower" where the corrected p is below
0.05; "level" where it is not and the whole interval lies within +-2 points; "open" otherwise.

Sources: Welch, The generalization of Student's problem (Biometrika, 1947); Holm, A simple sequentially rejective
multiple test procedure (Scandinavian Journal of Statistics, 1979). Test: tests/racing/test_differences.py.
"""

import math
from dataclasses import asdict, dataclass, replace
from statistics import mean, variance

from minipeft.errors import UserError
from minipeft.racing.student_t import two_sided_p, two_sided_point
from minipeft.racing.text_spread import text_interval

LEVEL_WITHIN = 2.0  # points: what is smaller matters to nobody who chooses a method
ALPHA = 0.05
FEWEST_SEEDS = 3  # below, an interval is as wide as the scale
REFERENCES = ("full", "lora")  # what a table's rows are compared with: the first of these that it has


@dataclass(frozen=True)
class Difference:
    """A row's mean score minus another's, in points. What is not known, as the interval of two fixed rows, is None.

    n: seeds, the fewer of the two rows'. low, high: the 95% interval. p: two-sided, of this pair alone. holm: p
    corrected for the other pairs of the table. kind: "paired", "Welch", "one fixed" or "both fixed". texts: the 95%
    interval over seeds and texts (`text_spread.py`), where the rows have their answers.
    """

    row: str
    against: str
    n: int
    difference: float
    low: float | None
    high: float | None
    p: float | None
    kind: str
    holm: float | None = None
    verdict: str = "open"
    texts: tuple[float, float] | None = None


def fixed(scores: list[float]) -> bool:
    """Whether the scores are copies of one run, or one run alone: without a spread."""
    return max(scores) - min(scores) < 1e-9


def difference(row: str, ours: list[float], against: str, theirs: list[float], paired: bool) -> Difference:
    """The scores `ours` minus `theirs`, in points. paired: the k-th scores of both are of one seed."""
    found, n = mean(ours) - mean(theirs), min(len(ours), len(theirs))
    if fixed(ours) or fixed(theirs):  # what has a spread, if anything has, against a number
        parts, kind = [theirs] if fixed(ours) else [ours], "one fixed"
        n = len(parts[0])
    elif paired and len(ours) == len(theirs):
        parts, kind = [[a - b for a, b in zip(ours, theirs, strict=True)]], "paired"
    else:
        parts, kind = [ours, theirs], "Welch"
    if all(map(fixed, parts)):  # nothing varies, and so nothing says what chance could do
        return Difference(row, against, n, found, None, None, None, "both fixed")
    squares = [variance(part) / len(part) for part in parts]
    freedom = sum(squares) ** 2 / sum(square**2 / (len(part) - 1) for square, part in zip(squares, parts, strict=True))
    error = math.sqrt(sum(squares))
    half = two_sided_point(freedom) * error
    return Difference(row, against, n, found, found - half, found + half, two_sided_p(found / error, freedom), kind)


def holm(p_values: list[float]) -> list[float]:
    """Each p-value corrected for standing among the others, in the order given."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, (len(p_values) - place) * p_values[index])
        corrected[index] = min(1.0, highest)
    return corrected


def verdict(found: Difference) -> str:
    """ "higher", "lower", "level" or "open", by the corrected p-value and the interval."""
    if found.low is None:
        return "open"
    if found.holm < ALPHA:
        return "higher" if found.difference > 0 else "lower"
    return "level" if -LEVEL_WITHIN < found.low and found.high < LEVEL_WITHIN else "open"


def judged(pairs: list[Difference]) -> list[Difference]:
    """The pairs of one table with their corrected p-values and verdicts."""
    tested = [pair for pair in pairs if pair.p is not None]
    corrected = dict(zip(map(id, tested), holm([pair.p for pair in tested]), strict=True))
    pairs = [replace(pair, holm=corrected.get(id(pair))) for pair in pairs]
    return [replace(pair, verdict=verdict(pair)) for pair in pairs]


def differences(rows: list[dict], reference: str | None = None) -> list[Difference]:
    """Every row of a race minus the reference row, in the order of the rows; [] where there is none, or too few seeds.

    reference: a row's name; None for full tuning, or LoRA where that was not raced. The rows of one race have the same
    seeds in the same order. Raises UserError for a name that no row has.
    """
    by_name = {row["method"]: row for row in rows}
    if reference is None:
        reference = next((name for name in REFERENCES if name in by_name), None)
    elif reference not in by_name:
        raise UserError(f"There is no row {reference!r} to compare with. The rows are: {', '.join(by_name)}.")
    if reference is None or max(len(row["scores"]) for row in rows) < FEWEST_SEEDS:
        return []
    theirs, pairs = by_name.pop(reference), []
    for name, ours in by_name.items():
        found = difference(name, ours["scores"], reference, theirs["scores"], paired=True)
        pairs.append(replace(found, texts=text_interval(ours, theirs)))
    return judged(pairs)


def as_json(pairs: list[Difference]) -> list[dict]:
    """The pairs as a report keeps them."""
    return [asdict(pair) for pair in pairs]
