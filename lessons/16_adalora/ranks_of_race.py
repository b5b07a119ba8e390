"""Where the AdaLoRA of a race put its ranks: `python lessons/16_adalora/ranks_of_race.py --race RACE --row adalora4`.

Reads the adapters that a race has left in one of its rows, one for each seed, and takes the mean rank of every matrix.
Writes `data/results/<task>-<row>-ranks.json` and a picture.
"""

import argparse
import json
from pathlib import Path
from statistics import mean

from minipeft.files import write_json
from minipeft.provenance import provenance
from minipeft.racing.rank_picture import rank_picture, stored_ranks
from minipeft.racing.sweep import RESULTS
from minipeft.training.adapter_files import read_adapter


def study(race: Path, row: str) -> dict:
    """Ranks by matrix: of every seed, and their mean."""
    report = json.loads((race / "result.json").read_text(encoding="utf-8"))
    files = [race / "runs" / f"{row}-seed{seed}" / "adapter.pt" for seed in range(report["seeds"])]
    adapters = [read_adapter(file) for file in files]
    ranks = [stored_ranks(adapter["weights"]) for adapter in adapters]
    return {
        "task": report["settings"]["task"],
        "model": report["settings"]["model"],
        "hyperparameters": adapters[0]["hyperparameters"],
        "seeds": len(ranks),
        "ranks": {matrix: [seed[matrix] for seed in ranks] for matrix in ranks[0]},
        "mean": {matrix: mean(seed[matrix] for seed in ranks) for matrix in ranks[0]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--race", type=Path, default=Path("runs/acceptance/topic"))
    parser.add_argument("--row", default="adalora")
    args = parser.parse_args()
    report = {**study(args.race, args.row), "provenance": provenance()}
    report["command"] = f"python lessons/16_adalora/ranks_of_race.py --race {args.race} --row {args.row}"
    name = f"{report['task']}-{args.row}-ranks"
    write_json(RESULTS / f"{name}.json", report)
    target = report["hyperparameters"]["target_rank"]
    title = f"Mean rank left over {report['seeds']} seeds, {target} on average ({report['task']})"
    rank_picture(report["mean"], RESULTS / f"{name}.png", title)


if __name__ == "__main__":
    main()
