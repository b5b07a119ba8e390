"""DoRA, PiSSA, VeRA, OFT and AdaLoRA against peft's, the same numbers in both: logits, loss, gradients of one step.

AdaLoRA also: peft's form of the penalty, its budget at every step, and its choice of triplets after a few steps.
"""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
peft = pytest.importorskip("peft", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from test_peft_methods import pair, random_batch, their_answer  # noqa: E402
from test_peft_rescaling import assert_same_to_five_digits  # noqa: E402

from minipeft.methods.low_rank.adalora import AdaLoRA, AdaLoRALinear  # noqa: E402
from minipeft.methods.low_rank.dora import DoRA, DoRALinear  # noqa: E402
from minipeft.methods.low_rank.pissa import PiSSA, PiSSALinear  # noqa: E402
from minipeft.methods.low_rank.rank_budget import Schedule, keep_best  # noqa: E402
from minipeft.methods.low_rank.vera import VeRA, VeRALinear  # noqa: E402
from minipeft.methods.multiplicative.oft import OFT, OFTLinear  # noqa: E402

FAMILIES = pytest.mark.parametrize("family", ["t5", "gpt2"])
THEIR_TARGETS = {"t5": ["q", "v"], "gpt2": ["c_proj"]}  # c_proj: the outputs of attention and feed-forward
OUR_TARGETS = {"t5": ("query", "value"), "gpt2": ("output", "down")}


def both(family, folder, method, kind, config, mark):
    """Our model with `method`, peft's with `config`, and the layers of both in pairs; `mark` names theirs."""
    ours, theirs = pair(family, folder, config)
    method.attach(ours)
    our_layers = [module for module in ours.modules() if isinstance(module, kind)]
    their_layers = [module for module in theirs.modules() if hasattr(module, mark)]
    assert len(our_layers) == len(their_layers) == (16 if family == "t5" else 6)
    return ours, theirs, list(zip(our_layers, their_layers, strict=True))


@FAMILIES
def test_dora_agrees_with_peft(family, tmp_path):
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=THEIR_TARGETS[family], use_dora=True)
    method = DoRA(rank=3, alpha=5, targets=OUR_TARGETS[family])
    ours, theirs, layers = both(family, tmp_path, method, DoRALinear, config, "lora_magnitude_vector")

    def pairs():
        for our, their in layers:
            yield our.A, their.lora_A["default"].weight
            yield our.B, their.lora_B["default"].weight
            yield our.magnitude, their.lora_magnitude_vector["default"].weight

    for our, their in pairs():
        our.data.copy_(their.data)
    assert_same_to_five_digits(family, ours, theirs, lambda: [(our.grad, their.grad) for our, their in pairs()])


@FAMILIES
def test_pissa_agrees_with_peft(family, tmp_path):
    """peft writes the residual into the base: it starts from the same plain weights and splits them itself."""
    targets = THEIR_TARGETS[family]
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, init_lora_weights="pissa")
    method = PiSSA(rank=3, alpha=5, targets=OUR_TARGETS[family])
    ours, theirs, layers = both(family, tmp_path, method, PiSSALinear, config, "lora_A")

    def pairs():
        for our, their in layers:
            yield our.A, their.lora_A["default"].weight
            yield our.B, their.lora_B["default"].weight

    for our, their in pairs():
        our.data.copy_(their.data)
    assert_same_to_five_digits(family, ours, theirs, lambda: [(our.grad, their.grad) for our, their in pairs()])


def test_pissa_starts_with_pefts_matrices():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(9, 7))
    ours = PiSSALinear(model[0], rank=3, alpha=5.0)
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["0"], init_lora_weights="pissa")
    their = peft.get_peft_model(model, config).base_model.model[0]
    # Singular vectors are known up to their sign, the same in both.
    a, b = their.lora_A["default"].weight.detach(), their.lora_B["default"].weight.detach()
    signs = (ours.A.detach() * a).sum(1).sign()
    torch.testing.assert_close(ours.A.detach(), signs[:, None] * a, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.B.detach(), b * signs, rtol=1e-5, atol=1e-6)


@FAMILIES
def test_vera_agrees_with_peft_and_draws_the_same_matrices(family, tmp_path):
    config = peft.VeraConfig(r=6, target_modules=THEIR_TARGETS[family], projection_prng_key=3)
    method = VeRA(rank=6, targets=OUR_TARGETS[family], seed=3)
    ours, theirs, layers = both(family, tmp_path, method, VeRALinear, config, "vera_lambda_d")
    for our, their in layers:
        torch.testing.assert_close(our.shared.A, their.vera_A["default"])
        torch.testing.assert_close(our.shared.B, their.vera_B["default"])

    def pairs():
        for our, their in layers:
            yield our.d, their.vera_lambda_d["default"]
            yield our.b, their.vera_lambda_b["default"]

    for our, their in pairs():
        our.data.copy_(their.data)
    assert_same_to_five_digits(family, ours, theirs, lambda: [(our.grad, their.grad) for our, their in pairs()])


def test_oft_agrees_with_peft(tmp_path):
    """peft's Q has the other sign, and its exact Cayley formula must be asked for; it knows no Conv1D: no GPT-2."""
    config = peft.OFTConfig(r=0, oft_block_size=4, target_modules=["q", "v"], use_cayley_neumann=False)
    method = OFT(block_size=4, targets=("query", "value"))
    ours, theirs, layers = both("t5", tmp_path, method, OFTLinear, config, "oft_R")
    for our, their in layers:
        our.skew.data.copy_(-their.oft_R["default"].weight.data)
    assert_same_to_five_digits(
        "t5", ours, theirs, lambda: [(our.skew.grad, -their.oft_R["default"].weight.grad) for our, their in layers]
    )


def adalora_pair(family, folder, penalty=0.0):
    """Ours and peft's AdaLoRA with the same numbers, and the pairs of their parameters."""
    config = peft.AdaLoraConfig(
        init_r=4, target_r=2, lora_alpha=5, target_modules=THEIR_TARGETS[family], tinit=3, tfinal=4, deltaT=2,
        total_step=20, orth_reg_weight=penalty,
    )  # fmt: skip
    # peft divides alpha by the rank plus 1e-5.
    method = AdaLoRA(
        rank=4, target_rank=2, alpha=5 * 4 / (4 + 1e-5), targets=OUR_TARGETS[family], orthogonality=0.0,
        warmup=3 / 20, final=4 / 20, interval=2,
    )  # fmt: skip
    ours, theirs, layers = both(family, folder, method, AdaLoRALinear, config, "lora_E")
    pairs = []
    for our, their in layers:
        pairs += [(our.P, their.lora_B["default"]), (our.Q, their.lora_A["default"])]
        pairs.append((our.lam, their.lora_E["default"]))
    for our, their in pairs:
        our.data.copy_(their.data.reshape(our.shape))
    return method, ours, theirs, layers, pairs


@FAMILIES
def test_adalora_agrees_with_peft(family, tmp_path):
    _, ours, theirs, _, pairs = adalora_pair(family, tmp_path)
    assert_same_to_five_digits(
        family, ours, theirs, lambda: [(our.grad, their.grad.reshape(our.shape)) for our, their in pairs]
    )


def test_pefts_penalty_is_the_mean_of_the_unsquared_gram_errors(tmp_path):
    method, _, theirs, _, _ = adalora_pair("t5", tmp_path, penalty=0.7)
    batch = random_batch()
    with_penalty = their_answer("t5", theirs.base_model, batch)[0]  # without a task type the outer model leaves it out
    penalty = with_penalty - their_answer("t5", theirs.base_model.model, batch)[0]
    ours = torch.stack([error.norm() for _, layer in method.layers() for error in layer.gram_errors()]).mean()
    torch.testing.assert_close(0.7 * ours, penalty, rtol=1e-5, atol=1e-5)


def test_the_budget_of_every_step_is_pefts(tmp_path):
    _, _, theirs, layers, _ = adalora_pair("gpt2", tmp_path)
    allocator, schedule = theirs.base_model.rankallocator, Schedule(warmup=3 / 20, final=4 / 20, interval=2)
    first, last = 4 * len(layers), 2 * len(layers)
    assert (allocator.init_bgt, allocator.target_bgt) == (first, last)
    expected = [allocator.budget_schedule(step)[0] for step in range(21)]
    assert [schedule.budget(step, 20, first, last) for step in range(21)] == expected and len(set(expected)) > 5
    middle = range(4, 16)  # peft prunes once more where the final phase begins, and so do we
    assert [schedule.prunes(step, 20) for step in middle] == [allocator.budget_schedule(step)[1] for step in middle]


@FAMILIES
def test_importance_and_choice_after_a_few_steps_are_pefts(family, tmp_path):
    """Both are told of the gradients before the update: peft's own loop would tell it after."""
    method, ours, theirs, layers, pairs = adalora_pair(family, tmp_path)
    allocator, batch = theirs.base_model.rankallocator, random_batch()
    optimizers = [torch.optim.SGD([pair[side] for pair in pairs], lr=0.1) for side in (0, 1)]
    for _ in range(4):
        for optimizer in optimizers:
            optimizer.zero_grad()
        ours.loss(batch).backward()
        their_answer(family, theirs, batch)[0].backward()
        method.importance.update(method.named_parameters())
        allocator.update_ipt(theirs.base_model.model)
        for optimizer in optimizers:
            optimizer.step()
    budget = 2 * len(layers) + 3
    keep_best(method.layers(), method.importance, budget)
    pattern = allocator.mask_to_budget(theirs.base_model.model, budget)
    names = {module: name for name, module in theirs.base_model.model.named_modules()}
    chosen = [pattern[f"{names[their]}.lora_E.default"] for _, their in layers]
    assert [layer.kept.tolist() for layer, _ in layers] == chosen
    assert sum(map(sum, chosen)) == budget and len({sum(kept) for kept in chosen}) > 1
    for (path, _), (_, their) in zip(method.layers(), layers, strict=True):
        for ours_name, theirs_name in (("P", "lora_B"), ("lam", "lora_E"), ("Q", "lora_A")):
            score = method.importance.score(f"{path}.{ours_name}")
            expected = allocator._element_score(f"{names[their]}.{theirs_name}.default").reshape(score.shape)
            torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-4 * float(expected.max()))
