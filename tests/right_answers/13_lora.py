"""Other right answers to the exercises of chapter 13, each put behind the solution: all must pass."""

RIGHT = {
    "lora_output": [
        """
def lora_output(x, w, a, b, alpha, tasks):
    out = torch.zeros(len(x), len(w))
    rows = []
    for row, task in zip(x, tasks, strict=True):
        rows.append(w @ row + alpha / len(a[task]) * (b[task] @ (a[task] @ row)))
    return torch.stack(rows).double()
""",
        """
def lora_output(x, w, a, b, alpha, tasks):
    low = torch.bmm(a[tasks], x.unsqueeze(-1))
    return torch.nn.functional.linear(x, w) + alpha / a.shape[-2] * torch.bmm(b[tasks], low).squeeze(-1)
""",
    ],
    "initial_factors": [
        """
def initial_factors(inputs, outputs, rank, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        a = torch.empty(rank, inputs)
        torch.nn.init.kaiming_uniform_(a, a=5**0.5)
    return a, torch.zeros((outputs, rank))
""",
        """
import numpy

def initial_factors(inputs, outputs, rank, seed):
    bound = 1 / numpy.sqrt(inputs)
    a = numpy.random.default_rng(seed).uniform(-bound, bound, (rank, inputs))
    return [torch.nn.Parameter(torch.tensor(a, dtype=torch.float32)), torch.nn.Parameter(torch.zeros(outputs, rank))]
""",
    ],
    "merged_weight": [
        """
def merged_weight(w, updates):
    return (w.float() + sum((alpha / a.size(0)) * b.matmul(a) for a, b, alpha in updates)).to(w.dtype)
""",
        """
def merged_weight(w, updates):
    big_a = torch.cat([a * (alpha / len(a)) for a, _, alpha in updates])
    big_b = torch.cat([b for _, b, _ in updates], dim=1)
    return torch.addmm(w.to(torch.float32), big_b, big_a).to(w.dtype)
""",
    ],
    "trained_numbers": [
        "TRAINED_NUMBERS = {'GPT-3': 21_233_664, 'RoBERTa-base': 774_144, 't5-0.8m': 30_120}",
        "import numpy\nTRAINED_NUMBERS = {'RoBERTa-base': numpy.int64(774144), 'GPT-3': 96 * 9 * 2 * 12288.0, "
        "'t5-0.8m': 5 * 24 * 176 + 5 * 9 * 200}",
    ],
    "switchable_lora": [
        """
class SwitchableLoRA:
    def __init__(self, w, a, b, alpha):
        self.w, self.a, self.b, self.factor, self.merged = w.clone(), a, b, alpha / len(a), False

    def merge(self):
        if not self.merged:
            self.added = self.factor * (self.b @ self.a)
            self.w = self.w + self.added
            self.merged = True

    def unmerge(self):
        if self.merged:
            self.w = self.w - self.added
            self.merged = False

    def __call__(self, x):
        return x @ self.w.T if self.merged else x @ self.w.T + self.factor * (x @ self.a.T @ self.b.T)
""",
        """
class SwitchableLoRA:
    def __init__(self, w, a, b, alpha):
        self.plain, self.a, self.b, self.factor = w.clone(), a, b, alpha / len(a)
        self.kept = None

    @property
    def merged(self):
        return self.kept is not None

    @property
    def w(self):
        return self.plain if self.kept is None else self.kept

    def merge(self):
        if self.kept is None:
            self.kept = self.plain + self.factor * (self.b @ self.a)

    def unmerge(self):
        self.kept = None

    def __call__(self, x):
        update = 0 if self.merged else self.factor * (self.b @ self.a)
        return x @ (self.w + update).T
""",
    ],
    "check_merge": [
        """
def check_merge(merge):
    for out, inputs, rank in [(3, 3, 2), (5, 2, 3), (2, 7, 1), (6, 6, 4)]:
        w, a, b = (torch.randn(s, dtype=torch.float64) for s in [(out, inputs), (rank, inputs), (out, rank)])
        kept, alpha = w.clone(), 0.7
        assert torch.allclose(merge(w, a, b, alpha), kept + b @ a * alpha / rank, rtol=1e-12, atol=1e-12)
        assert (w == kept).all()
""",
        """
def check_merge(merge):
    w = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64) / 3
    a = torch.tensor([[1.0, -1.0], [2.0, 0.5], [7.0, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 3.0, 0.1], [-2.0, 4.0, 0.2]], dtype=torch.float64)
    before = w.tolist()
    got = merge(w, a, b, 11.0)
    assert w.tolist() == before
    for i in range(2):
        for j in range(2):
            want = before[i][j] + 11.0 / 3 * sum(b[i, r].item() * a[r, j].item() for r in range(3))
            assert abs(got[i, j].item() - want) < 1e-9
""",
    ],
    "stabilised_output": [
        """
def stabilised_output(x, w, a, b, alpha):
    return (w @ x.T + alpha / len(a) ** 0.5 * b @ (a @ x.T)).T
""",
        """
from math import sqrt

def stabilised_output(x, w, a, b, alpha):
    return torch.nn.functional.linear(x, w + alpha / sqrt(a.shape[0]) * (b @ a)).double()
""",
    ],
}
