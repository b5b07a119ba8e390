"""Folders as `transformers` writes and reads them, and folders that were changed: its logits, or one sentence.

The oracle is `from_pretrained` on the same folder, which decides about ties and scales by what is in it.
"""

import json

import pytest
import torch
from helpers.models import tiny_gpt2, tiny_t5

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
safetensors = pytest.importorskip("safetensors.torch", reason="needs minipeft[parity]")

from minipeft.errors import UserError  # noqa: E402
from minipeft.transformer.batch import Batch, pad  # noqa: E402
from minipeft.transformer.fingerprints import fingerprint  # noqa: E402
from minipeft.transformer.hugging_face import from_hugging_face, to_hugging_face  # noqa: E402

T5_SIZES = dict(vocab_size=41, d_model=12, d_kv=5, num_heads=3, d_ff=22, num_layers=2, num_decoder_layers=3)
GPT2_SIZES = dict(vocab_size=41, n_embd=12, n_head=3, n_layer=3, n_positions=50, bos_token_id=1, eos_token_id=1)
FAMILIES = {
    "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration, T5_SIZES),
    "mt5": (transformers.MT5Config, transformers.MT5ForConditionalGeneration, T5_SIZES),
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel, GPT2_SIZES),
}
needs_transformers_5 = pytest.mark.skipif(
    transformers.__version__.split(".")[0] < "5", reason="transformers 4 ties and scales by config.json alone"
)
pytestmark = needs_transformers_5


def written(folder, family, **settings):
    """A folder that transformers wrote, of a model with random weights, norms and biases included."""
    torch.manual_seed(0)
    config, kind, sizes = FAMILIES[family]
    model = kind(config(**(sizes | settings))).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    model.save_pretrained(folder)
    return folder


def edit(folder, **settings):
    """Change fields of config.json; None writes null, ... takes the field out."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8")) | settings
    kept = {name: value for name, value in content.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")


def put(folder, **tensors):
    """Add tensors to the weights, or take out those that are None; "__" stands for a point."""
    content = safetensors.load_file(folder / "model.safetensors")
    content |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    kept = {name: tensor for name, tensor in content.items() if tensor is not None}
    safetensors.save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def embedding(folder):
    content = safetensors.load_file(folder / "model.safetensors")
    return content["shared.weight"] if "shared.weight" in content else content["transformer.wte.weight"]


def assert_logits_of_transformers(folder, family, vocabulary=41):
    torch.manual_seed(1)
    theirs = FAMILIES[family][1].from_pretrained(folder).eval()
    ours = from_hugging_face(folder)
    source, target = torch.randint(2, vocabulary, (1, 7)), torch.randint(2, vocabulary, (1, 4))
    if family == "gpt2":
        expected = theirs(input_ids=torch.cat([source, target], 1)).logits[:, 6:-1]
    else:
        start = torch.full((1, 1), ours.config.start)
        expected = theirs(input_ids=source, decoder_input_ids=torch.cat([start, target[:, :-1]], 1)).logits
    found = ours(Batch(*pad(source.tolist()), *pad(target.tolist())))
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (theirs.get_output_embeddings().weight is theirs.get_input_embeddings().weight) == ours.config.tied_head
    return ours


NEW_HEAD = torch.randn(41, 12, generator=torch.Generator().manual_seed(5))
READ = {
    "a new t5": ("t5", {}, lambda folder: None),
    "a new t5 v1.1": ("t5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, lambda folder: None),
    "v1.1 with a head": ("t5", {"tie_word_embeddings": False}, lambda folder: put(folder, lm_head__weight=NEW_HEAD)),
    "v1.1 as version 4 wrote it": (
        "t5",
        {"feed_forward_proj": "gated-gelu"},
        lambda folder: (
            put(folder, lm_head__weight=NEW_HEAD),
            edit(folder, tie_word_embeddings=False, scale_decoder_outputs=...),
        ),
    ),
    "1.0 as version 4 wrote it": ("t5", {}, lambda folder: edit(folder, scale_decoder_outputs=...)),
    "a tied t5 with another head": ("t5", {}, lambda folder: put(folder, lm_head__weight=NEW_HEAD)),
    "a new mt5": ("mt5", {}, lambda folder: None),
    "mt5 with a head": ("mt5", {}, lambda folder: put(folder, lm_head__weight=NEW_HEAD)),
    "mt5 as version 4 wrote it": (
        "mt5",
        {},
        lambda folder: (put(folder, lm_head__weight=NEW_HEAD), edit(folder, tie_word_embeddings=False)),
    ),
    "an mt5 without feed_forward_proj": ("mt5", {}, lambda folder: edit(folder, feed_forward_proj=...)),
    "gated relu": ("t5", {"feed_forward_proj": "gated-relu"}, lambda folder: None),
    "tanh gelu without a gate": ("t5", {"feed_forward_proj": "gelu_new"}, lambda folder: None),
    "as many layers on both sides": (
        "t5",
        {"num_decoder_layers": 2},
        lambda folder: edit(folder, num_decoder_layers=None),
    ),
    "T5's head repeated": ("t5", {}, lambda folder: put(folder, lm_head__weight=embedding(folder))),
    "T5's embedding repeated": ("t5", {}, lambda folder: put(folder, encoder__embed_tokens__weight=embedding(folder))),
    "a table that nothing reads": (
        "t5",
        {},
        lambda folder: put(
            folder, decoder__block__0__layer__1__EncDecAttention__relative_attention_bias__weight=torch.ones(32, 3)
        ),
    ),
    "start null": ("t5", {}, lambda folder: edit(folder, decoder_start_token_id=None)),
    "pad null, start given": ("t5", {}, lambda folder: edit(folder, pad_token_id=None, decoder_start_token_id=3)),
    "one end in a list": ("t5", {}, lambda folder: edit(folder, eos_token_id=[1])),
    "another epsilon": ("t5", {}, lambda folder: edit(folder, layer_norm_epsilon=1e-2)),
    "an untied gpt2": ("gpt2", {"tie_word_embeddings": False}, lambda folder: None),
    "a tied gpt2 with another head": ("gpt2", {}, lambda folder: put(folder, lm_head__weight=NEW_HEAD)),
    "GPT-2's head repeated": ("gpt2", {}, lambda folder: put(folder, lm_head__weight=embedding(folder))),
    "GPT-2 without n_inner": ("gpt2", {}, lambda folder: edit(folder, n_inner=None)),
    "GPT-2 with n_inner": ("gpt2", {"n_inner": 22}, lambda folder: None),
    "GPT-2's activation by its other name": (
        "gpt2",
        {},
        lambda folder: edit(folder, activation_function="gelu_pytorch_tanh"),
    ),
    "upcast attention": ("gpt2", {}, lambda folder: edit(folder, reorder_and_upcast_attn=True)),
    "old buffers": (
        "gpt2",
        {},
        lambda folder: put(
            folder,
            transformer__h__0__attn__bias=torch.ones(1, 1, 50, 50, dtype=torch.bool).tril(),
            transformer__h__0__attn__masked_bias=torch.tensor(-1e4),
        ),
    ),
    "a list of one end for GPT-2": ("gpt2", {}, lambda folder: edit(folder, eos_token_id=[1])),
}


@pytest.mark.parametrize("case", READ)
def test_the_logits_of_a_folder_are_those_of_transformers(case, tmp_path):
    family, settings, change = READ[case]
    change(written(tmp_path, family, **settings))
    assert_logits_of_transformers(tmp_path, family)


REFUSED = {
    "a lying tie": ("gpt2", lambda f: edit(f, tie_word_embeddings=False), "lm_head.weight' is nothing"),
    "no embedding": ("t5", lambda f: put(f, shared__weight=None), "shared.weight' is nothing"),
    "more layers": ("t5", lambda f: edit(f, num_layers=1), "encoder.block.1.*expected nothing"),
    "GPT-2 with more layers": ("gpt2", lambda f: edit(f, n_layer=2), "transformer.h.2.*expected nothing"),
    "another embedding": (
        "t5",
        lambda f: put(f, decoder__embed_tokens__weight=NEW_HEAD),
        "decoder.embed_tokens.weight that differs from shared.weight",
    ),
    "a bias": (
        "t5",
        lambda f: put(f, encoder__block__0__layer__0__SelfAttention__q__bias=torch.zeros(15)),
        "SelfAttention.q.bias' is .15,., expected nothing",
    ),
    "a classifier": ("gpt2", lambda f: put(f, score__weight=torch.zeros(2, 12)), "score.weight.*expected nothing"),
    "two names": ("gpt2", lambda f: put(f, wte__weight=NEW_HEAD), "has been read already"),
    "ends": ("t5", lambda f: edit(f, eos_token_id=[1, 2]), r"eos_token_id is \[1, 2\]"),
    "no end": ("t5", lambda f: edit(f, eos_token_id=None), "eos_token_id is null"),
    "no end of GPT-2": ("gpt2", lambda f: edit(f, eos_token_id=None), "eos_token_id is null"),
    "no start": ("t5", lambda f: edit(f, pad_token_id=None), "decoder_start_token_id is null"),
    "a start beyond": ("t5", lambda f: edit(f, decoder_start_token_id=41), "decoder_start_token_id is 41"),
    "pad below": ("t5", lambda f: edit(f, pad_token_id=-1), "pad_token_id is -1"),
    "three dropouts": ("gpt2", lambda f: edit(f, attn_pdrop=0.0), "attn_pdrop 0.0"),
    "other gelu": ("t5", lambda f: edit(f, feed_forward_proj="gelu"), "feed_forward_proj is 'gelu'"),
    "silu": ("mt5", lambda f: edit(f, feed_forward_proj="gated-silu"), "feed_forward_proj is 'gated-silu'"),
    "no gate": ("mt5", lambda f: edit(f, is_gated_act=False), "is_gated_act is False"),
    "no activation": ("t5", lambda f: edit(f, dense_act_fn="silu"), "dense_act_fn is 'silu'"),
    "activation": ("gpt2", lambda f: edit(f, activation_function="gelu"), "activation_function is 'gelu'"),
    "unscaled": ("gpt2", lambda f: edit(f, scale_attn_weights=False), "scale_attn_weights is False"),
    "by layer": ("gpt2", lambda f: edit(f, scale_attn_by_inverse_layer_idx=True), "inverse_layer_idx is True"),
    "cross": ("gpt2", lambda f: edit(f, add_cross_attention=True), "add_cross_attention is True"),
    "tie text": ("gpt2", lambda f: edit(f, tie_word_embeddings="no"), "tie_word_embeddings is 'no'"),
    "scale text": ("t5", lambda f: edit(f, scale_decoder_outputs=1), "scale_decoder_outputs is 1"),
    "missing": ("t5", lambda f: edit(f, d_kv=...), "does not say d_kv"),
    "heads": ("gpt2", lambda f: edit(f, n_head=5), "n_embd 12 is not a multiple of n_head 5"),
    "other ends in generation": (
        "gpt2",
        lambda f: (f / "generation_config.json").write_text('{"eos_token_id": [1, 2]}', encoding="utf-8"),
        r"generation_config.json: eos_token_id is \[1, 2\], but 1 in config.json",
    ),
    "another start in generation": (
        "t5",
        lambda f: (f / "generation_config.json").write_text('{"decoder_start_token_id": 4}', encoding="utf-8"),
        "generation_config.json: decoder_start_token_id is 4, but 0 in config.json",
    ),
    "distance": ("t5", lambda f: edit(f, relative_attention_max_distance=16), "relative_attention_max_distance is 16"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_that_cannot_be_read_rightly_is_refused_by_name(case, tmp_path):
    family, change, sentence = REFUSED[case]
    change(written(tmp_path, family))
    with pytest.raises(UserError, match=sentence) as refusal:
        from_hugging_face(tmp_path)
    assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)


WRITTEN = {
    "an untied GPT-2": ("gpt2", lambda: tiny_gpt2(tied_head=False)),
    "a tied T5 that does not rescale": ("t5", lambda: tiny_t5(tied_head=True, rescaled=False)),
    "a T5 with a head of its own that rescales": ("t5", lambda: tiny_t5(rescaled=True)),
    "a gated T5 with relu": ("t5", lambda: tiny_t5(activation="relu")),
    "a plain T5 with gelu": ("t5", lambda: tiny_t5(gated=False)),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_transformers_reads_every_form_that_we_write(case, tmp_path):
    family, make = WRITTEN[case]
    to_hugging_face(make(), tmp_path)
    ours = assert_logits_of_transformers(tmp_path, family, vocabulary=37)
    assert ours.config == make().config and fingerprint(ours) == fingerprint(make())
