"""What goes wrong where some of a model's own numbers are trained."""

from minipeft.course.wrong_answers import WrongAnswer


def one(name: str, exercise: str, *edits: tuple[str, str]) -> WrongAnswer:
    return WrongAnswer(name, exercise, list(edits))


RATE = "rates.append(rate * decay**depth)"
DEPTH = "depth = blocks[parts[0]] - 1 - int(parts[2])"
EMBEDDING = "depth = max(blocks.values())"
POSITIONS = "            depth = blocks[parts[0]]\n"
TOP = 'if parts[0] == "head" or parts[1] == "norm":\n            depth = 0'

ONE_HOT = "y = torch.nn.functional.one_hot(labels, classes).double()"
MEANS = "h_mean, y_mean = h.mean(0), y.mean(0)"
RIDGE = "strength * torch.eye(h.shape[1], dtype=h.dtype)"
SOLVED = "w = torch.linalg.solve(square, h_centred.T @ y_centred).T"
BIAS = "b = y_mean - w @ h_mean"
WITH_ONES = (  # the bias as one more column of W
    "    h = torch.cat([h, torch.ones(len(h), 1, dtype=h.dtype)], 1)\n"
    "    w = torch.linalg.solve(h.T @ h + strength * torch.eye(h.shape[1], dtype=h.dtype), h.T @ y).T\n"
    "    return w[:, :-1].float(), w[:, -1].float()\n"
)

BIASES = '"biases": 24 * (7 * 1024 + 4096) + 1024'
NORMS = '"norms": (2 * 24 + 1) * 2 * 1024'
BLOCK = "BLOCK = 4 * (1024 * 1024 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 4 * 1024"
ALL_BYTES = '"bytes, everything": (4 + 4 + 8) * WHOLE'
TOP_BYTES = '"bytes, top three blocks": 4 * WHOLE + (4 + 8) * 3 * BLOCK'
WHOLE = "WHOLE = 50257 * 1024 + 1024 * 1024"

FIVE = '"top five": 2070 + 5 * 1310 + 4 * 1310'
PAIR = '"seven and eight": 2070 + 8 * 1310 + 1310 + 1310 + 1310'
BIASES_BACK = '"biases": 2070 + 17 * 1310'
EVERYTHING = '"everything": 2 * 2070 + 2 * 17 * 1310'
T5 = '"T5, top two": 2070 + 11 * 2290 + 2 * 2290 + 2 * 1130 + 1130'

LOSS = 'ignore_index=-100, reduction="sum"'
SHARE = "return weight.detach() - rate * total / tokens"
ADDED = "total += torch.autograd.grad(loss, leaf)[0]"
TOKENS = "tokens += int((targets != -100).sum())"

PHASE = "phase = step * (len(weights) + 1) // total"
ALONE = "alone = last if phase == 0 else phase - 1"
TRAINED = "trained = phase > last or layer == alone"
MOMENTUM = "momentum = beta * momentum + gradient"
MOVED = "weight = weight - rate * momentum"

HALT = "        ([1.0, 3.0, 2.0, 2.5, 9.0], 2, (4, 1)),\n"
RESUME = "        ([1.0, 3.0, 2.0, 4.0, 3.5, 3.9, 8.0], 2, (6, 3)),\n"
EQUALS = "        ([2.0, 2.0, 2.0, 5.0], 2, (3, 0)),\n        ([2.0, 7.0, 7.0, 1.0, 7.0], 5, (5, 1)),\n"
NEGATIVE = "        ([-3.0, -1.0, -2.0, -2.5, -0.5], 2, (4, 1)),\n        ([-7.0, -9.0, -6.0], 2, (3, 2)),\n"
CALL = "        assert tuple(stop(given, patience)) == expected, (scores, patience)\n"
UNCHANGED = '        assert given == scores, "scores is changed"\n'

WRONG = [
    one("the lowest block has the rate itself, and those above it less", "block_rates",
        (DEPTH, "depth = int(parts[2])")),
    one("each block has a higher rate than the one above it", "block_rates",
        (RATE, "rates.append(rate / decay**depth)")),
    one("the top block is already one place down", "block_rates", (DEPTH, "depth = blocks[parts[0]] - int(parts[2])")),
    one("both stacks are counted as one tower", "block_rates",
        (DEPTH, 'depth = (sum(blocks.values()) if parts[0] == "encoder" else blocks[parts[0]]) - 1 - int(parts[2])')),
    one("all stacks are counted from the top of the tallest", "block_rates",
        (DEPTH, "depth = max(blocks.values()) - 1 - int(parts[2])")),
    one("the embedding counts as the lowest block", "block_rates", (EMBEDDING, "depth = max(blocks.values()) - 1")),
    one("the embedding counts as the top block", "block_rates",
        (EMBEDDING, "depth = 0")),
    one("the embedding is counted from the stack with the fewest blocks", "block_rates",
        (EMBEDDING, "depth = min(blocks.values())")),
    one("positions count as their lowest block", "block_rates",
        (POSITIONS, "            depth = blocks[parts[0]] - 1\n")),
    one("positions count as the embedding", "block_rates", (POSITIONS, "            depth = max(blocks.values())\n")),
    one("the rate falls in a straight line", "block_rates", (RATE, "rates.append(rate * (1 - (1 - decay) * depth))")),
    one("the factors are returned, not the rates", "block_rates", (RATE, "rates.append(decay**depth)")),
    one("the decay acts once, however deep a block lies", "block_rates",
        (RATE, "rates.append(rate * (decay if depth else 1))")),
    one("the norms within blocks have the rate itself", "block_rates",
        ('parts[1] == "norm":', '"norm" in name:')),
    one("the number of a block is read as one digit", "block_rates", (DEPTH, DEPTH.replace("parts[2]", "parts[2][0]"))),
    one("the norm that ends a stack counts as below its blocks", "block_rates",
        (TOP, 'if parts[0] == "head":\n            depth = 0\n        elif parts[1] == "norm":\n'
              "            depth = blocks[parts[0]]")),
    one("the embedding is counted from the first stack that is named", "block_rates",
        (EMBEDDING, "depth = next(iter(blocks.values()))")),
    one("positions have the rate itself", "block_rates", (POSITIONS, "            depth = 0\n")),

    one("the bias is held back like W", "fit_head", (SOLVED, "w = torch.zeros(classes, h.shape[1], dtype=h.dtype)"),
        (BIAS, "b = y_mean\n" + WITH_ONES.rstrip())),
    one("there is no bias: it stays 0", "fit_head", (MEANS, "h_mean, y_mean = 0 * h.mean(0), 0 * y.mean(0)")),
    one("nothing is held back", "fit_head", (RIDGE, "1e-9 * torch.eye(h.shape[1], dtype=h.dtype)")),
    one("the strength is multiplied by the number of texts", "fit_head", (RIDGE, f"len(h) * {RIDGE}")),
    one("the strength is squared", "fit_head", (RIDGE, RIDGE.replace("strength", "strength**2"))),
    one("W comes back as (width, classes)", "fit_head",
        ("return w.float(), b.float()", "return w.T.float(), b.float()")),
    one("the bias forgets that the features have a mean", "fit_head", (BIAS, "b = y_mean")),
    one("the features are centred, the targets are not", "fit_head",
        ("h - h_mean, y - y_mean", "h - h_mean, y"), (BIAS, "b = -w @ h_mean")),
    one("the bias and W are exchanged", "fit_head", ("return w.float(), b.float()", "return b.float(), w.float()")),
    one("the wrong labels are -1, not 0", "fit_head", (ONE_HOT, ONE_HOT.replace(".double()", ".double() * 2 - 1"))),
    one("the targets are the numbers of the labels", "fit_head",
        (ONE_HOT, "y = labels[:, None].double().expand(-1, classes)")),
    one("each feature is brought to variance 1 first", "fit_head",
        ("h = features.double()", "h = features.double() / features.double().std(0)")),
    one("the features are brought to the length sqrt(d) first, as a probe of the chapter does", "fit_head",
        ("h = features.double()",
         "h = features.shape[1] ** 0.5 * torch.nn.functional.normalize(features.double(), dim=1)")),
    one("the strength is added to the whole matrix, not to its diagonal", "fit_head", (RIDGE, "strength")),
    one("neither features nor targets are centred, only b is worked out from the means", "fit_head",
        ("h - h_mean, y - y_mean", "h, y")),

    one("biases of the norms are left out", "counts", (BIASES, '"biases": 24 * (5 * 1024 + 4096)')),
    one("the bias of the norm on top is left out", "counts", (BIASES, BIASES.removesuffix(" + 1024"))),
    one("attention is taken to have one bias", "counts", (BIASES, BIASES.replace("7 * 1024", "4 * 1024"))),
    one("the feed-forward layer's inner biases are taken to be as many as the width", "counts",
        (BIASES, BIASES.replace("4096", "1024")), (BLOCK, BLOCK.replace(" + 4096 ", " + 1024 "))),
    one("a norm is taken to have one vector", "counts", (NORMS, NORMS.replace("2 * 1024", "1024"))),
    one("the norm on top is left out", "counts", (NORMS, '"norms": 2 * 24 * 2 * 1024')),
    one("a block is taken to have one norm", "counts", (NORMS, NORMS.replace("2 * 24", "24"))),
    one("biases and norms of the blocks are left out", "counts", (BLOCK, "BLOCK = 12 * 1024 * 1024")),
    one("one block is counted, not three", "counts", ('"top three blocks": 3 * BLOCK,', '"top three blocks": BLOCK,')),
    one("the feed-forward layer is taken to have a gate", "counts",
        (BLOCK, BLOCK.replace("2 * 1024 * 4096", "3 * 1024 * 4096"))),
    one("AdamW is taken to keep one number for each parameter", "counts", (ALL_BYTES, ALL_BYTES.replace("8", "4")),
        (TOP_BYTES, TOP_BYTES.replace("8", "4"))),
    one("the gradients are left out", "counts", (ALL_BYTES, '"bytes, everything": (4 + 8) * WHOLE'),
        (TOP_BYTES, '"bytes, top three blocks": 4 * WHOLE + 8 * 3 * BLOCK')),
    one("the frozen weights are taken to need no room", "counts",
        (TOP_BYTES, '"bytes, top three blocks": 16 * 3 * BLOCK')),
    one("gradients and states are counted for frozen weights, too", "counts",
        (TOP_BYTES, '"bytes, top three blocks": 16 * WHOLE')),
    one("the head is counted as a second table", "counts", (WHOLE, "WHOLE = 2 * 50257 * 1024 + 1024 * 1024")),
    one("positions are left out", "counts", (WHOLE, "WHOLE = 50257 * 1024")),
    one("numbers are counted in 16 bits", "counts", (ALL_BYTES, '"bytes, everything": (2 + 2 + 8) * WHOLE'),
        (TOP_BYTES, '"bytes, top three blocks": 2 * WHOLE + (2 + 8) * 3 * BLOCK')),

    one("a trained head is taken to hand the gradient on", "backward", ('"head": 2070', '"head": 2 * 2070')),
    one("a trained head is taken to need the way through all blocks", "backward",
        ('"head": 2070', '"head": 2070 + 17 * 1310')),
    one("the frozen head is taken to cost nothing", "backward", (FIVE, '"top five": 5 * 1310 + 4 * 1310'),
        (PAIR, '"seven and eight": 8 * 1310 + 3 * 1310'), (BIASES_BACK, '"biases": 17 * 1310')),
    one("the frozen head is taken to be trained", "backward", (FIVE, FIVE.replace("2070", "2 * 2070"))),
    one("the lowest trained block is taken to hand the gradient on", "backward",
        (FIVE, FIVE.replace("4 * 1310", "5 * 1310")), (PAIR, f"{PAIR} + 1310")),
    one("the gradient is taken to go down to the embedding in any case", "backward",
        (FIVE, FIVE.replace("4 * 1310", "17 * 1310")), (PAIR, '"seven and eight": 2070 + 17 * 1310 + 2 * 1310')),
    one("only the matrices' own gradients are counted", "backward", (FIVE, '"top five": 5 * 1310'),
        (PAIR, '"seven and eight": 2 * 1310'), (BIASES_BACK, '"biases": 0'),
        (EVERYTHING, '"everything": 2070 + 17 * 1310')),
    one("only the way down is counted", "backward", (FIVE, '"top five": 2070 + 4 * 1310'),
        (PAIR, '"seven and eight": 2070 + 9 * 1310')),
    one("the blocks above the trained ones are skipped", "backward", (PAIR, '"seven and eight": 2070 + 3 * 1310')),
    one("the frozen blocks above the trained ones are taken to get gradients of their own", "backward",
        (PAIR, '"seven and eight": 2070 + 8 * 1310 + 10 * 1310 + 1310')),
    one("seven blocks are taken to stand above number 8", "backward", (PAIR, PAIR.replace("8 * 1310", "7 * 1310"))),
    one("few parameters are taken to mean few multiplications", "backward", (BIASES_BACK, '"biases": 0')),
    one("biases are taken to cost as much as everything", "backward",
        (BIASES_BACK, '"biases": 2 * 2070 + 2 * 17 * 1310')),
    one("the embedding's gradient is taken to need no way down through the lowest block", "backward",
        (EVERYTHING, f"{EVERYTHING} - 1310")),
    one("backward is taken to cost as much as forward", "backward", (EVERYTHING, '"everything": 2070 + 17 * 1310')),
    one("the T5's decoder is taken to end at its trained blocks", "backward", (T5, T5.replace("11 * 2290", "2290"))),
    one("the lowest decoder block is taken to hand nothing on", "backward", (T5, T5.replace("11 * 2290", "10 * 2290"))),
    one("the encoder is forgotten", "backward", (T5, '"T5, top two": 2070 + 11 * 2290 + 2 * 2290')),
    one("the whole encoder is crossed, too", "backward", (T5, T5.removesuffix(" + 1130") + " + 7 * 1130")),

    one("every part counts alike, however many tokens it has", "accumulated",
        (LOSS, "ignore_index=-100"), (ADDED, "total += torch.autograd.grad(loss / len(parts), leaf)[0]"),
        (SHARE, "return weight.detach() - rate * total")),
    one("the parts' means are added up", "accumulated", (LOSS, "ignore_index=-100"),
        (SHARE, "return weight.detach() - rate * total")),
    one("the sum over the tokens is not divided", "accumulated", (SHARE, "return weight.detach() - rate * total")),
    one("padding is counted among the tokens", "accumulated", (TOKENS, "tokens += targets.numel()")),
    one("parts are weighted by their texts, not by their tokens", "accumulated", (LOSS, "ignore_index=-100"),
        (ADDED, "total += len(targets) * torch.autograd.grad(loss, leaf)[0]"), (TOKENS, "tokens += len(targets)")),
    one("parts are weighted by tokens and padding", "accumulated", (LOSS, "ignore_index=-100"),
        (ADDED, "total += targets.numel() * torch.autograd.grad(loss, leaf)[0]"),
        (TOKENS, "tokens += targets.numel()")),
    one("the last part alone counts", "accumulated", (ADDED, "total = torch.autograd.grad(loss, leaf)[0]"),
        (TOKENS, "tokens = int((targets != -100).sum())")),
    one("a step is taken after each part", "accumulated", (LOSS, "ignore_index=-100"),
        (ADDED, "weight = weight.detach() - rate * torch.autograd.grad(loss, leaf)[0]"), (SHARE, "return weight")),
    one("the total of the tokens is that of the last part", "accumulated",
        (TOKENS, "tokens = int((targets != -100).sum())")),
    one("the step goes uphill", "accumulated", (SHARE, SHARE.replace("- rate", "+ rate"))),
    one("the gradient is returned, not the new weight", "accumulated", (SHARE, "return total / tokens")),
    one("gradients are left in `weight`, and the next call adds to them", "accumulated",
        ("leaf = weight.detach().clone().requires_grad_()", "leaf = weight.requires_grad_()"),
        (ADDED, "loss.backward()"), (SHARE, "return weight.detach() - rate * weight.grad / tokens")),
    one("the gradient is divided by the texts", "accumulated", (TOKENS, "tokens += len(targets)")),
    one("`weight` is made to ask for a gradient", "accumulated",
        ("leaf = weight.detach().clone().requires_grad_()", "leaf = weight.requires_grad_()")),

    one("no case ends before its last score", "check_early_stopping", (HALT, ""), (RESUME, ""),
        ("        ([5.0, 4.0, 6.0, 5.0, 5.5, 5.9, 7.0], 3, (6, 2)),\n", ""), (EQUALS, ""), (NEGATIVE, ""),
        ("        ([4.0, 3.0, 5.0], 1, (2, 0)),\n", "")),
    one("no score comes twice", "check_early_stopping", (EQUALS, "")),
    one("no score is below 0", "check_early_stopping", (NEGATIVE, "")),
    one("only the number of looks is compared", "check_early_stopping",
        (CALL, "        assert stop(given, patience)[0] == expected[0]\n")),
    one("only the look that is kept is compared", "check_early_stopping",
        (CALL, "        assert stop(given, patience)[1] == expected[1]\n")),
    one("it does not look whether the list is changed", "check_early_stopping", (UNCHANGED, "")),
    one("the comparison has no assert", "check_early_stopping",
        (CALL, "        tuple(stop(given, patience)) == expected\n")),
    one("the result is returned", "check_early_stopping",
        (CALL, "        return tuple(stop(given, patience)) == expected\n"), (UNCHANGED, "")),
    one("a list is asked for, not a pair", "check_early_stopping",
        (CALL, "        assert stop(given, patience) == list(expected)\n")),
    one("the looks are counted from 0", "check_early_stopping",
        (CALL, "        assert tuple(stop(given, patience)) == (expected[0] - 1, expected[1])\n")),
    one("the patience is 2 in every case", "check_early_stopping",
        ("        ([5.0, 4.0, 6.0, 5.0, 5.5, 5.9, 7.0], 3, (6, 2)),\n", ""),
        ("        ([2.0, 7.0, 7.0, 1.0, 7.0], 5, (5, 1)),\n        ([1.0, 2.0, 3.0, 4.0], 1, (4, 3)),\n"
         "        ([4.0, 3.0, 5.0], 1, (2, 0)),\n", ""), ("        ([8.0], 3, (1, 0)),\n", "")),
    one("no case has fewer scores than its patience", "check_early_stopping", ("        ([8.0], 3, (1, 0)),\n", "")),

    one("frozen layers get a gradient of zero, and their momentum goes on moving them", "chain_thaw_step",
        ("        if trained:\n",
         "        gradient = gradient if trained else torch.zeros_like(gradient)\n        if True:\n")),
    one("the momentum of frozen layers takes their gradients in", "chain_thaw_step",
        ("        if trained:\n            " + MOMENTUM + "\n            " + MOVED + "\n",
         "        " + MOMENTUM + "\n        if trained:\n            " + MOVED + "\n")),
    one("the momentum of frozen layers is lost", "chain_thaw_step",
        (MOVED + "\n", MOVED + "\n        else:\n            momentum = torch.zeros_like(momentum)\n")),
    one("layers that were trained once go on being trained, as in gradual unfreezing", "chain_thaw_step",
        (TRAINED, "trained = phase > last or layer <= phase - 1 or layer == last")),
    one("the head is trained in every phase", "chain_thaw_step",
        (TRAINED, "trained = phase > last or layer in (alone, last)")),
    one("the other layers come from the top down", "chain_thaw_step",
        (ALONE, "alone = last if phase == 0 else last - phase")),
    one("the head comes last, not first", "chain_thaw_step", (ALONE, "alone = phase")),
    one("the last phase, with all layers, is missing", "chain_thaw_step",
        (PHASE, "phase = step * len(weights) // total")),
    one("the head has no phase of its own", "chain_thaw_step",
        (PHASE, "phase = step * len(weights) // total"), (ALONE, "alone = phase"),
        (TRAINED, "trained = phase >= last or layer == alone")),
    one("the steps of a phase are rounded down, and the rest goes to the last", "chain_thaw_step",
        (PHASE, "phase = min(step // (total // (len(weights) + 1)), len(weights))")),
    one("steps are counted from 1", "chain_thaw_step",
        (PHASE, "phase = min((step + 1) * (len(weights) + 1) // total, len(weights))")),
    one("phases are rounded to the nearest", "chain_thaw_step",
        (PHASE, "phase = min(round(step * (len(weights) + 1) / total), len(weights))")),
    one("the momentum of frozen layers fades", "chain_thaw_step",
        (MOVED + "\n", MOVED + "\n        else:\n            momentum = beta * momentum\n")),
    one("weights and momenta are exchanged", "chain_thaw_step",
        ("return new_weights, new_momenta", "return new_momenta, new_weights")),
    one("the gradient is averaged into the momentum, as in Adam", "chain_thaw_step",
        (MOMENTUM, "momentum = beta * momentum + (1 - beta) * gradient")),
    one("the weights move before the momentum is brought up to date", "chain_thaw_step",
        (MOMENTUM + "\n            " + MOVED, MOVED + "\n            " + MOMENTUM)),
    one("the momentum is left out of the step", "chain_thaw_step", (MOVED, "weight = weight - rate * gradient")),
    one("the step goes uphill", "chain_thaw_step", (MOVED, "weight = weight + rate * momentum")),
    one("the last step is taken to be step `total`", "chain_thaw_step",
        (PHASE, "phase = min(step * (len(weights) + 1) // (total - 1), len(weights))")),
]  # fmt: skip
