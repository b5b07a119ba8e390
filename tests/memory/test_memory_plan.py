"""Plans of memory: the ledger's own numbers where a model is small enough to ask it, published ones where not."""

import json

import pytest
import torch
from helpers.word_models import MAKERS

from minipeft.__main__ import main
from minipeft.commands.memory import architecture
from minipeft.errors import UserError
from minipeft.memory.counting import batch_memory, saved_activation_bytes
from minipeft.memory.planning import FullBatch, MemoryPlan, hollow_model, nf4_bytes
from minipeft.memory.shapes.chatglm import ChatGLM
from minipeft.memory.shapes.names import SHAPES
from minipeft.methods.registry import METHODS
from minipeft.models import load
from minipeft.quantization.linear import QuantizedLinear
from minipeft.transformer.decoder_only import DecoderOnly, DecoderOnlyConfig
from minipeft.transformer.llama import Llama, LlamaConfig


def plan(model, method, length=20, answer_length=6, dtype=torch.float32, quantized=False, **hyperparameters):
    kind, sizes = architecture(model)
    return MemoryPlan(
        hollow_model(kind, sizes, dtype), METHODS[method](**hyperparameters), length, answer_length, None, quantized
    )


def t5_numbers(d, f, layers, heads):
    """T5 v1.1: embedding and head; in each layer attentions, three matrices and norms; two tables and final norms."""
    a = 64 * heads
    encoder, decoder = 4 * d * a + 3 * d * f + 2 * d, 8 * d * a + 3 * d * f + 3 * d
    return 2 * 32128 * d + layers * (encoder + decoder) + 2 * (d + 32 * heads)


def gpt_numbers(d, layers, length):
    """GPT-2: the embedding is the head too; in each layer 12 d^2 weights, 9 d biases, two norms of 2 d."""
    return 50257 * d + length * d + layers * (12 * d * d + 9 * d + 4 * d) + 2 * d


SIZES = {
    "t5-v1.1-small": (76_961_152, t5_numbers(512, 1024, 8, 6)),
    "t5-v1.1-base": (247_577_856, t5_numbers(768, 2048, 12, 12)),
    "t5-v1.1-large": (783_150_080, t5_numbers(1024, 2816, 24, 16)),
    "t5-v1.1-xl": (2_849_757_184, t5_numbers(2048, 5120, 24, 32)),
    "t5-v1.1-xxl": (11_135_332_352, t5_numbers(4096, 10240, 24, 64)),
    "gpt2": (124_439_808, gpt_numbers(768, 12, 1024)),
    "gpt2-medium": (354_823_168, gpt_numbers(1024, 24, 1024)),
    "gpt2-large": (774_030_080, gpt_numbers(1280, 36, 1024)),
    "gpt2-xl": (1_557_611_200, gpt_numbers(1600, 48, 1024)),
    "gpt3": (174_604_259_328, gpt_numbers(12288, 96, 2048)),
    "llama-7b": (6_738_415_616, 2 * 32000 * 4096 + 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 4096),
    "chatglm-6b": (6_173_286_400, 130528 * 4096 + 28 * (12 * 4096**2 + (3 + 1 + 4 + 1 + 4) * 4096) + 2 * 4096),
}


@pytest.mark.parametrize("name", SHAPES)
def test_known_models_have_their_published_number_of_parameters(name):
    published, formula = SIZES[name]
    assert sum(parameter.numel() for parameter in hollow_model(*SHAPES[name]).parameters()) == published == formula


TRAINED = [
    ("chatglm-6b", "lora", {"rank": 8, "targets": ("query_key_value",)}, 3_670_016),  # 28 (8 * 4096 + 12288 * 8)
    ("llama-7b", "lora", {"rank": 64}, 159_907_840),  # QLoRA: all linear layers
    ("gpt3", "lora", {"rank": 4, "targets": ("query", "value")}, 96 * 2 * 4 * (12288 + 12288)),
    ("gpt2-medium", "lora", {"rank": 4, "targets": ("query", "value")}, 393_216),
    ("t5-v1.1-base", "prompt_tuning", {"prompt_length": 100}, 76_800),
    ("t5-v1.1-xxl", "prompt_tuning", {"prompt_length": 100}, 409_600),
    ("t5-v1.1-large", "ia3", {}, 24 * (2 * 1024 + 2816) + 24 * (4 * 1024 + 2816)),
]


@pytest.mark.parametrize("model, method, hyperparameters, count", TRAINED)
def test_known_methods_train_their_published_number_of_parameters(model, method, hyperparameters, count):
    planned = plan(model, method, **hyperparameters)
    assert planned.method.trained_count() == planned.method.stored_count() == count
    assert planned.saved_bytes() == 4 * count


def test_the_chatglm_adapter_takes_14_68_megabytes():
    planned = plan("chatglm-6b", "lora", rank=8, targets=("query_key_value",))
    assert planned.saved_bytes() == 14_680_064
    parts = planned.memory(1)
    assert (parts["gradients"], parts["optimizer"]) == (14_680_064, 2 * 14_680_064)
    assert parts["weights"] == 4 * (6_173_286_400 + 3_670_016)


def test_full_tuning_of_llama_in_float32_takes_16_bytes_a_parameter():
    parts = plan("llama-7b", "full").memory(1)
    static = parts["weights"] + parts["gradients"] + parts["optimizer"]
    assert static == 16 * 6_738_415_616 and round(static / 1e9, 1) == 107.8


def test_quantized_llama_keeps_its_matrices_in_4_127_bits_and_the_rest_in_16():
    parts = plan("llama-7b", "lora", dtype=torch.bfloat16, quantized=True, rank=64).memory(1)
    matrices = 32 * (4 * 4096**2 + 3 * 4096 * 11008)
    blocks = matrices // 64  # a byte each for the 8-bit constants, 4 for every 256 of them
    assert parts["4-bit weights"] == matrices // 2 + blocks + 4 * blocks // 256 + 4 * 32 * 7
    assert round(parts["4-bit weights"] / 1e9, 2) == 3.34
    assert parts["weights"] == 2 * (6_738_415_616 - matrices + 159_907_840)
    plain = plan("llama-7b", "lora", dtype=torch.bfloat16, rank=64).memory(1)
    assert plain["weights"] == parts["weights"] + 2 * matrices
    assert plain["activations"] == parts["activations"]


@pytest.mark.parametrize("shape", [(88, 88), (112, 88), (144, 160), (128, 128), (129, 128), (23, 17), (1, 1)])
def test_a_matrix_is_planned_with_the_bytes_that_its_layer_in_4_bits_holds(shape):
    """Also where it does not fill its last block of 64, or its last 256 blocks."""
    layer = QuantizedLinear(torch.nn.Linear(*shape, bias=False), "nf4", 64, double_quantization=True)
    assert nf4_bytes(shape[0] * shape[1]) == sum(len(buffer.numpy().tobytes()) for _, buffer in layer.named_buffers())


@pytest.mark.parametrize("base", ["t5-0.4m", "t5-0.8m"])
def test_a_base_planned_in_4_bits_takes_what_qlora_makes_of_it(base):
    """What two modules share is counted once."""
    planned, real = plan(base, "lora", quantized=True).memory(1), load(base)
    METHODS["qlora"]().attach(real)
    held = {
        tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in (*real.parameters(), *real.buffers())
    }
    assert planned["4-bit weights"] + planned["weights"] == sum(held.values())


def real_memory(model, method, shape):
    """What the ledger says of real tensors: a batch of `shape`, FullBatch's fields, of random ids without padding."""
    ids = [torch.randint(2, 30, size) for size in (shape.source.shape, shape.target.shape)]
    batch = FullBatch(*(x for one in ids for x in (one, torch.ones_like(one, dtype=torch.bool))))
    return batch_memory(model, method, batch)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["t5-0.8m", "gpt-1.7m"])
@pytest.mark.parametrize("name", ["full", "lora", "dora", "houlsby", "prompt_tuning", "prefix_tuning", "p_tuning"])
def test_a_plan_is_what_the_ledger_counts_on_the_bundled_models(name, base):
    size, length = (32, 64) if name == "p_tuning" else (3, 20)
    model, planned = load(base), plan(base, name, length)
    method = METHODS[name]()
    method.attach(model)
    expected, found = real_memory(model, method, planned.batch(size)), planned.memory(size)
    if name == "p_tuning":  # every device has its own LSTM: in a batch as one trains with it hardly counts
        assert found.pop("activations") == pytest.approx(expected.pop("activations"), rel=0.02)
    assert found == expected


SMALL = {"oft": {"block_size": 4}, "p_tuning": {"encoder": "mlp"}, "mam": {"inner": 30}}


@pytest.mark.parametrize("family", ["t5", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gpt", "llama"))])
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("hard_prompt", "adapter_fusion")])
def test_every_method_can_be_planned_and_the_ledger_agrees(name, family):
    model, told = MAKERS[family](), SMALL.get(name, {})
    hollow = hollow_model(type(model), model.config)
    if name == "bitfit" and family != "gpt":
        with pytest.raises(UserError, match="use norm_tuning instead"):
            MemoryPlan(hollow, METHODS[name](), 9, 4)
        return
    planned, method = MemoryPlan(hollow, METHODS[name](**told), 9, 4), METHODS[name](**told)
    method.attach(model)
    expected, found = real_memory(model, method, planned.batch(3)), planned.memory(3)
    assert found == expected and min(found.values()) > 0
    assert planned.method.trained_count() == method.trained_count()
    assert planned.saved_bytes() == sum(4 * tensor.numel() for tensor in method.state_dict().values())


@pytest.mark.parametrize("base", ["t5-0.8m", "gpt-1.7m"])
@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("dtype", [pytest.param(torch.bfloat16, marks=pytest.mark.slow), torch.float32])
def test_a_plan_holds_in_16_bit_and_under_gradient_checkpointing(base, checkpointing, dtype):
    model, planned = load(base, dtype=dtype), plan(base, "lora", dtype=dtype)
    model.set_gradient_checkpointing(checkpointing)
    planned.model.set_gradient_checkpointing(checkpointing)
    method = METHODS["lora"]()
    method.attach(model)
    expected, found = real_memory(model, method, planned.batch(5)), planned.memory(5)
    if dtype is torch.bfloat16 and base == "gpt-1.7m":  # a CPU keeps LayerNorm's mean and deviation in 16 bit
        assert expected.pop("activations") < found["activations"] < 1.002 * found.pop("activations")
    assert found == expected


@pytest.mark.parametrize("kind", [Llama, ChatGLM])
@pytest.mark.parametrize("name", ["full", "lora", "prompt_tuning", "houlsby", "prefix_tuning"])
def test_architectures_of_large_models_also_work_with_numbers(kind, name):
    """The same classes, small and real: they compute a loss, it has gradients, and the plan is right."""
    grouped = {"key_value_heads": 2, "head_size": 6, "query_key_norm": True} if kind is Llama else {}
    sizes = LlamaConfig(60, 16, 4, 2, 24, 48, **grouped)
    if kind is ChatGLM and name == "prefix_tuning":
        pytest.skip("ChatGLM has one matrix for queries, keys and values")
    torch.manual_seed(0)
    model, method = kind(sizes), METHODS[name](**({"init": "uniform"} if name == "prompt_tuning" else {}))
    planned = MemoryPlan(hollow_model(kind, sizes), METHODS[name](), 9, 4)
    method.attach(model)
    assert planned.memory(3) == real_memory(model, method, planned.batch(3))
    model.loss(FullBatch(*(torch.ones(3, 5, dtype=kind) for kind in (torch.long, torch.bool) * 2))).backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.named_parameters().values())


@pytest.mark.parametrize("name", ["lora", "prompt_tuning"])
@pytest.mark.parametrize("limit", [6_000_000, 9_999_999])
def test_the_largest_batch_fits_and_one_more_does_not_on_real_tensors(name, limit):
    model, planned = load("t5-0.8m"), plan("t5-0.8m", name)
    most = planned.largest_batch(limit)
    method = METHODS[name]()
    method.attach(model)
    assert most > 1
    fits, too_much = (sum(real_memory(model, method, planned.batch(size)).values()) for size in (most, most + 1))
    assert fits <= limit < too_much


def test_the_largest_batch_at_the_edges():
    planned = MemoryPlan(hollow_model(DecoderOnly, DecoderOnlyConfig(60, 16, 2, 2, 48)), METHODS["lora"](), 9, 4)
    assert planned.largest_batch(planned.total(1) - 1) == 0
    assert [planned.largest_batch(planned.total(size) + more) for size in (1, 7) for more in (0, 1)] == [1, 1, 7, 7]
    assert planned.largest_batch(planned.total(8) - 1) == 7


def test_dropout_is_counted_as_in_training_and_nothing_is_left_changed():
    plain, dropping = (DecoderOnly(DecoderOnlyConfig(60, 16, 2, 2, 48, dropout=p)).eval() for p in (0.0, 0.5))
    batch = FullBatch(*(torch.ones(3, 5, dtype=kind) for kind in (torch.long, torch.bool) * 2))
    state = torch.random.get_rng_state()
    before, after = (saved_activation_bytes(model, batch) for model in (plain, dropping))
    # 3 texts of 10 tokens, float32 masks: of the embedded text and both sublayers of two layers, and of the attention.
    assert after - before >= 4 * (3 * 10 * 16 * (1 + 2 * 2) + 2 * 3 * 2 * 10 * 10)
    assert not any(module.training for module in dropping.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.slow
def test_the_command_prints_the_plan(capsys):
    flags = ["--model", "chatglm-6b", "--set", "rank=8", "--set", "targets=query_key_value", "--batch", "1"]
    assert main(["memory", *flags, "--length", "16", "--answer-length", "4", "--gigabytes", "32"]) == 0
    printed = capsys.readouterr().out
    planned = plan("chatglm-6b", "lora", 16, 4, rank=8, targets=("query_key_value",))
    rows = dict(line.strip("| ").replace(" ", "").split("|") for line in printed.splitlines() if line[:2] == "| ")
    assert (rows["weights"], rows["gradients"], rows["optimizer"]) == ("24.71GB", "14.68MB", "29.36MB")
    assert rows["total"] == f"{planned.total(1) / 1e9:.2f}GB"
    assert "trained: 3,670,016 parameters, 0.0594% of the model's 6,173,286,400\nadapter file: 14.68 MB" in printed
    most = int(printed.split("largest batch in 32 GB: ")[1])
    assert planned.total(most) <= 32 * 10**9 < planned.total(most + 1)
    assert main(["memory", "--gigabytes", "0.004"]) == 0
    one = plan("t5-0.8m", "lora", 128, 32).total(1)
    assert f"largest batch in 0.004 GB: none, one text takes {one / 1e6:.2f} MB" in capsys.readouterr().out
    assert one > 0.004 * 10**9


def test_a_config_of_ours_or_of_hugging_face_is_planned_without_weights(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "config.json"
    ours.mkdir()
    (ours / "config.json").write_text(
        '{"family": "decoder_only", "vocabulary_size": 50, "hidden_size": 8, "heads": 2, "layers": 1}', encoding="utf-8"
    )
    theirs.write_text(
        '{"model_type": "t5", "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "vocab_size": 32128, '
        '"d_model": 512, "num_heads": 6, "d_kv": 64, "d_ff": 1024, "num_layers": 8}',
        encoding="utf-8",
    )
    assert plan(str(ours), "full").model_parameters == 50 * 8 + 256 * 8 + 12 * 8 * 8 + 13 * 8 + 2 * 8
    assert plan(str(theirs), "full").model_parameters == SIZES["t5-v1.1-small"][0]
    theirs.write_text(
        json.dumps(QWEN3 | {"vocab_size": 50, "num_hidden_layers": 2, "eos_token_id": 1}), encoding="utf-8"
    )
    layer = 1024 * (2 * 2048 + 2 * 1024) + 3 * 1024 * 3072 + 2 * 1024 + 2 * 128  # with norms of query and key
    planned = plan(str(theirs), "prefix_tuning", reparametrise=False, prefix_length=10)
    assert planned.model_parameters == 50 * 1024 + 2 * layer + 1024
    assert planned.method.trained_count() == 2 * 2 * 10 * 8 * 128  # keys and values of 8 heads, not of 16
    theirs.write_text(
        '{"family": "decoder_only", "vocabulary_size": "x", "hidden_size": 8, "heads": 2, "layers": 1}',
        encoding="utf-8",
    )
    with pytest.raises(UserError, match="vocabulary_size is 'x'; it must be a whole number from 1 to 1,000,000,000"):
        plan(str(theirs), "full")


SMOL = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
SMOL |= {"num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048, "eos_token_id": 0}
SMOL |= {"model_type": "llama", "tie_word_embeddings": True, "rope_theta": 10000.0, "rope_scaling": None}
MISTRAL = {"vocab_size": 32768, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
MISTRAL |= {"num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 32768, "eos_token_id": 2}
MISTRAL |= {"model_type": "mistral", "sliding_window": None, "rope_theta": 1e6, "head_dim": 128}
QWEN2 = {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24}
QWEN2 |= {"num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32768}
QWEN2 |= {"model_type": "qwen2", "eos_token_id": 151643, "tie_word_embeddings": True, "sliding_window": 32768}
QWEN3 = QWEN2 | {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28}
QWEN3 |= {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "sliding_window": None}
CONFIGS = {  # as released: the model's parameters, and those of LoRA of rank 8 on every linear layer
    "SmolLM 135M": (SMOL, 134_515_008, 30 * 8 * (2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536))),
    "Mistral 7B v0.3": (MISTRAL, 7_248_023_552, 32 * 8 * (2 * 8192 + 2 * (4096 + 1024) + 3 * (4096 + 14336))),
    "Qwen2.5 0.5B": (QWEN2, 494_032_768, 24 * 8 * (2 * (896 + 896) + 2 * (896 + 128) + 3 * (896 + 4864))),
    "Qwen3 0.6B": (QWEN3, 596_049_920, 28 * 8 * (2 * (1024 + 2048) + 2 * (1024 + 1024) + 3 * (1024 + 3072))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_llamas_of_four_houses_are_planned_from_their_config_alone(name, tmp_path):
    settings, parameters, trained = CONFIGS[name]
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    planned = plan(str(tmp_path), "lora", rank=8)
    assert planned.model_parameters == parameters
    assert planned.method.trained_count() == trained
    parts = planned.memory(1)
    assert (parts["weights"], parts["gradients"]) == (4 * (parameters + trained), 4 * trained)
    assert parts["optimizer"] == 8 * trained and parts["activations"] > 0
    prefix = plan(str(tmp_path), "prefix_tuning", reparametrise=False, prefix_length=10)
    size = settings.get("head_dim") or settings["hidden_size"] // settings["num_attention_heads"]
    expected = 2 * settings["num_hidden_layers"] * 10 * settings["num_key_value_heads"] * size
    assert prefix.method.trained_count() == expected


REFUSED = {
    "--model lama-7b": "did you mean 'llama-7b'?",
    "--model /nowhere/at/all": "There is no model, folder or config.json '/nowhere/at/all'",
    f"--model {'x' * 5000}": "There is no model, folder or config.json 'xxx",
    "--model ~nobody-of-this-name/model": "There is no model, folder or config.json '~nobody",
    "--method lorra": "Did you mean 'lora'?",
    "--set rnk=8": "Did you mean 'rank'?",
    "--set rank=0": "rank must be at least 1",
    "--batch 0": "'0' is not a whole number from 1",
    "--length 0": "'0' is not a whole number from 1",
    "--gigabytes 0": "'0' is not a number above 0",
    "--gigabytes nan": "'nan' is not a number above 0",
    "--gigabytes 1e300": "'1e300' is not a number above 0",
    "--dtype int8": "invalid choice: 'int8'",
    "--model gpt2 --length 1000": "1032 positions do not fit the model's 1024",
    "--method hard_prompt": "hard_prompt trains nothing, so there is no training step to plan",
    "--method full --quantized": "full trains the model's own matrices, which cannot be quantized",
    "--method ia3 --model chatglm-6b": "The target 'key' matches no Linear",
    "--method prefix_tuning --model chatglm-6b": "prefix_tuning cannot be planned for ChatGLM",
    "--method adapter_fusion": "Nothing to fuse",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_bad_input_gets_one_sentence(flags, capsys):
    assert main(["memory", *flags.split()]) == 2
    printed = capsys.readouterr()
    assert REFUSED[flags] in printed.err and printed.err.count("\n") == 1 and not printed.out
