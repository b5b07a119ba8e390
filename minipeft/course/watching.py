"""The student's module as a test sees it: each call is noted, and with it what a call may not do.

The laws that hold for every exercise, so that no author of a test can forget them: what goes in comes out unchanged;
the random state of the whole program is nobody's to move; a generator that is given is drawn from. That a gradient
reaches whatever is trained is looked at in gradients.py.
"""

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy
import torch
from torch import nn

from minipeft.course.differences import show
from minipeft.course.program_state import SOURCES, moved, program_states, put_back_program

MANY_CALLS = 20  # of so many draws at least one has a choice
MOST_CALLS = 200  # of a test's calls are noted: those that follow, of a test that draws thousands of times, are alike


@dataclass
class Call:
    """One call of a function or class of the student's: its arguments by name, as they were before, and its value."""

    name: str
    function: Callable
    arguments: dict[str, Any]
    before: dict[str, Any]
    weights: dict[str, dict[str, torch.Tensor]]  # of the models among the arguments, as they were before
    value: Any = None

    def __str__(self) -> str:
        parts = [brief(name, value) for name, value in self.before.items()]
        return f"{self.name}({', '.join(parts)})"

    def changed(self) -> str | None:
        """The first argument that is no longer what it was."""
        for name, value in self.arguments.items():
            same = unchanged(self.before[name], value)
            if not same or (name in self.weights and not unchanged(self.weights[name], weights_of(value))):
                return name
        return None


@dataclass(frozen=True)
class Outcome:
    """What an answer gave: a value or an exception, the calls that led there, and the law that it broke on its way."""

    value: Any = None
    error: BaseException | None = None
    calls: Sequence[Call] = ()
    breach: str | None = None
    read: tuple[str, Any] | None = None  # the name in the student's file that was read last, and what it is


@dataclass
class Watched:
    """Stands for the module in a test; every function and class that is taken out of it notes its calls.

    Its own names begin with an underscore, as any other may be one of the student's.
    """

    _answers: ModuleType
    _calls: list[Call] = field(default_factory=list)
    _in_place: list[str] = field(default_factory=list)
    _read: tuple[str, Any] | None = None  # what was taken out last
    _generators: int = 0  # calls that were given a generator and did not draw from it ...
    _drawn: bool = False  # ... until one did

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._answers, name):
            raise Missing(name)
        value = getattr(self._answers, name)
        self._read = name, value
        return self._noting(name, value) if callable(value) else value

    def _noting(self, name: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            if len(self._calls) == MOST_CALLS:
                return function(*args, **kwargs)
            arguments = named(function, args, kwargs)
            weights = {
                key: copied(weights_of(value)) for key, value in arguments.items() if isinstance(value, nn.Module)
            }
            before = {key: copied(value) for key, value in arguments.items()}
            note = Call(name, function, arguments, before, weights)
            self._calls.append(note)
            given = [] if self._drawn else [value for value in arguments.values() if is_generator(value)]
            states = [generator_state(value) for value in given]
            try:
                note.value = function(*args, **kwargs)
            finally:
                if (changed := note.changed()) and not isinstance(function, type):
                    note.value = copied(note.value)  # it may be the argument itself
                    put_back(note)
                    self._in_place.append(f"`{note}` changes its argument `{changed}` in place")
            if states:
                self._generators += 1
                self._drawn = any(old != generator_state(value) for old, value in zip(states, given, strict=True))
            return note.value

        return call

    def _breach(self, states: list, may_draw: bool) -> str | None:
        """The law that was broken, as a sentence. states: what `program_states` gave before."""
        others = moved(states, program_states())
        put_back_program(states)
        if self._in_place:
            return self._in_place[0]
        if others and not may_draw:
            what = "the random state" if others[0] in SOURCES[:3] else "a switch"
            return f"{what} of the whole program is moved (that of {others[0]}), which others rely on"
        if self._generators >= MANY_CALLS and not self._drawn:
            return "the generator that is given is never drawn from"
        return None


class Missing(Exception):
    """A name that the student's file no longer has."""


def put_back(call: Call) -> None:
    """Make the arguments what they were: tests share them, and the next one must not find them changed."""
    for name, value in call.arguments.items():
        before = call.before[name]
        if isinstance(value, nn.Module) and value.state_dict().keys() == call.weights[name].keys():
            value.load_state_dict(call.weights[name])
        elif isinstance(value, list):
            value[:] = before
        elif isinstance(value, torch.Tensor) and value.shape == before.shape:
            value.data.copy_(before)
            if value.is_leaf:
                value.requires_grad_(before.requires_grad)


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.state_dict())


def named(function: Callable, args: tuple, kwargs: dict) -> dict[str, Any]:
    """The arguments of a call by the names of the function's own parameters."""
    try:
        return dict(signature_of(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {f"argument {number}": value for number, value in enumerate(args, 1)} | kwargs


signature_of = cache(inspect.signature)  # a test may call a function thousands of times


def copied(value: Any) -> Any:
    """A value as it is now: tensors cloned, containers rebuilt; a model stays itself (see `weights_of`)."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return {key: copied(item) for key, item in value.items()} if type(value) is dict else value


def unchanged(before: Any, now: Any) -> bool:
    """Whether a value is what it was; what is neither number, text, tensor nor container counts as unchanged."""
    if isinstance(before, torch.Tensor):
        alike = isinstance(now, torch.Tensor) and before.shape == now.shape and before.dtype == now.dtype
        alike = alike and before.requires_grad == now.requires_grad
        return alike and bool(((before == now) | ((before != before) & (now != now))).all())
    if isinstance(before, numpy.ndarray):
        return numpy.array_equal(before, now)
    if type(before) in (list, tuple):
        return len(before) == len(now) and all(map(unchanged, before, now))
    if type(before) is dict:
        return before.keys() == now.keys() and all(unchanged(before[key], now[key]) for key in before)
    return before == now if isinstance(before, int | float | str) else True


def is_generator(value: Any) -> bool:
    return isinstance(value, random.Random | torch.Generator)


def generator_state(value: Any) -> Any:
    return value.getstate() if isinstance(value, random.Random) else value.get_state().tolist()


def brief(name: str, value: Any) -> str:
    """An argument in a sentence: small values as they are, others by their name."""
    if isinstance(value, torch.Tensor | nn.Module) or is_generator(value) or callable(value):
        return name
    text = show(value)
    return text if len(text) < 40 else name
