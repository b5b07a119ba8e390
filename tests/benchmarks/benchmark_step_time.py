"""Time and memory of one training step: minipeft against transformers + peft.

Both train the same weights on the same batches in one process, by turns, with AdamW and the same number of threads.
A step is forward, backward, optimizer step and clearing of gradients. Peak memory is what PyTorch allocates during a
step at its highest point, on top of weights and optimizer state. Lengths differ within the batch, as in real data.

    python tests/benchmarks/benchmark_step_time.py --out tests/benchmarks/step_time.json
"""

import argparse
import statistics
import tempfile
import time

import pytest
import torch

from minipeft.methods.registry import METHODS
from minipeft.provenance import provenance, write_json
from minipeft.training.optimizers import make_optimizer
from minipeft.transformer.batch import Batch, pad
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig, pad_left
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from minipeft.transformer.hugging_face import from_hugging_face, to_hugging_face

VOCABULARY, ROWS, SOURCE, TARGET, PROMPT, RANK = 3072, 32, 48, 8, 20, 8
FAMILIES = {
    "t5": lambda: EncoderDecoder(EncoderDecoderConfig(VOCABULARY, 256, 4, 64, 683, 4, 4)),  # T5 v1.1
    "gpt2": lambda: DecoderOnly(DecoderOnlyConfig(VOCABULARY, 256, 4, 6)),
}
# The same number of trained weights on both sides; prefixes without the network that makes them. peft's T5 has a
# prefix in the decoder's self-attention only, ours, as in the paper, in all three kinds of attention.
OURS = {
    "full": {},
    "lora": {"rank": RANK, "targets": ("query", "value")},
    "prompt_tuning": {"prompt_length": PROMPT, "init": "uniform"},
    "prefix_tuning": {"prefix_length": PROMPT, "reparametrise": False},
}
CASES = [(family, method) for family in FAMILIES for method in OURS]


def random_batch() -> Batch:
    """Rows of half to full length, a target of two to TARGET tokens each."""

    def rows(longest, shortest):
        lengths = torch.randint(shortest, longest + 1, (ROWS,)).tolist()
        return [torch.randint(2, VOCABULARY, (length,)).tolist() for length in [longest, *lengths[1:]]]

    return Batch(*pad(rows(SOURCE, SOURCE // 2)), *pad(rows(TARGET, 2)))


def our_step(folder: str, method: str, batch: Batch):
    """One training step of minipeft as a function, which returns the loss."""
    model = from_hugging_face(folder).train()
    tuning = METHODS[method](**OURS[method])
    tuning.attach(model)
    optimizer = make_optimizer("adamw", tuning.parameter_groups(1e-4), 1e-4)

    def step() -> float:
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def their_step(folder: str, method: str, batch: Batch):
    """One training step of transformers + peft as a function, which returns the loss."""
    import peft
    import transformers

    family = transformers.AutoConfig.from_pretrained(folder).model_type
    kind = transformers.T5ForConditionalGeneration if family == "t5" else transformers.GPT2LMHeadModel
    model = kind.from_pretrained(folder)
    task = "SEQ_2_SEQ_LM" if family == "t5" else "CAUSAL_LM"
    if method == "lora":  # GPT-2 fuses query, key and value in one matrix: rank 8 on it has as many weights
        targets = ["q", "v"] if family == "t5" else ["c_attn"]
        settings = peft.LoraConfig(r=RANK, lora_alpha=16, target_modules=targets, fan_in_fan_out=family == "gpt2")
    elif method == "prompt_tuning":
        settings = peft.PromptTuningConfig(task_type=task, num_virtual_tokens=PROMPT)
    elif method == "prefix_tuning":
        settings = peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=PROMPT)
    if method != "full":
        model = peft.get_peft_model(model, settings)
    model.train()
    labels = batch.target.masked_fill(~batch.target_mask, -100)
    inputs = dict(input_ids=batch.source, attention_mask=batch.source_mask.long(), labels=labels)
    if family == "gpt2":
        source, mask = pad_left(batch.source, batch.source_mask)
        inputs = dict(
            input_ids=torch.cat([source, batch.target], 1),
            attention_mask=torch.cat([mask, batch.target_mask], 1).long(),
            labels=torch.cat([torch.full_like(source, -100), labels], 1),
        )
        if method in ("full", "lora"):  # peft makes its own where it puts a prompt in front
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4, weight_decay=0.0)

    def step() -> float:
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def peak_bytes(step) -> int:
    """The highest sum of PyTorch's allocations during one step, less what was freed."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    highest = now = 0
    for _, change in changes:
        now += change
        highest = max(highest, now)
    return highest


def measure(family: str, method: str, rounds: int) -> dict:
    """Median and quartiles of seconds per step on both sides and of their ratio, taken round by round."""
    torch.manual_seed(0)
    batch, steps, memory, seconds = random_batch(), {}, {}, {"minipeft": [], "peft": []}
    with tempfile.TemporaryDirectory() as folder:
        to_hugging_face(FAMILIES[family](), folder)
        steps = {"minipeft": our_step(folder, method, batch), "peft": their_step(folder, method, batch)}
    first = {name: step() for name, step in steps.items()}
    if method in ("full", "lora") and abs(first["minipeft"] - first["peft"]) > 1e-4 * first["peft"]:
        raise RuntimeError(f"The two sides do not compute the same loss at the start: {first}.")
    for name, step in steps.items():
        memory[name] = peak_bytes(step) / 2**20
    for number in range(rounds):
        for name in sorted(steps, reverse=number % 2 == 1):  # who goes first changes, as caches and clocks drift
            start = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - start)
    ratios = [ours / theirs for ours, theirs in zip(seconds["minipeft"], seconds["peft"], strict=True)]
    return {
        "family": family,
        "method": method,
        "milliseconds": {name: quartiles([1000 * second for second in taken]) for name, taken in seconds.items()},
        "time_ratio": quartiles(ratios),
        "peak_mib": {name: round(mib, 2) for name, mib in memory.items()},
        "memory_ratio": round(memory["minipeft"] / memory["peft"], 3),
    }


def quartiles(numbers: list[float]) -> list[float]:
    """First quartile, median and third quartile."""
    return [round(number, 4) for number in statistics.quantiles(numbers, n=4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="timed steps of each side in each case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="run the cases whose `family method` contains this")
    parser.add_argument("--out", help="result file to write")
    settings = parser.parse_args()
    import peft
    import transformers

    torch.set_num_threads(settings.threads)
    print(f"{'':20} {'minipeft ms':>12} {'peft ms':>9} {'ratio (quartiles)':>22} {'MiB':>7} {'peft':>7} {'ratio':>6}")
    results = []
    for family, method in CASES:
        if settings.only in f"{family} {method}":
            row = measure(family, method, settings.rounds)
            ours, theirs = (row["milliseconds"][name][1] for name in ("minipeft", "peft"))
            low, middle, high = row["time_ratio"]
            mib = "{minipeft:7.1f} {peft:7.1f}".format(**row["peak_mib"])
            ratio = f"{middle:.2f} ({low:.2f}-{high:.2f})"
            print(f"{family + ' ' + method:20} {ours:12.1f} {theirs:9.1f} {ratio:>22} {mib} {row['memory_ratio']:6.2f}")
            results.append(row)
    if settings.out:
        versions = {"transformers": transformers.__version__, "peft": peft.__version__}
        command = f"python tests/benchmarks/benchmark_step_time.py --rounds {settings.rounds}"
        run = {"command": f"{command} --threads {settings.threads} --out {settings.out}", **provenance(), **versions}
        write_json(settings.out, {**run, "rows": ROWS, "source": SOURCE, "target": TARGET, "results": results})


@pytest.mark.benchmark
@pytest.mark.parametrize(("family", "method"), CASES)
def test_a_step_takes_at_most_four_fifths_of_the_time_of_transformers_and_peft(family, method):
    pytest.importorskip("peft", reason="needs minipeft[parity]")
    torch.set_num_threads(1)
    assert measure(family, method, rounds=9)["time_ratio"][1] <= 0.8


if __name__ == "__main__":
    main()
