"""Prompt tuning: the reference answers. `minipeft/methods/prompts/` has the same in its own words."""

import torch
from torch import Tensor
from torch.nn import functional

from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def prepend_prompt(prompt: Tensor, vectors: Tensor, mask: Tensor, behind: int = 0) -> tuple[Tensor, Tensor]:
    """prompt: (p, d), vectors: (batch, n, d), mask: (batch, n) -> (batch, p + n, d) and (batch, p + n)."""
    copies = prompt.repeat(len(vectors), 1, 1)  # (batch, p, d)
    seen = torch.ones(copies.shape[:2], dtype=torch.bool)  # (batch, p)
    joined = torch.cat([vectors[:, :behind], copies, vectors[:, behind:]], dim=1)
    return joined, torch.cat([mask[:, :behind], seen, mask[:, behind:]], dim=1)


def prompted_logits(model, prompt: Tensor, source: Tensor, source_mask: Tensor, answer: Tensor) -> Tensor:
    """source: (batch, n), answer: (batch, m), token ids -> (batch, m, vocabulary), of a T5."""
    vectors, mask = prepend_prompt(prompt, model.embedding(source), source_mask)
    context, _ = model.encoder(vectors, mask)  # (batch, p + n, d)
    start = torch.full_like(answer[:, :1], model.config.start)  # (batch, 1)
    read = torch.cat([start, answer[:, :-1]], dim=1)  # (batch, m), the answer one step late
    hidden, _ = model.decoder(model.embedding(read), torch.ones_like(read, dtype=torch.bool), context, mask)
    return model.head(hidden)


def first_prompt(init: str, length: int, table: Tensor, frequent: Tensor, labels: list[list[int]]) -> Tensor:
    """table: (vocabulary, d), frequent: (k,) token ids, labels: token ids of each -> (length, d)."""
    if init == "uniform":
        return torch.empty(length, table.shape[1]).uniform_(-0.5, 0.5)
    words = labels if init == "labels" else []
    means = [table[ids].mean(0, keepdim=True) for ids in words]  # (1, d) each
    drawn = frequent[torch.randperm(len(frequent))[: length - len(means)]]  # (length - labels,)
    return torch.cat([*means, table[drawn]])


SIZES = {"small": (512, 8), "base": (768, 12), "large": (1024, 24), "xl": (2048, 24), "xxl": (4096, 24)}

COUNTS = {size: 150 * width for size, (width, layers) in SIZES.items()}

n, p, m = 20, 20, 2
COST = {
    "encoder_positions": (p + n) / n,
    "encoder_scores": (p + n) ** 2 / n**2,
    "cross_scores": m * (p + n) / (m * n),
    "decoder_scores": m**2 / m**2,
    "prompts_per_model": 818_392 // (p * 88),
}


def answer_loss(model, prompt: Tensor, source: Tensor, answer: Tensor) -> Tensor:
    """source: (batch, n), answer: (batch, m), token ids without padding -> the mean loss of the answer, of a GPT-2."""
    ids = torch.cat([source, answer], dim=1)  # (batch, n + m)
    embedded, real = model.embedding(ids), torch.ones_like(ids, dtype=torch.bool)
    hidden, _ = model.decoder(*prepend_prompt(prompt, embedded, real))  # (batch, p + n + m, d)
    first = len(prompt) + source.shape[1] - 1  # the place from which the answer's first token is predicted
    logits = model.head(hidden[:, first : first + answer.shape[1]])  # (batch, m, vocabulary)
    return functional.cross_entropy(logits.transpose(1, 2), answer)  # classes second: exchanged, not reshaped


def example() -> tuple[EncoderDecoder, Tensor, Batch]:
    """A small T5 with random weights, a prompt (3, 12) and four padded texts of token ids from 2 to 19."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = dict(hidden_size=12, heads=3, head_size=5, feed_forward_size=20, encoder_layers=2, decoder_layers=2)
        model = EncoderDecoder(EncoderDecoderConfig(30, **sizes)).eval()
        rows = [torch.randint(2, 20, (length,)).tolist() for length in (6, 2, 4, 5)]
        return model, torch.randn(3, 12), Batch(*pad(rows))


def first_logits(model, batch: Batch) -> Tensor:
    """What the model would write first, (batch, vocabulary)."""
    with torch.no_grad():
        return model.prefill(batch)[0]


def check_reading(read) -> None:
    """Raise AssertionError unless `read(model, prompt, batch)` -> (batch, vocabulary) keeps prompt tuning's laws."""
    model, prompt, batch = example()
    before = [(weight, weight.detach().clone()) for weight in model.parameters()]
    words, text = torch.tensor([[7, 3, 11]]), batch.source[:1]
    written = torch.cat([words, text], dim=1)
    expected = first_logits(model, Batch(written, written > 0))
    plain, logits = first_logits(model, batch), read(model, prompt, batch)
    assert all(torch.equal(weight, copy) for weight, copy in before), "the base has changed"
    assert torch.equal(first_logits(model, batch), plain), "something of the prompt stayed in the model"
    order = torch.tensor([2, 0, 3, 1])
    mixed = Batch(batch.source[order], batch.source_mask[order])
    assert torch.allclose(read(model, prompt, mixed), logits[order], atol=1e-5), "a row depends on its neighbours"
    wider = Batch(functional.pad(batch.source, (0, 3)), functional.pad(batch.source_mask, (0, 3)))
    assert torch.allclose(read(model, prompt, wider), logits, atol=1e-5), "padding is seen"
    got = read(model, model.embedding.weight[words[0]].detach(), Batch(text, text > 0))
    assert torch.allclose(got, expected, atol=1e-5), "a prompt of words is not these words before the text"


def mixed_prompts(prompts: list[Tensor], rows: Tensor, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """prompts: (p_k, d) each, rows: (batch,), vectors: (batch, n, d), mask: (batch, n) -> with the longest prompt's P,
    (batch, P + n, d) and (batch, P + n)."""
    longest = max(len(prompt) for prompt in prompts)
    fills = [longest - len(prompt) for prompt in prompts]  # places in front of each prompt that hold nothing
    filled = [functional.pad(prompt, (0, 0, fill, 0)) for prompt, fill in zip(prompts, fills, strict=True)]
    table = torch.stack(filled)  # (tasks, P, d)
    seen = torch.stack([torch.arange(longest) >= fill for fill in fills])  # (tasks, P)
    return torch.cat([table[rows], vectors], dim=1), torch.cat([seen[rows], mask], dim=1)
