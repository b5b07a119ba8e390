"""The third line of a message, and what the fourth begins with: a wrong value, a broken law, or no value at all."""

import traceback
from pathlib import Path
from typing import Any

import torch

from minipeft.course.differences import Difference, first_difference, kind, show
from minipeft.course.facts import facts
from minipeft.course.watchdog import EndlessLoop
from minipeft.course.watching import Call, Missing, Outcome
from minipeft.errors import one_line


def complaint(
    outcome: Outcome, found: Difference | None, expected: Any, file: str, secret: bool
) -> tuple[str, str | None]:
    """The third line and what the fourth begins with."""
    if outcome.error is not None:
        return of_error(outcome, file)
    if found is None:
        return f"The value is right, but {outcome.breach}.", None
    if secret:
        return f"{of_secret(found)}.", None
    call, depth = call_of(found, outcome)
    fact = outcome.breach or next(facts(found.got, found.expected, call.before if call else {}), None)
    if call is None or not found.path:
        return f"Got{',' if found.path else ''} {found.sentence}.", fact
    whole, right = (value[found.path[0]] if depth else value for value in (outcome.value, expected))
    if len(repr(whole)) < 40 and len(repr(right)) < 40:
        fact = outcome.breach or next(facts(whole, right, {}), fact and f"{place(found.path[depth:])}{fact}")
        return f"`{call}` gave {whole!r} instead of {right!r}.", fact
    return f"`{call}` gave {place(found.path[depth:])}{found.phrase}.", fact


def place(path: tuple) -> str:
    """Where in a value something stands, to be put before what it is."""
    return Difference("", None, None, path).sentence.removesuffix(": ") + ": " if path else ""


def call_of(found: Difference, outcome: Outcome) -> tuple[Call | None, int]:
    """The call whose own value is wrong, where that is certain, and how many steps of the path lead to it.

    It is certain where the test compares what the only call gave, or a list of what its calls gave in their order.
    """
    calls, value = outcome.calls, outcome.value
    if len(calls) == 1 and not isinstance(calls[0].function, type) and alike(value, calls[0].value):
        return calls[0], 0
    in_order = isinstance(value, list | tuple) and len(value) == len(calls) and found.path
    if in_order and all(map(alike, value, [call.value for call in calls])):
        return calls[found.path[0]], 1
    return None, 0


def alike(value: Any, other: Any) -> bool:
    """Whether a value is the same thing as another one, or a copy of it."""
    return type(value) is type(other) and first_difference(value, other, 0.0) is None


def of_error(outcome: Outcome, file: str) -> tuple[str, str | None]:
    """What to say where there is no value: the line that stops, or what the answer is that a test cannot go on with."""
    error = outcome.error
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, EndlessLoop):
        return f"Got no result: {error}.", None
    if isinstance(error, Missing):
        return f"Got no result: there is no `{error}` in {Path(file).name} any more.", None
    if isinstance(error, SystemExit):
        place = f" (line {frames[-1].lineno})" if frames else ""
        return f"Got no result: the answer ends Python with exit() or sys.exit(){place}.", None
    if not frames:
        call = outcome.calls[-1] if outcome.calls else None
        answer = f"`{call}` gave {told(call.value)}" if call else f"{type(error).__name__}: {one_line(error)}"
        if not call and outcome.read:
            name, value = outcome.read
            key = error.args[0] if isinstance(error, KeyError) and error.args else None
            if isinstance(key, str) and isinstance(value, dict) and key not in value:
                return f"Got no result: there is no {key!r} in `{name}` any more.", None
            answer = f"`{name}` is {told(value)}"
        if call and "does not require grad" in str(error):
            return f"Got no gradient: what `{call}` gives is cut off from what is trained.", None
        return f"Got no result: {answer}, with which the test cannot go on.", None
    line = f"line {frames[-1].lineno} of {Path(file).name}: {frames[-1].line}"
    if isinstance(error, RecursionError):
        return f"Got no result: it calls itself without an end ({line}).", None
    return f"Got no result but {type(error).__name__}: {one_line(error)} ({line}).", "the code stops there"


def told(value: Any) -> str:
    """A value that is not what was asked for: small ones as they are, others by their kind."""
    if isinstance(value, list | tuple) and value and any(isinstance(item, torch.Tensor) for item in value):
        return f"{kind(value).split()[0]} {type(value).__name__} of {', '.join(map(kind, value[:4]))}"
    long = isinstance(value, list | tuple) and len(repr(value)) > 40
    return kind(value) if long or isinstance(value, torch.Tensor | int | float) or value is None else show(value)


def of_secret(found: Difference) -> str:
    """How far off a prediction is, without the number that it should be."""
    place = found.sentence.removesuffix(found.phrase)
    got, expected = found.got, found.expected
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (got, expected))
    if not numbers or got != got:
        return f"Got {place}{found.phrase.partition(' instead of ')[0]}, which is not what was asked for"
    size = "large" if got > expected else "small"
    much = abs(expected / got) if got and abs(expected) > abs(got) else abs(got / expected) if expected else 0
    by = f", by a factor of about {float(f'{much:.1g}'):g}" if got * expected > 0 and much >= 1.5 else ""
    by = by or (", and its sign is the other" if got * expected < 0 else "")
    by = by or (", by less than half" if got * expected > 0 and much >= 1.05 else ", but near" if much else "")
    return f"Got {place}{show(got)}, which is too {size}{by}"


def describe(name: str, value: Any) -> str:
    """An input for the second line: the shape of a tensor, the value of a small thing."""
    if isinstance(value, torch.Tensor) and value.dim():
        return f"{name} {tuple(value.shape)}"
    if isinstance(value, torch.nn.Module):
        return f"{name}: {type(value).__name__}"
    text = repr(value.item() if isinstance(value, torch.Tensor) else value)
    return f"{name} = {text if len(text) < 70 else text[:66] + ' ...'}"
