"""The LLaMA that plans are made with computes what transformers' does: its layers are the true ones."""

import pytest
import torch

from minipeft.memory.planning import FullBatch
from minipeft.memory.shapes.llama import LLaMA
from minipeft.transformer.decoder_only import DecoderOnlyConfig

transformers = pytest.importorskip("transformers", reason="the parity tests need transformers")

NAMES = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output", "gate_proj": "gate",
         "up_proj": "up", "down_proj": "down", "self_attn": "attention", "mlp": "feed_forward", "layers": "blocks",
         "input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm", "model": "decoder",
         "embed_tokens": "embedding", "lm_head": "head"}  # fmt: skip


def test_the_same_weights_give_the_same_logits():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    ours = LLaMA(DecoderOnlyConfig(50, 24, 4, 3, 64, 40, epsilon=config.rms_norm_eps)).eval()
    weights = {}
    for name, weight in theirs.state_dict().items():
        own = ".".join(NAMES.get(part, part) for part in name.split("."))
        weights[own.replace("decoder.embedding", "embedding")] = weight + 0.1 * torch.randn_like(weight)
    ours.load_state_dict(weights)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    source, target = torch.randint(2, 50, (3, 7)), torch.randint(2, 50, (3, 5))
    batch = FullBatch(source, torch.ones_like(source).bool(), target, torch.ones_like(target).bool())
    with torch.no_grad():
        expected = theirs(torch.cat([source, target], dim=1)).logits[:, 6:-1]
        torch.testing.assert_close(ours(batch), expected, atol=2e-5, rtol=1e-4)


def test_the_7b_model_has_the_same_parameters():
    with torch.device("meta"):
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig())
    assert sum(parameter.numel() for parameter in theirs.parameters()) == 6_738_415_616
