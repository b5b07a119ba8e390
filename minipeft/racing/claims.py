"""`python -m minipeft.racing.claims`: what papers claim, and what the committed results say to it, by a written rule.

`data/claims_of_papers.json` is typed: each claim in a sentence, its source, and which rows of which files it is about.
`data/results/claims.json` is made from it and from those files, with the counts in README.md's first sentence and the
table of data/results/README.md.

The rule. Each comparison says what the claim expects of the first row minus the second, by seeds, batches or rounds,
whichever the file has:

    higher    above 0        lower    below 0        level    within +-2 points        at least    above -2 points

Its p-value is that of the distance from the difference to the nearest end of what is expected: below 0.05 where the 95%
interval of `differences.py` lies on one side of that end. The comparisons of a claim are many chances to be right or
wrong by luck, so their p-values are corrected as Holm does. Where the corrected one is below 0.05, the comparison says
"yes" or "no", as the difference lies where the claim expects it or not. Else, and where a row has fewer than three
seeds, it is "open". Rows are paired where both tell the same seeds, or stand in one file that tells none.

reproduced: yes in all comparisons, or settled by a test where the claim is a law. contradicted: no in more than half of
them. in part: yes in some, or in all where a part of the claim was not tested. not seen: yes in none, and no in half of
them at most. untested: neither comparison nor test.

Test: tests/racing/test_claims.py.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

from minipeft.files import read_json, write_json, write_text
from minipeft.flags import ended
from minipeft.paths import DATA, REPOSITORY
from minipeft.racing import tables
from minipeft.racing.addresses import files_of, found_at, same_seeds
from minipeft.racing.differences import ALPHA, FEWEST_SEEDS, LEVEL_WITHIN, Difference, difference, holm

ASKED, MADE, README = DATA / "claims_of_papers.json", DATA / "results" / "claims.json", REPOSITORY / "README.md"
ENDS = {"higher": (0.0,), "lower": (0.0,), "at least": (-LEVEL_WITHIN,), "level": (-LEVEL_WITHIN, LEVEL_WITHIN)}
VERDICTS = ("reproduced", "in part", "not seen", "contradicted", "untested")
COUNTS = re.compile(r"\d+ reproduced, \d+ in part,\s+\d+ not seen,\s+\d+ contradicted,\s+\d+ untested")


def chance(asked: dict) -> tuple[Difference, float | None]:
    """The difference of a comparison, and the p-value of its distance to the nearest end of what is expected.

    None where nothing tells what chance could do.
    """
    first, second = (found_at(asked[side]) for side in ("first", "second"))
    pairing = {"paired": same_seeds(asked["first"], asked["second"]), "fixed": (first.fixed, second.fixed)}
    found = difference("first", first.numbers, "second", second.numbers, **pairing)
    if found.low is None or found.n < FEWEST_SEEDS:
        return found, None
    end = min(ENDS[asked["expect"]], key=lambda end: abs(found.difference - end))
    moved = difference("first", [number - end for number in first.numbers], "second", second.numbers, **pairing)
    return found, 0.0 if moved.p is None else moved.p  # None: rows that are equal in all seeds, at a distance from it


def outcome(found: Difference, expect: str, p: float | None) -> str:
    """ "yes", "no" or "open", by the corrected p-value and by where the difference lies."""
    if p is None or p >= ALPHA:
        return "open"
    yes = {
        "higher": found.difference > 0,
        "lower": found.difference < 0,
        "at least": found.difference > -LEVEL_WITHIN,
        "level": abs(found.difference) < LEVEL_WITHIN,
    }[expect]
    return "yes" if yes else "no"


def verdict(outcomes: list[str], settled: bool, whole: bool = True) -> str:
    """One of VERDICTS, as the rule says. settled: by a test. whole: no part of the claim was left untested."""
    if not outcomes and not settled:
        return "untested"
    if 2 * outcomes.count("no") > len(outcomes):
        return "contradicted"
    if set(outcomes) <= {"yes"}:
        return "reproduced" if whole else "in part"
    return "in part" if "yes" in outcomes else "not seen"


def compared(asked: list[dict]) -> list[dict]:
    """The comparisons of a claim, each with its n, difference, interval, corrected p-value and outcome."""
    found = [chance(entry) for entry in asked]
    corrected = iter(holm([p for _, p in found if p is not None]))
    comparisons = []
    for entry, (pair, p) in zip(asked, found, strict=True):
        p = None if p is None else next(corrected)
        interval = None if pair.low is None else [round(pair.low, 3), round(pair.high, 3)]
        told = {"n": pair.n, "difference": round(pair.difference, 3), "interval": interval}
        told |= {"kind": pair.kind, "holm": None if p is None else round(p, 4)}
        comparisons.append({**entry, **told, "outcome": outcome(pair, entry["expect"], p)})
    return comparisons


def judged(asked: dict) -> dict:
    """A claim with its verdict. n, difference and interval are those of its first comparison."""
    comparisons = compared(asked.get("compare", []))
    main = comparisons[0] if comparisons else {}
    return {
        "number": asked["number"],
        "claim": asked["claim"],
        "source": asked["source"],
        "verdict": verdict([entry["outcome"] for entry in comparisons], "settled_by" in asked, "untested" not in asked),
        "files": files_of([entry[side] for entry in comparisons for side in ("first", "second")]),
        "settled_by": asked.get("settled_by"),
        "untested_part": asked.get("untested"),
        "test_bed": asked.get("test_bed", False),  # whether our base, grid or data explain the verdict, not the claim
        **{key: main.get(key) for key in ("n", "difference", "interval")},
        "comparisons": comparisons,
        "note": asked["note"],
    }


def made_now() -> list[dict]:
    """All claims, judged by the files as they are now."""
    return [judged(asked) for asked in read_json(ASKED)["claims"]]


def counted(text: str, claims: list[dict]) -> str:
    """`text` with the counts of the verdicts in its sentence as they are."""
    counts = Counter(claim["verdict"] for claim in claims)
    numbers = iter(counts[name] for name in VERDICTS)
    return COUNTS.sub(lambda match: re.sub(r"\d+", lambda _: str(next(numbers)), match[0]), text)


def main(made: Path = MADE, readme: Path = README) -> None:
    claims = made_now()
    write_json(made, {"command": "python -m minipeft.racing.claims", "claims": claims})
    write_text(readme, counted(readme.read_text(encoding="utf-8"), claims))
    tables.main()
    print(json.dumps(Counter(claim["verdict"] for claim in claims), indent=1))


if __name__ == "__main__":
    sys.exit(ended(main))
