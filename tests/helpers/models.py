"""Models of odd sizes with weights far from their initial values, and batches with padding, for the tests."""

import pytest
import torch

from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.llama import Llama, LlamaConfig

VOCABULARY = 37


def scrambled(model, seed=0):
    """The model in eval mode with every weight, norms and biases too, moved by noise, so that none is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def tiny_t5(**changes):
    """2 + 3 layers, hidden size 12, 3 heads of 5 (15 in all, not 12)."""
    sizes = dict(hidden_size=12, heads=3, head_size=5, feed_forward_size=20, encoder_layers=2, decoder_layers=3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return scrambled(EncoderDecoder(EncoderDecoderConfig(VOCABULARY, **(sizes | changes))))


def tiny_t5_1_0(**changes):
    """T5 1.0: ReLU without a gate, head tied to the embedding and rescaled."""
    return tiny_t5(activation="relu", gated=False, tied_head=True, **changes)


def tiny_gpt2(**changes):
    """3 layers, hidden size 12, 3 heads of 4."""
    sizes = dict(hidden_size=12, heads=3, layers=3, max_length=40)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return scrambled(DecoderOnly(DecoderOnlyConfig(VOCABULARY, **(sizes | changes))))


def tiny_llama(**changes):
    """3 layers, hidden size 12, 6 heads of 6 (36 in all, not 12), which share 3 heads of keys and values."""
    sizes = dict(hidden_size=12, heads=6, head_size=6, key_value_heads=3, layers=3, feed_forward_size=20, max_length=40)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return scrambled(Llama(LlamaConfig(VOCABULARY, **(sizes | changes))))


FAMILIES = {"t5": tiny_t5, "t5-1.0": tiny_t5_1_0, "gpt2": tiny_gpt2, "llama": tiny_llama}
SLOW_LLAMA = pytest.param("llama", marks=pytest.mark.slow)  # for what is tried on a GPT-2 before it


def random_rows(lengths, seed):
    """Rows of random token ids without padding and end-of-sequence."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]


def random_batch(sources=(7, 3, 5, 1), targets=(2, 4, 1, 3), seed=0):
    """A batch of rows of the given lengths; every target ends with end-of-sequence, which `targets` counts."""
    target = [row[:-1] + [1] for row in random_rows(targets, seed + 1)]
    return Batch(*pad(random_rows(sources, seed)), *pad(target))
