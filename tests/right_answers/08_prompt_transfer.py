"""Other right answers to the exercises of chapter 08, each put behind the solution: all must pass."""

RIGHT = {
    "change_similarities": [
        """
def change_similarities(early, start):
    changes = (early - start).double()
    pairs = torch.cosine_similarity(changes[:, None, :, None], changes[None, :, None, :], dim=-1)
    return pairs.mean((2, 3)).float()
""",
        """
def change_similarities(early, start):
    rows = []
    for one in early:
        row = []
        for other in early:
            a, b = one - start, other - start
            a = a / a.norm(dim=1, keepdim=True).clamp_min(1e-12)
            b = b / b.norm(dim=1, keepdim=True).clamp_min(1e-12)
            row.append((a @ b.T).mean())
        rows.append(torch.stack(row))
    return torch.stack(rows)
""",
    ],
    "rank_correlation": [
        """
def rank_correlation(first, second):
    ranks = []
    for numbers in (first, second):
        x = torch.tensor(numbers, dtype=torch.float64)
        ranks.append((x[:, None] > x).sum(1) + ((x[:, None] == x).sum(1) + 1) / 2)
    one, other = (rank - rank.mean() for rank in ranks)
    scale = one.norm() * other.norm()
    return float(one @ other / scale) if scale > 0 else 0.0
""",
        """
def rank_correlation(first, second):
    def ranked(numbers):
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        ranks, place = [0.0] * len(numbers), 0
        while place < len(order):
            end = place
            while end + 1 < len(order) and numbers[order[end + 1]] == numbers[order[place]]:
                end += 1
            for i in order[place : end + 1]:
                ranks[i] = (place + end) / 2 + 1
            place = end + 1
        return ranks

    import statistics

    if len(set(first)) == 1 or len(set(second)) == 1:
        return 0
    return statistics.correlation(ranked(first), ranked(second))
""",
    ],
    "labelled_pairs": [
        """
def labelled_pairs(documents):
    found = []
    for document in documents:
        for first, following in zip(document, document[1:], strict=False):
            place = document.index(first)
            found.append((first, following, "yes"))
            found.extend((first, second, "maybe") for second in document[: max(0, place - 1)] + document[place + 2 :])
            found.extend(
                (first, second, "no") for other in documents if other is not document
                for second in other if second not in set(document)
            )
    return found
""",
        """
def labelled_pairs(documents):
    found = []
    for d, document in enumerate(documents):
        strangers = [s for e, other in enumerate(documents) if e != d for s in other if document.count(s) == 0]
        for i in range(len(document) - 1):
            found.append([document[i], document[i + 1], "yes"])
            for j in range(len(document)):
                if j not in {i - 1, i, i + 1}:
                    found.append([document[i], document[j], "maybe"])
            found += [[document[i], s, "no"] for s in strangers]
    return found
""",
    ],
    "costs": [
        """
COSTS = {
    "all": 33150,
    "best of 3": 11700 + 5850,
    "average of 3": 11700 + 2550,
    "mixture of 3": 1950 + 7950,
    "stored": 38 * 10240,
}
""",
        """
import numpy

COSTS = {
    "all": numpy.int64(13 * (900 + 6 * 275)),
    "best of 3": 13 * 900.0 + 6 * 975,
    "average of 3": sum([900] * 13 + [150, 275] * 6),
    "mixture of 3": (13 + 6) * 150 + 6 * 900 + 6 * 275,
    "stored": 2 * (13 + 6) * 20 * 512,
}
""",
    ],
    "guesses": [
        """
from fractions import Fraction
from math import comb

GUESSES = {
    "blind": 100 * sum(Fraction(1, n) for n in range(3, 10)) / 7,
    "always I": Fraction(100, 63),
    "five": 100 * sum(comb(5, k) * 0.7**k * 0.3 ** (5 - k) for k in (3, 4, 5)),
    "two copies": 100 * (0.49 * (1 - 0.027) / 0.7 + 0.3 * 0.343),
    "weak": 100 - 100 * sum(comb(5, k) * 0.6**k * 0.4 ** (5 - k) for k in (3, 4, 5)),
}
""",
        """
GUESSES = {"blind": 18.99, "always I": 1.5873, "five": 83.69, "two copies": 78.40, "weak": 31.74}
""",
    ],
    "vote": [
        """
def vote(scores, mask):
    found = []
    for row in range(scores.shape[1]):
        real = mask[row].nonzero().flatten()
        own = scores[:, row, real]
        votes = own.argmax(1).bincount(minlength=len(real))
        best = (votes == votes.max()).nonzero().flatten()
        found.append(real[best[own.mean(0)[best].argmax()]])
    return torch.stack(found)
""",
        """
def vote(scores, mask):
    hidden = torch.where(mask, scores, torch.full_like(scores, -torch.inf))
    count = scores.shape[2]
    votes = torch.stack([(hidden.argmax(2) == number).sum(0) for number in range(count)], 1)
    rank = hidden.mean(0).argsort(1).argsort(1)
    return (votes * count + rank).argmax(1)
""",
    ],
    "check_start": [
        """
def check_start(implementation):
    torch.manual_seed(3)
    for count in (1, 3, 6, 4, 2, 7, 3, 5, 6, 4):
        target, early, ready = torch.randn(5, 4) + 1, torch.randn(count, 5, 4) + 1, torch.randn(count, 5, 4)
        early = early * torch.linspace(0.1, 5, count)[:, None, None]
        given = target.clone(), early.clone(), ready.clone()
        mean = target.mean(0)
        best, most = None, -2.0
        for i in range(count):
            other = early[i].mean(0)
            value = float(mean @ other / mean.norm() / other.norm())
            if value > most:
                best, most = i, value
        start = implementation(*given)
        assert torch.allclose(start, ready[best])
        assert all(torch.equal(a, b) for a, b in zip(given, (target, early, ready), strict=True))
        start.zero_()
        assert torch.equal(given[2], ready)
        target, early = torch.randn(5, 4), torch.randn(count, 5, 4)
        start = implementation(target, early, ready)
        cosines = torch.nn.functional.normalize(early.mean(1), dim=1) @ target.mean(0)
        assert torch.allclose(start, ready[int(cosines.argmax())])
""",
        """
def check_start(implementation):
    torch.manual_seed(11)
    for trial in range(40):
        count = trial % 6 + 1
        target = torch.randn(3, 2)
        early = torch.randn(count, 3, 2) * (10 ** torch.randn(count, 1, 1))
        ready = torch.rand(count, 3, 2)
        a, b, c = target.clone(), early.clone(), ready.clone()
        found = implementation(a, b, c)
        likeness = torch.stack([torch.cosine_similarity(one.mean(0), target.mean(0), dim=0) for one in early])
        number = int(likeness.argmax())
        torch.testing.assert_close(found, ready[number])
        torch.testing.assert_close((a, b, c), (target, early, ready), rtol=0, atol=0)
        assert not any(found.data_ptr() == one.data_ptr() for one in c)
""",
    ],
    "attend_to_sources": [
        """
def attend_to_sources(text, mask, own, sources, w_down, w_up, temperature):
    prompts = torch.cat((sources, own.unsqueeze(0)), dim=0)
    rows = []
    for words, real in zip(text, mask, strict=True):
        x = words[real].max(dim=0).values
        inner = w_down @ x
        question = w_up @ (inner * torch.sigmoid(inner))
        weights = torch.softmax(prompts.max(dim=1).values @ question / temperature, dim=0)
        rows.append(own + (weights[:, None, None] * prompts).sum(0))
    return torch.stack(rows)
""",
        """
def attend_to_sources(text, mask, own, sources, w_down, w_up, temperature):
    lowest = torch.finfo(text.dtype).min
    pooled = torch.where(mask.unsqueeze(-1), text, torch.full_like(text, lowest)).max(1).values
    question = torch.nn.functional.linear(torch.nn.SiLU()(torch.nn.functional.linear(pooled, w_down)), w_up)
    keys = torch.cat([sources.amax(1), own.amax(0, keepdim=True)])
    weights = torch.softmax(torch.einsum("bh,nh->bn", question, keys) / temperature, -1)
    of_sources = torch.tensordot(weights[:, :-1], sources, dims=1)
    return of_sources + weights[:, -1, None, None] * own + own
""",
    ],
}
