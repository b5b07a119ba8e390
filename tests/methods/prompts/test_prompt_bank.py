"""The bank of prompts by itself, before a stack that only writes down what it reads."""

import torch
from torch import nn

from minipeft.methods.prompts.prompt_bank import PromptBank


class Reads(nn.Module):
    """A stack that gives back what it is given."""

    def forward(self, vectors, mask, caches=None):
        return vectors, mask


def read(bank, batch=4, length=3):
    vectors = torch.arange(batch * length * 2.0).view(batch, length, 2)
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[0, -1] = False
    return vectors, mask, *bank(vectors, mask)


def bank_of_three():
    torch.manual_seed(0)
    return PromptBank(Reads(), torch.randn(3, 5, 2))


def test_each_row_reads_its_own_prompt_before_its_text():
    bank = bank_of_three()
    bank.rows = torch.tensor([2, 0, 1, 2])
    vectors, mask, seen, seen_mask = read(bank)
    for row, number in enumerate([2, 0, 1, 2]):
        assert torch.equal(seen[row], torch.cat([bank.prompts[number], vectors[row]]))
    assert torch.equal(seen_mask, torch.cat([torch.ones(4, 5, dtype=torch.bool), mask], 1))


def test_neighbours_share_a_prompt_where_each_text_has_several_rows():
    bank = bank_of_three()
    bank.rows = torch.tensor([1, 0])
    assert bank.choose(6).tolist() == [1, 1, 1, 0, 0, 0]


def test_without_rows_training_takes_turns_and_reading_takes_the_first_prompt():
    bank = bank_of_three()
    assert bank.train().choose(5).tolist() == [0, 1, 2, 0, 1]
    bank.turns = torch.tensor([1, 2, 0, 1, 2])
    assert bank.choose(5).tolist() == [1, 2, 0, 1, 2]
    assert bank.eval().choose(5).tolist() == [0, 0, 0, 0, 0]


def test_a_prompt_gets_the_gradients_of_its_own_rows_alone():
    bank = bank_of_three()
    bank.rows = torch.tensor([2, 2, 0, 2])
    read(bank)[2].sum().backward()
    assert bank.prompts.grad[:, 0, 0].tolist() == [1.0, 0.0, 3.0]
