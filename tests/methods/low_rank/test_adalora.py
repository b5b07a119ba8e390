"""AdaLoRA: its equation and penalty, the importance recomputed by hand, pruning, storing, resuming."""

import pytest
import torch
from helpers.word_models import MAKERS
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.low_rank.adalora import AdaLoRA, AdaLoRALinear
from minipeft.methods.registry import METHODS
from minipeft.training import trainer
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.training.batches import collate, encode_examples
from minipeft.training.trainer import TrainingSettings, fine_tune


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))


def attached(**settings):
    """AdaLoRA on a small network, every trained number moved away from its start."""
    model, method = network(), AdaLoRA(**({"rank": 3, "target_rank": 1, "targets": ("0", "2")} | settings))
    method.attach(model)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model, method


def steps(method, model, first, last, total, scale=None):
    """Steps `first` to `last` - 1 of `total` with the method's hooks; `scale` changes the gradients."""
    optimizer = torch.optim.SGD(method.named_parameters().values(), lr=0.01)
    for step in range(first, last):
        torch.manual_seed(step)
        optimizer.zero_grad()
        (model(torch.randn(6, 7)).square().mean() + method.penalty()).backward()
        if scale:
            scale(step)
        method.after_backward(step, total)
        optimizer.step()
        method.after_step(step, total)


def test_an_adalora_layer_computes_with_w_plus_p_lam_q():
    torch.manual_seed(0)
    layer, x = AdaLoRALinear(nn.Linear(7, 5).double(), 3, 2.0), torch.randn(2, 4, 7, dtype=torch.float64)
    for parameter in (layer.P, layer.lam, layer.Q):
        nn.init.normal_(parameter)
    weight = layer.linear.weight.detach().clone()
    for i in range(3):
        weight += 2.0 / 3 * float(layer.lam[i].detach()) * torch.outer(layer.P[:, i], layer.Q[i]).detach()
    torch.testing.assert_close(layer(x), x @ weight.T + layer.linear.bias, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(layer.linear.weight + layer.update(), weight, atol=1e-12, rtol=1e-12)


def test_the_vectors_start_small_and_the_values_at_zero():
    layer = AdaLoRALinear(nn.Linear(300, 200), 20, 1.0)
    assert not layer.lam.any()
    for vectors in (layer.P, layer.Q):
        assert abs(float(vectors.detach().std()) / 0.02 - 1) < 0.05 and abs(float(vectors.detach().mean())) < 1e-3


@pytest.mark.parametrize("averaged", [True, False])
def test_the_penalty_is_the_mean_of_squared_gram_errors_or_the_papers_sum(averaged):
    _, method = attached(orthogonality=0.3, averaged=averaged)
    total = 0.0
    for _, layer in method.layers():
        for vectors in (layer.P.T.tolist(), layer.Q.tolist()):
            for i, one in enumerate(vectors):
                for j, other in enumerate(vectors):
                    total += (sum(a * b for a, b in zip(one, other, strict=True)) - (i == j)) ** 2
    total /= 4 if averaged else 1  # two layers, each with P and Q
    assert float(method.penalty().detach()) == pytest.approx(0.3 * total, rel=1e-5)
    with torch.no_grad():
        for _, layer in method.layers():
            nn.init.orthogonal_(layer.P)
            nn.init.orthogonal_(layer.Q)
    assert float(method.penalty().detach()) < 1e-10


def test_scores_over_five_steps_are_those_of_a_loop_over_single_numbers():
    model, method = attached(beta1=0.85, beta2=0.6, warmup=1.0, final=0.0)
    mean, jumps = {}, {}

    def by_hand(step):
        for name, parameter in method.named_parameters().items():
            numbers, gradients = parameter.flatten().tolist(), parameter.grad.flatten().tolist()
            for place, (w, g) in enumerate(zip(numbers, gradients, strict=True)):
                now, key = abs(w * g), (name, place)
                mean[key] = 0.85 * mean.get(key, 0.0) + 0.15 * now
                jumps[key] = 0.6 * jumps.get(key, 0.0) + 0.4 * abs(now - mean[key])

    steps(method, model, 0, 5, total=100, scale=by_hand)
    for path, layer in method.layers():
        (outputs, rank), inputs = layer.P.shape, layer.Q.shape[1]
        for i in range(rank):
            score = lambda name, place: mean[name, place] * jumps[name, place]  # noqa: E731
            expected = score(f"{path}.lam", i)
            expected += sum(score(f"{path}.P", row * rank + i) for row in range(outputs)) / outputs
            expected += sum(score(f"{path}.Q", i * inputs + column) for column in range(inputs)) / inputs
            assert float(method.importance.triplet_scores(path, layer)[i]) == pytest.approx(expected, rel=1e-4)


def test_the_best_triplets_of_the_whole_model_keep_their_values_and_all_vectors_stay():
    model, method = attached(warmup=0.0, final=0.5, interval=1)
    method.after_step = lambda step, total: None
    steps(method, model, 0, 4, total=10)
    del method.after_step
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters().items()}
    triplets = {path: method.importance.triplet_scores(path, layer) for path, layer in method.layers()}
    scores = [(float(score), path, i) for path in "02" for i, score in enumerate(triplets[path])]
    budget = method.schedule.budget(4, 10, 6, 2)
    assert budget == 2  # of 6
    kept = {(path, i) for _, path, i in sorted(scores)[-budget:]}
    method.after_step(3, 10)
    for path, layer in method.layers():
        expected = [float(before[f"{path}.lam"][i]) if (path, i) in kept else 0.0 for i in range(3)]
        assert layer.lam.tolist() == expected
        assert torch.equal(layer.P, before[f"{path}.P"]) and torch.equal(layer.Q, before[f"{path}.Q"])


def test_the_other_criteria_are_the_sensitivity_alone_and_the_size_of_lam():
    scores = {}
    for criterion in ("sensitivity_uncertainty", "sensitivity", "magnitude"):
        model, method = attached(criterion=criterion, warmup=1.0, final=0.0)
        steps(method, model, 0, 5, total=100)
        scores[criterion] = {path: method.importance.triplet_scores(path, layer) for path, layer in method.layers()}
    averages = method.importance.averages  # the same in all three: nothing was pruned
    for path, layer in method.layers():
        mean = averages[f"{path}.lam.sensitivity"] + averages[f"{path}.P.sensitivity"].mean(0)
        mean = mean + averages[f"{path}.Q.sensitivity"].mean(1)
        torch.testing.assert_close(scores["sensitivity"][path], mean)
        assert torch.equal(scores["magnitude"][path], layer.lam.detach().abs())
        assert not torch.allclose(scores["sensitivity_uncertainty"][path], mean)


def test_without_smoothing_the_sensitivity_alone_is_that_of_the_last_step():
    model, method = attached(criterion="sensitivity", beta1=0.0, warmup=1.0, final=0.0)
    last = {}

    def keep(step):
        last.update({name: (each * each.grad).abs().detach() for name, each in method.named_parameters().items()})

    steps(method, model, 0, 3, total=100, scale=keep)
    for name, now in last.items():
        torch.testing.assert_close(method.importance.score(name), now)


def test_a_pruned_triplet_comes_back_when_it_becomes_important_and_not_in_the_final_phase():
    model, method = attached(rank=2, warmup=0.0, final=0.2, interval=10, beta1=0.5, beta2=0.5)
    total = 60

    def favour(first_layer, second_layer):
        def scale(step):
            for (_, layer), factor in zip(method.layers(), (first_layer, second_layer), strict=True):
                for parameter in (layer.P, layer.lam, layer.Q):
                    parameter.grad *= factor

        return scale

    steps(method, model, 0, 20, total, favour(1.0, 1e-4))
    assert method.schedule.budget(20, total, 4, 2) == 2
    assert method.ranks() == {"0": 2, "2": 0}
    steps(method, model, 20, 40, total, favour(1e-4, 1.0))
    assert method.ranks() == {"0": 0, "2": 2}
    steps(method, model, 40, 48, total)
    final = {path: layer.kept.clone() for path, layer in method.layers()}
    assert method.settled(48, total) and not method.settled(47, total)
    steps(method, model, 48, 60, total, favour(1.0, 1e-4))
    for path, layer in method.layers():
        assert torch.equal(layer.lam != 0, final[path]) and torch.equal(layer.kept, final[path])
    assert sum(method.ranks().values()) == 2


def test_equal_start_and_target_prune_nothing():
    model, method = attached(target_rank=3, warmup=0.0, interval=1)
    steps(method, model, 0, 10, total=10)
    assert method.ranks() == {"0": 3, "2": 3}
    assert all(layer.lam.all() for _, layer in method.layers())


def test_adalora_trains_any_network_of_linear_layers():
    model, x = network(), torch.randn(6, 7)
    before, method = model(x), AdaLoRA(rank=3, target_rank=1, targets=("0", "2"))
    method.attach(model)
    assert torch.equal(model(x), before)
    assert method.stored_count() == 3 * (7 + 5 + 1) + 3 * (5 + 4 + 1)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(torch.randn_like(parameter))
    trained = model(x)
    method.merge()
    torch.testing.assert_close(model(x), trained)
    assert not torch.allclose(trained, before)
    method.unmerge()
    torch.testing.assert_close(model(x), trained)
    method.detach()
    torch.testing.assert_close(model(x), before)


@pytest.fixture(params=["t5", "gpt"])
def pruned(request, tiny_task):
    """A model whose AdaLoRA was trained, and pruned from 4 to 2 ranks on average."""
    model, method = MAKERS[request.param](), AdaLoRA(rank=4, target_rank=2, interval=2)
    torch.manual_seed(1)
    method.attach(model)
    result = fine_tune(model, method, tiny_task, TrainingSettings(steps=20, batch_size=16, evaluate_every=5))
    return MAKERS[request.param], model, method, result


def test_the_trainer_prunes_to_the_budget_and_only_what_is_left_is_stored(pruned, tiny_task, tmp_path):
    make, model, method, result = pruned
    ranks = method.ranks()
    assert sum(ranks.values()) == 2 * len(ranks) and len(set(ranks.values())) > 1
    state = method.state_dict()
    count = 0
    for path, layer in method.layers():
        outputs, inputs = layer.linear.weight.shape
        assert state[f"{path}.P"].shape == (outputs, ranks[path]) and state[f"{path}.Q"].shape == (ranks[path], inputs)
        count += ranks[path] * (outputs + inputs) + 4
    assert method.stored_count() == sum(tensor.numel() for tensor in state.values()) == count
    assert method.trained_count() > count and result.trained_parameters > count

    batch = collate(encode_examples(model, tiny_task.test), "cpu")
    expected = model(batch)
    save_adapter(tmp_path / "adapter.pt", model, method)
    fresh = make()
    torch.manual_seed(99)  # other vectors where the pruned ones stood
    loaded = load_adapter(tmp_path / "adapter.pt", fresh, METHODS)
    assert torch.equal(fresh(batch), expected)
    assert loaded.ranks() == ranks and loaded.stored_count() == count
    method.merge()
    torch.testing.assert_close(model(batch), expected, atol=1e-4, rtol=1e-4)


def test_a_file_whose_vectors_do_not_fit_its_values_is_refused(pruned):
    _, _, method, _ = pruned
    good = method.state_dict()
    path = next(path for path, rank in method.ranks().items() if 0 < rank < 4)
    for name, wrong in (
        ("P", good[f"{path}.P"][:, 1:]),
        ("Q", good[f"{path}.Q"][:, 1:]),
        ("lam", torch.zeros(4)),
        ("lam", torch.ones(5)),
    ):
        with pytest.raises(UserError, match="use the hyper-parameters it was saved with"):
            method.load_state_dict({**good, f"{path}.{name}": wrong})
    assert all(torch.equal(tensor, good[key]) for key, tensor in method.state_dict().items())


def test_only_weights_from_after_the_last_pruning_are_kept_and_patience_waits_for_them(monkeypatch, tiny_task):
    scores = iter([90.0, 80.0, 85.0, 50.0, 60.0, 55.0, 54.0, 99.0])
    monkeypatch.setattr(trainer, "evaluate", lambda *args, **kwargs: {"score": next(scores)})
    model, method = MAKERS["t5"](), AdaLoRA(rank=2, target_rank=1, interval=2, final=0.5)
    method.attach(model)
    settings = TrainingSettings(steps=16, batch_size=4, evaluate_every=2, patience=2)
    result = fine_tune(model, method, tiny_task, settings)
    assert (result.best_step, result.best_dev) == (10, 60.0)  # settled after step 8, two evaluations without a better
    assert len(result.dev_scores) == 7
    assert sum(method.ranks().values()) == len(method.ranks())


class Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_at", [5, 9])
def test_a_run_killed_while_pruning_and_resumed_equals_an_unbroken_one_bit_for_bit(tiny_task, tmp_path, killed_at):
    settings = TrainingSettings(steps=12, batch_size=8, evaluate_every=4, learning_rate=0.02)
    ends = []
    for folder, kill, start in (("whole", None, 1), ("broken", killed_at, 1), ("broken", None, 2)):
        model, method = MAKERS["t5"](), AdaLoRA(rank=3, target_rank=1, interval=1, final=0.25)
        torch.manual_seed(start)  # the resumed run's own random start is replaced
        method.attach(model)

        def watch(step, total, act=method.after_step, kill=kill):
            if step == kill:
                raise Killed
            act(step, total)

        method.after_step = watch
        try:
            fine_tune(model, method, tiny_task, settings, tmp_path / folder)
            ends.append((method.training_state(), method.ranks()))
        except Killed:
            assert kill is not None
    (whole, ranks), (resumed, again) = ends
    assert ranks == again and sum(ranks.values()) == len(ranks)
    assert whole.keys() == resumed.keys() and any(key.endswith(".sensitivity") for key in whole)
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"target_rank": 0}, "target_rank must be"),
        ({"rank": 4, "target_rank": 5}, "from 1 to 4, not 5"),
        ({"alpha": 0}, "alpha must be"),
        ({"warmup": 0.6, "final": 0.5}, "shares of the steps"),
        ({"final": -0.1}, "shares of the steps"),
        ({"interval": 0}, "interval .* at least 1"),
        ({"beta1": 1.0}, "beta1 and beta2"),
        ({"beta1": 0.0}, "every score is 0"),
        ({"criterion": "size"}, "criterion must be one of sensitivity_uncertainty, sensitivity, magnitude"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        AdaLoRA(**settings)
