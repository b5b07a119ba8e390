"""The papers' claims: each verdict follows from committed files by the rule, and the pages say the same."""

import json
import re

import pytest
from helpers.paths import ROOT

from minipeft.errors import UserError
from minipeft.racing import addresses, claims
from minipeft.racing.addresses import Found, files_of, numbers_at, same_seeds
from minipeft.racing.claims import ASKED, MADE, VERDICTS, compared, counted, made_now, outcome, verdict
from minipeft.racing.differences import Difference
from minipeft.racing.student_t import two_sided_p

STORED = json.loads(MADE.read_text(encoding="utf-8"))["claims"]


def test_there_are_47_claims_in_a_sentence_each_with_source_verdict_and_note():
    assert [claim["number"] for claim in STORED] == list(range(1, 48))
    for claim in STORED:
        assert claim["verdict"] in VERDICTS
        assert re.search(r" \(\d{4}\)", claim["source"])
        for sentence in (claim["claim"], claim["note"]):
            assert re.fullmatch(r"[A-Z0-9][^\n]*\.", sentence) and ". " not in sentence.replace("al. ", ""), sentence


def test_the_file_is_what_the_results_say_now():
    """Numbers to rounding; all else to the letter."""
    assert same(made_now(), STORED), "run: python -m minipeft.racing.claims"


def same(made, stored) -> bool:
    if isinstance(stored, dict):
        return made.keys() == stored.keys() and all(same(made[key], stored[key]) for key in stored)
    if isinstance(stored, list):
        return len(made) == len(stored) and all(map(same, made, stored))
    return made == pytest.approx(stored, abs=1.1e-3) if isinstance(stored, float) else made == stored


def test_every_file_is_there_and_every_law_has_its_test():
    for claim in STORED:
        assert all((ROOT / file).exists() for file in claim["files"])
        assert bool(claim["files"] or claim["settled_by"]) == (claim["verdict"] != "untested")
        if claim["settled_by"]:
            file, name = claim["settled_by"].split("::")
            assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_what_is_typed_holds_no_number_that_is_computed():
    typed = json.loads(ASKED.read_text(encoding="utf-8"))["claims"]
    assert {key for claim in typed for key in claim} <= {
        *("number", "claim", "source", "compare", "settled_by", "untested", "test_bed", "note"),
    }
    assert {key for claim in typed for entry in claim.get("compare", ()) for key in entry} == {
        *("first", "second", "expect"),
    }


def test_the_readme_opens_with_the_counts():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert counted(readme, STORED) == readme, "run: python -m minipeft.racing.claims"
    first = " ".join(readme.split("\n\n")[1].split()).split("). ")[0]
    numbers = [int(number) for number in re.findall(r"\b\d+\b", first)]
    assert numbers[0] == 47 == sum(numbers[1:]) and len(numbers) == 6


def test_other_counts_are_mended_in_place():
    text = "a laptop: 1 reproduced, 2 in part, 3 not\nseen, 4"
    assert counted(text, STORED) == text, "not the sentence"
    text = "7 reproduced, 7 in part,\n7 not seen, 7 contradicted, 7 untested so far; 7 more"
    found = [{"verdict": "reproduced"}] * 2 + [{"verdict": "untested"}]
    assert counted(text, found) == "2 reproduced, 0 in part,\n0 not seen, 0 contradicted, 1 untested so far; 7 more"


@pytest.mark.parametrize(
    "expect, difference, p, said",
    [("higher", 0.1, 0.04, "yes"), ("higher", -0.1, 0.04, "no"), ("higher", 9.0, 0.05, "open"),
     ("lower", -0.1, 0.04, "yes"), ("lower", 0.1, 0.04, "no"), ("lower", -9.0, 0.06, "open"),
     ("level", 1.9, 0.04, "yes"), ("level", 2.1, 0.04, "no"), ("level", -2.1, 0.04, "no"), ("level", 0.0, 0.3, "open"),
     ("at least", -1.9, 0.04, "yes"), ("at least", -2.1, 0.04, "no"), ("at least", 9.0, 0.3, "open"),
     ("higher", 9.0, None, "open"), ("level", 0.0, None, "open")],
)  # fmt: skip
def test_a_difference_says_yes_no_or_open_to_what_is_expected(expect, difference, p, said):
    assert outcome(Difference("a", "b", 5, difference, None, None, None, "paired"), expect, p) == said


@pytest.mark.parametrize(
    "outcomes, said",
    [(["yes", "yes"], "reproduced"), (["yes", "open"], "in part"), (["yes", "no"], "in part"),
     (["open", "no"], "not seen"), (["open", "no", "no"], "contradicted"), (["yes", "no", "no"], "contradicted"),
     (["yes", "yes", "no", "no"], "in part"), (["no"], "contradicted"), (["open", "open"], "not seen"),
     ([], "untested")],
)  # fmt: skip
def test_the_verdict_follows_from_the_outcomes(outcomes, said):
    assert verdict(outcomes, settled=False) == said
    assert said != "reproduced" or verdict(outcomes, settled=False, whole=False) == "in part"


def test_a_law_is_settled_by_its_test():
    assert verdict([], settled=True) == "reproduced"
    assert verdict(["no"], settled=True) == "contradicted", "a measurement that says no outweighs it"


RESULTS = {
    "rows": [
        {"method": "a", "scores": [3.0, 5.0, 9.0]},
        {"method": "b", "scores": [1.0, 2.0, 4.0]},
        {"method": "steady", "scores": [5.0, 6.0, 8.0]},
    ],
    "deep": {"race": {"rows": {"c": {"scores": [7.0, 8.0]}}}, "one": 4.5, "list": [{"k": "x", "n": 2, "of": [1.0]}]},
    "ranks": {"top.attention": [1, 2], "top.other": [9, 9], "low.attention": [3, 6]},
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    (tmp_path / "r.json").write_text(json.dumps(RESULTS), encoding="utf-8")
    monkeypatch.setattr(addresses, "REPOSITORY", tmp_path)
    addresses.content.cache_clear()
    yield
    addresses.content.cache_clear()


@pytest.mark.parametrize(
    "address, numbers",
    [("r.json: a", [3, 5, 9]), ("r.json: deep/race: c", [7, 8]), ("r.json: deep: one", [4.5]),
     ("r.json: deep/list/k=x,n=2: of", [1]), ("r.json: ranks: *attention", [2, 4]), (1.0, [1]),
     (["r.json: a", "r.json: b"], [2, 3, 5])],
)  # fmt: skip
def test_an_address_leads_to_its_numbers(file, address, numbers):
    assert numbers_at(address) == numbers


@pytest.mark.parametrize(
    "address", ["r.json: d", "r.json: deep/lace: c", "r.json: deep/list/k=y: of", "r.json: ranks: z*"]
)
def test_an_address_that_leads_nowhere_is_refused(file, address):
    with pytest.raises(UserError, match="There is no .* leads nowhere"):
        numbers_at(f"r.json: {address}")


def ask(first, second, expect="higher"):
    return {"first": f"r.json: {first}", "second": f"r.json: {second}" if isinstance(second, str) else second} | {
        "expect": expect
    }


def test_a_comparison_is_the_paired_difference_of_two_addresses(file):
    """3 - 1, 5 - 2, 9 - 4: mean 10/3, variance 7/3, standard error sqrt(7)/3, t(2) = 4.303."""
    (said,) = compared([ask("a", "b")])
    assert (said["n"], said["difference"], said["outcome"], said["kind"]) == (3, 3.333, "open", "paired")
    half = 4.30265 * 7**0.5 / 3
    assert said["interval"] == pytest.approx([10 / 3 - half, 10 / 3 + half], abs=1e-3)
    assert said["holm"] == pytest.approx(two_sided_p(10 / 7**0.5, 2), abs=1e-4)
    assert files_of(["r.json: a", 1.0, ["r.json: b", "s.json: c"]]) == ["r.json", "s.json"]


def test_the_comparisons_of_one_claim_are_corrected_for_each_other(file):
    """5, 6, 8 against 0: mean 19/3, standard error sqrt(7)/3, t(2) = 7.18, p = 0.019: of three the smallest, 0.057."""
    alone = compared([ask("steady", 0.0)])[0]
    beside = compared([ask("steady", 0.0), ask("a", "b"), ask("a", "b")])
    assert alone["outcome"] == "yes" and 0.05 / 3 < alone["holm"] < 0.05
    assert beside[0]["outcome"] == "open" and beside[0]["holm"] == pytest.approx(3 * alone["holm"], abs=3e-4)
    assert alone["interval"][0] > 0 and beside[0]["interval"] == alone["interval"], "intervals are of each alone"


@pytest.mark.parametrize(
    "expect, mean, said",
    [("at least", 0.0, "yes"), ("at least", -1.9, "open"), ("at least", -4.0, "no"), ("at least", 9.0, "yes"),
     ("level", 0.0, "yes"), ("level", 1.9, "open"), ("level", 4.0, "no"), ("level", -4.0, "no"), ("level", 2.1, "open"),
     ("lower", -4.0, "yes"), ("lower", -0.1, "open"), ("higher", -4.0, "no")],
)  # fmt: skip
def test_one_comparison_says_what_its_interval_says(monkeypatch, expect, mean, said):
    """mean - 0.3, mean, mean + 0.3: standard error 0.1732, half the interval 0.745."""
    monkeypatch.setattr(claims, "found_at", lambda where: {"a": Found([mean - 0.3, mean, mean + 0.3], None, False),
                                                           "b": Found([0.0], None, True)}[where])  # fmt: skip
    monkeypatch.setattr(claims, "same_seeds", lambda first, second: False)
    (found,) = compared([{"first": "a", "second": "b", "expect": expect}])
    assert found["outcome"] == said and found["interval"] == pytest.approx([mean - 0.745, mean + 0.745], abs=2e-3)


def test_rows_that_are_equal_in_all_seeds_are_level_and_two_seeds_are_open(file):
    assert compared([ask("a", "a", "level")])[0]["outcome"] == "yes"
    assert compared([ask("a", "a", "at least")])[0]["outcome"] == "yes"
    assert compared([ask("a", "a", "higher")])[0]["outcome"] == "open"
    assert compared([ask("deep/race: c", 0.0)])[0]["outcome"] == "open", "two seeds"


def test_rows_of_other_seeds_are_compared_unpaired(tmp_path, monkeypatch):
    """Seeds stand with the runs, or the race's settings tell the first; a list of one file is by its batches."""
    scores = {"method": "a", "scores": [3.0, 5.0, 9.0]}
    runs = [{"seed": seed, "word_draw": seed} for seed in (0, 1, 2)]
    contents = {
        "old": {"settings": {"seed": 0}, "rows": [scores]},
        "other": {"settings": {"seed": 100}, "rows": [scores]},
        "told": {"settings": {"seed": 100}, "rows": [{**scores, "runs": [{"seed": seed} for seed in (0, 1, 2)]}]},
        "drawn": {"rows": [{**scores, "runs": runs}]},
        "untold": {"rows": [scores, {**scores, "method": "b"}]},
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(addresses, "REPOSITORY", tmp_path)
    addresses.content.cache_clear()
    pairs = {("old", "told"): True, ("old", "other"): False, ("old", "drawn"): False, ("old", "untold"): False,
             ("drawn", "drawn"): True, ("untold", "untold"): True}  # fmt: skip
    for (first, second), paired in pairs.items():
        assert same_seeds(f"{first}.json: a", f"{second}.json: a") == paired, (first, second)
        (found,) = compared([{"first": f"{first}.json: a", "second": f"{second}.json: a", "expect": "level"}])
        assert found["kind"] == ("paired" if paired else "Welch")
    with pytest.raises(UserError, match="have not the same seeds"):
        numbers_at(["old.json: a", "other.json: a"])
    addresses.content.cache_clear()


def test_the_command_writes_the_file_and_the_sentence(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("x: 0 reproduced, 0 in part, 0 not seen, 0 contradicted, 0 untested.", encoding="utf-8")
    monkeypatch.setattr(claims.tables, "main", lambda: None)
    claims.main(tmp_path / "claims.json", page)
    assert json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))["claims"] == made_now()
    assert counted(page.read_text(encoding="utf-8"), STORED) == page.read_text(encoding="utf-8")
    assert "reproduced" in capsys.readouterr().out
