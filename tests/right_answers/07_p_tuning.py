"""Other right answers to the exercises of chapter 07, each put behind the solution: all must pass."""

RIGHT = {
    "fill_template": [
        """
def fill_template(template, firsts, seconds, words, virtual):
    table, vocabulary = torch.cat([words, virtual, words.new_zeros(1, words.shape[1])]), len(words)
    rows = []
    for first, second in zip(firsts, seconds, strict=True):
        row, count = [], vocabulary
        for part in template:
            if part == "first":
                row.extend(first)
            elif part == "second":
                row.extend(second)
            elif part == "V":
                row.append(count)
                count += 1
            else:
                row.append(part)
        rows.append(row)
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [len(table) - 1] * (longest - len(row)) for row in rows])
    return table[ids], ids != len(table) - 1
""",
        """
def fill_template(template, firsts, seconds, words, virtual):
    found = []
    for i in range(len(firsts)):
        vectors, left = [], iter(virtual)
        for part in template:
            if isinstance(part, int):
                vectors.append(words[part])
            elif part == "V":
                vectors.append(next(left))
            else:
                vectors += [words[token] for token in (firsts if part == "first" else seconds)[i]]
        found.append(torch.stack(vectors))
    longest = max(map(len, found))
    rows = [torch.nn.functional.pad(row, (0, 0, 0, longest - len(row))) for row in found]
    mask = [[True] * len(row) + [False] * (longest - len(row)) for row in found]
    return torch.stack(rows), torch.tensor(mask)
""",
    ],
    "tags_of_names": [
        """
def tags_of_names(ends, names):
    tags, before, last = [], 0, None
    for end in ends:
        own = [name for name in names if name[0] < end and name[1] > before and end > before]
        if own:
            tags.append(2 * own[0][2] - (own[0] != last))
            last = own[0]
        else:
            tags.append(0)
        before = end
    return tags
""",
        """
import numpy

def tags_of_names(ends, names):
    ends = numpy.array(ends)
    begins = numpy.concatenate([[0], ends[:-1]])
    tags = numpy.zeros(len(ends), dtype=int)
    for begin, end, kind in sorted(names):
        (places,) = numpy.nonzero((begins < end) & (ends > begin) & (ends > begins))
        tags[places] = 2 * kind
        tags[places[0]] -= 1
    return tags
""",
        """
from bisect import bisect_right

def tags_of_names(ends, names):
    tags = [0] * len(ends)
    for begin, end, kind in sorted(names):
        first = bisect_right(ends, begin)
        for n in range(first, min(bisect_right(ends, end - 1) + 1, len(ends))):
            if ends[n] > (ends[n - 1] if n else 0):
                tags[n] = 2 * kind - (n == first)
    return tags
""",
    ],
    "names_of_tags": [
        """
def names_of_tags(tags, starts):
    words = []
    for place, (tag, begins) in enumerate(zip(tags, starts)):
        if begins:
            words.append([place, place, tag])
        words[-1][1:] = [place, tag]
    names, before = [], 0
    for first, last, tag in words:
        kind = tag // 2 if tag % 2 == 0 else tag // 2 + 1
        if tag and tag % 2 == 0 and kind == before:
            names[-1] = (*names[-1][:1], last, kind)
        elif tag:
            names.append((first, last, kind))
        before = kind
    return names
""",
        """
def names_of_tags(tags, starts):
    ends = [n for n in range(len(tags)) if n + 1 == len(tags) or starts[n + 1]]
    begins = [n for n in range(len(tags)) if starts[n]]
    found, n = [], 0
    while n < len(ends):
        tag = tags[ends[n]]
        if tag == 0:
            n += 1
            continue
        kind, first = (tag + tag % 2) // 2, begins[n]
        while n + 1 < len(ends) and tags[ends[n + 1]] == 2 * kind:
            n += 1
        found.append((first, ends[n], kind))
        n += 1
    return found
""",
    ],
    "counts": [
        """
HALF = 320 // 2
GATES = 4 * HALF * (320 + HALF) + 2 * 4 * HALF
WIDE = 5 * 48
COUNTS = {
    "lstm": 14 * 320 + 2 * 2 * GATES + 2 * (320 * 320 + 320),
    "mlp": 14 * 320 + 3 * (320 * 320 + 320),
    "stored": 4480,
    "labels": (4 + 4 + 4) * 14 * 2 * WIDE + (5 + 1) * 321,
    "tags": 9 * 14 * 2 * WIDE + (11 + 1) * 321,
}
""",
        """
import numpy

COUNTS = {name: numpy.int64(value) for name, value in COUNTS.items()}
""",
    ],
    "reach": [
        """
REACH = {
    "lstm": 9,
    "lstm, one direction": 6,
    "mlp": 1.0,
    "gpt": (2 + 41) * 6,
    "top": 31 * 2 + 53 * 4,
    "bottom": 159,
}
""",
        """
REACH = {key: torch.tensor(value) for key, value in REACH.items()}
""",
    ],
    "tagging_loss": [
        """
def tagging_loss(states, tags, weight, bias):
    longest = max(map(len, tags))
    own = states[:, states.shape[1] - longest :]
    scores = torch.nn.functional.normalize(own, dim=-1) * own.shape[-1] ** 0.5 @ weight.T + bias
    wanted = torch.tensor([row + [-100] * (longest - len(row)) for row in tags])
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten())
""",
        """
def tagging_loss(states, tags, weight, bias):
    front = states.shape[1] - max(len(row) for row in tags)
    total, count = 0.0, 0
    for i, row in enumerate(tags):
        for place, tag in enumerate(row):
            h = states[i, front + place]
            scores = weight @ (h * h.square().mean().rsqrt()) + bias
            total = total - scores.log_softmax(0)[tag]
            count += 1
    return total / count
""",
    ],
    "check_virtual": [
        """
def check_virtual(implementation):
    for seed, (vocabulary, count) in enumerate([(6, 4), (6, 4), (9, 2)]):
        generator = torch.Generator().manual_seed(seed)
        words = torch.randn(vocabulary, 3, generator=generator, requires_grad=True)
        virtual = torch.randn(count, 3, generator=generator, requires_grad=True)
        ids = torch.stack([torch.randperm(vocabulary + count, generator=generator) for _ in range(5)])
        before = ids.clone()
        found = implementation(ids, words, virtual)
        assert torch.equal(ids, before)
        wanted = torch.stack([torch.stack([words[i] if i < vocabulary else virtual[i - vocabulary]
                                           for i in row.tolist()]) for row in before])
        assert torch.allclose(found, wanted, atol=1e-6)
        for one, other in zip(torch.autograd.grad(found.square().sum(), [words, virtual], allow_unused=True),
                              torch.autograd.grad(wanted.square().sum(), [words, virtual]), strict=True):
            assert one is not None and torch.allclose(one, other, atol=1e-5)
""",
        """
def check_virtual(implementation):
    for vocabulary in (3, 8):
        v = vocabulary
        for ids in ([[v, 0, v + 1, 2]], [[2, v + 2, 1, v], [v - 1, 1, v + 2, v + 2]]):
            for start in (0.0, 5.0):
                words = (start + torch.arange(vocabulary * 2.0) / 7).view(vocabulary, 2).requires_grad_()
                virtual = (-start - torch.arange(6.0) / 3 - 1).view(3, 2).requires_grad_()
                given = torch.tensor(ids)
                found = implementation(given, words, virtual)
                assert given.tolist() == ids
                loss, learned = 0, torch.zeros(vocabulary + 3, 2)
                for i, row in enumerate(ids):
                    for j, token in enumerate(row):
                        wanted = words[token] if token < vocabulary else virtual[token - vocabulary]
                        torch.testing.assert_close(found[i, j], wanted)
                        loss = loss + (i + 2 * j + 1) * found[i, j].sum()
                        learned[token] += i + 2 * j + 1
                loss.backward()
                assert words.grad is not None and virtual.grad is not None
                torch.testing.assert_close(torch.cat([words.grad, virtual.grad]), learned)
""",
    ],
    "loss_of_tasks": [
        """
def loss_of_tasks(states, task, label, weights, biases, share):
    per_row = torch.stack([
        -(weights[t] @ state + biases[t]).log_softmax(0)[right]
        for state, t, right in zip(states, task.tolist(), label.tolist())
    ])
    rows = torch.bincount(task, minlength=len(weights))
    here = share * (rows > 0)
    return (per_row * here[task] / rows[task]).sum() / here.sum()
""",
        """
def loss_of_tasks(states, task, label, weights, biases, share):
    total, whole = torch.zeros(()), torch.zeros(())
    for t in range(len(weights)):
        rows = (task == t).nonzero()[:, 0]
        if len(rows):
            scores = torch.nn.functional.linear(states[rows], weights[t], biases[t])
            total = total + share[t] * (scores.logsumexp(1) - scores.gather(1, label[rows, None])[:, 0]).mean()
            whole = whole + share[t]
    return total / whole
""",
        """
def loss_of_tasks(states, task, label, weights, biases, share):
    most = max(map(len, biases))
    pad = torch.nn.functional.pad
    w = torch.stack([pad(head, (0, 0, 0, most - len(head))) for head in weights])[task]
    b = torch.stack([pad(bias, (0, most - len(bias)), value=-torch.inf) for bias in biases])[task]
    losses = torch.nn.functional.cross_entropy(torch.einsum("rkw,rw->rk", w, states) + b, label, reduction="none")
    of_row = share[task] / torch.bincount(task)[task]
    return (losses * of_row).sum() / of_row.sum()
""",
    ],
}
