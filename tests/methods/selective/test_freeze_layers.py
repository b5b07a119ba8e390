"""Freezing layers: which blocks train, what becomes of the head, and the learning rate of each depth."""

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


def test_each_block_learns_slower_than_the_one_above_it():
    model = FAMILIES["t5"](encoder_layers=3)  # and 3 in the decoder
    method = FreezeLayers(3, head="train", decay=0.4)
    method.attach(model)
    rates = {id(p): group["lr"] for group in method.parameter_groups(0.5) for p in group["params"]}
    trained = method.named_parameters()
    assert len(rates) == len(trained) == sum(len(group["params"]) for group in method.parameter_groups(0.5))
    for name, parameter in trained.items():
        place = name.split(".")[2] if name != "head.weight" else "head"
        expected = {"head": 0.5, "2": 0.5, "1": 0.5 * 0.4, "0": 0.5 * 0.4 * 0.4}[place]
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
        ({"decay": 0.0}, "above 0 and at most 1, not 0.0"),
        ({"decay": 1.5}, "above 0 and at most 1, not 1.5"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(tiny_t5, settings, words):
    with pytest.raises(UserError, match=words):
        FreezeLayers(**settings).attach(tiny_t5)
