"""What goes wrong with LoRA."""

from minipeft.course.wrong_answers import WrongAnswer

VALUE, DOWN = "9 * (88 + 88)", "6 * (112 + 88)"
ROBERTA, GPT2, OURS = "12 * 2 * 8 * (768 + 768)", "24 * 2 * 4 * (1024 + 1024)", f"6 * ({VALUE} + {DOWN})"
LOAD = "        was_merged = self.merged\n        self.unmerge()"


def counts(name: str, roberta: str, gpt2: str, ours: str | None = None) -> WrongAnswer:
    """One way of miscounting, on every model."""
    edits = [(ROBERTA, roberta), (GPT2, gpt2), *([(OURS, ours)] if ours else [])]
    return WrongAnswer(name, "trained_numbers", edits)


WRONG = [
    WrongAnswer("alpha / rank is forgotten", "lora_output", [("(alpha / rank) * (low @ b.T)", "low @ b.T")]),
    WrongAnswer("alpha is not divided by the rank", "lora_output", [("(alpha / rank) * (low", "alpha * (low")]),
    WrongAnswer(
        "alpha is divided by the number of inputs", "lora_output", [("rank = a.shape[0]", "rank = a.shape[1]")]
    ),
    WrongAnswer(
        "the frozen part is scaled too",
        "lora_output",
        [("return base + (alpha / rank) * (low @ b.T)", "return (alpha / rank) * (base + low @ b.T)")],
    ),
    WrongAnswer(
        "the frozen part is left out", "lora_output", [("return base + (alpha / rank)", "return (alpha / rank)")]
    ),
    WrongAnswer(
        "the update is subtracted", "lora_output", [("return base + (alpha / rank)", "return base - (alpha / rank)")]
    ),
    WrongAnswer("the factor is rank / alpha", "lora_output", [("(alpha / rank) * (low", "(rank / alpha) * (low")]),
    WrongAnswer(
        "alpha is multiplied by the rank",
        "lora_output",
        [("(alpha / rank) * (low", "(alpha * rank) * (low")],
    ),
    WrongAnswer(
        "the bound is taken from the rank, as when fan-in is read off the wrong side of a",
        "initial_factors",
        [("bound = inputs**-0.5", "bound = rank**-0.5")],
    ),
    WrongAnswer("the bound is taken from the outputs", "initial_factors", [("inputs**-0.5", "outputs**-0.5")]),
    WrongAnswer(
        "both factors are zero",
        "initial_factors",
        [("a = bound * (2 * torch.rand(rank, inputs, generator=generator) - 1)", "a = torch.zeros(rank, inputs)")],
    ),
    WrongAnswer(
        "b is random too",
        "initial_factors",
        [("torch.zeros(outputs, rank)", "torch.rand(outputs, rank, generator=generator)")],
    ),
    WrongAnswer(
        "a is zero and b is random",
        "initial_factors",
        [
            ("a = bound * (2 * torch.rand(rank, inputs, generator=generator) - 1)", "a = torch.zeros(rank, inputs)"),
            ("torch.zeros(outputs, rank)", "bound * (2 * torch.rand(outputs, rank, generator=generator) - 1)"),
        ],
    ),
    WrongAnswer(
        "a has no negative numbers",
        "initial_factors",
        [("(2 * torch.rand(rank, inputs, generator=generator) - 1)", "torch.rand(rank, inputs, generator=generator)")],
    ),
    WrongAnswer("the bound is 1 / inputs, without the root", "initial_factors", [("inputs**-0.5", "1 / inputs")]),
    WrongAnswer("the seed is ignored", "initial_factors", [("manual_seed(seed)", "manual_seed(0)")]),
    WrongAnswer(
        "the shapes of a are the other way round",
        "initial_factors",
        [("torch.rand(rank, inputs,", "torch.rand(inputs, rank,")],
    ),
    WrongAnswer("alpha / rank is forgotten in merging", "merged_weight", [("w + scaling * (b @ a)", "w + b @ a")]),
    WrongAnswer(
        "alpha is not divided by the rank in merging",
        "merged_weight",
        [("scaling = alpha / a.shape[0]", "scaling = alpha")],
    ),
    WrongAnswer(
        "alpha is divided by the number of inputs in merging",
        "merged_weight",
        [("scaling = alpha / a.shape[0]", "scaling = alpha / a.shape[1]")],
    ),
    WrongAnswer(
        "the update is subtracted in merging", "merged_weight", [("w + scaling * (b @ a)", "w - scaling * (b @ a)")]
    ),
    WrongAnswer("only the update is returned", "merged_weight", [("w + scaling * (b @ a)", "scaling * (b @ a)")]),
    WrongAnswer(
        "the factors are multiplied in the other order",
        "merged_weight",
        [("(b @ a)\n\n\nTRAINED", "(a @ b)\n\n\nTRAINED")],
    ),
    WrongAnswer(
        "w is changed in place",
        "merged_weight",
        [("return w + scaling * (b @ a)", "w += scaling * (b @ a)\n    return w")],
    ),
    WrongAnswer(
        "w is scaled together with the update", "merged_weight", [("w + scaling * (b @ a)", "scaling * (w + b @ a)")]
    ),
    counts("only A is counted", "12 * 2 * 8 * 768", "24 * 2 * 4 * 1024", "6 * (9 * 88 + 6 * 112)"),
    counts("one matrix in a layer is counted, not query and value", "12 * 8 * (768 + 768)", "24 * 4 * (1024 + 1024)"),
    counts("the frozen matrices are counted", "12 * 2 * 768 * 768", "24 * 2 * 1024**2", "9 * 88 * 88 + 6 * 112 * 88"),
    counts(
        "in and out are multiplied, not added",
        "12 * 2 * 8 * 768**2",
        "24 * 2 * 4 * 1024**2",
        "6 * (9 * 88 * 88 + 6 * 112 * 88)",
    ),
    counts("the rank is forgotten", "12 * 2 * (768 + 768)", "24 * 2 * (1024 + 1024)", "9 * 176 + 6 * 200"),
    counts("key and output are counted too", "12 * 4 * 8 * (768 + 768)", "24 * 4 * 4 * (1024 + 1024)"),
    WrongAnswer("the decoder's second attention is forgotten", "trained_numbers", [(VALUE, "6 * (88 + 88)")]),
    WrongAnswer("gate and up are counted too", "trained_numbers", [(DOWN, "18 * (112 + 88)")]),
    WrongAnswer("the down matrices are taken for square ones", "trained_numbers", [(DOWN, "6 * (88 + 88)")]),
    WrongAnswer("all of attention is counted", "trained_numbers", [(VALUE, "36 * (88 + 88)")]),
    WrongAnswer(
        "the old update stays in w while the new factors come",
        "switchable_lora",
        [(LOAD, "        was_merged = self.merged")],
    ),
    WrongAnswer(
        "the new update is added to w, and the old one is not taken out",
        "switchable_lora",
        [(LOAD, "        was_merged = self.merged\n        self.merged = False")],
    ),
    WrongAnswer(
        "the new factors are put in before the old update is taken out",
        "switchable_lora",
        [
            (
                f"{LOAD}  # the old update must leave w while the old factors are there\n        self.a, self.b = a, b",
                "        was_merged = self.merged\n        self.a, self.b = a, b\n        self.unmerge()",
            )
        ],
    ),
    WrongAnswer(
        "a layer that was merged is left unmerged with its new factors",
        "switchable_lora",
        [("        if was_merged:\n            self.merge()\n", "")],
    ),
    WrongAnswer(
        "new factors are always merged at once",
        "switchable_lora",
        [("        if was_merged:\n            self.merge()\n", "        self.merge()\n")],
    ),
    WrongAnswer(
        "alpha is divided by the rank of the first factors for ever",
        "switchable_lora",
        [
            ("self.merged = False\n\n    def update", "self.merged, self.rank = False, len(a)\n\n    def update"),
            ("self.alpha / len(self.a)", "self.alpha / self.rank"),
        ],
    ),
    WrongAnswer(
        "the update counts twice after merging",
        "switchable_lora",
        [("        if not self.merged:\n            y = y", "        if True:\n            y = y")],
    ),
    WrongAnswer(
        "the update does not count before merging",
        "switchable_lora",
        [("        if not self.merged:\n            y = y", "        if False:\n            y = y")],
    ),
    WrongAnswer(
        "the call asks for the opposite of what it should",
        "switchable_lora",
        [("        if not self.merged:\n            y = y", "        if self.merged:\n            y = y")],
    ),
    WrongAnswer(
        "merging twice adds the update twice",
        "switchable_lora",
        [
            (
                "        if not self.merged:\n            self.w += self.update()",
                "        if True:\n            self.w += self.update()",
            )
        ],
    ),
    WrongAnswer(
        "unmerging twice subtracts the update twice",
        "switchable_lora",
        [("        if self.merged:\n            self.w -=", "        if True:\n            self.w -=")],
    ),
    WrongAnswer(
        "unmerge leaves the layer marked as merged",
        "switchable_lora",
        [
            (
                "self.w -= self.update()\n            self.merged = False",
                "self.w -= self.update()\n            self.merged = True",
            )
        ],
    ),
    WrongAnswer(
        "unmerge adds instead of subtracting",
        "switchable_lora",
        [("self.w -= self.update()", "self.w += 2 * self.update()")],
    ),
    WrongAnswer(
        "merge does not note that it has merged",
        "switchable_lora",
        [
            (
                "            self.w += self.update()\n            self.merged = True",
                "            self.w += self.update()",
            )
        ],
    ),
    WrongAnswer(
        "the caller's own weight is changed",
        "switchable_lora",
        [("w.clone(), a, b, alpha", "w, a, b, alpha")],
    ),
    WrongAnswer(
        "alpha is the rank in your test, which hides a missing factor",
        "check_merge",
        [("(4, 6, 3, 7.0), (5, 5, 2, 1.0)", "(4, 6, 3, 3.0), (5, 5, 2, 2.0)")],
    ),
    WrongAnswer(
        "B is zero in your test, which hides everything",
        "check_merge",
        [
            (
                "        before = w.clone()\n        merged",
                "        b.zero_()\n        before = w.clone()\n        merged",
            )
        ],
    ),
    WrongAnswer(
        "no square matrix is tried",
        "check_merge",
        [("(4, 6, 3, 7.0), (5, 5, 2, 1.0)", "(4, 6, 3, 7.0), (5, 7, 2, 1.0)")],
    ),
    WrongAnswer(
        "only rank 1 is tried", "check_merge", [("(4, 6, 3, 7.0), (5, 5, 2, 1.0)", "(4, 6, 1, 7.0), (5, 5, 1, 3.0)")]
    ),
    WrongAnswer(
        "only the shape is compared",
        "check_merge",
        [("        torch.testing.assert_close(merged @ x, expected, rtol=1e-9, atol=1e-9)\n", "")],
    ),
    WrongAnswer(
        "the tolerance is so wide that rounding to 16 bit passes",
        "check_merge",
        [("rtol=1e-9, atol=1e-9", "rtol=0.2, atol=0.2")],
    ),
    WrongAnswer(
        "w is not looked at again after the call", "check_merge", [("        assert torch.equal(w, before)\n", "")]
    ),
    WrongAnswer(
        "the right merge is refused, for want of any tolerance",
        "check_merge",
        [
            (
                "        torch.testing.assert_close(merged @ x, expected, rtol=1e-9, atol=1e-9)",
                "        assert torch.equal(merged @ x, expected)",
            )
        ],
    ),
    WrongAnswer(
        "alpha is divided by the rank itself",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "alpha / a.shape[0]")],
    ),
    WrongAnswer(
        "alpha is under the root too",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "(alpha / a.shape[0]) ** 0.5")],
    ),
    WrongAnswer(
        "alpha is multiplied by the root of the rank",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "alpha * a.shape[0] ** 0.5")],
    ),
    WrongAnswer(
        "the root is taken of the number of inputs",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "alpha / a.shape[1] ** 0.5")],
    ),
    WrongAnswer(
        "alpha is divided by the square of the rank",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "alpha / a.shape[0] ** 2")],
    ),
    WrongAnswer(
        "alpha / sqrt(rank) is handed to lora_output, which divides by the rank again",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "alpha / a.shape[0] ** 1.5")],
    ),
    WrongAnswer(
        "no factor stands before the update", "stabilised_output", [("scale * (x @ a.T @ b.T)", "x @ a.T @ b.T")]
    ),
    WrongAnswer(
        "the root is taken of alpha instead",
        "stabilised_output",
        [("alpha / a.shape[0] ** 0.5", "alpha ** 0.5 / a.shape[0]")],
    ),
]
