"""Learning-rate schedules: pure functions from a step (counted from 0) to the factor on the learning rate."""


def constant(step: int, total: int, warmup: int = 0) -> float:
    """1, after a linear rise over the first `warmup` steps."""
    return min(1.0, (step + 1) / max(1, warmup))


def linear(step: int, total: int, warmup: int = 0) -> float:
    """A linear rise over `warmup` steps, then a linear fall that would reach 0 at step `total`."""
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total - step) / max(1, total - warmup))


def inverse_square_root(step: int, total: int, warmup: int = 1) -> float:
    """1 for the first `warmup` steps, then sqrt(warmup / step): T5's pretraining schedule, Raffel et al. 2019, 3.1.2.

    T5 writes it as 1 / sqrt(max(step, 10^4)); here the factor starts at 1, and the learning rate says the rest.
    """
    warmup = max(1, warmup)
    return (warmup / max(warmup, step + 1)) ** 0.5


SCHEDULES = {"constant": constant, "linear": linear, "inverse_square_root": inverse_square_root}
