"""Your own JSONL: every fault is one sentence with file and line, and no source or label counts twice."""

import json
import os
import re
from collections import Counter

import pytest

from minipeft.errors import UserError, excerpt, require_text
from minipeft.tasks.jsonl import LONGEST_LINE, read_jsonl, to_jsonl
from minipeft.tasks.own_data import load_jsonl
from minipeft.tasks.registry import few_shot
from minipeft.tasks.task import Example, Task


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"source": "a", "target": }', "not valid JSON"),
        ('["a", "b"]', "expected an object"),
        ('{"source": "a"}', 'the key "target" is missing'),
        ('{"source": 3, "target": "b"}', '"source" must be a string, got int'),
        ('{"source": "a", "target": " "}', '"target" is empty'),
        ('{"source": "a", "target": "b", "label": "c"}', 'unknown key "label"'),
        ('{"source": "a", "target": "b", "candidates": "b"}', '"candidates" must be a list of strings'),
        ('{"source": "a", "target": "b", "candidates": ["c"]}', 'the target is not among the "candidates"'),
        ('{"source": "a", "target": "b", "candidates": ["b"]}', '"candidates" holds one answer'),
        ('{"source": "a", "target": "b", "candidates": ["b", " "]}', 'one of the "candidates" is empty'),
        ('{"source": "a", "target": "b", "candidates": ["b", "c", " b\\n"]}', "\"candidates\" holds 'b' twice"),
        ('{"source": "a", "target": "b", "slice": 3}', '"slice" must be a string, got int'),
        ('{"source": "a", "target": "b", "slice": " "}', '"slice" is empty'),
        ('{"source": "a", "target": "b", "slice": "' + "n" * 41 + '"}', '"slice" is longer than 40 characters'),
        ('{"source": "a", "target": "b", "slice": "\\ud83d"}', '"slice" holds half a character'),
        ('{"source": "a", "source": "c", "target": "b"}', 'the key "source" stands there twice'),
        ('{"source": "a", "target": NaN}', '"target" must be a string, got float'),
        ('{"source": "a", "target": ' + "7" * 6000 + "}", '"target" must be a string, got int'),
        ("[" * 100_000, "brackets within brackets"),
        ('{"source": "a", "target": ' + '{"b": ' * 100_000, "brackets within brackets"),
        ('{"source": "a", "target": "b", "' + "k" * 5000 + '": 1}', 'unknown key "' + "k" * 60 + '..."'),
        ('{"source": "\\u2028\\n\\u00a0", "target": "b"}', '"source" is empty'),
        ('{"source": "a \\ud83d", "target": "b"}', '"source" holds half a character'),
        ('{"source": "a", "target": "\\uDE00 b"}', '"target" holds half a character'),
        ('{"source": "a", "target": "b", "candidates": ["b", "\\ude00"]}', '"candidates" holds half a character'),
        ('{"source": "a", "target": "b", "c\\ud83d": 1}', 'unknown key "c\\ud83d"'),
    ],
)
def test_a_malformed_line_is_reported_with_its_number_and_reason(tmp_path, line, reason):
    path = tmp_path / "my.jsonl"
    path.write_text('{"source": "fine", "target": "x"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(f"my.jsonl, line 3: {reason}")):
        load_jsonl(path)


def test_missing_empty_and_binary_files_are_reported(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        load_jsonl(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n \n", encoding="utf-8")
    with pytest.raises(UserError, match="is empty"):
        load_jsonl(tmp_path / "empty.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        load_jsonl(tmp_path / "binary.jsonl")


def written(path, examples):
    path.write_text(to_jsonl(examples), encoding="utf-8")
    return path


def test_one_file_is_split_80_10_10_the_same_way_every_time(tmp_path):
    path = written(tmp_path / "my.jsonl", [Example(f"text {n}", ("red", "blue")[n % 2]) for n in range(50)])
    task = load_jsonl(path)
    assert [len(task.train), len(task.dev), len(task.test)] == [40, 5, 5]
    assert len({example.source for example in (*task.train, *task.dev, *task.test)}) == 50
    assert task == load_jsonl(path)
    assert (task.name, task.metric, task.labels) == ("my", "accuracy", ("blue", "red"))


def test_given_dev_and_test_files_are_used_whole(tmp_path):
    sizes = {"a": 6, "b": 7, "c": 8}
    paths = [written(tmp_path / name, [Example(f"{name} {i}", f"{i}") for i in range(n)]) for name, n in sizes.items()]
    task = load_jsonl(*paths)
    assert [len(task.train), len(task.dev), len(task.test)] == [6, 7, 8]


def test_many_or_long_targets_are_scored_by_exact_match_and_candidates_by_accuracy(tmp_path):
    many = load_jsonl(written(tmp_path / "many.jsonl", [Example(f"s{n}", f"t{n}") for n in range(30)]))
    texts = [Example(f"s{n}", f"four words are {('long', 'short')[n % 2]}") for n in range(30)]
    long = load_jsonl(written(tmp_path / "long.jsonl", texts))
    choice = load_jsonl(written(tmp_path / "c.jsonl", [Example(f"s{n}", f"t{n}", (f"t{n}", "no")) for n in range(9)]))
    assert (many.metric, many.labels, long.metric, long.labels) == ("exact_match", (), "exact_match", ())
    assert (choice.metric, choice.labels) == ("accuracy", ())
    assert choice.train[0].candidates[1] == "no"
    mixed = [Example(f"s{n}", "t", ("t", "u") if n else ()) for n in range(9)]
    with pytest.raises(UserError, match="line 1: no .candidates.; either all examples"):
        load_jsonl(written(tmp_path / "mixed.jsonl", mixed))
    with pytest.raises(UserError, match="too few to split"):
        load_jsonl(written(tmp_path / "two.jsonl", mixed[1:3]))


def test_a_jsonl_round_trip_keeps_odd_characters(tmp_path):
    examples = [Example('naïve\u2028line\nbreak "quoted"', "漢字", ("漢字", "b"))]
    assert [(e.source, e.target, e.candidates) for e in read_jsonl(written(tmp_path / "odd.jsonl", examples))] == [
        (examples[0].source, "漢字", ("漢字", "b"))
    ]
    assert json.loads(to_jsonl(examples))["target"] == "漢字"


def own_task(tmp_path, rows, **changes):
    """The task of a file that holds `rows`, pairs of source and target."""
    return load_jsonl(written(tmp_path / "mine.jsonl", [Example(*row) for row in rows]), **changes)


def test_a_file_that_is_no_plain_text_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        load_jsonl(tmp_path)
    with pytest.raises(UserError, match="cannot be read|There is no file"):
        load_jsonl(tmp_path / ("x" * 5000))
    with pytest.raises(UserError, match="cannot be read|There is no file"):
        load_jsonl("a\0b")
    for name, content in {"latin": "caf\u00e9".encode("latin-1"), "utf-16": '{"source"'.encode("utf-16")}.items():
        (tmp_path / name).write_bytes(b'{"source": "fine", "target": "x"}\n' * (name == "latin") + content)
        with pytest.raises(UserError, match=rf"{name}, line {1 + (name == 'latin')}: not UTF-8 text \(byte 0x"):
            load_jsonl(tmp_path / name)
    (tmp_path / "long.jsonl").write_bytes(b'{"source": "' + b"a" * LONGEST_LINE + b'", "target": "b"}')
    with pytest.raises(UserError, match="line 1: longer than 1,000,000 bytes"):
        load_jsonl(tmp_path / "long.jsonl")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is a pipe or a device"):
        load_jsonl(tmp_path / "pipe")


def test_a_mark_of_utf_8_and_the_line_ends_of_windows_are_read_over(tmp_path):
    row = json.dumps({"source": "the fox", "target": "warm"})
    (tmp_path / "windows.jsonl").write_bytes(b"\xef\xbb\xbf" + f"{row}\r\n\r\n{row}".encode())
    read = read_jsonl(tmp_path / "windows.jsonl")
    assert [(example.source, example.target) for example in read] == [("the fox", "warm")] * 2
    assert read[1].place.endswith("windows.jsonl, line 3")


def test_a_whole_emoji_written_as_two_escapes_is_text(tmp_path):
    (tmp_path / "emoji.jsonl").write_text('{"source": "nice \\ud83d\\ude00", "target": "good"}', encoding="utf-8")
    assert read_jsonl(tmp_path / "emoji.jsonl")[0].source == "nice \U0001f600"


def test_labels_that_differ_in_white_space_are_one_label(tmp_path):
    targets = ("good", "bad", "good ", "bad\n", "very  good", "very\u00a0good")
    task = own_task(tmp_path, [(f"text {n}", targets[n % 6]) for n in range(60)])
    assert (task.metric, task.labels) == ("accuracy", ("bad", "good", "very good"))
    assert task.chance == pytest.approx(100 / 3)
    assert {example.target for example in (*task.train, *task.dev, *task.test)} == set(task.labels)
    with pytest.raises(UserError, match="'good' twice"):
        Task("mine", "", "accuracy", ("good", "bad", "good\n"), (), (), ())


@pytest.mark.parametrize("twin", ["caf\u0065\u0301", "caf\u00e9\u200b", "\ufeffcaf\u00e9"])
def test_labels_that_look_the_same_are_refused_with_both_lines(tmp_path, twin):
    with pytest.raises(UserError, match=r"mine\.jsonl, line \d+ and .*mine\.jsonl, line \d+: .*look the same"):
        own_task(tmp_path, [(f"text {n}", ("caf\u00e9", "no", twin)[n % 3]) for n in range(30)])
    both = own_task(tmp_path, [(f"text {n}", ("caf\u00e9", "cafe", "Cafe")[n % 3]) for n in range(30)])
    assert both.labels == ("Cafe", "cafe", "caf\u00e9")


def test_candidates_and_their_target_are_compared_without_white_space(tmp_path):
    path = written(tmp_path / "c.jsonl", [Example("s", "so it is ", ("so  it is", "not so"))])
    assert (read_jsonl(path)[0].target, read_jsonl(path)[0].candidates) == ("so it is", ("so it is", "not so"))


def test_data_of_one_class_has_nothing_to_tell_apart(tmp_path):
    for target in ("good", "one long answer for every line"):
        with pytest.raises(UserError, match=f"all targets are '{target}': there is nothing to tell apart"):
            own_task(tmp_path, [(f"text {n}", target + " " * n) for n in range(9)])


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_lines_with_the_same_source_stay_in_one_split(tmp_path, copies):
    rows = [(f"text  {n}" if copy else f"text {n} ", ("red", "blue")[(n + copy) % 2]) for n in range(20)
            for copy in range(copies)]  # fmt: skip
    task = own_task(tmp_path, rows)
    sources = [{" ".join(example.source.split()) for example in part} for part in (task.train, task.dev, task.test)]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 20
    assert Counter(len(part) for part in (task.train, task.dev, task.test)) == {16 * copies: 1, 2 * copies: 2}


def test_a_source_that_fills_most_of_a_file_is_trained_on(tmp_path):
    rows = [("again and again", ("red", "blue")[n % 2]) for n in range(40)] + [("a", "red"), ("b", "blue")]
    task = own_task(tmp_path, rows)
    assert [len(task.train), len(task.dev), len(task.test)] == [40, 1, 1]
    with pytest.raises(UserError, match="3 or more of different sources"):
        own_task(tmp_path, rows[:41])


def test_a_repeated_source_is_not_drawn_for_train_and_for_dev():
    rows = tuple(Example(f"text {n % 10}", ("red", "blue")[n % 2]) for n in range(100))
    for seed in range(5):
        small = few_shot(Task("mine", "", "accuracy", ("red", "blue"), rows, rows, rows), per_label=2, seed=seed)
        sources = [example.source for example in (*small.train, *small.dev)]
        assert len(set(sources)) == len(sources) == 8


def test_half_a_character_is_found_in_keys_and_lists_and_whole_ones_pass():
    value = {"good": ["Good.", "\U0001f600"], "bad": ("Bad.", 3, None)}
    assert require_text(value, "it") is value
    for broken in ("a\ud83d", ["a", "\ude00b"], {"a\udcff": 1}, {"a": [["\ud83d"]]}):
        with pytest.raises(UserError, match=r"it holds half a character.*U\+D[0-9A-F]{3} at character"):
            require_text(broken, "it")


def test_an_excerpt_is_short_and_can_be_printed():
    assert excerpt("short") == "short" and excerpt("a\nb\ud83d") == "a\\nb\\ud83d"
    assert excerpt("x" * 61) == "x" * 60 + "..." and excerpt("x" * 60) == "x" * 60
