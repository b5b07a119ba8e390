"""Rules that do not read: what each prefers, worked by hand, and how much of the skills they get."""

import pytest

from minipeft.pretraining.base_tables import skills
from minipeft.pretraining.skill_rules import RULES, best_rule_auc, preference, rule_auc
from minipeft.pretraining.skills import SKILLS, Probe, probes

STORY = "Ann went to the inn. Bob sat in the barn. Ann left the inn. Where is the cup?"
CUPS = "A cup was in the inn. Bob was in the barn. Is the cup in the inn?"


@pytest.mark.parametrize(
    "rule, text, words, liked",
    [
        ("named more often", STORY, ("In the inn", "In the barn"), 2 - 1),
        ("named more often", STORY, ("In the cup", "In the barn"), 0 - 1),  # the question is no part of the story
        ("named last", STORY, ("In the inn", "In the barn"), 13 - 9),  # the 14th word and the 10th
        ("named last", STORY, ("In the shed", "In the barn"), -1 - 9),
        ("named first", STORY, ("In the inn", "In the barn"), 9 - 4),
        ("named first", STORY, ("In the shed", "In the barn"), 9 - 14),
        ("more words in common", STORY, ("In the inn", "On the ship"), 1 - 1 / 3),
        ("longer", STORY, ("In the inn", "In the barn"), -1),
        ("shorter", STORY, ("In the inn", "In the barn"), 1),
        ("yes if named", CUPS, ("Yes", "No"), 1),
        ("yes if named", STORY, ("In the inn", "In the barn"), 0),
        ("yes if named last", CUPS, ("Yes", "No"), 5 - 11),  # the 6th of 11 words
        ("yes if named last", CUPS.replace("barn", "inn"), ("Yes", "No"), 10 - 11),
    ],
)
def test_what_a_rule_prefers(rule, text, words, liked):
    assert preference(RULES[rule], Probe(text, words, True)) == pytest.approx(liked)
    assert preference(RULES[rule], Probe(text, words[::-1], False)) == pytest.approx(-liked)


def test_the_auc_of_a_rule_counts_pairs_and_ties_by_half():
    """Liked by 2, 0 and 1 where the first is right, by 1 and -3 where the second is: 1, 0, 1/2 and 1, 1, 1 of six."""
    stories = {2: "b b", 0: "c", 1: "b", -3: "a a a"}
    asked = [Probe(f"{stories[liked]}. Which?", ("b", "a"), True) for liked in (2, 0, 1)]
    asked += [Probe(f"{stories[liked]}. Which?", ("b", "a"), False) for liked in (1, -3)]
    assert rule_auc(RULES["named more often"], asked) == pytest.approx(100 * 4.5 / 6)


def test_rules_get_far_in_stories_and_nowhere_in_opinions_and_meanings():
    found = {skill: best_rule_auc(skill) for skill in SKILLS}
    for skill in ("plain", "contrast", "negation", "subject", "turned-down subject", "kind", "cause"):
        assert 50 <= found[skill] < 55, skill
    assert all(found[skill] > 80 for skill in ("where, named", "where, moved", "who", "whether"))
    asked = probes("where, moved")
    assert found["where, moved"] == max(rule_auc(rule, asked) for rule in RULES.values())


def test_they_are_the_last_row_of_the_table():
    last = skills({}).splitlines()[-1].split(" | ")
    assert last[0] == "| a rule that does not read" and last[-1] == "- |" and len(last) == len(SKILLS) + 2
    assert last[1 + list(SKILLS).index("who")] == "86"
