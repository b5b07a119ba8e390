"""Chapter 04, hard prompts: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/04_hard_prompts
    python -m minipeft hint 04

Letters: a score is a log-likelihood in nats: the logarithm of how likely a label's word is behind a text. `scores`
(texts, labels) has a row for each text. Scores need not be probabilities of labels: a row's exponentials add up to less
than 1, because most of the probability goes to other words.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def label_scores(token_scores: Tensor, real: Tensor, label_of_word: Tensor) -> Tensor:
    """Implement: from the scores of tokens to those of labels, (texts, labels), where a label may have several words.

    token_scores (texts, words, length): the score of every token of every word, given the text and the word's tokens
    before it. real (words, length), bool: False where a shorter word is filled up; whatever stands there in
    token_scores, even -inf or nan, counts nothing. label_of_word (words,), int64: whose word it is; labels are numbered
    from 0 and each has at least one word, in any order.
    A label's score is the logarithm of the *mean probability* of its words. (The library takes the mean of the
    logarithms.) Probabilities may be as small as exp(-900), which no float holds: never leave the logarithms with them.
    A finite gradient must reach token_scores.
    """
    raise NotImplementedError


def calibrate(scores: Tensor, content_free: Tensor) -> Tensor:
    """Implement: contextual calibration as Zhao et al. have it, (texts, labels): logarithms of probabilities.

    scores (texts, labels); content_free (inputs, labels): the scores of the same labels behind texts without content.
    1. Of each content-free input, make probabilities of the labels, which add up to 1. 2. Their mean over the inputs is
    the prior: a mean of probabilities, where the chapter takes one of logarithms. 3. Divide each text's probabilities
    by the prior, and make them add up to 1 again. Scores may be as low as -900. A gradient must reach both arguments.
    """
    raise NotImplementedError


def honest_accuracy(right: Tensor) -> float:
    """Implement: what choosing a wording is worth, in percent, where no text is left over to test the choice.

    right (wordings, texts), bool: whether a wording answers a text rightly. For every text choose the wording that is
    right most often on all *other* texts (of equal ones the first), and look whether it is right on this one. Return
    100 times the share of texts for which it is. There are at least one wording and two texts.
    """
    raise NotImplementedError


class LabelPrior:
    """Repair: the mean score of each label over all texts that came by, batch after batch; no text is kept.

    add: scores (n, labels), n >= 1; the n differ from batch to batch. without: scores (texts, labels) less the mean of
    each label over all texts that were added so far, as new numbers; before the first batch the mean is 0. `texts` is
    how many were added, `mean` (labels,) their mean. No argument is changed.
    """

    def __init__(self, labels: int):
        raise NotImplementedError  # remove this line, then find the mistake below
        self.mean = torch.zeros(labels)
        self.texts = 0

    def add(self, scores: Tensor) -> None:
        self.texts += len(scores)
        self.mean = self.mean + (scores.mean(0) - self.mean) / self.texts

    def without(self, scores: Tensor) -> Tensor:
        return scores - self.mean


# Predict: what do demonstrations cost? No code: write the arithmetic, as 3 * (4 + 5). The base is a T5, its encoder has
# 3 layers: width 88, 4 heads of 22, gated feed-forward layers with 112 inside. Every review has 13 tokens. The template
# is "{source} All in all, it was": 6 tokens behind the review. "good." and "bad." have 2 tokens each.
COST = {
    # How many tokens does the encoder read for one review behind 7 demonstrations? A demonstration is another review in
    # the same template, and its answer. At the very end stands end-of-sequence, once.
    "tokens": ...,
    # Multiplications in the products of matrices of the encoder for that source: linear maps, scores (q k^T) and the
    # weighted means of the values. All places look at all places.
    "multiplications": ...,
    # How often must the encoder read a source to try 23 templates with 4 verbalizers on 30 dev texts, without
    # demonstrations? Whatever need not be read again is not read again.
    "readings": ...,
    # And to try 23 templates with 4 verbalizers, each behind 3 draws of 7 demonstrations, on the same 30 dev texts?
    "readings behind demonstrations": ...,
}


def check_render(render: Callable[[str, list[tuple[str, str]], dict[str, str], str], str]) -> None:
    """Prove: raise AssertionError unless `render(template, demonstrations, words, source)` writes prompts rightly.

    template: a text in which "{source}" stands once. demonstrations: a list of pairs (source, label). words: the word
    for each label. The prompt is: for each demonstration, in the given order, the template with the demonstration's
    source in it, a space, the word for its label, and a space; then the template with `source` in it, and nothing more.
    Without demonstrations it is the filled template alone. Sources are text: whatever they hold, braces, spaces at the
    ends or "{source}", stands in the prompt as it is. Two calls with the same arguments give the same; the arguments
    stay as they are. Use `assert`; return nothing.
    """
    raise NotImplementedError


def rank_orders(scores: Tensor) -> Tensor:
    """Extend: the numbers of all orders of some demonstrations, the most promising first, (orders,) int64: no labels.

    After Lu et al. 2022 (global entropy). scores (orders, texts, labels): behind the demonstrations in each order, the
    scores of some unlabelled texts. An order that makes the model give nearly the same label to every text is a bad
    one. So: take the likeliest label of every text; of each order, the share of the texts that each label got; and the
    entropy of these shares, -sum share log(share), where a share of 0 adds 0. Sort by entropy, the highest first; of
    entropies that are equal when rounded to six decimals, the order with the lower number goes first.
    """
    raise NotImplementedError
