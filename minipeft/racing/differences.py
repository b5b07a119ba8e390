"""Whether two rows of a race differ: the interval of their *difference*, not a look at two intervals.

    paired by seed   d_k = a_k - b_k,  mean(d) +- t(n - 1) * sqrt(var(d) / n)
    Welch            mean(a) - mean(b) +- t(v) * sqrt(var(a) / n + var(b) / m),
                     v = (var(a) / n + var(b) / m)^2 / ((var(a) / n)^2 / (n - 1) + (var(b) / m)^2 / (m - 1))

Runs of one seed see the same batches in the same order, so rows with the same seeds are paired; others are compared by
Welch's formula. A row whose runs are copies of one run (no training, as a hard prompt) has no spread of its own: it is
a fixed number to the other row, and two such rows have no interval at all. One run that was trained is no such number:
of chance it tells nothing, and neither does a difference that is the same in every seed. Only where rows are equal in
all seeds is the interval known, [0, 0]. Two intervals that overlap tell nothing: the rows may well differ.

Many rows against one give many chances of a false alarm, so p-values are corrected within a table as Holm does: the
smallest of m times m, the next times m - 1, and so on. The verdict: "higher" or "lower" where the corrected p is below
0.05; "level" where it is not and the whole interval lies within +-2 points; "open" otherwise, and where one of the rows
has fewer than three seeds.

Sources: Welch, The generalization of Student's problem (Biometrika, 1947); Holm, A simple sequentially rejective
multiple test procedure (Scandinavian Journal of Statistics, 1979). Test: tests/racing/test_differences.py.
"""

import math
from dataclasses import asdict, dataclass, replace
from statistics import mean, variance

from minipeft.errors import UserError, quoted
from minipeft.racing.reports import check_rows, is_score, seeds_of
from minipeft.racing.student_t import two_sided_p, two_sided_point
from minipeft.racing.table import copied, trained
from minipeft.racing.text_spread import text_interval

LEVEL_WITHIN = 2.0  # points: what is smaller matters to nobody who chooses a method
ALPHA = 0.05
FEWEST_SEEDS = 3  # below, an interval is as wide as the scale
SMALLEST = 1e-9  # points: what is less comes from rounding
REFERENCES = ("full", "lora")  # what a table's rows are compared with: the first of these that it has


@dataclass(frozen=True)
class Difference:
    """A row's mean score minus another's, in points. What is not known, as the interval of two fixed rows, is None.

    n: seeds, the fewer of the two rows', of which one that is fixed needs none. low, high: the 95% interval. p:
    two-sided, of this pair alone. holm: p corrected for the other pairs of the table. kind: "paired", "Welch", "one
    fixed", "both fixed" or "one run". texts: the 95% interval over seeds and texts (`text_spread.py`), where the rows
    have their answers.
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


def is_fixed(row: dict) -> bool:
    """Whether nothing was trained and the row's scores are copies of one run: a number without a spread."""
    return "trained" in row and copied(trained(row), row["scores"])


def difference(
    row: str,
    ours: list[float],
    against: str,
    theirs: list[float],
    paired: bool,
    fixed: tuple[bool, bool] = (False, False),
) -> Difference:
    """The scores `ours` minus `theirs`, in points. Raises UserError for a score that is no finite number.

    paired: the k-th scores of both are of one seed. fixed: whether ours, and whether theirs, are copies of one run.
    """
    for name, scores in ((row, ours), (against, theirs)):
        if not all(map(is_score, scores)):
            raise UserError(f"{name} has a score that is no finite number: {quoted(scores)}.")
    found = mean(ours) - mean(theirs)
    if any(fixed):  # what has a spread, if anything has, against a number
        parts, kind = [part for part, still in zip((ours, theirs), fixed, strict=True) if not still], "one fixed"
    elif paired and len(ours) == len(theirs):
        parts, kind = [[a - b for a, b in zip(ours, theirs, strict=True)]], "paired"
    else:
        parts, kind = [ours, theirs], "Welch"
    n = min(map(len, parts or (ours, theirs)))
    if not parts or n < 2:  # nothing varies, or it cannot be seen to: nothing says what chance could do
        return Difference(row, against, n, found, None, None, None, "one run" if parts else "both fixed")
    squares = [variance(part) / len(part) for part in parts]
    error = math.sqrt(sum(squares))
    if error < SMALLEST:
        ends = (None, None, None) if abs(found) > SMALLEST else (0.0, 0.0, 1.0)
        return Difference(row, against, n, found, *ends, kind)
    freedom = sum(squares) ** 2 / sum(square**2 / (len(part) - 1) for square, part in zip(squares, parts, strict=True))
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
    if found.low is None or found.n < FEWEST_SEEDS:
        return "open"
    if found.holm < ALPHA:
        return "higher" if found.difference > 0 else "lower"
    return "level" if -LEVEL_WITHIN < found.low and found.high < LEVEL_WITHIN else "open"


def judged(pairs: list[Difference]) -> list[Difference]:
    """The pairs of one table with their corrected p-values and verdicts."""
    tested = [pair for pair in pairs if pair.p is not None and pair.n >= FEWEST_SEEDS]
    corrected = dict(zip(map(id, tested), holm([pair.p for pair in tested]), strict=True))
    pairs = [replace(pair, holm=corrected.get(id(pair))) for pair in pairs]
    return [replace(pair, verdict=verdict(pair)) for pair in pairs]


def differences(rows: list[dict], reference: str | None = None) -> list[Difference]:
    """Every row of a race minus the reference row, in the order of the rows; [] where there is none, or too few seeds.

    reference: a row's name; None for full tuning, or LoRA where that was not raced. The rows of one race have the same
    seeds in the same order. Raises UserError for a name that no row has, and for rows without scores.
    """
    check_rows(rows, "This race")
    by_name = {row["method"]: row for row in rows}
    if reference is None:
        reference = next((name for name in REFERENCES if name in by_name), None)
    elif reference not in by_name:
        raise UserError(f"There is no row {reference!r} to compare with. The rows are: {', '.join(by_name)}.")
    if reference is None:
        return []
    theirs, pairs = by_name.pop(reference), []
    for name, ours in by_name.items():
        paired, fixed = seeds_of(ours) == seeds_of(theirs), (is_fixed(ours), is_fixed(theirs))
        found = difference(name, ours["scores"], reference, theirs["scores"], paired, fixed)
        pairs.append(replace(found, texts=text_interval(ours, theirs)))
    return judged(pairs) if any(pair.n >= FEWEST_SEEDS for pair in pairs) else []


def as_json(pairs: list[Difference]) -> list[dict]:
    """The pairs as a report keeps them."""
    return [asdict(pair) for pair in pairs]
