"""The reference answers to the exercises of chapter 13. The real thing is minipeft/methods/low_rank/lora.py."""

import torch


def lora_output(x, w, a, b, alpha, tasks):
    rank = a.shape[1]
    low = torch.einsum("bi,bri->br", x, a[tasks])  # (batch, rank): no (out, in) product B A is ever built
    return x @ w.T + (alpha / rank) * torch.einsum("br,bor->bo", low, b[tasks])


def initial_factors(inputs, outputs, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    bound = inputs**-0.5
    a = bound * (2 * torch.rand(rank, inputs, generator=generator) - 1)
    b = torch.zeros(outputs, rank)
    return a, b


def merged_weight(w, updates):
    total = w.float()
    for a, b, alpha in updates:
        total = total + alpha / a.shape[0] * (b @ a)  # not +=, which would write into a w of float32
    return total.to(w.dtype)


TRAINED_NUMBERS = {
    "RoBERTa-base": 12 * 6 * (2 * (768 + 768) + 2 * (768 + 3072)),
    "GPT-3": 96 * 3 * 3 * (12288 + 12288),
    # 24 matrices of attention, 9 of feed-forward.
    "t5-0.8m": 5 * (24 * (88 + 88) + 9 * (88 + 112)),
}


class SwitchableLoRA:
    def __init__(self, w, a, b, alpha):
        self.w, self.a, self.b = w.clone(), a, b
        self.factor = alpha / len(a)
        self.merged = False

    def update(self):
        return self.factor * (self.b @ self.a)

    def merge(self):
        if not self.merged:
            self.before = self.w.clone()
            self.w += self.update()
            self.merged = True

    def unmerge(self):
        if self.merged:
            self.w = self.before  # a and b may have changed since: their update is not the one that was added
            self.merged = False

    def __call__(self, x):
        y = x @ self.w.transpose(0, 1)
        return y if self.merged else y + x @ self.update().T


def check_merge(merge):
    for outputs, inputs, rank, alpha in ((4, 6, 3, 7.0), (5, 5, 2, 1.0)):
        torch.manual_seed(outputs)
        w, a, b, x = (
            torch.randn(shape, dtype=torch.float64)
            for shape in ((outputs, inputs), (rank, inputs), (outputs, rank), (inputs, 8))
        )
        before = w.clone()
        merged = merge(w, a, b, alpha)
        expected = before @ x + (alpha / rank) * (b @ (a @ x))
        assert merged.shape == before.shape
        torch.testing.assert_close(merged @ x, expected, rtol=1e-9, atol=1e-9)
        assert torch.equal(w, before)


def stabilised_output(x, w, a, b, alpha):
    scale = alpha / a.shape[0] ** 0.5
    return x @ w.T + scale * (x @ a.T @ b.T)
