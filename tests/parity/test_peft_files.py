"""Adapter folders there and back: what peft computes with a folder of ours, and what ours computes with one of peft's.

Every trained number is random, so that nothing is at its start; sizes are odd, rank and alpha differ.
"""

import json
import warnings
from importlib.util import find_spec

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
peft = pytest.importorskip("peft", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from test_peft_methods import random_batch, their_answer, their_model  # noqa: E402

import minipeft  # noqa: E402
from minipeft.methods.low_rank.adalora import AdaLoRA  # noqa: E402
from minipeft.methods.low_rank.dora import DoRA  # noqa: E402
from minipeft.methods.low_rank.lora import LoRA  # noqa: E402
from minipeft.methods.low_rank.lora_plus import LoRAPlus  # noqa: E402
from minipeft.methods.low_rank.pissa import PiSSA  # noqa: E402
from minipeft.methods.low_rank.rslora import RSLoRA  # noqa: E402
from minipeft.methods.low_rank.vera import VeRA  # noqa: E402
from minipeft.methods.multiplicative.ia3 import IA3  # noqa: E402
from minipeft.methods.prompts.prefix_tuning import PrefixTuning  # noqa: E402
from minipeft.methods.prompts.prompt_tuning import PromptTuning  # noqa: E402
from minipeft.transformer.hugging_face import from_hugging_face  # noqa: E402

EVERYWHERE = ("*blocks.*",)
PATTERN = {"value": 2, "decoder.blocks.0.*": 4}
WRITTEN = {
    "lora everywhere": (LoRA(3, 5, EVERYWHERE), "t5 gpt2 llama"),
    "lora on query and value": (LoRA(3, 5, ("query", "value")), "t5 gpt2 llama"),
    "lora on some layers": (LoRA(3, 5, ("decoder.blocks.1.attention.*", "decoder.blocks.*.down")), "t5 gpt2 llama"),
    "lora with a rank pattern": (LoRA(3, 5, EVERYWHERE, rank_pattern=PATTERN), "t5 gpt2 llama"),
    "lora on the head": (LoRA(3, 5, ("head", "value")), "t5 gpt2 llama"),
    "rslora": (RSLoRA(3, 5, EVERYWHERE), "t5 gpt2 llama"),
    "rslora with a rank pattern": (RSLoRA(3, 5, EVERYWHERE, rank_pattern=PATTERN), "t5 gpt2 llama"),
    "lora_plus": (LoRAPlus(3, 5, ("key", "output")), "t5 gpt2 llama"),
    "dora everywhere": (DoRA(3, 5, EVERYWHERE), "t5 gpt2 llama"),
    "dora on query and value": (DoRA(3, 5, ("query", "value")), "t5 gpt2 llama"),
    "pissa": (PiSSA(3, 5, ("query", "value", "down")), "t5 gpt2 llama"),
    "ia3": (IA3(), "t5 gpt2 llama"),
    "ia3 of other layers": (IA3(("query", "down"), ("output",)), "t5 gpt2 llama"),
    "vera": (VeRA(6, ("output", "up", "down"), seed=3), "t5 gpt2 llama"),
    "vera everywhere": (VeRA(6, EVERYWHERE, seed=3), "t5 llama"),
    "adalora": (AdaLoRA(4, 2, 5, EVERYWHERE), "t5 gpt2 llama"),
    "adalora on query and value": (AdaLoRA(4, 2, 5, ("query", "value", "down")), "t5 gpt2 llama"),
    "prompt": (PromptTuning(4, init="uniform"), "t5 gpt2 llama"),
    "prefix": (PrefixTuning(4, reparametrise=False), "gpt2 llama"),
    "prefix by a network": (PrefixTuning(4, inner=9), "gpt2 llama"),
}
QV = {"t5": ["q", "v"], "gpt2": ["c_attn"], "llama": ["q_proj", "v_proj"]}
PROJECTIONS = {"t5": ["o", "wo", "wi_0"], "gpt2": ["c_proj", "c_fc"], "llama": ["o_proj", "down_proj", "gate_proj"]}
IA3_NAMES = {
    "t5": (["k", "v", "wo"], ["wo"]),
    "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"]),
    "llama": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
}
PATTERNS = {
    "t5": dict(rank_pattern={"wo": 2, "decoder.block.0.layer.0.SelfAttention.v": 5}, alpha_pattern={"v": 2}),
    "gpt2": dict(rank_pattern={"mlp.c_proj": 2, r"^transformer\.h\.1\.attn\.c_attn": 5}, alpha_pattern={"c_attn": 2}),
    "llama": dict(rank_pattern={"down_proj": 2, "model.layers.1.self_attn.v_proj": 5}, alpha_pattern={"v_proj": 2}),
}
EXPRESSIONS = {"t5": r".*decoder.*\.(q|v)", "gpt2": r".*1\.attn\.c_\w+", "llama": r".*1\.self_attn\.\w+"}

ALL = {family: QV[family] + PROJECTIONS[family] for family in QV}


def lora(names=ALL, **told):
    return lambda family: peft.LoraConfig(r=3, lora_alpha=5, target_modules=names[family], **told)


READ = {
    "lora": (lora(lora_dropout=0.1, task_type="CAUSAL_LM"), "t5 gpt2 llama"),
    "lora on what peft takes by itself": (lora(QV), "t5 gpt2 llama"),
    "lora by a regular expression": (lora(EXPRESSIONS), "t5 gpt2 llama"),
    "lora on all linear layers": (lora(dict.fromkeys(ALL, "all-linear")), "t5 gpt2 llama"),
    "lora on one layer": (lora(layers_to_transform=[1], exclude_modules=["v"]), "t5 gpt2 llama"),
    "lora with patterns": (lambda family: lora(**PATTERNS[family])(family), "t5 gpt2 llama"),
    "rslora with patterns": (lambda family: lora(**PATTERNS[family], use_rslora=True)(family), "t5 gpt2 llama"),
    "rslora": (lora(use_rslora=True), "t5 gpt2 llama"),
    "dora": (lora(use_dora=True), "t5 gpt2 llama"),
    "dora with patterns": (lambda family: lora(**PATTERNS[family], use_dora=True)(family), "t5 gpt2 llama"),
    "dora by rslora": (lora(use_dora=True, use_rslora=True), "t5 gpt2 llama"),
    "pissa": (lora(PROJECTIONS, init_lora_weights="pissa"), "t5 gpt2 llama"),
    "ia3": (
        lambda f: peft.IA3Config(target_modules=IA3_NAMES[f][0], feedforward_modules=IA3_NAMES[f][1]),
        "t5 gpt2 llama",
    ),
    "ia3 by regular expressions": (
        lambda family: peft.IA3Config(
            target_modules=r".*(q|wo|c_attn|[oq]_proj)", feedforward_modules=r".*(q|c_attn|q_proj)"
        ),
        "t5 gpt2 llama",
    ),
    "vera": (lambda f: peft.VeraConfig(r=6, target_modules=PROJECTIONS[f], projection_prng_key=3), "t5 gpt2 llama"),
    "vera without its projections": (
        lambda family: peft.VeraConfig(r=6, target_modules=PROJECTIONS[family], save_projection=False),
        "t5 gpt2 llama",
    ),
    "adalora": (
        lambda f: peft.AdaLoraConfig(init_r=4, target_r=2, lora_alpha=5, target_modules=ALL[f], total_step=20, tinit=2),
        "t5 gpt2 llama",
    ),
    "prompt": (
        lambda family: peft.PromptTuningConfig(
            task_type="SEQ_2_SEQ_LM" if family == "t5" else "CAUSAL_LM", num_virtual_tokens=4
        ),
        "t5 gpt2 llama",
    ),
    "prefix": (lambda family: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), "gpt2 llama"),
    "prefix by a network": (
        lambda family: peft.PrefixTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=9
        ),
        "gpt2 llama",
    ),
}


LLAMA = dict(
    vocab_size=41, hidden_size=24, num_attention_heads=6, num_key_value_heads=3, num_hidden_layers=3,
    intermediate_size=22, max_position_embeddings=50, bos_token_id=1, eos_token_id=1, pad_token_id=0,
)  # fmt: skip
KINDS = {
    "t5": transformers.T5ForConditionalGeneration,
    "gpt2": transformers.GPT2LMHeadModel,
    "llama": transformers.LlamaForCausalLM,
}
HERE = [family for family in KINDS if family != "llama" or find_spec("minipeft.transformer.llama")]


def cases(table):
    return [(name, family) for name, (_, families) in table.items() for family in families.split() if family in HERE]


@pytest.fixture
def base(tmp_path):
    """Of a family the folder, and the plain model that transformers reads from it."""

    def make(family):
        (small_llama() if family == "llama" else their_model(family)).save_pretrained(tmp_path / "base")
        return tmp_path / "base", KINDS[family].from_pretrained(tmp_path / "base").eval()

    return make


def small_llama():
    """Random weights, and two heads of queries to one of keys and values."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model


@torch.no_grad()
def move(parameters):
    """As if they had been trained. Larger steps make the models so wild that the last bit of a number shows."""
    torch.manual_seed(1)
    for parameter in parameters:
        parameter.add_(0.15 * torch.randn_like(parameter))


def their_logits(family, model, batch):
    """Without labels: a loss makes peft look for AdaLoRA's penalty, which what it has loaded does not have."""
    if family != "t5":
        ids = torch.cat([batch.source, batch.target], 1)
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -5:-1]
    written = torch.cat([torch.zeros_like(batch.target[:, :1]), batch.target[:, :-1]], 1)
    mask = torch.ones_like(batch.source)
    return model(input_ids=batch.source, attention_mask=mask, decoder_input_ids=written).logits


@torch.no_grad()
def assert_same_logits(family, ours, theirs, plain):
    """The logits of both to 1e-5 of the largest, and far from those of the `plain` base."""
    batch = random_batch()
    expected, found, before = their_logits(family, theirs, batch), ours(batch), plain(batch)
    largest = float(expected.abs().max())
    assert float((found - expected).abs().max()) < 1e-5 * largest
    assert float((found - before).abs().max()) > 1e-2 * largest


def loaded_by_peft(model, folder):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing.*|.*[Uu]nexpected.*")
        return peft.PeftModel.from_pretrained(model, folder).eval()


@pytest.mark.parametrize("name, family", cases(WRITTEN))
def test_peft_computes_what_ours_does(name, family, base, tmp_path):
    folder, theirs = base(family)
    ours, (method, _) = from_hugging_face(folder), WRITTEN[name]
    torch.manual_seed(0)
    method.attach(ours)
    move(method.named_parameters().values())
    minipeft.save_peft_adapter(tmp_path / "adapter", ours, method)
    theirs = loaded_by_peft(theirs, tmp_path / "adapter")
    assert_same_logits(family, ours, theirs, from_hugging_face(folder))
    again = from_hugging_face(folder)
    minipeft.load_peft_adapter(tmp_path / "adapter", again)
    assert_same_logits(family, again, theirs, from_hugging_face(folder))
    method.detach()


def randomised(config, model, folder):
    """peft's model with every trained number random, saved to `folder`."""
    theirs = peft.get_peft_model(model, config).eval()
    move(parameter for parameter in theirs.parameters() if parameter.requires_grad)
    theirs.save_pretrained(folder)
    return theirs


@pytest.mark.parametrize("name, family", cases(READ))
def test_ours_computes_what_peft_does(name, family, base, tmp_path):
    folder, theirs = base(family)
    theirs = randomised(READ[name][0](family), theirs, tmp_path / "adapter")
    ours = from_hugging_face(folder)
    minipeft.load_peft_adapter(tmp_path / "adapter", ours)
    assert_same_logits(family, ours, theirs, from_hugging_face(folder))


@pytest.mark.parametrize("start", [False, "gaussian", "eva"])
def test_how_peft_began_does_not_count_where_it_leaves_the_base_as_it_is(start, base, tmp_path):
    folder, theirs = base("t5")
    randomised(lora()("t5"), theirs, tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(
        json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"init_lora_weights": start}), encoding="utf-8"
    )
    ours = from_hugging_face(folder)
    minipeft.load_peft_adapter(tmp_path / "adapter", ours)
    assert_same_logits("t5", ours, loaded_by_peft(base("t5")[1], tmp_path / "adapter"), from_hugging_face(folder))


def test_pissa_as_peft_converts_it_is_a_lora(base, tmp_path):
    folder, model = base("gpt2")
    theirs = peft.get_peft_model(model, lora(ALL, init_lora_weights="pissa")("gpt2")).eval()
    theirs.save_pretrained(tmp_path / "start")
    move(parameter for parameter in theirs.parameters() if parameter.requires_grad)
    theirs.save_pretrained(tmp_path / "adapter", path_initial_model_for_weight_conversion=tmp_path / "start")
    ours = from_hugging_face(folder)
    method = minipeft.load_peft_adapter(tmp_path / "adapter", ours)
    assert (method.name, method.rank, method.alpha) == ("lora", 6, 10)
    assert_same_logits("gpt2", ours, theirs, from_hugging_face(folder))


FAMILIES = pytest.mark.parametrize("family", HERE)


@FAMILIES
def test_adalora_that_peft_has_pruned_is_read(family, base, tmp_path):
    """After a few steps of its own loop, which is where peft decides what to keep."""
    folder, model = base(family)
    config = peft.AdaLoraConfig(
        init_r=4, target_r=2, lora_alpha=5, target_modules=ALL[family], total_step=9, tinit=1, tfinal=3, deltaT=1
    )
    theirs, batch = peft.get_peft_model(model, config), random_batch()
    optimizer = torch.optim.AdamW([weight for weight in theirs.parameters() if weight.requires_grad], lr=0.05)
    for step in range(8):
        optimizer.zero_grad()
        their_answer(family, theirs, batch)[0].backward()
        optimizer.step()
        theirs.base_model.update_and_allocate(step)
    theirs.eval().save_pretrained(tmp_path / "adapter")
    choice = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))["rank_pattern"]
    ours = from_hugging_face(folder)
    method = minipeft.load_peft_adapter(tmp_path / "adapter", ours)
    kept = {name.removesuffix(".lora_E"): sum(kept) for name, kept in choice.items()}
    assert len(set(kept.values())) > 1 and (method.rank, method.target_rank) == (4, 2)
    fused = 2 * sum(count for name, count in kept.items() if name.endswith("c_attn"))  # for each of three, not of one
    assert sum(method.ranks().values()) == sum(kept.values()) + fused
    assert_same_logits(family, ours, theirs, from_hugging_face(folder))


@FAMILIES
def test_adalora_that_ours_has_pruned_is_read_by_peft(family, base, tmp_path):
    folder, model = base(family)
    ours, method = from_hugging_face(folder), AdaLoRA(4, 2, 5, EVERYWHERE)
    method.attach(ours)
    move(method.named_parameters().values())
    for number, (_, layer) in enumerate(method.layers()):
        layer.kept.copy_(torch.arange(4) < number % 5)  # of four triplets none to four stay
        layer.lam.data.masked_fill_(~layer.kept, 0.0)
    minipeft.save_peft_adapter(tmp_path / "adapter", ours, method)
    theirs = loaded_by_peft(model, tmp_path / "adapter")
    assert_same_logits(family, ours, theirs, from_hugging_face(folder))
    assert sum(len(module.lora_E["default"]) for module in theirs.modules() if hasattr(module, "lora_E")) == sum(
        method.ranks().values()
    )


@torch.no_grad()
def written_by_peft(family, model, batch, length):
    """Greedy answers of peft's model, without start and end."""
    told = dict(attention_mask=batch.source_mask.long(), max_new_tokens=length, do_sample=False, pad_token_id=0)
    if family == "t5":  # its cache counts the encoder's layers, and fails where the decoder has more of them
        told["use_cache"] = False
    rows = model.generate(input_ids=batch.source, **told)
    rows = [row[1 if family == "t5" else batch.source.shape[1] :].tolist() for row in rows]
    return [row[: row.index(1)] if 1 in row else row for row in rows]


@FAMILIES
def test_a_lora_trained_here_writes_the_same_tokens_in_peft(family, base, tmp_path):
    folder, model = base(family)
    ours, method = from_hugging_face(folder), LoRA(3, 5, EVERYWHERE)
    torch.manual_seed(0)
    method.attach(ours)
    batch = random_batch()
    optimizer = torch.optim.AdamW(method.named_parameters().values(), lr=0.05)
    for _ in range(6):
        optimizer.zero_grad()
        ours.loss(batch).backward()
        optimizer.step()
    minipeft.save_peft_adapter(tmp_path / "adapter", ours, method)
    theirs = loaded_by_peft(model, tmp_path / "adapter")
    answers = ours.generate(batch, 12)
    assert answers == written_by_peft(family, theirs, batch, 12)
    assert (
        answers != from_hugging_face(folder).generate(batch, 12)
        and len({token for row in answers for token in row}) > 3
    )


@FAMILIES
def test_a_lora_trained_in_peft_writes_the_same_tokens_here(family, base, tmp_path):
    folder, model = base(family)
    theirs, batch = peft.get_peft_model(model, lora()(family)), random_batch()
    optimizer = torch.optim.AdamW([weight for weight in theirs.parameters() if weight.requires_grad], lr=0.05)
    for _ in range(6):
        optimizer.zero_grad()
        their_answer(family, theirs, batch)[0].backward()
        optimizer.step()
    theirs.eval().save_pretrained(tmp_path / "adapter")
    ours = from_hugging_face(folder)
    minipeft.load_peft_adapter(tmp_path / "adapter", ours)
    answers = ours.generate(batch, 12)
    assert answers == written_by_peft(family, theirs, batch, 12)
    assert (
        answers != from_hugging_face(folder).generate(batch, 12)
        and len({token for row in answers for token in row}) > 3
    )
