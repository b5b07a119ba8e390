"""What goes wrong when prompts are compared, searched for, asked to vote, and mixed."""

from minipeft.course.wrong_answers import WrongAnswer


def one(name: str, exercise: str, *edits: tuple[str, str]) -> WrongAnswer:
    return WrongAnswer(name, exercise, list(edits))


CHANGES = "changes = early - start"
DIRECTIONS = "directions = torch.nn.functional.normalize(changes, dim=2)"
MEANS = "means = directions.mean(1)"
PRODUCT = "return means @ means.T"

RANKS = "ranks = [sum(x < y for x in numbers) + (numbers.count(y) + 1) / 2 for y in numbers]"
SIZES = "sizes = sum(x * x for x in one) * sum(y * y for y in other)"
PRODUCTS = "products = sum(x * y for x, y in zip(one, other, strict=True))"
RETURNED = "return products / sizes**0.5 if sizes else 0.0"

FIRSTS = "enumerate(document[:-1])"
YES = 'found.append((first, document[place + 1], "yes"))'
MAYBE = "abs(other - place) > 1"
NO = 'found += [(first, second, "no") for second in foreign if second not in document]'
OTHERS = "if number != home:"

ALL, BEST = '"all": 13 * 900 + 6 * 13 * 275', '"best of 3": 13 * 900 + 6 * (150 + 3 * 275)'
AVERAGE, MIXTURE = '"average of 3": 13 * 900 + 6 * (150 + 275)', '"mixture of 3": 13 * 150 + 6 * (150 + 900 + 275)'
STORED = '"stored": (2 * 13 + 2 * 6) * 20 * 512'

BLIND = '"blind": 100 * (1 / 3 + 1 / 4 + 1 / 5 + 1 / 6 + 1 / 7 + 1 / 8 + 1 / 9) / 7'
ALWAYS = '"always I": 100 / 7 / 9'
FIVE = '"five": 100 * (0.7**5 + 5 * 0.7**4 * 0.3 + 10 * 0.7**3 * 0.3**2)'
COPIES = '"two copies": 100 * (0.7 * (1 - 0.3**3) + 0.3 * 0.7**3)'
WEAK = '"weak": 100 * (0.4**5 + 5 * 0.4**4 * 0.6 + 10 * 0.4**3 * 0.6**2)'

MASKED = "scores = scores.masked_fill(~mask, -torch.inf)"
VOTES = "votes = torch.nn.functional.one_hot(scores.argmax(2), scores.shape[2]).sum(0)"
AHEAD = "ahead = votes == votes.amax(1, keepdim=True)"
WINNER = "return scores.mean(0).masked_fill(~ahead, -torch.inf).argmax(1)"

TRIALS = "for trial in range(12):"
COUNTS = "count, shift = (1, 2, 5)[trial % 3], (0.0, 2.0)[trial % 2]"
COSINES = "cosines = torch.cosine_similarity(early.mean(1), target.mean(0)[None], dim=1)"
EXPECTED = "expected = ready[cosines.argmax()].clone()"
CLOSE = "        torch.testing.assert_close(found, expected)\n"
SAME = '            assert torch.equal(now, then), "an argument is changed"\n'
COPY = '        assert torch.equal(ready, before[2]), "who trains the start changes the source"\n'
READY = "ready = torch.randn(count, 4, 3, generator=generator)"

PROMPTS = "prompts = torch.cat([sources, own[None]])"
POOLED = "pooled = text.masked_fill(~mask[:, :, None], -torch.inf).amax(1)"
QUESTION = "question = torch.nn.functional.silu(pooled @ w_down.T) @ w_up.T"
WEIGHTS = "weights = (question @ prompts.amax(1).T / temperature).softmax(1)"
MIXED = 'return own + torch.einsum("bn,nlh->blh", weights, prompts)'

WRONG = [
    one("the start is not taken off", "change_similarities", (CHANGES, "changes = early + 0 * start")),
    one("the start is added", "change_similarities", (CHANGES, "changes = early + start")),
    one("the cosine is that of the mean changes", "change_similarities", (DIRECTIONS, "directions = changes"),
        (MEANS, "means = torch.nn.functional.normalize(directions.mean(1), dim=1)")),
    one("products are not divided by the lengths", "change_similarities", (DIRECTIONS, "directions = changes")),
    one("vectors are compared place by place", "change_similarities",
        (MEANS, "means = directions.flatten(1)"), (PRODUCT, "return means @ means.T / early.shape[1]")),
    one("the whole prompt is one long vector", "change_similarities",
        (DIRECTIONS, "directions = torch.nn.functional.normalize(changes.flatten(1), dim=1)"),
        (MEANS, "means = directions")),
    one("all pairs are added up, not averaged", "change_similarities", (MEANS, "means = directions.sum(1)")),
    one("lengths are taken over places, not over the numbers of a vector", "change_similarities",
        (DIRECTIONS, "directions = torch.nn.functional.normalize(changes, dim=1)")),
    one("a vector that has not changed gives nan", "change_similarities",
        (DIRECTIONS, "directions = changes / changes.norm(dim=2, keepdim=True)")),
    one("a vector that has not changed is left out of the mean", "change_similarities",
        (MEANS, "means = directions.sum(1) / changes.any(2).sum(1, keepdim=True).clamp(min=1)")),
    one("the diagonal is set to 1", "change_similarities",
        (PRODUCT, "return (means @ means.T).fill_diagonal_(1.0)")),
    one("the early prompts get no gradient", "change_similarities", (CHANGES, "changes = early.detach() - start")),
    one("sizes are taken, without signs", "change_similarities", (PRODUCT, "return (means @ means.T).abs()")),

    one("equal numbers all have their smallest rank", "rank_correlation",
        (RANKS, "ranks = [sum(x < y for x in numbers) + 1 for y in numbers]")),
    one("equal numbers all have their largest rank", "rank_correlation",
        (RANKS, "ranks = [sum(x <= y for x in numbers) for y in numbers]")),
    one("equal numbers are ranked as they stand in the list", "rank_correlation",
        (RANKS, "order = sorted(range(len(numbers)), key=lambda i: numbers[i])\n"
                "        ranks = [order.index(i) + 1 for i in range(len(numbers))]")),
    one("the numbers themselves are correlated, not their ranks", "rank_correlation", (RANKS, "ranks = numbers"),
        ("middle = (len(numbers) + 1) / 2", "middle = sum(numbers) / len(numbers)")),
    one("the short formula with squared differences is used, which does not hold where numbers are equal",
        "rank_correlation",
        (RETURNED, "n = len(one)\n    return 1 - 6 * sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) "
                   "/ (n * (n * n - 1)) if sizes else 0.0")),
    one("ranks are counted from the largest in one of the lists", "rank_correlation",
        (RETURNED, "return -products / sizes**0.5 if sizes else 0.0")),
    one("the size of the correlation comes back, without its sign", "rank_correlation",
        (RETURNED, "return abs(products) / sizes**0.5 if sizes else 0.0")),
    one("it is divided by the product of the variances, not of the deviations", "rank_correlation",
        (RETURNED, "return products / sizes if sizes else 0.0")),
    one("the covariance comes back", "rank_correlation",
        (RETURNED, "return products / len(one) if sizes else 0.0")),
    one("a list without order gives 1", "rank_correlation", (RETURNED, RETURNED.replace("else 0.0", "else 1.0"))),
    one("a list without order gives nan", "rank_correlation",
        (RETURNED, RETURNED.replace("else 0.0", 'else float("nan")'))),
    one("it is squared", "rank_correlation", (RETURNED, "return products**2 / sizes if sizes else 0.0")),
    one("only pairs in the same order are counted, as in Kendall's tau", "rank_correlation",
        (RETURNED, "pairs = [(i, j) for i in range(len(one)) for j in range(i)]\n"
                   "    signs = [(one[i] - one[j]) * (other[i] - other[j]) for i, j in pairs]\n"
                   "    return sum((s > 0) - (s < 0) for s in signs) / len(pairs) if sizes else 0.0")),

    one("the last sentence is a first, too, and what follows it is the first sentence", "labelled_pairs",
        (FIRSTS, "enumerate(document)"), (YES, YES.replace("place + 1", "(place + 1) % len(document)"))),
    one("the sentence before counts as yes", "labelled_pairs",
        (YES, YES + '\n            if place:\n                found.append((first, document[place - 1], "yes"))')),
    one("the sentence before counts as maybe", "labelled_pairs", (MAYBE, "other - place not in (0, 1)")),
    one("maybe are only sentences that come later", "labelled_pairs", (MAYBE, "other - place > 1")),
    one("maybe are only sentences that come earlier", "labelled_pairs", (MAYBE, "place - other > 1")),
    one("a sentence is maybe with itself", "labelled_pairs", (MAYBE, "abs(other - place) != 1")),
    one("the following sentence is maybe as well", "labelled_pairs", (MAYBE, "other - place not in (0, -1)")),
    one("sentences that stand in both documents are no", "labelled_pairs",
        (NO, NO.replace(" if second not in document", ""))),
    one("only the first sentence of another document is left out, not its own ones", "labelled_pairs",
        (NO, NO.replace("second not in document", "second != first"))),
    one("the sentences of the own document are no as well", "labelled_pairs", (OTHERS, "if number >= 0:"),
        (NO, NO.replace("second not in document", "second != first"))),
    one("no are only the documents that come later", "labelled_pairs", (OTHERS, "if number > home:")),
    one("no is only the next document", "labelled_pairs", (OTHERS, "if number == home + 1:")),
    one("yes and no are exchanged", "labelled_pairs", (YES, YES.replace('"yes"', '"no"')),
        (NO, NO.replace('"no"', '"yes"'))),
    one("first and second are exchanged", "labelled_pairs",
        (YES, 'found.append((document[place + 1], first, "yes"))')),
    one("the answer stands in front", "labelled_pairs", ("    return found\n\n\nCOSTS",
        "    return [(word, first, second) for first, second, word in found]\n\n\nCOSTS")),

    one("the sources' own steps are forgotten in the search of all", "costs", (ALL, '"all": 6 * 13 * 275')),
    one("a source is trained anew for every target", "costs", (ALL, '"all": 6 * 13 * (900 + 275)')),
    one("every target has an early prompt, though nobody asks for similarity", "costs",
        (ALL, '"all": 13 * 900 + 6 * (150 + 13 * 275)')),
    one("the targets' early prompts are forgotten", "costs", (BEST, '"best of 3": 13 * 900 + 6 * 3 * 275')),
    one("only one source is tried", "costs", (BEST, '"best of 3": 13 * 900 + 6 * (150 + 275)')),
    one("the sources' early prompts are paid once more", "costs",
        (BEST, '"best of 3": 13 * (900 + 150) + 6 * (150 + 3 * 275)')),
    one("an early prompt is paid for each source that is tried", "costs",
        (BEST, '"best of 3": 13 * 900 + 6 * 3 * (150 + 275)')),
    one("only three sources are trained, for all targets", "costs",
        (BEST, '"best of 3": 3 * 900 + 6 * (150 + 3 * 275)')),
    one("three targets are tuned for an average", "costs", (AVERAGE, '"average of 3": 13 * 900 + 6 * (150 + 3 * 275)')),
    one("the average needs no early prompt of the target", "costs", (AVERAGE, '"average of 3": 13 * 900 + 6 * 275')),
    one("the sources are trained to their end before they are mixed", "costs",
        (MIXTURE, '"mixture of 3": 13 * 900 + 6 * (150 + 900 + 275)')),
    one("one mixture serves all targets", "costs", (MIXTURE, '"mixture of 3": 13 * 150 + 900 + 6 * (150 + 275)')),
    one("a mixture takes the steps of three sources", "costs",
        (MIXTURE, '"mixture of 3": 13 * 150 + 6 * (150 + 3 * 900 + 275)')),
    one("the early prompts are not on disk", "costs", (STORED, '"stored": (13 + 6) * 20 * 512')),
    one("all three tries of a target are kept", "costs", (STORED, '"stored": (2 * 13 + 4 * 6) * 20 * 512')),

    one("one over the mean number of options", "guesses", (BLIND, '"blind": 100 / 6')),
    one("all options of all questions are one heap", "guesses",
        (BLIND, '"blind": 100 * 7 / (3 + 4 + 5 + 6 + 7 + 8 + 9)')),
    one("the number of options is taken to be the largest", "guesses", (BLIND, '"blind": 100 / 9')),
    one("the mean is taken from 2 options on", "guesses",
        (BLIND, '"blind": 100 * (1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6 + 1 / 7 + 1 / 8 + 1 / 9) / 8')),
    one("every question is taken to have nine options", "guesses", (ALWAYS, '"always I": 100 / 9')),
    one("I is right wherever there are nine options", "guesses", (ALWAYS, '"always I": 100 / 7')),
    one("all five must be right", "guesses", (FIVE, '"five": 100 * 0.7**5')),
    one("exactly three are right", "guesses", (FIVE, '"five": 100 * 10 * 0.7**3 * 0.3**2')),
    one("one right member is enough", "guesses", (FIVE, '"five": 100 * (1 - 0.3**5)')),
    one("the ways are not counted", "guesses", (FIVE, '"five": 100 * (0.7**5 + 0.7**4 * 0.3 + 0.7**3 * 0.3**2)')),
    one("a vote is as good as its members", "guesses", (FIVE, '"five": 70.0')),
    one("copies count as independent members", "guesses",
        (COPIES, '"two copies": 100 * (0.7**5 + 5 * 0.7**4 * 0.3 + 10 * 0.7**3 * 0.3**2)')),
    one("the copies have one vote between them, of four, and two of four are not enough", "guesses",
        (COPIES, '"two copies": 100 * (0.7**4 + 4 * 0.7**3 * 0.3)')),
    one("the copies always decide", "guesses", (COPIES, '"two copies": 70.0')),
    one("a vote makes weak members better", "guesses",
        (WEAK, '"weak": 100 * (1 - (0.4**5 + 5 * 0.4**4 * 0.6 + 10 * 0.4**3 * 0.6**2))')),

    one("the mean is added to the votes and can outvote them", "vote", (AHEAD, "pass"),
        (WINNER, "return (votes + scores.mean(0)).argmax(1)")),
    one("the mean outvotes a tie of thousands", "vote", (AHEAD, "pass"),
        (WINNER, "return (1000 * votes + scores.mean(0)).argmax(1)")),
    one("probabilities break the tie, which a high score rounds away", "vote", (AHEAD, "pass"),
        (WINNER, "return (votes + scores.mean(0).softmax(1)).argmax(1)")),
    one("there is no vote: the best mean wins", "vote", (AHEAD, "pass"), (VOTES, "pass"),
        (WINNER, "return scores.mean(0).argmax(1)")),
    one("a tie goes to the first candidate", "vote", (AHEAD, "pass"), (WINNER, "return votes.argmax(1)")),
    one("a tie goes to the last candidate", "vote", (AHEAD, "pass"),
        (WINNER, "return votes.shape[1] - 1 - votes.flip(1).argmax(1)")),
    one("a tie goes to the lowest mean", "vote",
        (WINNER, "return (-scores.mean(0)).masked_fill(~ahead, -torch.inf).argmax(1)")),
    one("a tie goes to what the first member likes", "vote", (WINNER, WINNER.replace("scores.mean(0)", "scores[0]"))),
    one("a tie goes to what any member likes most", "vote",
        (WINNER, WINNER.replace("scores.mean(0)", "scores.amax(0)"))),
    one("a tie is broken by the middle member, not by the mean", "vote",
        (WINNER, WINNER.replace("scores.mean(0)", "scores.median(0).values"))),
    one("candidates that are not real are voted for", "vote", (MASKED, "scores = scores + 0.0")),
    one("the first member decides alone", "vote", (VOTES, VOTES.replace(".sum(0)", "[0]"))),
    one("likelihoods are averaged in place of log-likelihoods", "vote", (AHEAD, "pass"), (VOTES, "pass"),
        (WINNER, "return scores.exp().mean(0).argmax(1)")),
    one("the candidate with the fewest votes wins", "vote",
        (AHEAD, "ahead = votes == votes.masked_fill(~mask, 99).amin(1, keepdim=True)")),
    one("the most votes of any row count for all rows", "vote", (AHEAD, "ahead = votes == votes.max()")),
    one("members vote for what they find the least likely", "vote",
        (VOTES, VOTES.replace("scores.argmax(2)", "scores.masked_fill(~mask, torch.inf).argmin(2)"))),
    one("the scores are masked in place", "vote", (MASKED, "scores.masked_fill_(~mask, -torch.inf)")),

    one("nothing is checked", "check_start", (CLOSE, ""), (SAME, "            pass\n"), (COPY, "")),
    one("the result is not looked at", "check_start", (CLOSE, "        assert found.shape == expected.shape\n")),
    one("arguments may be changed", "check_start", (SAME, "            pass\n")),
    one("nobody looks whether it is a copy", "check_start", (COPY, "")),
    one("there is a single source", "check_start", (COUNTS, "count, shift = 1, 0.0")),
    one("ready prompts are the early ones", "check_start", (READY, "ready = early.clone()")),
    one("it is called once", "check_start", (TRIALS, "for trial in range(1):")),
    one("the early prompt is expected", "check_start", (EXPECTED, "expected = early[cosines.argmax()].clone()")),
    one("the least similar is expected", "check_start", (EXPECTED, "expected = ready[cosines.argmin()].clone()")),
    one("cosines of all numbers in a row are expected", "check_start",
        (COSINES, "cosines = torch.cosine_similarity(early.flatten(1), target.flatten()[None], dim=1)")),
    one("products are expected in place of cosines", "check_start",
        (COSINES, "cosines = early.mean(1) @ target.mean(0)")),
    one("only shape and numbers that are finite are asked for", "check_start",
        (CLOSE, "        assert found.isfinite().all() and found.shape == target.shape\n"), (COPY, "")),
    one("a truth value comes back in place of an assert", "check_start", (CLOSE,
        "        if not torch.equal(found, expected):\n            return False\n")),
    one("it is expected to be the source's own tensor", "check_start",
        (CLOSE, CLOSE + "        assert found.data_ptr() == ready[cosines.argmax()].data_ptr()\n"), (COPY, "")),

    one("own is not among the prompts that are weighted", "attend_to_sources",
        (PROMPTS, "prompts = sources if len(sources) else torch.zeros_like(own)[None]")),
    one("own is not added once more", "attend_to_sources", (MIXED, MIXED.replace("own + ", ""))),
    one("padding asks, too", "attend_to_sources", (POOLED, "pooled = text.amax(1)")),
    one("padding counts as zeros", "attend_to_sources", (POOLED, "pooled = (text * mask[:, :, None]).amax(1)")),
    one("the mean over the words asks", "attend_to_sources",
        (POOLED, "pooled = (text * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)")),
    one("a prompt answers with its mean", "attend_to_sources", (WEIGHTS, WEIGHTS.replace("amax(1)", "mean(1)"))),
    one("a prompt answers with its first vector", "attend_to_sources",
        (WEIGHTS, WEIGHTS.replace("prompts.amax(1).T", "prompts[:, 0].T"))),
    one("scores are multiplied by the temperature", "attend_to_sources",
        (WEIGHTS, WEIGHTS.replace("/ temperature", "* temperature"))),
    one("there is no temperature", "attend_to_sources", (WEIGHTS, WEIGHTS.replace(" / temperature", ""))),
    one("the softmax runs over the texts", "attend_to_sources", (WEIGHTS, WEIGHTS.replace("softmax(1)", "softmax(0)"))),
    one("there is no softmax", "attend_to_sources", (WEIGHTS, WEIGHTS.replace(".softmax(1)", ""))),
    one("relu stands for silu", "attend_to_sources", (QUESTION, QUESTION.replace("functional.silu", "relu"))),
    one("there is no silu", "attend_to_sources", (QUESTION, "question = pooled @ w_down.T @ w_up.T")),
    one("silu comes behind w_up", "attend_to_sources",
        (QUESTION, "question = torch.nn.functional.silu(pooled @ w_down.T @ w_up.T)")),
    one("all texts have the weights of the first", "attend_to_sources",
        (WEIGHTS, WEIGHTS + "[:1].expand(len(text), -1)")),
    one("only the likeliest prompt is taken", "attend_to_sources",
        (MIXED, "return own + prompts[weights.argmax(1)] + 0 * weights.sum()")),
    one("own gets no gradient from the sum", "attend_to_sources",
        (PROMPTS, "prompts = torch.cat([sources, own[None]]).detach()"),
        (MIXED, MIXED.replace("own + ", "own.detach() + "))),
    one("the weights get no gradient", "attend_to_sources", (MIXED, MIXED.replace("weights,", "weights.detach(),"))),
]  # fmt: skip
