"""What goes wrong with LoRA."""

from minipeft.course.wrong_answers import WrongAnswer

ATTENTION, FEED_FORWARD = "24 * (88 + 88)", "9 * (88 + 112)"
ROBERTA = "12 * 6 * (2 * (768 + 768) + 2 * (768 + 3072))"
GPT3, OURS = "96 * 3 * 3 * (12288 + 12288)", f"5 * ({ATTENTION} + {FEED_FORWARD})"
LOW, UP = 'torch.einsum("bi,bri->br", x, a[tasks])', 'torch.einsum("br,bor->bo", low, b[tasks])'
LAYER = f"x @ w.T + (alpha / rank) * {UP}"
ADDED = "total = total + alpha / a.shape[0] * (b @ a)  # not +=, which would write into a w of float32"
MERGING = (
    "            self.before = self.w.clone()\n            self.w += self.update()\n            self.merged = True\n"
)
UNMERGING = (
    "            self.w = self.before  # a and b may have changed since: their update is not the one that was added\n"
    "            self.merged = False\n"
)
ANSWER = "return y if self.merged else y + x @ self.update().T"


def counts(name: str, roberta: str, gpt3: str, ours: str | None = None) -> WrongAnswer:
    """One way of miscounting, on every model."""
    edits = [(ROBERTA, roberta), (GPT3, gpt3), *([(OURS, ours)] if ours else [])]
    return WrongAnswer(name, "trained_numbers", edits)


def one(name: str, exercise: str, old: str, new: str) -> WrongAnswer:
    return WrongAnswer(name, exercise, [(old, new)])


WRONG = [
    one("alpha / rank is forgotten", "lora_output", "(alpha / rank) * torch", "torch"),
    one("alpha is not divided by the rank", "lora_output", "(alpha / rank) * torch", "alpha * torch"),
    one("the number of tasks is taken for the rank", "lora_output", "rank = a.shape[1]", "rank = a.shape[0]"),
    one("alpha is divided by the number of inputs", "lora_output", "rank = a.shape[1]", "rank = a.shape[2]"),
    one("the frozen part is scaled too", "lora_output", LAYER, f"(alpha / rank) * (x @ w.T + {UP})"),
    one("the frozen part is left out", "lora_output", LAYER, f"(alpha / rank) * {UP}"),
    one("the update is subtracted", "lora_output", "x @ w.T + (alpha", "x @ w.T - (alpha"),
    one(
        "every row takes the update of the first row's task",
        "lora_output",
        LAYER,
        "x @ w.T + (alpha / rank) * (x @ a[tasks[0]].T @ b[tasks[0]].T)",
    ),
    one(
        "the updates are taken in the order of the rows, not by their tasks",
        "lora_output",
        "rank = a.shape[1]\n",
        "rank = a.shape[1]\n    tasks = torch.arange(len(x)) % len(a)\n",
    ),
    one(
        "every row gets all updates, one on top of another",
        "lora_output",
        LAYER,
        "x @ w.T + (alpha / rank) * sum(x @ one.T @ other.T for one, other in zip(a, b, strict=True))",
    ),
    one("a is cut off from its gradient", "lora_output", "a[tasks])", "a.detach()[tasks])"),
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
    one("alpha / rank is forgotten in merging", "merged_weight", "alpha / a.shape[0] * (b @ a)", "(b @ a)"),
    one("alpha is not divided by the rank in merging", "merged_weight", "alpha / a.shape[0] * (b", "alpha * (b"),
    one("only the last update is added", "merged_weight", ADDED, "total = w.float() + alpha / a.shape[0] * (b @ a)"),
    one("the updates are subtracted", "merged_weight", "total + alpha", "total - alpha"),
    one("only the updates are returned", "merged_weight", "total = w.float()", "total = 0 * w.float()"),
    one("only the first update is added", "merged_weight", "in updates:", "in updates[:1]:"),
    one(
        "every update has the first one's factor",
        "merged_weight",
        "alpha / a.shape[0] * (b",
        "updates[0][2] / updates[0][0].shape[0] * (b",
    ),
    one(
        "every update is rounded to the type of w on its own",
        "merged_weight",
        ADDED,
        "total = (total + alpha / a.shape[0] * (b @ a)).to(w.dtype).float()",
    ),
    one("the result stays in float32", "merged_weight", "total.to(w.dtype)", "total"),
    one("w is changed in place", "merged_weight", ADDED, "total += alpha / a.shape[0] * (b @ a)"),
    one(
        "w is counted once for each update",
        "merged_weight",
        ADDED,
        "total = total + (w.float() if total.data_ptr() != w.data_ptr() else 0) + alpha / a.shape[0] * (b @ a)",
    ),
    counts("only A is counted", "12 * 6 * (3 * 768 + 3072)", "96 * 3 * 3 * 12288", "5 * (24 * 88 + 6 * 88 + 3 * 112)"),
    counts("only B is counted", "12 * 6 * (2 * 768 + 3072 + 768)", "96 * 3 * 3 * 12288", "5 * (27 * 88 + 6 * 112)"),
    counts(
        "one matrix of each kind is counted, not two or three",
        "12 * 6 * (2 * 768 + 768 + 3072)",
        "96 * 3 * (12288 + 12288)",
    ),
    counts(
        "the frozen matrices are counted",
        "12 * (2 * 768**2 + 2 * 768 * 3072)",
        "96 * 3 * 12288**2",
        "24 * 88 * 88 + 9 * 88 * 112",
    ),
    counts(
        "in and out are multiplied, not added",
        "12 * 6 * (2 * 768**2 + 2 * 768 * 3072)",
        "96 * 3 * 3 * 12288**2",
        "5 * (24 * 88 * 88 + 9 * 88 * 112)",
    ),
    counts("the rank is forgotten", "12 * (2 * 1536 + 2 * 3840)", "96 * 3 * (12288 + 12288)", "24 * 176 + 9 * 200"),
    counts(
        "the matrices of feed-forward are taken for square ones",
        "12 * 6 * 4 * (768 + 768)",
        GPT3,
        "5 * (24 * (88 + 88) + 9 * (88 + 88))",
    ),
    one("the decoder's second attention is forgotten", "trained_numbers", ATTENTION, "12 * (88 + 88)"),
    one("the gate matrices are forgotten", "trained_numbers", FEED_FORWARD, "6 * (88 + 112)"),
    one("the encoder is counted too", "trained_numbers", OURS, "5 * (36 * (88 + 88) + 18 * (88 + 112))"),
    one(
        "unmerging subtracts the update of now, not the one that was added",
        "switchable_lora",
        "            self.w = self.before  # a and b may have changed since: their update is not the one that was added\n",  # noqa: E501
        "            self.w -= self.update()\n",
    ),
    one("the update counts twice after merging", "switchable_lora", ANSWER, "return y + x @ self.update().T"),
    one("the update does not count before merging", "switchable_lora", ANSWER, "return y"),
    one(
        "the call asks for the opposite of what it should",
        "switchable_lora",
        "y if self.merged",
        "y if not self.merged",
    ),
    one(
        "merging twice adds the update twice", "switchable_lora", "        if not self.merged:\n", "        if True:\n"
    ),
    one("unmerge leaves the layer marked as merged", "switchable_lora", UNMERGING, UNMERGING.replace("False", "True")),
    one(
        "merge does not note that it has merged",
        "switchable_lora",
        MERGING,
        MERGING.replace("            self.merged = True\n", ""),
    ),
    one(
        "a copy of a and b is made at the start, which no training reaches",
        "switchable_lora",
        "w.clone(), a, b",
        "w.clone(), a.clone(), b.clone()",
    ),
    one(
        "the weight of the start is kept by its place, and changes with it",
        "switchable_lora",
        "self.before = self.w.clone()",
        "self.before = self.w",
    ),
    one("the caller's own weight is changed", "switchable_lora", "w.clone(), a, b", "w, a, b"),
    one(
        "it never merges, and computes both parts each time",
        "switchable_lora",
        "            self.w += self.update()\n",
        "",
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
