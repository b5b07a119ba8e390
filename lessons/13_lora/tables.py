"""The tables and numbers of chapter 13, from what its experiment measured: ranks, places, spectrum, costs, latency."""

from statistics import mean

from minipeft.course.chapters import beside
from minipeft.course.experiment import Summary, apart, by_row, table, together
from minipeft.racing.table import interval, plus_minus

experiment = beside(__file__)
CUTS, PLACES, RANKS = experiment.CUTS, experiment.PLACES, experiment.RANKS
PAPER_PLACES = {
    "query": "70.4 / 91.0",
    "key": "70.0 / 90.8",
    "value": "73.0 / 91.0",
    "output": "73.2 / 91.3",
    "query, key": "71.4 / 91.3",
    "query, value": "73.7 / 91.3",
    "all of attention": "73.7 / 91.7",
}
PAPER_RANKS = {1: "74.1 / 91.2", 2: "73.7 / 91.7", 4: "74.0 / 91.7", 8: "74.0 / 91.5"}
PAPER_FULL = "73.8 / 89.5"


def summary(measured: dict) -> Summary:
    rows, counted, steps = by_row(measured["race"]), measured["counts"], measured["steps"]
    parts = {
        "ranks": ranks(measured["race"], rows),
        "places": places(rows),
        "spectrum": spectrum(measured["cut"]),
        "costs": costs(counted, steps),
        "latency": latency(measured["latency"]),
    }
    tables, numbers = together(parts)
    numbers |= {"full": rows["full"]["mean"], "full_interval": rows["full"]["interval"] or 0.0}
    numbers |= {"full_trained": rows["full"]["trained"], "chance": measured["race"]["chance"]}
    return tables, numbers


def ranks(raced: dict, rows: dict) -> tuple[dict, dict]:
    """The score by rank, beside the paper's for GPT-3."""
    cells, numbers = [], {}
    for name in (*(f"rank {rank}" for rank in RANKS), "full"):
        row, rank = rows[name], name.removeprefix("rank ")
        paper = PAPER_FULL if name == "full" else PAPER_RANKS.get(int(rank), "-")
        rate = f"{raced['learning_rates'][name] or 0:g}"
        ahead = "-" if name == "full" else apart(row["scores"], rows["full"]["scores"])
        cells.append([rank, f"{row['trained']:,}", plus_minus(row["scores"]), ahead, rate, paper])
        if name != "full":
            numbers |= {f"rank{rank}": row["mean"], f"rank{rank}_interval": row["interval"] or 0.0}
            numbers[f"rank{rank}_trained"] = row["trained"]
    for rank in (1, 32):  # empty after --quick, which does not tune
        dev = raced["sweep"].get(f"rank {rank}", {})
        numbers |= {f"rank{rank} dev at {rate}": score for rate, score in dev.items()}
    return table(["rank", "trained", "test", "minus full", "best rate", "GPT-3, paper"], cells), numbers


def places(rows: dict) -> tuple[dict, dict]:
    """The score by the matrices that are adapted, with as many parameters in each row."""
    cells, numbers = [], {}
    for name, (rank, _) in PLACES.items():
        row = rows["rank 1" if name == "everything" else name]
        score, paper = plus_minus(row["scores"]), PAPER_PLACES.get(name, "-")
        cells.append([name, str(rank), f"{row['trained']:,}", score, paper])
        numbers[f"place {name}"] = row["mean"]
    return table(["matrices", "rank", "trained", "test", "GPT-3, paper"], cells), numbers


def spectrum(measured: dict) -> tuple[dict, dict]:
    """Full tuning's update cut to low rank: what is held of it, and the score that is left."""
    cells, numbers = [], {}
    for rank in map(str, CUTS):
        held, noise, cut_scores, kept_scores = (
            measured[key][rank] for key in ("share", "share_of_noise", "scores", "with_the_rest")
        )
        shares = [f"{mean(values):.0f}%" for values in (held, noise)]
        cells.append([rank, *shares, plus_minus(cut_scores), plus_minus(kept_scores)])
        numbers |= {f"cut{rank}": mean(cut_scores), f"kept{rank}": mean(kept_scores)}
        numbers |= {f"share{rank}": mean(held), f"noise{rank}": mean(noise)}
    columns = ["directions kept", "of the update", "of noise", "score, rest as before", "score, rest trained"]
    return table(columns, cells), numbers


def costs(counted: dict, steps: dict) -> tuple[dict, dict]:
    """Operations, bytes and milliseconds of a step, and LoRA's as shares of full tuning's, in percent."""
    memory = {name: found["memory"] for name, found in counted.items()}
    cells = [["trained numbers", *(f"{found['trained']:,}" for found in counted.values())]]
    for part in ("forward", "backward"):
        cells.append([f"{part}, 10^9 operations", *(f"{found[part] / 1e9:.2f}" for found in counted.values())])
    for part in ("weights", "gradients", "optimizer", "activations"):
        cells.append([f"{part}, MB", *(f"{found[part] / 1e6:.2f}" for found in memory.values())])
    for part in ("forward", "backward", "optimizer"):
        cells.append([f"{part}, ms", *(plus_minus(steps[name][part]) for name in counted)])
    whole = [[100 * part for part in steps[name]["of_full"]] for name in ("lora", "lora q, v")]
    cells.append(["whole step, % of full", "100", *map(plus_minus, whole)])

    full, numbers = counted["full"], {}
    for name in ("lora", "lora q, v"):
        key, found = name.replace(" q, v", "_qv"), counted[name]
        both = (found["forward"] + found["backward"]) / (full["forward"] + full["backward"])
        numbers |= {f"{key}_{part}_flops": 100 * found[part] / full[part] for part in ("forward", "backward")}
        numbers |= {f"{key}_{part}": 100 * memory[name][part] / memory["full"][part]
                    for part in ("gradients", "optimizer", "activations")}  # fmt: skip
        numbers[f"{key}_memory"] = 100 * sum(memory[name].values()) / sum(memory["full"].values())
        numbers |= {f"{key}_flops": 100 * both, f"{key}_time": 100 * mean(steps[name]["of_full"])}
    numbers["extra_forward_time"] = 100 * (mean(steps["lora"]["forward"]) / mean(steps["full"]["forward"]) - 1)
    numbers["extra_forward_operations"] = 100 * (counted["lora"]["forward"] / full["forward"] - 1)
    numbers |= {"larger_total": full["total"], "larger_trained": counted["lora"]["trained"]}
    return table(["one step of 32 examples", "full", "LoRA", "LoRA, q and v"], cells), numbers


def latency(measured: dict) -> tuple[dict, dict]:
    """How much longer a forward pass takes than the merged model's."""
    cells, numbers = [], {}
    for size, times in measured.items():
        longer = {name: f"{100 * (mean(ratios) - 1):+.1f}% ± {100 * interval(ratios):.1f}"
                  for name, ratios in times["ratio"].items()}  # fmt: skip
        cells.append([size, plus_minus(times["merged_ms"]), longer["unmerged q, v"], longer["unmerged"],
                      longer["houlsby"]])  # fmt: skip
        for name, ratios in times["ratio"].items():
            key = f"{name.replace(', ', '').replace(' ', '_')}_{size.split(' ')[0]}"
            numbers[key] = 100 * (mean(ratios) - 1)
    return table(["batch x length", "merged, ms", "LoRA q and v beside", "LoRA all beside", "adapters"], cells), numbers
