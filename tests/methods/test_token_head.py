"""The token head: a tag for every token of the source, learned and read back as an answer."""

import inspect
import math

import pytest
import torch
from helpers.laws import assert_same_snapshot, snapshot
from helpers.word_models import EVERY_MAKER, MAKERS
from torch import nn

import minipeft
from minipeft.errors import UserError
from minipeft.memory.counting import step_memory
from minipeft.methods.prompts.p_tuning import PTuning
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.methods.registry import METHODS
from minipeft.methods.token_head import TokenHead
from minipeft.racing.beside_the_score import forgotten
from minipeft.tasks.task import Example, Task
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.training.batches import collate, encode_examples, encode_source
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transformer.batch import Batch, pad

KINDS = ("beast", "bird")
KIND_OF = {"fox": "beast", "owl": "bird", "cat": "beast", "dog": "beast", "hen": "bird"}
every_family = pytest.mark.parametrize("family", EVERY_MAKER)
METHODS_WITH_TAGS = {
    "v2": lambda **more: PTuningV2(prefix_length=3, tags=KINDS, **more),
    "v2 with a network": lambda: PTuningV2(prefix_length=3, reparametrise=True, inner=5, tags=KINDS),
    "v1": lambda: PTuning(template="[V] {source} seen [V][V]", encoder="none", tags=KINDS),
    "v1 with its LSTM": lambda: PTuning(template="[V] {source} seen [V][V]", tags=KINDS),
    "v1, all trained": lambda: PTuning(template="{source} [V]", encoder="mlp", tune_backbone=True, tags=KINDS),
}
every_method = pytest.mark.parametrize("make", METHODS_WITH_TAGS.values(), ids=METHODS_WITH_TAGS)


def make_tagging_task():
    """Which things are named, and are they beasts or birds? Between them stands a word that is neither."""
    texts = [Example(f"the {one} and a {other} is {colour}", f"{kind}: {one}; {KIND_OF[other]}: {other}")
             for one, kind in KIND_OF.items() for other in KIND_OF for colour in ("red", "blue")]  # fmt: skip
    return Task("kinds", "beasts and birds", "tagging_f1", (), tuple(texts), tuple(texts[::3]), tuple(texts[::4]))


def attached(family, make, seed=1):
    model, method = MAKERS[family](), make()
    torch.manual_seed(seed)
    method.attach(model)
    return model, method


def moved(method):
    """The method with everything that it trains away from its start."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in method.named_parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


def sources(model, *texts):
    return Batch(*pad([encode_source(model, text) for text in texts]))


def test_a_tag_stands_for_every_token_and_words_between_two_names_have_none():
    _, method = attached("t5", METHODS_WITH_TAGS["v2"])
    source = encode_source(method.model, "the owl and a cat and the owl")
    assert method.target_ids(source, "bird: owl; beast: cat") == [0, 2, 0, 0, 1, 0, 0, 0, 0]  # the last: end
    assert method.target_ids(source, "bird: owl; beast: owl") == [0, 2, 0, 0, 0, 0, 0, 1, 0]
    assert method.target_ids(source, "beast: the owl; bird: the owl") == [1, 1, 0, 0, 0, 0, 2, 2, 0]
    assert method.target_ids(source, "") == [0] * 9


def test_virtual_tokens_and_the_words_of_a_template_have_tag_0():
    _, method = attached("gpt", METHODS_WITH_TAGS["v1"])
    assert method.target_ids(encode_source(method.model, "the owl"), "bird: owl") == [0, 0, 2, 0, 0, 0]


def test_every_piece_of_a_word_has_its_tag_and_the_answer_comes_from_the_last_piece():
    model = minipeft.load("t5-0.4m")
    method = PTuningV2(tags=["tool", "animal"])
    method.attach(model)
    ids = encode_source(model, "Xylophagous (zebrafinch), a rasp.")
    pieces = [model.tokenizer.decode([token]) for token in ids]
    tags = method.target_ids(ids, "animal: zebrafinch; tool: rasp")
    assert "".join(piece for piece, tag in zip(pieces, tags, strict=True) if tag == 2).strip() == "zebrafinch"
    assert "".join(piece for piece, tag in zip(pieces, tags, strict=True) if tag == 1).strip() == "rasp"
    assert tags.count(2) > 1 and tags[-2:] == [0, 0]  # full stop and end
    assert method.answer(ids, tags) == "animal: zebrafinch; tool: rasp"
    first = tags.index(2)
    last = first + tags.count(2) - 1
    only_last = [0 if first <= place < last else tag for place, tag in enumerate(tags)]
    assert method.answer(ids, only_last) == "animal: zebrafinch; tool: rasp"
    assert method.answer(ids, [0 if place == last else tag for place, tag in enumerate(tags)]) == "tool: rasp"
    assert forgotten(model, "t5-0.4m") is None  # it writes no text, so no loss can be taken


def test_words_side_by_side_with_one_tag_are_one_name():
    model, method = attached("gpt", METHODS_WITH_TAGS["v2"])
    ids = encode_source(model, "red fox owl hen and cat")
    assert method.answer(ids, [1, 1, 2, 2, 0, 1]) == "beast: red fox; bird: owl hen; beast: cat"
    assert method.answer(ids, [0] * 6) == ""


@every_family
@every_method
def test_the_loss_is_the_mean_over_all_real_tokens_of_the_sources(family, make):
    model, method = attached(family, make)
    moved(method)
    task = make_tagging_task()
    examples = encode_examples(model, [task.train[0], Example("a cat", "beast: cat")])
    batch, losses = collate(examples), []
    states, head = model.source_states(batch).detach(), [part.detach() for part in model.head.linear.parameters()]
    for row, example in enumerate(examples):
        assert len(example.target) == len(example.source)
        for place, tag in enumerate(example.target):
            hidden = states[row, place]
            unit = hidden / hidden.square().mean().sqrt()
            scores = [float(weight @ unit + bias) for weight, bias in zip(*head, strict=True)]
            losses.append(math.log(sum(map(math.exp, scores))) - scores[tag])
    assert method.loss(batch).item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@every_family
def test_the_states_are_those_of_the_source_tokens(family):
    """Row by row and without padding they are the same; those of one stack do not see what comes later."""
    model, _ = attached(family, METHODS_WITH_TAGS["v1"])
    long, short = "the owl and a cat is red", "a hen"
    both = model.source_states(sources(model, long, short))
    for row, text in enumerate((long, short)):
        alone = model.source_states(sources(model, text))[0]
        torch.testing.assert_close(both[row, : len(alone)], alone)
    other = model.source_states(sources(model, "the owl and a cat is blue"))[0]
    same = [torch.allclose(one, two, atol=1e-6) for one, two in zip(both[0], other, strict=True)]
    assert same == ([False] * 12 if family == "t5" else [True] * 7 + [False] * 4)


@every_family
@every_method
def test_training_moves_all_that_it_uses_and_nothing_of_a_frozen_base_and_detaching_brings_the_base_back(family, make):
    model, method = MAKERS[family](), make()
    before = snapshot(model)
    method.attach(model)
    frozen = {path: p.clone() for path, p in model.named_parameters() if path not in method.named_parameters()}
    start = {path: p.detach().clone() for path, p in method.named_parameters().items()}
    fine_tune(model, method, make_tagging_task(), TrainingSettings(steps=2, batch_size=8, evaluate_every=2))
    now = dict(model.named_parameters())
    assert all(torch.equal(now[path], value) for path, value in frozen.items())
    own = [path for path in method.named_parameters() if path in start]
    assert any(not torch.equal(now[path], start[path]) for path in own if path.startswith("head."))
    assert any(not torch.equal(now[path], start[path]) for path in own if not path.startswith("head.")) or (
        len(own) < len(start)  # a network was made a table at the end
    )
    method.detach()
    assert_same_snapshot(snapshot(model), before)


@every_family
@every_method
def test_every_parameter_of_prompt_and_head_gets_a_gradient_and_the_same_one_under_checkpointing(family, make):
    gradients = []
    for checkpointing in (False, True):
        model, method = attached(family, make)
        moved(method)
        model.train()
        model.set_gradient_checkpointing(checkpointing)
        method.loss(collate(encode_examples(model, make_tagging_task().train[:6]))).backward()
        gradients.append({path: parameter.grad for path, parameter in method.named_parameters().items()})
    trained_base = getattr(method, "tune_backbone", False)
    for path, gradient in gradients[0].items():
        if gradient is None:
            assert trained_base and path.startswith("decoder.")  # a T5's decoder does not read the source
        else:
            assert gradient.isfinite().all()
            torch.testing.assert_close(gradient, gradients[1][path])
    assert all(gradients[0][path].any() for path in gradients[0] if path.startswith(("head.", "embedding.prompt")))


@every_family
@every_method
def test_an_adapter_file_gives_the_same_answers_on_a_fresh_base(family, make, tmp_path):
    model, method = attached(family, make)
    moved(method)
    task = make_tagging_task()
    answers = evaluate(model, task, "test", predictions=True)["predictions"]
    assert len(set(answers)) > 1
    save_adapter(tmp_path / "adapter.pt", model, method)
    fresh = MAKERS[family]()
    load_adapter(tmp_path / "adapter.pt", fresh, METHODS)
    assert evaluate(fresh, task, "test", predictions=True)["predictions"] == answers


@every_family
def test_what_is_stored_is_the_formula_of_the_docstrings(family):
    head = 3 * (16 + 1)  # two tags and none; hidden size 16
    wide = {"t5": 12, "gpt": 16, "llama": 12}[family]  # of keys and values, in two layers
    assert attached(family, METHODS_WITH_TAGS["v2"])[1].stored_count() == 2 * 2 * 3 * wide + head  # T5: encoder alone
    assert attached(family, lambda: METHODS_WITH_TAGS["v2"](depth=1))[1].stored_count() == 2 * 3 * wide + head
    for name in ("v1", "v1 with its LSTM"):
        assert attached(family, METHODS_WITH_TAGS[name])[1].stored_count() == 3 * 16 + head


@every_family
def test_it_learns_a_task_and_a_memory_count_asks_for_its_own_loss(family):
    model, method = attached(family, lambda: METHODS_WITH_TAGS["v2"](head_learning_rate=0.05))
    task = make_tagging_task()
    settings = TrainingSettings(steps=80, batch_size=16, learning_rate=0.1, evaluate_every=80)
    result = fine_tune(model, method, task, settings)
    assert result.losses[-1] < 0.5 * result.losses[0]
    assert evaluate(model, task, "test")["score"] > 60
    assert step_memory(model, method, task, 4)["activations"] > 0


def test_the_head_has_a_rate_of_its_own():
    for make in (METHODS_WITH_TAGS["v1"], METHODS_WITH_TAGS["v2"]):
        model, method = attached("t5", make)
        method.head_learning_rate = 0.5
        groups = method.parameter_groups(0.25)
        assert groups[-1]["lr"] == 0.5 and groups[0]["lr"] != 0.5
        assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in model.head.parameters()}
        assert sum(len(group["params"]) for group in groups) == len(method.named_parameters())


@pytest.mark.parametrize(
    "refused, words",
    [
        (lambda: PTuningV2(tags="beast"), "a list of words, not the text 'beast'"),
        (lambda: PTuning(tags=["a: b"]), "'a: b' is empty or has a space at an end, ':' or ';' in it"),
        (lambda: PTuningV2(tags=["bird", "bird"]), "name one twice"),
        (lambda: PTuningV2(tags=KINDS, labels=["warm", "cold"]), "labels or tags, not both"),
    ],
)
def test_tags_that_no_answer_could_be_written_with_are_refused(refused, words):
    with pytest.raises(UserError, match=words):
        refused()


@pytest.mark.parametrize(
    "target, words",
    [
        ("warm", "answers with 'tag: words; ...', which 'warm' is not: give labels"),
        ("fish: owl", "has no tag 'fish', only beast, bird"),
        ("bird: hen", "'hen' is none of 'the owl is red'"),
        ("bird: owl; bird: owl", "'owl' is none of"),
        ("bird: ow", "'ow' is none of"),
    ],
)
def test_an_answer_that_tags_cannot_give_is_refused_before_the_first_step(target, words):
    model, method = attached("t5", METHODS_WITH_TAGS["v2"])
    task = make_tagging_task()
    wrong = Task("wrong", "", "tagging_f1", (), (*task.train, Example("the owl is red", target)), task.dev, task.test)
    before = method.state_dict()
    with pytest.raises(UserError, match=words):
        fine_tune(model, method, wrong)
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())


def test_ranking_answers_is_refused(tiny_task):
    model, method = attached("gpt", METHODS_WITH_TAGS["v2"])
    with pytest.raises(UserError, match="give labels"):
        evaluate(model, tiny_task, "dev")
    batch = sources(model, "a cat")
    with pytest.raises(UserError, match="cannot rank answers"):
        method.score(batch, batch.source[:, None], batch.source_mask[:, None])


def test_the_token_head_runs_in_an_empty_file():
    namespace = {"torch": torch, "nn": nn}
    exec(inspect.getsource(TokenHead), namespace)
    head = namespace["TokenHead"](4, 3)
    hidden = torch.randn(2, 5, 4)
    assert head(hidden).shape == (2, 5, 4)
    torch.testing.assert_close(head(7 * hidden), head(hidden))
