"""Laws of the model families as wholes: causality, padding, loss, and the ways of running them."""

import copy
from dataclasses import replace

import pytest
import torch
from helpers.batches import assert_close, every_family, one_by_one, with_more_padding
from helpers.models import FAMILIES, VOCABULARY, random_batch, tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.transformer.batch import pad
from minipeft.transformer.causal_model import pad_left
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder


@every_family
def test_changing_a_later_target_token_changes_no_earlier_logits(family):
    model, batch = FAMILIES[family](), random_batch(targets=(5, 5, 5, 5))
    changed = copy.deepcopy(batch)
    changed.target[:, 2] = (changed.target[:, 2] + 1) % VOCABULARY
    before, after = model(batch), model(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert ((before[:, 3:] - after[:, 3:]).abs().amax(-1) > 1e-3).all()


@every_family
def test_changing_any_source_token_changes_the_logits(family):
    model, batch = FAMILIES[family](), random_batch(sources=(4, 4), targets=(3, 3))
    for position in range(4):
        changed = copy.deepcopy(batch)
        changed.source[:, position] = (changed.source[:, position] + 1) % VOCABULARY
        assert (model(batch) - model(changed)).abs().amax() > 1e-3


@every_family
def test_a_row_has_the_same_logits_alone_as_padded_in_a_batch(family):
    model, batch = FAMILIES[family](), random_batch()
    together = model(with_more_padding(batch, 3))
    for row, alone in enumerate(one_by_one(batch)):
        assert_close(together[row, : alone.target.shape[1]], model(alone)[0])


@every_family
def test_loss_is_the_mean_over_real_target_tokens_of_the_full_logits(family):
    model, batch = FAMILIES[family](), random_batch()
    log_probabilities = model(batch).double().log_softmax(-1)
    terms = [
        -log_probabilities[row, position, batch.target[row, position]]
        for row in range(len(batch))
        for position in range(batch.target.shape[1])
        if batch.target_mask[row, position]
    ]
    assert len(terms) == 2 + 4 + 1 + 3
    assert_close(model.loss(batch).double(), sum(terms) / len(terms))
    assert_close(model.loss(with_more_padding(batch, 2)), model.loss(batch))


@every_family
def test_fused_attention_gives_the_explicit_lines_numbers_and_gradients(family):
    model, batch = FAMILIES[family](), random_batch()
    explicit = model(batch).detach(), gradients(model, batch)
    model.set_fused_attention()
    assert_close(model(batch), explicit[0], atol=2e-5)
    for name, gradient in gradients(model, batch).items():
        assert_close(gradient, explicit[1][name], atol=2e-5)


def gradients(model, batch):
    model.zero_grad()
    model.loss(batch).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


@every_family
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient_checkpointing_changes_no_gradient(family, dropout):
    model, batch = FAMILIES[family](dropout=dropout).train(), random_batch()
    with torch.random.fork_rng():
        torch.manual_seed(4)
        expected = gradients(model, batch)
        model.set_gradient_checkpointing()
        torch.manual_seed(4)
        found = gradients(model, batch)
    for name, gradient in found.items():
        assert_close(gradient, expected[name], atol=1e-6)


@every_family
def test_gradient_checkpointing_keeps_fewer_activations(family):
    model, batch = FAMILIES[family](), random_batch()
    plain = kept_bytes(model, batch)
    model.set_gradient_checkpointing()
    assert kept_bytes(model, batch) < 0.6 * plain


def kept_bytes(model, batch):
    """The bytes of all tensors that autograd keeps for the backward pass."""
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.loss(batch)
    return sum(sizes)


@every_family
def test_bfloat16_stays_near_float32(family):
    model, batch = FAMILIES[family](), random_batch()
    exact = model(batch)
    rounded = model.bfloat16()(batch)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().mean() < 0.05 * exact.abs().mean()
    assert gradients(model, batch)["embedding.weight"].isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fused", [False, True])
@every_family
def test_a_cuda_device_gives_the_cpu_numbers(family, fused):
    model, batch = FAMILIES[family](), random_batch()
    logits, expected, answers = model(batch).detach(), gradients(model, batch), model.generate(batch, 6)
    model.cuda().set_fused_attention(fused)
    assert_close(model(batch.to("cuda")).cpu(), logits, atol=1e-4)
    for name, gradient in gradients(model, batch.to("cuda")).items():
        assert_close(gradient.cpu(), expected[name], atol=1e-4)
    assert model.generate(batch.to("cuda"), 6) == answers


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_family
def test_bfloat16_on_a_cuda_device_stays_near_float32(family):
    model, batch = FAMILIES[family](), random_batch()
    exact = model(batch)
    rounded = model.to("cuda", torch.bfloat16)(batch.to("cuda")).float().cpu()
    assert (rounded - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_encoder_decoder_has_weights_of_its_own_for_embedding_and_head_in_v1_1_only():
    assert tiny_t5().head.weight is not tiny_t5().embedding.weight
    tied = FAMILIES["t5-1.0"]()
    assert tied.head.weight is tied.embedding.weight


def test_a_tied_head_reads_the_hidden_state_over_the_root_of_its_size():
    tied, batch = FAMILIES["t5-1.0"](), random_batch()
    untied = EncoderDecoder(replace(tied.config, tied_head=False, rescaled=False)).eval()
    untied.load_state_dict(tied.state_dict())
    assert_close(tied(batch), untied(batch) / 12**0.5)


def test_dropout_is_off_in_eval_mode_and_on_in_training():
    for family in FAMILIES.values():
        model, batch = family(dropout=0.5), random_batch()
        assert torch.equal(model(batch), model(batch))
        model.train()
        assert not torch.equal(model(batch), model(batch))


def test_padding_moves_to_the_front_and_tokens_keep_their_order():
    ids, mask = pad([[5, 6, 7], [8]], padding=4)
    assert ids.tolist() == [[5, 6, 7], [8, 4, 4]] and mask.tolist() == [[True] * 3, [True, False, False]]
    moved, moved_mask = pad_left(ids, mask)
    assert moved.tolist() == [[5, 6, 7], [4, 4, 8]] and moved_mask.tolist() == [[True] * 3, [False, False, True]]


def test_a_text_longer_than_gpt2s_positions_is_refused_with_both_numbers():
    with pytest.raises(UserError, match="43 positions do not fit the model's 40"):
        tiny_gpt2().loss(random_batch(sources=(41,), targets=(2,)))


def test_a_hidden_size_that_heads_do_not_divide_is_refused():
    with pytest.raises(UserError, match="hidden_size 10 is not a multiple of heads 3"):
        DecoderOnlyConfig(VOCABULARY, hidden_size=10, heads=3, layers=1)
