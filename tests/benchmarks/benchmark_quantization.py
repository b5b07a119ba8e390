"""Time of 4-bit weights in pure PyTorch: minipeft against bitsandbytes' CPU kernels.

Both work on the same matrix in one process, by turns, in one thread, and give the same bits. What is counted is the
processor's time, so that other programs on the machine do not count.

    quantize      the matrix in float32 into codes and absmax, with double quantization
    dequantize    back, with double quantization
    linear 1      the product of one vector with the layer: almost all of it is writing the weight out
    linear 64     of 64 vectors: most of it is the product itself

    python tests/benchmarks/benchmark_quantization.py --out tests/benchmarks/quantization.json
"""

import argparse
import statistics
import time

import pytest
import torch
from torch import nn

from minipeft.files import write_json
from minipeft.provenance import provenance
from minipeft.quantization.blockwise import dequantize, quantize
from minipeft.quantization.double_quantization import compress, restore
from minipeft.quantization.linear import QuantizedLinear

SIDES = ("minipeft", "bitsandbytes")


def quantize_both_ways(plain: nn.Linear) -> dict:
    """What is to be timed: the functions of each case, one for each side."""
    import bitsandbytes

    theirs, shape, size = bitsandbytes.functional, plain.weight.shape, plain.in_features

    def ours_quantized():
        codes, absmax = quantize(plain.weight)
        return codes, *compress(absmax)

    def theirs_quantized():
        return theirs.quantize_4bit(plain.weight, blocksize=64, quant_type="nf4", compress_statistics=True)

    ours, other = ours_quantized(), theirs_quantized()
    layer = QuantizedLinear(plain, "nf4", double_quantization=True)
    their_layer = bitsandbytes.nn.Linear4bit(size, size, compute_dtype=torch.float32, quant_type="nf4")
    their_layer.load_state_dict(plain.state_dict())
    their_layer = their_layer.to("cpu")
    # Without `eval()`: in evaluation they change the layout on some processors, and no longer give the same bits.
    one, many = torch.randn(1, size), torch.randn(64, size)
    return {
        "quantize": (ours_quantized, theirs_quantized),
        "dequantize": (
            lambda: dequantize(ours[0], restore(*ours[1:]), shape),
            lambda: theirs.dequantize_4bit(*other),
        ),
        "linear 1": (lambda: layer(one), lambda: their_layer(one)),
        "linear 64": (lambda: layer(many), lambda: their_layer(many)),
    }


@torch.no_grad()
def measure(size: int, rounds: int) -> list[dict]:
    """For each case the quartiles of milliseconds on both sides and of their ratio, taken round by round."""
    torch.manual_seed(0)
    plain = nn.Linear(size, size)
    results = []
    for case, runs in quantize_both_ways(plain).items():
        first = [run() for run in runs]
        same = torch.equal(first[0][0], first[1][0].view(-1)) if case == "quantize" else torch.equal(*first)
        if not same:
            raise RuntimeError(f"The two sides do not give the same bits in {case!r}.")
        seconds = {side: [] for side in SIDES}
        for number in range(rounds):
            order = list(zip(SIDES, runs, strict=True))
            for side, run in order[:: -1 if number % 2 else 1]:  # who goes first changes, as caches and clocks drift
                start = time.process_time()
                run()
                seconds[side].append(time.process_time() - start)
        ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)]
        milliseconds = {side: quartiles([1000 * second for second in taken]) for side, taken in seconds.items()}
        results.append({"case": case, "milliseconds": milliseconds, "time_ratio": quartiles(ratios)})
    return results


def quartiles(numbers: list[float]) -> list[float]:
    """First quartile, median and third quartile."""
    return [round(number, 4) for number in statistics.quantiles(numbers, n=4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="rows and columns of the matrix")
    parser.add_argument("--rounds", type=int, default=10, help="timed runs of each side in each case")
    parser.add_argument("--out", help="result file to write")
    settings = parser.parse_args()
    import bitsandbytes

    torch.set_num_threads(1)
    print(f"{'':12} {'minipeft ms':>12} {'bitsandbytes ms':>16} {'ratio (quartiles)':>20}")
    results = measure(settings.size, settings.rounds)
    for row in results:
        ours, theirs = (row["milliseconds"][side][1] for side in SIDES)
        low, middle, high = row["time_ratio"]
        print(f"{row['case']:12} {ours:12.1f} {theirs:16.1f} {f'{middle:.2f} ({low:.2f}-{high:.2f})':>20}")
    if settings.out:
        command = f"python tests/benchmarks/benchmark_quantization.py --size {settings.size} --rounds {settings.rounds}"
        run = {"command": f"{command} --out {settings.out}", **provenance()}
        write_json(
            settings.out, {**run, "bitsandbytes": bitsandbytes.__version__, "size": settings.size, "results": results}
        )


@pytest.mark.benchmark
def test_pure_pytorch_takes_at_most_half_as_long_again_as_the_kernels():
    pytest.importorskip("bitsandbytes", reason="needs minipeft[parity]")
    torch.set_num_threads(1)
    for row in measure(4096, rounds=9):
        assert row["time_ratio"][1] <= 1.5, row


if __name__ == "__main__":
    main()
