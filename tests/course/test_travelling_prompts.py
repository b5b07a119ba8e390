"""What chapter 08's study of transfer is made of, where no training is needed."""

import pytest
import torch

from minipeft.course.chapters import LESSONS, load_answers
from minipeft.tasks.making.corpus import TRAINING_SEED, document
from minipeft.tasks.task import Example, Task

travelling = load_answers(LESSONS / "08_prompt_transfer" / "travelling.py")


@pytest.mark.parametrize(
    "tried, wanted",
    [
        ({0.1: 60.0, 0.3: 70.0, 1.0: 65.0}, []),
        ({0.1: 60.0, 0.3: 70.0, 1.0: 75.0}, [3.0]),
        ({0.1: 80.0, 0.3: 70.0, 1.0: 75.0}, [0.033]),
    ],
)
def test_a_grid_grows_where_its_winner_stands_at_an_end(tried, wanted):
    assert travelling.beyond(max(tried, key=tried.get), tried) == wanted


def test_the_nearest_sources_come_first_and_the_target_is_none_of_them():
    early = {task: (torch.tensor([[1.0, place / 4]]) + 0.1).tolist() for place, task in enumerate("abcde")}
    alike = {
        one: {other: -abs(early[one][0][1] - early[other][0][1]) for other in early if other != one} for one in early
    }
    assert travelling.nearest_of(alike, "a") == ["b", "c", "d"]
    assert "c" not in travelling.nearest_of(alike, "c")


def test_a_mixture_takes_one_text_of_each_task_in_turn():
    tasks = [
        Task(
            name, "", "exact_match", (), train=tuple(Example(f"{name}{i}", "x") for i in range(count)), dev=(), test=()
        )
        for name, count in (("a", 3), ("b", 2))
    ]
    assert [example.source for example in travelling.mixed(tasks).train] == ["a0", "b0", "a1", "b1"]


def test_unlabelled_texts_are_documents_of_the_corpus_cut_in_two():
    task = travelling.unlabelled()
    for number in (0, 7, 1999):
        example = task.train[number]
        assert example.source and example.target
        assert f"{example.source} {example.target}" == " ".join(document(TRAINING_SEED, number).split())
    assert len({len(example.source.split()) for example in task.train[:50]}) > 5, "the cut may be anywhere"


def test_an_average_of_equal_likenesses_is_the_mean_and_what_is_not_alike_hardly_counts():
    ready = {"a": [[1.0, 0.0]], "b": [[0.0, 1.0]], "c": [[5.0, 5.0]]}
    half = travelling.average(ready, {"t": {"a": 0.6, "b": 0.6}}, "t", ["a", "b"])
    torch.testing.assert_close(torch.tensor(half), torch.tensor([[0.5, 0.5]]))
    nearly = travelling.average(ready, {"t": {"a": 0.99, "c": -0.4}}, "t", ["a", "c"])
    torch.testing.assert_close(torch.tensor(nearly), torch.tensor([[1.04, 0.05]]))
