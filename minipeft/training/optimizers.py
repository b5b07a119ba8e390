"""The optimizers of this project: AdamW (adamw.py), AdamW in pages (paged_adamw.py), and Adafactor, written out here.

    Adafactor   r <- b_t r + (1 - b_t) mean over columns of (g^2 + eps)       b_t = 1 - t^-0.8
                c <- b_t c + (1 - b_t) mean over rows of (g^2 + eps)          r: (rows,)  c: (columns,)
                u = g / sqrt(r c^T / mean(r))
                w <- w - size * u / max(1, RMS(u) / clip) - lr * decay * w
                size = lr, or lr * max(1e-3, RMS(w)) with `scale_parameter`

Adam remembers two numbers for each weight, Adafactor rows + columns numbers for each matrix. Their memory is float32
also where the weights are bfloat16.
Source: Shazeer & Stern 2018, arXiv:1804.04235, algorithms 4 to 6. Two things differ from the released code of prompt
tuning: that one keeps a second moment for each number of the prompt, where here every matrix is factored, and it takes
`decay * w` off, where here, as in AdamW, the learning rate multiplies the decay.
"""

import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.training.adamw import AdamW, Float32StateOptimizer
from minipeft.training.paged_adamw import PagedAdamW

SMALL = 65536  # Adafactor steps matrices below this many numbers together, one stack for each shape


def updated(
    weight: torch.Tensor, grad: torch.Tensor, row: torch.Tensor, column: torch.Tensor, step: int, group: dict
) -> tuple:
    """The equations above for one weight as they stand: the new weight, row and column; `step` is t, counted from 1.

    A vector has one number of `row` for each of its own, and no `column`.
    """
    rms = lambda values: values.square().mean().sqrt()  # noqa: E731
    beta = 1 - step ** -group["decay_power"]
    square = grad.square() + group["eps"]
    if grad.dim() > 1:
        row = beta * row + (1 - beta) * square.mean(-1)  # (..., rows)
        column = beta * column + (1 - beta) * square.mean(-2)  # (..., columns)
        second = row[..., :, None] * column[..., None, :] / row.mean(-1)[..., None, None]  # (..., rows, columns)
    else:
        second = row = beta * row + (1 - beta) * square
    update = grad / second.sqrt()
    size = group["lr"]
    if group["scale_parameter"]:
        size = size * rms(weight).clamp(min=group["smallest_scale"])
    step_down = size * update / (rms(update) / group["clip"]).clamp(min=1.0)
    return weight - step_down - group["lr"] * group["weight_decay"] * weight, row, column


class Adafactor(Float32StateOptimizer):
    """Adam's idea with a second moment kept as row and column means, no first moment, and clipped updates.

    `scale_parameter=True` makes steps relative to the size of each weight (how T5 was pretrained); prompt tuning turns
    it off. The learning rate is the caller's; the paper's own 1 / sqrt(t) is `schedules.inverse_square_root`.
    """

    def __init__(
        self,
        params,
        lr: float,
        scale_parameter: bool = False,
        weight_decay: float = 0.0,
        clip: float = 1.0,
        decay_power: float = 0.8,
        eps: float = 1e-30,
        smallest_scale: float = 1e-3,
    ):
        settings = {"lr": lr, "scale_parameter": scale_parameter, "weight_decay": weight_decay, "clip": clip}
        super().__init__(params, {**settings, "decay_power": decay_power, "eps": eps, "smallest_scale": smallest_scale})

    @torch.no_grad()
    def step(self) -> None:
        """Update every weight that has a gradient; small weights of one shape are updated together."""
        for group in self.param_groups:
            stacks: dict[object, list[nn.Parameter]] = {}
            for param in group["params"]:
                if param.grad is not None:
                    step = self.state[param]["step"] = self.state[param].get("step", 0) + 1
                    key = (param.shape, param.device, step) if param.numel() < SMALL else param
                    stacks.setdefault(key, []).append(param)
            for params in stacks.values():
                self._step_stack(params, group)

    def _step_stack(self, params: list[nn.Parameter], group: dict) -> None:
        """`updated`, to rounding, for weights of one shape at once and in place."""
        grad = torch.stack([param.grad for param in params]).float()  # (stack, *shape), a copy
        count, ones = grad[0].numel(), (-1,) + (1,) * (grad.dim() - 1)
        beta = 1 - self.state[params[0]]["step"] ** -group["decay_power"]
        square = grad.square()

        if grad.dim() > 2:
            row = self._average(params, "row", square.mean(-1) + group["eps"], beta)  # (stack, ..., rows)
            column = self._average(params, "column", square.mean(-2) + group["eps"], beta)  # (stack, ..., columns)
            relative = row / row.mean(-1, keepdim=True)
            update = grad.mul_(relative.rsqrt()[..., :, None]).mul_(column.rsqrt()[..., None, :])
        else:
            update = grad.mul_(self._average(params, "square", square + group["eps"], beta).rsqrt())

        size = torch.stack(torch._foreach_norm(list(update))) / count**0.5  # root mean square of each update, (stack,)
        size = group["lr"] / (size / group["clip"]).clamp(min=1.0)
        if group["scale_parameter"]:
            lengths = torch.stack(torch._foreach_norm([param.float() for param in params]))
            size = size * (lengths / count**0.5).clamp(min=group["smallest_scale"])
        updates = list(update.mul_(-size.view(ones)))
        if group["weight_decay"]:
            torch._foreach_add_(updates, params, alpha=-group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, updates)

    def _average(self, params: list[nn.Parameter], key: str, new: torch.Tensor, beta: float) -> torch.Tensor:
        """Move each weight's running mean `key` towards its slice of `new`, and return all of them as one stack."""
        if key in self.state[params[0]]:
            new = torch.stack([self.state[param][key] for param in params]).lerp_(new, 1 - beta)
        for param, average in zip(params, new, strict=True):
            self.state[param][key] = average
        return new


OPTIMIZERS = {"adamw": AdamW, "paged_adamw": PagedAdamW, "adafactor": Adafactor}


def decay_groups(named_parameters, weight_decay: float) -> list[dict]:
    """Two parameter groups: matrices with weight decay, vectors (norm weights and biases) without."""
    params = [param for _, param in named_parameters if param.requires_grad]
    groups = [
        {"params": [param for param in params if param.dim() >= 2], "weight_decay": weight_decay},
        {"params": [param for param in params if param.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(name: str, groups: list[dict], learning_rate: float, weight_decay: float = 0.0, **options):
    """The optimizer `name` over `groups`, dicts of "params" and perhaps their own "lr".

    `name` is one of OPTIMIZERS. Within each group, vectors get no weight decay.
    `options` go to the optimizer, e.g. `scale_parameter=True`.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"optimizer {name!r} is unknown: choose one of {', '.join(OPTIMIZERS)}.")
    split = [
        {**group, **part} for group in groups for part in decay_groups([("", p) for p in group["params"]], weight_decay)
    ]
    return OPTIMIZERS[name](split, lr=learning_rate, **options)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times the rate it started with."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
