"""The picture of where the rank went: a heat map of ranks, blocks from top to bottom, kinds of matrix side by side.

`python -m minipeft.racing.rank_picture adapter.pt out.png` draws an AdaLoRA's file.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from minipeft.errors import UserError
from minipeft.files import beside
from minipeft.flags import ended
from minipeft.racing.picture import pyplot_without_a_screen
from minipeft.training.adapter_files import read_adapter


def place(path: str) -> tuple[str, str]:
    """(block, kind) of a matrix: 'encoder.blocks.0.attention.query' -> ('encoder 0', 'attention query')."""
    block, kind = re.fullmatch(r"(?:(.*?\d+)\.)?(.+)", path).groups()
    return (block or "").replace(".blocks.", " ").replace(".", " "), kind.replace(".", " ")


def rank_picture(ranks: Mapping[str, float], path: str | Path, title: str = "Ranks left") -> bool:
    """Draw `ranks`, matrix path -> rank or mean rank; False where matplotlib (the [plots] extra) is not installed.

    A model without a kind of matrix in some block has a gray cell there. The background is white on any page.
    """
    pyplot = pyplot_without_a_screen()
    if pyplot is None:
        return False
    figure = heat_map(ranks, title)
    with beside(path) as part:
        figure.savefig(part)
    pyplot.close(figure)
    return True


def heat_map(ranks: Mapping[str, float], title: str):
    """The figure itself, for whoever saves it."""
    from matplotlib import pyplot

    places = {place(name): rank for name, rank in ranks.items()}
    blocks, kinds = (list(dict.fromkeys(side)) for side in zip(*places, strict=True))  # in the model's order
    most = max(1, *places.values())
    table = [[places.get((block, kind), float("nan")) for kind in kinds] for block in blocks]
    size = (2 + 0.6 * len(kinds), 1.8 + 0.5 * len(blocks))
    figure, axes = pyplot.subplots(figsize=size, dpi=150, facecolor="white")
    axes.set_facecolor("lightgray")  # what shows where there is no such matrix
    axes.imshow(table, cmap="Blues", vmin=0, vmax=most, aspect="auto")
    for row, block in enumerate(blocks):
        for column, kind in enumerate(kinds):
            rank = places.get((block, kind))
            if rank is not None:
                colour = "white" if rank > 0.6 * most else "black"
                axes.text(column, row, f"{rank:g}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(kinds)), kinds, rotation=40, ha="right")
    axes.set_yticks(range(len(blocks)), blocks)
    axes.set_title(title, fontsize=11)
    figure.tight_layout()
    return figure


def stored_ranks(weights: Mapping) -> dict[str, int]:
    """The ranks in an AdaLoRA's stored parameters: each matrix keeps as many columns of P."""
    return {name.removesuffix(".P"): tensor.shape[1] for name, tensor in weights.items() if name.endswith(".P")}


def main(arguments: list[str]) -> None:
    """Draw the ranks of an adapter's file into a picture's file."""
    if len(arguments) != 2:
        raise UserError("Name the file of an adapter, and the file of the picture.")
    rank_picture(stored_ranks(read_adapter(arguments[0])["weights"]), arguments[1])


if __name__ == "__main__":
    sys.exit(ended(lambda: main(sys.argv[1:])))
