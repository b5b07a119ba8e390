"""LoRA, prompt, prefix and P-tuning against peft's, the same numbers in both: logits, loss and gradients.

peft's prefix tuning of T5 does not follow the paper (no prefix for encoder and cross-attention), so it is held to
GPT-2 only. Rows have one length here: padding is held to unpadded rows elsewhere.
"""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
peft = pytest.importorskip("peft", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from minipeft.methods.low_rank.lora import LoRA, LoRALinear  # noqa: E402
from minipeft.methods.low_rank.rslora import RSLoRA  # noqa: E402
from minipeft.methods.prompts.p_tuning import PTuning  # noqa: E402
from minipeft.methods.prompts.p_tuning_v2 import PTuningV2  # noqa: E402
from minipeft.methods.prompts.prefix_tuning import PrefixTuning  # noqa: E402
from minipeft.methods.prompts.prompt_tuning import PromptTuning  # noqa: E402
from minipeft.transformer.batch import Batch  # noqa: E402
from minipeft.transformer.hugging_face import from_hugging_face  # noqa: E402

GPT2 = dict(vocab_size=41, n_embd=12, n_head=3, n_layer=3, n_positions=50, n_inner=22, bos_token_id=1, eos_token_id=1)
T5 = dict(vocab_size=41, d_model=12, d_kv=5, num_heads=3, d_ff=22, num_layers=2, num_decoder_layers=3)


def their_model(family):
    """A small transformers model with random weights, its dropout off."""
    torch.manual_seed(0)
    if family == "gpt2":
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2))
    else:
        settings = dict(feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=False)
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(**T5, **settings))
        model.lm_head.weight = torch.nn.Parameter(torch.randn(41, 12))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model.eval()


def pair(family, folder, config):
    """Our plain model, and peft's around the same weights, every trained number of it random."""
    model = their_model(family)
    model.save_pretrained(folder)
    theirs = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
    return from_hugging_face(folder), theirs


def random_batch():
    torch.manual_seed(1)
    source, target = torch.randint(2, 41, (3, 7)), torch.randint(2, 41, (3, 4))
    return Batch(source, torch.ones(3, 7, dtype=torch.bool), target, torch.ones(3, 4, dtype=torch.bool))


def their_answer(family, model, batch):
    """Their loss, and their logits of the target tokens."""
    if family == "t5":
        output = model(input_ids=batch.source, attention_mask=batch.source_mask.long(), labels=batch.target)
        return output.loss, output.logits
    ids, labels = torch.cat([batch.source, batch.target], 1), torch.full_like(batch.source, -100)
    output = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.cat([labels, batch.target], 1))
    return output.loss, output.logits[:, -5:-1]


def assert_same(family, ours, theirs, pairs, virtual=0):
    """Same logits and loss, and the same gradients of each (our parameter, their parameter, how to compare them).

    `virtual`: how many virtual tokens our model reads before each source, where theirs puts them there itself.
    """
    batch = random_batch()
    loss, logits = their_answer(family, theirs, batch)
    if virtual:
        rows = torch.arange(41, 41 + virtual).expand(3, -1)
        source, mask = torch.cat([rows, batch.source], 1), torch.ones(3, virtual + 7, dtype=torch.bool)
        batch = Batch(source, mask, batch.target, batch.target_mask)
    torch.testing.assert_close(ours(batch), logits, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(ours.loss(batch), loss, rtol=1e-5, atol=1e-5)
    loss.backward()
    ours.loss(batch).backward()
    for our_gradient, their_gradient in pairs():
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [LoRA, RSLoRA], ids=["lora", "rslora"])
@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_lora_and_rslora_agree_with_peft(family, kind, tmp_path):
    targets = ["q", "v"] if family == "t5" else ["c_proj"]  # c_proj: the outputs of attention and feed-forward
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, use_rslora=kind is RSLoRA)
    ours, theirs = pair(family, tmp_path, config)
    kind(rank=3, alpha=5, targets=("query", "value") if family == "t5" else ("output", "down")).attach(ours)
    our_layers = [module for module in ours.modules() if isinstance(module, LoRALinear)]
    their_layers = [module for module in theirs.modules() if hasattr(module, "lora_A")]
    assert len(our_layers) == len(their_layers) == (16 if family == "t5" else 6)
    layers = list(zip(our_layers, their_layers, strict=True))
    for our, their in layers:
        our.A.data.copy_(their.lora_A["default"].weight)
        our.B.data.copy_(their.lora_B["default"].weight)

    def gradients():
        for our, their in layers:
            yield our.A.grad, their.lora_A["default"].weight.grad
            yield our.B.grad, their.lora_B["default"].weight.grad

    assert_same(family, ours, theirs, gradients)


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_prompt_tuning_agrees_with_peft(family, tmp_path):
    task = "SEQ_2_SEQ_LM" if family == "t5" else "CAUSAL_LM"
    ours, theirs = pair(family, tmp_path, peft.PromptTuningConfig(task_type=task, num_virtual_tokens=4))
    method = PromptTuning(prompt_length=4, init="uniform")
    method.attach(ours)
    (prompt,) = method.named_parameters().values()
    their_table = theirs.prompt_encoder["default"].embedding.weight
    prompt.data.copy_(their_table[:4])  # peft gives T5 twice the rows and uses the first half
    assert_same(family, ours, theirs, lambda: [(prompt.grad, their_table.grad[:4])])


@pytest.mark.parametrize("encoder", ["lstm", "mlp"])
@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_p_tuning_agrees_with_peft(family, tmp_path, encoder):
    """peft puts its virtual tokens in front; for T5 it makes a second set unless told that there is one module."""
    config = peft.PromptEncoderConfig(
        task_type="SEQ_2_SEQ_LM" if family == "t5" else "CAUSAL_LM",
        num_virtual_tokens=4,
        num_transformer_submodules=1,
        encoder_reparameterization_type=encoder.upper(),
        encoder_hidden_size=6 if encoder == "lstm" else 12,  # the paper's half of the width; ours as wide as the model
    )
    ours, theirs = pair(family, tmp_path, config)
    PTuning(template="[V][V][V][V] {source}", encoder=encoder).attach(ours)
    our, their = ours.embedding.prompt, theirs.prompt_encoder["default"]
    mlp = [module for module in their.mlp_head if isinstance(module, torch.nn.Linear)]
    if encoder == "lstm":
        pairs = [(our.lstm, their.lstm_head), (our.inner, mlp[0]), (our.outer, mlp[1])]
    else:
        pairs = list(zip((our.first, our.second, our.third), mlp, strict=True))
    our.positions.data.copy_(their.embedding.weight)
    for mine, other in pairs:
        mine.load_state_dict(other.state_dict())
    torch.testing.assert_close(our(), their(torch.arange(4)))

    def gradients():
        yield our.positions.grad, their.embedding.weight.grad
        for mine, other in pairs:
            named = dict(other.named_parameters())
            for name, parameter in mine.named_parameters():
                yield parameter.grad, named[name].grad

    assert_same(family, ours, theirs, gradients, virtual=4)


def our_layout(flat):
    """(prefix, 2 layers * hidden) as peft has it -> (layers, 2, heads, prefix, head)."""
    return flat.view(4, 3, 2, 3, 4).permute(1, 2, 3, 0, 4)


@pytest.mark.parametrize("method", [PrefixTuning(4, reparametrise=False), PTuningV2(4)], ids=["prefix", "v2"])
def test_prefixes_in_all_layers_agree_with_pefts_prefix_tuning(tmp_path, method):
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    ours, theirs = pair("gpt2", tmp_path, config)
    method.attach(ours)
    (table,) = method.named_parameters().values()
    their_table = theirs.prompt_encoder["default"].embedding.weight
    table.data.copy_(our_layout(their_table))
    assert_same("gpt2", ours, theirs, lambda: [(table.grad, our_layout(their_table.grad))])


def test_reparametrised_prefix_tuning_agrees_with_peft(tmp_path):
    config = peft.PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=9
    )
    ours, theirs = pair("gpt2", tmp_path, config)
    method = PrefixTuning(prefix_length=4, inner=9)
    method.attach(ours)
    our, their = ours.decoder.blocks[0].attention.prefix, theirs.prompt_encoder["default"]
    first, second = their.transform[0], their.transform[2]
    our.positions.data.copy_(their.embedding.weight)
    our.inner.load_state_dict(first.state_dict())
    for layer, outer in enumerate(our.outer):
        outer.weight.data.copy_(second.weight[24 * layer : 24 * (layer + 1)])  # 2 * 12 rows for each layer
        outer.bias.data.copy_(second.bias[24 * layer : 24 * (layer + 1)])
    torch.testing.assert_close(our.table_now(), our_layout(their(torch.arange(4))))
    assert_same("gpt2", ours, theirs, lambda: [(our.positions.grad, their.embedding.weight.grad)])
