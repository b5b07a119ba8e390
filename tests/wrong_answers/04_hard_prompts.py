"""What goes wrong with hard prompts: scores, calibration, choosing, counting, and prompts that are put together."""

from minipeft.course.wrong_answers import WrongAnswer


def one(name: str, exercise: str, old: str, new: str) -> WrongAnswer:
    return WrongAnswer(name, exercise, [(old, new)])


SUM = "token_scores.masked_fill(~real, 0.0).sum(2)"
MEAN = "own.logsumexp(1) - math.log(own.shape[1])"
OWN = "of_words[:, label_of_word == label]"
PRIOR = "logs.logsumexp(0) - math.log(len(logs))"
LOGS = "content_free.log_softmax(1)"
DIVIDED = "(scores - prior).log_softmax(1)"
ELSEWHERE = "right.sum(1, keepdim=True) - right.long()"
CHOSEN = "elsewhere.argmax(0)"
HITS = "100 * right[chosen, torch.arange(right.shape[1])].double().mean().item()"
MOVE = "self.mean = self.mean + (scores - self.mean).sum(0) / self.texts"
WITHOUT = "        return scores - self.mean\n"
SHARES = "(answers == label).double().mean(1)"
ENTROPY = "torch.special.entr(shares).sum(1)"
SORTED = "entropy.round(decimals=6).argsort(descending=True, stable=True)"
TOKENS = '"tokens": 7 * (13 + 6 + 2) + 13 + 6 + 1'
MULTIPLICATIONS = '"multiplications": 3 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 2 * 88 * 167 * 167)'
READINGS, BEHIND = '"readings": 23 * 30', '"readings behind demonstrations": 23 * 4 * 3 * 30'


def cost(name: str, tokens: str | None = None, n: int = 167, **others: str) -> WrongAnswer:
    """Another count of tokens goes on into the multiplications."""
    edits = [(TOKENS, f'"tokens": {tokens}')] if tokens else []
    told = others.pop("multiplications", None) or (
        MULTIPLICATIONS.split(": ")[1].replace("167", str(n)) if tokens else None
    )
    edits += [(MULTIPLICATIONS, f'"multiplications": {told}')] if told else []
    edits += [(READINGS, f'"readings": {others["readings"]}')] if "readings" in others else []
    edits += [(BEHIND, f'"readings behind demonstrations": {others["behind"]}')] if "behind" in others else []
    return WrongAnswer(name, "cost", edits)


COUNTS = "([], shown[:1], shown[1:2], shown[2:4], shown)"
SHOWN = '[("a b", "bad"), ("{source} c", "good"), (" d}{ ", "mixed"), ("a b", "bad"), ("e", "good"), ("Aa", "bad")]'

SOURCES = '("x y", "{source}", " z ")'
SAME = "                    assert given == before and same == words\n"
RENDERED = "assert render(template, given, same, source) == expected"

WRONG = [
    one("the words' logarithms are averaged, not their probabilities", "label_scores", MEAN, "own.mean(1)"),
    one("the words' probabilities are added up, not averaged", "label_scores", MEAN, "own.logsumexp(1)"),
    one("a label has the score of its likeliest word", "label_scores", MEAN, "own.max(1).values"),
    one("a label has the score of its first word", "label_scores", MEAN, "own[:, 0]"),
    one("the logarithm of the number of all words is taken off", "label_scores", MEAN,
        "own.logsumexp(1) - math.log(len(label_of_word))"),
    one("the padding is added up as well", "label_scores", SUM, "token_scores.sum(2)"),
    one("the padding is multiplied by 0, which leaves nan and -inf what they are", "label_scores", SUM,
        "(token_scores * real).sum(2)"),
    one("the mask is upside down", "label_scores", SUM, "token_scores.masked_fill(real, 0.0).sum(2)"),
    one("a word has the mean score of its tokens", "label_scores", SUM,
        "token_scores.masked_fill(~real, 0.0).sum(2) / real.sum(1)"),
    one("only the first token of a word counts", "label_scores", SUM, "token_scores[:, :, 0]"),
    one("probabilities are made of the scores, which are too small for a float", "label_scores", MEAN,
        "own.exp().mean(1).log()"),
    one("probabilities are kept from being 0 by adding a small number", "label_scores", MEAN,
        "(own.exp().mean(1) + 1e-9).log()"),
    one("the words are taken to stand in the order of the labels", "label_scores", OWN,
        "of_words[:, label_of_word.sort().values == label]"),
    one("the labels stand in the rows", "label_scores", "torch.stack(columns, dim=1)", "torch.stack(columns, dim=0)"),
    one("the scores are made to add up to 1 at the end", "label_scores", "return torch.stack(columns, dim=1)",
        "return torch.stack(columns, dim=1).log_softmax(1)"),

    one("the logarithms of the prior are averaged, not its probabilities", "calibrate", PRIOR, "logs.mean(0)"),
    one("the inputs' probabilities are not made to add up to 1", "calibrate", LOGS, "content_free"),
    one("only the first input makes the prior", "calibrate", PRIOR, "logs[0]"),
    one("the prior is multiplied in, not divided out", "calibrate", DIVIDED, "(scores + prior).log_softmax(1)"),
    one("the results do not add up to 1", "calibrate", DIVIDED, "scores.log_softmax(1) - prior"),
    one("neither the texts' scores nor the results add up to 1", "calibrate", DIVIDED, "scores - prior"),
    one("the results add up to 1 over the texts", "calibrate", DIVIDED, "(scores - prior).log_softmax(0)"),
    one("probabilities are given, not their logarithms", "calibrate", DIVIDED, "(scores - prior).softmax(1)"),
    one("the prior is subtracted as a probability", "calibrate", DIVIDED,
        "(scores.softmax(1) - prior.exp()).log_softmax(1)"),
    one("probabilities are made of the scores, which are too small for a float", "calibrate", LOGS,
        "(content_free.exp() / content_free.exp().sum(1, keepdim=True)).log()"),
    one("the prior is that of the texts themselves", "calibrate", LOGS, "scores.log_softmax(1)"),
    one("nothing is calibrated", "calibrate", DIVIDED, "scores.log_softmax(1) + 0 * prior"),

    one("the text itself counts in the choice", "honest_accuracy", ELSEWHERE,
        "right.sum(1, keepdim=True).expand(right.shape)"),
    one("the text itself counts, and nothing else does", "honest_accuracy", ELSEWHERE, "right.long()"),
    one("the text itself is added once more", "honest_accuracy", ELSEWHERE,
        "right.sum(1, keepdim=True) + right.long()"),
    one("of equal wordings the last one is taken", "honest_accuracy", CHOSEN,
        "len(elsewhere) - 1 - elsewhere.flip(0).argmax(0)"),
    one("the worst wording is chosen", "honest_accuracy", CHOSEN, "elsewhere.argmin(0)"),
    one("the first wording is always taken", "honest_accuracy", CHOSEN, "torch.zeros(right.shape[1]).long()"),
    one("the share is given, not percent", "honest_accuracy", HITS, HITS.replace("100 * ", "")),
    one("the mean of all wordings is given", "honest_accuracy", HITS, "100 * right.double().mean().item()"),
    one("one wording is chosen for all texts, without the first one", "honest_accuracy", CHOSEN,
        "elsewhere[:, 0].argmax().expand(right.shape[1])"),
    one("it is asked how often the choice is right on the other texts", "honest_accuracy", HITS,
        "100 * (elsewhere.max(0).values.double() / (right.shape[1] - 1)).mean().item()"),

    one("a batch's mean moves the whole as one text would", "label_prior", MOVE,
        "self.mean = self.mean + (scores.mean(0) - self.mean) / self.texts"),
    one("all batches count the same", "label_prior", MOVE,
        "self.batches = getattr(self, 'batches', 0) + 1\n"
        "        self.mean = self.mean + (scores.mean(0) - self.mean) / self.batches"),
    one("only the last batch counts", "label_prior", MOVE, "self.mean = scores.mean(0)"),
    one("only the first batch counts", "label_prior", MOVE,
        "self.mean = scores.mean(0) if self.texts == len(scores) else self.mean"),
    one("the old mean and the new one count half each", "label_prior", MOVE,
        "self.mean = scores.mean(0) if self.texts == len(scores) else (self.mean + scores.mean(0)) / 2"),
    one("the sum is kept, not the mean", "label_prior", MOVE, "self.mean = self.mean + scores.sum(0)"),
    one("the texts are counted after the mean has moved", "label_prior",
        "        self.texts += len(scores)\n        " + MOVE,
        "        " + MOVE.replace("self.texts", "max(self.texts, 1)") + "\n        self.texts += len(scores)"),
    one("the old mean is not taken off before it moves", "label_prior", MOVE,
        "self.mean = self.mean + scores.sum(0) / self.texts"),
    one("the mean of all labels is taken, not of each", "label_prior", MOVE,
        "self.mean = self.mean + (scores - self.mean).mean(1, keepdim=True).sum(0) / self.texts"),
    one("the mean moves in place", "label_prior", MOVE, "self.mean += (scores.mean(0) - self.mean) / self.texts"),
    one("the mean is added, not taken off", "label_prior", WITHOUT, "        return scores + self.mean\n"),
    one("the mean is taken off the argument itself", "label_prior", WITHOUT, "        return scores.sub_(self.mean)\n"),

    cost("the answers of the demonstrations are forgotten", "7 * (13 + 6) + 13 + 6 + 1", 153),
    cost("an answer stands behind the last review, too", "8 * (13 + 6 + 2) + 1", 169),
    cost("end-of-sequence is forgotten", "7 * (13 + 6 + 2) + 13 + 6", 166),
    cost("every demonstration ends with end-of-sequence", "7 * (13 + 6 + 2 + 1) + 13 + 6 + 1", 174),
    cost("the template stands around the last review only", "7 * (13 + 2) + 13 + 6 + 1", 125),
    cost("the review itself is forgotten", "7 * (13 + 6 + 2) + 1", 148),
    cost("the scores and means are forgotten", multiplications="3 * 167 * (4 * 88 * 88 + 3 * 88 * 112)"),
    cost("the means are forgotten", multiplications="3 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 88 * 167 * 167)"),
    cost("every head has the whole width",
         multiplications="3 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 8 * 88 * 167 * 167)"),
    cost("one head alone is counted", multiplications="3 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 2 * 22 * 167 * 167)"),
    cost("the gate is forgotten", multiplications="3 * (167 * (4 * 88 * 88 + 2 * 88 * 112) + 2 * 88 * 167 * 167)"),
    cost("a place looks only at those before it",
         multiplications="3 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 88 * 167 * 168)"),
    cost("one layer alone is counted", multiplications="167 * (4 * 88 * 88 + 3 * 88 * 112) + 2 * 88 * 167 * 167"),
    cost("additions are counted, too",
         multiplications="6 * (167 * (4 * 88 * 88 + 3 * 88 * 112) + 2 * 88 * 167 * 167)"),
    cost("every verbalizer takes a reading of its own", readings="23 * 4 * 30"),
    cost("every answer takes a reading of its own", readings="23 * 4 * 2 * 30", behind="23 * 4 * 2 * 3 * 30"),
    cost("verbalizers share a reading behind demonstrations, too", behind="23 * 3 * 30"),
    cost("the draws share a reading", behind="23 * 4 * 30"),
    cost("demonstrations are read apart from the review", behind="23 * 4 * 3 * (7 + 30)"),

    one("there are never any demonstrations", "check_render", COUNTS, "([],)"),
    one("there is one demonstration at most, and always the same", "check_render", COUNTS, "([], shown[:1])"),
    one("there are always demonstrations", "check_render", COUNTS, "(shown[:1], shown[1:2], shown[2:4], shown)"),
    one("demonstrations are never the same twice", "check_render", COUNTS,
        "([], shown[:1], shown[1:2], shown[2:4], shown[:3])"),
    one("no source holds {source}", "check_render", SHOWN, SHOWN.replace("{source} c", "b c").replace(" d}{ ", " d ")),
    WrongAnswer("no source has spaces at its ends", "check_render",
                [(SHOWN, SHOWN.replace(" d}{ ", "d}{")), (SOURCES, '("x y", "{source}", "z")')]),
    one("the list is not looked at afterwards", "check_render", SAME, ""),
    one("it is asked whether the prompt ends as it should", "check_render", RENDERED,
        "assert render(template, given, same, source).endswith(template.replace('{source}', source))"),
    one("it is asked whether the prompt holds all words", "check_render", RENDERED,
        "assert all(word in render(template, given, same, source).split() or True for word in expected.split())"),
    one("white space is folded before comparing", "check_render", RENDERED,
        "assert render(template, given, same, source).split() == expected.split()"),
    one("the comparison has no assert", "check_render", RENDERED, "render(template, given, same, source) == expected"),
    one("an answer is expected behind the last source", "check_render",
        'expected += template.replace("{source}", source)',
        'expected += template.replace("{source}", source) + " Yes."'),

    one("the lowest entropy goes first", "rank_orders", SORTED, SORTED.replace("descending=True", "descending=False")),
    one("of equal orders the higher number goes first", "rank_orders", SORTED,
        "len(entropy) - 1 - entropy.round(decimals=6).flip(0).argsort(descending=True, stable=True)"),
    one("entropies that differ by rounding alone are not equal", "rank_orders", ".round(decimals=6)", ""),
    one("the rank of every order is given, not the orders by rank", "rank_orders", SORTED, SORTED + ".argsort()"),
    one("only the best order is given", "rank_orders", SORTED, SORTED + "[:1]"),
    one("the entropies are given", "rank_orders", "return " + SORTED, "return entropy.sort(descending=True).values"),
    one("the entropy of each text's own probabilities is averaged", "rank_orders", ENTROPY,
        "torch.special.entr(scores.softmax(2)).sum(2).mean(1)"),
    one("the texts' probabilities are averaged, not their likeliest labels", "rank_orders", ENTROPY,
        "torch.special.entr(scores.softmax(2).mean(1)).sum(1)"),
    one("it is counted how many labels are given at all", "rank_orders", ENTROPY, "(shares > 0).double().sum(1)"),
    one("the largest share decides", "rank_orders", ENTROPY, "shares.max(1).values"),
    one("a share of 0 makes its order's entropy nan", "rank_orders", ENTROPY, "-(shares * shares.log()).sum(1)"),
    one("the shares are taken over the orders", "rank_orders", SHARES, SHARES.replace("mean(1)", "mean(0)")),
    one("the least likely labels are taken", "rank_orders", "scores.argmax(2)", "scores.argmin(2)"),
    one("the last label is left out", "rank_orders", "range(scores.shape[2])", "range(scores.shape[2] - 1)"),
]  # fmt: skip
