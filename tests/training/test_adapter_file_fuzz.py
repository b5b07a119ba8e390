"""Files damaged at random: one sentence that names the file and a model left alone, or the adapter as it was saved."""

from pathlib import Path

import pytest
import torch
from helpers.method_table import FILES
from helpers.saved_adapters import CASES, saved
from hypothesis import given, settings
from hypothesis import strategies as st

from minipeft.errors import UserError
from minipeft.methods.prompts.spot import load_prompt, save_prompt
from minipeft.methods.registry import METHODS

cases = st.sampled_from(CASES)


@pytest.mark.parametrize("name, family", CASES)
def test_the_untouched_file_is_loaded(name, family):
    assert saved(name, family).try_file(saved(name, family).path)


@settings(max_examples=100)
@given(case=cases, cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(case, cut):
    whole = saved(*case).whole
    assert not saved(*case).try_bytes(whole[: int(cut * len(whole))])


@settings(max_examples=50)
@given(case=cases, noise=st.binary(max_size=200), front=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02"]))
def test_random_bytes_are_refused(case, noise, front):
    assert not saved(*case).try_bytes(front + noise)


@settings(max_examples=150)
@given(case=cases, places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1))
def test_flipped_bits_give_the_saved_outputs_or_none(case, places):
    damaged = bytearray(saved(*case).whole)
    for place, bit in places:
        damaged[int(place * len(damaged))] ^= 1 << bit
    saved(*case).try_bytes(bytes(damaged))


def test_every_flipped_bit_of_the_numbers_is_noticed():
    file = saved("lora", "gpt2")
    numbers = file.content()["weights"]["decoder.blocks.1.feed_forward.up.A"].numpy().tobytes()
    start = file.whole.index(numbers)
    for place in range(0, 8 * len(numbers), 37):
        damaged = bytearray(file.whole)
        damaged[start + place // 8] ^= 1 << place % 8
        assert not file.try_bytes(bytes(damaged))


@settings(max_examples=90)
@given(case=cases, start=st.floats(0, 1), length=st.integers(0, 3000), filling=st.binary(max_size=40))
def test_bytes_taken_out_and_put_in(case, start, length, filling):
    whole = saved(*case).whole
    place = int(start * len(whole))
    saved(*case).try_bytes(whole[:place] + filling + whole[place + length :])


NUMBERS = st.integers() | st.integers(-2, 9) | st.sampled_from([10**9, 2**40, 2**62, 2**63, 10**4000])
PLAIN = st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=9) | st.binary(max_size=3)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3))
WORDS = st.sampled_from(["", "query", "*", "{source}", "[V]" * 9, "{first}", "words", "labels", "\n", "\ud800"])


def some_tensor(draw, old):
    """Something else in the place of a trained tensor."""
    return draw(
        st.sampled_from(
            [old[..., None], old[:0], old.flatten()[:-1], old.double(), old.half(), old.int(), old > 0, old + 1j,
             old * torch.nan, old / 0, torch.ones(1).expand(2**50), torch.ones(0, 2**40), old.to_sparse(),
             torch.nn.Parameter(old), old.to("meta"), old.tolist(), "text", None, torch.ones(3, 2).T]
        )
    )  # fmt: skip


def forged(draw, content):
    """The content with one thing changed, as someone who knows the format would."""
    told, weights = content["hyperparameters"], content["weights"]
    kind = draw(st.sampled_from(["value", "value", "word", "name", "tensor", "tensor", "missing", "extra", "key"]))
    if kind in ("value", "word") and told:
        told[draw(st.sampled_from(sorted(told)))] = draw(VALUES if kind == "value" else WORDS)
    elif kind == "tensor" and weights:
        name = draw(st.sampled_from(sorted(weights)))
        weights[name] = some_tensor(draw, weights[name])
    elif kind == "missing" and weights:
        del weights[draw(st.sampled_from(sorted(weights)))]
    elif kind == "extra":
        weights[draw(st.text(max_size=9) | st.integers())] = torch.ones(draw(st.integers(0, 3)))
    elif kind == "key":
        content[draw(st.sampled_from(sorted(content)) | st.text())] = draw(VALUES)
    else:
        told[draw(st.text(max_size=9) | st.integers())] = draw(VALUES)
    return content


@settings(max_examples=220)
@given(case=cases, data=st.data())
def test_files_forged_by_someone_who_knows_the_format(case, data):
    content = forged(data.draw, saved(*case).content())
    try:
        path = saved(*case).forge(content)
    except Exception:  # what has no checksum is written with another one
        path = saved(*case).path.with_name("forged.pt")
        torch.save({**content, "checksum": "0" * 64}, path)
    saved(*case).try_file(path, same_outputs=False)


@settings(max_examples=50)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_prompt_files_and_adapters_to_fuse_are_read_as_strictly(place, bit, cut):
    prompt, path = torch.arange(12.0).view(3, 4), Path(FILES.name) / "prompt.pt"
    save_prompt(path, prompt, "base", "tiny", "test", {"steps": 7})
    fused = saved("adapter_fusion", "gpt2").content()["hyperparameters"]["adapters"][0]
    fusion = METHODS["adapter_fusion"]([str(path.with_name("fused.pt"))])
    model = saved("adapter_fusion", "gpt2").model
    for whole, name in ((path.read_bytes(), "prompt.pt"), (Path(fused).read_bytes(), "fused.pt")):
        damaged = bytearray(whole)
        damaged[int(place * len(whole))] ^= 1 << bit
        path.with_name(name).write_bytes(damaged[: int(place * len(whole))] if cut else damaged)
    try:
        assert torch.equal(load_prompt(path, "base"), prompt)
    except UserError as error:
        assert "prompt.pt" in str(error)
    try:
        fusion.attach(model)
        fusion.detach()
    except UserError as error:
        assert "fused.pt" in str(error)
