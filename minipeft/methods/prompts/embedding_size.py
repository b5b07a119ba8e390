"""The unit of a prompt's steps: vectors that stand among the words move in proportion to the size of words.

    s = sqrt(mean of E^2)        E: (vocabulary, hidden), the base's embeddings
    P <- P - lr s u              P: the trained vectors   u: the optimizer's step, of about 1 for each number

Adafactor and Adam make steps of about the learning rate, however large what they move is. Embeddings differ: s is 34 in
t5-0.8m, 2.2 in t5-3.5m, 0.29 in gpt-1.7m, where one and the same step would be a tenth of a word or ten whole words.
Test: tests/methods/prompts/test_embedding_size.py.
"""

import torch
from torch import nn


@torch.no_grad()
def embedding_size(model: nn.Module) -> torch.Tensor:
    """s, the root mean square of the numbers in the base's embeddings, a tensor of no dimension."""
    return model.embedding.weight.float().square().mean().sqrt()
