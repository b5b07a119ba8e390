"""Prompt tuning measured: against words and full tuning, five prompts that vote, many tasks in one batch.

    python lessons/05_prompt_tuning/experiment.py [--seeds 5] [--quick]     measures; can be killed and run again
    python lessons/05_prompt_tuning/experiment.py --figures                 draws from results.json alone

The scores are those of the project's races in data/results/, where each row had its own sweep of four learning rates.
"""

import json
import math
import statistics
import time
from pathlib import Path

import torch
from torch import nn

from minipeft.course.experiment import main, race
from minipeft.memory.counting import step_memory
from minipeft.methods.prompts.hard_prompt import HardPrompt
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import prompt_names, read_prompt_file
from minipeft.models import CHECKPOINTS, load
from minipeft.paths import DATA
from minipeft.racing.table import interval, score_cell
from minipeft.serving.mixed_batch import MixedBatch
from minipeft.tasks.hand_written import first_prompt
from minipeft.tasks.registry import load_task
from minipeft.training.batches import encode_source
from minipeft.training.evaluating import evaluate
from minipeft.transformer.batch import Batch, pad

TASK, STEPS, BASE = "topic", 300, "t5-0.8m"
SIZES = ("t5-0.4m", "t5-0.8m", "t5-1.7m", "t5-3.5m")
BASES = ("t5-0.8m-span", "t5-0.8m-step100", "t5-0.8m-step300", "t5-0.8m-step1000", "t5-0.8m", "t5-0.4m", "t5-1.7m",
         "t5-3.5m")  # fmt: skip
LENGTHS = (1, 5, 20, 100)
TASKS = ("topic", "sentiment")  # raced with 600 steps and 5 seeds for data/results/
PAPER_SIZES = ("Small", "Base", "Large", "XL", "XXL")  # T5 v1.1, and SuperGLUE dev of Vu et al. 2021, table 4
PAPER_MILLIONS = (77, 248, 783, 2850, 11135)
PAPER = {
    "full tuning": (62.8, 73.7, 81.3, 83.1, 89.9),
    "prompt tuning": (59.8, 63.1, 74.5, 79.2, 88.8),
    "hard prompt (GPT-3)": (40.6, 43.4, 45.1, 47.8, 52.8),
}
COLOURS = {"full tuning": "#333333", "prompt tuning": "#c2410c", "hard prompt": "#2563eb"}


def runs(args) -> dict:
    """Everything that is measured, and the races of data/results/ that the chapter reads."""
    torch.set_num_threads(1)
    return {
        "bundled": bundled(),
        "bases": {name: words_on(name, args) for name in BASES},
        "memory": {str(length): memory(length) for length in LENGTHS},
        "tokens": tokens(args),
        "batches": batches(args),
        "races": races(args),
    }


def races(args) -> dict:
    """Prompts trained on bases of four sizes, from three starts, in four lengths; the slowest base last."""
    told = {"args": args, "steps": STEPS}
    found = {size: race(size, ["prompt_tuning", "full"], size, TASK, **told) for size in SIZES[:-1]}
    starts = ["uniform=prompt_tuning:init=uniform", "labels=prompt_tuning:init=labels:labels=task"]
    found["starts"] = race("starts", starts, BASE, TASK, **told)
    lengths = [f"length {n}=prompt_tuning:prompt_length={n}" for n in LENGTHS if n != PromptTuning.prompt_length]
    found["lengths"] = race("lengths", lengths, BASE, TASK, **told)
    found[SIZES[-1]] = race(SIZES[-1], ["prompt_tuning", "full"], SIZES[-1], TASK, **told)
    return found


def bundled_result(name: str) -> dict:
    return json.loads((DATA / "results" / f"{name}.json").read_text(encoding="utf-8"))


def bundled() -> dict:
    """What earlier races and studies measured on the same base, with 600 steps: data/results/."""
    races = {task: bundled_result(f"{task}-prompts") for task in TASKS}
    return {
        "scores": {
            task: {
                row["method"]: {key: row[key] for key in ("scores", "mean", "interval", "trained")}
                for row in race["rows"] if row["method"] in ("hard_prompt", "prompt_tuning", "full")
            } for task, race in races.items()
        },
        "chance": {task: race["chance"] for task, race in races.items()},
        "votes": {task: bundled_result(f"{task}-ensemble") for task in TASKS},
        "commits": {task: race["commits"] for task, race in races.items()},
    }  # fmt: skip


def words_on(name: str, args) -> dict:
    """What a base does with the hand-written prompt of `topic`, untrained: ranking the labels, and writing freely."""
    model, task, told = load(name), load_task(TASK), first_prompt(TASK)
    method = HardPrompt(**told)
    method.attach(model)
    examples = task.test[: 100 if args.quick else None]
    sources = [encode_source(model, example.source) for example in examples]
    written = [row for start in range(0, len(sources), 64)
               for row in model.generate(Batch(*pad(sources[start : start + 64])), 6)]  # fmt: skip
    made = json.loads((CHECKPOINTS / name / "results.json").read_text(encoding="utf-8"))
    legal = {word for words in told["verbalizer"].values() for word in words}
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "objective": made["settings"]["text"]["objective"],
        "steps": made["step"],
        "ranked": evaluate(model, task, "test", limit=len(examples))["score"],
        "legal": 100 * statistics.mean(model.tokenizer.decode(row) in legal for row in written),
        "sentinel": 100 * statistics.mean(row[:1] == [model.tokenizer.sentinel(0)] for row in written),
    }


def memory(length: int) -> dict[str, int]:
    """Bytes at one training step of 32 texts with a prompt of so many vectors."""
    model, method = load(BASE), PromptTuning(prompt_length=length)
    method.attach(model)
    return step_memory(model, method, load_task(TASK), 32)


def tokens(args) -> dict:
    """The bundled prompts against the vocabulary: the score when each vector is replaced by the token nearest to it."""
    limit = {"limit": 100 if args.quick else None}
    model, result = load(BASE), {}
    table = model.embedding.weight.detach()  # (vocabulary, hidden)
    for name in ("sentiment", "sentiment_food"):
        prompt = read_prompt_file(name)["prompt"]  # (prompt_length, hidden)
        similarity = nn.functional.normalize(prompt, dim=1) @ nn.functional.normalize(table, dim=1).T
        nearest = similarity.argmax(1)  # (prompt_length,)
        found = {"tokens": [model.tokenizer.decode([token]) for token in nearest.tolist()]}
        found["cosine"] = statistics.mean(similarity.max(1).values.tolist())
        found["length"] = statistics.median(prompt.norm(dim=1).tolist())
        for kind, start in (("trained", prompt), ("nearest", table[nearest])):
            method = PromptTuning(prompt_length=len(prompt))
            method.start_from(start)
            method.attach(model)
            found[kind] = evaluate(model, load_task(name), "test", **limit)["score"]
            method.detach()
        result[name] = found
    return {"prompts": result, "length_of_tokens": statistics.median(table.norm(dim=1).tolist())}


def batches(args) -> dict:
    """Milliseconds to answer one text of each of n tasks: rows of one batch, or one batch for each; by turns."""
    model, result = load(BASE), {}
    prompts = [read_prompt_file(name)["prompt"] for name in prompt_names()]  # of 20 vectors each
    states = [{"encoder.prompt": prompt} for prompt in prompts] * 5
    texts = [encode_source(model, example.source) for example in load_task(TASK).test[:32]]
    for number in (2, 8, 32):
        mixed, switched = MixedBatch(PromptTuning(), states[:number]), PromptTuning()
        mixed_model, switched_model = load(BASE), load(BASE)
        mixed.attach(mixed_model)
        switched.attach(switched_model)
        batch = Batch(*pad(texts[:number]))
        times = {"mixed": [], "switched": []}
        for _ in range(3 if args.quick else 15):
            started = time.perf_counter()
            with mixed.rows(range(number)):
                together = mixed_model.generate(batch, 4)
            middle = time.perf_counter()
            one_by_one = []
            for row in range(number):
                switched.load_state_dict(states[row])
                one_by_one += switched_model.generate(Batch(*pad(texts[row : row + 1])), 4)
            times["mixed"].append(1000 * (middle - started))
            times["switched"].append(1000 * (time.perf_counter() - middle))
        same = statistics.mean(a == b for a, b in zip(together, one_by_one, strict=True))
        result[str(number)] = {**times, "same": same}
    return result


def by_row(found: dict) -> dict[str, dict]:
    return {row["method"]: row for row in found["rows"]}


def gap(better: dict, worse: dict) -> tuple[float, float]:
    """Mean difference over seeds, and half the width of its 95% interval."""
    differences = [a - b for a, b in zip(better["scores"], worse["scores"], strict=True)]
    half = interval(differences)
    return statistics.mean(differences), 0.0 if math.isnan(half) else half


def race_tables(measured: dict) -> tuple[dict, dict]:
    """Tables and numbers of the races."""
    tables, numbers, races = {}, {"steps": STEPS}, {name: by_row(found) for name, found in measured["races"].items()}
    base, rows = races[BASE]["prompt_tuning"], []
    for size in SIZES:
        prompt, full = races[size]["prompt_tuning"], races[size]["full"]
        mean, half = gap(full, prompt)
        rows.append([f"`{size}`", f"{full['trained']:,}", f"{prompt['trained']:,}",
                     f"{measured['bases'][size]['ranked']:.1f}", score_cell(prompt), score_cell(full),
                     f"{mean:.1f} ± {half:.1f}"])  # fmt: skip
        name = size.removeprefix("t5-").replace(".", "_")
        numbers |= {f"prompt_{name}": prompt["mean"], f"full_{name}": full["mean"], f"gap_{name}": mean}
        numbers |= {f"percent_{name}": prompt["percent"], f"gap_interval_{name}": half}
    columns = ["base", "parameters", "prompt", "hard prompt", "prompt tuning", "full tuning", "difference"]
    tables["ladder"] = {"columns": columns, "rows": rows}

    lengths, rows = {f"length {PromptTuning.prompt_length}": base} | races["lengths"], []
    for length, found in measured["memory"].items():
        row = lengths[f"length {length}"]
        small = [f"{found[part] / 1e3:.1f}" for part in ("gradients", "optimizer")]
        rows.append([length, f"{row['trained']:,}", *small, f"{found['activations'] / 1e6:.1f}", score_cell(row)])
        numbers[f"length_{length}"] = row["mean"]
    columns = ["vectors", "trained", "gradients, kB", "optimizer, kB", "activations, MB", "score"]
    tables["lengths"] = {"columns": columns, "rows": rows}

    starts = {"uniform in ±1/2": races["starts"]["uniform"], "frequent tokens": base,
              "class labels": races["starts"]["labels"]}  # fmt: skip
    tables["starts"] = {"columns": ["start", "score"], "rows": [[name, score_cell(r)] for name, r in starts.items()]}
    numbers |= {f"start_{name}": races["starts"][name]["mean"] for name in ("uniform", "labels")}
    sweeps = {"uniform": measured["races"]["starts"]["sweep"]["uniform"],
              "tokens": measured["races"][BASE]["sweep"]["prompt_tuning"]}  # fmt: skip
    for name, by_rate in sweeps.items():
        numbers |= {f"{name}_worst_rate": min(by_rate.values()), f"{name}_best_rate": max(by_rate.values())}
    return tables, numbers


def summary(measured: dict) -> tuple[dict, dict]:
    """Tables and numbers of the chapter, from the measurements alone."""
    tables, numbers = race_tables(measured)
    rows = []
    for task, found in measured["bundled"]["votes"].items():
        kinds = ("average", "best", "ensemble")
        rows.append([task, *(f"{found[kind]['mean']:.1f} ± {found[kind]['interval']:.1f}" for kind in kinds)])
        gains = [a - b for a, b in zip(found["ensemble"]["scores"], found["average"]["scores"], strict=True)]
        numbers |= {f"vote_gain_{task}": statistics.mean(gains), f"vote_gain_interval_{task}": interval(gains)}
    columns = ["task", "average member", "best member on dev", "vote of five"]
    tables["ensembles"] = {"columns": columns, "rows": rows}
    rows = []
    for number, found in measured["batches"].items():
        ratios = [a / b for a, b in zip(found["switched"], found["mixed"], strict=True)]
        rows.append([number, *(f"{statistics.median(found[side]):.1f}" for side in ("mixed", "switched")),
                     f"{statistics.median(ratios):.1f}"])  # fmt: skip
        numbers |= {f"batch_ratio_{number}": statistics.median(ratios), f"batch_same_{number}": 100 * found["same"]}
    tables["batches"] = {"columns": ["tasks", "one batch, ms", "task by task, ms", "times as fast"], "rows": rows}

    rows = []
    for name, found in measured["bases"].items():
        adapted = f"{found['steps']:,}" if found["objective"] == "prefix" else "0"
        shares = (f"{found[kind]:.0f}" for kind in ("sentinel", "legal"))
        if name.startswith(BASE):  # the other sizes stand in the ladder
            rows.append([f"`{name}`", adapted, *shares, f"{found['ranked']:.1f}"])
        short = name.removeprefix("t5-").replace(".", "_").replace("-", "_")
        numbers |= {f"{kind}_{short}": found[kind] for kind in ("sentinel", "legal", "ranked")}
    columns = ["base", "LM adaptation, steps", "sentinel first, %", "a label, %", "ranked, %"]
    tables["bases"] = {"columns": columns, "rows": rows}

    first = measured["memory"]["1"]["activations"]
    numbers |= {f"activations_{n}": found["activations"] / first for n, found in measured["memory"].items()}
    for name, found in measured["tokens"]["prompts"].items():
        numbers |= {f"{key}_{name}": found[key] for key in ("trained", "nearest", "cosine")}
        numbers[f"length_ratio_{name}"] = found["length"] / measured["tokens"]["length_of_tokens"]
    numbers["token_length"] = measured["tokens"]["length_of_tokens"]
    for task, found in measured["bundled"]["scores"].items():
        numbers |= {f"bundled_{method}_{task}": row["mean"] for method, row in found.items()}
        numbers |= {f"bundled_{method}_{task}_interval": row["interval"] for method, row in found.items()}
    return tables, numbers


def figures(results: dict, folder: Path) -> None:
    """picture.png, ladder.png and ablations.png."""
    import matplotlib

    matplotlib.use("Agg")
    picture(folder)
    ladder(results["runs"], folder)
    ablations(results["runs"]["races"], folder)


def picture(folder: Path) -> None:
    """What stands where: prompt and text in the encoder, mask and cross-attention, decoder."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6), facecolor="white")
    axes.set(xlim=(0, 14), ylim=(0, 7.2))
    axes.axis("off")

    def box(x, y, text, colour, width=0.9, height=0.8, ink="black"):
        axes.add_patch(pyplot.Rectangle((x, y), width, height, facecolor=colour, edgecolor="#555555", linewidth=0.8))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=ink)

    words = ["Ida", "liked", "the", "map", "pad"]
    for i in range(3):
        box(0.3 + i, 1.2, f"p{i + 1}", "#fdba74")
        box(0.3 + i, 0.2, "1", "#fed7aa")
        box(0.3 + i, 4.9, "", "#fdba74", height=0.6)
    for i, word in enumerate(words):
        box(3.3 + i, 1.2, word, "#dbeafe" if word != "pad" else "#eeeeee")
        box(3.3 + i, 0.2, "1" if word != "pad" else "0", "#eff6ff" if word != "pad" else "#eeeeee")
        box(3.3 + i, 4.9, "", "#dbeafe" if word != "pad" else "#eeeeee", height=0.6)
    box(0.3, 2.9, "encoder (frozen)", "#e5e7eb", width=7.9, height=1.1)
    box(10.0, 2.9, "decoder (frozen)", "#e5e7eb", width=3.4, height=1.1)
    box(10.0, 1.2, "<start>", "#dcfce7", width=1.6)
    box(11.8, 1.2, "travel", "#dcfce7", width=1.6)
    box(10.0, 4.9, "travel", "#dcfce7", width=1.6, height=0.8)
    box(11.8, 4.9, "</s>", "#dcfce7", width=1.6, height=0.8)
    arrow = {"arrowstyle": "->", "color": "#555555"}
    for x, low, high in ((4.2, 2.05, 2.9), (4.2, 4.0, 4.9), (11.7, 2.05, 2.9), (11.7, 4.0, 4.9)):
        axes.annotate("", (x, high), (x, low), arrowprops=arrow)
    axes.annotate("", (9.95, 3.45), (8.25, 5.2), arrowprops={**arrow, "connectionstyle": "arc3,rad=-0.25"})
    axes.plot([8.9, 8.9], [5.1, 6.0], color="#999999", linewidth=0.8, linestyle=":")
    axes.text(
        9.0, 6.05, "cross-attention reads all 8 places,\nwith the same mask", fontsize=8.5, ha="center", va="bottom"
    )
    axes.text(1.75, 5.75, "trained prompt", fontsize=9, ha="center", color="#c2410c")
    axes.text(5.0, 5.75, "embedded text", fontsize=9, ha="center", color="#1d4ed8")
    axes.text(8.5, 0.6, "mask", fontsize=9, va="center")
    figure.tight_layout(pad=0.3)
    figure.savefig(folder / "picture.png", dpi=150, facecolor="white")
    pyplot.close(figure)


def ladder(measured: dict, folder: Path) -> None:
    """Scores by size: the paper's sizes and ours."""
    from matplotlib import pyplot

    figure, (theirs, ours) = pyplot.subplots(1, 2, figsize=(7, 3.3), facecolor="white")
    for name, scores in PAPER.items():
        colour = COLOURS[name.removesuffix(" (GPT-3)")]
        theirs.plot(PAPER_MILLIONS, scores, "o-", color=colour, label=name, markersize=4)
    theirs.set(xscale="log", title="T5 v1.1, SuperGLUE dev", xlabel="million parameters", ylabel="score", ylim=(0, 103))
    our_ladder(ours, measured)
    theirs.set_xticks(PAPER_MILLIONS, [f"{m:,}" for m in PAPER_MILLIONS], fontsize=8)
    theirs.minorticks_off()
    for axes in (theirs, ours):
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    theirs.legend(fontsize=8, loc="lower right", frameon=False)
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "ladder.png", dpi=150, facecolor="white")
    pyplot.close(figure)


def our_ladder(ours, measured: dict) -> None:
    races = {size: by_row(measured["races"][size]) for size in SIZES}
    millions = [races[size]["full"]["trained"] / 1e6 for size in SIZES]
    for name, key in (("full tuning", "full"), ("prompt tuning", "prompt_tuning")):
        line = [races[size][key] for size in SIZES]
        error = [row["interval"] or 0 for row in line]
        ours.errorbar(millions, [row["mean"] for row in line], error, fmt="o-", color=COLOURS[name], markersize=4,
                      capsize=3)  # fmt: skip
    words = [measured["bases"][size]["ranked"] for size in SIZES]
    ours.plot(millions, words, "o-", color=COLOURS["hard prompt"], markersize=4)
    ours.axhline(10, color="#999999", linestyle=":", linewidth=1)
    ours.text(millions[0], 11.5, "blind guess", fontsize=8, color="#777777")
    ours.set(xscale="log", title=f"ours, {TASK}, test", xlabel="million parameters", ylim=(0, 103))
    ours.set_xticks(millions, [f"{m:.1f}" for m in millions])
    ours.minorticks_off()


def ablations(measured: dict, folder: Path) -> None:
    """Length and start, each with 95% intervals, on one scale."""
    from matplotlib import pyplot

    races = {name: by_row(found) for name, found in measured.items()}
    base, starts = races[BASE]["prompt_tuning"], races["starts"]
    panels = {
        "vectors": ([str(n) for n in LENGTHS], [races["lengths"].get(f"length {n}", base) for n in LENGTHS]),
        "start": (["uniform", "frequent\ntokens", "class\nlabels"], [starts["uniform"], base, starts["labels"]]),
    }
    figure, all_axes = pyplot.subplots(1, 2, figsize=(7, 2.9), sharey=True, facecolor="white", width_ratios=[4, 3])
    for axes, (title, (names, rows)) in zip(all_axes, panels.items(), strict=True):
        means, errors = [row["mean"] for row in rows], [row["interval"] or 0 for row in rows]
        axes.errorbar(range(len(names)), means, errors, fmt="o", color=COLOURS["prompt tuning"], capsize=3)
        axes.set_xticks(range(len(names)), names)
        axes.set(xlabel=title, ylim=(0, 100), xlim=(-0.5, len(names) - 0.5))
        axes.axhline(measured[BASE]["chance"], color="#999999", linestyle=":", linewidth=1)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel(f"accuracy on {TASK}, %")
    figure.tight_layout(pad=0.6)
    figure.savefig(folder / "ablations.png", dpi=150, facecolor="white")
    pyplot.close(figure)


if __name__ == "__main__":
    main(__file__, runs, summary, figures)
