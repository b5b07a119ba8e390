"""What goes wrong with keys and values that stand before the real ones."""

from minipeft.course.wrong_answers import WrongAnswer


def one(name: str, exercise: str, *edits: tuple[str, str]) -> WrongAnswer:
    return WrongAnswer(name, exercise, list(edits))


OWN = "own_keys, own_values = prefix_keys[number], prefix_values[number]"
WEIGHTS = "weights = torch.cat([of_prefix, of_text], dim=2).softmax(2)"
OF_TEXT = "of_text = query[row] @ key[row].transpose(1, 2) + bias[row]"
GIVEN = "rows.append(weights[:, :, :count] @ own_values + weights[:, :, count:] @ value[row])"
TASKS = "for row, number in enumerate(task.tolist()):"

INNER = "inner = torch.tanh(e @ w_1.T + b_1)"
FLAT = "flat = inner @ w_2.T + b_2"
APART = "apart = flat.view(len(e), layers, 2, heads, -1)"
ORDER = "return apart.permute(1, 2, 3, 0, 4)"

PROJECT = "(hidden @ part[layer].transpose(1, 2) for part in (w_q, w_k, w_v))"
KEPT = "table.append(torch.stack([key, value]))"
SCORES = "scores = (query @ key.transpose(1, 2)).masked_fill(~causal, -torch.inf)"
ADDED = "hidden = hidden + (given @ w_o[layer].transpose(1, 2)).sum(0)"
SOFTMAX = "given = scores.softmax(2) @ value"

MOVED = '"moved": 3 * (24 * 512 + 700 * (512 + 1) + 8 * 2 * 6 * 64 * (700 + 1))'
STORED = '"stored": 3 * 8 * 2 * 24 * 6 * 64'
INFIX = '"infix": 2 * 8 * 2 * 24 * 6 * 64'
EMBEDDING = '"embedding": 2 * 24 * 512'
STEP = '"step": 2 * 8 * 2 * 24 * 6 * 64'

ENCODER, DECODER = '"encoder, layer 2": 4 * 31 + 4 * 53', '"decoder, layer 2": 3 * 53'
CROSS, PROMPT = '"cross-attention, layer 3": 2 * 53', '"prompt of the T5": 5 * 31 + 4 * 53'
GPT, GPT_INFIX = '"GPT, layer 3": 4 * (29 + 47)', '"infix of the GPT, layer 3": 4 * 47'
GPT_PROMPT = '"prompt of the GPT": 6 * (29 + 47)'

DISTANCE = "distance = (places[seen - new :, None] - places) * (places >= 0)"
PLACES = "places = torch.arange(seen) - prefix_key.shape[1]"
TAKEN = "- slope[:, None, None] * distance"
MASK = "scores.masked_fill(distance < 0, -torch.inf)"
FIRST = "    if cache is None:\n        cache = tuple("
KEYS = "keys, values = torch.cat([cache[0], key], dim=2), torch.cat([cache[1], value], dim=2)"
BACK = "return weights @ values, (keys, values)"

CASES = "((3, 1.0), (1, 1.0), (5, 30.0))"
CLOSE = "        torch.testing.assert_close(found, attend(query, *both, looked_at), rtol=1e-4, atol=1e-4)\n"
SAME = '            assert torch.equal(now.detach(), then), "an argument is changed"\n'
TRAINED = "        gradients = torch.autograd.grad(found.square().sum(), (own_key, own_value), allow_unused=True)\n"
ALL_MASK = "[[True, True, True, False], [False, True, False, True], [True, True, True, True]]"
GRADIENTS_CLOSE = "        torch.testing.assert_close(gradients, expected, rtol=1e-2, atol=1e-3)\n"

TEXT = "of_text = (query @ key.transpose(2, 3) + bias).softmax(3) @ value"
PREFIX = "of_prefix = (query @ prefix_key.transpose(1, 2)).softmax(3) @ prefix_value"
GATED = "return of_text + torch.tanh(gate)[:, None, None] * of_prefix"

WRONG = [
    one("row i has the prefix of task i, whatever its task", "attend_for_tasks",
        (OWN, "own_keys, own_values = prefix_keys[row % len(prefix_keys)], prefix_values[row % len(prefix_keys)]")),
    one("all rows have the prefix of the first row's task", "attend_for_tasks",
        (OWN, "own_keys, own_values = prefix_keys[task[0]], prefix_values[task[0]]")),
    one("every row looks at the prefixes of all tasks", "attend_for_tasks",
        (OWN, "own_keys, own_values = torch.cat(prefix_keys, 1), torch.cat(prefix_values, 1)")),
    one("there is no prefix", "attend_for_tasks",
        (OWN, "own_keys, own_values = prefix_keys[number][:, :0], prefix_values[number][:, :0]")),
    one("prefix and text have a softmax each", "attend_for_tasks",
        (WEIGHTS, "weights = torch.cat([of_prefix.softmax(2), of_text.softmax(2)], dim=2)")),
    one("the two softmaxes are averaged", "attend_for_tasks",
        (WEIGHTS, "weights = torch.cat([of_prefix.softmax(2) / 2, of_text.softmax(2) / 2], dim=2)")),
    one("the softmax runs over the queries", "attend_for_tasks",
        (WEIGHTS, WEIGHTS.replace("softmax(2)", "softmax(1)"))),
    one("the bias is left out", "attend_for_tasks", (OF_TEXT, OF_TEXT.replace(" + bias[row]", ""))),
    one("every row has the bias of the first", "attend_for_tasks", (OF_TEXT, OF_TEXT.replace("bias[row]", "bias[0]"))),
    one("the prefix's values are left out", "attend_for_tasks",
        (GIVEN, "rows.append(weights[:, :, count:] @ value[row] + 0 * own_values.sum())")),
    one("keys and values of the prefix are exchanged", "attend_for_tasks",
        (OWN, "own_keys, own_values = prefix_values[number], prefix_keys[number]")),
    one("the prefix stands behind the text, and its weights are taken for the text's", "attend_for_tasks",
        (WEIGHTS, "weights = torch.cat([of_text, of_prefix], dim=2).softmax(2)"),
        (GIVEN, "rows.append(weights @ torch.cat([own_values, value[row]], dim=1) + 0 * count)")),
    one("the queries are scaled once more", "attend_for_tasks",
        (OF_TEXT, OF_TEXT.replace("query[row] @", "query.shape[3] ** -0.5 * query[row] @"))),
    one("shorter prefixes are filled up with zeros, and these are looked at", "attend_for_tasks",
        (OWN, OWN + "\n        room = max(keys.shape[1] for keys in prefix_keys) - own_keys.shape[1]\n"
                    "        own_keys = torch.nn.functional.pad(own_keys, (0, 0, 0, room))\n"
                    "        own_values = torch.nn.functional.pad(own_values, (0, 0, 0, room))")),
    one("the bias is added to the first scores, where the prefix stands", "attend_for_tasks",
        (OF_TEXT, OF_TEXT.replace(" + bias[row]", "")),
        (WEIGHTS, "room = (0, own_keys.shape[1])\n        shifted = torch.nn.functional.pad(bias[row], room)\n        "
                  + WEIGHTS.replace("dim=2)", "dim=2) + shifted").replace("torch.cat", "(torch.cat")
                  .replace("shifted.softmax", "shifted).softmax"))),
    one("the prefixes get no gradient", "attend_for_tasks",
        (OWN, "own_keys, own_values = prefix_keys[number].detach(), prefix_values[number].detach()")),
    one("the softmax is taken of exp as it is, and large scores overflow", "attend_for_tasks",
        (WEIGHTS, "sizes = torch.cat([of_prefix, of_text], dim=2).exp()\n"
                  "        weights = sizes / sizes.sum(2, keepdim=True)")),
    one("the shorter ones of the prefixes say how much of each is taken", "attend_for_tasks",
        (OWN, OWN + "\n        least = min(part.shape[1] for part in prefix_keys)\n"
              "        own_keys, own_values = own_keys[:, :least], own_values[:, :least]")),

    one("there is no tanh", "stored_table", (INNER, "inner = e @ w_1.T + b_1")),
    one("the tanh comes behind the last map", "stored_table", (INNER, "inner = e @ w_1.T + b_1"),
        (FLAT, "flat = torch.tanh(inner @ w_2.T + b_2)")),
    one("relu stands for tanh", "stored_table", (INNER, "inner = torch.relu(e @ w_1.T + b_1)")),
    one("the inner bias is left out", "stored_table", (INNER, "inner = torch.tanh(e @ w_1.T) + 0 * b_1")),
    one("the last bias is left out", "stored_table", (FLAT, "flat = inner @ w_2.T + 0 * b_2")),
    one("the bias is added behind the tanh", "stored_table", (INNER, "inner = torch.tanh(e @ w_1.T) + b_1")),
    one("all keys come first, then all values", "stored_table",
        (APART, "apart = flat.view(len(e), 2, layers, heads, -1).transpose(1, 2)")),
    one("the positions are never moved, only renamed", "stored_table",
        (ORDER, "return apart.reshape(layers, 2, heads, len(e), -1)")),
    one("heads and the numbers within them are exchanged", "stored_table",
        (APART, "apart = flat.view(len(e), layers, 2, -1, heads).transpose(3, 4)")),
    one("the positions stand before the heads", "stored_table", (ORDER, "return apart.permute(1, 2, 0, 3, 4)")),
    one("the positions stay in front", "stored_table", (ORDER, "return apart")),
    one("the layers come in the opposite order", "stored_table",
        (ORDER, "return apart.permute(1, 2, 3, 0, 4).flip(0)")),
    one("values stand at 0 and keys at 1", "stored_table", (ORDER, "return apart.permute(1, 2, 3, 0, 4).flip(1)")),

    one("every layer has the keys and values of the input", "prefix_of_prompt", (ADDED, "pass")),
    one("the prompt's places look at each other in both directions", "prefix_of_prompt",
        (SCORES, "scores = query @ key.transpose(1, 2)")),
    one("a place of the prompt does not look at itself", "prefix_of_prompt",
        (SCORES, "scores = (query @ key.transpose(1, 2)).masked_fill(~causal.tril(-1), -torch.finfo().max)")),
    one("a place looks at itself and at what comes later", "prefix_of_prompt",
        (SCORES, "scores = (query @ key.transpose(1, 2)).masked_fill(~causal.T, -torch.inf)")),
    one("the residual is forgotten: a layer gives its attention alone", "prefix_of_prompt",
        (ADDED, "hidden = (given @ w_o[layer].transpose(1, 2)).sum(0)")),
    one("keys and values are taken behind the layer, not before it", "prefix_of_prompt", (KEPT, "pass"),
        (ADDED, ADDED + "\n        later = [hidden @ part[layer].transpose(1, 2) for part in (w_k, w_v)]"
                        "\n        table.append(torch.stack(later))")),
    one("all layers have the matrices of the first", "prefix_of_prompt", (PROJECT, PROJECT.replace("layer", "0"))),
    one("values stand at 0 and keys at 1", "prefix_of_prompt", (KEPT, "table.append(torch.stack([value, key]))")),
    one("queries are stored in place of keys", "prefix_of_prompt", (KEPT, "table.append(torch.stack([query, value]))")),
    one("the heads are averaged, not added up", "prefix_of_prompt", (ADDED, ADDED.replace("sum(0)", "mean(0)"))),
    one("the root of the head's size divides the scores", "prefix_of_prompt",
        (SCORES, SCORES.replace("(query @", "(key.shape[2] ** -0.5 * query @"))),
    one("the softmax runs over the queries", "prefix_of_prompt",
        (SOFTMAX, "given = scores.softmax(1).nan_to_num() @ value")),
    one("the prompt gets no gradient", "prefix_of_prompt",
        ("hidden, table = prompt, []", "hidden, table = prompt.detach(), []")),
    one("the gradient is cut off between the layers", "prefix_of_prompt",
        (ADDED, ADDED.replace("= hidden +", "= hidden.detach() +"))),
    one("the softmax is taken of exp as it is, and large scores overflow", "prefix_of_prompt",
        (SOFTMAX, "given = scores.exp() / scores.exp().sum(2, keepdim=True) @ value")),

    one("the heads are taken for as wide as the model", "counts",
        (MOVED, MOVED.replace("6 * 64", "512")), (STORED, STORED.replace("6 * 64", "512")),
        (INFIX, INFIX.replace("6 * 64", "512")), (STEP, STEP.replace("6 * 64", "512"))),
    one("values are forgotten, or keys", "counts", (MOVED, MOVED.replace("8 * 2 *", "8 *")),
        (STORED, STORED.replace("8 * 2 *", "8 *")), (INFIX, INFIX.replace("8 * 2 *", "8 *"))),
    one("one kind of attention is counted in place of three", "counts", (MOVED, MOVED.replace("3 *", "1 *")),
        (STORED, STORED.replace("3 *", "1 *"))),
    one("cross-attention is forgotten", "counts", (MOVED, MOVED.replace("3 *", "2 *")),
        (STORED, STORED.replace("3 *", "2 *")), (INFIX, INFIX.replace('": 2 *', '": 1 *')),
        (STEP, STEP.replace('": 2 *', '": 1 *'))),
    one("the last map is counted once for all layers", "counts", (MOVED, MOVED.replace("8 * 2 * 6", "2 * 6"))),
    one("e and the first map are counted for each layer", "counts",
        (MOVED, '"moved": 3 * 8 * (24 * 512 + 700 * (512 + 1) + 2 * 6 * 64 * (700 + 1))')),
    one("all three kinds share e and the first map", "counts",
        (MOVED, '"moved": 24 * 512 + 700 * (512 + 1) + 3 * 8 * 2 * 6 * 64 * (700 + 1)')),
    one("the biases are forgotten", "counts",
        (MOVED, MOVED.replace("(512 + 1)", "512").replace("(700 + 1)", "700"))),
    one("the network gives one position, not every one", "counts", (MOVED, MOVED.replace("24 * 512", "512"))),
    one("the infix has the encoder's prefix, too", "counts", (INFIX, INFIX.replace('": 2 *', '": 3 *'))),
    one("the embedding's prefix stands before the encoder alone", "counts", (EMBEDDING, '"embedding": 24 * 512')),
    one("in a step the encoder's prefix is looked at, too", "counts", (STEP, STEP.replace('": 2 *', '": 3 *'))),
    one("scores are counted, means forgotten", "counts", (STEP, '"step": 2 * 8 * 24 * 6 * 64')),

    one("the layer of the change itself is left out", "reach", (ENCODER, '"encoder, layer 2": 3 * 31 + 4 * 53'),
        (DECODER, '"decoder, layer 2": 2 * 53'), (CROSS, '"cross-attention, layer 3": 53'),
        (GPT, '"GPT, layer 3": 3 * (29 + 47)'), (GPT_INFIX, '"infix of the GPT, layer 3": 3 * 47')),
    one("the layer before the change is counted, too", "reach", (ENCODER, '"encoder, layer 2": 5 * 31 + 4 * 53'),
        (DECODER, '"decoder, layer 2": 4 * 53'), (CROSS, '"cross-attention, layer 3": 3 * 53'),
        (GPT, '"GPT, layer 3": 5 * (29 + 47)'), (GPT_INFIX, '"infix of the GPT, layer 3": 5 * 47')),
    one("only the layer of the change is counted", "reach", (ENCODER, '"encoder, layer 2": 31'),
        (DECODER, '"decoder, layer 2": 53'), (CROSS, '"cross-attention, layer 3": 53'),
        (GPT, '"GPT, layer 3": 29 + 47'), (GPT_INFIX, '"infix of the GPT, layer 3": 47')),
    one("the encoder's changes are kept from the decoder", "reach", (ENCODER, '"encoder, layer 2": 4 * 31'),
        (PROMPT, '"prompt of the T5": 5 * 31')),
    one("the decoder reads the encoder in its last layer alone", "reach", (ENCODER, '"encoder, layer 2": 4 * 31 + 53'),
        (PROMPT, '"prompt of the T5": 5 * 31 + 53')),
    one("decoder layer n reads encoder layer n", "reach", (ENCODER, '"encoder, layer 2": 4 * 31 + 3 * 53')),
    one("the encoder has as many layers as the decoder", "reach", (ENCODER, '"encoder, layer 2": 3 * 31 + 4 * 53'),
        (PROMPT, '"prompt of the T5": 4 * 31 + 4 * 53')),
    one("cross-attention changes the encoder, too", "reach", (CROSS, '"cross-attention, layer 3": 2 * 53 + 5 * 31')),
    one("the GPT's source does not see what stands before it", "reach", (GPT, '"GPT, layer 3": 4 * 47'),
        (GPT_PROMPT, '"prompt of the GPT": 6 * 47')),
    one("the source hears of the infix", "reach", (GPT_INFIX, '"infix of the GPT, layer 3": 4 * (29 + 47)')),
    one("the infix's own places are counted", "reach", (GPT_INFIX, '"infix of the GPT, layer 3": 4 * (47 + 3)')),
    one("a change reaches the first word alone", "reach", (GPT, '"GPT, layer 3": 4'),
        (GPT_PROMPT, '"prompt of the GPT": 6')),
    one("the input's own states are counted, too", "reach", (PROMPT, '"prompt of the T5": 6 * 31 + 5 * 53'),
        (GPT_PROMPT, '"prompt of the GPT": 7 * (29 + 47)')),

    one("the prefix is taken to stand where the text begins", "attend_on",
        (DISTANCE, "distance = places[seen - new :, None] - places.clamp(min=0)")),
    one("the prefix is taken to stand before the text, place by place", "attend_on",
        (DISTANCE, "distance = places[seen - new :, None] - places")),
    one("nothing is taken off anywhere", "attend_on", (TAKEN, "")),
    one("what should be taken off is added", "attend_on", (TAKEN, TAKEN.replace("- slope", "+ slope"))),
    one("there is no mask: a word looks ahead within its piece", "attend_on", (MASK, "scores")),
    one("a word does not look at itself", "attend_on",
        (MASK, "scores.masked_fill((distance <= 0) & (places >= 0), -torch.inf)")),
    one("the places of the new words are counted from 0", "attend_on",
        (DISTANCE, "distance = (places[prefix_key.shape[1] :][:new, None] - places) * (places >= 0)")),
    one("the prefix is put into the cache again with each piece", "attend_on",
        (FIRST, "    own = cache\n    if True:\n        cache = tuple("),
        (KEYS, "if own is not None:\n        cache = [torch.cat([cache[n], own[n]], 2) for n in (0, 1)]\n    " + KEYS)),
    one("the cache is given back without the new places", "attend_on", (BACK, "return weights @ values, cache")),
    one("the cache is given back without the prefix", "attend_on",
        (BACK, "return weights @ values, tuple(part[:, :, prefix_key.shape[1] :] for part in (keys, values))")),
    one("the first head's slope serves all heads", "attend_on", (TAKEN, "- slope[0] * distance")),
    one("keys and values of the prefix are exchanged", "attend_on",
        ("for part in (prefix_key, prefix_value)", "for part in (prefix_value, prefix_key)")),
    one("new places are put before the old ones", "attend_on",
        (KEYS, "keys, values = torch.cat([key, cache[0]], dim=2), torch.cat([value, cache[1]], dim=2)")),
    one("the cache is cut off from the prefix's gradient", "attend_on",
        (BACK, "return weights @ values, (keys.detach(), values.detach())")),

    one("every prefix has one place", "check_prefixed", (CASES, "((1, 1.0), (1, 1.0), (1, 30.0))")),
    one("all scores are small", "check_prefixed", (CASES, "((3, 1.0), (1, 1.0), (5, 1.0))")),
    one("there is one call", "check_prefixed", (CASES, "((3, 30.0),)")),
    one("nothing is compared", "check_prefixed", (CLOSE, ""), (GRADIENTS_CLOSE, "")),
    one("the comparison is loose", "check_prefixed", (CLOSE, CLOSE.replace("rtol=1e-4, atol=1e-4", "rtol=10, atol=10")),
        (GRADIENTS_CLOSE, "")),
    one("there is no padding", "check_prefixed", (ALL_MASK, "[[True] * 4] * 3")),
    one("only the first row is compared", "check_prefixed",
        (CLOSE, CLOSE.replace("(found,", "(found[:1],").replace("looked_at),", "looked_at)[:1],")),
        (GRADIENTS_CLOSE, "")),
    one("the arguments are not looked at afterwards", "check_prefixed", (SAME, "            pass\n")),
    one("gradients are not looked at", "check_prefixed", (TRAINED, "        continue\n" + TRAINED)),
    one("keys and values of the prefix are the same", "check_prefixed",
        ("        own_key.requires_grad_(), own_value.requires_grad_()\n",
         "        own_value = own_key.clone()\n        own_key.requires_grad_(), own_value.requires_grad_()\n"),
        (GRADIENTS_CLOSE, "")),
    one("it is content with a right shape", "check_prefixed", (CLOSE, "        assert found.shape == query.shape\n"),
        (GRADIENTS_CLOSE, "")),
    one("it asks for the same bits", "check_prefixed",
        (CLOSE, "        assert torch.equal(found, attend(query, *both, looked_at))\n")),

    one("text and prefix share one softmax", "zero_init_attention",
        (TEXT, "both = torch.cat([query @ prefix_key.transpose(1, 2), query @ key.transpose(2, 3) + bias], 3)\n"
               "    weights = both.softmax(3)\n    of_text = weights[..., prefix_key.shape[1] :] @ value"),
        (PREFIX, "of_prefix = weights[..., : prefix_key.shape[1]] @ prefix_value")),
    one("the tanh is forgotten", "zero_init_attention", (GATED, GATED.replace("torch.tanh(gate)", "gate"))),
    one("sigmoid stands for tanh", "zero_init_attention", (GATED, GATED.replace("torch.tanh", "torch.sigmoid"))),
    one("the text gets what the gate leaves", "zero_init_attention",
        (GATED, "share = torch.tanh(gate)[:, None, None]\n    return (1 - share) * of_text + share * of_prefix")),
    one("all heads have the gate of the first", "zero_init_attention",
        (GATED, GATED.replace("torch.tanh(gate)[:, None, None]", "torch.tanh(gate[0])"))),
    one("all heads have the mean of the gates", "zero_init_attention",
        (GATED, GATED.replace("torch.tanh(gate)[:, None, None]", "torch.tanh(gate.mean())"))),
    one("the gate is within the softmax, on the scores", "zero_init_attention",
        (PREFIX, PREFIX.replace("(query @", "(torch.tanh(gate)[:, None, None] * query @")),
        (GATED, "return of_text + of_prefix")),
    one("the bias is left out", "zero_init_attention", (TEXT, TEXT.replace(" + bias", ""))),
    one("the gate multiplies the text as well", "zero_init_attention",
        (GATED, "return torch.tanh(gate)[:, None, None] * (of_text + of_prefix)")),
    one("keys and values of the prefix are exchanged", "zero_init_attention",
        (PREFIX, "of_prefix = (query @ prefix_value.transpose(1, 2)).softmax(3) @ prefix_key")),
    one("the size of the gate counts, not its sign", "zero_init_attention",
        (GATED, GATED.replace("torch.tanh(gate)", "torch.tanh(gate).abs()"))),
    one("the prefix gets no softmax", "zero_init_attention", (PREFIX, PREFIX.replace(".softmax(3)", ""))),
    one("the gate gets no gradient", "zero_init_attention",
        (GATED, GATED.replace("torch.tanh(gate)", "torch.tanh(gate.detach())"))),
    one("the softmax of the prefix is taken of exp as it is, and large scores overflow", "zero_init_attention",
        (PREFIX, "sizes = (query @ prefix_key.transpose(1, 2)).exp()\n"
                 "    of_prefix = sizes / sizes.sum(3, keepdim=True) @ prefix_value")),
]  # fmt: skip
