"""What goes wrong with the parts of a transformer."""

from minipeft.course.wrong_answers import WrongAnswer


def one(name: str, exercise: str, old: str, new: str) -> WrongAnswer:
    return WrongAnswer(name, exercise, [(old, new)])


AWAY = "key_places[None, :] - query_places[:, None]"
FIRST = "first = torch.where(away > 0, buckets, 0)"
EDGES = "[exact * (max_distance / exact) ** (step / (buckets - exact)) for step in range(1, buckets - exact)]"
CHOICE = "torch.where(away < exact, away, exact + passed)"
QUERIES = "queries = places[seen - targets :]"
ALLOWED = "(before | within) & mask[:, None, :]"
ADDED = "total = total + weights @ value @ w_o[i].T"
SCORES = "scale * (query @ key.transpose(1, 2)) + bias[:, i]"
KEEP = (
    "        self.keys = self.keys[rows]  # a copy: in place, a row would be read that is already written over\n"
    "        self.values = self.values[rows]\n"
)
PIECES = "([1] * 7, [7], [3, 1, 1, 2], [1, 4, 2], [2, 2, 2, 3], [9, 1, 1, 6, 5])"
CLOSE = "        torch.testing.assert_close(found, all_at_once(before), rtol=1e-9, atol=1e-9)\n"
SAME = '        assert torch.equal(x, before), "x is changed"\n'
GROWN = "key, value = torch.cat([own[0], key], dim=1), torch.cat([own[1], value], dim=1)"
OWN = "    h = x + shared_heads(x, *own, w_q, w_o)\n"
LAST = "return h + shared_heads(h, *cross, cross_q, cross_o), own, cross"
ONCE = "    if cross is None:\n        cross = context @ cross_k.T, context @ cross_v.T\n"

# The three models of PARAMETERS as the solution writes them, part by part.
OLD_TABLE, OLD_NORMS, OLD_TOP = (
    '"T5 1.0 small": 32128 * 512',
    "6 * (8 * 512 * 512 + 2 * 512 * 2048 + 3 * 512)",
    "(512 + 32 * 8)",
)
OLD_ENCODER = "6 * (4 * 512 * 512 + 2 * 512 * 2048 + 2 * 512)"
NEW_TABLE, NEW_TOP = "2 * 32128 * 768", "(768 + 32 * 12)"
NEW_ENCODER = "12 * (4 * 768 * 768 + 3 * 768 * 2048 + 2 * 768)"
NEW_DECODER = "3 * (8 * 768 * 768 + 3 * 768 * 2048 + 3 * 768)"
GPT_LAYER = "12 * (4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 2 * 2 * 768)"
GPT_TOP, GPT_POSITIONS = "    + 2 * 768,\n", "    + 1024 * 768\n"


def counts(name: str, *edits: tuple[str, str]) -> WrongAnswer:
    return WrongAnswer(name, "parameters", list(edits))


STEPS = {
    "own": "4 * 512 * 384  # own",
    "scores": "2 * 10 * 384",
    "cross": "2 * 512 * 384",
    "source": "2 * 50 * 384",
    "inner": "3 * 512 * 1024",
    "head": "    + 512 * 32128,\n",
    "bytes": "8 * 2 * (10 + 50) * 384 * 2",
}


def step(name: str, **edits: str) -> WrongAnswer:
    return WrongAnswer(name, "step", [(STEPS[part], new) for part, new in edits.items()])


WRONG = [
    one("the distance is query minus key", "relative_buckets", AWAY, "query_places[:, None] - key_places[None, :]"),
    one("queries and keys are exchanged", "relative_buckets", AWAY, "query_places[None, :] - key_places[:, None]"),
    one("the upper half is for keys to the left", "relative_buckets", FIRST, FIRST.replace("away > 0", "away < 0")),
    one("distance 0 counts as to the right", "relative_buckets", FIRST, FIRST.replace("away > 0", "away >= 0")),
    one("the buckets are not halved for the two directions", "relative_buckets", "buckets = buckets // 2",
        "pass"),
    one("both directions share their buckets", "relative_buckets", FIRST, "pass"),
    one("keys ahead are taken for keys behind, in a causal stack", "relative_buckets",
        "away = torch.where(away < 0, -away, 0)", "away = away.abs()"),
    one("every distance has a bucket of its own, up to the last", "relative_buckets", CHOICE,
        "away.clamp(max=buckets - 1)"),
    one("the logarithmic buckets begin again at 0", "relative_buckets", CHOICE,
        "torch.where(away < exact, away, passed)"),
    one("the far buckets are all of one width", "relative_buckets", EDGES,
        "[exact + (max_distance - exact) * step / (buckets - exact) for step in range(1, buckets - exact)]"),
    one("the far buckets are rounded to the nearest instead of down", "relative_buckets", EDGES,
        EDGES.replace("(step / (buckets", "((step - 0.5) / (buckets")),
    one("the last bucket begins one step too soon", "relative_buckets", EDGES,
        EDGES.replace("step / (buckets - exact))", "step / (buckets - exact + 1))")),
    one("a quarter of the buckets is exact instead of a half", "relative_buckets", "exact = buckets // 2",
        "exact = max(buckets // 4, 1)"),
    one("the places are counted from 0", "relative_buckets", AWAY,
        "torch.arange(len(key_places))[None, :] - torch.arange(len(query_places))[:, None]"),

    one("the queries are the first places, not the last", "may_look", QUERIES, "queries = places[:targets]"),
    one("a query does not look at itself", "may_look", "allowed | itself", "allowed & ~itself"),
    one("a query looks at everything but what came before", "may_look", "places[None, :] <= queries[:, None]",
        "places[None, :] >= queries[:, None]"),
    one("there is no mask for what comes later", "may_look", ALLOWED, "mask[:, None, :].expand(-1, targets, -1)"),
    one("padding is looked at", "may_look", ALLOWED, "before | within"),
    one("padding is kept from looking, but not from being looked at", "may_look", ALLOWED,
        "(before | within) & mask[:, seen - targets :, None]"),
    one("a place that is padding looks at nothing", "may_look", "(allowed | itself)[:, None]", "allowed[:, None]"),
    one("the source looks to the left only", "may_look", ALLOWED, "before & mask[:, None, :]"),
    one("the answer's places look at each other in both directions", "may_look",
        "source[:, seen - targets :, None] & source[:, None, :]",
        "source[:, seen - targets :, None] == source[:, None, :]"),
    one("the source sees the answer", "may_look", "source[:, seen - targets :, None] & source[:, None, :]",
        "source[:, seen - targets :, None].expand(-1, -1, seen)"),
    one("the answer does not see the source before it", "may_look", ALLOWED,
        "torch.where(source[:, None, :], within, before) & mask[:, None, :]"),
    one("the source has one place more", "may_look", "places[None, :] < two_way[:, None]",
        "places[None, :] <= two_way[:, None]"),
    one("all rows have the source of the first", "may_look", "two_way[:, None]", "two_way[:1, None]"),
    one("the dimension of the heads is missing", "may_look", "(allowed | itself)[:, None]", "allowed | itself"),

    one("the scores are not scaled", "attention_by_heads", "scale * (query", "(query"),
    one("the bias is scaled, too", "attention_by_heads", SCORES,
        "scale * (query @ key.transpose(1, 2) + bias[:, i])"),
    one("the bias is left out", "attention_by_heads", " + bias[:, i]  # (batch", "  # (batch"),
    one("every head has the bias of the first", "attention_by_heads", "bias[:, i]", "bias[:, 0]"),
    one("the softmax runs over the queries", "attention_by_heads", "scores.softmax(2)", "scores.softmax(1)"),
    one("there is no softmax", "attention_by_heads", "scores.softmax(2)", "scores"),
    one("the bias is added behind the softmax", "attention_by_heads", SCORES + "  # (batch, targets, sources)\n"
        "        weights = scores.softmax(2)",
        "scale * (query @ key.transpose(1, 2))\n        weights = scores.softmax(2) + bias[:, i]"),
    one("the values are those of x, not of the context", "attention_by_heads",
        "query, key, value = x @ w_q[i].T, read @ w_k[i].T, read @ w_v[i].T",
        "query, key, value = x @ w_q[i].T, read @ w_k[i].T, x @ w_v[i].T"),
    one("x looks at itself though there is a context", "attention_by_heads", "x if context is None else context",
        "x"),
    one("the heads are averaged, not added up", "attention_by_heads", ADDED,
        "total = total + weights @ value @ w_o[i].T / len(w_q)"),
    one("only the last head is given", "attention_by_heads", ADDED, "total = weights @ value @ w_o[i].T"),
    one("every head gives through the output matrix of the first", "attention_by_heads", "value @ w_o[i].T",
        "value @ w_o[0].T"),
    one("keys and values are exchanged", "attention_by_heads", "read @ w_k[i].T, read @ w_v[i].T",
        "read @ w_v[i].T, read @ w_k[i].T"),
    one("x is added to what attention gives", "attention_by_heads", "total = torch.zeros_like(x)", "total = x"),
    one("the root of the head's size divides the scores as well", "attention_by_heads", "scale * (query",
        "scale * w_q.shape[1] ** -0.5 * (query"),

    counts("the biases of the positions are forgotten", (OLD_TOP, "512"), (NEW_TOP, "768")),
    counts("the final norms are forgotten", (OLD_TOP, "(32 * 8)"), (NEW_TOP, "(32 * 12)"), (GPT_TOP, ",\n")),
    counts("the norms of the layers are forgotten", (OLD_ENCODER, OLD_ENCODER.replace(" + 2 * 512)", ")")),
           (OLD_NORMS, OLD_NORMS.replace(" + 3 * 512)", ")")), (NEW_ENCODER, NEW_ENCODER.replace(" + 2 * 768)", ")")),
           (NEW_DECODER, NEW_DECODER.replace(" + 3 * 768)", ")")),
           (GPT_LAYER, GPT_LAYER.replace(" + 2 * 2 * 768)", ")"))),
    counts("a decoder layer has two norms", (OLD_NORMS, OLD_NORMS.replace("3 * 512)", "2 * 512)")),
           (NEW_DECODER, NEW_DECODER.replace("3 * 768)", "2 * 768)"))),
    counts("cross-attention is forgotten", (OLD_NORMS, OLD_NORMS.replace("8 *", "4 *", 1)),
           (NEW_DECODER, NEW_DECODER.replace("8 *", "4 *"))),
    counts("every layer has its own table of positions", (OLD_TOP, "(512 + 6 * 32 * 8)"),
           ("2 * (768 + 32 * 12)", "2 * 768 + 15 * 32 * 12")),
    counts("the gate is forgotten in T5 v1.1", (NEW_ENCODER, NEW_ENCODER.replace("3 * 768 * 2048", "2 * 768 * 2048")),
           (NEW_DECODER, NEW_DECODER.replace("3 * 768 * 2048", "2 * 768 * 2048"))),
    counts("T5 1.0 has a gate as well", (OLD_ENCODER, OLD_ENCODER.replace("2 * 512 * 2048", "3 * 512 * 2048")),
           (OLD_NORMS, OLD_NORMS.replace("2 * 512 * 2048", "3 * 512 * 2048"))),
    counts("a tied head is counted twice", (OLD_TABLE, OLD_TABLE.replace("32128", "2 * 32128")),
           ("50257 * 768", "2 * 50257 * 768")),
    counts("the head of T5 v1.1 is taken for its embedding", (NEW_TABLE, "32128 * 768")),
    counts("the biases of GPT-2's linear maps are forgotten",
           (GPT_LAYER, "12 * (4 * 768 * 768 + 2 * 768 * 3072 + 2 * 2 * 768)")),
    counts("the biases of GPT-2's norms are forgotten", (GPT_LAYER, GPT_LAYER.replace("2 * 2 * 768", "2 * 768")),
           (GPT_TOP, "    + 768,\n")),
    counts("GPT-2's position vectors are forgotten", (GPT_POSITIONS, "")),

    step("the head is forgotten", head=",\n"),
    step("keys and values of the source are computed again", cross="(2 * 512 + 2 * 50 * 512) * 384"),
    step("cross-attention has four matrices, as the other one", cross="4 * 512 * 384"),
    step("all ten tokens go through the layers again", own="10 * 4 * 512 * 384  # own", inner="10 * 3 * 512 * 1024"),
    step("the token does not look at itself", scores="2 * 9 * 384", bytes="8 * 2 * (9 + 50) * 384 * 2"),
    step("the weighted means of the values are forgotten", scores="10 * 384", source="50 * 384"),
    step("the scores are forgotten", scores="0 * 10 * 384", source="0 * 50 * 384"),
    step("the gate is forgotten", inner="2 * 512 * 1024"),
    step("the heads together are taken to be as wide as the model", own="4 * 512 * 512  # own", cross="2 * 512 * 512",
         scores="2 * 10 * 512", source="2 * 50 * 512", bytes="8 * 2 * (10 + 50) * 512 * 2"),
    step("additions are counted, too", own="2 * 4 * 512 * 384  # own", scores="4 * 10 * 384", cross="4 * 512 * 384",
         source="4 * 50 * 384", inner="6 * 512 * 1024", head="    + 2 * 512 * 32128,\n"),
    step("the cache of the source is forgotten", bytes="8 * 2 * 10 * 384 * 2"),
    step("the cache of the answer is forgotten", bytes="8 * 2 * 50 * 384 * 2"),
    step("only keys are counted", bytes="8 * (10 + 50) * 384 * 2"),
    step("a number has four bytes", bytes="8 * 2 * (10 + 50) * 384 * 4"),
    step("only one layer is counted", bytes="2 * (10 + 50) * 384 * 2"),

    one("rows are copied one after another in the same buffer", "growing_cache", KEEP,
        "        for place, row in enumerate(rows.tolist()):\n            self.keys[place] = self.keys[row]\n"
        "            self.values[place] = self.values[row]\n"),
    one("rows are copied one after another, from the last to the first", "growing_cache", KEEP,
        "        for place, row in reversed(list(enumerate(rows.tolist()))):\n"
        "            self.keys[place] = self.keys[row]\n            self.values[place] = self.values[row]\n"),
    one("only the keys are moved", "growing_cache", KEEP, "        self.keys = self.keys[rows]\n"),
    one("only the values are moved", "growing_cache", KEEP, "        self.values = self.values[rows]\n"),
    one("row rows[i] becomes what row i was", "growing_cache", KEEP,
        "        keys, values = self.keys.clone(), self.values.clone()\n        self.keys[rows] = keys\n"
        "        self.values[rows] = values\n"),
    one("the rows that are kept are sorted first", "growing_cache", KEEP,
        "        self.keys, self.values = self.keys[rows.sort().values], self.values[rows.sort().values]\n"),
    one("a copy is made of the keys only, and the values are copied row by row", "growing_cache", KEEP,
        "        self.keys = self.keys[rows]\n        for place, row in enumerate(rows.tolist()):\n"
        "            self.values[place] = self.values[row]\n"),
    one("rows that are kept once are left where they are", "growing_cache", KEEP,
        "        if len(rows.unique()) < len(rows):\n            self.keys, self.values = self.keys[rows], "
        "self.values[rows]\n"),
    one("only the last place of the rows is moved", "growing_cache", KEEP,
        "        last = self.length - 1\n        self.keys[:, :, last] = self.keys[rows, :, last]\n"
        "        self.values[:, :, last] = self.values[rows, :, last]\n"),
    one("the cache is empty once rows are kept", "growing_cache", KEEP, KEEP + "        self.length = 0\n"),
    one("what is cut off stays", "growing_cache", "        self.length = length\n", "        pass\n"),
    one("the number to cut is taken off the end", "growing_cache", "        self.length = length\n",
        "        self.length -= length\n"),

    one("one token at a time is the only way that is tried", "check_cached", PIECES, "([1] * 7, [1] * 22)"),
    one("texts are read in one piece only", "check_cached", PIECES, "([7], [9], [22])"),
    one("one batch of one text is tried", "check_cached", "torch.randn(3,", "torch.randn(1,"),
    one("only short texts are tried", "check_cached", PIECES, "([1] * 5, [3, 1, 1], [1, 2, 2], [5])"),
    one("nothing is called twice", "check_cached", PIECES, "([3, 1, 1, 2, 4, 1, 1],)"),
    one("x is not looked at afterwards", "check_cached", SAME, ""),
    one("only the shapes are compared", "check_cached", CLOSE, "        assert found.shape == x.shape\n"),
    one("only the last place is compared", "check_cached", CLOSE, CLOSE.replace("(found, all_at_once(before),",
        "(found[:, -1], all_at_once(before)[:, -1],")),
    one("only the first place is compared", "check_cached", CLOSE, CLOSE.replace("(found, all_at_once(before),",
        "(found[:, 0], all_at_once(before)[:, 0],")),
    one("the tolerance is so large that everything fits", "check_cached", CLOSE, CLOSE.replace("1e-9", "9.0")),
    one("no difference at all is let pass", "check_cached", CLOSE,
        "        assert torch.equal(found, all_at_once(before))\n"),
    one("all places of x are alike", "check_cached", "generator=generator, dtype=torch.float64)",
        "generator=generator, dtype=torch.float64)[:, :1].repeat(1, sum(pieces), 1)"),

    one("the token does not look at itself", "decoder_step", OWN,
        "    h = x + (shared_heads(x, own[0][:, :-1], own[1][:, :-1], w_q, w_o) if own[0].shape[1] > 1 else 0 * x)\n"),
    one("the token looks at itself alone", "decoder_step", OWN,
        "    h = x + shared_heads(x, own[0][:, -1:], own[1][:, -1:], w_q, w_o)\n"),
    one("x is not added behind its own attention", "decoder_step", OWN, "    h = shared_heads(x, *own, w_q, w_o)\n"),
    one("h is not added behind cross-attention", "decoder_step", LAST, LAST.replace("h + ", "")),
    one("x asks the context, not h", "decoder_step", LAST, LAST.replace("shared_heads(h,", "shared_heads(x,")),
    one("new keys and values stand before the old ones", "decoder_step", GROWN,
        "key, value = torch.cat([key, own[0]], dim=1), torch.cat([value, own[1]], dim=1)"),
    one("only the keys grow", "decoder_step", GROWN,
        "key, value = torch.cat([own[0], key], dim=1), torch.cat([own[1][:, 1:], value, value], dim=1)"),
    one("the context is read again in every step", "decoder_step", ONCE,
        "    cross = context @ cross_k.T, context @ cross_v.T\n"),
    one("the cache that is given on is the one that came", "decoder_step", LAST,
        LAST.replace(", own, cross", ", (own[0][:, :-1], own[1][:, :-1]), cross")),
    one("keys and values are exchanged", "decoder_step", "(x @ w_k.T)[:, None], (x @ w_v.T)[:, None]",
        "(x @ w_v.T)[:, None], (x @ w_k.T)[:, None]"),
    one("the scores are divided by the root of the head's size", "decoder_step", "keys).softmax(-1)",
        "keys * keys.shape[-1] ** -0.5).softmax(-1)"),
    one("cross-attention uses the queries of the other one", "decoder_step", "*cross, cross_q,", "*cross, w_q,"),
    one("the context gets the keys and values of the other attention", "decoder_step",
        "context @ cross_k.T, context @ cross_v.T", "context @ w_k.T, context @ w_v.T"),
    one("attention to the context comes first", "decoder_step", LAST,
        "h = x + shared_heads(x, *cross, cross_q, cross_o)\n"
        "    return h + shared_heads(h, *own, w_q, w_o), own, cross"),
]  # fmt: skip
