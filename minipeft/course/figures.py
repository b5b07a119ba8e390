"""The figures of a chapter, drawn from its results.json by the `figures.py` beside it, all in one look.

It has a function `draw_<name>(measured)` for each figures/<name>.png, from the runs of results.json to a figure.
"""

import io
from pathlib import Path

from minipeft.course.chapters import load_answers
from minipeft.files import beside

GROUND = "#fafaf7"  # off-white: read on a white page, and not glaring on a dark one
LOOK = {
    "figure.autolayout": True,
    "figure.dpi": 150,
    "figure.facecolor": GROUND,
    "axes.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "axes.edgecolor": "0.45",
    "xtick.color": "0.45",
    "ytick.color": "0.45",
    "xtick.labelcolor": "0.2",
    "ytick.labelcolor": "0.2",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "errorbar.capsize": 3,
    "lines.markersize": 5,
}
COLOURS = 128  # a palette of so many takes a third of the bytes, and nobody sees the difference


def draw_figures(chapter: Path, measured: dict, folder: Path) -> list[Path]:
    """Draw all figures of a chapter into `folder`; returns the files. Needs matplotlib, the extra [plots]."""
    if not (chapter / "figures.py").exists():
        return []
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn = []
    with pyplot.rc_context(LOOK):
        for name, draw in vars(load_answers(chapter / "figures.py")).items():
            if name.startswith("draw_"):
                figure = draw(measured)
                drawn.append(save(figure, folder / f"{name.removeprefix('draw_')}.png"))
                pyplot.close(figure)
    return drawn


def save(figure, file: Path) -> Path:
    """Write a figure as a small PNG."""
    from PIL import Image  # comes with matplotlib

    drawn = io.BytesIO()
    figure.savefig(drawn)
    with Image.open(drawn) as picture, beside(file) as part:
        picture.convert("RGB").quantize(COLOURS).save(part, optimize=True)
    return file
