"""What chapters say of two rows (higher, level, open) is what the interval of their difference says."""

import json
from itertools import pairwise
from statistics import mean, stdev

import pytest

from minipeft.course.chapters import LESSONS, load_answers
from minipeft.course.experiment import by_row
from minipeft.files import read_json
from minipeft.racing.addresses import content, numbers_at
from minipeft.racing.differences import difference, judged

BASES = "02_span_corruption/results.json: runs/races"
PROMPTS = "05_prompt_tuning/results.json: runs/races"
TUNED = f"{PROMPTS}/sizes/topic/t5-0.8m: prompt_tuning"
TASKS_05 = ("topic", "sentiment")
BUNDLED = "05_prompt_tuning/results.json: runs/bundled"
BY_SEED = "08_prompt_transfer/results.json: runs/by_seed"
WAYS_08 = ("long", "as it is", "nearest", "best of 3", "best of all", "mixture", "unlabelled")
RANKS = "13_lora/results.json: runs/race"
FOUR_BITS = "14_qlora/results.json: runs"
BUDGETS = "16_adalora/results.json: runs"
ROWS_16 = ("adalora1", "summed1", "adalora4")


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


@pytest.mark.parametrize("task", ["sentiment", "topic"])
def test_the_bases_of_chapter_02(task):
    adapted, span = f"{BASES}/{task}/t5-0.8m: prompt_tuning", f"{BASES}/{task}/t5-0.8m-span"
    forms = [(adapted, f"{span}: {form}") for form in ("as it is", "sentinel", "blank")]
    assert verdicts(*forms) == ["higher"] * 3
    assert pair(adapted, f"{BASES}/{task}/t5-0.8m-lm2e6: prompt_tuning").low > 0
    assert pair(f"{span}: sentinel", f"{span}: blank").low < 0, "which of the two is better is open"


def test_lora_adds_on_the_first_base_of_chapter_02_what_no_prompt_brings_out():
    lora = f"{BASES}/sentiment/lora: lora"
    forms = [f"{BASES}/sentiment/t5-0.8m-span: {form}" for form in ("as it is", "sentinel", "blank")]
    assert verdicts(*((lora, form) for form in forms)) == ["higher"] * 3


def test_lengths_starts_and_votes_of_chapter_05():
    lengths = [f"{PROMPTS}/lengths: length 1", f"{PROMPTS}/lengths: length 5", TUNED, f"{PROMPTS}/lengths: length 100"]
    assert verdicts(*((longer, shorter) for shorter, longer in pairwise(lengths))) == ["open"] * 3
    labels, uniform = (f"{PROMPTS}/starts: {start}" for start in ("labels", "uniform"))
    starts = (labels, uniform), (TUNED, uniform), (labels, TUNED)
    assert verdicts(*starts) == ["open"] * 3 and not any(excludes_0(*pair) for pair in starts)
    (best, vote), (fewer, fewer_vote) = (
        [f"{BUNDLED}/votes/{task}: {kind}" for kind in ("best", "ensemble")] for task in ("topic", "sentiment")
    )
    assert 0 < pair(vote, best).low and pair(vote, best).difference < 1
    others = [(fewer_vote, fewer), (fewer_vote, f"{BUNDLED}/votes/sentiment: average")]
    others += [(f"{BUNDLED}/scores/{task}: prompt_tuning", f"{BUNDLED}/votes/{task}: ensemble") for task in TASKS_05]
    assert not any(excludes_0(*two) for two in others)


def gap(task, base):
    """By seed, full tuning minus prompt tuning."""
    rows = [f"lessons/{PROMPTS}/sizes/{task}/{base}: {row}" for row in ("full", "prompt_tuning")]
    return numbers_at(rows)


def test_the_gap_by_size_of_chapter_05():
    assert not 0 < difference("", gap("topic", "t5-0.4m"), "", [0.0] * 5, paired=True).low
    for base in ("t5-0.8m", "t5-1.7m", "t5-3.5m"):
        assert difference("", gap("topic", base), "", [0.0] * 5, paired=True).low > 0
    against = {base: difference("", gap("sentiment", base), "", gap("sentiment", "t5-3.5m"), paired=True)
               for base in ("t5-0.4m", "t5-0.8m", "t5-1.7m")}  # fmt: skip
    assert against["t5-0.4m"].low < 0 < min(against["t5-0.8m"].low, against["t5-1.7m"].low)


def on_slice(row, name):
    """By seed, a row's score on one slice of its task."""
    return [run["slices"][name] for run in row["runs"]]


def test_what_chapter_03_says_of_blocks_rates_and_vectors():
    runs = content("lessons/03_full_and_partial/results.json")["runs"]
    blocks, vectors = by_row(runs["blocks"]), by_row(runs["vectors"])

    def ahead(rows, ours, theirs, name):
        return difference("", on_slice(rows[ours], name), "", on_slice(rows[theirs], name), paired=True)

    assert ahead(blocks, "head", "top1", "unseen").high < 0 and ahead(blocks, "top1", "full", "unseen").high < 0
    assert ahead(blocks, "head", "full", "nested").high < 0 < ahead(blocks, "top1", "full", "nested").high
    place = "03_full_and_partial/results.json: runs"
    rates = [f"{place}/blocks: {row}" for row in ("slower", "faster", "gradual")]
    found = [pair(row, f"{place}/blocks: top3") for row in rates]
    assert all(one.low < 0 < one.high for one in found) and max(one.high - one.low for one in found) / 2 < 5.5
    assert {round((one.high - one.low) / 2) for one in found} == {3, 5}, "the intervals reach 3 to 5 points"
    slower, equal = ([run["forgotten"] for run in blocks[row]["runs"]] for row in ("slower", "top3"))
    assert difference("", slower, "", equal, paired=True).low > 0
    lost = {row: [run["skills_lost"] for run in blocks[row]["runs"]] for row in ("top3", "full")}
    assert difference("", lost["top3"], "", lost["full"], paired=True).low > 0
    assert ahead(vectors, "bitfit", "full", "unseen").high < 0 < ahead(vectors, "norm_tuning", "full", "unseen").high
    forgotten = {row: [run["forgotten"] for run in vectors[row]["runs"]] for row in vectors}
    assert min(forgotten["bitfit"] + forgotten["norm_tuning"]) > max(forgotten["full"])


def test_what_a_prefix_adds_and_where_it_comes_from_in_chapter_06():
    runs = content("lessons/06_prefix_tuning/results.json")["runs"]
    rows = {task: by_row(runs[task]) | by_row(runs["lora"][task]) for task in ("sentiment", "topic")}

    def ahead(task, name, part):
        """The prefix with its network minus another row."""
        whole, other = (on_slice(rows[task][row], part) for row in ("network", name))
        return difference("", whole, "", other, paired=True)

    assert all(ahead("sentiment", name, "nested").low > 0 for name in ("prompt", "embedding"))
    assert all(ahead("sentiment", "lora", part).high < 0 for part in ("nested", "unseen"))
    assert all(ahead("sentiment", name, "unseen").low < 0 for name in ("prompt", "embedding", "infix", "table"))
    assert all(ahead("topic", name, "reads").low > 0 for name in ("prompt", "embedding", "infix", "table"))
    knows = [ahead("topic", name, "knows") for name in ("prompt", "embedding", "infix", "table", "lora")]
    reads = [mean(on_slice(rows["topic"][name], "reads")) for name in ("prompt", "embedding", "infix", "table")]
    assert (round(min(reads)), round(max(reads))) == (44, 48), "all other prompts and prefixes"
    rates = {task: runs[task]["learning_rates"] for task in ("sentiment", "topic")}
    assert sorted(round(found["table"] / found["network"]) for found in rates.values()) == [100, 300]
    assert all(found.low < 0 < found.high for found in knows)
    place = "06_prefix_tuning/results.json: runs"
    for task in ("sentiment", "topic"):
        assert all(pair(f"{place}/{task}: network", f"{place}/{task}: {row}").low > 0 for row in ("embedding", "infix"))
        assert not excludes_0(f"{place}/over_rates/{task}: network", f"{place}/over_rates/{task}: table")
        assert excludes_0(f"{place}/{task}: network", f"{place}/{task}: table") == (task == "topic")
    lengths = [f"{place}/lengths/{task}: length" for task in ("sentiment", "topic")]
    assert pair(f"{lengths[0]}10", f"{lengths[0]}1").low > 0 and not excludes_0(f"{lengths[1]}10", f"{lengths[1]}1")
    assert not any(excludes_0(f"{length}10", f"{length}30") for length in lengths)
    few = {shots: f"{place}/few/{shots}" for shots in (50, 500)}
    assert [excludes_0(f"{few[50]}: {start}", f"{few[50]}: random") for start in ("related", "elephant")] == [False] * 2
    assert all(pair(f"{few[500]}: {start}", f"{few[500]}: random").high < 0 for start in ("related", "elephant"))


def test_what_chapter_07_says_of_places_heads_and_depth():
    place = "07_p_tuning/results.json: runs"
    rows = ("mlp", "lstm", "front", "behind", "anchor", "full", "along")
    found = verdicts(*((f"{place}/vectors: {row}", f"{place}/vectors: around") for row in rows))
    assert found == ["open"] * 5 + ["higher"] * 2 and not excludes_0(
        f"{place}/vectors: along", f"{place}/vectors: full"
    )
    alone, shallow, deep = f"{place}/still: tags_head", f"{place}/tagging: tags_shallow", f"{place}/tagging: tags_deep"
    assert verdicts((deep, shallow)) == ["level"] and not any(excludes_0(row, alone) for row in (shallow, deep))
    text = [f"{place}/tagging: text_{row}" for row in ("shallow", "deep", "lora")]
    assert all(pair(more, less).low > 0 for less, more in pairwise(text)) and not excludes_0(text[2], alone)
    sizes = {base: f"{place}/sizes/{base}" for base in ("t5-0.4m", "t5-0.8m", "t5-1.7m")}
    gaps = {base: pair(f"{address}: deep", f"{address}: shallow") for base, address in sizes.items()}
    assert gaps["t5-0.8m"].low > 0 > gaps["t5-0.4m"].high
    assert gaps["t5-1.7m"].low < 0 < gaps["t5-1.7m"].high and f"{gaps['t5-0.4m'].difference:.1f}" == "-15.3"
    deep, lstm = (numbers_at(f"lessons/{row}") for row in (f"{sizes['t5-1.7m']}: deep", f"{place}/vectors: lstm"))
    assert (round(min(deep)), round(max(deep))) == (52, 88), "how far apart its seeds are"
    assert round(min(lstm)) == 50 and sorted(lstm)[1] > 70, "one of its seeds ends at a coin's 50"
    layers = f"{place}/layers"
    assert f"{pair(f'{layers}: bottom1', f'{layers}: top1').difference:.1f}" == "4.9"
    assert pair(f"{layers}: bottom1", f"{layers}: top1").low > 0
    assert not excludes_0(f"{layers}: bottom2", f"{layers}: top2")
    tasks = ("sentiment", "topic", "category")
    assert not any(excludes_0(f"{place}/heads/{task}: head", f"{place}/deep/{task}: deep") for task in tasks)
    tasks = (*tasks, "who_liked")
    assert not any(excludes_0(f"{place}/deep/{task}: network", f"{place}/deep/{task}: deep") for task in tasks)


def test_what_chapter_08_says_of_sources_votes_and_a_shift():
    started = {way: pair(f"{BY_SEED}/ways: {way}", f"{BY_SEED}/ways: alone") for way in WAYS_08}
    assert started["best of all"].low > 0 and started["long"].low > 0 > started["as it is"].high
    assert all(started[way].low < 0 < started[way].high for way in ("nearest", "best of 3", "mixture", "unlabelled"))
    assert pair(f"{BY_SEED}/ways: long", f"{BY_SEED}/ways: best of all").low > 0
    assert all(pair(f"{BY_SEED}/ways: {way}", f"{BY_SEED}/ways: best of 3").low < 0 for way in ("average", "mixture"))
    assert pair(f"{BY_SEED}/ways: average", f"{BY_SEED}/ways: best of 3").high < 0
    few = [f"08_prompt_transfer/results.json: runs/few/{shots}/t5-0.8m" for shots in (32, 256)]
    pairs = [("full", "prompt"), ("uniform", "prompt"), ("hybrid", "prompt"), ("ppt", "blank")]
    assert not any(excludes_0(f"{place}: {one}", f"{place}: {other}") for place in few for one, other in pairs)
    votes = {task: f"{BY_SEED}/votes: {task}" for task in ("sentiment", "topic")}
    assert pair(f"{votes['sentiment']} ensemble", f"{votes['sentiment']} best").high < 0
    assert not any(excludes_0(f"{votes['topic']} ensemble", f"{votes['topic']} {kind}") for kind in ("average", "best"))
    assert pair(f"{BY_SEED}/lost: prompt_tuning", f"{BY_SEED}/lost: full").high < 0


def test_one_failed_run_makes_the_spread_of_new_prompts_in_chapter_08():
    measured = content("lessons/08_prompt_transfer/results.json")["runs"]["travel"]
    scores_of = load_answers(LESSONS / "08_prompt_transfer" / "tables.py").scores_of
    new, nearest = (
        {task: scores_of(measured, way, task) for task in measured["alone"]} for way in ("alone", "nearest")
    )
    failed, *others = sorted(new["category"])
    assert failed < 15 and min(others) > 65
    new["category"] = others
    spreads = [mean(map(stdev, scores.values())) for scores in (new, nearest)]
    assert all(2.5 < spread < 3.5 for spread in spreads)


def of_chapter_13(part: str, row: str, kind: str) -> list[float]:
    """By seed, a row's score on one kind of texts."""
    runs = read_json(LESSONS / "13_lora" / "results.json")["runs"][part]
    rows = {found["method"]: found for found in runs["rows"]}
    return [run["slices"][kind] for run in rows[row]["runs"]]


def test_what_chapter_13_says_of_rank_and_time():
    few, many = (of_chapter_13(part, "full", "nested") for part in ("race", "longer"))
    lora = [of_chapter_13("race", f"rank {rank}", "nested") for rank in (1, 4, 16)]
    below = judged([difference("", scores, "", few, paired=True) for scores in lora])
    assert [found.verdict for found in below] == ["lower"] * 3
    assert (
        verdicts((f"{RANKS}: rank 1", f"{RANKS}: rank 16"), (f"{RANKS}: rank 4", f"{RANKS}: rank 16")) == ["open"] * 2
    )
    learned = of_chapter_13("longer", "rank 16", "nested")
    assert (
        difference("", learned, "", lora[2], paired=True).low > 0 > difference("", learned, "", many, paired=True).low
    )
    longer = RANKS.replace("race", "longer")
    assert (
        verdicts((f"{longer}: rank 16", f"{longer}: full"), (f"{longer}: rank 16", f"{longer}: rank 1")) == ["open"] * 2
    )


def test_beside_the_weights_lora_and_adapters_of_chapter_13_take_time():
    slower = []
    for shape in ("32 x 128", "8 x 64", "1 x 32"):
        ratios = f"13_lora/results.json: runs/latency/{shape}/ratio"
        for name in ("unmerged", "houlsby"):
            assert (
                difference("", numbers_at(f"lessons/{ratios}: {name}"), "", [1.0], paired=True, fixed=(False, True)).low
                > 0
            )
        slower.append(pair(f"{ratios}: unmerged", f"{ratios}: houlsby").low > 0)
    assert sum(slower) == 2, "than adapters"


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


def test_budgets_and_penalties_of_chapter_16():
    averaged, summed, lora = (f"{BUDGETS}/one: {row}" for row in ("adalora1", "summed1", "lora1"))
    four = (f"{BUDGETS}/four: adalora4", f"{BUDGETS}/four: lora4")
    assert verdicts((averaged, lora), (summed, lora), four) == ["open"] * 3
    assert pair(summed, averaged).low > 0
    rows = by_row(chapter_16()["one"])
    ours, theirs = ([run["slices"]["unseen"] for run in rows[row]["runs"]] for row in ("adalora1", "lora1"))
    assert difference("", ours, "", theirs, paired=True).high < 0


def chapter_16():
    return json.loads((LESSONS / "16_adalora" / "results.json").read_text(encoding="utf-8"))["runs"]


def test_the_choices_of_chapter_16():
    scores = {way: [seed["score"] for seed in seeds] for way, seeds in chapter_16()["ways"].items()}
    own, lora = (by_row(chapter_16()["one"])[row]["scores"] for row in ("adalora1", "lora1"))
    assert scores["scores"] == own, "watched or not, the same runs"
    assert not any(pruning["came"] for seed in chapter_16()["ways"]["scores"] for pruning in seed["prunings"])
    chance, evenly, form = (
        difference("", ours, "", theirs, paired=True)
        for ours, theirs in ((scores["chance"], own), (scores["evenly"], own), (scores["evenly"], lora))
    )
    assert chance.high < 0 and evenly.low < 0 < evenly.high and form.high < 0


def test_where_the_ranks_of_chapter_16_went():
    at = f"{BUDGETS}/ranks"
    feed_forward = [pair(f"{at}/{row}: *feed_forward*", f"{at}/{row}: *attention*") for row in ROWS_16]
    assert feed_forward[0].low > 0 and feed_forward[1].low < 0 < feed_forward[1].high and feed_forward[2].low > 0
    for row in ROWS_16:
        assert excludes_0(f"{at}/{row}: *.blocks.2.*", f"{at}/{row}: *.blocks.0.*") == (row == "adalora4")
        assert pair(f"{at}/{row}: decoder*", f"{at}/{row}: encoder*").high < 0
        assert max(numbers_at(f"lessons/{at}/{row}: decoder.*.attention.[qk]*")) == 0
