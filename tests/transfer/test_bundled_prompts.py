"""What data/README.md says of the bundled prompts is what their files hold, and what a blind guess would score."""

import json

import pytest

from minipeft.methods.prompts.spot import prompt_names, read_prompt_file
from minipeft.models import load
from minipeft.paths import DATA
from minipeft.tasks.registry import load_task, task_names
from minipeft.transfer.prompt_data import questions, room_for_source
from minipeft.transfer.prompt_pretraining import PAIR_WORDS, SINGLE_WORDS

README = (DATA / "README.md").read_text(encoding="utf-8")
WITHOUT_LABELS = ("ppt-choice", "ppt-pair", "ppt-unified")


@pytest.fixture(scope="module")
def chances():
    """What a blind guess scores on the dev examples of every prompt's own task, in percent."""
    model = load("t5-0.8m")
    room = room_for_source(model, 20)
    known = {name: load_task(name).chance for name in prompt_names() if name in task_names()}
    known["ppt-single"] = 100 / len(SINGLE_WORDS)
    for name in WITHOUT_LABELS:
        asked = questions(name.removeprefix("ppt-"), model.tokenizer, "dev", 600, room)
        answers = [len(example.candidates) or len(PAIR_WORDS) for example in asked]
        known[name] = sum(100 / number for number in answers) / len(answers)
    return known


def test_the_table_of_prompts_is_what_their_files_hold(chances):
    lines = ["| prompt | made by | dev | a blind guess |", "|---|---|---|---|"]
    for name in prompt_names():
        told = read_prompt_file(DATA / "prompts" / f"{name}.pt")["provenance"]
        command = told["command"].removeprefix("python -m minipeft ")
        lines.append(f"| `{name}` | `{command}` | {told['dev']:.1f} | {chances[name]:.1f} |")
    assert "\n".join(lines) in README, "paste:\n" + "\n".join(lines)


def test_the_three_prompts_without_labels_are_at_chance_and_the_page_says_so(chances):
    for name in WITHOUT_LABELS:
        dev = read_prompt_file(name)["provenance"]["dev"]
        assert abs(dev - chances[name]) < 3
    assert "have not learned their own task" in README


def test_the_race_with_few_examples_started_from_none_of_the_three():
    for file in (DATA / "results").glob("*few_shot.json"):
        command = json.loads(file.read_text(encoding="utf-8"))["command"]
        assert not any(name in command for name in WITHOUT_LABELS)
