"""Chapter 06, prefix tuning: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/06_prefix_tuning
    python -m minipeft hint 06

Letters: a query asks, `targets` of them at once; `sources` places of the text are looked at. A prefix has `prefix`
places, each with a key and a value in every head. Queries have their scale already; everything is float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def attend_for_tasks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    prefix_keys: list[Tensor],
    prefix_values: list[Tensor],
    task: Tensor,
) -> Tensor:
    """Implement: attention over a batch of several tasks, each with its own prefix: (batch, heads, targets, head).

    query (batch, heads, targets, head); key, value (batch, heads, sources, head). bias (batch, heads, targets, sources)
    is added to the scores of the text. prefix_keys[t] and prefix_values[t] (heads, prefix, head) are the prefix of task
    t; the lengths of the prefixes may differ, and a prefix may have length 0. task (batch,), int64: row i of the batch
    belongs to task[i]. Every query looks at the text, as far as the bias lets it, and at the whole prefix of its own
    row, with one softmax over both; it looks at no other row's prefix. Gradients must reach all prefixes that are used.
    """
    raise NotImplementedError


def stored_table(e: Tensor, w_1: Tensor, b_1: Tensor, w_2: Tensor, b_2: Tensor, layers: int, heads: int) -> Tensor:
    """Implement: what is stored in place of the network, (layers, 2, heads, prefix, head); 0 are keys, 1 values.

    Here one last map serves all layers, as in the code that the paper's authors released. e (prefix, hidden), w_1
    (inner, hidden), b_1 (inner,), w_2 (layers * 2 * heads * head, inner), b_2 (layers * 2 * heads * head,); tanh stands
    between the maps. The outputs of one position are, one behind the other: the key of the first layer, head after
    head; the value of the first layer, head after head; the key of the second layer; and so on. Gradients must reach
    all five.
    """
    raise NotImplementedError


def prefix_of_prompt(
    prompt: Tensor, w_q: list[Tensor], w_k: list[Tensor], w_v: list[Tensor], w_o: list[Tensor]
) -> Tensor:
    """Implement: the prefix that does what a prompt does, (layers, 2, heads, prompt, head); 0 are keys, 1 values.

    The model is a causal stack, so simple that a layer is hidden + attention(hidden), with nothing else: no norm, no
    positions, no feed-forward layer. Layer l has w_q[l], w_k[l], w_v[l] (heads, head, width) and w_o[l] (heads, width,
    head): head i has the queries W_q[i] x, and so on, and what the heads give is added up, as in chapter 01. There is
    no scale. prompt (length, width) are vectors that stand before a text. Your table, as a prefix of that text in each
    layer, must give the text exactly the outputs that it has behind the prompt. Gradients must reach the prompt.
    """
    raise NotImplementedError


# Predict: how many numbers? No code: write the arithmetic, as 3 * (4 + 5). The model is T5 v1.1 small: 8 layers in the
# encoder and 8 in the decoder, width 512, 6 heads of 64. Prefix tuning has a prefix of 24 in each of the three kinds of
# attention, and its network has 700 inner units.
COUNTS = {
    # Parameters that the optimizer moves while the network is there. All layers of one kind share e (24, 512) and W_1
    # (700, 512) with b_1; each layer has its own last map, with a bias.
    "moved": ...,
    # Parameters in the file afterwards.
    "stored": ...,
    # Parameters in the file of an infix of 24, which a T5 has in its decoder alone.
    "infix": ...,
    # Parameters in the file of a prefix of 24 at the embedding alone: one before each stack.
    "embedding": ...,
    # Multiplications that the stored prefix adds to a step that writes one token of one text: products of matrices.
    "step": ...,
}

# Predict: how far does one number reach? We change it, and count in how many places a hidden state changes: a place is
# one word behind one layer. The T5 has 5 layers in the encoder and 4 in the decoder; its source has 31 words, its
# answer 53. The GPT has 6 layers; it reads a source of 29 words and an answer of 47. Its infix has 3 places between the
# two. Places of a prompt, a prefix or an infix do not count. Layers are counted from 1, nothing is padding.
REACH = {
    # T5: one number of a prefix's value in the encoder's self-attention, layer 2.
    "encoder, layer 2": ...,
    # T5: one number of a prefix's value in the decoder's self-attention, layer 2.
    "decoder, layer 2": ...,
    # T5: one number of a prefix's value in cross-attention, layer 3.
    "cross-attention, layer 3": ...,
    # T5: one number of a prompt vector before the source, at the encoder's input.
    "prompt of the T5": ...,
    # GPT: one number of a prefix's value in layer 3.
    "GPT, layer 3": ...,
    # GPT: one number of an infix's value in layer 3.
    "infix of the GPT, layer 3": ...,
    # GPT: one number of a prompt vector at the input, before the source.
    "prompt of the GPT": ...,
}


def attend_on(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor,
    prefix_value: Tensor,
    slope: Tensor,
    cache: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Repair: causal attention with a prefix, of a text that comes in pieces: (batch, heads, new, head), and a cache.

    query, key, value (batch, heads, new, head) belong to the places that are new, one or more. cache is None at the
    first piece, later what the call before gave back: keys and values of all that may be looked at, the prefix first.
    prefix_key, prefix_value (heads, prefix, head) are the same for all rows. A query looks at the whole prefix, at the
    places before it and at its own. slope (heads,): so much is taken off the score for each place of the text between
    query and key. A prefix stands at no place: nothing is taken off there. No argument is changed, and
    gradients must reach the prefix.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    if cache is None:
        cache = tuple(part.expand(len(key), -1, -1, -1) for part in (prefix_key, prefix_value))
    keys, values = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
    seen, new = keys.shape[2], query.shape[2]
    places = torch.arange(seen) - prefix_key.shape[1]  # of the text, from 0; before it, the prefix
    distance = places[seen - new :, None] - places.clamp(min=0)  # (new, seen)
    scores = query @ keys.transpose(2, 3) - slope[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -torch.inf).softmax(-1)
    return weights @ values, (keys, values)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """For your test: attention without a prefix, (batch, heads, targets, head); mask (batch, sources), True: real."""
    scores = (query @ key.transpose(2, 3)).masked_fill(~mask[:, None, None], -torch.inf)
    return scores.softmax(-1) @ value


def check_prefixed(implementation: Callable[..., Tensor]) -> None:
    """Prove: raise AssertionError unless `implementation` attends to a prefix and a text as it should.

    implementation(query, key, value, mask, prefix_key, prefix_value) -> (batch, heads, targets, head), with query
    (batch, heads, targets, head), key and value (batch, heads, sources, head), mask (batch, sources), True on real
    tokens, prefix_key and prefix_value (heads, prefix, head). Every query looks at the whole prefix and at all real
    tokens of its row, with one softmax. A right one is exact up to rounding for all inputs, large scores too, call
    after call; it leaves its arguments as they are, and gradients reach the prefix. Use inputs of your choice, `attend`
    above, and `assert` or torch.testing.assert_close; return nothing.
    """
    raise NotImplementedError


def zero_init_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, prefix_key: Tensor, prefix_value: Tensor, gate: Tensor
) -> Tensor:
    """Extend: a prefix that starts as nothing, as LLaMA-Adapter has it: (batch, heads, targets, head).

    query (batch, heads, targets, head); key, value (batch, heads, sources, head); bias (batch, 1, targets, sources) is
    added to the scores of the text; prefix_key, prefix_value (heads, prefix, head). Text and prefix have a softmax
    each: the text's is what it would be without a prefix. What the prefix gives is multiplied by the tanh of a trained
    number, gate (heads,), one for each head, and added. Where gate is 0, the output is the base's, bit for bit.
    Gradients must reach prefix and gate.
    """
    raise NotImplementedError
