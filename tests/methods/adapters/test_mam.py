"""Mix-And-Match: a prefix on attention and scaled parallel adapters on the feed-forward layers, and nothing else."""

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch, tiny_t5
from helpers.scrambling import scramble
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.mam import MAM
from minipeft.methods.prompts.prefix_tuning import PrefixTuning

families = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])


def attached(model, method, seed=0):
    torch.manual_seed(seed)
    method.attach(model)
    return method


@torch.no_grad()
@families
@pytest.mark.parametrize("reparametrise", [True, False])
def test_mam_is_a_prefix_and_scaled_adapters_put_together_by_hand(family, reparametrise):
    batch, prefix = random_batch(), dict(prefix_length=4, reparametrise=reparametrise, inner=5)
    model, other = FAMILIES[family](), FAMILIES[family]()
    mam = attached(model, MAM(**prefix, bottleneck=7, scale=2.5))
    scramble(mam)
    numbers = mam.named_parameters()
    alone = attached(other, PrefixTuning(**prefix))
    alone.load_training_state({name: numbers[name] for name in alone.named_parameters()})

    def beside(feed_forward, path):
        parts = [
            numbers[f"{path}.adapter.adapter.{part}"] for part in ("down.weight", "down.bias", "up.weight", "up.bias")
        ]

        def add(module, inputs, output):
            inner = nn.functional.linear(inputs[0], *parts[:2]).clamp(min=0)
            return output + 2.5 * nn.functional.linear(inner, *parts[2:])

        feed_forward.register_forward_hook(add)

    paths = [path for path, _ in other.named_modules() if path.endswith(".feed_forward")]
    for path in paths:
        beside(other.get_submodule(path), path)
    assert len(paths) == (5 if family == "t5" else 3)
    assert len(numbers) == len(alone.named_parameters()) + 4 * len(paths)
    assert torch.equal(model(batch), other(batch))
    assert model.generate(batch, 5) == other.generate(batch, 5)


@torch.no_grad()
@families
def test_mam_starts_as_prefix_tuning_alone(family):
    batch, model, other = random_batch(), FAMILIES[family](), FAMILIES[family]()
    plain = model(batch)
    mam, alone = attached(model, MAM(prefix_length=4, inner=5)), attached(other, PrefixTuning(prefix_length=4, inner=5))
    assert torch.equal(model(batch), other(batch)) and not torch.equal(model(batch), plain)
    assert all(torch.equal(value, mam.state_dict()[name]) for name, value in alone.state_dict().items())


@families
def test_finishing_a_mam_leaves_its_prefix_as_a_table_and_does_not_change_one_bit(family):
    model, batch = FAMILIES[family](), random_batch()
    method = attached(model, MAM(prefix_length=3, inner=7, bottleneck=5))
    scramble(method)
    expected, state = model(batch), method.state_dict()
    method.finish()
    assert torch.equal(model(batch), expected)
    assert method.named_parameters().keys() == state.keys()


@pytest.mark.parametrize("reparametrise, suggested", [(True, 1e-3), (False, 0.3)])
def test_the_learning_rate_is_the_prefixs_and_the_adapters_have_their_own(reparametrise, suggested):
    method = MAM(prefix_length=3, reparametrise=reparametrise, adapter_learning_rate=0.07)
    method.attach(tiny_t5())
    names = {parameter: name for name, parameter in method.named_parameters().items()}
    rates = {names[p]: group["lr"] for group in method.parameter_groups(0.002) for p in group["params"]}
    assert rates == {name: 0.07 if ".feed_forward." in name else 0.002 for name in names.values()}
    assert len(set(rates.values())) == 2
    assert method.suggested_learning_rate == suggested in method.learning_rate_grid


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"bottleneck": 0}, "bottleneck must be at least 1, not 0"),
        ({"scale": -1.0}, "scale must be above 0, not -1.0"),
        ({"prefix_length": 0}, "must be at least 1: 0"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        MAM(**settings)
