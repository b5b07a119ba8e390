"""Mistakes in the exercises of chapter 14."""

from minipeft.course.wrong_answers import WrongAnswer

BELOW = "below = torch.linspace(0.5, outermost, count // 2, dtype=torch.float64)[1:]"
ABOVE = "above = torch.linspace(0.5, outermost, count // 2 + 1, dtype=torch.float64)[1:]"
MORE_BELOW = BELOW.replace("count // 2", "count // 2 + 1")
LEVELS = "levels = torch.cat([-torch.special.ndtri(below), zero, torch.special.ndtri(above)])"
OUTERMOST = "outermost = 1 - (1 / (2 * count - 2) + 1 / (2 * count)) / 2"
NEAREST = "codes.append(distances.argmin(1))"
OUTPUT = "return x @ weight.T + (alpha / len(A)) * (low @ B.T)"
DRAWN = "values = torch.randn(150, generator=torch.Generator().manual_seed(seed))"
UNLIKE = "        values *= torch.tensor([1.0, 100.0, 0.01]).repeat_interleave(64)[:150]\n"
BOUND = "bound = half_gap * block.abs().max()"
CLOSE = "assert ((kept - block).abs() <= 1.0001 * bound).all()"
COUNTED = "assert len(kept.unique()) <= 16"
ZEROS = "assert (left[values == 0] == 0).all()"
AGAIN = "assert torch.equal(round_trip(left.clone(), 64), left)"
NF4 = "NF4_BYTES = QUANTIZED // 2 + 4 * BLOCKS + 2 * PLAIN"
DOUBLE = "DOUBLE_NF4_BYTES = QUANTIZED // 2 + (BLOCKS + 4 * BLOCKS // 256 + 4 * 7 * LAYERS) + 2 * PLAIN"
ADAPTERS = "ADAPTERS = RANK * LAYERS * (4 * (WIDTH + WIDTH) + 3 * (WIDTH + INNER))"
STATE = "LORA_STATE_BYTES = (4 + 4 + 8) * ADAPTERS"
MERGED = "merged = old + alpha / len(A) * (B @ A)"
STORE = "    codes, absmax = quantize(merged)\n"
ERROR = "float((stored - merged).norm() / merged.norm())"

WRONG = [
    WrongAnswer("both sides have eight levels beside the zero", "nf4_levels", [(BELOW, MORE_BELOW)]),
    WrongAnswer(
        "the side below zero gets eight levels and the one above seven",
        "nf4_levels",
        [(BELOW, MORE_BELOW), (ABOVE, ABOVE.replace(" + 1", ""))],
    ),
    WrongAnswer(
        "there is no zero among the levels, since both sides have eight",
        "nf4_levels",
        [(BELOW, MORE_BELOW), (LEVELS, LEVELS.replace(" zero,", ""))],
    ),
    WrongAnswer("the levels are not divided by the largest", "nf4_levels", [("(levels / levels.max())", "levels")]),
    WrongAnswer(
        "the levels are the probabilities themselves and not their quantiles",
        "nf4_levels",
        [(LEVELS, "levels = torch.cat([0.5 - below, zero, above - 0.5])")],
    ),
    WrongAnswer(
        "the outermost probability is 1, whose quantile is infinite", "nf4_levels", [(OUTERMOST, "outermost = 1.0")]
    ),
    WrongAnswer(
        "the outermost probability is 1 - 1/32 and not the mean of both",
        "nf4_levels",
        [(OUTERMOST, "outermost = 1 - 1 / (2 * count)")],
    ),
    WrongAnswer("0.5 is left among the probabilities, and zero stands twice", "nf4_levels", [(ABOVE, ABOVE[:-4])]),
    WrongAnswer("the levels are not sorted", "nf4_levels", [("levels = levels.sort().values", "pass")]),
    WrongAnswer("the levels are always those of 4 bits", "nf4_levels", [("count = 2**bits", "count = 16")]),
    WrongAnswer(
        "the outermost probability is always that of 4 bits", "nf4_levels", [(OUTERMOST, "outermost = 0.96770833333")]
    ),
    WrongAnswer(
        "the largest number is taken and not the largest size",
        "quantize_blocks",
        [("block.abs().max()\n        scaled", "block.max()\n        scaled")],
    ),
    WrongAnswer(
        "one absmax serves all blocks",
        "quantize_blocks",
        [("block.abs().max()\n        scaled", "values.abs().max()\n        scaled")],
    ),
    WrongAnswer(
        "the numbers are not divided by absmax", "quantize_blocks", [("block / largest.clamp(min=1e-38)", "block")]
    ),
    WrongAnswer("a block of zeros is divided by zero", "quantize_blocks", [("largest.clamp(min=1e-38)", "largest")]),
    WrongAnswer(
        "the level below is taken and not the nearest one",
        "quantize_blocks",
        [(NEAREST, "codes.append(torch.searchsorted(levels, scaled, right=True) - 1)")],
    ),
    WrongAnswer(
        "the next level above is taken and not the nearest one: compare with the midpoints between levels",
        "quantize_blocks",
        [(NEAREST, "codes.append(torch.bucketize(scaled, levels))")],
    ),
    WrongAnswer(
        "the sign is lost before the nearest level is sought",
        "quantize_blocks",
        [("(scaled[:, None] - levels)", "(scaled[:, None].abs() - levels)")],
    ),
    WrongAnswer(
        "block_size is taken for the number of blocks",
        "quantize_blocks",
        [("values.split(block_size)", "values.chunk(block_size)")],
    ),
    WrongAnswer("the farthest level is taken", "quantize_blocks", [("argmin(1)", "argmax(1)")]),
    WrongAnswer(
        "1 / absmax is returned in place of absmax",
        "quantize_blocks",
        [("absmax.append(largest)", "absmax.append(1 / largest)")],
    ),
    WrongAnswer(
        "a shorter last block is left out",
        "quantize_blocks",
        [("values.split(block_size)", "values[: len(values) // block_size * block_size].split(block_size)")],
    ),
    WrongAnswer(
        "a code is put together with the one half a tensor away, not with its neighbour",
        "pack",
        [("codes.view(-1, 2).unbind(1)", "codes.view(2, -1)")],
    ),
    WrongAnswer("the two halves are exchanged", "pack", [("low + 16 * high", "high + 16 * low")]),
    WrongAnswer("the second code is shifted by 3 bits", "pack", [("16 * high", "8 * high")]),
    WrongAnswer("the second code is multiplied by 15 in place of 16", "pack", [("16 * high", "15 * high")]),
    WrongAnswer(
        "+ binds tighter than <<, so the first code is added to the shift",
        "pack",
        [("low + 16 * high", "high << 4 + low")],
    ),
    WrongAnswer("& is taken for +", "pack", [("low + 16 * high", "low & 16 * high")]),
    WrongAnswer(
        "the half byte left over holds code 0, which is the level -1", "pack", [("new_tensor([7])", "new_tensor([0])")]
    ),
    WrongAnswer(
        "the code that fills up stands before the others",
        "pack",
        [("torch.cat([codes, codes.new_tensor([7])])", "torch.cat([codes.new_tensor([7]), codes])")],
    ),
    WrongAnswer(
        "the last code of an odd number is dropped",
        "pack",
        [("codes = torch.cat([codes, codes.new_tensor([7])])", "codes = codes[:-1]")],
    ),
    WrongAnswer("the bytes are kept as 64-bit integers", "pack", [("codes.to(torch.uint8)", "codes.to(torch.int64)")]),
    WrongAnswer("alpha / rank is forgotten", "qlora_output", [("(alpha / len(A)) * ", "")]),
    WrongAnswer("alpha is not divided by the rank", "qlora_output", [("(alpha / len(A)) * ", "alpha * ")]),
    WrongAnswer(
        "alpha is divided by the number of inputs, not by the rank",
        "qlora_output",
        [("(alpha / len(A)) *", "(alpha / A.shape[1]) *")],
    ),
    WrongAnswer(
        "alpha / rank scales W_q x, too",
        "qlora_output",
        [(OUTPUT, "return (alpha / len(A)) * (x @ weight.T + low @ B.T)")],
    ),
    WrongAnswer("W_q x is left out", "qlora_output", [(OUTPUT, "return (alpha / len(A)) * (low @ B.T)")]),
    WrongAnswer("the update is left out", "qlora_output", [(OUTPUT, "return x @ weight.T + 0 * (low @ B.T)")]),
    WrongAnswer(
        "x is detached before W_q, and nothing below it learns through W_q",
        "qlora_output",
        [(OUTPUT, OUTPUT.replace("x @ weight.T", "x.detach() @ weight.T"))],
    ),
    WrongAnswer(
        "x is detached before A, and nothing below it learns through the update",
        "qlora_output",
        [("low = x @ A.T", "low = x.detach() @ A.T")],
    ),
    WrongAnswer(
        "A and B are frozen as W_q is",
        "qlora_output",
        [("low = x @ A.T", "low = x @ A.detach().T"), ("low @ B.T", "low @ B.detach().T")],
    ),
    WrongAnswer(
        "W_q is written out in float32 and so is the output",
        "qlora_output",
        [('"nf4", 64, x.dtype)', '"nf4", 64)'), (OUTPUT, OUTPUT.replace("x @ weight", "x.float() @ weight"))],
    ),
    WrongAnswer("whether zero stays zero is not tested", "check_round_trip", [(ZEROS, "assert True")]),
    WrongAnswer("a second round trip is not tested", "check_round_trip", [(AGAIN, "assert True")]),
    WrongAnswer(
        "the different numbers are not counted, and doing nothing passes",
        "check_round_trip",
        [(COUNTED, "assert True")],
    ),
    WrongAnswer(
        "only whole blocks are tried",
        "check_round_trip",
        [(DRAWN, DRAWN.replace("150", "192")), (UNLIKE, UNLIKE.replace("[:150]", ""))],
    ),
    WrongAnswer("only numbers above zero are tried", "check_round_trip", [(DRAWN, DRAWN + ".abs()")]),
    WrongAnswer(
        "the bound is a whole gap and not half of it",
        "check_round_trip",
        [("half_gap = (1 - 0.6961928) / 2", "half_gap = 1 - 0.6961928")],
    ),
    WrongAnswer(
        "the bound is that of evenly spaced levels",
        "check_round_trip",
        [("half_gap = (1 - 0.6961928) / 2", "half_gap = 1 / 15")],
    ),
    WrongAnswer(
        "the bound takes the largest number of all blocks",
        "check_round_trip",
        [(BOUND, "bound = half_gap * values.abs().max()")],
    ),
    WrongAnswer("nothing at all may be lost", "check_round_trip", [(CLOSE, "assert torch.equal(kept, block)")]),
    WrongAnswer(
        "the absmax numbers are left out",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = QUANTIZED // 2 + 2 * PLAIN\nDOUBLE")],
    ),
    WrongAnswer(
        "embedding, head and norms are left out",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = QUANTIZED // 2 + 4 * BLOCKS\nDOUBLE")],
    ),
    WrongAnswer(
        "embedding, head and norms are in 4 bits, too",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = (QUANTIZED + PLAIN) // 2 + 4 * (QUANTIZED + PLAIN) // 64\nDOUBLE")],
    ),
    WrongAnswer(
        "a code is counted as a byte",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = QUANTIZED + 4 * BLOCKS + 2 * PLAIN\nDOUBLE")],
    ),
    WrongAnswer(
        "absmax is counted in 16 bits",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = QUANTIZED // 2 + 2 * BLOCKS + 2 * PLAIN\nDOUBLE")],
    ),
    WrongAnswer(
        "bits are counted and not bytes",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = QUANTIZED * 4 + 32 * BLOCKS + 16 * PLAIN\nDOUBLE")],
    ),
    WrongAnswer(
        "embedding, head and norms are counted in 32 bits",
        "nf4_bytes",
        [(NF4 + "\nDOUBLE", "NF4_BYTES = QUANTIZED // 2 + 4 * BLOCKS + 4 * PLAIN\nDOUBLE")],
    ),
    WrongAnswer(
        "the head is taken for the embedding itself",
        "nf4_bytes",
        [("PLAIN = 2 * VOCABULARY * WIDTH", "PLAIN = VOCABULARY * WIDTH")],
    ),
    WrongAnswer(
        "the absmax numbers are still counted in 32 bits",
        "double_nf4_bytes",
        [("(BLOCKS + 4 * BLOCKS // 256 +", "(4 * BLOCKS + 4 * BLOCKS // 256 +")],
    ),
    WrongAnswer(
        "the scales of 256 absmax numbers are left out",
        "double_nf4_bytes",
        [("(BLOCKS + 4 * BLOCKS // 256 +", "(BLOCKS +")],
    ),
    WrongAnswer(
        "the scales are one for each 256 weights and not for each 256 blocks",
        "double_nf4_bytes",
        [("4 * BLOCKS // 256 +", "4 * QUANTIZED // 256 +")],
    ),
    WrongAnswer("all the rest is counted in 32 bits", "double_nf4_bytes", [(DOUBLE, DOUBLE.replace("2 * P", "4 * P"))]),
    WrongAnswer("the means are left out", "double_nf4_bytes", [(" + 4 * 7 * LAYERS)", ")")]),
    WrongAnswer(
        "there is one mean for each layer and not for each matrix",
        "double_nf4_bytes",
        [("4 * 7 * LAYERS", "4 * LAYERS")],
    ),
    WrongAnswer(
        "the scales are counted as one byte each", "double_nf4_bytes", [("4 * BLOCKS // 256 +", "BLOCKS // 256 +")]
    ),
    WrongAnswer(
        "embedding, head and norms are left out",
        "double_nf4_bytes",
        [("4 * 7 * LAYERS) + 2 * PLAIN", "4 * 7 * LAYERS)")],
    ),
    WrongAnswer("the gradients are left out", "lora_state_bytes", [(STATE, STATE.replace("4 + 4 + 8", "4 + 8"))]),
    WrongAnswer(
        "only one moving average is counted", "lora_state_bytes", [(STATE, STATE.replace("4 + 4 + 8", "4 + 4 + 4"))]
    ),
    WrongAnswer(
        "weights and gradients are counted in 16 bits",
        "lora_state_bytes",
        [(STATE, STATE.replace("4 + 4 + 8", "2 + 2 + 8"))],
    ),
    WrongAnswer(
        "only attention is adapted", "lora_state_bytes", [(ADAPTERS, "ADAPTERS = RANK * LAYERS * 4 * (WIDTH + WIDTH)")]
    ),
    WrongAnswer(
        "only queries and values are adapted",
        "lora_state_bytes",
        [(ADAPTERS, "ADAPTERS = RANK * LAYERS * 2 * (WIDTH + WIDTH)")],
    ),
    WrongAnswer(
        "A is counted and B is not",
        "lora_state_bytes",
        [(ADAPTERS, "ADAPTERS = RANK * LAYERS * (4 * WIDTH + 3 * WIDTH)")],
    ),
    WrongAnswer(
        "in and out are multiplied and not added",
        "lora_state_bytes",
        [(ADAPTERS, "ADAPTERS = RANK * LAYERS * (4 * (WIDTH * WIDTH) + 3 * (WIDTH * INNER))")],
    ),
    WrongAnswer(
        "one layer is counted and not 32", "lora_state_bytes", [("ADAPTERS = RANK * LAYERS *", "ADAPTERS = RANK *")]
    ),
    WrongAnswer("the weights alone are counted", "lora_state_bytes", [(STATE, STATE.replace("(4 + 4 + 8)", "4"))]),
    WrongAnswer("alpha / rank is forgotten", "merge_requantized", [(MERGED, "merged = old + (B @ A)")]),
    WrongAnswer("alpha is not divided by the rank", "merge_requantized", [(MERGED, "merged = old + alpha * (B @ A)")]),
    WrongAnswer(
        "the update alone is stored and W_q is lost",
        "merge_requantized",
        [(MERGED, "merged = alpha / len(A) * (B @ A)")],
    ),
    WrongAnswer("the update is subtracted", "merge_requantized", [(MERGED, MERGED.replace("+", "-"))]),
    WrongAnswer(
        "the codes are new and the absmax numbers the old ones",
        "merge_requantized",
        [(STORE, "    codes, _ = quantize(merged)\n")],
    ),
    WrongAnswer(
        "the absmax numbers are new and the codes the old ones",
        "merge_requantized",
        [(STORE, "    _, absmax = quantize(merged)\n")],
    ),
    WrongAnswer(
        "W_q is stored again without the update", "merge_requantized", [(STORE, "    codes, absmax = quantize(old)\n")]
    ),
    WrongAnswer(
        "the error is not divided by the size of the sum",
        "merge_requantized",
        [(ERROR, "float((stored - merged).norm())")],
    ),
    WrongAnswer(
        "the error is the distance to W_q and not to the sum",
        "merge_requantized",
        [(ERROR, ERROR.replace("(stored - merged)", "(stored - old)"))],
    ),
    WrongAnswer(
        "the error is the largest one and not the norm",
        "merge_requantized",
        [(ERROR, "float((stored - merged).abs().max() / merged.abs().max())")],
    ),
    WrongAnswer(
        "the error is left in squares",
        "merge_requantized",
        [(ERROR, "float((stored - merged).square().sum() / merged.square().sum())")],
    ),
]
