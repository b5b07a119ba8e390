"""Skills of a base: the probes ask what they say, their answers are right, the AUC counts pairs in the right order."""

import itertools
import json
import random
import re

import pytest
import torch
from helpers.paths import ROOT
from helpers.story_reader import Reader

from minipeft.models import CHECKPOINTS
from minipeft.pretraining.batches import tokenizer
from minipeft.pretraining.sizes import VOCABULARY, build, t5
from minipeft.pretraining.skills import SKILLS, Probe, as_read, auc, passes_gate, preferences, probes, skill_aucs
from minipeft.pretraining.span_corruption import rebuild
from minipeft.tasks.making import opinions, tracking
from minipeft.tasks.making.corpus import TRAINING_SEED, documents
from minipeft.tasks.making.world import Event, World
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.language_model import LanguageModel


class Scripted(LanguageModel):
    """A model whose log-likelihoods are looked up by the source's ids and by the word's."""

    def __init__(self, table):
        super().__init__()
        self.table, self.one = table, torch.nn.Parameter(torch.zeros(1))

    def score(self, batch, candidates, candidate_mask):
        rows = []
        for source, mask, words, masks in zip(batch.source, batch.source_mask, candidates, candidate_mask, strict=True):
            read = tuple(source[mask].tolist())
            rows.append([self.table[read, tuple(word[m].tolist())] for word, m in zip(words, masks, strict=True)])
        return torch.tensor(rows)


def test_the_auc_is_the_share_of_pairs_in_the_right_order_ties_counting_half():
    generator = random.Random(3)
    asked = [Probe(f"text number {n} is", ("good", "bad"), generator.random() < 0.4) for n in range(37)]
    likes = [float(generator.randint(-2, 2)) for _ in asked]  # whole numbers: some of them are equal
    table = {}
    for probe, like in zip(asked, likes, strict=True):
        source, (good, bad) = as_read(probe, "prefix")
        table[tuple(source), tuple(good)], table[tuple(source), tuple(bad)] = like - 5.0, -5.0
    pairs = [
        (a > b) + (a == b) / 2
        for a, first in zip(likes, asked, strict=True)
        for b, second in zip(likes, asked, strict=True)
        if first.first and not second.first
    ]
    assert auc(Scripted(table), "prefix", asked) == pytest.approx(100 * sum(pairs) / len(pairs))


def test_a_probe_is_put_as_the_objective_puts_a_text_whose_end_is_hidden():
    probe, own = Probe("The plot was dull. All in all, it was", ("good", "bad"), False), tokenizer()
    whole = {word: own.encode(f"{probe.text} {word}") for word in probe.words}
    for word, text in whole.items():
        number = probe.words.index(word)
        source, words = as_read(probe, "prefix")
        assert source[:-1] + words[number] == text and source[-1] == own.eos
        source, words = as_read(probe, "causal")
        assert source + words[number] == [own.eos, *text]
        source, words = as_read(probe, "span")
        assert rebuild(source[:-1], words[number], own.sentinel) == text


def test_the_preference_is_the_difference_of_the_log_likelihoods_and_follows_the_probe():
    torch.manual_seed(0)
    model = build(t5(16, 2, 8, 24, 1)).eval()
    asked = probes("where, moved", 5)
    found = preferences(model, "prefix", asked, batch_size=2)
    for probe, value in zip(asked, found.tolist(), strict=True):
        turned = Probe(probe.text, probe.words[::-1], not probe.first)
        assert preferences(model, "prefix", [turned]).item() == pytest.approx(-value, abs=1e-5)


@pytest.mark.parametrize("skill", SKILLS)
def test_probes_are_the_same_each_time_and_either_word_is_right_in_many(skill):
    asked = probes(skill, 60)
    assert asked == probes(skill, 60)
    assert 15 <= sum(probe.first for probe in asked) <= 45
    assert all(probe.words[0] != probe.words[1] for probe in asked)


@pytest.mark.parametrize(
    "size, objective", [(t5(16, 2, 8, 24, 1), "span"), (DecoderOnlyConfig(VOCABULARY, 16, 2, 1), "causal")]
)
def test_a_random_network_has_no_skill_and_is_left_in_its_mode(size, objective):
    torch.manual_seed(1)
    model = build(size).train()
    values = skill_aucs(model, objective, count=60)
    assert list(values) == list(SKILLS) and all(20 < value < 80 for value in values.values())
    assert model.training


def verdict(sentence: str, domain: str) -> str:
    """The judgement of a sentence, from the word lists and the words but/although/not alone."""
    lists = opinions.OPINIONS[domain]
    kinds = {word: "good" for word in lists["good"]} | {word: "bad" for word in lists["bad"]}
    found = [(match.start(), kinds[match[0]]) for match in re.finditer(r"\w+", sentence) if match[0] in kinds]
    denied = re.search(r"\b(not|never|Nobody)\b", sentence)
    if denied:
        plain = [
            kind for place, kind in found if place < denied.start() or " and the " in sentence[denied.end() : place]
        ]
        (turned,) = [kind for place, kind in found if (place, kind) and kind not in plain] or [None]
        return plain[0] if plain else {"good": "bad", "bad": "good"}[turned]
    if len({kind for _, kind in found}) == 1:
        return found[0][1]
    last_counts = re.search(r"\bbut\b|^Although|^Even though|^In spite", sentence)
    return found[-1][1] if last_counts else found[0][1]


@pytest.mark.parametrize("skill", ["plain", "contrast", "negation"])
def test_the_verdict_of_an_opinion_is_the_one_a_reader_would_give(skill):
    for probe in probes(skill, 120):
        opening, sentence = probe.text.removesuffix(" All in all, it was").split(". ", 1)
        thing = opening.split()[-1]
        (domain,) = [name for name in opinions.DOMAINS if thing in opinions.OPINIONS[name]["things"]]
        assert probe.words[0 if probe.first else 1] == verdict(sentence, domain), probe


@pytest.mark.parametrize("skill", ["where, named", "where, moved"])
def test_the_place_of_a_thing_is_the_one_a_reader_of_the_story_finds(skill):
    by_last_mention = 0
    for probe in probes(skill, 120):
        story, thing = re.fullmatch(r"(.*) Where is the (\w+)\?", probe.text).groups()
        answer = probe.words[0 if probe.first else 1].split()[-1]
        assert Reader(story).where(thing) == answer, probe
        before = story[: [match.end() for match in re.finditer(rf"\b{thing}\b", story)][-1]]
        sentence_end = story.find(".", len(before))
        by_last_mention += Reader(story[: sentence_end + 1]).where(thing) == answer
    assert by_last_mention > 100 if skill == "where, named" else by_last_mention < 60


def lexicon(name: str) -> dict:
    return json.loads((ROOT / "data" / "lexicon" / f"{name}.json").read_text(encoding="utf-8"))


def right_and_wrong(probe: Probe) -> tuple[str, str]:
    return probe.words if probe.first else probe.words[::-1]


@pytest.mark.parametrize("skill", ["subject", "turned-down subject"])
def test_the_subject_is_the_one_whose_nouns_stand_and_are_not_turned_down(skill):
    nouns, turned_down = lexicon("topics")["topics"], 0
    for probe in probes(skill, 120):
        right, wrong = right_and_wrong(probe)
        text = probe.text.removesuffix(" Topic:")
        standing = re.sub(r"(\bnot\b|[Nn]obody|What about).*?( but |:|, because|\?|$)", " ", text)
        told = set(re.findall(r"\w+", standing if skill == "turned-down subject" else text))
        assert told & set(nouns[right]) and not told & set(nouns[wrong]) - set(nouns[right]), probe
        turned_down += bool(set(re.findall(r"\w+", text)) & set(nouns[wrong]) - set(nouns[right]))
    assert turned_down == (120 if skill == "turned-down subject" else 0)


def test_the_kind_is_the_one_that_the_noun_is_listed_under():
    nouns = lexicon("meanings")["categories"]
    for probe in probes("kind", 120):
        kinds = {word for word in probe.words if set(re.findall(r"\w+", probe.text)) & set(nouns[word])}
        assert kinds == {right_and_wrong(probe)[0]}, probe


def test_who_has_a_thing_is_the_one_a_reader_of_the_story_finds():
    for probe in probes("who", 120):
        story, thing = re.fullmatch(r"(.*) Who has the (\w+)\?", probe.text).groups()
        right, wrong = right_and_wrong(probe)
        assert Reader(story).holder(thing) == right != wrong and wrong in story, probe


def test_which_of_two_things_is_at_a_place_is_the_one_a_reader_of_the_story_finds():
    for probe in probes("which", 120):
        story, place, *things = re.fullmatch(
            r"(.*) Which is [\w ]*?(\w+): the (\w+) or the (\w+)\?", probe.text
        ).groups()
        there = [f"The {thing}" for thing in things if Reader(story).where(thing) == place]
        assert there == [right_and_wrong(probe)[0]] and set(probe.words) == {f"The {thing}" for thing in things}, probe


def test_whether_a_thing_is_at_a_place_is_what_a_reader_of_the_story_finds():
    for probe in probes("whether", 120):
        story, thing, place = re.fullmatch(r"(.*) Is the (\w+) [\w ]*?(\w+)\?", probe.text).groups()
        assert probe.words == ("Yes", "No") and probe.first == (Reader(story).where(thing) == place), probe


def test_what_came_of_an_event_is_an_effect_of_its_rule():
    """By every wording of every rule about every thing: event -> its effects."""
    effects = {}
    for kind in lexicon("causes").values():
        for thing, rule in itertools.product(kind["objects"], kind["rules"]):
            for event in rule["cause"]:
                found = effects.setdefault(event.replace("{x}", thing), set())
                found |= {effect.replace("{x}", thing) for effect in rule["effect"]}
    for probe in probes("cause", 120):
        event = re.fullmatch(r"\w+ (.*)\. What happened then\?", probe.text)[1]
        right, wrong = (answer[0].lower() + answer[1:] for answer in right_and_wrong(probe))
        assert right in effects[event] and wrong not in effects[event], probe


def test_every_base_that_is_bundled_under_its_plain_name_passes_the_gate():
    """A plain name says the size alone; -span, -lm8e6 and -seed1 are other stages and twins."""
    plain = [
        file for file in CHECKPOINTS.glob("*/results.json") if re.fullmatch(r"[a-z]+\d*-[\d.]+m", file.parent.name)
    ]
    assert {"t5-0.8m", "gpt-1.7m"} <= {file.parent.name for file in plain}
    for file in plain:
        found = json.loads(file.read_text(encoding="utf-8"))["curve"][-1]["skills"]
        assert found["plain"] >= 95 and found["contrast"] >= 95 and passes_gate(found), file.parent.name
    just_below = dict.fromkeys(SKILLS, 100.0)
    assert passes_gate(just_below) and not passes_gate(just_below | {"plain": 94.9})
    assert not passes_gate(just_below | {"contrast": 94.9})


def test_a_thing_has_moved_where_its_carrier_went_on_after_it_was_last_named():
    world = World(random.Random(0), ["Anna", "Tom"], ["kitchen", "garden"], ["lamp", "cup"])
    for event in (Event("stand", "Anna", place="kitchen"), Event("hold", "Anna", "lamp")):
        world.apply(event)
    assert not tracking.moved_since_named(world, "lamp") and not tracking.moved_since_named(world, "cup")
    world.apply(Event("go", "Anna", place="garden"))
    assert tracking.moved_since_named(world, "lamp")
    world.apply(Event("drop", "Anna", "lamp"))
    assert not tracking.moved_since_named(world, "lamp")


def test_half_of_the_tracking_passages_ask_for_a_thing_that_has_moved():
    generator, moved = random.Random(4), 0
    for _ in range(400):
        world, _, thing = tracking.draw(generator, generator.random() < 0.5)
        moved += tracking.moved_since_named(world, thing)
    assert 160 < moved < 240


def test_no_task_form_stands_in_the_corpus():
    """What a base knows of a task is its words: 3,000 documents hold no bar between two parts of a source."""
    assert " | " not in "\n".join(documents(TRAINING_SEED, 0, 3000))
