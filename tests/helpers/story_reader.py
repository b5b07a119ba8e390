"""Reads a told story back, from the text alone: an oracle that shares neither state nor code with the simulator."""

import json
import re

from helpers.paths import ROOT

LEXICON = json.loads((ROOT / "data/lexicon/world.json").read_text(encoding="utf-8"))
PRONOUNS = {person["name"]: person["pronoun"] for person in LEXICON["people"]}
PLACES = {place["name"] for place in LEXICON["places"]}
THINGS = set(LEXICON["objects"]) | set(LEXICON["containers"])
FEELINGS = {feeling["name"] for feeling in LEXICON["feelings"]}
GIVING = {verb["past"].split()[0] for verb in LEXICON["verbs"]["give"]}
DROPPING = {verb["past"].split()[0] for verb in LEXICON["verbs"]["drop"]}
STARTS = r"^(Then|After that,|Later,|Soon|A little later|Next,|In the end|Meanwhile) "


class Reader:
    """`people`: person -> place; `things`: thing -> place or person; `feelings`: person -> feeling."""

    def __init__(self, story: str):
        self.people, self.things, self.feelings = {}, {}, {}
        self.subject = self.thing = ""
        for sentence in re.findall(r'(?:"[^"]*"|[^".])+', story.replace('."', '".')):
            if sentence.strip():
                self.read_sentence(sentence.strip())

    def where(self, word):
        spot = self.people.get(word) if word in PRONOUNS else self.things.get(word)
        return self.people.get(spot) if spot in PRONOUNS else spot

    def holder(self, thing):
        return self.things.get(thing) if self.things.get(thing) in PRONOUNS else None

    def read_sentence(self, sentence):
        quoted = re.search(r'"([^"]*)"', sentence)
        if quoted:
            rest = sentence.replace(quoted.group(0), "").split()
            speaker = next(word.strip(",:") for word in rest if word.strip(",:") in PRONOUNS)
            line = re.sub(r"^I ", speaker + " ", quoted.group(1).strip(",."))
        else:
            line = re.sub(r"^\w+ (said|knew|heard|told \w+) that ", "", re.sub(STARTS, "", sentence))
        line = re.sub(r" because \w+ wanted the \w+", "", line)  # a wish moves nothing
        for clause in re.split(r", so | because | and ", line):
            self.read_clause(clause.split())

    def read_clause(self, words):
        first = words[0] if words[0] in PRONOUNS else words[0].lower()
        things = [word for word in words if word in THINGS]
        if "it" in words[1:] or first == "it":
            things.append(self.thing)
        place = next((word for word in words if word in PLACES), None)
        feeling = next((word for word in words if word in FEELINGS), None)
        if first in ("the", "a", "an", "it"):
            self.things[things[0]] = place
            self.thing = things[0]
            return
        if first in PRONOUNS:
            self.subject = first
        elif first in ("she", "he"):
            assert PRONOUNS[self.subject] == first, "the pronoun does not fit the subject before it"
        if feeling:
            self.feelings[self.subject] = feeling
        elif things:
            self.handle(words, things[0])
        elif place:
            self.people[self.subject] = place

    def handle(self, words, thing):
        self.thing = thing
        receiver = words[-1] if words[-1] in PRONOUNS and "to" in words else None
        if receiver:
            assert GIVING & set(words)
            self.things[thing] = receiver
            self.people[receiver] = self.people[self.subject]
        elif DROPPING & set(words):
            self.things[thing] = self.people[self.subject]
        else:
            self.things[thing] = self.subject
