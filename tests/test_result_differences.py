"""What data/results/README.md says of two rows is what the interval of their difference says, to the digit."""

import json
import re

import pytest

from minipeft.paths import DATA
from minipeft.racing.addresses import numbers_at
from minipeft.racing.differences import difference, differences, judged

PAGE = " ".join((DATA / "results" / "README.md").read_text(encoding="utf-8").split())


def pair(file, ours, theirs):
    first, second = (
        numbers_at(row if ".json" in row else f"data/results/{file}.json: {row}") for row in (ours, theirs)
    )
    return difference(ours, first, theirs, second, paired=True)


BEST = "data/results/{}-ensemble.json: best"


# The file, the two rows (the first minus the second), and the words that stand before the interval.
@pytest.mark.parametrize(
    "file, ours, theirs, words",
    [("sentiment-all", "lora", "full", "(0.7 above, "), ("sentiment-all", "mam", "full", "(0.6 above, "),
     ("sentiment-quantized_10", "qlora", "lora", "0.5 below over ten ("),
     ("topic-ensemble", "ensemble", "best", "stays open ("), ("sentiment-ensemble", "ensemble", "best", "on `topic`, "),
     ("topic-prompts", "prompt_tuning", BEST.format("topic"), "by 4.7 points over the best member ("),
     ("topic-prompts", "prefix_tuning", "p_tuning_v2", "what that costs stays open ("),
     ("sentiment-prompts", "prefix_tuning", "p_tuning_v2", "it costs 14.1 points ("),
     ("sentiment-gpt-1.7m", "bitfit", "full", "1.1 points above full tuning ("),
     ("topic-adapters", "mam", "full", "(0.2 above, "),
     ("topic-unified", "large parallel ffn", "large sequential ffn", "1.6 points above the sequential one ("),
     ("topic-low_rank", "pissa", "lora", "a point below it ("),
     ("topic-quantized", "loftq", "qlora", "LoftQ is 0.8 below ("),
     ("sentiment-few_shot", "ppt", "prompt_tuning", "stays open ("),
     ("sentiment-fusion", "fusion", "own adapter", "the target's own adapter stays open ("),
     ("topic-adapter_drop", "drop0", "robust", "by 1.6 points with all adapters ("),
     ("topic-drop_curve", "data/results/topic-drop_curve.json: specialised: 1",
      "data/results/topic-drop_curve.json: robust: 1", "by 10.3 with one layer dropped ("),
     ("sentiment_food-few_shot", "ppt", "prompt_tuning", "[-3.7, 4.1] and ")],
)  # fmt: skip
def test_an_interval_on_the_page_is_that_of_its_rows(file, ours, theirs, words):
    found = pair(file, ours, theirs)
    assert f"{words}[{found.low:.1f}, {found.high:.1f}]" in PAGE
    for shown in re.findall(r"\d+\.\d", words.split("[")[0]):
        assert f"{abs(found.difference):.1f}" == shown


def verdicts(name, reference):
    rows = json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    return {found.row: found.verdict for found in differences(rows, reference)}


def test_who_is_level_with_whom():
    assert verdicts("sentiment-all", "full")["lora"] == "level"
    assert verdicts("topic-adapters", "full")["mam"] == "level"
    assert verdicts("topic-quantized", "lora")["qlora"] == "level"


@pytest.mark.parametrize("task", ("sentiment", "sentiment_food", "topic", "category"))
def test_between_full_tuning_and_prompt_tuning_none_can_be_told_from_full_tuning(task):
    found = verdicts(task, "full")
    lower = {row for row, said in found.items() if said in ("lower", "higher")}
    assert lower == {"prompt_tuning", "random_base", "untuned"}
    assert verdicts(task, "lora")["prompt_tuning"] == "lower"


def test_at_the_top_only_pissa_differs_from_lora_on_topic():
    for task, apart in (("sentiment", set()), ("topic", {"pissa"})):
        found = verdicts(f"{task}-low_rank", "lora")
        assert {row for row, said in found.items() if said == "lower"} == apart | {"random_base", "untuned"}


def test_no_start_of_four_bits_differs_from_the_plain_one_and_eight_bits_neither():
    for task in ("sentiment", "topic"):
        pairs = [pair(f"{task}-quantized", row, "qlora") for row in ("int8", "loftq", "qpissa")]
        assert not {found.verdict for found in judged(pairs)} & {"higher", "lower"}
    assert f"{pair('topic-quantized', 'loftq', 'qlora').p:.2f}" == "0.03"


@pytest.mark.parametrize("name", ("sentiment-few_shot", "sentiment_food-few_shot"))
def test_with_few_examples_a_prompt_that_is_brought_along_is_above_all_others(name):
    assert set(verdicts(name, "spot").values()) == {"lower"}


def test_what_adapter_drop_loses_against_the_same_adapters():
    lost = [-pair(name, "adapter_drop", "pfeiffer").difference
            for name in ("topic-adapters", "sentiment-adapters", "sentiment-adapters-first_grids")]  # fmt: skip
    assert [f"{points:.0f}" for points in lost] == ["14", "24", "41"]
    assert "it loses 14 points on `topic`, 24 on `sentiment`, and 41 with the first grids" in PAGE


@pytest.mark.parametrize(
    "size, place, said",
    [("large", "ffn", "higher"), ("small", "ffn", "level"), ("large", "attention", "open"),
     ("small", "attention", "open")],
)  # fmt: skip
def test_what_is_said_of_parallel_against_sequential_adapters(size, place, said):
    found = pair("topic-unified", *(f"{size} {way} {place}" for way in ("parallel", "sequential")))
    assert judged([found])[0].verdict == said
    assert (found.difference < 0) == (place == "attention")


def test_who_counts_good_and_bad_words_is_right_in_57_of_100():
    words = json.loads((DATA / "lexicon" / "opinions.json").read_text(encoding="utf-8"))
    good, bad = ({word for part in words.values() if kind in part for word in part[kind]} for kind in ("good", "bad"))
    right = []
    for line in (DATA / "tasks" / "sentiment" / "test.jsonl").read_text(encoding="utf-8").splitlines():
        review = json.loads(line)
        told = re.findall(r"[a-z]+", review["source"].lower())
        balance = sum(word in good for word in told) - sum(word in bad for word in told)
        right.append(0.5 if balance == 0 else float((balance > 0) == (review["target"] == "good")))
    assert round(100 * sum(right) / len(right)) == 57 and "is right in 57 of 100" in PAGE


def test_nobody_says_that_intervals_overlap():
    """Two intervals that overlap are no test of a difference."""
    root = DATA.parent
    pages = [root / "README.md", *DATA.rglob("*.md"), *(root / "lessons").rglob("*.md")]
    for page in pages:
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert not re.search(r"intervals?[^.]{0,40} (overlap|touch)|no difference (is|was|seen)", text), page
