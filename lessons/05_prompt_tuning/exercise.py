"""Chapter 05, prompt tuning: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/05_prompt_tuning
    python -m minipeft hint 05

Letters: p is the length of the prompt, n of the text, m of the answer; d is the model's width (hidden size).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.decoder_only import DecoderOnly
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def prepend_prompt(prompt: Tensor, vectors: Tensor, mask: Tensor, behind: int = 0) -> tuple[Tensor, Tensor]:
    """Implement: put the same prompt into every text of a batch, behind its first `behind` places, and the mask.

    prompt: (p, d). vectors: (batch, n, d), embedded texts. mask: (batch, n), bool, True on real tokens and False on
    padding. behind: from 0 (before the text: [P; X]) to n; as when a text opens with the name of its task. Returns
    (batch, p + n, d) and (batch, p + n). Gradients must reach `prompt`; nothing that is given changes.
    """
    raise NotImplementedError


def prompted_logits(
    model: EncoderDecoder, prompt: Tensor, source: Tensor, source_mask: Tensor, answer: Tensor
) -> Tensor:
    """Implement: the logits of every answer token of a T5 that reads `prompt` before the source.

    source: (batch, n) token ids with their mask (batch, n). answer: (batch, m) token ids without padding.
    Returns (batch, m, vocabulary). All masks are bool. Gradients must reach `prompt`, and the model stays as it is. Use
    prepend_prompt and the model's parts:

        model.embedding(ids)                            (batch, length) -> (batch, length, d)
        model.encoder(vectors, mask)                    -> hidden states (batch, length, d), mask
        model.decoder(vectors, mask, context, context_mask)
                                                        -> hidden states (batch, length, d), mask
        model.head(hidden)                              -> (batch, length, vocabulary)

    The decoder reads `model.config.start` and then the answer without its last token.
    """
    raise NotImplementedError


def first_prompt(init: str, length: int, table: Tensor, frequent: Tensor, labels: list[list[int]]) -> Tensor:
    """Implement: where training starts, (length, d), by one of three ways.

    table: (vocabulary, d), the embedding table. frequent: (k,) ids of the most frequent tokens, k >= length.
    labels: for every class label the ids of its tokens; there are at most `length` of them.

        "uniform"      every number drawn from -1/2 to 1/2
        "vocabulary"   embeddings of tokens drawn from `frequent`, no token twice
        "labels"       the labels first, each the mean of its tokens' embeddings; places left over as "vocabulary"

    Draw from torch's own random numbers, as torch.rand does.
    """
    raise NotImplementedError


# T5 v1.1 in five sizes: (width d, layers of the encoder).
SIZES = {"small": (512, 8), "base": (768, 12), "large": (1024, 24), "xl": (2048, 24), "xxl": (4096, 24)}

# Predict: how many parameters does prompt tuning train in each size, with 150 vectors? Replace each ... by a number.
COUNTS = {"small": ..., "base": ..., "large": ..., "xl": ..., "xxl": ...}

# Predict: t5-0.8m (width 88; 818,392 parameters) reads a text of 20 tokens and writes an answer of 2. By which factor
# does a prompt of 20 vectors multiply
COST = {
    "encoder_positions": ...,  # the positions that go through the encoder's linear layers
    "encoder_scores": ...,  # the attention scores of one head of the encoder
    "cross_scores": ...,  # the cross-attention scores of one head of the decoder
    "decoder_scores": ...,  # the self-attention scores of one head of the decoder
    # and how many prompts of 20 vectors take together no more parameters than the model has? (whole prompts)
    "prompts_per_model": ...,
}


def answer_loss(model: DecoderOnly, prompt: Tensor, source: Tensor, answer: Tensor) -> Tensor:
    """Repair: the mean cross-entropy of the answer tokens of a GPT-2, which reads all in one stack.

    source: (batch, n), answer: (batch, m), token ids without padding, read behind `prompt`. It runs, it trains, and one
    line is wrong. (cross_entropy takes (places, classes) or (batch, classes, places), with targets of the same shape
    but without the classes.)
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    ids = torch.cat([source, answer], dim=1)  # (batch, n + m)
    embedded, real = model.embedding(ids), torch.ones_like(ids, dtype=torch.bool)
    hidden, _ = model.decoder(*prepend_prompt(prompt, embedded, real))  # (batch, p + n + m, d)
    first = len(prompt) + source.shape[1] - 1  # the place from which the answer's first token is predicted
    logits = model.head(hidden[:, first : first + answer.shape[1]])  # (batch, m, vocabulary)
    classes_second = logits.reshape(len(answer), -1, answer.shape[1])  # (batch, vocabulary, m)
    return functional.cross_entropy(classes_second, answer)


def example() -> tuple[EncoderDecoder, Tensor, Batch]:
    """A small T5 with random weights, a prompt (3, 12) and four padded texts of token ids from 2 to 19."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = dict(hidden_size=12, heads=3, head_size=5, feed_forward_size=20, encoder_layers=2, decoder_layers=2)
        model = EncoderDecoder(EncoderDecoderConfig(30, **sizes)).eval()
        rows = [torch.randint(2, 20, (length,)).tolist() for length in (6, 2, 4, 5)]
        return model, torch.randn(3, 12), Batch(*pad(rows))


def first_logits(model: EncoderDecoder, batch: Batch) -> Tensor:
    """What the model would write first, (batch, vocabulary)."""
    with torch.no_grad():
        return model.prefill(batch)[0]


def check_reading(read: Callable[[EncoderDecoder, Tensor, Batch], Tensor]) -> None:
    """Prove: raise AssertionError where `read`, somebody's prompt tuning, breaks a law; else return nothing.

    read(model, prompt, batch) -> (batch, vocabulary): what the model writes first when it reads `prompt` before each
    text of `batch`. Take model, prompt and batch from `example()`. batch.source are its token ids, batch.source_mask is
    True on real tokens; pad(rows) returns these two, Batch(ids, mask) makes a batch of them.

    The laws: the base's weights do not change; without the prompt the model answers as before; the order of the batch
    changes nothing but the order of the answers; more padding changes nothing; a prompt of word embeddings is the same
    as these words written before the text.

    A wrong `read` may leave modules in the model, and then the names in state_dict() change: to compare the weights,
    keep list(model.parameters()) and a copy of each before the reading.
    """
    raise NotImplementedError


def mixed_prompts(prompts: list[Tensor], rows: Tensor, vectors: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Extend: many tasks in one batch, where row i reads the prompt of its own task, rows[i].

    The prompts may differ in length. prompts: (p_k, d) each. rows: (batch,), numbers of prompts. vectors: (batch, n, d)
    and mask: (batch, n) as above.
    With P the length of the longest of all prompts, used in this batch or not, returns (batch, P + n, d) and
    (batch, P + n). Each row must be read as it is alone with its prompt: what a shorter prompt lacks are zero vectors
    in front of it, and the mask hides them. Gradients must reach the prompts.
    """
    raise NotImplementedError
