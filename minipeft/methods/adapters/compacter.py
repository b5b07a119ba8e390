"""Compacter: adapters whose two matrices are sums of Kronecker products, with one factor for the whole model.

    W = sum_i A_i kron (s_i t_i^T)       W: (in, out)   A_i: (n, n)   s_i: (in / n,)   t_i: (out / n,)   i = 1 ... n
    h <- h + A(sublayer(norm(h)))        A(x) = x + W_up gelu(W_down x + b_down) + b_up

Shared: the n matrices A_i are one parameter for all layers, encoder and decoder, down and up alike. Every projection
has its own s, t and bias. The norms are trained too.
Start: A ~ N(0, 1e-2), s and t Glorot-uniform with gain sqrt(2), biases 0: the first forward pass is nearly, not
exactly, the base model's. (1e-2 is the released code's default; its run files set 1e-4.)
Trainable, at width d and bottleneck m: n^3 once, 3 (d + m) per adapter, and every norm. As in the released code, there
is an adapter after attention and one after the feed-forward layer, none after cross-attention. T5-base with m = 24 and
no adapters after attention (Compacter++): 104,704 parameters, the paper's 0.047%.
Paper: Karimi Mahabadi et al. 2021, arXiv:2106.04647.
Lesson: lessons/09_adapters. Test: tests/methods/adapters/test_compacter.py.
"""

from dataclasses import dataclass

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.houlsby import AdaptedSublayer
from minipeft.methods.method import Method
from minipeft.methods.selective.norm_tuning import norm_parameters


class KroneckerLinear(nn.Module):
    """A linear layer whose weight is a sum of Kronecker products; `rule`, (n, n, n), is shared."""

    def __init__(self, in_features: int, out_features: int, rule: nn.Parameter):
        super().__init__()
        n = len(rule)
        self.rule = rule  # the matrices A_i
        self.left = nn.Parameter(rule.new_empty(n, in_features // n))  # the vectors s_i
        self.right = nn.Parameter(rule.new_empty(n, out_features // n))  # the vectors t_i
        self.bias = nn.Parameter(rule.new_zeros(out_features))
        for part in (self.left, self.right):
            # Gain sqrt(2) times sqrt(6 / (fan-in + fan-out)), of a matrix of one column.
            bound = (12 / (part.shape[1] + 1)) ** 0.5
            nn.init.uniform_(part, -bound, bound)

    def weight(self) -> torch.Tensor:
        """W, (in, out): at (a c, b d), sum_i A_i[a, b] s_i[c] t_i[d], c of in / n, d of out / n."""
        products = torch.einsum("iab,ic,id->acbd", self.rule, self.left, self.right)
        return products.flatten(2).flatten(0, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight() + self.bias  # (..., out)


class KroneckerAdapter(nn.Module):
    """A bottleneck network with a skip connection, made of two Kronecker layers."""

    def __init__(self, down: nn.Module, up: nn.Module):
        super().__init__()
        self.down = down
        self.up = up

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.gelu(self.down(x), approximate="tanh")  # (..., bottleneck)
        return x + self.up(inner)  # (..., hidden)


@dataclass
class Compacter(Method):
    """Adapters of size `bottleneck`, each matrix a sum of `kronecker` products; False after_attention: Compacter++."""

    bottleneck: int = 16
    kronecker: int = 4
    after_attention: bool = True
    std: float = 1e-2

    name = "compacter"
    needs_language_model = True
    suggested_learning_rate = 3e-3
    learning_rate_grid = (3e-4, 1e-3, 3e-3, 6e-3)
    starts_at_identity = False
    why_no_merge = "an adapter is not linear, so no weight of the model can hold it. Keep it attached."

    def __post_init__(self):
        super().__post_init__()
        if self.bottleneck < 1 or self.kronecker < 1:
            raise UserError(f"bottleneck and kronecker must be at least 1: {self.bottleneck}, {self.kronecker} given.")
        if self.std <= 0:
            raise UserError(f"Compacter's std must be above 0, not {self.std}: at 0 nothing would get a gradient.")

    def install(self, model: nn.Module) -> None:
        like = model.embedding.weight
        size = like.shape[1]
        n = self.kronecker
        if size % n or self.bottleneck % n:
            raise UserError(
                f"kronecker {n} must divide hidden size {size} and bottleneck {self.bottleneck}: change one."
            )
        self.train_in_place(norm_parameters(model))
        rule = nn.Parameter(like.new_empty(n, n, n).normal_(std=self.std))
        targets = ("attention", "feed_forward") if self.after_attention else ("feed_forward",)
        self.replace(targets, lambda sublayer: AdaptedSublayer(sublayer, self.new_adapter(size, rule)))

    def new_adapter(self, size: int, rule: nn.Parameter) -> KroneckerAdapter:
        down = KroneckerLinear(size, self.bottleneck, rule)
        up = KroneckerLinear(self.bottleneck, size, rule)
        return KroneckerAdapter(down, up)
