"""Files made to do harm: no code in them is run, no size is believed, and the sentence says what is wrong."""

import os
import pickle
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from helpers.laws import new_model
from helpers.saved_adapters import CASES, saved
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.training.adapter_files import load_adapter, save_adapter
from minipeft.transformer import tensor_files

try:
    import resource
except ImportError:  # Windows
    resource = None

QUERY = "decoder.blocks.0.attention.query.A"
BIG = torch.ones(30_000)


def in_weights(change):
    return lambda content: content["weights"].update(change(content["weights"][QUERY]))


def in_hyperparameters(**told):
    return lambda content: content["hyperparameters"].update(told)


FORGED = {
    "one number spread out": (in_weights(lambda old: {QUERY: torch.ones(1).expand(2**50)}), "no plain block"),
    "numbers in another order": (in_weights(lambda old: {QUERY: torch.ones(12, 8).T}), "no plain block"),
    "whole numbers": (in_weights(lambda old: {QUERY: old.int()}), "no plain block"),
    "few numbers": (in_weights(lambda old: {QUERY: old.to_sparse()}), "no plain block"),
    "no numbers, and long": (in_weights(lambda old: {QUERY: torch.ones(0, 2**40)}), "larger than the file"),
    "one block under many names": (in_weights(lambda old: {str(n): BIG for n in range(99)}), "larger than the file"),
    "nan": (in_weights(lambda old: {QUERY: old * torch.nan}), "a number that is not finite"),
    "a parameter": (in_weights(lambda old: {QUERY: torch.nn.Parameter(old)}), "holds a Parameter"),
    "a list of numbers": (in_weights(lambda old: {QUERY: old.tolist()}), f"{QUERY!r} is no tensor"),
    "more digits": (in_weights(lambda old: {QUERY: old.double()}), "torch.float64 in the file and torch.float32 here"),
    "another shape": (in_weights(lambda old: {QUERY: old[:-1]}), "use the hyper-parameters it was saved with"),
    "one tensor more": (in_weights(lambda old: {"ghost": old}), "unexpected 'ghost'"),
    "one tensor less": (lambda content: content["weights"].pop(QUERY), f"lacks '{QUERY}'"),
    "another rank": (in_hyperparameters(rank=7), "use the hyper-parameters it was saved with"),
    "no rank": (in_hyperparameters(rank=0), "rank must be at least 1"),
    "rank in words": (in_hyperparameters(rank="eight"), "rank must be a whole number, not 'eight' .str."),
    "rank with a point": (in_hyperparameters(rank=8.0), "rank must be .*float"),
    "rank true": (in_hyperparameters(rank=True), "rank must be .*bool"),
    "alpha without end": (in_hyperparameters(alpha=torch.inf), "a number that is not finite"),
    "targets with a number": (in_hyperparameters(targets=["query", 3]), "targets must be .*list"),
    "a pattern of words": (in_hyperparameters(rank_pattern={"query": "3"}), "rank_pattern must be .*dict"),
    "bytes": (in_hyperparameters(rank=b"8"), "holds a bytes|is damaged"),
    "an unknown one": (in_hyperparameters(beta=1), "it has none called 'beta'"),
    "a nameless one": (lambda content: content["hyperparameters"].update({3: 1}), "a name that is no text"),
    "a sentence of many lines": (in_hyperparameters(targets=["\n" * 10**5]), "is damaged|does not fit"),
    "a key more": (lambda content: content.update(note=""), "is not an adapter file"),
    "a key less": (lambda content: content.pop("base"), "lacks the base"),
    "an unknown method": (lambda content: content.update(method="lorra" * 999), "is not known here"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_wrong_is_said(what):
    change, words = FORGED[what]
    content = saved("lora", "t5").content()
    change(content)
    try:
        path = saved("lora", "t5").forge(content)
    except (TypeError, AttributeError, RuntimeError):  # what has no checksum is written without one
        path = saved("lora", "t5").path.with_name("forged.pt")
        torch.save(content, path)
    assert not saved("lora", "t5").try_file(path)
    with pytest.raises(UserError, match=words):
        load_adapter(path, saved("lora", "t5").model, METHODS)


class Largest(TorchDispatchMode):
    """The most numbers that a real tensor had; infinity where PyTorch was refused the memory for one."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        try:
            result = function(*arguments, **options or {})
        except RuntimeError as error:
            self.numbers = float("inf") if "memory" in str(error) else self.numbers
            raise
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.fixture
def little_memory():
    """No more than 2 GB besides what this process has: a test that fails must not take the machine with it."""
    now = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**31, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits its memory as Linux does")
@pytest.mark.parametrize("name", METHODS)
def test_absurd_sizes_ask_for_no_memory(name, little_memory):
    file = saved(name, "gpt2")
    for field in fields(METHODS[name]):
        if field.type in ("int", int):
            content = file.content()
            content["hyperparameters"][field.name] = 3 * 10**8
            with Largest() as largest:
                file.try_file(file.forge(content), same_outputs=False)
            assert largest.numbers < 10**5, field.name


def bomb(marker):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(marker),)

    return Bomb()


PLACES = {
    "in place of everything": lambda content, bomb: bomb,
    "as a weight": lambda content, bomb: content | {"weights": content["weights"] | {"x": bomb}},
    "as a hyper-parameter": lambda content, bomb: content | {"hyperparameters": {"rank": bomb}},
    "as the method": lambda content, bomb: content | {"method": bomb},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_not_run(place, zipped, tmp_path):
    file, path, marker = saved("lora", "t5"), tmp_path / "code.pt", tmp_path / "marker"
    content = PLACES[place](file.content(), bomb(marker))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert not file.try_file(path)
    path.write_bytes(pickle.dumps(content))
    assert not file.try_file(path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the code would have run"


def with_pickle(file, pickled, path):
    """The saved file with another pickle in it."""
    with zipfile.ZipFile(file.path) as old, zipfile.ZipFile(path, "w") as new:
        for record in old.infolist():
            new.writestr(record.filename, pickled if record.filename.endswith("data.pkl") else old.read(record))
    return path


def test_lists_in_lists_without_end(tmp_path):
    file, path = saved("lora", "t5"), tmp_path / "deep.pt"
    assert not file.try_file(with_pickle(file, b"\x80\x02" + 10**5 * b"]" + (10**5 - 1) * b"a" + b".", path))
    deep = b"\x80\x02}X\x08\x00\x00\x00checksumX\x01\x00\x00\x000sX\x01\x00\x00\x00a" + 50_000 * b"]" + 49_999 * b"a"
    assert not file.try_file(with_pickle(file, deep + b"s.", path))
    many, itself = [], []
    for _ in range(60):
        many = [many] * 10  # 10^60 values, all the same
    itself.append(itself)
    for value in (many, itself):
        content = file.content()
        content["hyperparameters"]["targets"] = value
        torch.save(content | {"checksum": "0"}, path)
        with pytest.raises(UserError, match="more values than any real one"):
            load_adapter(path, file.model, METHODS)


def test_an_archive_that_unpacks_to_more_than_it_is(tmp_path):
    file, path = saved("lora", "t5"), tmp_path / "bomb.pt"
    with zipfile.ZipFile(file.path) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, bytes(10**8) if record.filename.endswith("/data/0") else old.read(record))
    assert path.stat().st_size < 10**6
    with pytest.raises(UserError, match="BadZipFile"):
        load_adapter(path, file.model, METHODS)


@pytest.mark.parametrize("other", [case for case in CASES if case[1] == "t5" and case[0] != "lora"])
def test_another_methods_file_is_never_taken_for_this_ones(other):
    file = saved("lora", "t5")
    assert not file.try_file(file.forge(file.content() | {"method": other[0]}))
    assert not file.try_file(file.forge(file.content() | {"weights": saved(*other).content()["weights"]}))


def test_another_base_an_older_format_and_no_file_at_all(tmp_path):
    file = saved("lora", "t5")
    for content, words in (
        (saved("lora", "gpt2").content(), "another base model"),
        (file.content() | {"format": 1}, "has format 1, and this version reads 2"),
    ):
        with pytest.raises(UserError, match=words):
            load_adapter(file.forge(content), file.model, METHODS)
    (tmp_path / "text.pt").write_text("weights", encoding="utf-8")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "folder.pt").mkdir()
    for path in (*tmp_path.iterdir(), tmp_path / "nothing.pt"):
        assert not file.try_file(path)


@pytest.mark.parametrize("fails", ["torch.save", "os.replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(fails, tmp_path, monkeypatch):
    file, path = saved("lora", "t5"), tmp_path / "adapter.pt"
    path.write_bytes(file.whole)

    def half_written(content, part, *rest):
        if fails == "torch.save":
            Path(part).write_bytes(b"PK half of")
        raise OSError("no space left on device")

    monkeypatch.setattr(fails, half_written)
    with pytest.raises(UserError, match="adapter.pt cannot be written .no space"):
        tensor_files.write(path, {"format": 3})
    assert [entry.name for entry in tmp_path.iterdir()] == ["adapter.pt"] and path.read_bytes() == file.whole


def test_what_no_file_can_keep_is_refused_when_it_is_saved(tmp_path):
    model = new_model("t5")
    method = METHODS["lora"](rank=2, targets=("query",))
    method.attach(model)
    method.targets = {"query"}
    with pytest.raises(UserError, match="cannot be saved.*targets must be a list or tuple.*set"):
        save_adapter(tmp_path / "adapter.pt", model, method)
    assert not list(tmp_path.iterdir())
