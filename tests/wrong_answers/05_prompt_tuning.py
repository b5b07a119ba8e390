"""Plausible mistakes in the exercises of chapter 05, as edits of its solution."""

from minipeft.course.wrong_answers import WrongAnswer

VECTORS = "torch.cat([vectors[:, :behind], copies, vectors[:, behind:]], dim=1)"
MASKS = "torch.cat([mask[:, :behind], seen, mask[:, behind:]], dim=1)"
COUNT = "150 * width for"
PREPEND = [
    ("the prompt always stands before the text", [
        (VECTORS, "torch.cat([copies, vectors], dim=1)"), (MASKS, "torch.cat([seen, mask], dim=1)")]),
    ("the prompt is put behind the text", [(VECTORS, "torch.cat([vectors, copies], dim=1)")]),
    ("`behind` is counted from the end of the text", [
        (VECTORS, VECTORS.replace("behind", "len(vectors[0]) - behind")),
        (MASKS, MASKS.replace("behind", "len(mask[0]) - behind"))]),
    ("the mask is not made longer", [(MASKS, "mask")]),
    ("the mask grows at the wrong end", [(MASKS, "torch.cat([mask, seen], dim=1)")]),
    ("the mask grows at the front, wherever the prompt stands", [(MASKS, "torch.cat([seen, mask], dim=1)")]),
    ("the padding of the texts becomes visible", [
        (MASKS, MASKS.replace("mask[:, behind:]", "mask[:, behind:] | True"))]),
    ("the text is cut to keep its length", [
        (VECTORS, VECTORS.replace("vectors[:, behind:]", "vectors[:, behind : -len(prompt)]"))]),
    ("the prompt is written over the tokens in its place", [
        (VECTORS, VECTORS.replace("vectors[:, behind:]", "vectors[:, behind + len(prompt) :]"))]),
    ("the prompt's vectors are in reversed order", [(VECTORS, VECTORS.replace("copies,", "copies.flip(1),"))]),
    ("the prompt is cut off from its gradient", [("prompt.repeat(", "prompt.detach().repeat(")]),
    ("the mask is no longer bool", [
        ("torch.ones(copies.shape[:2], dtype=torch.bool)", "torch.ones(copies.shape[:2])")]),
    ("the mask hides the prompt", [("torch.ones(copies", "torch.zeros(copies")]),
]  # fmt: skip
HEARD = "context, mask)\n"
LOGITS = [
    ("cross-attention gets the mask of the text alone", HEARD, "context, source_mask)\n"),
    ("cross-attention sees the padding", HEARD, "context, torch.ones_like(mask))\n"),
    (
        "the cross-attention mask grows at the wrong end",
        HEARD,
        "context, torch.cat([source_mask, source_mask.new_ones(len(source), len(prompt))], 1))\n",
    ),
    (
        "the decoder cannot look at the prompt's places",
        HEARD,
        "context[:, len(prompt) :], mask[:, len(prompt) :])\n",
    ),
    ("the encoder sees the padding", "model.encoder(vectors, mask)", "model.encoder(vectors, torch.ones_like(mask))"),
    (
        "the decoder reads each token that it is to write",
        "torch.cat([start, answer[:, :-1]], dim=1)",
        "answer",
    ),
    ("the decoder starts with end-of-sequence", "model.config.start", "model.config.eos"),
    (
        "the decoder looks at the embedded text, not at the encoder's output",
        "context, _ = model.encoder(vectors, mask)",
        "context = vectors",
    ),
    (
        "the prompt stands before the decoder, too",
        "hidden, _ = model.decoder(model.embedding(read), torch.ones_like(read, dtype=torch.bool), context, mask)",
        "hidden, _ = model.decoder(*prepend_prompt(prompt, model.embedding(read), read >= 0), context, mask)\n"
        "    hidden = hidden[:, len(prompt) :]",
    ),
]
UNIFORM = "torch.empty(length, table.shape[1]).uniform_(-0.5, 0.5)"
DRAWN = "frequent[torch.randperm(len(frequent))[: length - len(means)]]"
MEAN = "table[ids].mean(0, keepdim=True)"
START = [
    ("the uniform start is drawn from 0 to 1", UNIFORM, "torch.rand(length, table.shape[1])"),
    ("a normal distribution is drawn from", UNIFORM, "torch.randn(length, table.shape[1])"),
    ("all vectors are one draw", UNIFORM, UNIFORM.replace("length", "1") + ".repeat(length, 1)"),
    ("the prompt starts at zero", UNIFORM, "torch.zeros(length, table.shape[1])"),
    ("the whole vocabulary is drawn from", DRAWN, "torch.randperm(len(table))[: length - len(means)]"),
    ("the most frequent tokens are taken and not drawn", DRAWN, "frequent[: length - len(means)]"),
    (
        "a token can be drawn twice",
        DRAWN,
        "frequent[torch.randint(len(frequent), (length - len(means),))]",
    ),
    ("the labels' places are drawn once more", DRAWN, "frequent[torch.randperm(len(frequent))[:length]]"),
    ("only a label's first token is taken", MEAN, "table[ids[:1]]"),
    ("a label's tokens are summed", MEAN, "table[ids].sum(0, keepdim=True)"),
    (
        "the labels stand behind the drawn tokens",
        "torch.cat([*means, table[drawn]])",
        "torch.cat([table[drawn], *means])",
    ),
    (
        "the labels are repeated in the places left over",
        "torch.cat([*means, table[drawn]])",
        "torch.cat([*means * length, table[drawn]][:length])",
    ),
]
COUNTS = [
    ("a prompt is counted for every layer", "150 * width * layers for"),
    ("keys and values of every layer are counted, as in prefix tuning", "2 * 150 * width * layers for"),
    ("encoder and decoder are given a prompt each", "2 * 150 * width for"),
    ("vectors are counted and not numbers", "150 for"),
    ("bytes are counted, at four for each number", "4 * 150 * width for"),
    ("the optimizer's two states are counted, too", "3 * 150 * width for"),
    ("the whole embedding table is counted", "32_128 * width for"),
]
COUNTS += [("the text's numbers are counted, too, at 100 tokens", "250 * width for")]
COST = [
    ("attention is taken to grow like the length", "(p + n) ** 2 / n**2", "(p + n) / n"),
    (
        "the prompt's vectors are not counted as looking at each other",
        "(p + n) ** 2 / n**2",
        "(n**2 + 2 * p * n) / n**2",
    ),
    ("only the text is counted as looking at the prompt", "(p + n) ** 2 / n**2", "n * (p + n) / n**2"),
    ("the decoder is thought not to see the prompt", "m * (p + n) / (m * n)", "m * n / (m * n)"),
    ("cross-attention is taken to grow like the square", "m * (p + n) / (m * n)", "(m * (p + n)) ** 2 / (m * n) ** 2"),
    ("the decoder is given a prompt, too", "m**2 / m**2", "(p + m) ** 2 / m**2"),
    (
        "the linear layers are thought to see the text alone",
        '"encoder_positions": (p + n) / n',
        '"encoder_positions": n / n',
    ),
    ("bytes of the model are divided by numbers of the prompt", "818_392 // (p * 88)", "4 * 818_392 // (p * 88)"),
    ("a prompt is counted for each of the three encoder layers", "818_392 // (p * 88)", "818_392 // (3 * p * 88)"),
]
FIRST = "first = len(prompt) + source.shape[1] - 1"
SLICE = "model.head(hidden[:, first : first + answer.shape[1]])"
LOSS = [
    ("the numbers are read off in another order: a reshape exchanges no dimensions", "logits.transpose(1, 2)",
     "logits.reshape(len(answer), -1, answer.shape[1])"),
    ("the prompt's places are not counted", FIRST, "first = source.shape[1] - 1"),
    ("each place is asked for the token that it has read", FIRST, "first = len(prompt) + source.shape[1]"),
    ("the answer is predicted two places before it stands", FIRST, "first = len(prompt) + source.shape[1] - 2"),
    ("the loss is summed over the tokens", "(1, 2), answer)", '(1, 2), answer, reduction="sum")'),
    ("the first answer token alone is learned", "cross_entropy(logits.transpose(1, 2), answer)",
     "cross_entropy(logits[:, 0], answer[:, 0])"),
    ("the tokens of a row are compared with those of a column", "cross_entropy(logits.transpose(1, 2), answer)",
     "cross_entropy(logits.flatten(0, 1), answer.T.flatten())"),
    ("the source is learned as well as the answer", SLICE,
     "model.head(hidden[:, len(prompt) : -1])\n    answer = ids[:, 1:]"),
    ("the prompt is cut off from its gradient", "*prepend_prompt(prompt, ", "*prepend_prompt(prompt.detach(), "),
]  # fmt: skip
CHECKS = [
    ("the weights before are kept by reference and not as copies", "weight.detach().clone()", "weight.detach()"),
    (
        "the plain model is not asked again",
        "assert torch.equal(first_logits(model, batch), plain)",
        "assert torch.equal(plain, plain)",
    ),
    ("the rows are left in their order", "torch.tensor([2, 0, 3, 1])", "torch.tensor([0, 1, 2, 3])"),
    (
        "no padding is added",
        "functional.pad(batch.source, (0, 3)), functional.pad(batch.source_mask, (0, 3))",
        "batch.source, batch.source_mask",
    ),
    (
        "what is added as padding is marked as real",
        "functional.pad(batch.source_mask, (0, 3))",
        "functional.pad(batch.source_mask, (0, 3), value=True)",
    ),
    (
        "only the shape is compared with that of the words written",
        "assert torch.allclose(got, expected, atol=1e-5)",
        "assert got.shape == expected.shape",
    ),
    (
        "a prompt of words is expected behind the text",
        "torch.cat([words, text], dim=1)",
        "torch.cat([text, words], dim=1)",
    ),
    (
        "nothing is asserted",
        "    model, prompt, batch = example()\n    before",
        "    return\n    model, prompt, batch = example()\n    before",
    ),
]
MIXED = "return torch.cat([table[rows], vectors], dim=1), torch.cat([seen[rows], mask], dim=1)"
SEEN = "torch.arange(longest) >= fill for"
MIXTURE = [
    (
        "a prompt that no row reads is not counted for P",
        [("max(len(prompt) for prompt in prompts)", "max(len(prompts[row]) for row in rows)")],
    ),
    (
        "the hidden places stand between prompt and text",
        [("(0, 0, fill, 0)", "(0, 0, 0, fill)"), (SEEN, "torch.arange(longest) < longest - fill for")],
    ),
    ("the mask hides the other end of the prompt", [(SEEN, "torch.arange(longest) < longest - fill for")]),
    ("the places filled up are seen", [(SEEN, "torch.arange(longest) >= 0 for")]),
    (
        "row i reads prompt i, whatever its task",
        [(MIXED, "rows = torch.arange(len(vectors)) % len(prompts)\n    " + MIXED)],
    ),
    ("every row reads the first row's prompt", [(MIXED, "rows = rows[:1].expand(len(rows))\n    " + MIXED)]),
    (
        "the mask of the prompts is taken in the order of the tasks",
        [(MIXED, MIXED.replace("seen[rows]", "seen[torch.arange(len(rows)) % len(seen)]"))],
    ),
    (
        "the padding of the texts becomes visible",
        [(MIXED, MIXED.replace("seen[rows], mask]", "seen[rows], torch.ones_like(mask)]"))],
    ),
    (
        "the prompts are put behind the texts",
        [
            (
                MIXED,
                MIXED.replace("[table[rows], vectors]", "[vectors, table[rows]]").replace(
                    "[seen[rows], mask]", "[mask, seen[rows]]"
                ),
            )
        ],
    ),
]
WRONG = [
    *(WrongAnswer(name, "prepend_prompt", edits) for name, edits in PREPEND),
    *(WrongAnswer(name, "prompted_logits", [(old, new)]) for name, old, new in LOGITS),
    *(WrongAnswer(name, "first_prompt", [(old, new)]) for name, old, new in START),
    *(WrongAnswer(name, "counts", [(COUNT, new)]) for name, new in COUNTS),
    *(WrongAnswer(name, "cost", [(old, new)]) for name, old, new in COST),
    *(WrongAnswer(name, "answer_loss", [(old, new)]) for name, old, new in LOSS),
    *(WrongAnswer(name, "check_reading", [(old, new)]) for name, old, new in CHECKS),
    *(WrongAnswer(name, "mixed_prompts", edits) for name, edits in MIXTURE),
]
