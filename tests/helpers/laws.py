"""What the laws of a method are tried with: models that read numbers as words, training steps, snapshots."""

import os
from dataclasses import replace

import torch
from hypothesis import settings
from hypothesis import strategies as st

from helpers.method_table import TABLE, new_method
from helpers.models import FAMILIES, VOCABULARY, random_batch
from minipeft.training.optimizers import make_optimizer
from minipeft.transformer.batch import pad

# How many hyper-parameters and starts a law is tried with: two that are always the same, or fifty at random.
few = settings(max_examples=50 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 2)


class Words:
    """The part of a tokenizer that prompts and templates need: a number is its own token, any other word is some."""

    eos = 1

    def encode(self, text):
        return [int(word) if word.isdigit() else 2 + sum(map(ord, word)) % 20 for word in text.split()]

    def most_frequent(self, count):
        return list(range(2, VOCABULARY))[:count]

    def sentinel(self, index):
        return VOCABULARY - 1 - index


def batch_for(method, **changes):
    """`random_batch` with every source read as the attached method reads it: its template around the same ids."""
    batch = random_batch(**changes)
    rows = [
        method.source_ids(" ".join(map(str, row[mask].tolist())))
        for row, mask in zip(batch.source, batch.source_mask, strict=True)
    ]
    source, source_mask = pad(rows)
    return replace(batch, source=source, source_mask=source_mask)


def new_model(family, dtype=torch.float32):
    model = FAMILIES[family]().to(dtype)
    model.tokenizer = Words()
    return model


def draw_method(data, name, model):
    """The method for `model`, with hyper-parameters and a random start drawn by hypothesis."""
    torch.manual_seed(data.draw(st.integers(0, 99), label="seed"))
    drawn = {key: data.draw(values, label=key) for key, values in TABLE[name].hyperparameters.items()}
    return new_method(name, model, **drawn)


def train(model, method):
    """A few steps at the method's own rate; returns, by name, whether a non-zero gradient was seen."""
    leaves_out = TABLE[method.name].leaves_out
    steps = 20 if leaves_out else 3  # enough for each parameter to take part
    rate = method.suggested_learning_rate
    if not method.named_parameters():
        return {}
    optimizer = make_optimizer(method.suggested_optimizer, method.parameter_groups(rate), rate)
    reached = dict.fromkeys(method.named_parameters(), False)
    for step in range(steps):
        optimizer.zero_grad()
        (model.loss(batch_for(method, seed=step)) + method.penalty()).backward()
        method.after_backward(step, steps)
        for name, parameter in method.named_parameters().items():
            if parameter.grad is None and leaves_out:
                continue
            assert parameter.grad is not None, f"{name} got no gradient"
            assert parameter.grad.isfinite().all(), f"{name} got a gradient that is not finite"
            reached[name] |= bool(parameter.grad.any())
        optimizer.step()
        method.after_step(step, steps)
    return reached


def snapshot(model):
    """All that detach must bring back: modules, modes, parameters, values, requires_grad."""
    parameters = dict(model.named_parameters())
    return (
        {path: (id(module), module.training) for path, module in model.named_modules()},
        {path: (id(parameter), parameter.requires_grad) for path, parameter in parameters.items()},
        {path: value.clone() for path, value in model.state_dict().items()},
    )


def assert_same_snapshot(got, expected):
    assert got[:2] == expected[:2]
    assert list(got[2]) == list(expected[2])
    assert all(torch.equal(got[2][path], value) for path, value in expected[2].items())


def watch(module, calls):
    """Keep (inputs, named inputs, output) of every call of `module`."""
    module.register_forward_hook(
        lambda _, inputs, named, output: calls.append((inputs, named, output)), with_kwargs=True
    )
