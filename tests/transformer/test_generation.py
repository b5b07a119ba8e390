"""Generation and scoring against decoding that keeps no cache and pads nothing."""

from collections import Counter
from dataclasses import replace

import torch
from helpers.batches import assert_close, every_family, one_by_one, with_more_padding
from helpers.models import FAMILIES, VOCABULARY, random_batch, random_rows

from minipeft.transformer.batch import Batch, pad

LENGTH = 7


def answer_without_cache(model, source, choose=lambda logits: logits.argmax(-1)):
    """One row's answer, every step reading source and answer from the start."""
    written = []
    for _ in range(LENGTH):
        target = torch.tensor([written + [0]])  # the last token is not read, only predicted
        source_mask, target_mask = torch.ones_like(source).bool(), torch.ones_like(target).bool()
        token = int(choose(model(Batch(source, source_mask, target, target_mask))[:, -1]))
        if token == model.config.eos:
            break
        written.append(token)
    return written


@every_family
@torch.no_grad()
def test_cached_greedy_generation_equals_decoding_without_cache(family):
    model, batch = FAMILIES[family](), random_batch(sources=(7, 3, 5, 1, 6, 4, 2, 2), targets=(2,) * 8)
    later = Counter(token for answer in model.generate(batch, LENGTH) for token in answer[1:4])
    model.config = replace(model.config, eos=later.most_common(2)[1][0])  # so that rows end at different steps
    expected = [answer_without_cache(model, alone.source) for alone in one_by_one(batch)]
    assert len(set(map(len, expected))) > 1
    assert model.generate(batch, LENGTH) == expected
    assert model.generate(with_more_padding(batch, 3), LENGTH) == expected


@every_family
@torch.no_grad()
def test_cached_sampling_equals_sampling_without_cache(family):
    """Greedy answers of a random model repeat themselves; at a high temperature every step reads another token."""
    model = FAMILIES[family]()
    for row, alone in enumerate(one_by_one(random_batch(sources=(7, 3, 5, 1, 6), targets=(2,) * 5))):
        one, two = torch.Generator().manual_seed(row), torch.Generator().manual_seed(row)
        draw = lambda logits: torch.multinomial((logits / 8.0).softmax(-1), 1, generator=one)  # noqa: B023, E731
        expected = answer_without_cache(model, alone.source, draw)
        assert len(set(expected)) > 2
        assert model.generate(alone, LENGTH, temperature=8.0, generator=two) == [expected]


@every_family
def test_sampled_generation_repeats_with_the_same_seed_only(family):
    model, batch = FAMILIES[family](), random_batch()
    draw = lambda seed: model.generate(batch, LENGTH, temperature=1.5, generator=torch.Generator().manual_seed(seed))  # noqa: E731
    assert draw(3) == draw(3) != draw(4)


@every_family
def test_sampling_follows_the_softmax_at_its_temperature(family):
    model, row = FAMILIES[family](), next(one_by_one(random_batch()))
    first = model(row)[0, 0].detach()
    many = Batch(row.source.expand(4000, -1), row.source_mask.expand(4000, -1))
    drawn = model.generate(many, 1, temperature=2.0, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([answer[0] if answer else model.config.eos for answer in drawn])
    shares = torch.bincount(ids, minlength=VOCABULARY) / 4000
    assert_close(shares, (first / 2.0).softmax(-1), atol=0.035)  # over four standard errors of a share of one half


@every_family
def test_top_k_draws_from_the_k_likeliest_tokens_only(family):
    model, row = FAMILIES[family](), next(one_by_one(random_batch()))
    likeliest = set(model(row)[0, 0].topk(3).indices.tolist())
    many = Batch(row.source.expand(500, -1), row.source_mask.expand(500, -1))
    drawn = model.generate(many, 1, temperature=3.0, top_k=3, generator=torch.Generator().manual_seed(0))
    assert {answer[0] if answer else model.config.eos for answer in drawn} == likeliest


@every_family
def test_top_1_and_temperature_zero_are_greedy(family):
    model, batch = FAMILIES[family](), random_batch()
    assert model.generate(batch, LENGTH, temperature=0.7, top_k=1) == model.generate(batch, LENGTH)


@every_family
@torch.no_grad()
def test_score_is_the_sum_of_the_log_probabilities_that_forward_gives(family):
    model, batch = FAMILIES[family](), random_batch()
    answers = [random_rows((1, 4, 2), seed=10 + row) for row in range(len(batch))]
    answers = [[[*answer, 1] for answer in row] for row in answers]  # three candidates a row, 2 to 5 tokens
    flat, mask = pad([answer for row in answers for answer in row])
    found = model.score(batch, flat.view(4, 3, -1), mask.view(4, 3, -1))
    for row, alone in enumerate(one_by_one(batch)):
        for choice, answer in enumerate(answers[row]):
            target = torch.tensor([answer])
            logits = model(Batch(alone.source, alone.source_mask, target, target > 0))[0].double()
            by_token = logits.log_softmax(-1)[torch.arange(len(answer)), target[0]]
            assert_close(found[row, choice].double(), by_token.sum(), atol=1e-4)
    wider = with_more_padding(batch, 2)
    assert_close(model.score(wider, flat.view(4, 3, -1), mask.view(4, 3, -1)), found, atol=1e-4)


@every_family
@torch.no_grad()
def test_scores_of_all_one_token_answers_are_a_probability_distribution(family):
    model, batch = FAMILIES[family](), random_batch()
    every = torch.arange(VOCABULARY).expand(len(batch), -1)[:, :, None]
    scores = model.score(batch, every, torch.ones_like(every, dtype=torch.bool))
    assert_close(scores.exp().sum(1), torch.ones(len(batch)))


@every_family
def test_generating_nothing_gives_empty_answers(family):
    assert FAMILIES[family]().generate(random_batch(), 0) == [[]] * 4


@every_family
@torch.no_grad()
def test_a_wider_model_keeps_its_width_in_loss_and_scores(family):
    """In float64 the loss is what the logits say to 1e-12; float32 on the way would leave 1e-7."""
    model, batch = FAMILIES[family]().double(), random_batch()
    logits = model(batch)
    places = batch.target_mask
    token_scores = logits.log_softmax(-1).gather(2, batch.target[..., None])[..., 0]  # (batch, length)
    loss = model.loss(batch)
    assert loss.dtype == torch.float64
    torch.testing.assert_close(loss, -token_scores[places].mean(), rtol=1e-12, atol=1e-12)
    scores = model.score(batch, batch.target[:, None], places[:, None])
    assert scores.dtype == torch.float64
    torch.testing.assert_close(scores[:, 0], (token_scores * places).sum(1), rtol=1e-12, atol=1e-12)
    assert model.half().loss(batch).dtype == torch.float32
