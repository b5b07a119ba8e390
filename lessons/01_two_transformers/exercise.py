"""Chapter 01, two transformers: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/01_two_transformers
    python -m minipeft hint 01

Letters: x (batch, length, width) are vectors, one for each place of a text. A mask is True on real tokens; what may be
looked at is True, too. Attention has `heads` heads, each `head` numbers wide.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def relative_buckets(
    query_places: Tensor, key_places: Tensor, buckets: int, max_distance: int, bidirectional: bool
) -> Tensor:
    """Implement: T5's bucket number of every pair of a query and a key, (targets, sources), int64.

    query_places (targets,) and key_places (sources,), int64, say where the queries and the keys stand. They need not
    begin at 0, and there may be gaps. `buckets`, a multiple of 4, is the number of all buckets, of both directions
    where `bidirectional` is True, as in the encoder; False is the decoder's way. max_distance, the chapter's `far`, is
    larger than the number of exact buckets.
    """
    raise NotImplementedError


def may_look(mask: Tensor, two_way: Tensor, targets: int) -> Tensor:
    """Implement: where each query may look in a *prefix language model*, (batch, 1, targets, seen), bool.

    That is one stack, as GPT's, whose source looks at itself in both directions, as in an encoder. mask (batch, seen),
    bool: the real tokens; padding may stand at both ends. two_way (batch,), int64: in row i the source is its first
    two_way[i] places, padding included (0: it has none). The queries are the last `targets` >= 1 of the `seen` places.
    A query looks at all real tokens up to its own place; one in the source looks at all real tokens of the source as
    well. And every query looks at its own place, padding or not, so that no softmax is one over nothing.
    """
    raise NotImplementedError


def attention_by_heads(
    x: Tensor, context: Tensor | None, w_q: Tensor, w_k: Tensor, w_v: Tensor, w_o: Tensor, scale: float, bias: Tensor
) -> Tensor:
    """Implement: one attention layer, (batch, targets, width), as a sum over its heads.

    x (batch, targets, width) asks; context (batch, sources, width) is looked at, or x itself where context is None.
    w_q, w_k, w_v (heads, head, width) give each head its queries, keys and values: W_q[i] x for head i. w_o (heads,
    width, head) takes what each head gives back to the width, and the heads are added up. bias (batch, heads, targets,
    sources) is added to the scores; `scale` stands before q k^T. Gradients must reach all four weights and the bias.
    """
    raise NotImplementedError


# Predict: how many parameters has each of these models? No code: write the arithmetic, as 3 * (4 + 5).
PARAMETERS = {
    # T5 1.0: 32,128 tokens, width 512; 6 layers in the encoder, 6 in the decoder; attention with 8 heads of 64, without
    # biases; feed-forward layers without a gate (512 -> 2,048 -> 512), without biases; RMSNorm; 32 buckets of positions
    # for each head; the head for the vocabulary is the embedding once more.
    "T5 1.0 small": ...,
    # T5 v1.1 of the size "base", but with a shallow decoder: 32,128 tokens, width 768; 12 layers in the encoder, only 3
    # in the decoder; attention with 12 heads of 64; gated feed-forward layers with 2,048 inside; embedding and head
    # apart; 32 buckets.
    "T5 v1.1 base, 3 decoder layers": ...,
    # GPT-2: 50,257 tokens, width 768, 12 layers; attention with 12 heads of 64; feed-forward layers 768 -> 3,072 ->
    # 768; biases in every linear map of a layer; LayerNorm; 1,024 position vectors; head and embedding are one.
    "GPT-2 small": ...,
}

# Predict: one step of the decoder of T5 v1.1 small, for one text. Width 512, 8 layers, 6 heads of 64, 1,024 inside the
# gated feed-forward layers, 32,128 tokens. The source has 50 tokens. The step reads the 10th token of the answer; keys
# and values of the nine before it, and of the source, are in the caches.
STEP = {
    # Multiplications in the products of matrices of this step: all linear maps, the scores (q k^T), the weighted means
    # of the values, and the head. Norms, softmax and activations do not count, the encoder does not run.
    "multiplications": ...,
    # Bytes of all caches of the decoder after this step, at 2 bytes a number.
    "cache bytes": ...,
}


class GrowingCache:
    """Repair: keys and values of one layer, in buffers that are made once, with `room` for so many places.

    append: key and value (batch, heads, n, head) go behind what is there; it gives back all that the cache holds then,
    (batch, heads, length, head) each. cut: forgets all places from number `length` on. keep: rows (batch,), int64; row
    i of the cache becomes what row rows[i] was. Beam search does so after every token, to go on from its best answers,
    one of them perhaps twice, another one not at all. No argument is changed.
    """

    def __init__(self, batch: int, heads: int, room: int, head: int):
        raise NotImplementedError  # remove this line, then find the mistake below
        self.keys = torch.zeros(batch, heads, room, head)
        self.values = torch.zeros(batch, heads, room, head)
        self.length = 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + key.shape[2]
        self.keys[:, :, self.length : end] = key
        self.values[:, :, self.length : end] = value
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def cut(self, length: int) -> None:
        self.length = length

    def keep(self, rows: Tensor) -> None:
        for place, row in enumerate(rows.tolist()):
            self.keys[place] = self.keys[row]
            self.values[place] = self.values[row]


def all_at_once(x: Tensor) -> Tensor:
    """For your test: causal attention over x (batch, length, width) without a cache, (batch, length, width).

    A layer so small that it has no weights: query and key are x, the value is x * x, and 0.02 times the square of the
    distance from key to query is taken off each score.
    """
    places = torch.arange(x.shape[1])
    distance = places[:, None] - places[None, :]  # (length, length)
    scores = (x @ x.transpose(1, 2) - 0.02 * distance**2).masked_fill(distance < 0, -torch.inf)
    return scores.softmax(-1) @ (x * x)


def check_cached(implementation: Callable[[Tensor, list[int]], Tensor]) -> None:
    """Prove: raise AssertionError unless `implementation(x, pieces)`, which has a cache, gives what `all_at_once` does.

    It reads x (batch, length, width), float64, in pieces: first pieces[0] places, then pieces[1], and so on; they are
    at least 1 and add up to the length. It returns the outputs of all places, (batch, length, width), exact up to the
    rounding of float64. A right one does so for every x and all pieces, call after call, and leaves x as it is. Use x
    and pieces of your choice, `all_at_once` above, and `assert` or torch.testing.assert_close; return nothing.
    """
    raise NotImplementedError


def decoder_step(
    x: Tensor,
    context: Tensor,
    own: tuple[Tensor, Tensor] | None,
    cross: tuple[Tensor, Tensor] | None,
    weights: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]],
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Extend: one step of a decoder layer with *multi-query* attention: all heads share one key and one value.

    x (batch, width) is the token that is read now, context (batch, sources, width) the encoder's output, all real.
    own: keys and values of the tokens read before, (batch, seen, head) each, or None at the first step. cross: those of
    the context, (batch, sources, head) each, or None at the first step; where they are given, `context` is not looked
    at. weights: "own" and "cross", each (w_q, w_k, w_v, w_o): w_q (heads, head, width), w_k and w_v (head, width), w_o
    (heads, width, head), as in attention_by_heads. No scale, bias, norm or feed-forward layer.
    h = x + attention of x to the tokens so far, itself included; y = h + attention of h to the context. Return (y, own,
    cross) with y (batch, width), the caches as the next step needs them. Those that are given stay as they are.
    """
    raise NotImplementedError
