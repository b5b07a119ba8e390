"""The label head: a classifier over tokens in the place of the vocabulary projection."""

import inspect

import pytest
import torch
from helpers.word_models import WORDS
from torch import nn

from minipeft.errors import UserError
from minipeft.methods import heads
from minipeft.methods.heads import LabelHead, label_head
from minipeft.methods.targets import replace_modules
from minipeft.training.batches import collate, encode_examples

LABELS = ("cold", "red", "warm")
CLASSES = [WORDS.index(word) for word in LABELS] + [1]  # and end-of-sequence


def moved(head):
    """The head with weights and bias far from their start."""
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(3))
    return head


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_the_classifiers_at_the_class_tokens_and_minus_infinity_elsewhere(dtype):
    head = moved(LabelHead(5, 11, [7, 2, 9], dtype=dtype))
    hidden = torch.randn(2, 4, 5, dtype=dtype)
    logits = head(1e-3 * hidden)  # the size of the hidden states must not matter
    unit = hidden.double() / hidden.double().square().mean(-1, keepdim=True).sqrt()
    assert logits.shape == (2, 4, 11) and logits.dtype == dtype
    for token in range(11):
        if token in (7, 2, 9):
            row = [7, 2, 9].index(token)
            expected = unit @ head.linear.weight[row].double() + head.linear.bias[row].double()
            tolerance = 1e-5 if dtype is torch.float32 else 0.1
            torch.testing.assert_close(logits[..., token].double(), expected, atol=tolerance, rtol=0)
        else:
            assert (logits[..., token] == -torch.inf).all()


def test_the_loss_is_the_cross_entropy_over_the_classes_alone(tiny_model, tiny_task):
    replace_modules(tiny_model, ["head"], lambda head: moved(label_head(tiny_model, LABELS)))
    batch = collate(encode_examples(tiny_model, tiny_task.train[:5]))
    states = tiny_model.answer_states(batch)  # (5, 2, hidden): a label and end-of-sequence
    losses = []
    for row in range(5):
        for place in range(2):
            unit = states[row, place] * 4 / states[row, place].norm()  # 16 numbers of root mean square 1
            scores = tiny_model.head.linear.weight @ unit + tiny_model.head.linear.bias  # (4,)
            losses.append(scores.logsumexp(0) - scores[CLASSES.index(batch.target[row, place])])
    loss = tiny_model.loss(batch)
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    loss.backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in tiny_model.head.parameters())


def test_only_labels_can_be_written(tiny_model, tiny_task):
    replace_modules(tiny_model, ["head"], lambda head: moved(label_head(tiny_model, LABELS)))
    batch = collate(encode_examples(tiny_model, tiny_task.train[:7]))
    written = tiny_model.generate(batch, 4, temperature=5.0, generator=torch.Generator().manual_seed(0))
    assert {token for row in written for token in row} == set(CLASSES[:-1])


def test_scores_of_candidates_of_unequal_length_are_numbers(tiny_model, tiny_task):
    """Padding has no class: its logit is minus infinity, and it must not count."""
    replace_modules(tiny_model, ["head"], lambda head: moved(label_head(tiny_model, LABELS)))
    batch = collate(encode_examples(tiny_model, tiny_task.train[:3]))
    padded = torch.tensor([[CLASSES[0], 1, 0], [CLASSES[1], CLASSES[2], 1]]).expand(3, 2, 3)
    alone = tiny_model.score(batch, padded[:, :1, :2], torch.ones(3, 1, 2, dtype=torch.bool))
    together = tiny_model.score(batch, padded, torch.tensor([[True, True, False], [True] * 3]).expand(3, 2, 3))
    torch.testing.assert_close(together[:, :1], alone)
    assert together.isfinite().all() and (together < 0).all()


def test_gpt2s_embedding_stays_as_it_was_when_its_tied_head_goes(tiny_gpt, tiny_task):
    before = tiny_gpt.embedding.weight.detach().clone()
    batch = collate(encode_examples(tiny_gpt, tiny_task.train[:5]))
    states = tiny_gpt.answer_states(batch)
    replace_modules(tiny_gpt, ["head"], lambda head: label_head(tiny_gpt, LABELS))
    with torch.no_grad():
        for parameter in tiny_gpt.head.parameters():
            parameter.add_(1.0)
    assert torch.equal(tiny_gpt.embedding.weight, before)
    assert torch.equal(tiny_gpt.answer_states(batch), states)


def test_the_head_starts_with_all_classes_about_equally_likely(tiny_t5):
    torch.manual_seed(0)
    head = label_head(tiny_t5, LABELS)
    likely = head(torch.randn(20, 16)).softmax(-1)[:, CLASSES]
    assert (likely - 1 / 4).abs().max() < 0.1 and likely.std() > 0
    assert sum(parameter.numel() for parameter in head.parameters()) == (3 + 1) * (16 + 1)
    assert set(head.state_dict()) == {"linear.weight", "linear.bias"}


@pytest.mark.parametrize(
    "labels, words",
    [
        (("warm and cold", "red"), "'warm and cold' is 3 tokens"),
        (("warm", "red", "warm"), "the same token as another"),
        (("warm", "</s>"), "'</s>' is the same token"),
        (("warm",), "at least two labels"),
        ((), "at least two labels"),
    ],
)
def test_labels_that_are_not_one_token_each_are_refused(tiny_t5, labels, words):
    with pytest.raises(UserError, match=words):
        label_head(tiny_t5, labels)


def test_a_model_without_tokenizer_is_refused(tiny_t5):
    del tiny_t5.tokenizer
    with pytest.raises(UserError, match="no tokenizer"):
        label_head(tiny_t5, LABELS)


def test_an_answer_without_a_class_is_refused():
    heads.check_label("red", LABELS)
    with pytest.raises(UserError, match="no class for 'green', only cold, red, warm"):
        heads.check_label("green", LABELS)


def test_the_label_head_runs_in_an_empty_file():
    namespace = {"torch": torch, "nn": nn}
    exec(inspect.getsource(LabelHead), namespace)
    assert namespace["LabelHead"](4, 9, [3, 5])(torch.randn(2, 4)).isfinite().sum() == 4
