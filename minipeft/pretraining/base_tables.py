"""`python -m minipeft.pretraining.base_tables`: fills the tables of data/README.md on the bundled bases.

    [//]: # (bases)      how each was made, its held-out loss and gap
    [//]: # (skills)     the AUC of every skill, and whether the gate is passed

Both are read from the `results.json` that `pretrain` left beside the weights. The last row of the skills is the AUC of
the best of a few rules that look where a word stands and do not read (`skill_rules.py`): a base that is not above it
has shown no skill.
"""

import re
import sys
from pathlib import Path

from minipeft.files import read_json, write_text
from minipeft.flags import ended
from minipeft.models import CHECKPOINTS, load, model_names
from minipeft.paths import DATA
from minipeft.pretraining.skill_rules import best_rule_auc
from minipeft.pretraining.skills import GATE, SKILLS, passes_gate

PAGE = DATA / "README.md"
MARK = re.compile(r"(\[//\]: # \((bases|skills)\)\n\n)((?:\|.*\n)*)")


def fill(text: str) -> str:
    """`text` with both tables made from the files as they are now."""
    reports = {name: read_json(CHECKPOINTS / name / "results.json") for name in model_names()}
    tables = {"bases": bases(reports), "skills": skills(reports)}
    return MARK.sub(lambda match: f"{match[1]}{tables[match[2]]}\n", text)


def bases(reports: dict[str, dict]) -> str:
    """How every base was made, and how well it does on texts it has not read."""
    columns = ("base", "parameters", "objective", "tokens", "rate", "minutes", "on", "held-out loss", "gap")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, report in reports.items():
        last, objective = report["curve"][-1], report["settings"]["text"]["objective"]
        size = sum(parameter.numel() for parameter in load(name).parameters())
        loss, gap = (f"{last[key]:.2f}" if key in last else "-" for key in ("loss", "gap"))
        tokens, minutes = f"{report['tokens'] / 1e6:.1f}M", f"{report['seconds'] / 60:.0f}"
        made = [f"{report['settings']['learning_rate']:g}", minutes, report["hardware"]]
        lines.append(f"| {' | '.join([f'`{name}`', f'{size:,}', objective, tokens, *made, loss, gap])} |")
    return "\n".join(lines)


def skills(reports: dict[str, dict]) -> str:
    """The AUC of every skill of every base, in percent; the gate's own in bold where they are reached. Last: rules."""
    lines = [f"| base | {' | '.join(SKILLS)} | gate |", "|---|" + "---:|" * len(SKILLS) + "---|"]
    for name, report in reports.items():
        found = report["curve"][-1]["skills"]
        cells = [
            f"**{found[skill]:.0f}**" if found[skill] >= GATE.get(skill, 101) else f"{found[skill]:.0f}"
            for skill in SKILLS
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {'passed' if passes_gate(found) else '-'} |")
    rules = " | ".join(f"{best_rule_auc(skill):.0f}" for skill in SKILLS)
    return "\n".join([*lines, f"| a rule that does not read | {rules} | - |"])


def main(page: Path = PAGE) -> None:
    write_text(page, fill(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(ended(main))
