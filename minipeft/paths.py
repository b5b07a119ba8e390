"""Where the bundled data lies: beside the package in the repository, inside it where pip has installed it.

`pip install .` copies the part of `data/` that the library reads to `minipeft/data/` (`pyproject.toml` names it).
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent  # only where the project was cloned: holds README.md, lessons/, tests/
INSTALLED = PACKAGE / "data"
DATA = INSTALLED if INSTALLED.is_dir() else REPOSITORY / "data"
