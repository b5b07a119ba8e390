"""The tests of chapter 01's exercises: `pytest lessons/01_two_transformers`."""

import math
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from minipeft.course.checks import check
from minipeft.course.provers import prove
from minipeft.transformer.attention import Attention
from minipeft.transformer.batch import Batch
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hollow import build_hollow
from minipeft.transformer.positions import relative_bucket


def numbers(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_relative_buckets_of_a_few_places_in_both_directions(answers):
    queries, keys = [7, 4], [0, 1, 2, 5, 6, 7, 8, 9, 12, 13, 40]
    check(
        answers,
        lambda answers: answers.relative_buckets(torch.tensor(queries), torch.tensor(keys), 8, 16, True),
        torch.tensor([[3, 3, 2, 2, 1, 0, 5, 6, 6, 7, 7], [2, 2, 2, 5, 6, 6, 6, 6, 7, 7, 7]]),
        holds="of 8 buckets, 0 to 3 are for distances 0, 1, from 2 to 5, and from 6, to the left; 4 to 7 to the right",
        inputs={"query_places": queries, "key_places": keys, "buckets": 8, "max_distance": 16, "bidirectional": True},
        section="The mathematics",
        tolerance=0,
    )


def test_relative_buckets_of_a_few_places_to_the_left_only(answers):
    queries, keys = [30, 3, 12], [0, 2, 3, 4, 9, 16, 21, 22, 24, 25, 26, 27, 29, 30, 31]
    check(
        answers,
        lambda answers: answers.relative_buckets(torch.tensor(queries), torch.tensor(keys), 8, 20, False),
        torch.tensor([[7, 7, 7, 7, 7, 7, 6, 5, 5, 4, 4, 3, 1, 0, 0],
                      [3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                      [6, 6, 6, 5, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
        holds="of 8 buckets, 0 to 3 hold one distance each; 4, 5, 6, 7 begin at distances 4, 6, 9, 14; ahead is 0",
        inputs={"query_places": queries, "key_places": keys, "buckets": 8, "max_distance": 20, "bidirectional": False},
        section="The mathematics",
        tolerance=0,
    )  # fmt: skip


def test_relative_buckets_are_those_of_the_library_with_the_settings_of_t5(answers):
    queries, keys = torch.tensor([210, 100, 203]), torch.tensor([0, 7, 93, 103, 111, 130, 155, 191, 207, 222, 300, 500])
    expected = [
        relative_bucket(keys[None] - queries[:, None], 32, 128, bidirectional) for bidirectional in (True, False)
    ]
    check(
        answers,
        lambda answers: [answers.relative_buckets(queries, keys, 32, 128, both) for both in (True, False)],
        expected,
        holds="the buckets are those of minipeft/transformer/positions.py",
        inputs={"query_places": queries, "key_places": keys, "buckets": 32, "max_distance": 128},
        section="The mathematics",
        tolerance=0,
    )


def bucket_by_powers(away: int, buckets: int, max_distance: int) -> int | None:
    """The bucket of a distance in one direction, in whole numbers; None exactly where two buckets meet."""
    exact = buckets // 2
    if away < exact:
        return away
    step = 0  # the largest for which away >= exact (max / exact)^(step / (buckets - exact))
    while step < buckets - exact:
        left = away ** (buckets - exact) * exact ** (step + 1)
        right = exact ** (buckets - exact) * max_distance ** (step + 1)
        if left == right and step + 1 < buckets - exact:
            return None
        if left < right:
            break
        step += 1
    return min(exact + step, buckets - 1)


def test_relative_buckets_grow_logarithmically_up_to_the_last(answers):
    settings = [(12, 30), (20, 77), (24, 200)]
    keys = [place for place in range(260) if all(bucket_by_powers(260 - place, *one) is not None for one in settings)]
    expected = [[bucket_by_powers(260 - place, *one) for place in keys] for one in settings]
    check(
        answers,
        lambda answers: [
            answers.relative_buckets(torch.tensor([260]), torch.tensor(keys), *one, False)[0] for one in settings
        ],
        [torch.tensor(row) for row in expected],
        holds="from d = exact on: exact + floor((buckets - exact) log(d / exact) / log(max_distance / exact))",
        inputs={"query_places": [260], "key_places": "0 ... 259", "(buckets, max_distance)": settings},
        section="The mathematics",
        tolerance=0,
    )


def table(*rows: str) -> torch.Tensor:
    """Rows of 0 and 1, a row for each query, as truth values."""
    return torch.tensor([[one == "1" for one in row] for row in rows])


def test_may_look_at_what_came_before(answers):
    mask, nothing = torch.ones(1, 5, dtype=torch.bool), torch.tensor([0])
    check(
        answers,
        lambda answers: answers.may_look(mask, nothing, 3),
        table("11100", "11110", "11111")[None, None],
        holds="the queries are the last places: with 3 of 5, the first of them looks at three places",
        inputs={"mask": mask, "two_way": [0], "targets": 3},
        section="The mathematics",
        tolerance=0,
    )


def test_may_look_leaves_padding_out_at_both_ends(answers):
    mask = table("111100", "001111")
    check(
        answers,
        lambda answers: answers.may_look(mask, torch.tensor([0, 0]), 6),
        torch.stack(
            [table("100000", "110000", "111000", "111100", "111110", "111101"),
             table("100000", "010000", "001000", "001100", "001110", "001111")]
        )[:, None],
        holds="nobody looks at padding, but for the padding itself",
        inputs={"mask": mask, "two_way": [0, 0], "targets": 6},
        section="The mathematics",
        tolerance=0,
    )  # fmt: skip


def test_may_look_in_both_directions_within_the_source(answers):
    mask, two_way = table("011111", "011111", "111110"), torch.tensor([4, 0, 2])
    check(
        answers,
        lambda answers: answers.may_look(mask, two_way, 6),
        torch.stack(
            [table("111100", "011100", "011100", "011100", "011110", "011111"),
             table("100000", "010000", "011000", "011100", "011110", "011111"),
             table("110000", "110000", "111000", "111100", "111110", "111111")]
        )[:, None],
        holds="the first two_way[i] places of row i look at each other, the rest only at what came before",
        inputs={"mask": mask, "two_way": two_way.tolist(), "targets": 6},
        section="Exercises",
        tolerance=0,
    )  # fmt: skip


def test_may_look_of_the_last_queries_alone(answers):
    mask = torch.rand(5, 9, generator=torch.Generator().manual_seed(3)) < 0.7
    two_way, targets = torch.tensor([0, 3, 5, 9, 7]), 4
    expected = torch.zeros(5, 1, targets, 9, dtype=torch.bool)
    for row in range(5):
        for number in range(targets):
            place = 9 - targets + number
            for other in range(9):
                both = place < two_way[row] and other < two_way[row]
                expected[row, 0, number, other] = other == place or bool(mask[row, other] and (other < place or both))
    check(
        answers,
        lambda answers: answers.may_look(mask, two_way, targets),
        expected,
        holds="itself; real tokens before; and within the source, all real tokens of the source",
        inputs={"mask": mask, "two_way": two_way.tolist(), "targets": targets},
        section="Exercises",
        tolerance=0,
    )


def attention_by_loops(x, context, w_q, w_k, w_v, w_o, scale, bias):
    """One text, one head, one query at a time, in float64."""
    x, context, w_q, w_k, w_v, w_o, bias = (part.double() for part in (x, context, w_q, w_k, w_v, w_o, bias))
    y = torch.zeros_like(x)
    for row in range(len(x)):
        for i in range(len(w_q)):
            keys = [w_k[i] @ vector for vector in context[row]]
            values = [w_v[i] @ vector for vector in context[row]]
            for target in range(x.shape[1]):
                query = w_q[i] @ x[row, target]
                scores = [scale * float(query @ key) + float(bias[row, i, target, s]) for s, key in enumerate(keys)]
                sizes = [math.exp(score - max(scores)) for score in scores]
                mixed = sum(size / sum(sizes) * value for size, value in zip(sizes, values, strict=True))
                y[row, target] += w_o[i] @ mixed
    return y.float()


def layer(seed=1, heads=3, head=2, width=5):
    """w_q, w_k, w_v, w_o"""
    return [numbers(heads, head, width, seed=seed + i) for i in range(3)] + [numbers(heads, width, head, seed=seed + 3)]


def test_attention_by_heads_of_a_text_to_another(answers):
    x, context, bias = numbers(2, 4, 5), numbers(2, 6, 5, seed=9), numbers(2, 3, 4, 6, seed=8)
    weights = layer()
    check(
        answers,
        lambda answers: answers.attention_by_heads(x, context, *weights, 0.6, bias),
        attention_by_loops(x, context, *weights, 0.6, bias),
        holds="y = sum over heads of W_o[i] (softmax(scale q k^T + bias) v)",
        inputs={"x": x, "context": context, "w_q": weights[0], "w_o": weights[3], "scale": 0.6, "bias": bias},
        section="The mathematics",
        trained=("w_q", "w_k", "w_v", "w_o", "bias"),
    )


def test_attention_by_heads_of_a_text_to_itself_with_a_mask(answers):
    x, weights = 3 * numbers(3, 4, 5, seed=4), layer(seed=20)
    bias = numbers(3, 3, 4, 4, seed=5).masked_fill(~torch.ones(4, 4).tril().bool(), torch.finfo(torch.float32).min)
    check(
        answers,
        lambda answers: answers.attention_by_heads(x, None, *weights, 1.0, bias),
        attention_by_loops(x, x, *weights, 1.0, bias),
        holds="without a context, x looks at itself; what the bias forbids has no weight",
        inputs={"x": x, "context": None, "w_q": weights[0], "w_o": weights[3], "scale": 1.0, "bias": bias},
        section="The mathematics",
        tolerance=1e-4,
    )


def test_attention_by_heads_is_that_of_the_library(answers):
    heads, head, width = 4, 3, 7
    w_q, w_k, w_v, w_o = layer(30, heads, head, width)
    x, context, bias = numbers(2, 5, width), numbers(2, 3, width, seed=2), numbers(2, heads, 5, 3, seed=3)
    real = Attention(width, heads, head, scale=0.5)
    with torch.no_grad():
        for linear, weight in ((real.query, w_q), (real.key, w_k), (real.value, w_v)):
            linear.weight.copy_(weight.flatten(0, 1))
        real.output.weight.copy_(w_o.permute(1, 0, 2).flatten(1))
        expected = real(x, context, bias)
    check(
        answers,
        lambda answers: answers.attention_by_heads(x, context, w_q, w_k, w_v, w_o, 0.5, bias),
        expected,
        holds="the same outputs as minipeft's Attention with these weights",
        inputs={"x": x, "context": context, "w_q": w_q, "w_o": w_o, "scale": 0.5, "bias": bias},
        section="The code",
        trained=("w_q", "w_k", "w_v", "w_o"),
    )


@cache
def count(kind, config) -> int:
    return sum(parameter.numel() for parameter in build_hollow(kind, config).parameters())


def predicted(answers, model, expected, holds, **inputs):
    check(
        answers,
        lambda answers: answers.PARAMETERS[model],
        expected,
        holds=holds,
        inputs=inputs,
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_parameters_of_an_old_t5(answers):
    old = EncoderDecoderConfig(32128, 512, 8, 64, 2048, 6, 6, activation="relu", gated=False, tied_head=True)
    holds = "every matrix once; two norms in an encoder layer, three in a decoder layer, one on top of each stack"
    predicted(answers, "T5 1.0 small", count(EncoderDecoder, old), holds, width=512, layers="6 + 6", heads=8)


def test_parameters_of_a_t5_with_a_shallow_decoder(answers):
    shallow = EncoderDecoderConfig(32128, 768, 12, 64, 2048, encoder_layers=12, decoder_layers=3)
    holds = "a decoder layer has two attentions, and a gated feed-forward layer three matrices"
    name = "T5 v1.1 base, 3 decoder layers"
    predicted(answers, name, count(EncoderDecoder, shallow), holds, width=768, layers="12 + 3", heads=12)


def test_parameters_of_gpt_2(answers):
    gpt = DecoderOnlyConfig(50257, 768, heads=12, layers=12, max_length=1024)
    holds = "every linear map has a bias for each output, every LayerNorm a weight and a bias"
    predicted(answers, "GPT-2 small", count(DecoderOnly, gpt), holds, width=768, layers=12, positions=1024)


@cache
def tenth_step() -> tuple[int, int]:
    """Multiplications of the tenth step of a hollow T5 v1.1 small, and the bytes of its caches behind it."""
    model = build_hollow(EncoderDecoder, EncoderDecoderConfig(32128, 512, 6, 64, 1024, 8, 8))
    with torch.device("meta"), torch.no_grad():
        source, token = torch.ones(1, 50, dtype=torch.long), torch.ones(1, 1, dtype=torch.long)
        _, state = model.prefill(Batch(source, source.bool()))  # reads the start token, which is the first
        model.step(source[:, :8], source[:, :8].bool(), state)  # the next eight at once
        with FlopCounterMode(display=False) as counter:
            model.step(token, token.bool(), state)
    held = sum(cache.key.numel() + cache.value.numel() for block in state.caches for cache in block)
    return counter.get_total_flops() // 2, 2 * held


def step(answers, key, expected, holds):
    check(
        answers,
        lambda answers: answers.STEP[key],
        expected,
        holds=holds,
        inputs={"source": 50, "token": "the 10th", "layers": 8, "width": 512, "heads * head": 384, "inner": 1024},
        section="The mathematics",
        tolerance=0,
        secret=True,
    )


def test_step_has_the_multiplications_of_the_real_one(answers):
    holds = "a matrix (in, out) takes in * out for a token; scores and means take heads * head for each place looked at"
    step(answers, "multiplications", tenth_step()[0], holds)


def test_step_leaves_the_bytes_of_the_real_caches(answers):
    holds = "a key and a value of heads * head numbers for each place: of the answer and of the source, in each layer"
    step(answers, "cache bytes", tenth_step()[1], holds)


class ByCopies:
    """The cache by its law: one list of places for each row."""

    def __init__(self, batch):
        self.rows = [[] for _ in range(batch)]

    def append(self, key, value):
        for row, places in enumerate(self.rows):
            places += [(key[row, :, n], value[row, :, n]) for n in range(key.shape[2])]
        keys, values = ([torch.stack([place[part] for place in places], 1) for places in self.rows] for part in (0, 1))
        return torch.stack(keys), torch.stack(values)

    def cut(self, length):
        self.rows = [places[:length] for places in self.rows]

    def keep(self, rows):
        self.rows = [list(self.rows[row]) for row in rows.tolist()]


ORDERS = {
    "read 3, then 1, then 2": (3, 1, 2),
    "read, exchange two rows, read on": (2, [1, 0, 2], 1, [2, 2, 0], 2),
    "read, keep one row twice, cut, read on": (4, [0, 0, 1], "cut 2", 1, [1, 2, 0], 3, [2, 0, 1], "cut 5", 1),
}


def run_of(cache_, order):
    """What the cache holds after every reading, and whether the arguments stay as they are."""
    found = {}
    for number, call in enumerate(order, 1):
        if isinstance(call, int):
            key, value = (numbers(3, 2, call, 4, seed=10 * number + part) for part in (0, 1))
            before = key.clone(), value.clone()
            keys, values = cache_.append(key, value)
            found[f"keys after call {number}"], found[f"values after call {number}"] = keys.clone(), values.clone()
            found[f"arguments after call {number}"] = torch.equal(before[0], key) and torch.equal(before[1], value)
        elif isinstance(call, list):
            rows = torch.tensor(call)
            cache_.keep(rows)
            found[f"rows after call {number}"] = rows.tolist()
        else:
            cache_.cut(int(call.split()[1]))
    return found


def kept_by(answers, order, holds):
    told = [f"append {call}" if isinstance(call, int) else f"keep {call}" if isinstance(call, list) else call
            for call in ORDERS[order]]  # fmt: skip
    check(
        answers,
        lambda answers: run_of(answers.GrowingCache(3, 2, 12, 4), ORDERS[order]),
        run_of(ByCopies(3), ORDERS[order]),
        holds=holds,
        inputs={"batch": 3, "heads": 2, "room": 12, "head": 4, "calls": ", ".join(told)},
        section="The code",
        tolerance=0,
    )


def test_growing_cache_holds_what_was_read(answers):
    kept_by(answers, "read 3, then 1, then 2", "new places stand behind the old ones")


def test_growing_cache_goes_on_from_other_rows(answers):
    kept_by(answers, "read, exchange two rows, read on", "row i becomes what row rows[i] was, keys and values alike")


def test_growing_cache_is_cut_and_reads_on(answers):
    kept_by(answers, "read, keep one row twice, cut, read on", "what is cut off is written over, in every row")


# Implementations for check_cached. Most are `in_pieces` with one thing done otherwise.


def mix(x, keys, values, distance, allowed):
    """Outputs of the queries x over keys and values, with the distances and the mask that are given."""
    scores = (x @ keys.transpose(1, 2) - 0.02 * distance**2).masked_fill(~allowed, -torch.inf)
    return scores.softmax(-1) @ values


def in_pieces(x, pieces, remember=lambda old, new: torch.cat([old, new], 1), first=None, ask=None, see=None):
    """Reads piece by piece; the cache holds the vectors themselves.

    remember: what the cache becomes. first: the cache at the beginning. ask: number of the first query. see: a mask.
    """
    cache_ = x[:, :0] if first is None else first
    found, start = [], 0
    for size in pieces:
        new = x[:, start : start + size]
        held = remember(cache_, new)
        queries = torch.arange(size) + (held.shape[1] - size if ask is None else ask)
        distance = queries[:, None] - torch.arange(held.shape[1])[None, :]
        allowed = distance >= 0 if see is None else see(size, held.shape[1])
        found.append(mix(new, held, held * held, distance, allowed))
        cache_, start = held, start + size
    return torch.cat(found, 1)


def recomputes(x, pieces):
    """Right, without a cache: everything is read again with each piece."""
    found, end = [], 0
    for size in pieces:
        end += size
        found.append(in_pieces(x[:, :end], [end])[:, end - size :])
    return torch.cat(found, 1)


def in_a_buffer(x, pieces):
    """Right: keys and values apart, in buffers made once, the outputs token by token."""
    keys, values, outputs = (torch.empty_like(x) for _ in range(3))
    for place in range(sum(pieces)):
        keys[:, place], values[:, place] = x[:, place], x[:, place] ** 2
        scores = (keys[:, : place + 1] * x[:, place, None]).sum(-1) - 0.02 * torch.arange(place, -1, -1) ** 2
        outputs[:, place] = (scores.softmax(-1)[:, :, None] * values[:, : place + 1]).sum(1)
    return outputs


def forgets_the_oldest(old, new):
    return torch.cat([old, new], 1)[:, -8:] if old.shape[1] + new.shape[1] > 8 else torch.cat([old, new], 1)


def first_row_for_all(old, new):
    return torch.cat([old[:1].expand_as(old), new], 1)


def loses_the_end(old, new):
    """Remembers a piece of two or more without its last place."""
    return torch.cat([old[:, :-1] if old.shape[1] > 1 else old, new], 1)


def sees_its_whole_piece(size, held):
    return torch.arange(held)[None, :] < torch.full((size, 1), held)


def mask_from_zero(size, held):
    """Lower triangle of the (size, held) table: right for the first piece."""
    return torch.ones(size, held, dtype=torch.bool).tril() if size > 1 else torch.ones(size, held, dtype=torch.bool)


class GoesOnFromTheLastCall:
    """Its cache is not emptied between two calls, unless the batch or the width is another one."""

    def __init__(self):
        self.last = None

    def __call__(self, x, pieces):
        fits = self.last is not None and self.last.shape[::2] == x.shape[::2]
        found = in_pieces(x, pieces, first=self.last if fits else None)
        self.last = x.clone()
        return found


def changes_x(x, pieces):
    found = in_pieces(x, pieces)
    x.mul_(2.0)
    return found


def of_the_last_place_only(x, pieces):
    """Outputs of each piece's last place alone, for all of its places."""
    found, ends = in_pieces(x, pieces), torch.tensor(pieces).cumsum(0) - 1
    return torch.cat([found[:, end : end + 1].expand(-1, size, -1) for end, size in zip(ends, pieces, strict=True)], 1)


def remembers_outputs(x, pieces):
    """The cache holds what the layer gave, not what it read."""
    given, start = x[:, :0], 0
    for size in pieces:
        held = torch.cat([given, x[:, start : start + size]], 1)
        given = torch.cat([given, in_pieces(held, [held.shape[1]])[:, -size:]], 1)
        start += size
    return given


def rounds_the_cache(old, new):
    return torch.cat([old.bfloat16().to(new.dtype), new], 1)


def takes_at_most_three_pieces(x, pieces):
    return torch.cat([in_pieces(x[:, : sum(pieces[:3])], pieces[:3]), x[:, sum(pieces[:3]) :]], 1)


RIGHT = {
    "a cache that is put together anew": in_pieces,
    "buffers that are made once": in_a_buffer,
    "no cache at all, everything read again": recomputes,
}


def wrong_implementations():
    return {
        "forgets the pieces before": lambda x, pieces: in_pieces(x, pieces, lambda old, new: new),
        "remembers at most 8 places": lambda x, pieces: in_pieces(x, pieces, forgets_the_oldest),
        "puts new places before the old ones":
            lambda x, pieces: in_pieces(x, pieces, lambda old, new: torch.cat([new, old], 1)),
        "remembers the first row for all rows": lambda x, pieces: in_pieces(x, pieces, first_row_for_all),
        "loses the last place that it has remembered": lambda x, pieces: in_pieces(x, pieces, loses_the_end),
        "counts the distances of each piece from 0":
            lambda x, pieces: in_pieces(x, pieces, ask=0, see=lambda size, held: ~torch.ones(size, held)
                                        .triu(held - size + 1).bool()),
        "lets a query see the whole of its piece": lambda x, pieces: in_pieces(x, pieces, see=sees_its_whole_piece),
        "counts the mask of each longer piece from 0": lambda x, pieces: in_pieces(x, pieces, see=mask_from_zero),
        "goes on from the cache of the call before": GoesOnFromTheLastCall(),
        "changes x": changes_x,
        "gives each piece's last output for all of its places": of_the_last_place_only,
        "remembers its outputs in place of what it read": remembers_outputs,
        "rounds what it remembers to 16 bits": lambda x, pieces: in_pieces(x, pieces, rounds_the_cache),
        "reads three pieces and hands the rest on as it is": takes_at_most_three_pieces,
    }  # fmt: skip


def test_check_cached_tells_right_from_wrong(answers):
    prove(
        answers,
        "check_cached",
        RIGHT,
        wrong_implementations(),
        holds="your test passes where reading in pieces gives what all_at_once gives, and fails everywhere else",
        section="Exercises",
    )


def shared_layer(seed):
    """Weights of multi-query attention: three heads of 2, width 5."""
    shapes = ((3, 2, 5), (2, 5), (2, 5), (3, 5, 2))
    return tuple(numbers(*shape, seed=seed + i) for i, shape in enumerate(shapes))


def shared_attention(x, read, weights):
    """x (batch, width) over read (batch, places, width), by the loops above: each head has the same key and value."""
    w_q, w_k, w_v, w_o = weights
    many = [w.expand(len(w_q), -1, -1) for w in (w_k, w_v)]
    nothing = torch.zeros(len(x), len(w_q), 1, read.shape[1])
    return attention_by_loops(x[:, None], read, w_q, *many, w_o, 1.0, nothing)[:, 0]


WEIGHTS = {"own": shared_layer(40), "cross": shared_layer(50)}
TOKENS, CONTEXT = numbers(2, 4, 5, seed=60), numbers(2, 6, 5, seed=61)  # four steps of two texts; sources of 6


def steps_by_hand():
    """The outputs of all steps, each over all tokens so far."""
    found = []
    for n in range(TOKENS.shape[1]):
        h = TOKENS[:, n] + shared_attention(TOKENS[:, n], TOKENS[:, : n + 1], WEIGHTS["own"])
        found.append(h + shared_attention(h, CONTEXT, WEIGHTS["cross"]))
    return found


def inputs_of_steps(**others):
    return {"x": TOKENS[:, 0], "context": CONTEXT, "heads": 3, "head": 2} | others


def test_decoder_step_that_is_the_first_reads_the_context(answers):
    check(
        answers,
        lambda answers: answers.decoder_step(TOKENS[:, 0], CONTEXT, None, None, WEIGHTS)[0],
        steps_by_hand()[0],
        holds="h = x + attention to itself; y = h + attention of h to the context",
        inputs=inputs_of_steps(own=None, cross=None),
        section="The mathematics",
        trained=("x", "context"),
    )


def test_decoder_step_gives_the_caches_on(answers):
    x, new = TOKENS[:, 1], TOKENS[:, :2]
    before = tuple(TOKENS[:, :1] @ WEIGHTS["own"][part].T for part in (1, 2))
    cross = tuple(CONTEXT @ WEIGHTS["cross"][part].T for part in (1, 2))
    expected = {"own": tuple(new @ WEIGHTS["own"][part].T for part in (1, 2)), "cross": cross}

    def run(answers):
        _, own, cross_now = answers.decoder_step(x, CONTEXT, before, None, WEIGHTS)
        return {"own": own, "cross": cross_now}

    check(
        answers,
        run,
        expected,
        holds="own grows by the key and the value of x, before any attention; cross holds those of the context",
        inputs=inputs_of_steps(own="one token", cross=None),
        section="The code",
    )


def test_decoder_step_after_step_never_looks_at_the_context_again(answers):
    nowhere = torch.full_like(CONTEXT, torch.nan)

    def run(answers):
        own, cross, found = None, None, []
        for n in range(TOKENS.shape[1]):
            y, own, cross = answers.decoder_step(TOKENS[:, n], nowhere if n else CONTEXT, own, cross, WEIGHTS)
            found.append(y)
        return found + [len(own[0][0]), len(cross[0][0])]

    check(
        answers,
        run,
        [*steps_by_hand(), 4, 6],
        holds="four steps give what four tokens read at once give; from the second on, cross stands for the context",
        inputs=inputs_of_steps(context="(2, 6, 5), then nan"),
        section="The code",
    )


def test_decoder_step_with_one_head_is_two_layers_of_the_library(answers):
    weights, layers = {}, {}
    for number, name in enumerate(("own", "cross")):
        layers[name] = Attention(5, heads=1, head_size=3)
        shapes = ((1, 3, 5), (3, 5), (3, 5), (1, 5, 3))
        weights[name] = tuple(numbers(*shape, seed=70 + 4 * number + i) for i, shape in enumerate(shapes))
        with torch.no_grad():
            for linear, weight in zip(layers[name].children(), weights[name], strict=False):
                linear.weight.copy_(weight.view_as(linear.weight))
    x = TOKENS[:, :1]
    with torch.no_grad():
        h = x + layers["own"](x)
        expected = (h + layers["cross"](h, CONTEXT))[:, 0]
    check(
        answers,
        lambda answers: answers.decoder_step(x[:, 0], CONTEXT, None, None, weights)[0],
        expected,
        holds="with one head, multi-query attention is attention",
        inputs=inputs_of_steps(heads=1, head=3),
        section="The code",
    )
