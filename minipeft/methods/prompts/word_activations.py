"""The keys and values that the frozen model computes on real words: where a prefix may start.

Source: Li & Liang 2021, arXiv:2101.00190, figure 5.
Test: tests/methods/prompts/test_prefix_start.py.
"""

import torch
from torch import nn

from minipeft.errors import UserError


@torch.no_grad()
def word_activations(
    model: nn.Module, layers: list[nn.Module], words: str, length: int, as_scored: bool = True
) -> torch.Tensor:
    """Keys and values of the attention `layers` on `words`, (layers, 2, heads, length, head).

    as_scored: keys as queries meet them, turned by their positions in a Llama; else as the key projection gives them.
    The words are repeated or cut to `length` tokens. A T5 reads them twice: as the source in the encoder, and as the
    answer in the decoder, which looks at that source. Raises UserError for words that are no token.
    """
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise UserError("The model has no tokenizer to read words with: use minipeft.load, or init='random'.")
    tokens = tokenizer.encode(words)
    if not tokens:
        raise UserError(f"The words {words!r} hold no token: give the prefix at least one word to start from.")
    ids = torch.tensor([tokens], device=model.embedding.weight.device)
    ids = ids.repeat(1, -(-length // len(tokens)))[:, :length]  # (1, length)
    seen = {}  # keys and values of each layer, (2, heads, length, head)

    def remember(layer, inputs, named, _):
        rotation = {name: value for name, value in named.items() if name == "rotation"}
        _, key, value = layer.project(*inputs, **rotation)  # inputs: the layer's own, and the context it may look at
        key = key if as_scored else layer.split_heads(layer.key(inputs[-1]))
        seen[layer] = torch.cat([key, value])

    hooks = [layer.register_forward_hook(remember, with_kwargs=True) for layer in layers]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()  # no dropout
        vectors, mask = model.embedding(ids), torch.ones_like(ids, dtype=torch.bool)
        context = model.encoder(vectors, mask) if model.reading_stack == "encoder" else ()
        model.decoder(vectors, mask, *context)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return torch.stack([seen[layer] for layer in layers])  # (layers, 2, heads, length, head)
