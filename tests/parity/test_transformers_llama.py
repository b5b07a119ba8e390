"""Our Llama against transformers' Llama, Mistral, Qwen2 and Qwen3: logits, loss, gradients, generation, folders."""

import inspect
import json

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
safetensors = pytest.importorskip("safetensors.torch", reason="needs minipeft[parity]")

from helpers.models import random_batch, tiny_llama  # noqa: E402
from helpers.scrambling import scramble  # noqa: E402

from minipeft.errors import UserError  # noqa: E402
from minipeft.methods.prompts.prefix_tuning import PrefixTuning  # noqa: E402
from minipeft.transformer.batch import Batch, pad  # noqa: E402
from minipeft.transformer.causal_model import pad_left  # noqa: E402
from minipeft.transformer.fingerprints import fingerprint  # noqa: E402
from minipeft.transformer.hugging_face import from_hugging_face, to_hugging_face  # noqa: E402
from minipeft.transformer.hugging_face_llama import llama_names  # noqa: E402

pytestmark = pytest.mark.skipif(
    transformers.__version__.split(".")[0] < "5", reason="transformers 4 has other fields for rotary positions"
)

ODD = dict(
    vocab_size=41, hidden_size=12, intermediate_size=22, num_hidden_layers=3, num_attention_heads=6,
    num_key_value_heads=3, max_position_embeddings=50, bos_token_id=None, eos_token_id=1,
)  # fmt: skip
WIDE = {"head_dim": 6}  # 6 heads of 6 numbers: 36 in all, not 12


def turning(theta):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}


def scaled():
    """Of the three pairs of a head, the first is kept, the second mixed and the third slowed down."""
    numbers = {"factor": 8.0, "low_freq_factor": 0.5, "high_freq_factor": 4.0, "original_max_position_embeddings": 30}
    return {"rope_parameters": {"rope_type": "llama3", "rope_theta": 80.0, **numbers}}


CASES = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True, **WIDE, **turning(500.0)}),
    "llama, one head for all": ("Llama", {"num_key_value_heads": 1}),
    "llama, as many heads": ("Llama", {"num_key_value_heads": 6, "rms_norm_eps": 1e-2}),
    "llama 3.1": ("Llama", {**WIDE, **scaled()}),
    "mistral": ("Mistral", {"sliding_window": None, "num_key_value_heads": 2, **WIDE}),
    "mistral, a window that no text fills": ("Mistral", {"sliding_window": 50}),
    "qwen2": ("Qwen2", turning(1e6)),
    "qwen2, tied": ("Qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 2}),
    "qwen3": ("Qwen3", {**WIDE, **turning(1e6)}),
    "qwen3, tied": ("Qwen3", {"tie_word_embeddings": True, "head_dim": 4, "num_key_value_heads": 2}),
}
every_case = pytest.mark.parametrize("case", CASES)


def theirs(case):
    """A transformers model of odd sizes with random weights, norms and biases included, in eval mode."""
    torch.manual_seed(0)
    kind, changes = CASES[case]
    config = getattr(transformers, f"{kind}Config")(**(ODD | changes))
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model


def folder_of(model, folder):
    model.save_pretrained(folder)
    return from_hugging_face(folder)


def batch_of_random_ids():
    torch.manual_seed(1)
    source = [torch.randint(2, 41, (length,)).tolist() for length in (29, 7, 12)]
    target = [torch.randint(2, 41, (length,)).tolist() + [1] for length in (5, 9, 0)]
    return Batch(*pad(source), *pad(target))


def run_theirs(model, batch):
    """Source padded in front, then the target; positions count real tokens, as `transformers` does in generation."""
    source, source_mask = pad_left(batch.source, batch.source_mask)
    ids, mask = torch.cat([source, batch.target], 1), torch.cat([source_mask, batch.target_mask], 1)
    labels = torch.cat([torch.full_like(source, -100), batch.target.masked_fill(~batch.target_mask, -100)], 1)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, labels=labels)
    return output.loss, output.logits[:, source.shape[1] - 1 : -1]


@every_case
@pytest.mark.parametrize("fused", [False, True])
def test_logits_and_loss_agree(case, fused, tmp_path):
    model, batch = theirs(case), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    ours.set_fused_attention(fused)
    loss, logits = run_theirs(model, batch)
    torch.testing.assert_close(ours(batch)[batch.target_mask], logits[batch.target_mask], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.loss(batch), loss, rtol=1e-5, atol=1e-5)


@every_case
def test_texts_padded_at_their_ends_agree(case, tmp_path):
    model, batch = theirs(case), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    expected = model(input_ids=batch.source, attention_mask=batch.source_mask.long()).logits  # positions 0, 1, 2, ...
    states, _ = ours.decoder(ours.embedding(batch.source), batch.source_mask)
    found = ours.head(states)[batch.source_mask]
    torch.testing.assert_close(found, expected[batch.source_mask], rtol=1e-5, atol=1e-5)


@every_case
def test_the_gradient_of_every_weight_agrees(case, tmp_path):
    model, batch = theirs(case), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    run_theirs(model, batch)[0].backward()
    ours.loss(batch).backward()
    own, other = dict(ours.named_parameters()), dict(model.named_parameters())
    names = llama_names(ours.config)
    assert set(names) == set(other) and {name for parts in names.values() for name in parts} == set(own)
    for name, (part,) in names.items():
        expected = other[name].grad
        assert expected.abs().max() > 1e-6
        torch.testing.assert_close(own[part].grad, expected, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: n + m)


@every_case
def test_greedy_generation_agrees_token_for_token(case, tmp_path):
    model, batch = theirs(case), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    source, mask = pad_left(batch.source, batch.source_mask)
    written = model.generate(
        input_ids=source, attention_mask=mask.long(), max_new_tokens=15, do_sample=False, pad_token_id=0
    )
    expected = [row[source.shape[1] :].tolist() for row in written]
    expected = [row[: row.index(1)] if 1 in row else row for row in expected]
    assert len({token for row in expected for token in row}) > 1
    assert ours.generate(batch, 15) == expected


@every_case
def test_transformers_reads_the_folder_that_we_write(case, tmp_path):
    """A Mistral comes back as the Llama that it is."""
    model, batch = theirs(case), batch_of_random_ids()
    ours = folder_of(model, tmp_path / "theirs")
    to_hugging_face(ours, tmp_path / "ours")
    kind = transformers.AutoModelForCausalLM
    again, report = kind.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert torch.equal(run_theirs(again.eval(), batch)[1], run_theirs(model, batch)[1])
    assert from_hugging_face(tmp_path / "ours").config == ours.config


@pytest.mark.parametrize("changes", [{}, {"query_key_value_bias": True}, {"query_key_norm": True, "tied_head": True}])
def test_our_own_models_go_out_and_come_back_bit_for_bit(changes, tmp_path):
    model = tiny_llama(**changes)
    to_hugging_face(model, tmp_path)
    again = from_hugging_face(tmp_path)
    assert again.config == model.config and fingerprint(again) == fingerprint(model)
    assert torch.equal(again(random_batch()), model(random_batch()))


def test_a_model_that_hugging_face_has_no_name_for_is_not_written(tmp_path):
    with pytest.raises(UserError, match="both Qwen2's biases and Qwen3's norms: nothing was saved"):
        to_hugging_face(tiny_llama(query_key_value_bias=True, query_key_norm=True), tmp_path)
    assert not list(tmp_path.iterdir())


@torch.no_grad()
@pytest.mark.parametrize("case", ["llama", "llama 3.1", "mistral", "qwen2", "qwen3"])
def test_a_prefix_is_a_cache_from_which_transformers_goes_on(case, tmp_path):
    """What peft makes of prefix tuning, too: keys that are turned already, and a text whose positions come behind."""
    model, batch = theirs(case), batch_of_random_ids()
    ours, method = folder_of(model, tmp_path), PrefixTuning(prefix_length=4, reparametrise=False)
    method.attach(ours)
    scramble(method, seed=2)
    (table,) = method.state_dict().values()  # (layers, 2, key_value_heads, prefix, head)
    cache = transformers.DynamicCache()
    for layer, (key, value) in enumerate(table):
        cache.update(key.expand(len(batch), -1, -1, -1), value.expand(len(batch), -1, -1, -1), layer)
    source, mask = pad_left(batch.source, batch.source_mask)
    ids, mask = torch.cat([source, batch.target], 1), torch.cat([mask, batch.target_mask], 1)
    positions = 4 + (mask.long().cumsum(1) - 1).clamp(min=0)
    whole = torch.cat([torch.ones(len(batch), 4, dtype=torch.long), mask.long()], 1)
    named = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    output = model(input_ids=ids, attention_mask=whole, position_ids=positions, **{named: cache})
    expected, found = output.logits[:, source.shape[1] - 1 : -1], ours(batch)
    assert not torch.allclose(found[0], run_theirs(model, batch)[1][0], atol=1e-2)
    torch.testing.assert_close(found[batch.target_mask], expected[batch.target_mask], rtol=1e-5, atol=1e-5)


def edit(folder, **settings):
    """Change fields of config.json; ... takes the field out."""
    content = json.loads((folder / "config.json").read_text(encoding="utf-8")) | settings
    kept = {name: value for name, value in content.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept), encoding="utf-8")


def put(folder, **tensors):
    """Add tensors to the weights, "__" for a point."""
    content = safetensors.load_file(folder / "model.safetensors")
    content |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    safetensors.save_file(content, folder / "model.safetensors", metadata={"format": "pt"})


AS_WRITTEN_BEFORE = {"rope_parameters": ..., "rope_scaling": None, "head_dim": ...}
READ = {
    "llama as version 4 wrote it": ("llama", lambda f: edit(f, **AS_WRITTEN_BEFORE, rope_theta=777.0)),
    "mistral as version 4 wrote it": (
        "mistral, a window that no text fills",
        lambda f: edit(f, **AS_WRITTEN_BEFORE, rope_theta=777),
    ),
    "qwen2 as version 4 wrote it": (
        "qwen2",
        lambda f: edit(f, **AS_WRITTEN_BEFORE, rope_theta=1e6, sliding_window=4, max_window_layers=1, layer_types=...),
    ),
    "llama 3.1 as version 4 wrote it": (
        "llama 3.1",
        lambda f: edit(f, rope_parameters=..., rope_theta=77.0, rope_scaling=scaled()["rope_parameters"]),
    ),
    "no theta at all": ("llama", lambda f: edit(f, rope_parameters=...)),
    "theta in the old place of a scaling": (
        "llama",
        lambda f: edit(f, rope_parameters=..., rope_scaling={"type": "default", "rope_theta": 50.0}),
    ),
    "no count of key and value heads": ("llama, as many heads", lambda f: edit(f, num_key_value_heads=None)),
    "the activation's other name": ("qwen3", lambda f: edit(f, hidden_act="swish")),
    "one end in a list": ("llama", lambda f: edit(f, eos_token_id=[1])),
    "a tied head repeated": (
        "llama, tied",
        lambda f: put(f, lm_head__weight=safetensors.load_file(f / "model.safetensors")["model.embed_tokens.weight"]),
    ),
    "another head than the tie says": (
        "qwen2, tied",
        lambda f: put(f, lm_head__weight=torch.randn(41, 12, generator=torch.Generator().manual_seed(5))),
    ),
    "speeds of rotary positions that old files keep": (
        "llama",
        lambda f: put(f, model__layers__1__self_attn__rotary_emb__inv_freq=torch.ones(1)),
    ),
}


@pytest.mark.parametrize("reading", READ)
def test_the_logits_of_a_folder_are_those_of_transformers(reading, tmp_path):
    case, change = READ[reading]
    theirs(case).save_pretrained(tmp_path)
    change(tmp_path)
    model, batch = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval(), batch_of_random_ids()
    found, expected = from_hugging_face(tmp_path)(batch), run_theirs(model, batch)[1]
    torch.testing.assert_close(found[batch.target_mask], expected[batch.target_mask], rtol=1e-4, atol=1e-5)


def test_a_file_of_the_bare_model_without_prefix_is_read(tmp_path):
    model = theirs("llama, tied")
    model.model.save_pretrained(tmp_path)
    assert torch.equal(from_hugging_face(tmp_path).embedding.weight, model.model.embed_tokens.weight)


def test_the_7b_model_has_the_same_parameters():
    with torch.device("meta"):
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig())
    assert sum(parameter.numel() for parameter in theirs.parameters()) == 6_738_415_616
