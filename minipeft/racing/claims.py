"""`python -m minipeft.racing.claims`: what papers claim, and what the committed results say to it, by a written rule.

`data/claims_of_papers.json` is typed: each claim in a sentence, its source, and which rows of which files it is about.
`data/results/claims.json` is made from it and from those files, with the counts in README.md's first sentence and the
table of data/results/README.md.

The rule. Each comparison says what the claim expects of the first row minus the second, whose 95% interval is that of
`differences.py`, by seeds, batches or rounds, whichever the file has:

    higher    yes: the interval is above 0        no: it is below 0            lower: the other way round
    level     yes: it lies within +-2 points      no: it lies beyond them
    at least  yes: it lies above -2 points        no: it lies below them       open: in all cases, neither

reproduced: yes in all comparisons, or settled by a test where the claim is a law. in part: yes in some, or in all where
a part of the claim was not tested. contradicted: yes in none and no in some. not seen: open in all. untested: neither
comparison nor test.

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
from minipeft.racing.addresses import files_of, numbers_at
from minipeft.racing.differences import LEVEL_WITHIN, Difference, difference

ASKED, MADE, README = DATA / "claims_of_papers.json", DATA / "results" / "claims.json", REPOSITORY / "README.md"
VERDICTS = ("reproduced", "in part", "not seen", "contradicted", "untested")
COUNTS = re.compile(r"\d+ reproduced, \d+ in part,\s+\d+ not seen,\s+\d+ contradicted,\s+\d+ untested")


def outcome(found: Difference, expect: str) -> str:
    """ "yes", "no" or "open": whether the interval is where the claim expects it."""
    if found.low is None:
        return "open"
    if expect == "level":
        yes = -LEVEL_WITHIN < found.low and found.high < LEVEL_WITHIN
        no = found.high < -LEVEL_WITHIN or found.low > LEVEL_WITHIN
    else:
        yes, no = {
            "higher": (found.low > 0, found.high < 0),
            "lower": (found.high < 0, found.low > 0),
            "at least": (found.low > -LEVEL_WITHIN, found.high < -LEVEL_WITHIN),
        }[expect]
    return "yes" if yes else "no" if no else "open"


def verdict(outcomes: list[str], settled: bool, whole: bool = True) -> str:
    """One of VERDICTS, as the rule says. settled: by a test. whole: no part of the claim was left untested."""
    if not outcomes and not settled:
        return "untested"
    if "yes" in outcomes or not outcomes:
        return "reproduced" if set(outcomes) <= {"yes"} and whole else "in part"
    return "contradicted" if "no" in outcomes else "not seen"


def compared(asked: dict) -> dict:
    """A comparison with its n, difference, interval and outcome."""
    first, second = numbers_at(asked["first"]), numbers_at(asked["second"])
    found = difference("first", first, "second", second, paired=True)
    interval = None if found.low is None else [round(found.low, 3), round(found.high, 3)]
    told = {"n": found.n, "difference": round(found.difference, 3), "interval": interval}
    return {**asked, **told, "outcome": outcome(found, asked["expect"])}


def judged(asked: dict) -> dict:
    """A claim with its verdict. n, difference and interval are those of its first comparison."""
    comparisons = [compared(entry) for entry in asked.get("compare", ())]
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
