"""Freezing layers: which blocks train, what becomes of the head, and the learning rate of each depth."""

from contextlib import nullcontext

import pytest
import torch
from helpers.models import FAMILIES, random_batch
from helpers.word_models import MAKERS

from minipeft.errors import UserError
from minipeft.methods.heads import LabelHead
from minipeft.methods.selective.freeze_layers import FreezeLayers
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.training.batches import collate, encode_examples
from minipeft.training.evaluating import evaluate
from minipeft.training.trainer import TrainingSettings, fine_tune

LABELS = ("warm", "cold")


@pytest.mark.parametrize(
    "family, layers, trained",
    [
        ("gpt2", 1, {"decoder.blocks.2"}),
        ("gpt2", 2, {"decoder.blocks.1", "decoder.blocks.2"}),
        ("t5", 1, {"encoder.blocks.1", "decoder.blocks.2"}),
        ("t5", 2, {"encoder.blocks.0", "encoder.blocks.1", "decoder.blocks.1", "decoder.blocks.2"}),
    ],
)
def test_the_top_blocks_of_every_stack_are_trained_and_nothing_else(family, layers, trained):
    model, method = FAMILIES[family](), FreezeLayers(layers)
    method.attach(model)
    names = set(method.named_parameters())
    assert {".".join(name.split(".")[:3]) for name in names} == trained
    for path in trained:  # whole blocks
        assert {f"{path}.{name}" for name, _ in model.get_submodule(path).named_parameters()} <= names


@pytest.mark.parametrize("head", ["none", "train"])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_new_head_the_start_is_the_base_model_bit_for_bit(family, head):
    model, batch = FAMILIES[family](), random_batch()
    expected = model(batch)
    FreezeLayers(head=head).attach(model)
    assert torch.equal(model(batch), expected)


@pytest.mark.parametrize("family", ["t5-1.0", "gpt2"])
def test_training_a_tied_head_leaves_the_embedding_alone(family):
    model, batch = FAMILIES[family](), random_batch()
    before, plain = model.embedding.weight.detach().clone(), model(batch)
    method = FreezeLayers(layers=0, head="train")
    method.attach(model)
    states = model.answer_states(batch)
    (weight,) = method.named_parameters().values()
    with torch.no_grad():
        weight.add_(1.0)
    assert weight.shape == before.shape and torch.equal(model.embedding.weight, before)
    assert torch.equal(model.answer_states(batch), states) and not torch.equal(model(batch), plain)
    with pytest.raises(UserError, match="own head cannot hold the trained one"):
        method.merge()
    method.detach()
    assert model.head.weight is model.embedding.weight and torch.equal(model(batch), plain)


def test_a_head_of_its_own_is_trained_in_place_and_merges():
    model, batch = FAMILIES["t5"](), random_batch()
    method = FreezeLayers(layers=0, head="train")
    method.attach(model)
    assert list(method.named_parameters()) == ["head.weight"]
    with torch.no_grad():
        model.head.weight.mul_(-2.0)
    expected = model(batch)
    method.merge()
    assert torch.equal(model(batch), expected)


@pytest.mark.parametrize("decay", [0.4, 2.5])
def test_each_block_learns_slower_than_the_one_above_it_or_faster_where_it_is_told(decay):
    model = FAMILIES["t5"](encoder_layers=3)  # and 3 in the decoder
    method = FreezeLayers(3, head="train", decay=decay)
    method.attach(model)
    rates = {id(p): group["lr"] for group in method.parameter_groups(0.5) for p in group["params"]}
    trained = method.named_parameters()
    assert len(rates) == len(trained) == sum(len(group["params"]) for group in method.parameter_groups(0.5))
    for name, parameter in trained.items():
        place = name.split(".")[2] if name != "head.weight" else "head"
        expected = {"head": 0.5, "2": 0.5, "1": 0.5 * decay, "0": 0.5 * decay * decay}[place]
        assert rates[id(parameter)] == pytest.approx(expected), name


def test_the_decayed_rate_is_what_the_optimizer_steps_with(tiny_gpt, tiny_task):
    """Adam's first step is the learning rate in every coordinate, whatever the gradient's size."""
    method = FreezeLayers(2, decay=0.25)
    method.attach(tiny_gpt)
    before = method.state_dict()
    settings = TrainingSettings(steps=1, batch_size=8, warmup=0, learning_rate=0.01)
    fine_tune(tiny_gpt, method, tiny_task, settings)
    for name, now in method.state_dict().items():
        if not name.endswith("key.bias"):  # no gradient
            rate = 0.01 if ".1." in name else 0.0025
            assert float((now - before[name]).abs().max()) == pytest.approx(rate, rel=1e-2), name


def moves_by_step(model, task, method, steps, **settings):
    """For each training step the places that it moved, as "decoder.1" or "head"."""
    moved, before = [], method.state_dict()
    act = method.after_step

    def watch(step, total):
        act(step, total)
        now = method.state_dict()
        changed = {name for name in now if not torch.equal(now[name], before[name])}
        moved.append({".".join(name.split(".")[:3:2]) if "blocks" in name else "head" for name in changed})
        before.update(now)

    method.after_step = watch
    result = fine_tune(model, method, task, TrainingSettings(steps=steps, batch_size=8, **settings))
    return moved, result


def test_blocks_wake_one_after_the_other_from_the_top_down_in_both_stacks(tiny_task):
    torch.manual_seed(0)
    model, method = MAKERS["t5"](), FreezeLayers(2, head="new", labels=LABELS, unfreeze=0.5)
    method.attach(model)
    top = {"head"} | {f"{name}.{len(getattr(model, name).blocks) - 1}" for name in ("encoder", "decoder")}
    below = {f"{name}.{len(getattr(model, name).blocks) - 2}" for name in ("encoder", "decoder")}
    moved, _ = moves_by_step(model, tiny_task, method, 6, evaluate_every=2)
    assert moved == [top] * 3 + [top | below] * 3


def test_three_blocks_wake_at_equal_distances():
    method = FreezeLayers(3, unfreeze=0.6)
    assert [method.wakes(depth, 100) for depth in range(3)] == [0, 30, 60]
    assert method.settled(60, 100) and not method.settled(59, 100)
    assert [FreezeLayers(3).wakes(depth, 100) for depth in range(3)] == [0, 0, 0]


def test_a_sleeping_block_has_no_gradient_and_takes_no_part_in_clipping(tiny_gpt, tiny_task):
    method = FreezeLayers(2, unfreeze=0.5)
    method.attach(tiny_gpt)
    method.before_step(0, 2, range(4))
    tiny_gpt.loss(collate(encode_examples(tiny_gpt, tiny_task.train[:4]))).backward()
    reached = {name for name, parameter in method.named_parameters().items() if parameter.grad is not None}
    assert reached == {name for name in method.named_parameters() if ".blocks.1." in name}
    method.after_backward(0, 2)
    assert all(parameter.requires_grad for parameter in method.named_parameters().values())
    assert {name.split(".")[2] for name in method.named_parameters()} == {"0", "1"}


def test_what_is_kept_was_trained_after_the_last_block_woke(tiny_gpt, tiny_task):
    """Patience is counted from there, too: a run does not stop while blocks are still asleep."""
    method = FreezeLayers(2, unfreeze=0.5)
    method.attach(tiny_gpt)
    settings = {"evaluate_every": 2, "patience": 1, "learning_rate": 1e-9}  # no score is ever better
    moved, result = moves_by_step(tiny_gpt, tiny_task, method, 12, **settings)
    assert result.best_step == 6 and len(moved) == 8


def test_a_run_that_is_killed_while_a_block_is_asleep_goes_on_as_if_it_had_not_been(
    make_tiny_model, tiny_task, tmp_path
):
    settings, ends = TrainingSettings(steps=6, batch_size=16, evaluate_every=2, learning_rate=0.02), []
    for folder, killed_at in (("whole", None), ("broken", 3), ("broken", None)):
        model, method = make_tiny_model(), FreezeLayers(2, unfreeze=0.7)  # the lower block wakes at step 4
        method.attach(model)

        def watch(step, total, killed_at=killed_at, act=method.after_backward):
            if step == killed_at:
                raise KeyboardInterrupt
            act(step, total)

        method.after_backward = watch
        with pytest.raises(KeyboardInterrupt) if killed_at else nullcontext():
            fine_tune(model, method, tiny_task, settings, tmp_path / folder)
        ends.append(method.state_dict())
    assert ends[0].keys() == ends[1].keys() == ends[2].keys()
    assert all(torch.equal(ends[0][name], ends[2][name]) for name in ends[0])


def test_a_run_that_stops_while_blocks_are_asleep_can_be_saved_and_detached(tiny_gpt, tmp_path):
    batch = random_batch()
    expected = tiny_gpt(batch)
    method = FreezeLayers(2, unfreeze=0.5)
    method.attach(tiny_gpt)
    method.before_step(0, 10, range(4))
    method.load_state_dict(method.state_dict())  # as a failed run does, to put the last good weights back
    save_adapter(tmp_path / "adapter.pt", tiny_gpt, method)
    method.before_step(0, 10, range(4))
    method.detach()
    assert all(parameter.requires_grad for parameter in tiny_gpt.parameters())
    assert torch.equal(tiny_gpt(batch), expected)


def test_a_new_head_learns_the_task_through_the_usual_face(make_tiny_model, tiny_task, tmp_path):
    """Training, ranking, writing and the adapter file know nothing of the head."""
    torch.manual_seed(0)
    model, method = make_tiny_model(), FreezeLayers(1, head="new", labels=LABELS)
    method.attach(model)
    assert isinstance(model.head, LabelHead)
    settings = TrainingSettings(steps=90, batch_size=16, learning_rate=1e-2, evaluate_every=30, schedule="constant")
    result = fine_tune(model, method, tiny_task, settings)
    assert result.losses[0] > 0.7 and evaluate(model, tiny_task, "test")["score"] == 100.0
    batch = collate(encode_examples(model, tiny_task.test))
    written = [model.tokenizer.decode(row) for row in model.generate(batch, 3)]
    assert written == [example.target for example in tiny_task.test]
    save_adapter(tmp_path / "adapter.pt", model, method)
    fresh = make_tiny_model()
    load_adapter(tmp_path / "adapter.pt", fresh, {"freeze_layers": FreezeLayers})
    assert torch.equal(fresh(batch), model(batch))


def test_a_linear_probe_trains_the_head_alone():
    model = MAKERS["gpt"]()
    method = FreezeLayers(0, head="new", labels=LABELS)
    method.attach(model)
    assert {name: tuple(p.shape) for name, p in method.named_parameters().items()} == {
        "head.linear.weight": (3, 16),
        "head.linear.bias": (3,),
    }


def test_a_target_that_is_no_label_of_the_new_head_is_refused_before_training(tiny_t5, tiny_task):
    method = FreezeLayers(head="new", labels=("warm", "red"))
    method.attach(tiny_t5)
    with pytest.raises(UserError, match="no class for 'cold', only warm, red"):
        fine_tune(tiny_t5, method, tiny_task, TrainingSettings(steps=1))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"layers": 3}, "The encoder has 2 blocks, not 3"),
        ({"layers": 0}, "nothing is trained"),
        ({"layers": -1, "head": "train"}, "nothing is trained"),
        ({"head": "old"}, "'none', 'train' or 'new', not 'old'"),
        ({"head": "new"}, "needs the labels"),
        ({"decay": 0.0}, "above 0, not 0.0"),
        ({"unfreeze": 1.0}, "a share of the steps, from 0 to below 1: 1.0"),
        ({"unfreeze": -0.1}, "a share of the steps, from 0 to below 1: -0.1"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(tiny_t5, settings, words):
    with pytest.raises(UserError, match=words):
        FreezeLayers(**settings).attach(tiny_t5)
