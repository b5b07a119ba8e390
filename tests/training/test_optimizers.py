"""The optimizers against PyTorch's AdamW and against Adafactor written as plain float64 loops from the paper."""

import math

import pytest
import torch
from torch import nn

from minipeft.errors import UserError
from minipeft.training import adamw, optimizers
from minipeft.training.optimizers import Adafactor, AdamW, decay_groups, make_optimizer, set_learning_rates

SHAPES = [(3, 5), (3, 5), (7,), (2, 4, 3), (), (9, 8)]


def random_parameters(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]


def gradients(step):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=generator) * 10.0 ** (step % 3 - 1) for shape in SHAPES]


def give(params, step, skip=()):
    for index, (param, grad) in enumerate(zip(params, gradients(step), strict=True)):
        param.grad = None if index in skip else grad.to(param.dtype)


def test_adamw_equals_pytorch_step_for_step_even_when_a_gradient_is_missing_at_times():
    ours, theirs = random_parameters(), random_parameters()
    settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    optimizer, reference = AdamW(ours, **settings), torch.optim.AdamW(theirs, **settings)
    for step in range(12):
        for params in (ours, theirs):
            give(params, step, skip=(1,) if step % 4 == 0 else ())
        optimizer.step()
        reference.step()
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_adamw_in_place_is_the_plain_equation_to_rounding():
    group = {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.2}
    generator = torch.Generator().manual_seed(5)
    weight, grad, mean, square = (torch.randn(4, 3, generator=generator) for _ in range(4))
    square = square.square()
    for step in (1, 2, 9):
        expected = adamw.updated(weight, grad, mean, square, step, group)
        adamw.update(weight, grad, mean, square, step, group)
        torch.testing.assert_close((weight, mean, square), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale_parameter", [False, True])
def test_adafactor_in_stacks_is_the_plain_equation_to_rounding(scale_parameter):
    """Two matrices of one shape, a vector and a stack of matrices, some smaller than the smallest scale."""
    params = random_parameters()
    params[1].data.mul_(1e-5)
    optimizer = Adafactor(params, lr=0.1, scale_parameter=scale_parameter, weight_decay=0.05, clip=0.5)
    plain = [(param.detach().clone(), torch.zeros(()), torch.zeros(())) for param in params]
    for step in range(1, 6):
        give(params, step)
        optimizer.step()
        for index, (weight, row, column) in enumerate(plain):
            grad = params[index].grad
            plain[index] = optimizers.updated(weight, grad, row, column, step, optimizer.param_groups[0])
            torch.testing.assert_close(params[index].detach(), plain[index][0], rtol=1e-5, atol=1e-6)


class LoopedAdafactor:
    """Algorithms 4 and 5 of arXiv:1804.04235 for one matrix or vector, one number at a time."""

    def __init__(self, weight, lr, scale_parameter, weight_decay):
        self.weight, self.lr, self.scale, self.decay = weight, lr, scale_parameter, weight_decay
        rows, columns = len(weight), len(weight[0])
        self.row, self.column = [0.0] * rows, [0.0] * columns
        self.full = [0.0] * columns
        self.t = 0

    def step(self, grad, factored):
        self.t += 1
        rows, columns = len(grad), len(grad[0])
        beta = 1 - self.t**-0.8
        square = [[g * g + 1e-30 for g in line] for line in grad]
        for i in range(rows):
            self.row[i] = beta * self.row[i] + (1 - beta) * sum(square[i])
        for j in range(columns):
            self.column[j] = beta * self.column[j] + (1 - beta) * sum(square[i][j] for i in range(rows))
            self.full[j] = beta * self.full[j] + (1 - beta) * square[0][j]
        total = sum(self.row)
        second = [
            [self.row[i] * self.column[j] / total if factored else self.full[j] for j in range(columns)]
            for i in range(rows)
        ]
        update = [[grad[i][j] / math.sqrt(second[i][j]) for j in range(columns)] for i in range(rows)]
        size = self.lr / max(1.0, self.rms(update) / 1.0)
        if self.scale:
            size *= max(1e-3, self.rms(self.weight))
        self.weight = [
            [w - size * u - self.lr * self.decay * w for w, u in zip(*lines, strict=True)]
            for lines in zip(self.weight, update, strict=True)
        ]

    @staticmethod
    def rms(matrix):
        numbers = [x for line in matrix for x in line]
        return math.sqrt(sum(x * x for x in numbers) / len(numbers))


@pytest.mark.parametrize("scale_parameter", [False, True])
def test_adafactor_equals_the_paper_written_as_loops(scale_parameter, monkeypatch):
    monkeypatch.setattr(optimizers, "SMALL", 50)  # so that the 9 x 8 matrix is stepped alone, the others in stacks
    settings = {"lr": 0.1, "scale_parameter": scale_parameter, "weight_decay": 0.05}
    params = random_parameters()
    params[1].data.mul_(1e-4)  # below the smallest scale
    # A vector is a matrix of one line that is not factored; a stack of matrices is factored matrix by matrix, but its
    # update is clipped and scaled as one tensor, so it is left to the next test.
    known = [0, 1, 2, 5]
    loops = [
        LoopedAdafactor(params[i].detach().double().reshape(-1, SHAPES[i][-1]).tolist(), **settings) for i in known
    ]
    optimizer = Adafactor(params, **settings)
    for step in range(6):
        give(params, step)
        optimizer.step()
        for i, loop in zip(known, loops, strict=True):
            loop.step(params[i].grad.double().reshape(-1, SHAPES[i][-1]).tolist(), factored=len(SHAPES[i]) == 2)
            expected = torch.tensor(loop.weight).reshape(SHAPES[i])
            torch.testing.assert_close(params[i].detach(), expected, rtol=1e-4, atol=2e-5)


def test_adafactor_gives_each_weight_of_one_shape_its_own_clip_and_scale():
    together = [nn.Parameter(torch.full((2, 3), size)) for size in (0.5, 4.0)]
    alone = [nn.Parameter(param.detach().clone()) for param in together]
    optimizers = [Adafactor(together, lr=0.1, scale_parameter=True)]
    optimizers += [Adafactor([param], lr=0.1, scale_parameter=True) for param in alone]
    for step in range(4):
        grads = [torch.randn(2, 3, generator=torch.Generator().manual_seed(step)), torch.ones(2, 3) * step]
        for params in (together, alone):
            for param, grad in zip(params, grads, strict=True):
                param.grad = grad
        together[1].grad = alone[1].grad = None if step == 1 else grads[1]
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(together, alone, strict=True):
        assert torch.equal(a, b)


def test_adafactor_remembers_rows_plus_columns_and_adamw_twice_the_weights():
    weight = nn.Parameter(torch.randn(30, 20))
    weight.grad = torch.randn(30, 20)
    counts = []
    for optimizer in (AdamW([weight]), Adafactor([weight], lr=0.1)):
        optimizer.step()
        counts.append(sum(v.numel() for v in optimizer.state[weight].values() if isinstance(v, torch.Tensor)))
    assert counts == [2 * 30 * 20, 30 + 20]


@pytest.mark.parametrize("make", [lambda p: AdamW(p, lr=0.1), lambda p: Adafactor(p, lr=0.1)])
def test_state_of_bfloat16_weights_is_float32_and_survives_a_save(make):
    params = random_parameters(torch.bfloat16)
    optimizer = make(params)
    for step in range(3):
        give(params, step)
        optimizer.step()
    copy = [nn.Parameter(param.detach().clone()) for param in params]
    resumed = make(copy)
    resumed.load_state_dict(optimizer.state_dict())
    for param in copy:
        assert {v.dtype for v in resumed.state[param].values() if isinstance(v, torch.Tensor)} == {torch.float32}
    for step in range(3, 6):
        for weights, engine in ((params, optimizer), (copy, resumed)):
            give(weights, step)
            engine.step()
    for a, b in zip(params, copy, strict=True):
        assert torch.equal(a, b) and a.dtype == torch.bfloat16


def test_norms_and_biases_get_no_weight_decay():
    model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    matrices, vectors = decay_groups(model.named_parameters(), 0.1)
    assert [tuple(p.shape) for p in matrices["params"]] == [(3, 4)] and matrices["weight_decay"] == 0.1
    assert len(vectors["params"]) == 3 and vectors["weight_decay"] == 0.0


def test_groups_keep_their_own_rates_and_follow_the_schedule():
    a, b = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(3))
    optimizer = make_optimizer("adamw", [{"params": [a], "lr": 0.5}, {"params": [b]}], 0.1, weight_decay=0.2)
    set_learning_rates(optimizer, 0.5)
    set_learning_rates(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.01])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


def test_an_unknown_optimizer_is_refused_by_name():
    with pytest.raises(UserError, match="adamw, paged_adamw, adafactor"):
        make_optimizer("sgd", [{"params": [nn.Parameter(torch.ones(1))]}], 0.1)
