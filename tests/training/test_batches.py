"""Encoding and batching: nothing cut, nothing lost, the same order for the same seed."""

import pytest
from helpers.word_models import make_tiny_gpt, make_tiny_t5

from minipeft.errors import UserError
from minipeft.tasks.task import Example
from minipeft.training.batches import BatchOrder, collate, encode_examples, epoch_order


def test_sources_and_targets_end_as_the_family_wants(tiny_t5, tiny_gpt):
    example = Example("the fox is red", "warm")
    words = tiny_t5.tokenizer.encode
    (t5,), (gpt,) = encode_examples(tiny_t5, [example]), encode_examples(tiny_gpt, [example])
    assert t5.source == words("the fox is red") + [1] and gpt.source == words("the fox is red")
    assert t5.target == gpt.target == words("warm") + [1]


@pytest.mark.parametrize("make, longest", [(make_tiny_t5, 255), (make_tiny_gpt, 46)])
def test_the_longest_example_that_fits_is_kept_whole_and_one_word_more_is_refused_by_number(make, longest):
    model = make()
    fits, too_long = (Example(" ".join(["the"] * n), "warm") for n in (longest, longest + 1))
    assert len(encode_examples(model, [fits])[0].source) == longest + len(model.source_suffix)
    with pytest.raises(UserError, match="example 2 .*the the"):
        encode_examples(model, [fits, too_long])


def test_an_empty_source_is_refused_where_nothing_closes_it(tiny_gpt):
    with pytest.raises(UserError, match="empty source"):
        encode_examples(tiny_gpt, [Example("", "warm")])


def test_an_epoch_holds_every_example_once_and_depends_on_seed_and_epoch_alone():
    lengths = [(7 * i) % 31 for i in range(203)]
    first = epoch_order(lengths, 8, seed=3, epoch=0)
    assert sorted(sum(first, [])) == list(range(203))
    assert sorted(map(len, first)) == [3] + [8] * 25
    assert first == epoch_order(lengths, 8, seed=3, epoch=0)
    assert first != epoch_order(lengths, 8, seed=3, epoch=1) != epoch_order(lengths, 8, seed=4, epoch=0)


def test_bucketing_removes_most_padding():
    lengths = [(37 * i) % 61 + 1 for i in range(512)]
    batches = epoch_order(lengths, 16, seed=0, epoch=0)
    padding = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches) / sum(lengths) - 1
    assert padding < 0.15  # about 0.9 for random batches


def test_any_step_can_be_asked_for_without_the_steps_before_it(tiny_t5, tiny_task):
    encoded = encode_examples(tiny_t5, tiny_task.train)
    walked, asked = BatchOrder(encoded, 16, seed=1), BatchOrder(encoded, 16, seed=1)
    steps = [walked.at(step) for step in range(12)]
    assert walked.per_epoch == 5
    assert [asked.at(step) for step in (11, 0, 7)] == [steps[11], steps[0], steps[7]]


def test_collate_pads_sources_and_targets_apart(tiny_t5):
    examples = [Example("the fox is red", "warm"), Example("red", "the ant is cold")]
    batch = collate(encode_examples(tiny_t5, examples))
    assert batch.source.shape == (2, 5) and batch.target.shape == (2, 5)
    assert batch.source_mask.sum(1).tolist() == [5, 2] and batch.target_mask.sum(1).tolist() == [2, 5]
