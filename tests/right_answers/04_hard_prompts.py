"""Other right answers to the exercises of chapter 04, each put behind the solution: all must pass."""

RIGHT = {
    "label_scores": [
        """
def label_scores(token_scores, real, label_of_word):
    words = torch.where(real, token_scores, torch.zeros(())).sum(-1)
    labels = int(label_of_word.max()) + 1
    own = torch.nn.functional.one_hot(label_of_word, labels).bool()
    spread = words[:, :, None].masked_fill(~own, -torch.inf)
    return spread.logsumexp(1) - own.sum(0).log()
""",
        """
def label_scores(token_scores, real, label_of_word):
    rows = []
    for text in token_scores:
        by_label = [[] for _ in range(label_of_word.max() + 1)]
        for scores, mask, label in zip(text, real, label_of_word.tolist()):
            by_label[label].append(scores[mask].sum())
        columns = []
        for found in by_label:
            top = max(found)
            columns.append(top + torch.log(sum(torch.exp(one - top) for one in found) / len(found)))
        rows.append(torch.stack(columns))
    return torch.stack(rows)
""",
    ],
    "calibrate": [
        """
def calibrate(scores, content_free):
    prior = content_free.softmax(dim=-1).mean(dim=0)
    divided = scores.softmax(dim=-1) / prior
    return (divided / divided.sum(dim=-1, keepdim=True)).log()
""",
        """
def calibrate(scores, content_free):
    logs = content_free.double() - content_free.double().logsumexp(1, keepdim=True)
    prior = torch.logsumexp(logs, 0)
    left = scores.double() - prior
    return left - torch.logsumexp(left, 1, keepdim=True)
""",
    ],
    "honest_accuracy": [
        """
def honest_accuracy(right):
    hits = 0
    texts = right.shape[1]
    for text in range(texts):
        rest = torch.cat([right[:, :text], right[:, text + 1:]], dim=1)
        counts = rest.sum(dim=1).tolist()
        hits += bool(right[counts.index(max(counts)), text])
    return 100 * hits / texts
""",
        """
import numpy
def honest_accuracy(right):
    table = right.numpy().astype(int)
    others = table.sum(axis=1)[:, None] - table
    best = numpy.argmax(others, axis=0)
    return numpy.mean(table[best, numpy.arange(table.shape[1])]) * 100
""",
    ],
    "label_prior": [
        """
class LabelPrior:
    def __init__(self, labels):
        self.texts, self.total = 0, torch.zeros(labels)

    @property
    def mean(self):
        return self.total / max(self.texts, 1)

    def add(self, scores):
        self.texts = self.texts + scores.shape[0]
        self.total = self.total + scores.sum(dim=0)

    def without(self, scores):
        return scores - self.mean[None, :]
""",
        """
class LabelPrior(LabelPrior):
    def add(self, scores):
        for row in scores:
            self.texts += 1
            self.mean = self.mean + (row - self.mean) / self.texts
""",
    ],
    "cost": [
        'COST = COST | {"tokens": 167, "readings": 690.0, "multiplications": 3 * (167 * 60544 + 176 * 167 ** 2)}',
        "import numpy\nCOST = {name: numpy.int64(number) for name, number in COST.items()}",
    ],
    "check_render": [
        """
def check_render(render):
    import itertools
    words = {"0": "Zero.", "1": "One"}
    texts = [" b", "a {source}", "{}", "a  a ", "c"]
    for template in ["{source} =", ">> {source}"]:
        for size in range(6):
            for labels in itertools.product("01", repeat=size):
                shown = list(zip(texts[::-1] if labels[:1] == ("1",) else texts, labels))
                if size > 2:
                    shown[2] = shown[0]
                copies = list(shown), dict(words)
                want = [template.replace("{source}", text) + " " + words[label] for text, label in shown]
                want.append(template.replace("{source}", "{source} ? "))
                assert render(template, shown, words, "{source} ? ") == " ".join(want)
                assert (shown, words) == copies
""",
        """
def check_render(render):
    words = {"x": "ex", "y": "why"}
    def both(template, shown, source, expected):
        kept = list(shown)
        for turn in (1, 2):
            if render(template, shown, words, source) != expected or kept != shown:
                raise AssertionError(expected)
    both("{source} is", [], "a", "a is")
    both("{source} is", [("b", "x")], "a", "b is ex a is")
    both("{source} is", [("c", "y")], "a", "c is why a is")
    both("it is {source}", [(" c", "y"), ("b", "x")], "a ", "it is  c why it is b ex it is a ")
    both("{source}!", [("z{", "y"), ("{source}", "x"), ("z{", "y"), ("b", "y"), ("a", "y"), ("k", "x")], "{source}}",
         "z{! why {source}! ex z{! why b! why a! why k! ex {source}}!")
    assert words == {"x": "ex", "y": "why"}
""",
    ],
    "rank_orders": [
        """
def rank_orders(scores):
    found = []
    for order in scores:
        counts = torch.bincount(order.argmax(-1), minlength=order.shape[-1]).tolist()
        shares = [count / sum(counts) for count in counts if count]
        found.append(round(-sum(share * math.log(share) for share in shares), 6))
    return torch.tensor(sorted(range(len(found)), key=lambda number: (-found[number], number)))
""",
        """
def rank_orders(scores):
    one_hot = torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).double()
    shares = one_hot.mean(1)
    logs = torch.where(shares > 0, shares, torch.ones_like(shares)).log()
    entropy = torch.round(-(shares * logs).sum(-1), decimals=6)
    return torch.sort(entropy, descending=True, stable=True).indices
""",
    ],
}
