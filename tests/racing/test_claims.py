"""The papers' claims: each verdict follows from committed files by the rule, and the pages say the same."""

import json
import re

import pytest
from helpers.paths import ROOT

from minipeft.errors import UserError
from minipeft.racing import addresses, claims
from minipeft.racing.addresses import files_of, numbers_at
from minipeft.racing.claims import ASKED, MADE, VERDICTS, compared, counted, made_now, outcome, verdict
from minipeft.racing.differences import Difference

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


def found(low, high):
    return Difference("a", "b", 5, 0.0, low, high, 0.5, "paired")


@pytest.mark.parametrize(
    "expect, low, high, said",
    [("higher", 0.1, 9.0, "yes"), ("higher", -9.0, -0.1, "no"), ("higher", -0.1, 9.0, "open"),
     ("lower", -9.0, -0.1, "yes"), ("lower", 0.1, 9.0, "no"), ("lower", -9.0, 0.1, "open"),
     ("level", -1.9, 1.9, "yes"), ("level", 2.1, 4.0, "no"), ("level", -4.0, -2.1, "no"), ("level", -1.0, 2.1, "open"),
     ("at least", -1.9, 9.0, "yes"), ("at least", -9.0, -2.1, "no"), ("at least", -2.1, 9.0, "open"),
     ("higher", None, None, "open"), ("level", None, None, "open")],
)  # fmt: skip
def test_an_interval_says_yes_no_or_open_to_what_is_expected(expect, low, high, said):
    assert outcome(found(low, high), expect) == said


@pytest.mark.parametrize(
    "outcomes, said",
    [(["yes", "yes"], "reproduced"), (["yes", "open"], "in part"), (["yes", "no"], "in part"),
     (["open", "no"], "contradicted"), (["open", "open"], "not seen"), ([], "untested")],
)  # fmt: skip
def test_the_verdict_follows_from_the_outcomes(outcomes, said):
    assert verdict(outcomes, settled=False) == said
    assert said != "reproduced" or verdict(outcomes, settled=False, whole=False) == "in part"


def test_a_law_is_settled_by_its_test():
    assert verdict([], settled=True) == "reproduced"
    assert verdict(["no"], settled=True) == "contradicted", "a measurement that says no outweighs it"


RESULTS = {
    "rows": [{"method": "a", "scores": [3.0, 5.0, 9.0]}, {"method": "b", "scores": [1.0, 2.0, 4.0]}],
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


def test_a_comparison_is_the_paired_difference_of_two_addresses(file):
    """3 - 1, 5 - 2, 9 - 4: mean 10/3, variance 7/3, standard error sqrt(7)/3, t(2) = 4.303."""
    said = compared({"first": "r.json: a", "second": "r.json: b", "expect": "higher"})
    assert (said["n"], said["difference"], said["outcome"]) == (3, 3.333, "open")
    half = 4.30265 * 7**0.5 / 3
    assert said["interval"] == pytest.approx([10 / 3 - half, 10 / 3 + half], abs=1e-3)
    assert files_of(["r.json: a", 1.0, ["r.json: b", "s.json: c"]]) == ["r.json", "s.json"]


def test_the_command_writes_the_file_and_the_sentence(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("x: 0 reproduced, 0 in part, 0 not seen, 0 contradicted, 0 untested.", encoding="utf-8")
    monkeypatch.setattr(claims.tables, "main", lambda: None)
    claims.main(tmp_path / "claims.json", page)
    assert json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))["claims"] == made_now()
    assert counted(page.read_text(encoding="utf-8"), STORED) == page.read_text(encoding="utf-8")
    assert "reproduced" in capsys.readouterr().out
