"""The picture of ranks shows each rank once, in its block's row and its kind's column."""

import sys

import pytest
from helpers.word_models import MAKERS

from minipeft.methods.low_rank.adalora import AdaLoRA
from minipeft.racing.rank_picture import place, rank_picture, stored_ranks

RANKS = {
    "encoder.blocks.0.attention.query": 7,
    "encoder.blocks.0.feed_forward.up": 0,
    "decoder.blocks.11.attention.query": 3,
    "decoder.blocks.11.cross_attention.query": 12,
}


def test_a_path_is_split_into_its_block_and_its_kind():
    assert place("decoder.blocks.11.cross_attention.query") == ("decoder 11", "cross_attention query")
    assert place("transformer.h.3.mlp.c_proj") == ("transformer h 3", "mlp c_proj")
    assert place("head") == ("", "head") and place("2") == ("", "2")


def test_every_rank_stands_in_its_cell(tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs minipeft[plots]")
    monkeypatch.setattr(pyplot, "close", lambda figure: None)  # leave the figure open to look at
    assert rank_picture(RANKS, tmp_path / "ranks.png")
    assert (tmp_path / "ranks.png").read_bytes().startswith(b"\x89PNG")
    axes = pyplot.gcf().axes[0]
    kinds, blocks = ([label.get_text() for label in side] for side in (axes.get_xticklabels(), axes.get_yticklabels()))
    assert blocks == ["encoder 0", "decoder 11"]
    shown = {(blocks[round(t.get_position()[1])], kinds[round(t.get_position()[0])]): t.get_text() for t in axes.texts}
    assert shown == {place(path): str(rank) for path, rank in RANKS.items()}
    assert axes.images[0].get_array().mask.sum() == 2  # no such matrix: empty, not a rank of 0


def test_the_ranks_of_a_stored_adalora_are_those_it_reports():
    model, method = MAKERS["gpt"](), AdaLoRA(rank=3, target_rank=1)
    method.attach(model)
    next(layer for _, layer in method.layers()).kept[1] = False
    assert stored_ranks(method.state_dict()) == method.ranks()


def test_without_matplotlib_there_is_no_picture_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    assert not rank_picture(RANKS, tmp_path / "ranks.png")
    assert list(tmp_path.iterdir()) == []
