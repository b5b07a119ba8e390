"""`python -m minipeft.pretraining.collisions`: how many test texts of the tasks stand in what the bases have read.

The corpus is made of the same words and forms as some tasks, so that by chance a sentence comes out twice. For every
stream of documents that a bundled base has read, as far as it read it, each run of one to three sentences is compared
with every test text of five draws. A text is "answered" where its answer is among the next two sentences.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from minipeft.files import read_json, write_json
from minipeft.flags import OneSentenceParser, ended
from minipeft.models import CHECKPOINTS, model_names
from minipeft.paths import DATA
from minipeft.pretraining.batches import CHUNK
from minipeft.provenance import provenance
from minipeft.tasks.making.corpus import document
from minipeft.tasks.making.drawn import drawn_task
from minipeft.tasks.registry import task_names

DRAWS = 5
LONGEST, AFTER = 3, 2  # sentences of a source, and of what follows it
STOP = re.compile(r'(?<=[.?!"]) ')
OUT = DATA / "results" / "collisions.json"


def streams() -> dict[int, int]:
    """By the seed of its text, how many documents the base that went furthest has read."""
    read: dict[int, int] = defaultdict(int)
    for name in model_names():
        report = read_json(CHECKPOINTS / name / "results.json")
        seed = report["settings"]["text"]["seed"]
        read[seed] = max(read[seed], CHUNK * (report["chunk"] + 1))
    return dict(read)


def sources(draws: int) -> dict[str, set[tuple[str, str]]]:
    """(task, answer) of every test text of so many draws, by the text."""
    found = defaultdict(set)
    for name in task_names():
        for draw in range(draws):
            for example in drawn_task(name, draw).test:
                found[example.source].add((name, example.target))
    return found


def collisions(texts: Iterable[str], wanted: dict[str, set[tuple[str, str]]]) -> dict[str, tuple[set, set]]:
    """By task, the wanted sources that stand in one of `texts`, and those of them whose answer follows."""
    found = defaultdict(lambda: (set(), set()))
    for text in texts:
        sentences = STOP.split(text)
        for start in range(len(sentences)):
            for end in range(start + 1, min(start + LONGEST, len(sentences)) + 1):
                source = " ".join(sentences[start:end])
                following = " ".join(sentences[end : end + AFTER])
                for name, answer in wanted.get(source, ()):
                    found[name][0].add(source)
                    if re.search(rf"\b{re.escape(answer)}\b", following, re.IGNORECASE):
                        found[name][1].add(source)
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = OneSentenceParser(
        prog="python -m minipeft.pretraining.collisions",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", default=str(OUT), help="the file to write")
    args = parser.parse_args(arguments)
    wanted, read = sources(DRAWS), streams()
    counts = {name: {"texts": 0, "read": 0, "answered": 0} for name in task_names()}
    for tasks in wanted.values():
        for name in {name for name, _ in tasks}:
            counts[name]["texts"] += 1
    for seed, documents in read.items():
        for name, (stood, answered) in collisions((document(seed, i) for i in range(documents)), wanted).items():
            counts[name]["read"] += len(stood)
            counts[name]["answered"] += len(answered)
    told = {"command": "python -m minipeft.pretraining.collisions", "provenance": provenance(), "draws": DRAWS}
    write_json(Path(args.out), told | {"streams": {str(seed): read[seed] for seed in sorted(read)}, "tasks": counts})
    for name, count in counts.items():
        print(f"{name}: {count['read']} of {count['texts']} test texts were read, {count['answered']} with the answer")


if __name__ == "__main__":
    sys.exit(ended(main))
