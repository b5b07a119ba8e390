"""What a skill's probes give away to whoever does not read: plain rules that look for the answers' words in the text.

    Mary rested at the lake. She moved to the dock. Where is the frame?      named last: "At the dock"

A rule knows neither who did what nor what a word means. A base has a skill as far as it is above the best of them; a
few points above 50 are luck, for there are eight rules and 160 probes. Test: tests/pretraining/test_skill_rules.py.
"""

import re
from collections.abc import Callable
from functools import cache
from statistics import mean

from minipeft.pretraining.skills import PROBES, Probe, probes

Rule = Callable[[list[str], list[str], str], float]  # words of the story, of the question, an answer -> how much for it


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def places(story: list[str], answer: str) -> list[int]:
    """Where in the story the answer's own word stands, its last: "kitchen" of "In the kitchen"."""
    own = words_of(answer)[-1]
    return [place for place, word in enumerate(story) if word == own]


def named_more_often(story: list[str], question: list[str], answer: str) -> float:
    """How often the answer's own word is in the story."""
    return len(places(story, answer))


def named_last(story: list[str], question: list[str], answer: str) -> float:
    """How late it is named for the last time; -1 where it never is."""
    return max(places(story, answer), default=-1)


def named_first(story: list[str], question: list[str], answer: str) -> float:
    """How early it is named for the first time; behind everything where it never is."""
    return -min(places(story, answer), default=len(story))


def more_words_in_common(story: list[str], question: list[str], answer: str) -> float:
    """The share of the answer's words that are in the story."""
    return mean(word in story for word in words_of(answer))


def longer(story: list[str], question: list[str], answer: str) -> float:
    """The letters of the answer."""
    return len(answer)


def shorter(story: list[str], question: list[str], answer: str) -> float:
    return -len(answer)


def yes_if_named(story: list[str], question: list[str], answer: str) -> float:
    """For "Yes": how often the question's last word, as a place, is in the story."""
    return story.count(question[-1]) if answer == "Yes" else 0


def yes_if_named_last(story: list[str], question: list[str], answer: str) -> float:
    """For "Yes": how far the question's last word is from the story's end."""
    return named_last(story, question, question[-1]) - len(story) if answer == "Yes" else 0


RULES: dict[str, Rule] = {
    "named more often": named_more_often,
    "named last": named_last,
    "named first": named_first,
    "more words in common": more_words_in_common,
    "longer": longer,
    "shorter": shorter,
    "yes if named": yes_if_named,
    "yes if named last": yes_if_named_last,
}


def preference(rule: Rule, probe: Probe) -> float:
    """How much more the rule is for the first answer than for the second; 0 where it cannot tell."""
    *story, question = re.split(r"(?<=[.?!\"]) ", probe.text)
    told, asked = words_of(" ".join(story)), words_of(question)
    first, second = (rule(told, asked, answer) for answer in probe.words)
    return first - second


def rule_auc(rule: Rule, asked: list[Probe]) -> float:
    """The share of pairs that the rule orders rightly, in percent, as `skills.auc` counts those of a base."""
    likes = [(probe.first, preference(rule, probe)) for probe in asked]
    right = [like for first, like in likes if first]
    wrong = [like for first, like in likes if not first]
    return 100 * sum((a > b) + (a == b) / 2 for a in right for b in wrong) / (len(right) * len(wrong))


@cache
def best_rule_auc(skill: str, count: int = PROBES) -> float:
    """The highest AUC that a rule has on the probes of a skill."""
    asked = probes(skill, count)
    return max(rule_auc(rule, asked) for rule in RULES.values())
