"""What is said of single layers: peft's rank_pattern and alpha_pattern, and our rank_pattern.

    {"v": 2, "^model.layers.0.mlp.down_proj": 4}

A name is the end of a layer's path, or with ^ all of it; of several in peft the first counts. Its names are regular
expressions: those that are more than a name are refused, for some never end.
"""

from collections.abc import Mapping

from minipeft.errors import UserError, quoted
from minipeft.peft_files.places import Place, shortest_names


def exceptions(values: Mapping[str, float], usual: float) -> dict[str, float]:
    """A pattern that names the layers with another value than the usual one; values: of all adapted layers, by path."""
    pattern = {}
    for value in dict.fromkeys(values.values()):
        if value != usual:
            pattern |= dict.fromkeys(shortest_names([p for p in values if values[p] == value], values), value)
    return pattern


def of_layer(settings: Mapping, field: str, place: Place, usual: float) -> float:
    """What the pattern `field` of peft's settings says of a place, and where it is silent the usual value."""
    for key, value in settings[field].items():
        name = key.removeprefix("^").replace("\\.", ".")
        if not name.replace(".", "").replace("_", "").isalnum():
            raise UserError(f"{field} names layers by {quoted(key)}, a regular expression: give plain names there")
        if place.theirs == name or not key.startswith("^") and place.theirs.endswith(f".{name}"):
            return value
    return usual
