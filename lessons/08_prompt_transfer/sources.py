"""What a prompt brings along before it is tuned on its new task: `python lessons/08_prompt_transfer/sources.py`.

The bundled prompts of `sentiment` and `sentiment_food`, each on the test split of the other task as it is. Writes
`data/results/source_prompts.json`.
"""

import sys

from minipeft.files import write_json
from minipeft.flags import ended
from minipeft.methods.prompts.spot import SPoT
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.sweep import RESULTS
from minipeft.tasks.registry import load_task
from minipeft.training.evaluating import evaluate

BASE = "t5-0.8m"
SOURCES = {"sentiment": "sentiment_food", "sentiment_food": "sentiment"}  # task -> whose prompt


def untuned_score(task: str, source: str, **reading) -> float:
    """The score in percent on test of `task` with the prompt of `source`; `reading` goes to `evaluate`."""
    model, method = load(BASE), SPoT(source=source)
    method.attach(model)
    return evaluate(model, load_task(task), "test", **reading)["score"]


def main() -> None:
    scores = {task: {"source": source, "score": untuned_score(task, source)} for task, source in SOURCES.items()}
    told = {"command": "python lessons/08_prompt_transfer/sources.py", "provenance": provenance(), "model": BASE}
    write_json(RESULTS / "source_prompts.json", {**told, "tasks": scores})
    for task, found in scores.items():
        print(f"{task}, with the prompt of {found['source']} as it is: {found['score']:.1f}")


if __name__ == "__main__":
    sys.exit(ended(main))
