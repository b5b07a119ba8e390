"""The reference answers to the exercises of chapter 13. The real thing is minipeft/methods/low_rank/lora.py."""

import torch


def lora_output(x, w, a, b, alpha):
    rank = a.shape[0]
    base = x @ w.T  # (batch, out)
    low = x @ a.T  # (batch, rank): the (out, in) product B A is never built
    return base + (alpha / rank) * (low @ b.T)


def initial_factors(inputs, outputs, rank, seed):
    generator = torch.Generator().manual_seed(seed)
    bound = inputs**-0.5
    a = bound * (2 * torch.rand(rank, inputs, generator=generator) - 1)
    b = torch.zeros(outputs, rank)
    return a, b


def merged_weight(w, a, b, alpha):
    scaling = alpha / a.shape[0]
    return w + scaling * (b @ a)


TRAINED_NUMBERS = {
    "RoBERTa-base": 12 * 2 * 8 * (768 + 768),
    "GPT-2 medium": 24 * 2 * 4 * (1024 + 1024),
    # 9 value matrices: 3 in the encoder, 6 in the decoder; 6 down matrices, one a layer.
    "t5-0.8m": 6 * (9 * (88 + 88) + 6 * (112 + 88)),
}


class SwitchableLoRA:
    def __init__(self, w, a, b, alpha):
        self.w, self.a, self.b, self.alpha = w.clone(), a, b, alpha
        self.merged = False

    def update(self):
        return self.alpha / len(self.a) * (self.b @ self.a)

    def merge(self):
        if not self.merged:
            self.w += self.update()
            self.merged = True

    def unmerge(self):
        if self.merged:
            self.w -= self.update()
            self.merged = False

    def load(self, a, b):
        was_merged = self.merged
        self.unmerge()  # the old update must leave w while the old factors are there
        self.a, self.b = a, b
        if was_merged:
            self.merge()

    def __call__(self, x):
        y = x @ self.w.transpose(0, 1)
        if not self.merged:
            y = y + x @ self.update().T
        return y


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
