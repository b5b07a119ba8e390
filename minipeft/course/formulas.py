r"""Formulas as mathematics: blocks fenced as `math` and `$...$` within a line, both LaTeX, and the names in them.

A name of several letters is written `\text{rank}`, one of several words `\text{block size}`: `block_size`.
Single letters need a space or a sign between them: `B A x`.
"""

import re

INLINE = re.compile(r"\$(?![\s$])([^$\n]*[^$\s\n])\$")
WORDS = re.compile(r"\\(?:text|mathrm)\{([^{}]*)\}")
GREEK = set("alpha beta gamma delta epsilon eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "
            "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split())  # fmt: skip
NAME = re.compile(r"[^\W\d_]\w*'?")


def names(tex: str) -> list[str]:
    r"""The names in a formula, as code writes them: `\frac{\alpha}{\text{rank}} W_\text{up}'` has alpha, rank, W_up'.

    Commands that only say how something looks (`\frac`, `\sum`, `\quad`, ...) are none. Words between spaces, as in
    `\text{ if }`, are words of a sentence and are given one by one.
    """
    plain = WORDS.sub(lambda match: match[1].replace(" ", "_") if match[1] == match[1].strip() else match[1], tex)
    plain = re.sub(r"\\(?:begin|end)\{\w+\}", " ", plain)
    plain = re.sub(r"_\{(\w+)\}", r"_\1", plain)  # P_{ij} is one name, y_{t - 1} is y with another behind it
    plain = re.sub(r"_(?=\W)", " ", plain)
    plain = re.sub(r"\\([A-Za-z]+)", lambda match: match[1] if match[1] in GREEK else " ", plain)
    return NAME.findall(plain)


def inline(text: str) -> list[str]:
    """What stands between dollar signs in a line of text."""
    return INLINE.findall(text)
