"""The tables and numbers of chapter 07: vectors and their places, tagging, depth by size, layers, heads, starts."""

from statistics import mean

from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import plus_minus, score_cell, stored, trained

LABELS = {
    "front": "six in front",
    "around": "three in front, three behind",
    "behind": "six behind",
    "anchor": "around, with the anchor *It was*",
    "mlp": "around, by an MLP",
    "lstm": "around, by an LSTM",
    "along": "around, by an LSTM, the base trained along",
    "full": "no vectors, the base trained",
    "text_lora": "LoRA, in text",
    "text_shallow": "six vectors, in text",
    "text_deep": "all layers, in text",
    "tags_head": "token head alone",
    "tags_shallow": "six vectors, token head",
    "tags_deep": "all layers, token head",
    "tags_network": "all layers by a network, token head",
    "top1": "the top layer",
    "bottom1": "the bottom layer",
    "top2": "the two top layers",
    "bottom2": "the two bottom layers",
    "deep": "all three layers",
}
SLICES = ("unseen", "nested")


def summary(measured: dict) -> Summary:
    deep = measured["deep"]
    tagging = measured["tagging"]["rows"] + measured["still"]["rows"]
    rates = measured["tagging"]["learning_rates"] | measured["still"]["learning_rates"]
    return together(
        {
            "vectors": vectors(measured["vectors"]),
            "tagging": taggers({row["method"]: row for row in tagging}, rates),
            "sizes": sizes(measured["sizes"]),
            "layers": layers(by_row(measured["layers"]) | by_row(deep["sentiment"])),
            "heads": heads(measured["heads"], deep),
            "networks": networks(deep, by_row(measured["tagging"])),
            "start": start(measured["start"]),
        }
    )


def on_slice(row: dict, name: str) -> list[float]:
    """The scores of a race's row on one slice, by seed."""
    return [run["slices"][name] for run in row["runs"]]


def vectors(raced: dict) -> tuple[dict, dict]:
    """Version 1 on sentiment: every row, and how far it is from plain vectors around the text."""
    rows, cells, numbers = by_row(raced), [], {}
    for name in ("front", "around", "behind", "anchor", "mlp", "lstm", "along", "full"):
        row, plain = rows[name], rows["around"]
        ahead = "-" if row is plain else apart(row["scores"], plain["scores"])
        parts = [f"{mean(on_slice(row, part)):.1f}" for part in SLICES]
        rate = f"{raced['learning_rates'][name] or 0:g}"
        cells.append([LABELS[name], f"{trained(row):,}", f"{stored(row):,}", rate, score_cell(row), *parts, ahead])
        numbers |= {f"v_{name}": row["mean"], f"v_{name}_ahead": row["mean"] - plain["mean"]}
        numbers |= {f"v_{name}_moved": trained(row), f"v_{name}_stored": stored(row)}
    numbers["v_along_over_full"] = rows["along"]["mean"] - rows["full"]["mean"]
    columns = ["six vectors", "moved", "stored", "rate", "accuracy, %", *SLICES, "minus plain, around"]
    return table(columns, cells), numbers


def taggers(rows: dict, rates: dict) -> tuple[dict, dict]:
    """Tagging: F1 of all rows; those with a token head against that head alone."""
    cells, numbers = [], {}
    head = stored(rows["tags_shallow"]) - stored(rows["text_shallow"])  # without the prompt that stays as it was drawn
    for name in ("text_shallow", "text_deep", "text_lora", "tags_head", "tags_shallow", "tags_deep"):
        row, alone = rows[name], rows["tags_head"]
        ahead = "-" if row is alone else apart(row["scores"], alone["scores"])
        rate = "-" if name == "tags_head" else f"{rates[name] or 0:g}"
        kept = head if row is alone else stored(row)
        cells.append([LABELS[name], f"{kept:,}", rate, score_cell(row), ahead])
        numbers |= {f"t_{name}": row["mean"], f"t_{name}_ahead": row["mean"] - alone["mean"]}
    numbers["t_head_brings"] = rows["tags_shallow"]["mean"] - rows["text_shallow"]["mean"]
    numbers["t_depth_brings"] = rows["tags_deep"]["mean"] - rows["tags_shallow"]["mean"]
    numbers["t_depth_in_text"] = rows["text_deep"]["mean"] - rows["text_shallow"]["mean"]
    return table(["", "stored", "rate", "F1, %", "minus the head alone"], cells), numbers


def sizes(found: dict) -> tuple[dict, dict]:
    """Shallow and deep prompts on every size of base."""
    cells, numbers = [], {}
    for size, raced in found.items():
        rows = by_row(raced)
        shallow, deep = rows["shallow"], rows["deep"]
        gaps = [apart(on_slice(deep, part), on_slice(shallow, part)) for part in ("unseen",)]
        cells.append([size, score_cell(shallow), score_cell(deep), apart(deep["scores"], shallow["scores"]), *gaps])
        key = size.replace("-", "_").replace(".", "_")
        numbers |= {f"{key}_shallow": shallow["mean"], f"{key}_deep": deep["mean"]}
        numbers[f"{key}_gap"] = deep["mean"] - shallow["mean"]
    columns = ["base", "six vectors", "all layers", "all layers minus vectors", "on unseen"]
    return table(columns, cells), numbers


def layers(rows: dict) -> tuple[dict, dict]:
    """Prompts in some layers, against all."""
    cells, numbers = [], {}
    for name in ("bottom1", "top1", "bottom2", "top2", "deep"):
        row, whole = rows[name], rows["deep"]
        parts = [f"{mean(on_slice(row, part)):.1f}" for part in SLICES]
        ahead = "-" if row is whole else apart(row["scores"], whole["scores"])
        cells.append([LABELS[name], f"{stored(row):,}", score_cell(row), *parts, ahead])
        numbers |= {f"l_{name}": row["mean"], f"l_{name}_stored": stored(row)}
    for n in (1, 2):
        numbers[f"l_top_over_bottom{n}"] = rows[f"top{n}"]["mean"] - rows[f"bottom{n}"]["mean"]
    columns = ["a prompt in", "stored", "accuracy, %", *SLICES, "minus all layers"]
    return table(columns, cells), numbers


def heads(found: dict, deep: dict) -> tuple[dict, dict]:
    """A new head for the labels against the vocabulary's own words."""
    cells, numbers = [], {}
    for task, raced in found.items():
        new, words = by_row(raced)["head"], by_row(deep[task])["deep"]
        ahead = apart(new["scores"], words["scores"])
        cells.append([task, f"{stored(new) - stored(words):,}", score_cell(words), score_cell(new), ahead])
        numbers |= {f"h_{task}": new["mean"], f"h_{task}_ahead": new["mean"] - words["mean"]}
    return table(["task", "head, numbers", "words", "new head", "new head minus words"], cells), numbers


def networks(deep: dict, tagging: dict) -> tuple[dict, dict]:
    """The network behind keys and values, against the table alone, on four tasks."""
    pairs = {task: (by_row(raced)["deep"], by_row(raced)["network"]) for task, raced in deep.items()}
    pairs["tagging"] = tagging["tags_deep"], tagging["tags_network"]
    cells, numbers = [], {}
    for task, (plain, network) in pairs.items():
        cells.append([task, score_cell(plain), score_cell(network), apart(network["scores"], plain["scores"])])
        numbers[f"n_{task}_ahead"] = network["mean"] - plain["mean"]
    return table(["task", "table", "network", "network minus table"], cells), numbers


def start(seeds: list[dict]) -> tuple[dict, dict]:
    """A prompt that other tasks have learned together, as it is, trained on, and one from random numbers."""
    told = {
        "as it is": "from other tasks, as it is",
        "random": "random numbers, trained",
        "start": "from other tasks, trained",
    }
    scores = {name: [seed[name] for seed in seeds] for name in told}
    cells = [[label, plus_minus(scores[name]), "-" if name == "random" else apart(scores[name], scores["random"])]
             for name, label in told.items()]  # fmt: skip
    numbers = {f"s_{name.replace(' ', '_')}": mean(found) for name, found in scores.items()}
    return table(["start", "accuracy, %", "minus random numbers"], cells), numbers
