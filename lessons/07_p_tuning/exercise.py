"""Chapter 07, P-tuning: your answers. Write in place of `raise NotImplementedError` and `...`.

    pytest lessons/07_p_tuning
    python -m minipeft hint 07

Letters: texts are lists of token ids, `width` is the size of a vector, `batch` a number of rows. Tags are numbers: 0
for a token that belongs to no name, and from 1 on for the kinds of names. Everything that is trained is float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def fill_template(
    template: list[int | str], firsts: list[list[int]], seconds: list[list[int]], words: Tensor, virtual: Tensor
) -> tuple[Tensor, Tensor]:
    """Implement: the vectors that a model reads, (batch, longest, width), and which of them are real, (batch, longest).

    template is a list of parts, in their order: "V" is the next virtual token, "first" and "second" are the two parts
    of the text, and a number is an anchor, the id of a word that stands there as it is. The first "V" has the vector
    virtual[0], the second virtual[1], and so on: virtual (count, width). firsts[i] and seconds[i] are the ids of row i;
    they may be empty, and each part of the text stands in the template at most once. words (vocabulary, width) has the
    vectors of all words. Shorter rows are filled up at the end with zeros; the mask, a bool tensor, is False there.
    Gradients must reach words and virtual.
    """
    raise NotImplementedError


def tags_of_names(ends: list[int], names: list[tuple[int, int, int]]) -> list[int]:
    """Implement: a tag for every token, with which two names side by side can be told apart.

    Token n of a text stands for its letters from ends[n - 1] (token 0: from 0) up to, but without, ends[n]; ends never
    falls, and a token whose end is that of the one before stands for no letter. names lists (begin, end, kind), the
    letters from begin up to, but without, end, with kind 1, 2, ...; names do not overlap, and stand in any order. The
    first token that has a letter of a name has the tag 2 * kind - 1 ("a name begins"), every later one with a letter
    of it has 2 * kind ("it goes on"). All others have 0. A space before a name may belong to its first token. No token
    has letters of two names.
    """
    raise NotImplementedError


def names_of_tags(tags: list[int], starts: list[bool]) -> list[tuple[int, int, int]]:
    """Implement: from tags back to names, (first token, last token, kind), in the order of the text.

    Tags are those of `tags_of_names`: 2 * kind - 1 begins a name, 2 * kind goes on. starts[n] says whether a word
    begins at token n; a word goes up to the next token that starts one, and starts[0] is True. A model tags each token
    alone, so a word may have several tags: the tag of its last token counts for the whole word, since only that one has
    seen it all. A word that goes on begins a name nevertheless, where the word before is of no name, or of one of
    another kind.
    """
    raise NotImplementedError


# Predict: how many numbers? No code: write the arithmetic, as 3 * (4 + 5). The model is a T5 v1.1 with 9 layers in the
# encoder and 7 in the decoder, width 320, 5 heads of 48. Linear layers have biases; PyTorch's LSTM has two of them for
# each of its four gates. The task has 11 tags beside "none".
COUNTS = {
    # Moved while 14 virtual tokens come out of version 1's LSTM encoder: vectors e of the width, two layers of an LSTM
    # in both directions, each with half the width, and two linear layers.
    "lstm": ...,
    # Moved while they come out of an MLP: the vectors e, and three linear layers of the width.
    "mlp": ...,
    # In the file afterwards, whichever it was, without a head.
    "stored": ...,
    # In the file of version 2 with a prompt of 14 in the top 4 layers of each stack and a linear head with a bias for
    # 5 labels and the end of a text.
    "labels": ...,
    # In the file of version 2 with a prompt of 14 in all layers that a tagger needs, and a token head.
    "tags": ...,
}

# Predict: what changes with one number? We add 1 to it, and count places: one token behind one layer, or one vector.
# Nothing is padding. The T5 has 5 layers in the encoder and 4 in the decoder. Layers are counted from 1.
REACH = {
    # One number of e_4, the fourth of 9 virtual tokens: the vectors that an LSTM encoder as version 1's gives for them.
    "lstm": ...,
    # The same where an LSTM of one layer reads from the first to the last only, and nothing else is different.
    "lstm, one direction": ...,
    # The same with an MLP.
    "mlp": ...,
    # The template is 2 virtual tokens, 23 words, 2 virtual tokens, 41 words, 1 virtual token, in a GPT of 6 layers: the
    # hidden states, those of virtual tokens included, that change with one number of the fourth virtual token's vector.
    # Nothing is written.
    "gpt": ...,
    # Version 2 in the T5 has a prompt in the top 2 layers of each stack. The source has 31 words, the answer 53: hidden
    # states that change with one number of a value in the lower of the encoder's two.
    "top": ...,
    # The same T5 with a prompt in the bottom 2 layers of each stack, and one number of a value in the upper of the two
    # in cross-attention.
    "bottom": ...,
}


def tagging_loss(states: Tensor, tags: list[list[int]], weight: Tensor, bias: Tensor) -> Tensor:
    """Repair: the loss of a token head, a number: the mean cross-entropy over all tokens of all texts.

    states (batch, prompt + longest, width): the encoder's output behind a prompt that stands before every text. Texts
    are filled up at their end. tags[i] has a tag for every token of text i, not for the prompt and not for padding.
    weight (kinds, width), bias (kinds,): the head, which reads states that are divided by the root of the mean of their
    squares, each for itself. Gradients must reach states, weight and bias.
    """
    raise NotImplementedError  # remove this line, then find the mistake below
    longest = max(len(row) for row in tags)
    losses = []
    for state, row in zip(states, tags, strict=True):
        own = state[-longest:][: len(row)]
        scores = own / own.square().mean(1, keepdim=True).sqrt() @ weight.T + bias  # (length, kinds)
        losses.append(torch.nn.functional.cross_entropy(scores, torch.tensor(row)))
    return torch.stack(losses).mean()


def check_virtual(implementation: Callable[..., Tensor]) -> None:
    """Prove: raise AssertionError unless `implementation` gives virtual tokens and words the vectors that are theirs.

    implementation(ids, words, virtual) -> (batch, length, width), with ids (batch, length), int64, words (vocabulary,
    width) and virtual (count, width). An id below vocabulary is that word; the ids from vocabulary on are the virtual
    tokens, in their order, which may stand anywhere in a row, more than once, or not at all. A right one works for any
    numbers of words and of virtual tokens, call after call; it leaves its arguments as they are, and gradients reach
    words and virtual, each from its own places alone. Use inputs of your choice, and `assert` or
    torch.testing.assert_close; return nothing.
    """
    raise NotImplementedError


def loss_of_tasks(
    states: Tensor, task: Tensor, label: Tensor, weights: list[Tensor], biases: list[Tensor], share: Tensor
) -> Tensor:
    """Extend: one prompt for several tasks, a head for each: the loss of a mixed batch, a number.

    states (batch, width): what the base with the common prompt gives for each row. task (batch,), int64: row i belongs
    to task[i]; the head of task t is weights[t] (labels, width) and biases[t] (labels,). Tasks have different numbers
    of labels. label (batch,), int64, is the right one among those of the row's own task. The loss of a task is the mean
    cross-entropy of its rows, however many they are. The result is the mean of these losses over the tasks that have
    rows here, weighted by share (tasks,), positive numbers whose sum is anything. Gradients must reach states and the
    heads of all tasks that have rows.
    """
    raise NotImplementedError
