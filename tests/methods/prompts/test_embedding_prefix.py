"""The embedding-only prefix: with vectors of real words it is the plain model reading these words in every stack."""

import pytest
import torch
from helpers.laws import new_model
from helpers.models import random_batch, tiny_gpt2, tiny_t5

from minipeft.errors import UserError
from minipeft.methods.prompts.embedding_prefix import EmbeddingPrefix

WORDS = [8, 3, 30]


def before(ids, mask):
    """WORDS before each row of ids, and the mask of both."""
    rows = torch.tensor([WORDS]).expand(len(ids), -1)
    return torch.cat([rows, ids], dim=1), torch.cat([torch.ones_like(rows, dtype=torch.bool), mask], dim=1)


def with_words(model):
    method = EmbeddingPrefix(prefix_length=3, reparametrise=False)
    method.attach(model)
    for parameter in method.named_parameters().values():
        parameter.copy_(model.embedding.weight[WORDS])
    return method


@torch.no_grad()
def test_a_gpt_reads_the_vectors_as_words_before_its_text():
    model, batch, written = tiny_gpt2(), random_batch(), random_batch()
    written.source, written.source_mask = before(batch.source, batch.source_mask)
    expected = model(written), model.generate(written, 6)
    with_words(model)
    torch.testing.assert_close(model(batch), expected[0], atol=1e-5, rtol=1e-5)
    assert model.generate(batch, 6) == expected[1]


@torch.no_grad()
def test_a_t5_reads_the_vectors_as_words_before_its_source_and_before_its_answer():
    model, batch = tiny_t5(), random_batch()
    source, source_mask = before(batch.source, batch.source_mask)
    context, context_mask = model.encoder(model.embedding(source), source_mask)
    start = torch.cat([torch.zeros_like(batch.target[:, :1]), batch.target[:, :-1]], dim=1)
    target, target_mask = before(start, batch.target_mask)
    hidden, _ = model.decoder(model.embedding(target), target_mask, context, context_mask)
    expected = model.head(hidden[:, 3:])
    method = with_words(model)
    assert len(method.state_dict()) == 2
    got = model(batch)
    torch.testing.assert_close(got[batch.target_mask], expected[batch.target_mask], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_network_is_the_one_of_the_docstring():
    model, method = new_model("t5"), EmbeddingPrefix(prefix_length=3, inner=7)
    method.attach(model)
    table = method.state_dict()["decoder.prefix.table"]
    named = {path.removeprefix("decoder.prefix."): p for path, p in method.named_parameters().items()}
    for row in range(3):
        inner = torch.tanh(named["inner.weight"] @ named["positions"][row] + named["inner.bias"])
        expected = named["outer.weight"] @ inner + named["outer.bias"]
        torch.testing.assert_close(table[row], expected)
    assert method.trained_count() == 2 * (3 * 12 + 7 * (12 + 1) + 12 * (7 + 1))
    assert method.stored_count() == 2 * 3 * 12


def test_a_prefix_that_leaves_no_positions_is_refused():
    with pytest.raises(UserError, match="A prefix of 40 leaves no room in 40 positions"):
        EmbeddingPrefix(prefix_length=40).attach(tiny_gpt2())
    with pytest.raises(UserError, match="at least 1"):
        EmbeddingPrefix(prefix_length=0)
