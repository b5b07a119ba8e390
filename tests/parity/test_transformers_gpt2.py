"""Our GPT-2 against transformers': logits, loss, gradients, generation, and folders in both directions."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="needs minipeft[parity]")
pytest.importorskip("safetensors", reason="needs minipeft[parity]")

from minipeft.transformer.batch import Batch, pad  # noqa: E402
from minipeft.transformer.causal_model import pad_left  # noqa: E402
from minipeft.transformer.hugging_face import from_hugging_face, gpt2_names, is_transposed, to_hugging_face  # noqa: E402

ODD = dict(vocab_size=41, n_embd=12, n_head=3, n_layer=3, n_positions=50, n_inner=22, bos_token_id=1, eos_token_id=1)


def theirs():
    """A transformers GPT-2 of odd sizes with random weights, norms and biases included, in eval mode."""
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**ODD)).eval()
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
    """Source padded in front, then the target; positions count real tokens, as `transformers` does in generation."""
    source, source_mask = pad_left(batch.source, batch.source_mask)
    ids, mask = torch.cat([source, batch.target], 1), torch.cat([source_mask, batch.target_mask], 1)
    labels = torch.cat([torch.full_like(source, -100), batch.target.masked_fill(~batch.target_mask, -100)], 1)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    output = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, labels=labels)
    return output.loss, output.logits[:, source.shape[1] - 1 : -1]


def test_logits_and_loss_agree(tmp_path):
    model, batch = theirs(), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    loss, logits = run_theirs(model, batch)
    torch.testing.assert_close(ours(batch)[batch.target_mask], logits[batch.target_mask], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.loss(batch), loss, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_every_weight_agrees(tmp_path):
    model, batch = theirs(), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    run_theirs(model, batch)[0].backward()
    ours.loss(batch).backward()
    own, other = dict(ours.named_parameters()), dict(model.named_parameters())
    names = gpt2_names(ours.config)
    assert set(names) == set(other) and {name for parts in names.values() for name in parts} == set(own)
    for name, parts in names.items():
        found = torch.cat([own[part].grad for part in parts])
        expected = other[name].grad.T if is_transposed(name) else other[name].grad
        assert expected.abs().max() > 1e-6
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: n + m)


def test_greedy_generation_agrees_token_for_token(tmp_path):
    model, batch = theirs(), batch_of_random_ids()
    ours = folder_of(model, tmp_path)
    source, mask = pad_left(batch.source, batch.source_mask)
    written = model.generate(
        input_ids=source, attention_mask=mask.long(), max_new_tokens=12, do_sample=False, pad_token_id=0
    )
    expected = [row[source.shape[1] :].tolist() for row in written]
    expected = [row[: row.index(1)] if 1 in row else row for row in expected]
    assert ours.generate(batch, 12) == expected


def test_transformers_reads_the_folder_that_we_write(tmp_path):
    model, batch = theirs(), batch_of_random_ids()
    to_hugging_face(folder_of(model, tmp_path / "theirs"), tmp_path / "ours")
    again, report = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert torch.equal(run_theirs(again.eval(), batch)[1], run_theirs(model, batch)[1])


def test_a_file_of_the_bare_model_without_prefix_is_read(tmp_path):
    """The released gpt2 folder has names without `transformer.`, and mask buffers that are no weights."""
    model = theirs()
    model.transformer.save_pretrained(tmp_path)
    assert torch.equal(from_hugging_face(tmp_path).embedding.weight, model.transformer.wte.weight)
