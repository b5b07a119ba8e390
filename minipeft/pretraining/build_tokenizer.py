"""Rebuilds the bundled tokenizer from corpus, lexicon and task labels; with `--check` only compares."""

import re
import sys

from minipeft.files import write_text
from minipeft.flags import OneSentenceParser, ended
from minipeft.paths import DATA
from minipeft.pretraining.tokenizer import BUNDLED, train_tokenizer
from minipeft.tasks.making.corpus import TRAINING_SEED, documents
from minipeft.tasks.making.every_recipe import RECIPES

DOCUMENTS = 30_000  # of the corpus, to learn from
WORD_WEIGHT, LABEL_WEIGHT = 1_000, 5_000  # repetitions of every word of the lexicon and of every label
KNOWN_WEIGHTS = {"opinions": 1_600, "meanings": 1_500}  # a base learns sooner what one token means than what three do


def important_words() -> dict[str, int]:
    """How often each word of the lexicon and each label counts extra, so that most of them become one or two tokens."""
    words = {}
    for path in sorted((DATA / "lexicon").glob("*.json")):
        weight = KNOWN_WEIGHTS.get(path.stem, WORD_WEIGHT)
        words |= dict.fromkeys(re.findall(r"[A-Za-z]{2,}", path.read_text(encoding="utf-8")), weight)
    return words | {label: LABEL_WEIGHT for recipe in RECIPES.values() for label in recipe.labels}


def main() -> int:
    """The command; exit status 1 when --check finds a difference."""
    parser = OneSentenceParser(
        prog="python -m minipeft.pretraining.build_tokenizer", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if the file differs")
    only_check = parser.parse_args().check
    trained = train_tokenizer(documents(TRAINING_SEED, 0, DOCUMENTS), extra_words=important_words()).to_str(pretty=True)
    if only_check:
        same = BUNDLED.is_file() and BUNDLED.read_text(encoding="utf-8") == trained
        print(f"{BUNDLED.name} {'is as built' if same else 'differs'}.")
        return 0 if same else 1
    write_text(BUNDLED, trained)
    return 0


if __name__ == "__main__":
    sys.exit(ended(main))
