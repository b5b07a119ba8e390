"""What chapters say of two rows (higher, level, open) is what the interval of their difference says."""

from itertools import pairwise
from statistics import mean

import pytest

from minipeft.racing.addresses import content, numbers_at
from minipeft.racing.differences import LEVEL_WITHIN, difference, judged

ADAPTED = "02_span_corruption/results.json: runs/races/t5-0.8m: prompt_tuning"
SPAN = "02_span_corruption/results.json: runs/races/t5-0.8m-span"
PROMPTS = "05_prompt_tuning/results.json: runs/races"
TUNED = f"{PROMPTS}/t5-0.8m: prompt_tuning"
BUNDLED = "05_prompt_tuning/results.json: runs/bundled"
RANKS = "13_lora/results.json: runs/race"
FOUR_BITS = "14_qlora/results.json: runs"
BUDGETS = "16_adalora/results.json: runs"


def pair(ours, theirs):
    scores = (numbers_at(f"lessons/{address}") for address in (ours, theirs))
    first, second = scores
    return difference(ours, first, theirs, second, paired=True)


def verdicts(*pairs):
    """Those of pairs that stand in one table."""
    return [found.verdict for found in judged([pair(*addresses) for addresses in pairs])]


def excludes_0(ours, theirs):
    found = pair(ours, theirs)
    return found.low > 0 or found.high < 0


def test_the_bases_of_chapter_02():
    forms = [(ADAPTED, f"{SPAN}: {form}") for form in ("as it is", "sentinel", "blank")]
    assert verdicts(*forms) == ["open"] * 3
    steps = [(ADAPTED, ADAPTED.replace("t5-0.8m:", f"t5-0.8m-step{steps}:")) for steps in (100, 300, 1000)]
    assert verdicts(*steps) == ["higher"] * 3


def test_lengths_starts_and_votes_of_chapter_05():
    lengths = [f"{PROMPTS}/lengths: length 1", f"{PROMPTS}/lengths: length 5", TUNED, f"{PROMPTS}/lengths: length 100"]
    assert verdicts(*((longer, shorter) for shorter, longer in pairwise(lengths))) == ["higher"] * 3
    labels, uniform = (f"{PROMPTS}/starts: {start}" for start in ("labels", "uniform"))
    assert verdicts((labels, uniform), (TUNED, uniform), (labels, TUNED)) == ["higher", "higher", "level"]
    for task, said in (("topic", ["open", "higher"]), ("sentiment", ["open", "open"])):
        best, vote = (f"{BUNDLED}/votes/{task}: {kind}" for kind in ("best", "ensemble"))
        assert verdicts((vote, best), (f"{BUNDLED}/scores/{task}: prompt_tuning", vote)) == said


def test_the_gap_on_the_third_base_of_chapter_05_is_wider():
    third, second = (
        [f"{PROMPTS}/{base}: {row}" for row in ("full", "prompt_tuning")] for base in ("t5-1.7m", "t5-0.8m")
    )
    gaps = (numbers_at([f"lessons/{address}" for address in rows]) for rows in (third, second))
    assert difference("", next(gaps), "", next(gaps), paired=True).low > 0


def test_no_rank_of_chapter_13_can_be_told_from_full_tuning():
    found = verdicts(*((f"{RANKS}: rank {rank}", f"{RANKS}: full") for rank in (1, 2, 4, 8, 16, 32)))
    assert found[0] == "level" and set(found) <= {"level", "open"}


def test_values_and_outputs_do_better_than_queries_and_keys_in_chapter_13():
    places = [
        (f"{RANKS}: {better}", f"{RANKS}: {worse}") for better in ("value", "output") for worse in ("query", "key")
    ]
    assert verdicts(*places) == ["higher"] * 4
    both = pair(f"{RANKS}: query, value", f"{RANKS}: rank 1")
    assert both.low > -LEVEL_WITHIN, "queries with values are as good as everything"


def test_the_shapes_of_chapter_13_lie_within_four_points():
    shares = [numbers_at(f"lessons/13_lora/results.json: runs/latency/{shape}/ratio: unmerged q, v")
              for shape in ("32 x 128", "8 x 64", "1 x 32")]  # fmt: skip
    means = [100 * sum(share) / len(share) for share in shares]
    assert max(means) - min(means) < 4


def test_formats_and_starts_of_chapter_14():
    bases = ["t5-0.4m", "t5-0.8m", "t5-1.7m"]

    def apart(ours, theirs):
        return [base for base in bases if excludes_0(*(f"{FOUR_BITS}/loss/{base}: {name}" for name in (ours, theirs)))]

    assert apart("nf4", "fp4") == bases and apart("nf4", "int4") == ["t5-0.4m", "t5-1.7m"]
    assert apart("int4", "fp4") == ["t5-0.4m"]
    starts = f"{FOUR_BITS}/starts/t5-0.4m"
    better = ("loftq1", "loftq5", "qpissa")
    assert all(pair(f"{starts}/{name}: loss", f"{starts}/qlora: loss").high < 0 for name in better)


def test_rounding_takes_negation_first_in_chapter_14():
    skills, formats = f"{FOUR_BITS}/skills", ("nf4", "int4", "fp4", "nf4_whole", "fp4_whole", "int4_whole")
    fell = [(f"{skills}/{name}: negation", f"{skills}/exact: negation") for name in formats]
    assert verdicts(*fell) == ["level", "level", "lower", "lower", "lower", "lower"]
    least = min(min(map(mean, (numbers_at(f"lessons/{skills}/{name}: {skill}") for name in formats)))
                for skill in ("plain", "contrast"))  # fmt: skip
    assert least > 99, "plain judgements and contrasts survive"


def test_scores_of_chapter_14():
    def scores(row):
        return numbers_at(f"lessons/{FOUR_BITS}/{row}")

    lora = scores("sentiment: lora")
    said = {
        "shared: nf4_shared": "open",
        "formats: fp4": "open",
        "formats: int4_whole": "level",
        "sentiment: nf4": "open",
    }
    rows = {row: scores(row) for row in said}
    found = [difference(row, ours, "lora", lora[: len(ours)], paired=True) for row, ours in rows.items()]
    assert [judgement.verdict for judgement in judged(found)] == list(said.values())
    assert verdicts((f"{FOUR_BITS}/topic: nf4", f"{FOUR_BITS}/topic: lora")) == ["level"]


@pytest.mark.parametrize("task, costs", [("sentiment", True), ("topic", False)])
def test_going_back_to_four_bits_costs_points_where_the_update_is_small_in_chapter_14(task, costs):
    seeds = content("lessons/14_qlora/results.json")["runs"]["merges"][task]
    again, attached = ([seed[way]["score"] for seed in seeds] for way in ("requantized", "attached"))
    assert (difference("", again, "", attached, paired=True).high < 0) == costs


def test_budgets_of_chapter_16():
    ranks = ((f"{BUDGETS}/budgets: adalora{rank}", f"{BUDGETS}/budgets: lora{rank}") for rank in (1, 2, 4))
    assert verdicts(*ranks) == ["lower"] * 3
    ranks = ((f"{BUDGETS}/topic: adalora{rank}", f"{BUDGETS}/topic: lora{rank}") for rank in (1, 4))
    assert verdicts(*ranks) == ["level", "open"]


@pytest.mark.parametrize("row, said", [("sensitivity", "open"), ("magnitude", "open"), ("at_once", "open"),
                                       ("no_penalty", "higher")])  # fmt: skip
def test_choices_of_chapter_16(row, said):
    assert verdicts((f"{BUDGETS}/choices: {row}", f"{BUDGETS}/choices: adalora")) == [said]
