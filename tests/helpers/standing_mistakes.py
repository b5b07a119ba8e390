"""Mistakes that fit every exercise: the right answer, with something done to it that no answer may do."""

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

from minipeft.course.exercise_linter import kinds_of, plain


def standing_answers(chapter) -> Iterator[tuple[str, str, types.ModuleType]]:
    """(exercise, mistake, module with the mistake) for every function that a student writes."""
    kinds = kinds_of((chapter.folder / "exercise.py").read_text(encoding="utf-8"))
    for exercise in chapter.exercises:
        if kinds[plain(exercise)][0] in ("Implement", "Extend", "Repair"):
            function = vars(chapter.answers("solution.py"))
            name = next(name for name in function if plain(name) == plain(exercise))
            if isinstance(function[name], types.FunctionType):
                for mistake, change in MISTAKES.items():
                    if exercise in UNTOUCHED.get(mistake, ()):
                        continue
                    answers = chapter.answers("solution.py")
                    setattr(answers, name, change(function[name]))
                    yield exercise, mistake, answers


def returns_nothing(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrong(*args, **kwargs):
        function(*args, **kwargs)

    return wrong


def draws_globally(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrong(*args, **kwargs):
        torch.rand(1)
        return function(*args, **kwargs)

    return wrong


def changes_an_argument(function: Callable) -> Callable:
    """The first tensor or list that is given is changed once the answer is there."""

    @functools.wraps(function)
    def wrong(*args, **kwargs):
        value = function(*args, **kwargs)
        given = first(args)
        if isinstance(given, torch.Tensor):
            given.data.copy_(given.data.flip(0) if given.dtype == torch.bool else given.data + 1)
        elif given:
            given.reverse()
        return value

    return wrong


def first(args: Any) -> Any:
    """The first tensor or list of numbers among arguments."""
    for value in args:
        if isinstance(value, torch.Tensor) or (isinstance(value, list) and value and isinstance(value[0], int)):
            return value
        if isinstance(value, list) and (found := first(value)) is not None:
            return found
    return None


def repeats_one_row(function: Callable) -> Callable:
    """All rows of a result are its first one."""

    def repeat(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dim():
            return value[:1].expand_as(value).clone()
        if isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor | list | tuple) for item in value):
            return type(value)(map(repeat, value))
        return type(value)(value[0] for _ in value) if isinstance(value, list | tuple) and value else value

    @functools.wraps(function)
    def wrong(*args, **kwargs):
        return repeat(function(*args, **kwargs))

    return wrong


def without_gradient(function: Callable) -> Callable:
    @functools.wraps(function)
    def wrong(*args, **kwargs):
        with torch.no_grad():
            return function(*args, **kwargs)

    return wrong


def with_half_the_gradient(function: Callable) -> Callable:
    def half(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return (value + value.detach()) / 2
        return type(value)(map(half, value)) if type(value) in (list, tuple) else value

    @functools.wraps(function)
    def wrong(*args, **kwargs):
        return half(function(*args, **kwargs))

    return wrong


MISTAKES = {
    "nothing is returned": returns_nothing,
    "the program's own random numbers are drawn from": draws_globally,
    "what is given is changed": changes_an_argument,
    "one row is repeated": repeats_one_row,
    "no gradient is kept": without_gradient,
    "half of the gradient is kept": with_half_the_gradient,
}
# Where such an answer is right, or cannot be made.
NO_TENSORS = ("noise_counts", "random_composition", "source_and_target", "rebuild", "prefix_split")
UNTOUCHED = {
    "the program's own random numbers are drawn from": ("first_prompt",),
    "what is given is changed": (
        "noise_counts", "random_composition", "initial_factors", "nf4_levels", "budget", "block_rates",
        "labelled_pairs",
    ),
    "one row is repeated": (
        "answer_loss", "orthogonality_penalty", "budget", "random_composition", "honest_accuracy", "tagging_loss",
        "loss_of_tasks", "rank_correlation",
    ),
    "no gradient is kept": (
        *NO_TENSORS, "block_rates", "fit_head", "chain_thaw_step",
        "relative_buckets", "may_look", "first_prompt", "initial_factors", "nf4_levels",
        "quantize_blocks", "pack", "merged_weight",
        "merge_requantized", "importance_step", "triplet_scores", "budget", "keep_best",
        "honest_accuracy", "rank_orders", "tags_of_names", "names_of_tags",
        "rank_correlation", "labelled_pairs", "vote",
    ),
}  # fmt: skip
UNTOUCHED["half of the gradient is kept"] = (*UNTOUCHED["no gradient is kept"], "accumulated")
