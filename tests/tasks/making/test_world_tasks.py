from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache
from math import log

import pytest
from helpers.story_reader import Reader

from minipeft.tasks.making.recipes import generate
from minipeft.tasks.making.world import FEELING_KINDS, FEELING_NAMES, OBJECTS, PEOPLE, PHRASES, PLACES, PRONOUNS
from minipeft.tasks.making.world_stories import mentions
from minipeft.tasks.making.world_tasks import TASKS
from minipeft.tasks.registry import load_task

CHOICES = {"where_is": 3, "who_has": 3, "yes_no": 2, "coreference": 2, "entailment": 3, "next_sentence": 2}
NAMES = set(PEOPLE) | set(PLACES) | set(OBJECTS)


@cache
def examples(name, split):
    """As bundled, which is what is generated (test_data.py)."""
    return getattr(load_task(name), split)


def words_of(example):
    text = f"{example.source} {example.target}"
    return NAMES & set(text.replace(".", " ").replace(",", " ").replace('"', " ").split())


def halves(name, example):
    """(question, story) of a tracking task, (statement, story) of a pair task."""
    first, second = example.source.split(" | ")
    return (second, first) if name in ("entailment", "next_sentence") else (first, second)


@pytest.mark.parametrize("name", TASKS)
def test_splits_share_no_source_and_no_person_place_or_object(name):
    parts = [examples(name, split) for split in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [1500, 300, 600]
    assert len({example.source for part in parts for example in part}) == 2400
    train, dev, test = (set().union(*map(words_of, part)) for part in parts)
    assert train and dev and test and not (train & dev or train & test or dev & test)


@pytest.mark.parametrize("name", ["where_is", "entailment"])
def test_a_task_is_the_same_every_time_it_is_generated(name):
    small = replace(TASKS[name], sizes={"train": 20, "dev": 10, "test": 10})
    assert generate(small, "test") == generate(small, "test") != generate(small, "dev")


def test_an_unknown_split_and_a_task_without_enough_examples_are_refused():
    with pytest.raises(ValueError, match="no split 'validation'"):
        generate(TASKS["where_is"], "validation")
    poor = replace(TASKS["describe"], make=lambda generator, split: examples("describe", "train")[0])
    with pytest.raises(ValueError, match="too few distinct train examples"):
        generate(poor, "train")


@pytest.mark.parametrize("name", TASKS)
def test_sources_are_short_and_labels_have_exact_shares(name):
    task, drawn = TASKS[name], examples(name, "test")
    assert max(len(example.source.split()) for example in drawn) <= 80
    if task.labels:
        assert set(Counter(example.target for example in drawn).values()) == {600 // len(task.labels)}
    if task.parts:
        shares = Counter(map(task.part, drawn))
        assert set(shares) == set(task.parts) and max(shares.values()) - min(shares.values()) <= 1


@pytest.mark.parametrize("name", ["where_is", "who_has", "coreference"])
def test_every_candidate_is_mentioned_and_neither_the_first_nor_the_last_is_favoured(name):
    drawn, favoured = examples(name, "test"), Counter()
    for example in drawn:
        story = halves(name, example)[1]
        spans = {candidate: mentions(story, candidate) for candidate in example.candidates}
        assert len(spans) == CHOICES[name] and all(spans.values()) and example.target in spans
        favoured["first"] += min(spans, key=lambda word: spans[word][0]) == example.target
        favoured["last"] += max(spans, key=lambda word: spans[word][-1]) == example.target
    assert abs(favoured["last"] - 600 / CHOICES[name]) <= 1
    assert abs(favoured["first"] - 600 / CHOICES[name]) < 40  # three and a half standard deviations


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_reader_of_the_text_alone_finds_every_answer_of_the_tracking_tasks(split):
    for example in examples("where_is", split):
        thing, story = halves("where_is", example)
        assert Reader(story).where(thing) == example.target, example
    for example in examples("who_has", split):
        thing, story = halves("who_has", example)
        assert Reader(story).holder(thing) == example.target, example
    for example in examples("yes_no", split):
        question, story = halves("yes_no", example)
        thing, place = question.split()
        assert (Reader(story).where(thing) == place) == (example.target == "yes"), example


def holds(reader, subject, rest):
    """Whether "She has the lamp" and the like hold of a subject: True, False or None for undetermined."""
    last = rest.rstrip(".").split()[-1]
    if last in FEELING_NAMES:
        felt = reader.feelings.get(subject)
        return None if felt is None else felt == last
    if last in PLACES:
        place = reader.where(subject)
        return None if place is None else place == last
    return reader.holder(last) == subject


def test_a_reader_of_the_text_alone_finds_every_answer_of_coreference():
    for example in examples("coreference", "test"):
        fact, story = halves("coreference", example)
        pronoun, rest = fact.split(" ", 1)
        assert {PRONOUNS[person] for person in example.candidates} == {pronoun.lower()}
        meant = [person for person in example.candidates if holds(Reader(story), person, rest)]
        assert meant == [example.target], example


def test_a_reader_of_the_text_alone_finds_every_answer_of_entailment():
    labels = {True: "yes", False: "no", None: "maybe"}
    for example in examples("entailment", "test"):
        statement, story = halves("entailment", example)
        subject = statement.removeprefix("The ").split()[0]
        assert mentions(story, subject) and mentions(story, statement.rstrip(".").split()[-1])
        assert labels[holds(Reader(story), subject, statement)] == example.target, example


def test_feelings_that_contradict_in_entailment_are_of_opposite_kinds():
    for example in examples("entailment", "test"):
        statement, story = halves("entailment", example)
        feeling = statement.rstrip(".").split()[-1]
        if feeling in FEELING_NAMES and example.target == "no":
            assert FEELING_KINDS[Reader(story).feelings[statement.split()[0]]] != FEELING_KINDS[feeling]


def test_a_reader_of_the_text_alone_knows_which_sentence_can_come_next():
    for example in examples("next_sentence", "test"):
        sentence, story = halves("next_sentence", example)
        reader, words = Reader(story), sentence.rstrip(".").split()
        person = words[0]
        thing = next(word for word in words if word in OBJECTS)
        assert person in mentioned(story) and mentions(story, thing)
        if "to" in words:
            same = reader.people.get(words[-1]) in (None, reader.people.get(person))
            can = reader.holder(thing) == person and reader.people.get(person) is not None and same
        elif {"dropped", "left", "put", "set", "laid", "forgot", "discarded", "abandoned"} & set(words):
            can = reader.holder(thing) == person and reader.people.get(person) is not None
        else:
            can = reader.holder(thing) is None and None is not reader.people.get(person) == reader.where(thing)
        assert can == (example.target == "yes"), example


def mentioned(story):
    return {word.strip('.,:"') for word in story.split()}


def naive_bayes(train, test):
    """Accuracy in percent of a word-count classifier on (text, label) pairs."""
    counts, labels = defaultdict(Counter), Counter(label for _, label in train)
    for text, label in train:
        counts[label].update(set(text.lower().split()))

    def score(text, label):
        return sum(log((counts[label][word] + 1) / (labels[label] + 2)) for word in set(text.lower().split()))

    return (
        100
        * sum(max(sorted(labels), key=lambda label: score(text, label)) == wanted for text, wanted in test)
        / len(test)
    )


@pytest.mark.parametrize("name", ["yes_no", "entailment", "next_sentence"])
@pytest.mark.parametrize("half", ["question", "story"])
def test_counting_the_words_of_one_half_is_no_better_than_guessing(name, half):
    def pairs(split):
        return [(halves(name, example)[half == "story"], example.target) for example in examples(name, split)]

    assert abs(naive_bayes(pairs("train"), pairs("test")) - 100 / CHOICES[name]) < 6


@pytest.mark.parametrize("name", ["where_is", "who_has", "coreference"])
def test_features_of_a_candidate_in_the_story_without_its_question_do_not_tell_the_answer(name):
    def pairs(split):
        for example in examples(name, split):
            question, story = halves(name, example)
            for candidate in example.candidates:
                spans, ranks = mentions(story, candidate), [mentions(story, word) for word in example.candidates]
                first = sum(other[0] < spans[0] for other in ranks)
                last = sum(other[-1] > spans[-1] for other in ranks)
                yield example, candidate, f"first{first} last{last} length{len(question.split()[-1]) // 4}"

    shares = defaultdict(lambda: [1, CHOICES[name]])
    for example, candidate, features in pairs("train"):
        shares[features][0] += candidate == example.target
        shares[features][1] += 1
    best = {}
    for example, candidate, features in pairs("test"):
        right, seen = shares[features]
        best[example] = max(best.get(example, (0, "")), (right / seen, candidate))
    accuracy = 100 * sum(choice == example.target for example, (_, choice) in best.items()) / len(best)
    assert abs(accuracy - 100 / CHOICES[name]) < 6


def test_tags_name_every_word_of_its_kind_and_places_and_objects_share_positions():
    kinds = {"person": set(PEOPLE), "place": set(PLACES), "object": set(OBJECTS), "feeling": set(FEELING_NAMES)}
    first = Counter()
    for example in examples("tagging", "train"):
        tags = [tuple(tag.split(": ")) for tag in example.target.split("; ")]
        assert all(word in kinds[kind] for kind, word in tags)
        found = [
            word
            for word in example.source.replace(",", " ").replace(".", " ").replace(":", " ").replace("?", " ").split()
            if any(word in words for words in kinds.values())
        ]
        assert found == [word for _, word in tags]
        first[next(kind for kind, _ in tags if kind in ("place", "object"))] += 1
    assert abs(first["place"] - first["object"]) < 150  # of 1500: even, within four standard deviations


def test_a_description_says_exactly_what_the_record_says():
    for example in examples("describe", "test"):
        record = set(example.source.split())
        person, place = (record & set(PEOPLE)).pop(), (record & set(PLACES)).pop()
        assert example.target.startswith(f"{person} is {PHRASES[place]}. {PRONOUNS[person].capitalize()} has a")
        assert record <= set(example.target.replace(".", " ").split())
