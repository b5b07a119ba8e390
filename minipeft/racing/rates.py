"""Which learning rate wins a sweep, and when its grid must grow.

    value = mean - standard deviation      of the dev scores at one rate, over the seeds of the sweep

The best value wins; of rates within TIE points of it the one in the middle, far from where a rate is too low or too
high. A rate that lies HOPELESS points below the best with the first seed gets no other, as long as the best stays that
far ahead. A winner at the edge of its grid may not be the best there is: the grid then grows on that side by its own
factor.
"""

import math
from statistics import mean, stdev

TIE = 0.5  # points
HOPELESS = 15.0  # points; many, for one seed may be unlucky
Scores = dict[float, list[float | None]]  # rate -> dev scores in percent, one a seed; None where training failed


def value(scores: list[float | None]) -> float:
    """What a rate is worth; minus infinity where training failed with any seed."""
    if None in scores:
        return -math.inf
    return mean(scores) - (stdev(scores) if len(scores) > 1 else 0.0)


def hopeful(dev: Scores) -> list[float]:
    """The rates that may still win, by the scores so far: those worth all seeds."""
    values = {rate: value(scores) for rate, scores in dev.items()}
    return [rate for rate, found in values.items() if found > max(values.values()) - HOPELESS]


def winner(dev: Scores) -> float:
    """The rate to train with, of those with all seeds; the lowest where training failed at all of them."""
    seeds = max(len(scores) for scores in dev.values())
    values = {rate: value(scores) if len(scores) == seeds else -math.inf for rate, scores in sorted(dev.items())}
    best = max(values.values())
    if best == -math.inf:
        return min(values)
    tied = [rate for rate, found in values.items() if found >= best - TIE]
    middle = tied[(len(tied) - 1) // 2 : len(tied) // 2 + 1]  # two of an even number
    return max(middle, key=values.get)


def is_inside(rates: Scores, best: float) -> bool:
    """Whether a lower and a higher rate were tried."""
    return min(rates) < best < max(rates)


def next_rate(rates: Scores, best: float) -> float:
    """The rate beyond the edge at which `best` stands, as far from it as the one before."""
    rates = sorted(rates)
    inner = rates[1] if best == rates[0] else rates[-2]
    return float(f"{best * best / inner:.3g}")  # 0.9, and not 0.8999999999999999: it names a folder
