"""Other right answers to the exercises of chapter 01, each put behind the solution: all must pass."""

RIGHT = {
    "relative_buckets": [
        """
import math

def relative_buckets(query_places, key_places, buckets, max_distance, bidirectional):
    rows = []
    for query in query_places.tolist():
        row = []
        for key in key_places.tolist():
            half = buckets // 2 if bidirectional else buckets
            away = abs(key - query) if bidirectional else max(query - key, 0)
            if away < half // 2:
                bucket = away
            else:
                share = math.log(away / (half // 2)) / math.log(max_distance / (half // 2))
                bucket = min(half // 2 + int(share * (half - half // 2)), half - 1)
            row.append(bucket + (half if bidirectional and key > query else 0))
        rows.append(row)
    return torch.tensor(rows)
""",
        """
import math

def relative_buckets(query_places, key_places, buckets, max_distance, bidirectional):
    distance = key_places.unsqueeze(0) - query_places.unsqueeze(1)
    bucket = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        bucket += buckets * (distance > 0)
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    share = torch.log(distance.clamp(min=exact).double() / exact) / math.log(max_distance / exact)
    far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
    return (bucket + torch.where(distance < exact, distance, far)).int()
""",
    ],
    "may_look": [
        """
def may_look(mask, two_way, targets):
    batch, seen = mask.shape
    allowed = torch.ones(seen, seen, dtype=torch.bool).tril().repeat(batch, 1, 1)
    for row, length in enumerate(two_way.tolist()):
        allowed[row, :length, :length] = True
    allowed &= mask[:, None, :]
    allowed |= torch.eye(seen, dtype=torch.bool)
    return allowed[:, None, seen - targets :]
""",
        """
def may_look(mask, two_way, targets):
    seen = mask.shape[1]
    key = torch.arange(seen).view(1, 1, 1, seen)
    query = torch.arange(seen - targets, seen).view(1, 1, targets, 1)
    ends = torch.where(query < two_way.view(-1, 1, 1, 1), two_way.view(-1, 1, 1, 1), query + 1)
    real = torch.logical_and(key < ends, mask.view(-1, 1, 1, seen))
    return torch.logical_or(real, key == query)
""",
    ],
    "attention_by_heads": [
        """
def attention_by_heads(x, context, w_q, w_k, w_v, w_o, scale, bias):
    if context is None:
        context = x
    q = torch.einsum("btw,ndw->bntd", x, w_q)
    k = torch.einsum("bsw,ndw->bnsd", context, w_k)
    v = torch.einsum("bsw,ndw->bnsd", context, w_v)
    p = torch.softmax(torch.einsum("bntd,bnsd->bnts", q, k) * scale + bias, -1)
    return torch.einsum("bnts,bnsd,nwd->btw", p, v, w_o)
""",
        """
def attention_by_heads(x, context, w_q, w_k, w_v, w_o, scale, bias):
    read = context if context is not None else x
    split = lambda t, w: (t @ w.flatten(0, 1).T).unflatten(-1, w.shape[:2]).transpose(1, 2)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        split(x, w_q), split(read, w_k), split(read, w_v), bias, scale=scale)
    return mixed.transpose(1, 2).flatten(2) @ w_o.permute(1, 0, 2).flatten(1).T
""",
    ],
    "parameters": [
        'PARAMETERS = {"T5 1.0 small": 60506624, "T5 v1.1 base, 3 decoder layers": PARAMETERS["T5 v1.1 base, 3 decoder'
        ' layers"], "GPT-2 small": 124439808}',
        "import numpy\nPARAMETERS = {name: numpy.int64(number) for name, number in PARAMETERS.items()}",
    ],
    "step": [
        'STEP = {"multiplications": 8 * (786432 + 7680 + 393216 + 38400 + 1572864) + 16449536,'
        ' "cache bytes": 8 * (2 * 10 * 384 + 2 * 50 * 384) * 2}',
        'from fractions import Fraction\nSTEP = {"multiplications": Fraction(38838272), "cache bytes": 737280.0}',
    ],
    "growing_cache": [
        """
class GrowingCache(GrowingCache):
    def keep(self, rows):
        keys, values = self.keys.clone(), self.values.clone()
        for place, row in enumerate(rows.tolist()):
            self.keys[place], self.values[place] = keys[row], values[row]
""",
        """
class GrowingCache:
    def __init__(self, batch, heads, room, head):
        self.both = torch.zeros(2, batch, heads, 0, head)

    def append(self, key, value):
        self.both = torch.cat([self.both, torch.stack([key, value])], dim=3)
        return self.both[0], self.both[1]

    def cut(self, length):
        self.both = self.both[:, :, :, :length]

    def keep(self, rows):
        self.both = self.both.index_select(1, rows)
""",
    ],
    "check_cached": [
        """
def check_cached(implementation):
    import itertools
    torch.manual_seed(1)
    for pieces in itertools.product((1, 2, 5), repeat=4):
        x = torch.randn(2, sum(pieces), 3, dtype=torch.float64)
        copy = x.clone()
        y = implementation(x, list(pieces))
        assert y.shape == x.shape
        assert (y - all_at_once(copy)).abs().max() < 1e-8
        assert bool((x == copy).all())
""",
        """
def check_cached(implementation):
    for seed in range(20):
        random = torch.Generator().manual_seed(seed)
        pieces = torch.randint(1, 6, (2 + seed % 5,), generator=random).tolist() + [1, 1]
        x = torch.rand(2, sum(pieces), 4, generator=random).double() * 2 - 1
        before = x + 0
        expected = all_at_once(before)
        found = implementation(x, pieces)
        if not torch.allclose(found, expected, rtol=1e-6, atol=1e-8) or not torch.equal(before, x):
            raise AssertionError(f"pieces {pieces}")
""",
    ],
    "decoder_step": [
        """
def decoder_step(x, context, own, cross, weights):
    def attend(x, keys, values, w_q, w_o):
        nothing = torch.zeros(1, len(w_q), 1, 1)
        one = torch.eye(keys.shape[-1]).expand(len(w_q), -1, -1)
        total = 0
        for q, o in zip(w_q, w_o):
            weights = torch.softmax((x @ q.T).unsqueeze(1) @ keys.transpose(1, 2), dim=-1)
            total = total + (weights @ values).squeeze(1) @ o.T
        return total
    q, k, v, o = weights["own"]
    new = x.unsqueeze(1) @ k.T, x.unsqueeze(1) @ v.T
    own = new if own is None else tuple(torch.cat(pair, 1) for pair in zip(own, new))
    x = x + attend(x, *own, q, o)
    q, k, v, o = weights["cross"]
    cross = cross or (context @ k.T, context @ v.T)
    return x + attend(x, *cross, q, o), own, cross
""",
        """
def decoder_step(x, context, own, cross, weights):
    h, caches = x, []
    for name, cache in (("own", own), ("cross", cross)):
        w_q, w_k, w_v, w_o = weights[name]
        if name == "own" or cache is None:
            read = x[:, None] if name == "own" else context
            new = [read @ w_k.T, read @ w_v.T]
            cache = new if cache is None else [torch.cat([a, b], 1) for a, b in zip(cache, new)]
        queries = torch.stack([h @ w.T for w in w_q], 1)
        mixed = torch.nn.functional.scaled_dot_product_attention(queries[:, :, None], cache[0][:, None],
                                                                cache[1][:, None], scale=1.0)[:, :, 0]
        h = h + sum(mixed[:, i] @ w.T for i, w in enumerate(w_o))
        caches.append(tuple(cache))
    return h, caches[0], caches[1]
""",
    ],
}
