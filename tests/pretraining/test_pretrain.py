"""Pretraining: the ladder of sizes, the batches, resuming, and that it learns."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.command_line import refusal

from minipeft.errors import UserError
from minipeft.pretraining import batches, pretrain
from minipeft.pretraining.batches import TextStream, as_batch, chunks, prepare_chunk, tokenizer
from minipeft.pretraining.held_out import evaluate_base, held_out_batches
from minipeft.pretraining.settings import PretrainSettings
from minipeft.pretraining.sizes import SIZES, VOCABULARY, build, t5
from minipeft.pretraining.span_corruption import rebuild
from minipeft.tasks.making.corpus import documents
from minipeft.transformer.batch import Batch
from minipeft.transformer.checkpoints import load_checkpoint
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder


class Killed(Exception):
    """What stops a run in the middle of these tests."""


@pytest.fixture
def small(monkeypatch):
    """Small chunks and two tiny models, so that a run of 20 steps takes a second and crosses chunks."""
    monkeypatch.setattr(batches, "CHUNK", 64)
    tiny = {"t5-tiny": t5(16, 2, 8, 24, 1), "gpt-tiny": DecoderOnlyConfig(VOCABULARY, 16, 2, 1)}
    for name, size in tiny.items():
        monkeypatch.setitem(SIZES, name, size)
    torch.set_num_threads(1)


def settings_of_20_steps(size="t5-tiny", objective="span") -> PretrainSettings:
    text = TextStream(objective, batch_size=8)
    tokens = 0
    batch_tokens = (rows.tokens for chunk in chunks(text, 0) for rows in chunk)
    for _ in range(20):
        tokens += next(batch_tokens)
    return PretrainSettings(size, tokens, text, warmup=5, evaluate_every=8, save_every=8)


def weights(model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("name", SIZES)
def test_each_size_has_the_parameters_its_name_says(name):
    millions = sum(parameter.numel() for parameter in build(SIZES[name]).parameters()) / 1e6
    assert millions == pytest.approx(float(name.split("-")[1].removesuffix("m")), rel=0.12)


def test_the_sizes_have_the_vocabulary_of_the_bundled_tokenizer():
    assert tokenizer().size == VOCABULARY


def test_a_chunk_depends_on_its_number_and_the_seed_alone(small):
    stream = TextStream(batch_size=8)
    third = [chunk for chunk, _ in zip(chunks(stream, 0), range(3), strict=False)][2]
    assert third == prepare_chunk(stream, 2) == next(chunks(stream, 2))
    assert third != prepare_chunk(replace(stream, seed=5), 2)
    assert third != prepare_chunk(stream, 3)


def test_a_chunk_holds_each_of_its_documents_once_and_batches_are_of_like_length(small):
    stream = TextStream(batch_size=4, max_length=1000)
    chunk = prepare_chunk(stream, 1)
    texts = [rebuild(source[:-1], target[:-1], tokenizer().sentinel) for rows in chunk for source, target in rows.pairs]
    wanted = [tokenizer().encode(text) for text in documents(stream.seed, 64, 64)]
    assert sorted(texts) == sorted(wanted)
    assert sum(rows.tokens for rows in chunk) == sum(map(len, wanted))
    spread = max(max(map(len, texts[i : i + 4])) - min(map(len, texts[i : i + 4])) for i in range(0, 56, 4))
    assert spread < max(map(len, wanted)) - min(map(len, wanted))


@pytest.mark.slow  # another process has to import everything first
def test_a_chunk_prepared_by_another_process_is_the_same():
    stream = TextStream(batch_size=16)
    assert next(chunks(stream, 1, workers=1)) == prepare_chunk(stream, 1)


def test_the_rate_rises_stays_and_falls_to_zero_with_the_tokens():
    settings = PretrainSettings(tokens=1000, learning_rate=0.4, warmup=4, decay=0.2)
    assert [settings.rate(step, 0) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    assert [settings.rate(50, tokens) for tokens in (700, 800, 900, 1000)] == pytest.approx([0.4, 0.4, 0.2, 0.0])
    assert PretrainSettings().rate(500, 0) == 0.05 and PretrainSettings("gpt-1.7m").rate(500, 0) == 0.002


def test_long_texts_are_cut_into_pieces_that_fit():
    assert batches.pieces(list(range(9)), 4) == [[0, 1, 2, 3], [4, 5, 6, 7]]  # one token cannot be cut in two
    assert batches.pieces(list(range(6)), 4) == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("objective", ["span", "prefix", "causal"])
def test_every_row_of_a_batch_ends_with_end_of_sequence(small, objective):
    batch = as_batch(prepare_chunk(TextStream(objective, batch_size=8), 0)[0])
    for ids, mask in ((batch.source, batch.source_mask), (batch.target, batch.target_mask)):
        last = ids.gather(1, mask.sum(1, keepdim=True) - 1)
        assert (last == tokenizer().eos).all() and ((ids == tokenizer().eos) & mask).sum() == 8


@pytest.mark.parametrize("size, objective", [("t5-tiny", "span"), ("gpt-tiny", "causal")])
def test_a_killed_and_resumed_run_gives_the_weights_of_an_unbroken_one_bit_for_bit(
    small, tmp_path, monkeypatch, size, objective
):
    settings = settings_of_20_steps(size, objective)
    unbroken = pretrain.pretrain(settings, tmp_path / "unbroken", progress_bar=False)

    step, calls = pretrain.train_step, []

    def dying_step(*arguments):
        calls.append(1)
        if len(calls) == 13:  # in the second chunk, 4 steps after the save
            raise Killed
        return step(*arguments)

    monkeypatch.setattr(pretrain, "train_step", dying_step)
    with pytest.raises(Killed):
        pretrain.pretrain(settings, tmp_path / "killed", progress_bar=False)
    monkeypatch.setattr(pretrain, "train_step", step)
    resumed = pretrain.pretrain(settings, tmp_path / "killed", progress_bar=False)

    assert torch.equal(weights(resumed), weights(unbroken))
    first, second = (
        json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8")) for name in ("unbroken", "killed")
    )
    assert first["step"] == 20 and first["curve"] == second["curve"]
    assert not list(tmp_path.glob("*/*.p*t.part")) and not (tmp_path / "killed" / "resume.pt").exists()


def test_an_unfinished_run_with_other_settings_is_refused(small, tmp_path, monkeypatch):
    settings = settings_of_20_steps()
    monkeypatch.setattr(pretrain, "save_checkpoint", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        pretrain.pretrain(settings, tmp_path, progress_bar=False)
    with pytest.raises(UserError, match="other settings"):
        pretrain.pretrain(replace(settings, learning_rate=0.5), tmp_path, progress_bar=False)


def test_the_checkpoint_reads_back_and_says_how_it_was_made(small, tmp_path):
    settings = replace(settings_of_20_steps(), keep_at=(3,))
    model = pretrain.pretrain(settings, tmp_path / "base", progress_bar=False)
    loaded = load_checkpoint(tmp_path / "base")
    assert torch.allclose(weights(loaded), weights(model), rtol=1e-3, atol=1e-6)  # 16 bits
    assert not torch.equal(weights(load_checkpoint(tmp_path / "base-step3")), weights(loaded))
    results = json.loads((tmp_path / "base" / "results.json").read_text(encoding="utf-8"))
    assert results["settings"]["size"] == "t5-tiny" and results["tokens"] == settings.tokens
    assert {"step", "tokens", "train_loss", "loss", "gap"} == set(results["curve"][-1])
    assert {"commit", "torch", "python", "hardware", "seconds"} <= set(results)

    adapted = replace(settings_of_20_steps(objective="prefix"), start_from=str(tmp_path / "base"), learning_rate=0.0)
    unchanged = pretrain.pretrain(adapted, tmp_path / "adapted", progress_bar=False)
    assert torch.equal(weights(unchanged), weights(loaded))  # a rate of zero: it did start from there


def test_held_out_loss_falls(small, tmp_path):
    settings = settings_of_20_steps()
    held_out = held_out_batches(settings.text)
    before = evaluate_base(pretrain.new_model(settings), held_out)["loss"]
    results = pretrain.pretrain(replace(settings, learning_rate=0.1), tmp_path, progress_bar=False)
    assert evaluate_base(results, held_out)["loss"] < 0.8 * before


def test_the_gap_is_what_the_right_source_saves():
    class Copier(EncoderDecoder):
        """Loss 0 where source and target are the same row, else 3."""

        def loss(self, batch):
            return 3.0 * (batch.source != batch.target).any(1).float().mean()

    ids = torch.tensor([[5, 6], [7, 8], [9, 9]])
    batch = Batch(ids, torch.ones_like(ids).bool(), ids, torch.ones_like(ids).bool())
    assert evaluate_base(Copier(t5(4, 1, 4, 4, 1)), [batch]) == {"loss": 0.0, "gap": 3.0}


def test_an_unknown_size_or_objective_is_one_sentence_and_status_2(tmp_path, capsys):
    assert "t5-9b" in refusal(capsys, "pretrain", "--size", "t5-9b", "--folder", str(tmp_path))
    assert "spam" in refusal(capsys, "pretrain", "--objective", "spam", "--folder", str(tmp_path))
