"""(IA)3 and norm tuning against peft's, the same numbers in both: logits, loss and the gradients of one step."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
peft = pytest.importorskip("peft", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from test_peft_methods import pair, random_batch, their_answer  # noqa: E402

from minipeft.methods.multiplicative.ia3 import IA3, ScaledInput, ScaledOutput  # noqa: E402
from minipeft.methods.selective.norm_tuning import NormTuning  # noqa: E402
from minipeft.transformer.normalization import RMSNorm  # noqa: E402


def assert_same_to_five_digits(family, ours, theirs, pairs):
    """Same logits, loss and gradients of each (our tensor, their tensor)."""
    batch = random_batch()
    loss, logits = their_answer(family, theirs, batch)
    assert float((ours(batch) - logits).abs().max()) < 1e-5 * float(logits.abs().max())
    torch.testing.assert_close(ours.loss(batch), loss, rtol=1e-5, atol=0)
    loss.backward()
    ours.loss(batch).backward()
    largest = max(float(their.abs().max()) for _, their in pairs())
    assert largest > 0.01
    for our, their in pairs():
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_ia3_agrees_with_peft(family, tmp_path):
    names = {"t5": (["k", "v", "wo"], ["wo"]), "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"])}
    config = peft.IA3Config(target_modules=names[family][0], feedforward_modules=names[family][1])
    ours, theirs = pair(family, tmp_path, config)
    # GPT-2's query, key and value are one layer there, so the query is scaled too.
    IA3(targets=("key", "value") if family == "t5" else ("query", "key", "value")).attach(ours)
    their_layers = [module for module in theirs.modules() if hasattr(module, "ia3_l")]
    our_layers = [module for module in ours.modules() if isinstance(module, ScaledInput | ScaledOutput)]
    parts = [3 if family == "gpt2" and number % 2 == 0 else 1 for number in range(len(their_layers))]
    groups = [[our_layers.pop(0) for _ in range(part)] for part in parts]
    assert not our_layers and len(groups) == (2 * 3 + 3 * 5 if family == "t5" else 2 * 3)
    places = []
    for group, their in zip(groups, their_layers, strict=True):
        start = 0
        for layer in group:
            places.append((layer.scale, their.ia3_l["default"], slice(start, start + layer.scale.numel())))
            start += layer.scale.numel()
        assert start == their.ia3_l["default"].numel()
    for scale, vector, place in places:
        scale.data.copy_(vector.data.flatten()[place])

    def gradients():
        return [(scale.grad, vector.grad.flatten()[place]) for scale, vector, place in places]

    assert_same_to_five_digits(family, ours, theirs, gradients)


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_norm_tuning_agrees_with_pefts_layer_norm_tuning(family, tmp_path):
    names = {"t5": ["layer_norm", "final_layer_norm"], "gpt2": ["ln_1", "ln_2", "ln_f"]}
    ours, theirs = pair(family, tmp_path, peft.LNTuningConfig(target_modules=names[family]))
    method = NormTuning()
    method.attach(ours)
    our_norms = [module for module in ours.modules() if isinstance(module, RMSNorm | torch.nn.LayerNorm)]
    their_norms = [module for module in theirs.modules() if hasattr(module, "ln_tuning_layers")]
    pairs = []
    for our, their in zip(our_norms, their_norms, strict=True):
        their = their.ln_tuning_layers["default"]
        pairs += [(getattr(our, name), weight) for name, weight in their.named_parameters()]
    assert len(pairs) == len(method.named_parameters()) == (2 * 2 + 3 * 3 + 2 if family == "t5" else 2 * 7)
    for our, their in pairs:
        our.data.copy_(their.data)
    assert_same_to_five_digits(family, ours, theirs, lambda: [(our.grad, their.grad) for our, their in pairs])
