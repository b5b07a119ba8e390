"""Student's t distribution: how often chance alone gives a value of t, and which value it seldom passes.

    P(|T| >= t) = 2 c * integral of sin(x)^(v - 1) over x from 0 to arctan(sqrt(v) / t),
    c = Gamma((v + 1) / 2) / (sqrt(pi) Gamma(v / 2))

v: the degrees of freedom, any number from 1 to 100,000. It is the density's own integral from t on, where
T = sqrt(v) / tan(x) makes the infinite tail a finite stretch. Gauss-Legendre quadrature takes it to four digits or
more.

Source: "Student", The probable error of a mean (Biometrika, 1908).
"""

import math
from functools import cache

import numpy as np

from minipeft.errors import UserError

NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)  # for the integral from -1 to 1


def two_sided_p(t: float, freedom: float) -> float:
    """How probable a value of at least |t| on either side is, where nothing but chance is at work: 0 to 1.

    Raises UserError for what is no finite number: nothing is known of it.
    """
    if not (math.isfinite(t) and math.isfinite(freedom) and freedom > 0):
        raise UserError(f"There is no probability of t = {t} with {freedom} degrees of freedom: they must be finite.")
    if t == 0:
        return 1.0
    end = math.atan(math.sqrt(freedom) / abs(t))
    x = end / 2 * (NODES + 1)
    integral = end / 2 * float(WEIGHTS @ np.sin(x) ** (freedom - 1))
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return min(1.0, 2 * scale * integral)


@cache
def two_sided_point(freedom: float, level: float = 0.95) -> float:
    """The t that |T| stays below with probability `level`: 2.776 for 4 degrees of freedom and 0.95."""
    low, high = 0.0, 1.0
    while two_sided_p(high, freedom) > 1 - level:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if two_sided_p(middle, freedom) > 1 - level:
            low = middle
        else:
            high = middle
    return high
