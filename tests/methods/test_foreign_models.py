"""Every method on models that are not ours: it works there, or says in one sentence what it needs."""

import pytest
import torch
from helpers.laws import assert_same_snapshot, snapshot
from torch import nn

from minipeft.errors import UserError
from minipeft.methods.adapters.adapter_drop import AdapterDrop
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.registry import METHODS
from minipeft.serving.mixed_batch import MixedBatch
from minipeft.serving.shared_lower_layers import SharedLowerLayers

IDS = torch.arange(2, 8)[None]


class OurNames(nn.Module):
    """A model of another kind whose parts have the names of ours."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)
        self.encoder = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(4, 4)])})
        self.decoder = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(4, 4)])})
        self.attention, self.feed_forward = nn.MultiheadAttention(4, 2), nn.Linear(4, 4)
        self.query, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)

    def forward(self, ids):
        x = self.embedding(ids)
        x, _ = self.attention(self.query(x), x, x)
        for stack in (self.encoder, self.decoder):
            x = stack["blocks"][0](x)
        return self.head(self.norm(self.feed_forward(x)))


def theirs(name):
    """A tiny model of transformers; the test is skipped where that is not installed."""
    transformers = pytest.importorskip("transformers")
    if name == "t5":
        sizes = dict(d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=0)
        return transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=64, **sizes))
    if name == "gpt2":
        sizes = dict(n_embd=32, n_head=2, n_layer=1, bos_token_id=0, eos_token_id=0)
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=64, **sizes))
    sizes = dict(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, intermediate_size=64)
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=64, **sizes))


MODELS = {  # how to make one, and what it reads
    "sequential": (lambda: nn.Sequential(nn.Linear(4, 4)), {"input": torch.randn(2, 4)}),
    "embedding": (lambda: nn.Embedding(9, 4), {"input": IDS}),
    "our names": (OurNames, {"ids": IDS[0]}),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16), {"src": torch.randn(3, 2, 8)}),
    "transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        {"src": torch.randn(3, 2, 8), "tgt": torch.randn(3, 2, 8)},
    ),
    "t5": (lambda: theirs("t5"), {"input_ids": IDS, "labels": IDS}),
    "gpt2": (lambda: theirs("gpt2"), {"input_ids": IDS}),
    "bert": (lambda: theirs("bert"), {"input_ids": IDS}),
}


def first_tensor(output):
    return output if isinstance(output, torch.Tensor) else output.logits


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("make_model, inputs", MODELS.values(), ids=MODELS)
def test_a_method_trains_a_model_from_elsewhere_or_refuses_it_in_a_sentence(make_model, inputs, name):
    model = make_model()
    before = snapshot(model)
    method = METHODS[name]()
    try:
        method.attach(model)
    except UserError as error:
        assert "\n" not in str(error)
        assert_same_snapshot(snapshot(model), before)
    else:
        first_tensor(model(**inputs)).square().sum().backward()
        assert any(parameter.grad is not None for parameter in method.named_parameters().values())


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].needs_language_model])
def test_a_method_that_needs_a_model_of_ours_names_itself_and_what_to_load(name):
    with pytest.raises(
        UserError, match=f"{name} works on a T5, GPT-2 or Llama as minipeft.load gives it, not on a OurNames"
    ):
        METHODS[name]().attach(OurNames())


def test_what_serves_several_tasks_needs_a_model_of_ours_too():
    lora, net = LoRA(rank=2, targets=("query",)), OurNames()
    lora.attach(net)
    state = lora.state_dict()
    lora.detach()
    for serving in (MixedBatch(lora, [state]), SharedLowerLayers(AdapterDrop(), [{}])):
        with pytest.raises(UserError, match="as minipeft.load gives it"):
            serving.attach(net)
