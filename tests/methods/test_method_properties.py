"""The contract of a method, run over every registered method, all model families, float32 and bfloat16."""

import json
import tempfile
from dataclasses import replace

import pytest
import torch
from helpers.laws import assert_same_snapshot, batch_for, draw_method, few, new_model, snapshot, train
from helpers.method_table import TABLE, Sizes, new_method
from helpers.models import random_batch
from helpers.scrambling import scramble
from hypothesis import given
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.transformer.batch import Batch

CASES = [
    (name, family) for name, row in TABLE.items() for family in ("t5", "gpt2", "llama") if family not in row.refuses
]
# A Llama differs from a GPT-2 inside attention: methods that meet its keys, values and queries are tried on it here,
# the others by `pytest -m slow`.
MEET_A_LLAMA = {"ia3", "infix_tuning", "lora", "multi_head_parallel_adapter", "prefix_tuning"}


def tried(cases, slow=lambda name, family: False):
    """The cases, some of them left to `pytest -m slow`."""
    late = [family == "llama" and name not in MEET_A_LLAMA or slow(name, family) for name, family in cases]
    return pytest.mark.parametrize(
        "name, family",
        [
            pytest.param(*case, marks=pytest.mark.slow) if is_late else case
            for case, is_late in zip(cases, late, strict=True)
        ],
    )


every_case = tried(CASES)
# The costliest laws are tried on one family here and on the others by `pytest -m slow`.
every_case_slowly = tried(CASES, lambda name, family: family != "t5")
# 16-bit cases take as long again as the others and are left to `pytest -m slow`, which CI runs too.
both_types = pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=["float32", "bfloat16"]
)


def test_the_table_has_a_row_for_every_registered_method_and_no_other():
    assert set(TABLE) == set(METHODS)
    assert all(METHODS[name].name == name for name in METHODS)
    learning = [METHODS[name]() for name, row in TABLE.items() if not row.trains_nothing]
    assert all(method.suggested_learning_rate in method.learning_rate_grid for method in learning)


@both_types
@every_case
@few
@given(data=st.data())
def test_training_moves_what_is_trained_and_not_one_bit_of_the_frozen_base(name, family, dtype, data):
    model = new_model(family, dtype).train()
    method = draw_method(data, name, model)
    method.attach(model)
    trained = method.named_parameters()
    frozen = {path: p.clone() for path, p in model.named_parameters() if path not in trained}
    before = {path: p.detach().clone() for path, p in trained.items()}
    reached = train(model, method)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[path], value) and now[path].grad is None for path, value in frozen.items())
    if TABLE[name].trains_nothing:
        assert not trained
        return
    must_move = [path for path in trained if not path.endswith(TABLE[name].gradient_free or "none")]
    assert must_move and all(reached[path] for path in must_move), [p for p in must_move if not reached[p]]
    moved = [
        not torch.equal(now[path], before[path])
        for path in must_move
        if not path.endswith(TABLE[name].may_return or "none")
    ]
    assert all(moved) if dtype is torch.float32 else any(moved)  # bfloat16 rounds a small step on a large number away


@every_case
def test_a_training_step_under_bfloat16_autocast_has_finite_gradients(name, family):
    """Whatever the CPU: with older instruction sets, some kernels exist for 32 bits alone."""
    model = new_model(family).train()
    method = new_method(name, model)
    method.attach(model)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(batch_for(method)) + method.penalty()
    if not TABLE[name].trains_nothing:
        loss.backward()
    gradients = [parameter.grad for parameter in method.named_parameters().values() if parameter.grad is not None]
    assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    assert gradients or TABLE[name].trains_nothing


@pytest.mark.slow
@every_case_slowly
@few
@given(data=st.data())
def test_gradients_are_the_same_under_gradient_checkpointing(name, family, data):
    model = new_model(family).train()
    method = draw_method(data, name, model)
    method.attach(model)
    scramble(method)
    gradients = []
    for on in (False, True):
        model.set_gradient_checkpointing(on)
        model.zero_grad()
        if TABLE[name].trains_nothing:
            return
        torch.manual_seed(0)  # what a step draws
        model.loss(batch_for(method)).backward()
        gradients.append([parameter.grad for parameter in method.named_parameters().values()])
    assert any(gradient.any() for gradient in gradients[0] if gradient is not None)
    torch.testing.assert_close(gradients[1], gradients[0])


@both_types
@tried([case for case in CASES if METHODS[case[0]].starts_at_identity])
@few
@given(data=st.data())
def test_a_method_that_starts_at_identity_does_not_change_one_bit_of_the_output(name, family, dtype, data):
    model, batch = new_model(family, dtype), random_batch()
    expected = model(batch)
    draw_method(data, name, model).attach(model)
    assert torch.equal(model(batch), expected)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
@tried([case for case in CASES if TABLE[case[0]].starts_within])
def test_a_method_that_starts_near_the_base_model_changes_the_output_a_little_and_not_more(name, family, seed):
    model, batch = new_model(family), random_batch()
    expected = model(batch)
    torch.manual_seed(seed)
    new_method(name, model).attach(model)
    change = float((model(batch) - expected).abs().max() / expected.abs().max())
    assert 0 < change < TABLE[name].starts_within


def test_an_adapter_starts_at_the_base_model_or_near_it():
    parts_of_it_start_elsewhere = {"adapter_fusion", "mam"}  # at trained adapters, at a random prefix
    for name in {name for name in METHODS if ".adapters." in METHODS[name].__module__} - parts_of_it_start_elsewhere:
        assert METHODS[name].starts_at_identity != bool(TABLE[name].starts_within), name


@both_types
@every_case_slowly
@few
@given(data=st.data())
def test_detaching_a_trained_method_leaves_the_original_model_bit_for_bit(name, family, dtype, data):
    model, batch = new_model(family, dtype), random_batch()
    model.decoder.blocks[0].train()
    next(model.parameters()).requires_grad_(False)
    before, expected = snapshot(model), model(batch)
    method = draw_method(data, name, model)
    method.attach(model)
    train(model.train(), method)
    method.detach()
    assert_same_snapshot(snapshot(model), before)
    assert torch.equal(model(batch), expected)
    assert all(parameter.grad is None for parameter in model.parameters())
    method.attach(model)  # and both can be used again


@every_case
@few
@given(data=st.data())
def test_merging_keeps_the_outputs_and_leaves_no_module_behind_or_says_why_not(name, family, data):
    model = new_model(family, torch.float64)  # where rounding cannot be taken for a wrong term, nor a term for rounding
    method = draw_method(data, name, model)
    kinds = [(path, type(module)) for path, module in model.named_modules()]
    method.attach(model)
    scramble(method)
    batch = batch_for(method)
    expected = model(batch)
    if method.can_merge:
        method.merge()
        torch.testing.assert_close(model(batch), expected, atol=1e-9 * float(expected.detach().abs().max()), rtol=0)
        assert [(path, type(module)) for path, module in model.named_modules()] == kinds
        assert all(parameter.requires_grad for parameter in model.parameters())
        method.attach(model)
    else:
        with pytest.raises(UserError, match=f"{name} cannot be merged: .*Keep it attached"):
            method.merge()
        assert torch.equal(model(batch), expected)


@both_types
@every_case_slowly
@few
@given(data=st.data())
def test_saved_numbers_loaded_on_a_fresh_base_give_bit_identical_outputs(name, family, dtype, data):
    model = new_model(family, dtype)
    method = draw_method(data, name, model)
    method.attach(model)
    scramble(method)
    batch = batch_for(method)
    state, expected = method.state_dict(), model(batch)
    scramble(method)  # the saved numbers are a copy, not a view
    fresh, again = new_model(family, dtype), METHODS[name](**json.loads(json.dumps(method.hyperparameters())))
    again.attach(fresh, state)
    assert torch.equal(fresh(batch), expected)
    assert again.fingerprint == method.fingerprint
    assert sum(tensor.numel() for tensor in state.values()) == method.stored_count()


# On the hollow copy that a file is tried on first, to quantize takes seconds.
@tried(CASES, lambda name, family: name in ("qlora", "loftq", "qpissa") or family != "t5")
@few
@given(data=st.data())
def test_an_adapter_file_gives_the_same_outputs_on_a_fresh_base(name, family, data):
    model = new_model(family)
    method = draw_method(data, name, model)
    method.attach(model)
    scramble(method)
    fresh, batch = new_model(family), batch_for(method)
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(f"{folder}/adapter.pt", model, method)
        again = load_adapter(f"{folder}/adapter.pt", fresh, METHODS)
    assert torch.equal(fresh(batch), model(batch))
    assert json.dumps(again.hyperparameters()) == json.dumps(method.hyperparameters())


@every_case
def test_loading_refuses_a_missing_an_unexpected_and_a_misshapen_tensor(name, family):
    model = new_model(family)
    method = new_method(name, model)
    method.attach(model)
    good = method.state_dict()
    if TABLE[name].trains_nothing:
        assert good == {}
        with pytest.raises(UserError, match="unexpected 'ghost'"):
            method.load_state_dict({"ghost": torch.zeros(1)})
        return
    first = next(iter(good))
    missing, misshapen = dict(good), dict(good)
    del missing[first]
    misshapen[first] = torch.zeros(*good[first].shape, 2)
    for state, words in (
        (missing, f"lacks '{first}'"),
        ({**good, "ghost": good[first]}, "unexpected 'ghost'"),
        (misshapen, "use the hyper-parameters it was saved with"),
    ):
        with pytest.raises(UserError, match=words):
            method.load_state_dict(state)
    assert all(torch.equal(value, good[path]) for path, value in method.state_dict().items())


@every_case
@few
@given(data=st.data())
def test_stored_count_is_the_formula_of_the_docstring(name, family, data):
    model = new_model(family)
    method = draw_method(data, name, model)
    method.attach(model)
    assert method.stored_count() == TABLE[name].count(Sizes(model.config), method)


@every_case
def test_a_second_method_and_a_second_model_are_refused(name, family):
    model = new_model(family)
    method = new_method(name, model)
    with pytest.raises(UserError, match="not attached"):
        method.detach()
    method.attach(model)
    with pytest.raises(UserError, match=f"already carries {name}"):
        METHODS["full"]().attach(model)
    with pytest.raises(UserError, match="attached to another model"):
        method.attach(new_model(family))


@pytest.mark.parametrize("name, family", [(name, family) for name in TABLE for family in TABLE[name].refuses])
def test_a_method_that_does_not_apply_says_so_and_leaves_the_model_alone(name, family):
    model = new_model(family)
    before = snapshot(model)
    with pytest.raises(UserError, match=TABLE[name].refuses[family]):
        METHODS[name]().attach(model)
    assert_same_snapshot(snapshot(model), before)
    METHODS["full"]().attach(model)


def greedy_without_cache(model, source, length):
    """One unpadded row's answer, every step reading source and answer from the start."""
    written = []
    while len(written) < length and model.config.eos not in written:
        target = torch.tensor([[*written, 0]])  # the last token is not read, only predicted
        batch = Batch(
            source, torch.ones_like(source, dtype=torch.bool), target, torch.ones_like(target, dtype=torch.bool)
        )
        written.append(int(model(batch)[0, -1].argmax()))
    return [token for token in written if token != model.config.eos]


@torch.no_grad()
@every_case_slowly
@few
@given(data=st.data())
def test_decoding_with_caches_equals_decoding_without(name, family, data):
    model = new_model(family)
    method = draw_method(data, name, model)
    method.attach(model)
    scramble(method)
    batch = batch_for(method)
    rows = [row[mask][None] for row, mask in zip(batch.source, batch.source_mask, strict=True)]
    assert model.generate(batch, 6) == [greedy_without_cache(model, row, 6) for row in rows]


@torch.no_grad()
@every_case
@few
@given(data=st.data())
def test_scores_are_the_log_likelihoods_of_reading_each_candidate_with_its_source(name, family, data):
    model = new_model(
        family, torch.float64
    )  # two ways of computing one number: only float64 tells rounding from a fault
    method = draw_method(data, name, model)
    method.attach(model)
    scramble(method)
    batch = batch_for(method, targets=(4, 2, 3, 1))
    candidates = torch.stack([batch.target, batch.target.roll(1, 0)], dim=1)  # (batch, 2, length)
    masks = torch.stack([batch.target_mask, batch.target_mask.roll(1, 0)], dim=1)
    scores = model.score(batch, candidates, masks)
    for choice in range(2):
        read = Batch(batch.source, batch.source_mask, candidates[:, choice], masks[:, choice])
        logs = model(read).log_softmax(-1).gather(2, read.target[:, :, None])[:, :, 0]
        torch.testing.assert_close(
            scores[:, choice], logs.masked_fill(~read.target_mask, 0.0).sum(1), atol=1e-9, rtol=1e-9
        )


@torch.no_grad()
@every_case
def test_padding_does_not_change_the_answer_of_an_adapted_model(name, family):
    model = new_model(family, torch.float64)  # as above
    method = new_method(name, model)
    method.attach(model)
    scramble(method)
    batch = batch_for(method)
    alone = replace(batch, **{key: getattr(batch, key)[1:2, :4] for key in ("target", "target_mask")})
    length = int(batch.source_mask[1].sum())
    assert length < batch.source.shape[1]
    alone = replace(alone, source=batch.source[1:2, :length], source_mask=batch.source_mask[1:2, :length])
    torch.testing.assert_close(model(alone)[0], model(batch)[1, :4], atol=1e-9, rtol=1e-9)
