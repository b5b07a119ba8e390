"""The tables and numbers of chapter 13, from what its experiment measured: ranks, spectrum, costs, latency."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import interval, plus_minus

experiment = beside(__file__)
CUTS, LONGER, RANKS, STEPS = experiment.CUTS, experiment.LONGER, experiment.RANKS, experiment.STEPS
OLD_FORMS = ("plain", "contrast", "negation")  # as pretraining has them
SLICES = ("both", "unseen", "nested")


def summary(measured: dict) -> Summary:
    raced, rows = measured["race"], by_row(measured["race"])
    parts = {
        "ranks": ranks(raced, rows, by_row(measured["longer"])),
        "spectrum": spectrum(measured["cut"]),
        "costs": costs(measured["counts"], measured["steps"]),
        "latency": latency(measured["latency"]),
    }
    tables, numbers = together(parts)
    numbers |= {"full_trained": rows["full"]["trained"], "chance": raced["chance"], **rates(raced)}
    return tables, numbers


def old_forms(slices: dict[str, float]) -> float:
    """The mean score on the forms of opinion that pretraining has."""
    return mean(slices[name] for name in OLD_FORMS)


def scores_of(name: str, row: dict) -> dict[str, float]:
    """A row's scores for the prose: on all texts and on each kind of them, and what it has forgotten."""
    slices = row["slices"]
    numbers = {name: row["mean"], f"{name} old forms": old_forms(slices)}
    numbers |= {f"{name} {kind}": slices[kind] for kind in SLICES}
    return numbers if row["forgotten"] is None else numbers | {f"{name} forgotten": row["forgotten"]}


def ranks(raced: dict, rows: dict, longer: dict) -> tuple[dict, dict]:
    """The score by rank, on old forms and on those that are new: of the race, then of the runs with more steps."""
    cells, numbers = [], {}
    for steps, found in ((STEPS, rows), (LONGER, longer)):
        for name in (*(f"rank {rank}" for rank in RANKS), "full"):
            if name not in found:
                continue
            row, key = found[name], name if found is rows else f"longer {name}"
            ahead = "-" if name == "full" else apart(row["scores"], found["full"]["scores"])
            rate = f"{raced['learning_rates'][name] or 0:g}"
            cell = f"{name.removeprefix('rank ')}, {steps} steps"
            cells.append([cell, f"{row['trained']:,}", plus_minus(row["scores"]), ahead, *kinds(row), rate])
            numbers |= scores_of(key, row) | {f"{key} trained": row["trained"]}
    columns = ["rank", "trained", "test", "minus full", "old forms", "unseen", "nested", "rate"]
    return table(columns, cells), numbers


def kinds(row: dict) -> list[str]:
    """Cells: a row's scores on old forms, and on the two kinds that are new."""
    return [f"{score:.1f}" for score in (old_forms(row["slices"]), row["slices"]["unseen"], row["slices"]["nested"])]


def rates(raced: dict) -> dict[str, float]:
    """Best rates, and the dev scores of the lowest and the highest rank, which --quick does not take."""
    numbers = {f"{name} rate": rate or 0.0 for name, rate in raced["learning_rates"].items()}
    for name in ("rank 1", f"rank {RANKS[-1]}"):
        numbers |= {f"{name} dev at {rate}": score for rate, score in raced["sweep"].get(name, {}).items()}
    return numbers


def spectrum(measured: dict) -> tuple[dict, dict]:
    """Full tuning's update cut to low rank: what is held of it, and the score that is left."""
    cells, numbers = [], {"cut alone": mean(measured["alone"])}
    for rank in map(str, CUTS):
        held, noise, scores = (measured[key][rank] for key in ("share", "share_of_noise", "scores"))
        slices = measured["slices"][rank]
        nested = [found["nested"] for found in slices]
        old = [old_forms(found) for found in slices]
        shares = [f"{mean(values):.0f}%" for values in (held, noise)]
        cells.append([rank, *shares, *map(plus_minus, (scores, old, nested))])
        numbers |= {f"cut{rank}": mean(scores), f"cut{rank} old forms": mean(old), f"cut{rank} nested": mean(nested)}
        numbers |= {f"share{rank}": mean(held), f"noise{rank}": mean(noise)}
    columns = ["directions", "of the update", "of noise", "test", "old forms", "nested"]
    return table(columns, cells), numbers


def costs(counted: dict, steps: dict) -> tuple[dict, dict]:
    """Operations and bytes of a step, and times in percent of full tuning's."""
    memory = {name: found["memory"] for name, found in counted.items()}
    cells = [["trained numbers", *(f"{found['trained']:,}" for found in counted.values())]]
    for part in ("forward", "backward"):
        cells.append([f"{part}, 10^9 operations", *(f"{found[part] / 1e9:.2f}" for found in counted.values())])
    for part in ("weights", "gradients", "optimizer", "activations"):
        cells.append([f"{part}, MB", *(f"{found[part] / 1e6:.2f}" for found in memory.values())])
    longer = {name: {part: part_of_full(steps, name, part) for part in ("forward", "backward", "optimizer")}
              for name in ("lora", "lora q, v")}  # fmt: skip
    for part in ("forward", "backward", "optimizer"):
        cells.append([f"{part}, time in %", "100", *(plus_minus(found[part], 0) for found in longer.values())])
    whole = [[100 * part for part in steps[name]["of_full"]] for name in ("lora", "lora q, v")]
    cells.append(["whole step, time in %", "100", *(plus_minus(found, 0) for found in whole)])

    full, numbers = counted["full"], {}
    for name in ("lora", "lora q, v"):
        key, found = name.replace(" q, v", "_qv"), counted[name]
        both = (found["forward"] + found["backward"]) / (full["forward"] + full["backward"])
        numbers |= {f"{key}_{part}_flops": 100 * found[part] / full[part] for part in ("forward", "backward")}
        numbers |= {f"{key}_{part}": 100 * memory[name][part] / memory["full"][part]
                    for part in ("gradients", "optimizer", "activations")}  # fmt: skip
        numbers[f"{key}_memory"] = 100 * sum(memory[name].values()) / sum(memory["full"].values())
        numbers |= {f"{key}_flops": 100 * both, f"{key}_time": 100 * mean(steps[name]["of_full"])}
    numbers["extra_forward_time"] = mean(longer["lora"]["forward"]) - 100
    numbers["extra_forward_operations"] = 100 * (counted["lora"]["forward"] / full["forward"] - 1)
    numbers |= {"larger_total": full["total"], "larger_trained": counted["lora"]["trained"]}
    return table(["one step of 32 examples", "full", "LoRA", "LoRA, q and v"], cells), numbers


def part_of_full(steps: dict, name: str, part: str) -> list[float]:
    """The time of one part of a step, block by block, in percent of full tuning's."""
    return [100 * mine / full for mine, full in zip(steps[name][part], steps["full"][part], strict=True)]


def latency(measured: dict) -> tuple[dict, dict]:
    """How much longer a forward pass takes than the merged model's."""
    cells, numbers = [], {}
    for size, times in measured.items():
        longer = {name: f"{100 * (mean(ratios) - 1):+.1f}% ± {100 * interval(ratios):.1f}"
                  for name, ratios in times["ratio"].items()}  # fmt: skip
        cells.append([size, longer["unmerged q, v"], longer["unmerged"], longer["houlsby"]])
        for name, ratios in times["ratio"].items():
            key = f"{name.replace(', ', '').replace(' ', '_')}_{size.split(' ')[0]}"
            numbers[key] = 100 * (mean(ratios) - 1)
    return table(["batch x length", "LoRA q and v beside", "LoRA all beside", "adapters"], cells), numbers
