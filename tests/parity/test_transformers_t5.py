"""Our T5 against transformers': logits, loss, gradients, generation, and folders in both directions."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from minipeft.transformer.batch import Batch, pad  # noqa: E402
from minipeft.transformer.hugging_face import from_hugging_face, t5_names, to_hugging_face  # noqa: E402

VERSIONS = {"v1.1": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False), "1.0": {}}
ODD = dict(vocab_size=41, d_model=12, d_kv=5, num_heads=3, d_ff=22, num_layers=2, num_decoder_layers=3)  # 3 * 5 != 12
SHORT_BUCKETS = dict(relative_attention_num_buckets=8, relative_attention_max_distance=14)
both_versions = pytest.mark.parametrize("version", VERSIONS)


def theirs(version, **changes):
    """A transformers T5 of odd sizes with random weights, norms included, in eval mode."""
    torch.manual_seed(0)
    config = transformers.T5Config(**ODD, **SHORT_BUCKETS, **VERSIONS[version], decoder_start_token_id=0, **changes)
    model = transformers.T5ForConditionalGeneration(config).eval()
    if version == "v1.1":  # new versions of transformers tie the head of a model that was not read from a file
        model.lm_head.weight = torch.nn.Parameter(torch.randn(41, 12))
        config.tie_word_embeddings = False
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model


def folder_of(model, folder):
    model.save_pretrained(folder)
    return from_hugging_face(folder)


def batch_of_random_ids():
    torch.manual_seed(1)
    source = [torch.randint(2, 41, (length,)).tolist() for length in (19, 7, 12)]
    target = [torch.randint(2, 41, (length,)).tolist() + [1] for length in (5, 9, 0)]
    return Batch(*pad(source), *pad(target))


def run_theirs(model, batch):
    labels = batch.target.masked_fill(~batch.target_mask, -100)
    return model(input_ids=batch.source, attention_mask=batch.source_mask.long(), labels=labels)


@both_versions
def test_logits_and_loss_agree(version, tmp_path):
    model, batch = theirs(version), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    expected, found = run_theirs(model, batch), ours(batch)
    assert ours.config.tied_head == (version == "1.0")
    torch.testing.assert_close(found[batch.target_mask], expected.logits[batch.target_mask], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.loss(batch), expected.loss, rtol=1e-5, atol=1e-5)


@both_versions
def test_the_gradient_of_every_weight_agrees(version, tmp_path):
    model, batch = theirs(version), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    run_theirs(model, batch).loss.backward()
    ours.loss(batch).backward()
    own, other = dict(ours.named_parameters()), dict(model.named_parameters())
    names = t5_names(ours.config)
    assert set(names) == set(other) and {name for (name,) in names.values()} == set(own)  # nothing is left out
    for name, (own_name,) in names.items():
        assert own[own_name].grad.abs().max() > 1e-6
        torch.testing.assert_close(
            own[own_name].grad, other[name].grad, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: n + m
        )


@both_versions
def test_greedy_generation_agrees_token_for_token(version, tmp_path):
    model, batch = theirs(version), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    attention_mask = batch.source_mask.long()
    # Their cache counts the encoder's layers, and fails where the decoder has more of them.
    written = model.generate(batch.source, attention_mask=attention_mask, max_new_tokens=12, use_cache=False)
    expected = [row[1:].tolist() for row in written]  # without the start token
    expected = [row[: row.index(1)] if 1 in row else row for row in expected]
    assert ours.generate(batch, 12) == expected


@both_versions
def test_transformers_reads_the_folder_that_we_write(version, tmp_path):
    model, batch = theirs(version), batch_of_random_ids()
    to_hugging_face(folder_of(model, tmp_path / "theirs"), tmp_path / "ours")
    again, report = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert torch.equal(run_theirs(again.eval(), batch).logits, run_theirs(model, batch).logits)


def test_a_folder_in_several_shards_is_read_whole(tmp_path):
    model = theirs("v1.1")
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    ours = from_hugging_face(tmp_path).state_dict()
    for name, (own,) in t5_names(from_hugging_face(tmp_path).config).items():
        assert torch.equal(ours[own], model.state_dict()[name])
