"""Rebuilds the bundled data bit for bit: `python -m minipeft.tasks.making.build`, or with `--check` only compares.

The files of `data/tasks` and `data/prose`, and `data/corpus_sample.txt`, are made here from the lexicon and the
interpreter's own documentation; the tokenizer is rebuilt by `python -m minipeft.pretraining.build_tokenizer`.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from minipeft.files import write_text
from minipeft.paths import DATA
from minipeft.tasks.jsonl import to_jsonl
from minipeft.tasks.making.corpus import TRAINING_SEED, documents
from minipeft.tasks.making.every_recipe import RECIPES, make_card, make_examples
from minipeft.tasks.making.prose_extraction import EXTRACTED_FROM, comments, extract, version_matches
from minipeft.tasks.making.prose_extraction import to_jsonl as prose_to_jsonl
from minipeft.tasks.making.recipes import generate_splits

SAMPLE_DOCUMENTS = 1000


def files() -> Iterator[tuple[Path, str]]:
    """Every file this module makes, with its text. Prose first: passages and a task are drawn from it."""
    if version_matches():
        prose = extract()
        yield DATA / "prose" / "prose.jsonl", prose_to_jsonl(prose)
        yield DATA / "prose" / "comments.jsonl", prose_to_jsonl(comments({row["text"] for row in prose}))
    else:
        print(f"Prose is left as it is: it was extracted from Python {EXTRACTED_FROM}, this is another.")
    for name in RECIPES:
        yield DATA / "tasks" / name / "task.json", card_text(name)
        for split, examples in generate_splits(RECIPES[name]).items():
            yield DATA / "tasks" / name / f"{split}.jsonl", to_jsonl(examples)
    yield DATA / "corpus_sample.txt", "\n\n".join(documents(TRAINING_SEED, 0, SAMPLE_DOCUMENTS)) + "\n"


def card_text(name: str) -> str:
    """The text of `data/tasks/<name>/task.json`."""
    return json.dumps(make_card(name), indent=1, ensure_ascii=False) + "\n"


def build_task(name: str, split: str) -> str:
    """The text of `data/tasks/<name>/<split>.jsonl`."""
    return to_jsonl(make_examples(name, split))


def differing() -> list[Path]:
    """The bundled files that are missing or are not what would be built now."""
    return [path for path, text in files() if not path.is_file() or path.read_bytes() != text.encode()]


def main() -> int:
    """The command; exit status 1 when --check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m minipeft.tasks.making.build", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say which files differ")
    if parser.parse_args().check:
        different = differing()
        print("\n".join(f"differs: {path.relative_to(DATA)}" for path in different) or "Every file is as built.")
        return 1 if different else 0
    for path, text in files():
        write_text(path, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
