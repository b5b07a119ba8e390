"""The bundled tasks are what their generators make, share nothing between splits, and own data fails in sentences."""

import json
import random
from collections import Counter

import pytest

from minipeft.errors import UserError
from minipeft.paths import DATA
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.tasks.making import corpus, prose, prose_extraction
from minipeft.tasks.making.build import build_task, card_text
from minipeft.tasks.making.every_recipe import RECIPES
from minipeft.tasks.registry import few_shot, load_task, task_names
from minipeft.tasks.task import METRICS, SPLITS

NAMES = task_names()
LONGEST_SOURCE = 160  # tokens


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_file_is_what_the_generator_makes(name):
    assert (DATA / "tasks" / name / "train.jsonl").read_text(encoding="utf-8") == build_task(name, "train")


def test_the_bundled_tasks_are_those_that_have_a_recipe():
    assert sorted(RECIPES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_card_of_a_task_is_what_its_recipe_says(name):
    """Description, metric, labels and prompts stand in a file, so that reading a task runs no generator."""
    card, recipe = json.loads((DATA / "tasks" / name / "task.json").read_text(encoding="utf-8")), RECIPES[name]
    assert card_text(name) == (DATA / "tasks" / name / "task.json").read_text(encoding="utf-8")
    assert (card["description"], card["metric"]) == (recipe.description, recipe.metric)
    assert (tuple(card["labels"]), card["held_out"]) == (tuple(recipe.labels), recipe.held_out)
    task = load_task(name)
    assert (task.description, task.metric, task.labels) == (recipe.description, recipe.metric, tuple(recipe.labels))


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_it_is_and_its_splits_share_no_source(name):
    task = load_task(name)
    assert task.metric in METRICS and task.description and task.held_out
    sources = [{example.source for example in getattr(task, split)} for split in SPLITS]
    assert not (sources[0] & sources[1] or sources[0] & sources[2] or sources[1] & sources[2])
    for example in (*task.train, *task.dev, *task.test):
        choices = task.labels or example.candidates
        assert not choices or example.target in choices


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_much_more_frequent_than_chance(name):
    task = load_task(name)
    if task.labels:
        counts = Counter(example.target for example in task.test)
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_bundled_example_is_too_long(name):
    task, encode = load_task(name), Tokenizer.load().encode
    for example in (*task.train, *task.dev, *task.test):
        texts = (example.source, example.target, *example.candidates)
        assert all(len(encode(text)) < LONGEST_SOURCE for text in texts)


def test_there_are_at_least_10_tasks_and_the_data_stays_small():
    assert len(NAMES) >= 10
    files = [file for file in DATA.rglob("*") if file.is_file() and not {"checkpoints", "results"} & set(file.parts)]
    assert sum(path.stat().st_size for path in files) < 9_000_000


def test_prose_is_short_plain_paragraphs_and_its_licence_is_bundled():
    assert len(prose.passages()) > 4000
    for text in prose.passages():
        assert 15 <= len(text.split()) <= 90 and ">>>" not in text and "\n" not in text
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in (DATA / "prose" / "PSF-LICENSE.txt").read_text(encoding="utf-8")


def test_paragraphs_drop_code_join_short_ones_and_part_long_ones():
    sentence = "This one is a plain sentence of exactly ten words."
    text = f"""Summary line.

        >>> code(1)
        2

        {" ".join([sentence] * 12)}

        {sentence} {sentence}
        """
    first, second, third = prose_extraction.paragraphs(text)
    assert first.startswith("Summary line. This one") and len(first.split()) == 82
    assert len(second.split()) == 40
    assert third == f"{sentence} {sentence}"


def test_no_base_has_read_a_comment():
    """Pretraining draws from `passages`; the task on real prose from comments, which share no paragraph with them."""
    comments = prose._texts("comments.jsonl")
    assert len(comments) > 4000 and not set(comments) & set(prose.passages())


def test_a_comment_is_whole_lines_that_follow_each_other_without_their_marks():
    source = "x = 1  # not this\n# First line\n#   and the second.\ny = 2\n    # Another one.\n"
    assert prose_extraction._comment_blocks(source) == ["First line\n  and the second.", "Another one."]


def written(source):
    """The places in the comments where this source may stand, as (before, after) in the words as they are written."""
    before, after = (part.split() for part in source.split(" | "))
    found, wanted = [], before + after
    for text in prose._texts("comments.jsonl"):
        spelled = [word for word in text.split() if word.strip(prose.SIGNS)]
        plain = [word.strip(prose.SIGNS).lower() for word in spelled]
        for start in range(len(plain) - len(wanted) + 1):
            if plain[start : start + len(wanted)] == wanted:
                found.append((spelled[start + len(before) - 1], spelled[start + len(before)]))
    return found


def test_a_sentence_ends_where_the_comment_says_so():
    for example in load_task("sentence_end").test[:12]:
        places = written(example.source)
        assert places
        ends = [last[-1:] in '.?!)"' and first[0].isupper() for last, first in places]
        assert any(ends) if example.target == "yes" else not all(ends)


def test_the_word_before_the_bar_is_new_and_the_word_after_it_as_often_an_end_as_not():
    task, last = load_task("sentence_end"), {}
    for split in SPLITS:
        rows = getattr(task, split)
        last[split] = {row.source.split(" | ")[0].split()[-1] for row in rows}
        after = Counter((row.source.split(" | ")[1].split()[0], row.target) for row in rows)
        words = {word for word, _ in after}
        for word in words:
            yes, no = after[word, "yes"], after[word, "no"]
            assert abs(yes - no) <= 4 * (yes + no) ** 0.5 + 3
    assert not (last["train"] & last["dev"] or last["train"] & last["test"] or last["dev"] & last["test"])


def test_a_document_depends_on_its_seed_and_number_alone():
    assert list(corpus.documents(0, 5, 3)) == [corpus.document(0, number) for number in (5, 6, 7)]
    first = set(corpus.documents(corpus.TRAINING_SEED, 0, 400))
    assert len(first & set(corpus.documents(corpus.VALIDATION_SEED, 0, 400))) < 8  # real prose repeats


def test_the_mixture_draws_each_source_as_often_as_its_weight_says(monkeypatch):
    named = {lambda generator, name=source.__module__: name: weight for source, weight in corpus.MIXTURE.items()}
    monkeypatch.setattr(corpus, "MIXTURE", named)
    counts = Counter(corpus.documents(0, 0, 4000))
    for source, weight in named.items():
        assert abs(counts[source(None)] / 4000 - weight) < 4 * (weight * (1 - weight) / 4000) ** 0.5


def test_an_unknown_task_names_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'sentiment'"):
        load_task("sentimant")
    with pytest.raises(UserError, match="choose one of"):
        load_task("xyzzy")


def test_a_smaller_train_split_is_the_start_of_the_whole_one():
    whole, small = load_task("sentiment"), load_task("sentiment", train_size=10)
    assert small.train == whole.train[:10] and small.test == whole.test
    with pytest.raises(UserError, match="1500 training examples"):
        load_task("sentiment", train_size=1501)


def test_few_shot_draws_the_same_number_of_each_label_for_train_and_dev():
    task = load_task("category")
    small = few_shot(task, per_label=4, seed=1)
    for part in (small.train, small.dev):
        assert Counter(example.target for example in part) == dict.fromkeys(task.labels, 4)
    assert not {example.source for example in small.train} & {example.source for example in small.dev}
    assert {example.source for example in (*small.train, *small.dev)} <= {example.source for example in task.train}
    assert small == few_shot(task, per_label=4, seed=1) != few_shot(task, per_label=4, seed=2)
    assert small.test == task.test


def test_few_shot_by_total_spreads_over_labels_and_refuses_too_many():
    assert sorted(Counter(e.target for e in few_shot(load_task("topic"), total=25).train).values()) == [2] * 5 + [3] * 5
    assert len(few_shot(load_task("describe"), total=7).train) == 7
    with pytest.raises(UserError, match="are needed"):
        few_shot(load_task("sentiment"), per_label=10_000)


def test_a_sources_passage_is_drawn_by_the_given_generator_alone():
    for source in corpus.MIXTURE:
        assert source(random.Random(3)) == source(random.Random(3))
