"""Chapter 06, prefix tuning: the answers written out."""

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
    rows = []
    for row, number in enumerate(task.tolist()):
        own_keys, own_values = prefix_keys[number], prefix_values[number]
        of_prefix = query[row] @ own_keys.transpose(1, 2)  # (heads, targets, prefix)
        of_text = query[row] @ key[row].transpose(1, 2) + bias[row]  # (heads, targets, sources)
        weights = torch.cat([of_prefix, of_text], dim=2).softmax(2)
        count = own_keys.shape[1]
        rows.append(weights[:, :, :count] @ own_values + weights[:, :, count:] @ value[row])
    return torch.stack(rows)


def stored_table(e: Tensor, w_1: Tensor, b_1: Tensor, w_2: Tensor, b_2: Tensor, layers: int, heads: int) -> Tensor:
    inner = torch.tanh(e @ w_1.T + b_1)  # (prefix, inner)
    flat = inner @ w_2.T + b_2  # (prefix, layers * 2 * heads * head)
    apart = flat.view(len(e), layers, 2, heads, -1)
    return apart.permute(1, 2, 3, 0, 4)


def prefix_of_prompt(
    prompt: Tensor, w_q: list[Tensor], w_k: list[Tensor], w_v: list[Tensor], w_o: list[Tensor]
) -> Tensor:
    hidden, table = prompt, []
    causal = torch.ones(len(prompt), len(prompt), dtype=torch.bool).tril()
    for layer in range(len(w_q)):
        query, key, value = (hidden @ part[layer].transpose(1, 2) for part in (w_q, w_k, w_v))  # (heads, prompt, head)
        table.append(torch.stack([key, value]))
        scores = (query @ key.transpose(1, 2)).masked_fill(~causal, -torch.inf)
        given = scores.softmax(2) @ value
        hidden = hidden + (given @ w_o[layer].transpose(1, 2)).sum(0)
    return torch.stack(table)


COUNTS = {
    "moved": 3 * (24 * 512 + 700 * (512 + 1) + 8 * 2 * 6 * 64 * (700 + 1)),
    "stored": 3 * 8 * 2 * 24 * 6 * 64,
    "infix": 2 * 8 * 2 * 24 * 6 * 64,
    "embedding": 2 * 24 * 512,
    "step": 2 * 8 * 2 * 24 * 6 * 64,
}

REACH = {
    "encoder, layer 2": 4 * 31 + 4 * 53,
    "decoder, layer 2": 3 * 53,
    "cross-attention, layer 3": 2 * 53,
    "prompt of the T5": 5 * 31 + 4 * 53,
    "GPT, layer 3": 4 * (29 + 47),
    "infix of the GPT, layer 3": 4 * 47,
    "prompt of the GPT": 6 * (29 + 47),
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
    if cache is None:
        cache = tuple(part.expand(len(key), -1, -1, -1) for part in (prefix_key, prefix_value))
    keys, values = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)
    seen, new = keys.shape[2], query.shape[2]
    places = torch.arange(seen) - prefix_key.shape[1]  # of the text, from 0; before it, the prefix
    distance = (places[seen - new :, None] - places) * (places >= 0)  # (new, seen)
    scores = query @ keys.transpose(2, 3) - slope[:, None, None] * distance
    weights = scores.masked_fill(distance < 0, -torch.inf).softmax(-1)
    return weights @ values, (keys, values)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = (query @ key.transpose(2, 3)).masked_fill(~mask[:, None, None], -torch.inf)
    return scores.softmax(-1) @ value


def check_prefixed(implementation: Callable[..., Tensor]) -> None:
    generator = torch.Generator().manual_seed(6)
    mask = torch.tensor([[True, True, True, False], [False, True, False, True], [True, True, True, True]])
    for prefix, size in ((3, 1.0), (1, 1.0), (5, 30.0)):
        shapes = ((3, 2, 5, 4), (3, 2, 4, 4), (3, 2, 4, 4), (2, prefix, 4), (2, prefix, 4))
        query, key, value, own_key, own_value = (torch.randn(*shape, generator=generator) for shape in shapes)
        query = size * query
        own_key.requires_grad_(), own_value.requires_grad_()
        inputs = (query, key, value, mask, own_key, own_value)
        before = [part.detach().clone() for part in inputs]
        both = [torch.cat([own.expand(3, -1, -1, -1), text], 2) for own, text in ((own_key, key), (own_value, value))]
        looked_at = torch.cat([torch.ones(3, prefix, dtype=torch.bool), mask], 1)
        found = implementation(*inputs)
        torch.testing.assert_close(found, attend(query, *both, looked_at), rtol=1e-4, atol=1e-4)
        for now, then in zip(inputs, before, strict=True):
            assert torch.equal(now.detach(), then), "an argument is changed"
        gradients = torch.autograd.grad(found.square().sum(), (own_key, own_value), allow_unused=True)
        expected = torch.autograd.grad(attend(query, *both, looked_at).square().sum(), (own_key, own_value))
        assert all(gradient is not None for gradient in gradients), "a part of the prefix cannot be trained"
        torch.testing.assert_close(gradients, expected, rtol=1e-2, atol=1e-3)


def zero_init_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, prefix_key: Tensor, prefix_value: Tensor, gate: Tensor
) -> Tensor:
    of_text = (query @ key.transpose(2, 3) + bias).softmax(3) @ value
    of_prefix = (query @ prefix_key.transpose(1, 2)).softmax(3) @ prefix_value
    return of_text + torch.tanh(gate)[:, None, None] * of_prefix
