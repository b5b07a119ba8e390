"""Other right answers to the exercises of chapter 14, each put behind the solution: all must pass."""

RIGHT = {
    "nf4_levels": [
        """
def nf4_levels(bits=4):
    n = 2**bits
    out = ((1 - 1 / (2 * n - 2)) + (1 - 1 / (2 * n))) / 2
    below = [0.5 + (0.5 - out) * k / (n // 2 - 1) for k in range(n // 2 - 1, 0, -1)]
    above = [0.5 + (out - 0.5) * k / (n // 2) for k in range(0, n // 2 + 1)]
    levels = torch.special.ndtri(torch.tensor(below + above, dtype=torch.float64))
    return levels / levels[-1]
""",
        """
from statistics import NormalDist

def nf4_levels(bits=4):
    n = 2**bits
    out = 1 - 1 / (4 * n) - 1 / (4 * n - 4)
    q = NormalDist().inv_cdf
    up = [q(0.5 + (out - 0.5) * k / (n // 2)) for k in range(1, n // 2 + 1)]
    down = [-q(0.5 + (out - 0.5) * k / (n // 2 - 1)) for k in range(1, n // 2)]
    return torch.tensor([value / up[-1] for value in sorted(down + [0.0] + up)])
""",
    ],
    "quantize_blocks": [
        """
def quantize_blocks(values, levels, block_size):
    edges = (levels[1:] + levels[:-1]) / 2
    codes, absmax = torch.zeros(len(values), dtype=torch.int32), []
    for start in range(0, len(values), block_size):
        block = values[start : start + block_size]
        absmax.append(block.abs().max())
        scaled = block / absmax[-1] if absmax[-1] > 0 else block
        codes[start : start + len(block)] = torch.bucketize(scaled, edges).int()
    return codes, torch.stack(absmax)
""",
        """
def quantize_blocks(values, levels, block_size):
    blocks = -(-len(values) // block_size)
    padded = torch.zeros(blocks * block_size, dtype=values.dtype)
    padded[: len(values)] = values
    padded = padded.view(blocks, block_size)
    absmax = padded.abs().amax(1)
    scaled = padded / torch.where(absmax > 0, absmax, 1.0)[:, None]
    codes = (scaled[..., None] - levels).square().argmin(-1)
    return [codes.view(-1)[: len(values)], torch.nn.Parameter(absmax)]
""",
    ],
    "pack": [
        """
def pack(codes):
    codes = codes.to(torch.uint8)
    if len(codes) % 2:
        codes = torch.cat([codes, torch.tensor([7], dtype=torch.uint8)])
    return codes[0::2] | codes[1::2] * 16
""",
        """
def pack(codes):
    numbers = codes.tolist() + [7] * (len(codes) % 2)
    return torch.tensor([low + (high << 4) for low, high in zip(numbers[::2], numbers[1::2])], dtype=torch.uint8)
""",
    ],
    "qlora_output": [
        """
def qlora_output(x, codes, absmax, A, B, alpha):
    W = dequantize(codes, absmax, (B.size(0), A.size(1)), "nf4", 64, x.dtype)
    return torch.nn.functional.linear(x, W) + torch.nn.functional.linear(x @ A.T, B) * (alpha / A.size(0))
""",
        """
def qlora_output(x, codes, absmax, A, B, alpha):
    W = dequantize(codes, absmax, (len(B), len(A[0])), "nf4", 64, x.dtype)
    return (W @ x.mT + alpha / len(A) * B @ (A @ x.mT)).mT
""",
    ],
    "check_round_trip": [
        """
def check_round_trip(round_trip):
    torch.manual_seed(3)
    for size in (16, 64):
        values = torch.cat([torch.randn(size), 30 * torch.randn(size), torch.zeros(size), -torch.rand(size // 2)])
        values[5::11] = 0
        out = round_trip(values.clone(), size)
        assert out.shape == values.shape
        for old, new in zip(values.split(size), out.split(size)):
            assert ((old - new).abs() <= 0.15191 * old.abs().max() + 1e-7).all()
            assert len(set(new.tolist())) <= 16
            assert (new[old == 0] == 0).all()
        torch.testing.assert_close(round_trip(out.clone(), size), out)
""",
        """
def check_round_trip(round_trip):
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(100, generator=generator) * 10 ** torch.randn(100, generator=generator)
        values[torch.rand(100, generator=generator) < 0.2] = 0.0
        once = round_trip(values.clone(), 32)
        twice = round_trip(once.clone(), 32)
        if not torch.allclose(once, twice, rtol=1e-5, atol=0):
            raise AssertionError("twice")
        for start in range(0, 100, 32):
            block, kept = values[start : start + 32], once[start : start + 32]
            worst = (block - kept).abs().max()
            assert worst <= 0.152 * block.abs().max()
            assert kept.unique().numel() < 17
            assert not kept[block == 0].any()
""",
    ],
    "nf4_bytes": ["NF4_BYTES = 32 * (4 * 4096**2 + 3 * 4096 * 11008) * 9 / 16 + 2 * (2 * 32000 * 4096 + 65 * 4096)",
                  "import numpy\nNF4_BYTES = numpy.int64(NF4_BYTES)"],
    "double_nf4_bytes": ["DOUBLE_NF4_BYTES = float(DOUBLE_NF4_BYTES)",
                         "from fractions import Fraction\nDOUBLE_NF4_BYTES = Fraction(DOUBLE_NF4_BYTES)"],
    "lora_state_bytes": ["LORA_STATE_BYTES = 4 * 4 * 64 * 32 * (8 * 4096 + 3 * 15104)",
                         "LORA_STATE_BYTES = torch.tensor(LORA_STATE_BYTES)"],
    "merge_requantized": [
        """
def merge_requantized(codes, absmax, A, B, alpha):
    total = torch.addmm(dequantize(codes, absmax, (len(B), A.shape[1])), B, A, alpha=alpha / len(A))
    new_codes, new_absmax = quantize(total)
    lost = dequantize(new_codes, new_absmax, total.shape) - total
    return new_codes, new_absmax, torch.linalg.norm(lost) / torch.linalg.norm(total)
""",
        """
def merge_requantized(codes, absmax, A, B, alpha):
    total = dequantize(codes, absmax, (len(B), A.shape[1])).double() + alpha / len(A) * (B.double() @ A.double())
    new = quantize(total.float())
    lost = dequantize(*new, total.shape).double() - total
    return [*new, float(lost.square().sum() / total.square().sum()) ** 0.5]
""",
    ],
}  # fmt: skip
