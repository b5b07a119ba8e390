"""What goes wrong with virtual tokens in a text, and with tags on its tokens."""

from minipeft.course.wrong_answers import WrongAnswer


def one(name: str, exercise: str, *edits: tuple[str, str]) -> WrongAnswer:
    return WrongAnswer(name, exercise, list(edits))


USED = "                used += 1\n"
VIRTUAL = "parts.append(virtual[used : used + 1])"
FRESH = "parts, used = [words.new_zeros(0, words.shape[1])], 0"
IDS = 'ids = {"first": first, "second": second}.get(part, [part])'
WORDS = "parts.append(words[torch.tensor(ids, dtype=torch.long)])"
PADDED = "vectors = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)"
MASK = "return vectors, torch.arange(vectors.shape[1]) < lengths[:, None]"
ROW = "        rows.append(torch.cat(parts))\n"

START = "start = ends[number - 1] if number else 0"
SHARES = "if max(start, begin) < min(ends[number], end):"
TAG = "tags[number] = 2 * kind if inside else 2 * kind - 1"
OUTSIDE = "        inside = False\n        for number in range(len(ends)):"

LAST = "        if last + 1 < len(tags) and not starts[last + 1]:\n            continue  # the word goes on\n"
KIND = "kind = (tags[last] + 1) // 2"
GOES_ON = "if kind and tags[last] == 2 * kind and kind == open_kind:"
LONGER = "names[-1] = (names[-1][0], last, kind)"
NEW = "names.append((first, last, kind))"
OPEN = "        open_kind = kind\n"

LSTM, MLP = '"lstm": 14 * 320 + 14 * 320**2 + 18 * 320', '"mlp": 14 * 320 + 3 * 320 * (320 + 1)'
STORED = '"stored": 14 * 320,'
LABELS, TAGS = '"labels": 3 * 4 * 2 * 14 * 5 * 48 + 6 * (320 + 1)', '"tags": 9 * 2 * 14 * 5 * 48 + 12 * (320 + 1)'

R_LSTM, R_ONE, R_MLP = '"lstm": 9,', '"lstm, one direction": 9 - 3', '"mlp": 1,'
R_GPT, R_TOP, R_BOTTOM = '"gpt": 6 * (1 + 41 + 1)', '"top": 2 * 31 + 4 * 53', '"bottom": 3 * 53'

OWN = "own = state[-longest:][: len(row)]"
UNIT = "own / own.square().mean(1, keepdim=True).sqrt() @"
EACH = ', torch.tensor(row), reduction="none"))'
MEAN = "return torch.cat(losses).mean()"

TABLES = """        (7, 3): [[[0, 7, 6, 8, 9, 3], [9, 9, 1, 7, 2, 8], [1, 2, 3, 4, 5, 6]], [[7, 8], [9, 0]]],
        (4, 5): [[[8, 3, 4], [0, 6, 3]], [[3, 2, 1, 0]]],
"""
CLOSE = "            torch.testing.assert_close(found, expected)\n"
SAME = '            assert torch.equal(ids, kept[0]), "the ids are changed"\n'
GRADIENTS = "                torch.testing.assert_close(torch.zeros_like(other) if one is None else one, other)\n"
TRAINED = '            assert found.requires_grad, "nothing can be trained"\n'
DRAWN = "virtual = torch.randn(count, 5, generator=generator).requires_grad_()"
WORDS_DRAWN = "words = torch.randn(vocabulary, 5, generator=generator).requires_grad_()"
EXPECTED = "expected = torch.cat([words, virtual])[ids]"

CHOSEN = "own = task == number"
SCORES = "scores = states[own] @ weights[number].T + biases[number]"
ROWS_LOSS = "losses.append(torch.nn.functional.cross_entropy(scores, label[own]))"
SHARE = "shares.append(share[number])"
RESULT = "return (torch.stack(losses) * torch.stack(shares)).sum() / torch.stack(shares).sum()"

WRONG = [
    one("every virtual token has the first vector", "fill_template", (USED, "                used += 0\n")),
    one("virtual tokens are counted on from row to row", "fill_template",
        ("    rows = []\n    for first, second", "    rows, used = [], 0\n    for first, second"),
        (FRESH, "parts = [words.new_zeros(0, words.shape[1])]")),
    one("virtual tokens come from the last to the first", "fill_template",
        (VIRTUAL, "parts.append(virtual.flip(0)[used : used + 1])")),
    one("all virtual tokens stand in front", "fill_template",
        (ROW, '        order = [part for part in template if part == "V"]\n'
              "        own = [words[:0], virtual[: len(order)]]\n"
              "        for part in template:\n"
              '            if part != "V":\n'
              '                ids = {"first": first, "second": second}.get(part, [part])\n'
              "                own.append(words[torch.tensor(ids, dtype=torch.long)])\n"
              "        rows.append(torch.cat(own))\n")),
    one("the two parts of the text are exchanged", "fill_template",
        (IDS, IDS.replace('"first": first, "second": second', '"first": second, "second": first'))),
    one("both parts are the first", "fill_template", (IDS, IDS.replace('"second": second', '"second": first'))),
    one("anchors are left out", "fill_template", (IDS, IDS.replace("[part])", "[])"))),
    one("padding stands in front", "fill_template",
        (PADDED, "longest = int(lengths.max())\n    vectors = torch.stack("
                 "[torch.nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])"),
        (MASK, "return vectors, torch.arange(longest) >= longest - lengths[:, None]")),
    one("the mask has one place too many", "fill_template", (MASK, MASK.replace("<", "<="))),
    one("the mask is True on padding", "fill_template", (MASK, MASK.replace("<", ">="))),
    one("all rows are cut to the shortest", "fill_template",
        (PADDED, "shortest = int(lengths.min())\n    vectors = torch.stack([row[:shortest] for row in rows])")),
    one("padding is filled with the word 0", "fill_template",
        (MASK, "mask = torch.arange(vectors.shape[1]) < lengths[:, None]\n"
               "    return torch.where(mask[..., None], vectors, words[0]), mask")),
    one("the virtual tokens get no gradient", "fill_template",
        (VIRTUAL, VIRTUAL.replace("virtual[", "virtual.detach()["))),
    one("words get no gradient", "fill_template", (WORDS, WORDS.replace("(words[", "(words.detach()["))),
    one("the mask is read off the vectors, so a word of zeros is padding", "fill_template",
        (MASK, "return vectors, (vectors != 0).any(-1)")),
    one("only anchors hand a gradient on to words", "fill_template",
        (WORDS, "parts.append((words if ids == [part] else words.detach())[torch.tensor(ids, dtype=torch.long)])")),
    one("a row without a first part has its second part there", "fill_template",
        (IDS, IDS.replace('"first": first,', '"first": first or second,'))),

    one("every token of a name begins one", "tags_of_names", (TAG, "tags[number] = 2 * kind - 1")),
    one("every token of a name goes on with one", "tags_of_names", (TAG, "tags[number] = 2 * kind")),
    one("tags are kinds: nothing says where a name begins", "tags_of_names", (TAG, "tags[number] = kind")),
    one("odd and even tags are exchanged", "tags_of_names",
        (TAG, "tags[number] = 2 * kind - 1 if inside else 2 * kind")),
    one("kinds are counted from 0", "tags_of_names", (TAG, "tags[number] = 2 * kind + 2 if inside else 2 * kind + 1")),
    one("only the first name of all begins one", "tags_of_names",
        ("    for begin, end, kind in names:\n        inside = False\n",
         "    inside = False\n    for begin, end, kind in names:\n")),
    one("only tokens that lie within the name get its tag", "tags_of_names",
        (SHARES, "if begin <= start < ends[number] <= end:")),
    one("a token that touches the name gets its tag", "tags_of_names",
        (SHARES, "if max(start, begin) <= min(ends[number], end):")),
    one("the last token of a name is left out", "tags_of_names",
        (SHARES, "if max(start, begin) < min(ends[number], end) and (ends[number] < end or not inside):")),
    one("only the token in which the name begins gets a tag", "tags_of_names",
        (SHARES, "if start <= begin < ends[number]:")),
    one("letters are counted from 1", "tags_of_names",
        (SHARES, "if max(start, begin - 1) < min(ends[number], end - 1):")),
    one("tokens without letters belong to the name around them", "tags_of_names",
        (SHARES, "if max(start, begin) < min(ends[number], end) or begin < start == ends[number] <= end:")),
    one("ends are taken for beginnings", "tags_of_names",
        (START, "start = ends[number]"),
        (SHARES, "if max(start, begin) < min(ends[number + 1] if number + 1 < len(ends) else start, end):")),
    one("only tokens that begin in the name get its tag", "tags_of_names",
        (SHARES, "if begin <= start < end and start < ends[number]:")),
    one("only tokens that end in the name get its tag", "tags_of_names",
        (SHARES, "if begin < ends[number] <= end and start < ends[number]:")),

    one("the tag of a word's first token counts", "names_of_tags", (KIND, "kind = (tags[first] + 1) // 2"),
        (GOES_ON, "if kind and tags[first] == 2 * kind and kind == open_kind:")),
    one("the largest tag of a word's tokens counts", "names_of_tags",
        (KIND, "tag = max(tags[first : last + 1])\n        kind = (tag + 1) // 2"),
        (GOES_ON, "if kind and tag == 2 * kind and kind == open_kind:")),
    one("every token is a word", "names_of_tags",
        (LAST, ""), ("        if starts[last]:\n            first = last\n", "        first = last\n")),
    one("the name has only the last token of its word", "names_of_tags", (NEW, "names.append((last, last, kind))")),
    one("every tagged word is a name of its own", "names_of_tags", (GOES_ON, "if False:")),
    one("words of one kind side by side are always one name", "names_of_tags",
        (GOES_ON, "if kind and kind == open_kind:")),
    one("a word that goes on is lost where nothing has begun", "names_of_tags",
        ("        elif kind:\n", "        elif kind and tags[last] != 2 * kind:\n"),
        (OPEN, "        open_kind = kind if kind and (tags[last] != 2 * kind or kind == open_kind) else 0\n")),
    one("a word that goes on joins a name of another kind", "names_of_tags",
        (GOES_ON, "if kind and tags[last] == 2 * kind and open_kind:"),
        (LONGER, "names[-1] = (names[-1][0], last, names[-1][2])"),
        (OPEN, "        open_kind = kind and (names[-1][2] if names else kind)\n")),
    one("names are not ended by words without one", "names_of_tags", (OPEN, "        open_kind = kind or open_kind\n")),
    one("kinds are counted from 0", "names_of_tags", (NEW, "names.append((first, last, kind - 1))"),
        (LONGER, "names[-1] = (names[-1][0], last, kind - 1)")),
    one("tags are given in place of kinds", "names_of_tags", (NEW, "names.append((first, last, tags[last]))"),
        (LONGER, "names[-1] = (names[-1][0], last, names[-1][2])")),
    one("a name ends one token too late", "names_of_tags", (NEW, "names.append((first, last + 1, kind))"),
        (LONGER, "names[-1] = (names[-1][0], last + 1, kind)")),
    one("kinds are half of the tag, rounded down", "names_of_tags", (KIND, "kind = tags[last] // 2")),
    one("a name that goes on ends with the first token of its last word", "names_of_tags",
        (LONGER, "names[-1] = (names[-1][0], first, kind)")),
    one("the tag that most tokens of a word have counts", "names_of_tags",
        (KIND, "most = max(tags[first : last + 1], key=tags[first : last + 1].count)\n        kind = (most + 1) // 2"),
        (GOES_ON, GOES_ON.replace("tags[last]", "most"))),

    one("one direction of the LSTM is counted", "counts",
        (LSTM, '"lstm": 14 * 320 + 2 * (4 * 160 * (320 + 160) + 8 * 160) + 2 * (320**2 + 320)')),
    one("one layer of the LSTM is counted", "counts",
        (LSTM, '"lstm": 14 * 320 + 2 * (4 * 160 * (320 + 160) + 8 * 160) + 2 * (320**2 + 320) + 0')),
    one("each direction is as wide as the model", "counts",
        (LSTM, '"lstm": 14 * 320 + 2 * (4 * 320 * (320 + 320) + 8 * 320) + 2 * (4 * 320 * (640 + 320) + 8 * 320)'
               ' + 640 * 320 + 320 + 320**2 + 320')),
    one("the LSTM has one bias a gate", "counts", (LSTM, '"lstm": 14 * 320 + 14 * 320**2 + 10 * 320')),
    one("the LSTM's linear layers are forgotten", "counts", (LSTM, '"lstm": 14 * 320 + 12 * 320**2 + 16 * 320')),
    one("the vectors e are forgotten", "counts",
        (LSTM, '"lstm": 14 * 320**2 + 18 * 320'), (MLP, '"mlp": 3 * 320 * (320 + 1)')),
    one("the network runs once for each token, with weights of its own", "counts",
        (MLP, '"mlp": 14 * (320 + 3 * 320 * (320 + 1))')),
    one("biases are forgotten", "counts",
        (LSTM, '"lstm": 14 * 320 + 14 * 320**2'), (MLP, '"mlp": 14 * 320 + 3 * 320 * 320'),
        (LABELS, LABELS.replace("(320 + 1)", "320")), (TAGS, TAGS.replace("(320 + 1)", "320"))),
    one("the vectors e are stored, too", "counts", (STORED, '"stored": 2 * 14 * 320,')),
    one("the heads are taken for as wide as the model", "counts", (LABELS, LABELS.replace("5 * 48", "320")),
        (TAGS, TAGS.replace("5 * 48", "320"))),
    one("values are forgotten, or keys", "counts",
        (LABELS, LABELS.replace("4 * 2 *", "4 *")), (TAGS, TAGS.replace("9 * 2 *", "9 *"))),
    one("the end of a text has no class", "counts", (LABELS, LABELS.replace("6 *", "5 *"))),
    one("none has no class", "counts", (TAGS, TAGS.replace("12 *", "11 *"))),
    one("a tagger's decoder has a prompt, too", "counts", (TAGS, TAGS.replace("9 * 2", "(9 + 2 * 7) * 2"))),
    one("cross-attention has no prompt of its own", "counts", (LABELS, LABELS.replace("3 * 4", "2 * 4"))),

    one("an LSTM is taken to go through each vector alone", "reach",
        (R_LSTM, '"lstm": 1,'), (R_ONE, '"lstm, one direction": 1')),
    one("an LSTM in both directions reaches only the neighbours", "reach", (R_LSTM, '"lstm": 3,')),
    one("one direction reaches all", "reach", (R_ONE, '"lstm, one direction": 9')),
    one("the vector itself is left out", "reach",
        (R_LSTM, '"lstm": 8,'), (R_ONE, '"lstm, one direction": 5'), (R_MLP, '"mlp": 0,'),
        (R_GPT, '"gpt": 6 * 42')),
    one("an LSTM from the first to the last changes what stands before", "reach",
        (R_ONE, '"lstm, one direction": 4')),
    one("an MLP mixes the vectors", "reach", (R_MLP, '"mlp": 9,')),
    one("in a causal stack, all places see a virtual token", "reach", (R_GPT, '"gpt": 6 * 69')),
    one("in a causal stack, those before a token see it", "reach", (R_GPT, '"gpt": 6 * 27')),
    one("only the last layer of the GPT is counted", "reach", (R_GPT, '"gpt": 43')),
    one("the virtual tokens of the GPT are not counted", "reach", (R_GPT, '"gpt": 6 * 41')),
    one("the layer of the change is left out", "reach", (R_TOP, '"top": 31 + 4 * 53'), (R_BOTTOM, '"bottom": 2 * 53')),
    one("the decoder hears of the encoder only in the layers with a prompt", "reach",
        (R_TOP, '"top": 2 * 31 + 2 * 53')),
    one("the decoder does not hear of the encoder", "reach", (R_TOP, '"top": 2 * 31')),
    one("all layers change", "reach", (R_TOP, '"top": 5 * 31 + 4 * 53'), (R_BOTTOM, '"bottom": 4 * 53')),
    one("only layers with a prompt change", "reach", (R_BOTTOM, '"bottom": 53')),
    one("cross-attention changes the encoder, too", "reach", (R_BOTTOM, '"bottom": 3 * 53 + 5 * 31')),

    one("every text counts alike, not every token", "tagging_loss", (EACH, ", torch.tensor(row)))"),
        (MEAN, "return torch.stack(losses).mean()")),
    one("the losses are added up", "tagging_loss", (MEAN, "return torch.cat(losses).sum()")),
    one("the sum of the losses is divided by the number of texts", "tagging_loss",
        (MEAN, "return torch.cat(losses).sum() / len(tags)")),
    one("the prompt's states are taken for the text's", "tagging_loss", (OWN, "own = state[: len(row)]")),
    one("texts are taken to be filled up in front", "tagging_loss", (OWN, "own = state[-len(row) :]")),
    one("the states keep their size", "tagging_loss", (UNIT, "own @")),
    one("the states are divided by the mean of their squares", "tagging_loss", (UNIT, UNIT.replace(".sqrt()", ""))),
    one("the states are divided by their length", "tagging_loss", (UNIT, "own / own.norm(dim=1, keepdim=True) @")),
    one("all states of a text are divided by one number", "tagging_loss",
        (UNIT, "own / own.square().mean().sqrt() @")),
    one("the bias is left out", "tagging_loss", ("@ weight.T + bias", "@ weight.T + 0 * bias")),
    one("padding counts with the tag 0", "tagging_loss", (OWN, "own = state[-longest:]"),
        (EACH, ', torch.tensor(row + [0] * (longest - len(row))), reduction="none"))')),
    one("states get no gradient", "tagging_loss", (OWN, "own = state[-longest:][: len(row)].detach()")),

    one("there is one vocabulary", "check_virtual", (TABLES, TABLES.splitlines()[0] + "\n")),
    one("there is one call", "check_virtual",
        (TABLES, "        (7, 3): [[[0, 7, 6, 8, 9, 3], [9, 9, 1, 7, 2, 8], [1, 2, 3, 4, 5, 6]]],\n")),
    one("virtual tokens stand in front, in their order", "check_virtual",
        (TABLES, "        (7, 3): [[[7, 8, 9, 0, 6, 3]], [[7, 8]]],\n"
                 "        (4, 5): [[[4, 5, 6, 7, 8, 3]], [[4, 2, 1, 0]]],\n")),
    one("there are no virtual tokens", "check_virtual",
        (TABLES, "        (7, 3): [[[0, 6, 3], [1, 2, 6]], [[4, 5]]],\n        (4, 5): [[[3, 1, 0]], [[3, 2, 1]]],\n")),
    one("there are no words", "check_virtual",
        (TABLES, "        (7, 3): [[[7, 9, 8], [9, 9, 7]], [[8, 7]]],\n        (4, 5): [[[8, 6, 4]], [[5, 7, 5]]],\n")),
    one("the last word and the last virtual token do not occur", "check_virtual",
        (TABLES, "        (7, 3): [[[0, 7, 5, 8, 3], [8, 8, 1, 7, 2]], [[7, 8], [8, 0]]],\n"
                 "        (4, 5): [[[7, 2, 4], [0, 6, 2]], [[2, 2, 1]]],\n")),
    one("nothing is compared", "check_virtual", (CLOSE, ""), (GRADIENTS, "                pass\n")),
    one("the comparison is loose", "check_virtual",
        (CLOSE, CLOSE.replace("expected)", "expected, rtol=0.1, atol=0.1)")),
        (GRADIENTS, "                pass\n")),
    one("only the first row is compared", "check_virtual",
        (CLOSE, CLOSE.replace("found, expected", "found[0], expected[0]")),
        (GRADIENTS, "                pass\n")),
    one("it is content with a right shape", "check_virtual",
        (CLOSE, "            assert found.shape == expected.shape\n"),
        (GRADIENTS, "                pass\n")),
    one("the ids are not looked at afterwards", "check_virtual", (SAME, "")),
    one("gradients are not looked at", "check_virtual", (TRAINED, "            continue\n" + TRAINED)),
    one("all virtual tokens are the same", "check_virtual", (DRAWN, DRAWN.replace("(count, 5, ", "(1, 5, ").replace(
        ".requires", ".repeat(count, 1).requires")), (GRADIENTS, "                pass\n")),
    one("all words are zeros", "check_virtual", (WORDS_DRAWN, "words = torch.zeros(vocabulary, 5).requires_grad_()"),
        (GRADIENTS, "                pass\n")),
    one("virtual tokens are expected below the words", "check_virtual",
        (EXPECTED, "expected = torch.cat([virtual, words])[ids]")),
    one("it is content where gradients arrive, whatever they are", "check_virtual",
        (GRADIENTS, "                assert one is not None or not other.any()\n")),

    one("every row counts alike, not every task", "loss_of_tasks", (SHARE, "shares.append(share[number] * own.sum())")),
    one("share is left out", "loss_of_tasks", (SHARE, "shares.append(share[number] * 0 + 1)")),
    one("the result is not divided by the shares", "loss_of_tasks",
        (RESULT, "return (torch.stack(losses) * torch.stack(shares)).sum()")),
    one("the shares of tasks without rows are counted", "loss_of_tasks",
        (RESULT, RESULT.replace("torch.stack(shares).sum()", "share.sum()"))),
    one("the result is divided by the number of tasks", "loss_of_tasks",
        (RESULT, RESULT.replace("torch.stack(shares).sum()", "len(losses)"))),
    one("all rows have the head of task 0", "loss_of_tasks",
        (SCORES, "scores = torch.nn.functional.pad(states[own] @ weights[0].T + biases[0], (0, 9))")),
    one("the heads are taken in the order in which tasks come", "loss_of_tasks",
        ("for number in task.unique().tolist():", "for number in sorted(set(task.tolist())):"),
        (SCORES, "place = len(losses)\n"
                 "        scores = torch.nn.functional.pad(states[own] @ weights[place].T + biases[place], (0, 9))")),
    one("the bias is left out", "loss_of_tasks", (SCORES, SCORES.replace("+ biases", "+ 0 * biases"))),
    one("the labels of the first rows are taken", "loss_of_tasks",
        (ROWS_LOSS, ROWS_LOSS.replace("label[own]", "label[: own.sum()].clamp(max=scores.shape[1] - 1)"))),
    one("the losses of a task are added up", "loss_of_tasks",
        (ROWS_LOSS, ROWS_LOSS.replace("label[own]", 'label[own], reduction="sum"'))),
    one("only the first row of a task counts", "loss_of_tasks",
        (ROWS_LOSS, ROWS_LOSS.replace("scores, label[own]", "scores[:1], label[own][:1]"))),
    one("the states get no gradient", "loss_of_tasks", (SCORES, SCORES.replace("states[own]", "states[own].detach()"))),
    one("the heads get no gradient", "loss_of_tasks",
        (SCORES, SCORES.replace("weights[number].T", "weights[number].detach().T"))),
]  # fmt: skip
