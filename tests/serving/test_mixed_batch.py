"""Many tasks in one batch: every row gets what it gets alone with its own adapter."""

from dataclasses import replace

import pytest
import torch
from helpers.models import FAMILIES, SLOW_LLAMA, random_batch

from minipeft.errors import UserError
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.low_rank.lora_plus import LoRAPlus
from minipeft.methods.low_rank.rslora import RSLoRA
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.selective.norm_tuning import NormTuning
from minipeft.serving.mixed_batch import MixedBatch
from minipeft.training.evaluating import evaluate

ROWS = [2, 0, 2, 1]
KINDS = {
    "lora": lambda: LoRA(rank=2, alpha=3.0),
    "lora on values and head": lambda: LoRA(rank=3, alpha=8.0, targets=("value", "head")),
    "rslora of two ranks": lambda: RSLoRA(rank=3, alpha=2.0, targets=("query", "up"), rank_pattern={"up": 1}),
    "lora_plus": lambda: LoRAPlus(rank=2, alpha=3.0, targets=("value",)),
    "prompt_tuning": lambda: PromptTuning(prompt_length=3, init="uniform"),
}
families, kinds = pytest.mark.parametrize("family", ["t5", "gpt2", SLOW_LLAMA]), pytest.mark.parametrize("kind", KINDS)


def adapters(model, kind, count=3):
    """States of `count` different adapters, all far from their start."""
    states = []
    for seed in range(count):
        method = KINDS[kind]()
        method.attach(model)
        generator = torch.Generator().manual_seed(seed)
        states.append({name: 0.5 * torch.randn(value.shape, generator=generator)
                       for name, value in method.state_dict().items()})  # fmt: skip
        method.detach()
    return states


def one_row(batch, row):
    """The row without its padding."""
    source, target = int(batch.source_mask[row].sum()), int(batch.target_mask[row].sum())
    return replace(
        batch,
        **{name: getattr(batch, name)[row : row + 1, :source] for name in ("source", "source_mask")},
        **{name: getattr(batch, name)[row : row + 1, :target] for name in ("target", "target_mask")},
    )


def answers(batch):
    """Three candidate answers for every row."""
    ids = torch.stack([batch.target.roll(shift, 0) for shift in range(3)], dim=1)
    masks = torch.stack([batch.target_mask.roll(shift, 0) for shift in range(3)], dim=1)
    return ids, masks


@families
@kinds
@torch.no_grad()
def test_logits_scores_and_written_answers_of_a_mixed_batch_are_those_of_each_row_alone(family, kind):
    model, batch = FAMILIES[family](), random_batch()
    states, (ids, masks) = adapters(model, kind), answers(batch)
    expected = []
    for row, task in enumerate(ROWS):
        method, alone = KINDS[kind](), one_row(batch, row)
        method.attach(model)
        method.load_state_dict(states[task])
        expected.append((model(alone)[0], model.score(alone, ids[row : row + 1], masks[row : row + 1])[0],
                         model.generate(alone, 7)[0]))  # fmt: skip
        method.detach()
    mixed = MixedBatch(KINDS[kind](), states)
    mixed.attach(model)
    with mixed.rows(ROWS):
        logits, scores, written = model(batch), mixed.score(batch, ids, masks), model.generate(batch, 7)
    for row, (own_logits, own_scores, own_answer) in enumerate(expected):
        torch.testing.assert_close(logits[row, : len(own_logits)], own_logits, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(scores[row], own_scores, atol=2e-4, rtol=1e-4)
        assert written[row] == own_answer
    with mixed.rows([1, 1, 0, 2]):  # and the rows do decide
        assert (model(batch) - logits).abs().amax((1, 2)).gt(0.01).all()


@families
@kinds
@torch.no_grad()
def test_detaching_leaves_the_model_bit_for_bit(family, kind):
    model, batch = FAMILIES[family](), random_batch()
    before = {path: value.clone() for path, value in model.state_dict().items()}
    modules, flags = list(model.named_modules()), [p.requires_grad for p in model.parameters()]
    expected, states = model(batch), adapters(model, kind)
    mixed = MixedBatch(KINDS[kind](), states)
    mixed.attach(model)
    assert mixed.named_parameters() == {}
    with mixed.rows([1]):
        assert not torch.equal(model(batch), expected)
    mixed.detach()
    assert list(model.named_modules()) == modules and [p.requires_grad for p in model.parameters()] == flags
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[path]) for path, value in model.state_dict().items())
    assert torch.equal(model(batch), expected)


def test_one_number_is_for_all_rows_so_that_a_task_can_be_evaluated(make_tiny_model, tiny_task):
    model = make_tiny_model()
    states = adapters(model, "lora")
    mixed = MixedBatch(KINDS["lora"](), states)
    mixed.attach(model)
    with mixed.rows([2]):
        together = evaluate(model, tiny_task, "dev", batch_size=7, predictions=True)
    mixed.detach()
    method = KINDS["lora"]()
    method.attach(model)
    method.load_state_dict(states[2])
    assert evaluate(model, tiny_task, "dev", predictions=True) == together


def test_a_template_is_read_as_prompt_tuning_reads_it(tiny_t5):
    method = PromptTuning(prompt_length=2, template="the {source} is")
    method.attach(tiny_t5)
    states, expected = [method.state_dict()], method.source_ids("fox and owl")
    method.detach()
    mixed = MixedBatch(method, states)
    mixed.attach(tiny_t5)
    assert mixed.source_ids("fox and owl") == expected == tiny_t5.tokenizer.encode("the fox and owl is")


@pytest.mark.parametrize("kind", ["lora", "prompt_tuning"])
def test_rows_that_name_no_adapter_or_not_every_row_are_refused(kind):
    model, batch = FAMILIES["t5"](), random_batch()
    mixed = MixedBatch(KINDS[kind](), adapters(model, kind))
    mixed.attach(model)
    with pytest.raises(UserError, match="Say which adapter each row"):
        model(batch)
    with pytest.raises(UserError, match="3 rows were named and the batch has 4"), mixed.rows([0, 1, 2]):
        model(batch)
    for wrong in ([0, 3], [-1], []):
        with pytest.raises(UserError, match="from 0 to 2"), mixed.rows(wrong):
            pass
    with pytest.raises(UserError, match="Say which"):  # the rows ended with their block, failed or not
        model(batch)
    with pytest.raises(UserError, match="mixed_batch cannot be merged"):
        mixed.merge()


def test_adapters_that_do_not_belong_together_are_refused_and_the_model_left_plain():
    model = FAMILIES["gpt2"]()
    states = adapters(model, "lora")
    with pytest.raises(UserError, match="use the hyper-parameters it was saved with"):
        MixedBatch(LoRA(rank=3), states).attach(model)
    with pytest.raises(UserError, match="lacks"):
        MixedBatch(KINDS["lora"](), [states[0], {}]).attach(model)
    with pytest.raises(UserError, match="not of norm_tuning"):
        MixedBatch(NormTuning(), [{}])
    with pytest.raises(UserError, match="at least one state_dict"):
        MixedBatch(LoRA(), [])
    assert not hasattr(model, "attached_method") and type(model.decoder.blocks[0].attention.query) is torch.nn.Linear
