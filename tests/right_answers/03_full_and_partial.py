"""Other right answers to the exercises of chapter 03, each put behind the solution: all must pass."""

RIGHT = {
    "block_rates": [
        """
import re

def block_rates(names, blocks, rate, decay):
    def above(name):
        if found := re.fullmatch(r"(\\w+)\\.blocks\\.(\\d+)\\..*", name):
            return blocks[found[1]] - int(found[2]) - 1
        if name.startswith("embedding"):
            return max(blocks.values())
        if found := re.match(r"(\\w+)\\.positions", name):
            return blocks[found[1]]
        return 0
    return tuple(rate * decay ** above(name) for name in names)
""",
        """
import numpy

def block_rates(names, blocks, rate, decay):
    depths = {"embedding": max(blocks.values()), "head": 0}
    for stack, count in blocks.items():
        depths |= {f"{stack}.blocks.{n}": count - 1 - n for n in range(count)}
        depths |= {f"{stack}.positions": count, f"{stack}.norm": 0}
    found = []
    for name in names:
        place = next(place for place in depths if name.startswith(place + "."))
        found.append(numpy.float64(rate) * numpy.power(decay, depths[place]))
    return found
""",
    ],
    "fit_head": [
        """
def fit_head(features, labels, classes, strength):
    texts, width = features.shape
    wide = torch.cat([features, torch.ones(texts, 1)], dim=1).double()
    pull = torch.diag(torch.tensor([strength] * width + [0.0], dtype=torch.float64))
    target = (labels[:, None] == torch.arange(classes)).double()
    both = torch.linalg.inv(wide.T @ wide + pull) @ wide.T @ target
    return both[:width].T, both[width]
""",
        """
def fit_head(features, labels, classes, strength):
    h, y = features.double(), torch.zeros(len(labels), classes, dtype=torch.float64)
    y[range(len(labels)), labels] = 1
    centre = h.mean(dim=0, keepdim=True)
    rows = torch.cat([h - centre, strength**0.5 * torch.eye(h.shape[1], dtype=torch.float64)])
    wanted = torch.cat([y - y.mean(0), torch.zeros(h.shape[1], classes, dtype=torch.float64)])
    w = torch.linalg.lstsq(rows, wanted).solution.T
    return [w.float(), (y.mean(0) - (w @ centre.T)[:, 0]).float()]
""",
        """
def fit_head(features, labels, classes, strength):
    h = features.double() - features.double().mean(0)
    y = torch.eye(classes, dtype=torch.float64)[labels]
    gram = h @ h.T + strength * torch.eye(len(h), dtype=torch.float64)  # as many rows as texts
    w = torch.linalg.solve(gram, y - y.mean(0)).T @ h
    return torch.nn.Parameter(w.float()), torch.nn.Parameter((y.mean(0) - w @ features.double().mean(0)).float())
""",
    ],
    "counts": [
        "COUNTS = dict(reversed(COUNTS.items()))",
        "import numpy\nCOUNTS = {key: numpy.int64(value) for key, value in COUNTS.items()}",
    ],
    "backward": [
        "from fractions import Fraction\nBACKWARD = {key: Fraction(value) for key, value in BACKWARD.items()}",
        "BACKWARD = {key: float(value) for key, value in BACKWARD.items()}",
    ],
    "accumulated": [
        """
def accumulated(weight, parts, rate):
    leaf = weight.clone().detach().requires_grad_(True)
    real = sum((targets >= 0).sum() for _, targets in parts)
    for hidden, targets in parts:
        mean = torch.nn.functional.cross_entropy((hidden @ leaf.T).transpose(1, 2), targets, ignore_index=-100)
        (mean * (targets >= 0).sum() / real).backward()
    with torch.no_grad():
        return leaf - rate * leaf.grad
""",
        """
def accumulated(weight, parts, rate):
    gradient, count = torch.zeros_like(weight), 0
    for hidden, targets in parts:
        mask = targets != -100
        vectors, wanted = hidden[mask], targets[mask]
        miss = torch.softmax(vectors @ weight.T, -1) - torch.nn.functional.one_hot(wanted, len(weight))
        gradient, count = gradient + miss.T @ vectors, count + mask.sum()
    return weight - (rate / count) * gradient
""",
    ],
    "check_early_stopping": [
        """
import random

def check_early_stopping(stop):
    drawn = random.Random(3)
    for _ in range(300):
        scores = [float(drawn.randint(-4, 4)) for _ in range(drawn.randint(1, 9))]
        patience, copy = drawn.randint(1, 4), list(scores)
        looks, kept = stop(scores, patience)
        assert scores == copy
        ends = [n for n in range(patience, len(copy)) if max(copy[: n - patience + 1]) >= max(copy[: n + 1])]
        assert looks == (ends[0] + 1 if ends else len(copy))
        assert kept == copy.index(max(copy[:looks]))
""",
        """
def check_early_stopping(stop):
    def reference(scores, patience):
        kept = 0
        for look in range(len(scores)):
            if scores[look] > scores[kept]:
                kept = look
            if look - kept == patience:
                return look + 1, kept
        return len(scores), kept

    rows = [[0.5, 0.4, 0.6, 0.6, 0.1], [-2, -1, -1, -3, 0, 5], [3, 1, 2, 1, 2, 1, 4], [1, 5, 2, 6, 3, 4, 7], [2]]
    for scores in rows:
        for patience in range(1, 5):
            before = scores.copy()
            assert tuple(stop(scores, patience)) == reference(before, patience)
            assert scores == before
""",
    ],
    "chain_thaw_step": [
        """
def chain_thaw_step(weights, gradients, momenta, step, total, rate, beta):
    layers = len(weights)
    phases = [[layers - 1], *([layer] for layer in range(layers - 1)), list(range(layers))]
    trained = phases[int(step * len(phases) / total)]
    momenta = [beta * m + g if n in trained else m for n, (m, g) in enumerate(zip(momenta, gradients, strict=True))]
    weights = [w - rate * m if n in trained else w for n, (w, m) in enumerate(zip(weights, momenta, strict=True))]
    return weights, momenta
""",
        """
def chain_thaw_step(weights, gradients, momenta, step, total, rate, beta):
    weights, momenta = [w.clone() for w in weights], [m.clone() for m in momenta]
    order = [len(weights) - 1, *range(len(weights) - 1)]
    phase = divmod(step * (len(weights) + 1), total)[0]
    for layer in range(len(weights)) if phase == len(weights) else order[phase : phase + 1]:
        momenta[layer] *= beta
        momenta[layer] += gradients[layer]
        weights[layer] -= rate * momenta[layer]
    return weights, momenta
""",
    ],
}
