"""AdamW, written out.

    m <- b1 m + (1 - b1) g          v <- b2 v + (1 - b2) g^2
    w <- w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) - lr * decay * w

It remembers m and v, two numbers for each weight, in float32 also where the weights are bfloat16.
Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
"""

import torch


class Float32StateOptimizer(torch.optim.Optimizer):
    """An optimizer whose state stays float32 for weights of any type, also through `load_state_dict`."""

    def load_state_dict(self, state_dict: dict) -> None:
        # PyTorch would cast the state to the type of the weights: it gets the groups only.
        super().load_state_dict({**state_dict, "state": {}})
        params = [param for group in self.param_groups for param in group["params"]]
        for index, saved in state_dict["state"].items():
            self.state[params[index]] = {
                key: self.place(value, params[index]) if isinstance(value, torch.Tensor) else value
                for key, value in saved.items()
            }

    def place(self, saved: torch.Tensor, param: torch.Tensor) -> torch.Tensor:
        """A copy of a saved part of `param`'s state, where this optimizer keeps it."""
        return saved.to(param.device, copy=True)


class AdamW(Float32StateOptimizer):
    """Adam with weight decay that does not pass through the moments."""

    def __init__(self, params, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Update every weight that has a gradient, one after the other: on a CPU each then stays in the cache."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                if param not in self.state:
                    self.state[param] = self.first_state(param)
                self.state[param]["step"] += 1
                self.step_one(param, self.state[param], group)

    def first_state(self, param: torch.Tensor) -> dict:
        """Before the first step."""
        mean, square = (torch.zeros_like(param, dtype=torch.float32) for _ in range(2))
        return {"step": 0, "mean": mean, "square": square}

    def step_one(self, param: torch.Tensor, state: dict, group: dict) -> None:
        """Update one weight and its state."""
        update(param, param.grad, state["mean"], state["square"], state["step"], group)


def updated(
    weight: torch.Tensor, grad: torch.Tensor, mean: torch.Tensor, square: torch.Tensor, step: int, group: dict
) -> tuple:
    """The equations above as they stand: the new weight, mean and square; `step` is t, counted from 1."""
    beta1, beta2 = group["betas"]
    mean = beta1 * mean + (1 - beta1) * grad
    square = beta2 * square + (1 - beta2) * grad**2
    # The moments start at zero and are too small at first; dividing by 1 - beta^t corrects that.
    move = (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + group["eps"])
    return weight - group["lr"] * move - group["lr"] * group["weight_decay"] * weight, mean, square


def update(
    param: torch.Tensor, grad: torch.Tensor, mean: torch.Tensor, square: torch.Tensor, step: int, group: dict
) -> None:
    """`updated` to rounding, in place: nothing of the weight's size is made but the root and a float32 gradient."""
    beta1, beta2 = group["betas"]
    grad = grad.float()
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = square.sqrt().div_((1 - beta2**step) ** 0.5).add_(group["eps"])
    if group["weight_decay"]:
        param.mul_(1 - group["lr"] * group["weight_decay"])
    param.addcdiv_(mean, root, value=-group["lr"] / (1 - beta1**step))
