"""The word tasks (opinions, meanings, causes, topics) cannot be solved from part of the input or by counting."""

import math
import random
import re
from collections import Counter, defaultdict
from functools import cache

import pytest

from minipeft.tasks.making import causes, meanings, opinion_tasks, opinions, topics
from minipeft.tasks.making.lexicon import Share, read_lexicon
from minipeft.tasks.making.people import split_names
from minipeft.tasks.making.recipes import generate
from minipeft.tasks.task import SPLITS

MODULES = (opinions, meanings, causes, topics)
TAUGHT = {opinion_tasks: opinions, meanings: meanings, topics: topics}  # what teaches the words of whose tasks
RECIPES = {name: recipe for module in TAUGHT for name, recipe in module.TASKS.items()}


@cache
def examples(name, split):
    return generate(RECIPES[name], split)


@cache
def passage_words(module):
    generator = random.Random(3)
    return Counter(word for _ in range(6000) for word in words(module.passage(generator).lower()))


def words(text):
    return re.findall(r"[a-z]+|\|", text.lower())


class Counting:
    """Naive Bayes over bags of words with add-one smoothing, the plainest learner of surface cues."""

    def __init__(self, texts, labels):
        self.labels, self.counts = Counter(labels), defaultdict(Counter)
        for text, label in zip(texts, labels, strict=True):
            self.counts[label].update(words(text))
        self.known = {word for counter in self.counts.values() for word in counter}

    def score(self, text, label):
        counter = self.counts[label]
        total = sum(counter.values()) + len(self.known)
        chances = (math.log((counter[word] + 1) / total) for word in words(text) if word in self.known)
        return math.log(self.labels[label]) + sum(chances)

    def answer(self, text, labels):
        return max(labels, key=lambda label: self.score(text, label))


def accuracy_of_counting(name, view, keep=lambda example: True):
    """Percent right on test when counting reads only `view(source)`, fitted on train."""
    train, test = examples(name, "train"), [example for example in examples(name, "test") if keep(example)]
    learner = Counting([view(example.source) for example in train], [example.target for example in train])
    right = sum(learner.answer(view(example.source), RECIPES[name].labels) == example.target for example in test)
    assert len(test) >= 200
    return 100 * right / len(test)


@pytest.mark.parametrize(
    ("name", "view", "limit"),
    [
        ("sentiment", str, 62),
        ("sentiment_food", str, 62),
        ("category", str, 16),
        ("topic", str, 22),
    ],
)
def test_counting_words_seen_in_training_stays_near_chance_on_test(name, view, limit):
    assert accuracy_of_counting(name, view) <= limit


def test_the_counting_baseline_can_find_a_shortcut_where_there_is_one():
    texts = ["a fine day", "a fine film", "a foul day", "a foul film"] * 5
    learner = Counting(texts, ["good", "good", "bad", "bad"] * 5)
    assert learner.answer("fine food", ("good", "bad")) == "good"
    assert learner.answer("foul food", ("good", "bad")) == "bad"


@pytest.mark.parametrize(("name", "domain"), [("sentiment", "films"), ("sentiment_food", "food")])
def test_knowing_every_adjective_does_not_help_a_counter_on_reversals(name, domain):
    kinds = {word: sign for label, sign in (("good", 1), ("bad", -1)) for word in opinions.OPINIONS[domain][label]}
    for example in examples(name, "test"):
        signs = [kinds[word] for word in words(example.source) if word in kinds]
        meant = 1 if example.target == "good" else -1
        if example.slice == "plain":
            assert set(signs) == {meant}
        elif example.slice == "contrast":
            assert sorted(signs) == [-1, 1]  # one word of each kind: nothing to count
        elif example.slice == "negation":
            assert sum(signs) in (0, -meant)  # counting is no help, or it misleads
        elif example.slice == "both":
            assert sorted(signs) in ([-1, -1], [1, 1])  # of one kind, which is the label's in half of them
        else:
            assert len(signs) == 1


@pytest.mark.parametrize("name", ["sentiment", "sentiment_food"])
def test_a_position_alone_does_not_decide_a_reversal(name):
    """Both "X, but Y" and "Y, although X" occur, so neither "the last word wins" nor "the first word wins" holds."""
    domain = opinions.OPINIONS["films" if name == "sentiment" else "food"]
    last = []
    for example in examples(name, "test"):
        found = [word for word in words(example.source) if word in domain["good"] + domain["bad"]]
        kinds = {word in domain["good"] for word in found}
        if example.slice == "contrast":
            assert len(kinds) == 2
            last.append((found[-1] in domain["good"]) == (example.target == "good"))
    assert 0.4 <= sum(last) / len(last) <= 0.7


def kinds_of(name, text):
    """The topics or categories of the nouns of `text`, in its order, each once."""
    nouns = topics.WORDS if name == "topic" else meanings.CATEGORIES
    kind = {noun: label for label, members in nouns.items() for noun in members}
    return list(dict.fromkeys(kind[word] for word in words(text) if word in kind))


@pytest.mark.parametrize("name", ["topic", "category"])
def test_the_answer_and_one_other_kind_are_named_and_neither_the_first_nor_the_last_is_favoured(name):
    rows = [row for row in examples(name, "test") if row.slice == "reads"]
    first = 0
    for row in rows:
        kinds = kinds_of(name, row.source)
        assert len(kinds) == 2 and row.target in kinds
        first += kinds[0] == row.target
    assert 0.43 <= first / len(rows) <= 0.57
    alone = [(row.target, *kinds_of(name, row.source)) for row in examples(name, "test") if row.slice == "knows"]
    assert all(target in kinds for target, *kinds in alone)  # "saw", which is a tool, is a verb as well
    assert sum(len(kinds) > 1 for _, *kinds in alone) < 0.1 * len(alone)


@pytest.mark.parametrize("name", ["sentiment", "sentiment_food", "topic", "category"])
def test_every_label_is_as_frequent_in_every_slice(name):
    counts = Counter((row.target, row.slice) for row in examples(name, "test"))
    assert len(counts) == len(RECIPES[name].parts) and max(counts.values()) - min(counts.values()) <= 1


def test_one_of_the_two_people_liked_it_and_no_place_is_favoured():
    rows = examples("who_liked", "test")
    for row in rows:
        assert row.target in row.candidates and row.source.startswith(f"{row.candidates[0]}: ")
        assert f" | {row.candidates[1]}: " in row.source
    counts = Counter((row.candidates.index(row.target), row.slice) for row in rows)
    assert len(counts) == len(RECIPES["who_liked"].parts) and max(counts.values()) - min(counts.values()) <= 1


TURNING = ("was not ", "was never ", "obody found", "was anything but", "far from", "is mistaken", "would be a joke",
           "not true", "obody would say", "a lie", "doubt that")  # fmt: skip


def test_of_two_things_the_one_that_is_spoken_well_of_is_the_answer():
    """A reader of its own: the adjective of each sentence, turned round by every phrase of TURNING in it."""
    good, bad = (set(opinions.OPINIONS["films"][label]) for label in ("good", "bad"))
    rows = examples("which_part", "test")
    for row in rows:
        liked = []
        for sentence in row.source.rstrip(".").split(". "):
            (thing,) = [part for part in row.candidates if re.search(rf"\b{part}\b", sentence)]
            (kind,) = {
                word in good for word in good | bad if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", sentence)
            }
            turns = sum(sentence.count(phrase) for phrase in TURNING)
            if kind != bool(turns % 2):
                liked.append(thing)
        assert liked == [row.target], row.source
    counts = Counter((row.candidates.index(row.target), row.slice) for row in rows)
    assert len(counts) == len(RECIPES["which_part"].parts) and max(counts.values()) - min(counts.values()) <= 1


def test_what_is_said_of_a_judgement_turns_it_as_often_as_it_says_so():
    """A reader of its own: what is held to be false turns the label, and so does "not" or "never" inside."""
    good = set(opinions.OPINIONS["films"]["good"])
    doubting = ("not true", "nobody would say", "a lie", "I doubt")
    nested = [row for row in examples("sentiment", "test") if row.slice == "nested"]
    turns = Counter()
    for row in nested:
        text = row.source.split(". ", 1)[1].replace("Nobody", "nobody")
        found = sum(text.count(words) for words in doubting)
        found += " was not " in text or " was never " in text
        is_good = text.rstrip(".").split()[-1] in good
        assert row.target == ("good" if is_good != bool(found % 2) else "bad"), row.source
        turns[found] += 1
    assert set(turns) == {0, 1, 2, 3}


def split_lists(draw):
    """What each task promises not to share: name -> split -> words."""
    shares = {split: Share(split, draw) for split in SPLITS}
    yield "people", {split: split_names(share) for split, share in shares.items()}
    for domain in opinions.DOMAINS:
        for kind in ("aspects", "good", "bad"):
            yield (
                f"{domain} {kind}",
                {split: opinions.split_adjectives(domain, share)[kind] for split, share in shares.items()},
            )
    yield "category", {split: sum(meanings.split_nouns(share).values(), []) for split, share in shares.items()}
    yield "topics", {split: sum(topics.split_nouns(share).values(), []) for split, share in shares.items()}


@pytest.mark.parametrize("draw", [0, 7])
@pytest.mark.parametrize("what", [what for what, _ in split_lists(0)])
def test_splits_share_no_words(what, draw):
    lists = dict(split_lists(draw))[what]
    everything = sum(lists.values(), [])
    assert len(everything) == len(set(everything)) and all(lists.values())


@pytest.mark.parametrize("name", RECIPES)
def test_labels_are_balanced_and_sources_distinct(name):
    for split in ("train", "test"):
        rows = examples(name, split)
        assert len({row.source for row in rows}) == len(rows) == RECIPES[name].sizes[split]
        shares = Counter(row.target for row in rows) if RECIPES[name].labels else {"": 0}
        assert max(shares.values()) - min(shares.values()) <= 1
        assert all(len(label.split()) == 1 for label in RECIPES[name].labels)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_a_passage_depends_on_its_generator_alone(module):
    first, second = ([module.passage(random.Random(seed)) for seed in range(30)] for _ in range(2))
    assert first == second and len(set(first)) > 25
    assert all(10 <= len(text.split()) <= 90 and "{" not in text for text in first)


@pytest.mark.parametrize("name", RECIPES)
def test_every_word_of_a_task_is_taught_in_pretraining(name):
    taught = passage_words(next(teacher for module, teacher in TAUGHT.items() if name in module.TASKS))
    used = {word for split in SPLITS for row in examples(name, split) for word in words(row.source)} - {"|"}
    used -= {person["name"].lower() for person in read_lexicon("world")["people"]}
    added = (*opinion_tasks.UNSEEN, *opinion_tasks.AROUND[True], *opinion_tasks.AROUND[False])
    used -= set(words(" ".join(added)))  # what tuning has to teach
    assert not {word for word in used if not taught[word]}
