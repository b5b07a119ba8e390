"""P-tuning v2: prefix tuning where all layers are chosen, and a trained head that knows the labels alone."""

import pytest
import torch
from helpers.laws import new_model
from helpers.models import SLOW_LLAMA, random_batch, tiny_gpt2
from helpers.scrambling import scramble
from helpers.word_models import make_easy_task

from minipeft.errors import UserError
from minipeft.methods.heads import LabelHead
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2
from minipeft.methods.prompts.prefix_tuning import PrefixedAttention, PrefixTuning
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.training.evaluating import evaluate
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune

LABELS = ["warm", "cold"]


@torch.no_grad()
@pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA])
def test_with_all_layers_it_is_prefix_tuning(family):
    model, batch = new_model(family), random_batch()
    method = PTuningV2(prefix_length=3)
    method.attach(model)
    scramble(method)
    state, expected = method.state_dict(), model(batch)
    method.detach()
    same = PrefixTuning(prefix_length=3, reparametrise=False)
    same.attach(model)
    same.load_state_dict(state)
    assert torch.equal(model(batch), expected)


@pytest.mark.parametrize(
    "from_top, expected", [(True, {"encoder": [1], "decoder": [2]}), (False, {"encoder": [0], "decoder": [0]})]
)
def test_a_depth_of_one_prompts_the_top_or_the_bottom_layer_of_each_stack(from_top, expected):
    model = new_model("t5")  # 2 encoder layers, 3 decoder layers
    PTuningV2(depth=1, from_top=from_top).attach(model)
    for stack, layers in expected.items():
        blocks = getattr(model, stack).blocks
        kinds = [
            {name for name, part in block.named_children() if isinstance(part, PrefixedAttention)} for block in blocks
        ]
        attentions = {"attention"} if stack == "encoder" else {"attention", "cross_attention"}
        assert kinds == [attentions if number in layers else set() for number in range(len(blocks))]


@torch.no_grad()
def test_the_chosen_layers_read_the_table_in_their_order():
    model, method, outputs = tiny_gpt2(), PTuningV2(prefix_length=2, depth=2), []
    method.attach(model)
    scramble(method)
    for block in model.decoder.blocks:
        block.register_forward_hook(lambda _, inputs, output: outputs.append(output))
    model(random_batch())
    (table,) = method.named_parameters().values()
    assert table.shape[0] == 2
    table[1] += 1.0  # the upper of the two: layer 2 of 0, 1, 2
    model(random_batch())
    same = [torch.equal(before, after) for before, after in zip(outputs[:3], outputs[3:], strict=True)]
    assert same == [True, True, False]
    outputs.clear()
    table[0] += 1.0
    model(random_batch())
    table[0] -= 1.0
    model(random_batch())
    assert [torch.equal(a, b) for a, b in zip(outputs[:3], outputs[3:], strict=True)] == [True, False, False]


def test_a_depth_that_a_stack_has_not_is_refused_and_the_model_left_alone():
    model = new_model("t5")
    with pytest.raises(UserError, match="depth 3 is more than the 2 layers"):
        PTuningV2(depth=3).attach(model)
    PTuningV2(depth=2).attach(model)
    with pytest.raises(UserError, match="not -1"):
        PTuningV2(depth=-1)


@pytest.mark.parametrize("reparametrise", [False, True])
def test_labels_put_a_trained_head_on_top_and_are_counted_stored_and_loaded(
    make_tiny_model, tiny_task, tmp_path, reparametrise
):
    model = make_tiny_model()
    head, tied = model.head, model.head.weight is model.embedding.weight
    method = PTuningV2(prefix_length=3, inner=5, reparametrise=reparametrise, labels=LABELS)
    method.attach(model)
    scramble(method)
    assert isinstance(model.head, LabelHead)
    widths = {"EncoderDecoder": (6, 12), "DecoderOnly": (2, 16), "Llama": (2, 12)}  # heads * head of keys and values
    attentions, wide = widths[type(model).__name__]  # in all layers
    prompt = attentions * 2 * 3 * wide
    assert method.stored_count() == prompt + 3 * 17  # two labels and end-of-sequence; hidden size 16 and a bias
    assert (method.trained_count() == prompt + 3 * 17) == (not reparametrise)
    result = evaluate(model, tiny_task, "test", predictions=True)["predictions"]
    save_adapter(tmp_path / "adapter.pt", model, method)
    fresh = make_tiny_model()
    load_adapter(tmp_path / "adapter.pt", fresh, {"p_tuning_v2": PTuningV2})
    assert evaluate(fresh, tiny_task, "test", predictions=True)["predictions"] == result
    method.detach()
    assert model.head is head
    assert (head.weight is model.embedding.weight) == tied


def test_a_head_has_a_rate_of_its_own(make_tiny_model):
    for labels, rates in ((LABELS, [0.25, 0.5]), ((), [0.25])):
        method = PTuningV2(labels=labels, head_learning_rate=0.5)
        method.attach(make_tiny_model())
        groups = method.parameter_groups(0.25)
        assert [group["lr"] for group in groups] == rates
        assert sum(len(group["params"]) for group in groups) == len(method.named_parameters())
        if labels:
            assert {id(p) for p in groups[1]["params"]} == {id(p) for p in method.model.head.parameters()}


def test_prompt_and_head_learn_a_task_and_an_answer_without_a_class_is_refused(make_tiny_model):
    model, method = make_tiny_model(), PTuningV2(prefix_length=3, labels=LABELS)
    method.attach(model)
    settings = TrainingSettings(steps=60, batch_size=24, learning_rate=0.05, schedule="constant")
    result = fine_tune(model, method, make_easy_task(), settings)
    assert result.losses[-1] < 0.5 * result.losses[0]
    with pytest.raises(UserError, match="no class for 'red'"):
        method.answer_ids("red")
