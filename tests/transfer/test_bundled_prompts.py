"""What data/README.md says of the bundled prompts is what their files hold, and what a blind guess would score."""

import re

from minipeft.methods.prompts.spot import prompt_names, read_prompt_file
from minipeft.models import load
from minipeft.paths import DATA
from minipeft.tasks.registry import load_task, task_names
from minipeft.transfer.prompt_pretraining import SINGLE_WORDS
from minipeft.transformer.fingerprints import fingerprint

README = (DATA / "README.md").read_text(encoding="utf-8")


def chance(name: str) -> float:
    """What a blind guess scores on the dev examples of a prompt's own task, in percent."""
    return load_task(name).chance if name in task_names() else {"ppt-single": 100 / len(SINGLE_WORDS)}[name]


def test_the_table_of_prompts_is_what_their_files_hold():
    lines = ["| prompt | made by | dev | a blind guess |", "|---|---|---|---|"]
    for name in prompt_names():
        told = read_prompt_file(DATA / "prompts" / f"{name}.pt")["provenance"]
        command = told["command"].removeprefix("python -m minipeft ")
        lines.append(f"| `{name}` | `{command}` | {told['dev']:.1f} | {chance(name):.1f} |")
    assert "\n".join(lines) in README, "paste:\n" + "\n".join(lines)


def test_a_prompt_for_a_task_that_has_no_bundled_prompt_is_not_told_of():
    told = set(re.findall(r"^\| `([\w-]+)` \| `pretrain-prompt", README, re.MULTILINE))
    assert told == set(prompt_names())


def test_every_prompt_belongs_to_the_base_of_today():
    base = fingerprint(load("t5-0.8m"))
    for name in prompt_names():
        assert read_prompt_file(name)["base"] == base, name
