"""Chapter 08, prompts that travel: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/08_prompt_transfer
    python -m minipeft hint 08

Letters: a prompt has `length` vectors, each of `hidden` numbers. An early prompt is one after few steps of training; a
ready one is trained to its end. Tensors are float32, scores are percent.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def change_similarities(early: Tensor, start: Tensor) -> Tensor:
    """Implement: how alike tasks are by what training has changed, (tasks, tasks).

    early (tasks, length, hidden) are the early prompts of all tasks; start (length, hidden) is the prompt from which
    every one of them began. The change of a vector is the early one minus the one at the start. Entry (a, b) is the
    mean of the cosines of all pairs, a change of task a and one of task b: length * length pairs, and as many on the
    diagonal. A vector that has not changed has no direction: its cosines count as 0. Gradients must reach early.
    """
    raise NotImplementedError


def rank_correlation(first: list[float], second: list[float]) -> float:
    """Implement: Spearman's rank correlation of two lists of equal length, at least 2; a number from -1 to 1.

    The smallest number has rank 1. Equal numbers share the mean of the ranks that they take up: 5, 7, 7, 9 have the
    ranks 1, 2.5, 2.5, 4. The correlation is Pearson's, of the ranks: their covariance over the product of their
    standard deviations. Where all numbers of a list are equal, there is no order to speak of: 0.0.
    """
    raise NotImplementedError


def labelled_pairs(documents: list[list[str]]) -> list[tuple[str, str, str]]:
    """Implement: PPT's questions on pairs of sentences, all that can be asked: (first, second, answer).

    documents: each a list of at least two sentences, all of them different within it; a sentence may stand in several
    documents. Go through the documents and their sentences in order. Each sentence but the last of its document is a
    first, and gives these pairs one after the other: with the sentence that follows it, "yes"; with each sentence of
    its document that is not next to it on either side and not itself, in order, "maybe"; with each sentence of every
    other document, in order, "no", unless that sentence stands in the first's own document as well.
    """
    raise NotImplementedError


# Predict: how many? No code: write the arithmetic, as 3 * (4 + 5). There are 13 sources and 6 targets; no target is a
# source. A source's prompt takes 900 steps, and its early prompt is what it is after 150 of them, kept on the way. A
# target's early prompt is a run of its own, from a new prompt, of 150 steps. From a start, a target takes 275 steps. A
# prompt has 20 vectors of 512 numbers. Steps count each time they are made, for sources and all targets together.
COSTS = {
    # Steps: every source is tried on every target, and the best is kept. Nobody asks for similarity.
    "all": ...,
    # Steps: of each target, only the 3 most similar sources are tried.
    "best of 3": ...,
    # Steps: each target starts from the average of its 3 most similar sources.
    "average of 3": ...,
    # Steps: each target starts from one prompt that was tuned on its 3 most similar sources together, in 900 steps. No
    # source is trained on its own for longer than similarity asks for.
    "mixture of 3": ...,
    # Numbers on disk for the best of 3: all prompts, early and ready, of the sources; of each target, the early prompt
    # and the one result that is kept.
    "stored": ...,
}

# Predict: which score, in percent? Arithmetic again; two digits behind the point are enough. First, the form "unified"
# with 3 to 9 options, each number of options equally often, and the right one at each place equally often.
GUESSES = {
    # Somebody draws one of the options at random.
    "blind": ...,
    # Somebody always answers with the ninth letter, I, and is wrong where there is none.
    "always I": ...,
    # Now votes, on questions of yes or no. Five members are right on 70% of the texts each, and independent.
    "five": ...,
    # The same, but two of the five are copies: they always say the same. The other three are independent.
    "two copies": ...,
    # Five independent members that are right on 40% of the texts each.
    "weak": ...,
}


def vote(scores: Tensor, mask: Tensor) -> Tensor:
    """Repair: the answer of an ensemble, (batch,), int64: the number of a candidate.

    scores (members, batch, candidates): log-likelihoods. mask (batch, candidates), True: a real candidate; the others
    fill up the row, whatever their scores are. Every member votes for the real candidate that is the likeliest to it.
    The candidate with most votes wins; among those with equally many, the one whose mean log-likelihood over all
    members is the highest. Each row has a real candidate. No argument is changed.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    scores = scores.masked_fill(~mask, -torch.inf)
    votes = torch.nn.functional.one_hot(scores.argmax(2), scores.shape[2]).sum(0)  # (batch, candidates)
    return (votes + scores.mean(0)).argmax(1)


def check_start(implementation: Callable[..., Tensor]) -> None:
    """Prove: raise AssertionError unless `implementation` finds the start of a target's prompt as it should.

    implementation(target, early, ready) -> (length, hidden), with target (length, hidden), the early prompt of the
    target; early and ready (sources, length, hidden), the early and the ready prompts of the sources. It compares early
    prompts with one another: by the cosine of their mean vectors. Of the source that is most similar it gives back the
    ready prompt, as a copy: who trains it on must not change the source's. No argument is changed; sources may be one
    or many; call after call is on its own. Use inputs of your choice, and `assert` or torch.testing.assert_close;
    return nothing.
    """
    raise NotImplementedError


def attend_to_sources(
    text: Tensor, mask: Tensor, own: Tensor, sources: Tensor, w_down: Tensor, w_up: Tensor, temperature: float
) -> Tensor:
    """Extend: a mixture of source prompts, another one for each text, after ATTEMPT: (batch, length, hidden).

    text (batch, words, hidden), embedded; mask (batch, words), True: real, at least one in each row. own (length,
    hidden): the target's own prompt. sources (n, length, hidden): frozen prompts. w_down (inner, hidden), w_up (hidden,
    inner). A text asks: the maximum over its real words, number by number, through w_down, silu and w_up. Each of the
    n + 1 prompts, the sources and then own, answers with the maximum over its own vectors. Question times answer, over
    the temperature, are the scores, and their softmax over the n + 1 prompts the weights. The result is own plus the
    weighted sum of all n + 1 prompts. Gradients must reach own, w_down and w_up.
    """
    raise NotImplementedError
