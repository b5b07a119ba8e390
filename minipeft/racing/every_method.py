"""The entries of a race of all methods: which can act on a model as they are, and what they start from."""

from collections.abc import Iterable

from minipeft.errors import UserError
from minipeft.models import load
from minipeft.racing.entries import make_method, parse_entry
from minipeft.racing.rehearsal import try_on
from minipeft.racing.runs import CONTROLS


def with_bundled_starts(names: Iterable[str], task: str) -> list[str]:
    """Entries of a race: PPT and SPoT start from prompts that are bundled, since without one they are prompt tuning."""
    source = "sentiment_food" if task == "sentiment" else "sentiment"
    starts = {"ppt": "ppt=ppt:pretrained=ppt-single", "spot": f"spot=spot:source={source}"}
    return [starts.get(name, name) for name in names]


def fitting(race: Iterable[str], model_name: str) -> list[str]:
    """Those entries of `race` that can act on the model as they are; says which are left out, and why."""
    model, methods = load(model_name), []
    for text in race:
        entry = parse_entry(text)
        try:
            if entry.method not in CONTROLS:  # BitFit needs biases, which T5 has not; AdapterFusion trained adapters
                try_on(make_method(entry.method, entry.hyperparameters), model)
            methods.append(text)
        except UserError as error:
            print(f"Left out: {entry.label}. {error}")
    return methods
