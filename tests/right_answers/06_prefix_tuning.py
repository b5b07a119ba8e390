"""Other right answers to the exercises of chapter 06, each put behind the solution: all must pass."""

RIGHT = {
    "attend_for_tasks": [
        """
def attend_for_tasks(query, key, value, bias, prefix_keys, prefix_values, task):
    batch, heads, targets, head = query.shape
    longest = max(keys.shape[1] for keys in prefix_keys)
    own_keys = query.new_zeros(batch, heads, longest, head)
    own_values = query.new_zeros(batch, heads, longest, head)
    own_bias = query.new_full((batch, heads, targets, longest), -torch.inf)
    for row in range(batch):
        number = int(task[row])
        length = prefix_keys[number].shape[1]
        own_keys[row, :, :length] = prefix_keys[number]
        own_values[row, :, :length] = prefix_values[number]
        own_bias[row, :, :, :length] = 0.0
    scores = torch.einsum("bhtd,bhsd->bhts", query, torch.cat([key, own_keys], 2)) + torch.cat([bias, own_bias], 3)
    return torch.einsum("bhts,bhsd->bhtd", scores.softmax(-1), torch.cat([value, own_values], 2))
""",
        """
def attend_for_tasks(query, key, value, bias, prefix_keys, prefix_values, task):
    found = []
    for i in range(query.size(0)):
        keys, values = prefix_keys[task[i]], prefix_values[task[i]]
        text = torch.matmul(query[i], key[i].mT) + bias[i]
        if keys.size(1) == 0:
            found.append(torch.softmax(text, -1) @ value[i])
            continue
        own = torch.matmul(query[i], keys.mT)
        share = torch.sigmoid(own.logsumexp(-1) - text.logsumexp(-1)).unsqueeze(-1)
        found.append(share * (own.softmax(-1) @ values) + (1 - share) * (text.softmax(-1) @ value[i]))
    return torch.stack(found, dim=0)
""",
        """
def attend_for_tasks(query, key, value, bias, prefix_keys, prefix_values, task):
    longest = max(part.shape[1] for part in prefix_keys)
    def wide(parts):
        return torch.stack([torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])[task]
    counts = torch.tensor([part.shape[1] for part in prefix_keys])[task]
    empty = torch.arange(longest) >= counts[:, None, None, None]
    own = (query @ wide(prefix_keys).transpose(2, 3)).masked_fill(empty, -torch.inf)
    weights = torch.cat([own, query @ key.transpose(2, 3) + bias], 3).softmax(3)
    return weights @ torch.cat([wide(prefix_values), value], 2)
""",
    ],
    "stored_table": [
        """
def stored_table(e, w_1, b_1, w_2, b_2, layers, heads):
    head = len(w_2) // (layers * 2 * heads)
    inner = torch.nn.functional.linear(e, w_1, b_1).tanh()
    outer = torch.nn.functional.linear(inner, w_2, b_2)
    return torch.stack(
        [
            torch.stack(
                [
                    torch.stack([outer[:, ((n * 2 + part) * heads + i) * head :][:, :head] for i in range(heads)])
                    for part in range(2)
                ]
            )
            for n in range(layers)
        ]
    )
""",
        """
def stored_table(e, w_1, b_1, w_2, b_2, layers, heads):
    maps = w_2.reshape(layers, 2, heads, -1, w_2.shape[1])
    biases = b_2.reshape(layers, 2, heads, 1, -1)
    inner = torch.tanh(torch.einsum("pd,kd->pk", e, w_1) + b_1)
    return torch.einsum("pk,lxhnk->lxhpn", inner, maps) + biases
""",
    ],
    "prefix_of_prompt": [
        """
def prefix_of_prompt(prompt, w_q, w_k, w_v, w_o):
    hidden, table = prompt.double(), []
    future = torch.full((len(prompt), len(prompt)), -torch.inf, dtype=torch.float64).triu(1)
    for q, k, v, o in zip(w_q, w_k, w_v, w_o, strict=True):
        keys = torch.einsum("hdw,pw->hpd", k.double(), hidden)
        values = torch.einsum("hdw,pw->hpd", v.double(), hidden)
        table.append(torch.stack((keys, values)))
        weights = (torch.einsum("hdw,pw->hpd", q.double(), hidden) @ keys.mT + future).softmax(-1)
        hidden = hidden + torch.einsum("hwd,hpd->pw", o.double(), weights @ values)
    return torch.stack(table).float()
""",
        """
def prefix_of_prompt(prompt, w_q, w_k, w_v, w_o):
    rows, layers = list(prompt), []
    for number in range(len(w_q)):
        keys = [[w_k[number][i] @ x for x in rows] for i in range(len(w_k[number]))]
        values = [[w_v[number][i] @ x for x in rows] for i in range(len(w_v[number]))]
        layers.append(torch.stack([torch.stack([torch.stack(one) for one in part]) for part in (keys, values)]))
        after = []
        for place, x in enumerate(rows):
            y = x
            for i in range(len(w_q[number])):
                seen = layers[number][:, i, : place + 1]
                y = y + w_o[number][i] @ ((seen[0] @ (w_q[number][i] @ x)).softmax(0) @ seen[1])
            after.append(y)
        rows = after
    return torch.stack(layers)
""",
    ],
    "counts": [
        """
HEADS = 6 * 64
COUNTS = {
    "moved": 3 * (24 * 512 + 700 * 512 + 700 + 8 * (2 * HEADS * 700 + 2 * HEADS)),
    "stored": (8 + 8 + 8) * 24 * 2 * HEADS,
    "infix": 16 * 24 * 2 * HEADS,
    "embedding": 24576,
    "step": 24 * 16 * (HEADS + HEADS),
}
""",
        """
import numpy

COUNTS = {name: numpy.int64(value) for name, value in COUNTS.items()}
""",
    ],
    "reach": [
        """
REACH = {
    "encoder, layer 2": (5 - 1) * 31 + 4 * 53,
    "decoder, layer 2": 159,
    "cross-attention, layer 3": 106.0,
    "prompt of the T5": 367,
    "GPT, layer 3": 304,
    "infix of the GPT, layer 3": 188,
    "prompt of the GPT": 456,
}
""",
        """
REACH = {key: torch.tensor(value) for key, value in REACH.items()}
""",
    ],
    "attend_on": [
        """
def attend_on(query, key, value, prefix_key, prefix_value, slope, cache):
    if cache is None:
        cache = tuple(part.expand(len(key), -1, -1, -1) for part in (prefix_key, prefix_value))
    keys, values = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
    seen, new = keys.shape[2], query.shape[2]
    places = torch.arange(seen) - prefix_key.shape[1]
    distance = places[seen - new :, None] - places
    scores = query @ keys.transpose(2, 3) - slope[:, None, None] * distance.masked_fill(places < 0, 0)
    weights = scores.masked_fill(distance < 0, -torch.inf).softmax(-1)
    return weights @ values, (keys, values)
""",
        """
def attend_on(query, key, value, prefix_key, prefix_value, slope, cache):
    own = prefix_key.shape[1]
    if cache is None:
        cache = [part.unsqueeze(0).repeat(len(key), 1, 1, 1) for part in (prefix_key, prefix_value)]
    keys, values = (torch.cat(pair, 2) for pair in zip(cache, (key, value), strict=True))
    outputs = []
    for number in range(query.shape[2]):
        place = keys.shape[2] - query.shape[2] + number
        distance = torch.cat([torch.zeros(own), torch.arange(place - own, -1, -1)])
        scores = (keys[:, :, : place + 1] * query[:, :, number, None]).sum(-1) - slope[:, None] * distance
        outputs.append((scores.softmax(-1)[..., None] * values[:, :, : place + 1]).sum(2))
    return torch.stack(outputs, 2), (keys, values)
""",
    ],
    "check_prefixed": [
        """
def check_prefixed(implementation):
    torch.manual_seed(0)
    for count in (2, 5, 2):
        for scale in (1, 40):
            q, k, v = torch.randn(4, 3, 6, 5) * scale, torch.randn(4, 3, 7, 5), torch.randn(4, 3, 7, 5)
            mask = torch.rand(4, 7) < 0.6
            mask[:, 3] = True
            pk, pv = (torch.randn(3, count, 5, requires_grad=True) for _ in range(2))
            keys = torch.cat([k, torch.stack([pk] * 4)], 2)
            values = torch.cat([v, torch.stack([pv] * 4)], 2)
            wanted = attend(q, keys, values, torch.cat([mask, torch.ones(4, count).bool()], 1))
            kept = mask.clone()
            found = implementation(q, k, v, mask, pk, pv)
            assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)
            assert (kept == mask).all()
            for one, other in zip(torch.autograd.grad(found.sum(), [pk, pv], allow_unused=True),
                                  torch.autograd.grad(wanted.sum(), [pk, pv]), strict=True):
                assert one is not None and torch.allclose(one, other, rtol=0.01, atol=0.01)
""",
        """
def check_prefixed(implementation):
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
        query, key, value = draw(2, 3, 4, 6), draw(2, 3, 5, 6), draw(2, 3, 5, 6)
        own_key, own_value = draw(3, 4, 6), draw(3, 4, 6)
        query = query * (1 + 300 * (seed == 2))
        mask = torch.tensor([[False, True, True, True, True], [True, True, True, False, False]])
        own_key.requires_grad = own_value.requires_grad = True
        copies = [x.clone() for x in (query, key, value, mask, own_key, own_value)]
        found = implementation(query, key, value, mask, own_key, own_value)
        for copy, now in zip(copies, (query, key, value, mask, own_key, own_value), strict=True):
            assert (copy == now).all()
        query, key, value, mask, a, b = copies
        for row in range(2):
            keys, values = torch.cat([a, key[row][:, mask[row]]], 1), torch.cat([b, value[row][:, mask[row]]], 1)
            torch.testing.assert_close(found[row], (query[row] @ keys.mT).softmax(-1) @ values)
        found.square().sum().backward()
        assert own_key.grad is not None and own_value.grad is not None
""",
    ],
    "zero_init_attention": [
        """
def zero_init_attention(query, key, value, bias, prefix_key, prefix_value, gate):
    outputs = []
    for head in range(query.shape[1]):
        text = torch.softmax(query[:, head] @ key[:, head].mT + bias[:, 0], -1) @ value[:, head]
        own = torch.softmax(query[:, head] @ prefix_key[head].T, -1) @ prefix_value[head]
        outputs.append(text + gate[head].tanh() * own)
    return torch.stack(outputs, 1)
""",
        """
def zero_init_attention(query, key, value, bias, prefix_key, prefix_value, gate):
    text = (torch.einsum("bhtd,bhsd->bhts", query, key) + bias).softmax(-1)
    own = torch.einsum("bhtd,hpd->bhtp", query, prefix_key).softmax(-1) * gate.tanh().view(-1, 1, 1)
    values = torch.cat([value, prefix_value.expand(len(value), -1, -1, -1)], 2)
    return torch.cat([text, own], -1) @ values
""",
        """
def zero_init_attention(query, key, value, bias, prefix_key, prefix_value, gate):
    attend = torch.nn.functional.scaled_dot_product_attention
    text = attend(query, key, value, attn_mask=bias.expand(-1, query.shape[1], -1, -1), scale=1.0)
    own = attend(query, *(part.expand(len(query), -1, -1, -1) for part in (prefix_key, prefix_value)), scale=1.0)
    return torch.addcmul(text, gate.tanh().reshape(1, -1, 1, 1), own)
""",
    ],
}
