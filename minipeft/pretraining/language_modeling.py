"""Language modelling: go on writing a text from where it was cut (prefix), or from its beginning (causal).

    text      Anna took the lamp to the kitchen .
    prefix    source: Anna took the lamp         target: to the kitchen .        no sentinels
    causal    source: </s>                       target: Anna took the lamp to the kitchen .

Prefix language modelling turns a base that has only filled gaps into one that writes text ("LM adaptation"): Lester et
al. 2021, arXiv:2104.08691, section 3.2; the cut is uniform as in `prefix_lm` of T5's released code.
"""

import random
from collections.abc import Sequence


def prefix_split(ids: Sequence[int], generator: random.Random) -> tuple[list[int], list[int]]:
    """The text cut in two at a place uniform on 1 ... len(ids) - 1, so that neither side is empty.

    Neither side gets end-of-sequence here. Raises ValueError for under two tokens.
    """
    if len(ids) < 2:
        raise ValueError(f"A text of {len(ids)} tokens cannot be cut in two.")
    cut = generator.randint(1, len(ids) - 1)
    return list(ids[:cut]), list(ids[cut:])


def causal(ids: Sequence[int], eos: int) -> tuple[list[int], list[int]]:
    """End-of-sequence as the source, which says "a text starts here" (GPT-2's habit), and the whole text as target."""
    return [eos], list(ids)
