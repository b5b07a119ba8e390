"""Pretraining: the ladder of sizes, the batches, resuming, and that it learns."""

import json
import math
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial

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
from minipeft.transformer import tensor_files
from minipeft.transformer.batch import Batch
from minipeft.transformer.checkpoints import load_checkpoint, save_checkpoint
from minipeft.transformer.decoder_only import DecoderOnlyConfig
from minipeft.transformer.encoder_decoder import EncoderDecoder


class Killed(Exception):
    """What stops a run in the middle of these tests."""


@pytest.fixture
def small(monkeypatch):
    """Small chunks and two tiny models, so that a run of 20 steps takes a second and crosses chunks."""
    monkeypatch.setattr(batches, "CHUNK", 64)
    monkeypatch.setattr(pretrain, "skill_aucs", partial(pretrain.skill_aucs, count=8))
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
    short = PretrainSettings(
        tokens=1000, learning_rate=0.4, warmup=100
    )  # of 20 steps: warm-up by steps would never end
    assert [short.rate(step, tokens) for step, tokens in ((1, 50), (2, 100), (9, 450))] == pytest.approx(
        [0.2, 0.4, 0.4]
    )
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
    assert not list(tmp_path.glob("*/.*")) and not (tmp_path / "killed" / "resume.pt").exists()


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
    assert {"step", "tokens", "train_loss", "loss", "gap", "skills"} == set(results["curve"][-1])
    assert {"commit", "torch", "python", "hardware", "seconds"} <= set(results)

    adapted = replace(settings_of_20_steps(objective="prefix"), start_from=str(tmp_path / "base"))
    assert torch.equal(weights(pretrain.new_model(adapted)), weights(loaded))


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


WRONG = {
    "size": ["t5-9b", None, 3, ["t5-tiny"]],
    "tokens": [0, -1, math.nan, math.inf, 1.5, "20e6", True],
    "learning_rate": [0.0, -1.0, math.nan, math.inf, "0.1"],
    "warmup": [0, -1, 0.1, None],
    "decay": [0, 0.0, -1, 2, 1.01, math.nan, "0.5", None],
    "seed": [-1, 2**63, 0.0, None],
    "keep_at": [(-1,), (0,), ("100",), (2.5,), "100", 100, None],
    "evaluate_every": [0, -5, None],
    "save_every": [0, 1.0, None],
}
WRONG_TEXT = {
    "objective": ["spam", None, 3],
    "batch_size": [0, -1, 2.0, None, 10**6],
    "seed": [-1, 2**64, "0", 1],  # 1 is the stream that is held out
    "max_length": [1, 0, -5, 12.0, None],
    "noise_density": [0, 1, 1.5, -0.1, math.nan],
    "mean_span": [0, 0.5, math.nan, math.inf],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG.items() for value in values])
def test_a_setting_with_which_nothing_can_be_pretrained_is_one_sentence(name, value):
    with pytest.raises(UserError, match=name) as raised:
        PretrainSettings(**{name: value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG_TEXT.items() for value in values])
def test_a_text_that_cannot_be_read_is_one_sentence(name, value):
    with pytest.raises(UserError, match=name):
        PretrainSettings(text=replace(TextStream(), **{name: value}))


def test_a_text_longer_than_the_positions_of_the_model_is_refused():
    assert PretrainSettings("gpt-1.7m", text=TextStream("causal", max_length=254))
    with pytest.raises(UserError, match="max_length must be at most 254"):
        PretrainSettings("gpt-1.7m", text=TextStream("causal", max_length=255))


def files_of(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_base_is_loaded_again_and_never_written_over(small, tmp_path, monkeypatch):
    settings = replace(settings_of_20_steps(), keep_at=(3,))
    pretrain.pretrain(settings, tmp_path / "base", progress_bar=False)
    before = files_of(tmp_path)
    monkeypatch.setattr(pretrain, "train_step", lambda *_: pytest.fail("a step was made"))
    again = pretrain.pretrain(settings, tmp_path / "base", progress_bar=False)
    assert torch.equal(weights(again), weights(load_checkpoint(tmp_path / "base")))
    for other, words in (
        (replace(settings, seed=5), "finished base with other settings, seed 0, not 5"),
        (replace(settings, size="gpt-tiny"), "size 't5-tiny', not 'gpt-tiny'"),
        (replace(settings, start_from=str(tmp_path / "base")), "start_from None, not"),
    ):
        with pytest.raises(UserError, match=words):
            pretrain.pretrain(other, tmp_path / "base", progress_bar=False)
    with pytest.raises(UserError, match="other-step3 holds a finished base with other settings"):
        (tmp_path / "base-step3").rename(tmp_path / "other-step3")
        pretrain.pretrain(replace(settings, seed=5), tmp_path / "other", progress_bar=False)
    (tmp_path / "other-step3").rename(tmp_path / "base-step3")
    (tmp_path / "base" / "results.json").unlink()
    with pytest.raises(UserError, match="holds a model that was not made here: name another folder"):
        pretrain.pretrain(settings, tmp_path / "base", progress_bar=False)
    del before["base/results.json"]
    assert files_of(tmp_path) == before


ODD_FILES = {
    "results.json": ["[" * 100_000, "{", "[]", "{}", '{"settings": 3}', '{"settings": {"size": null}}', "null"],
    "resume.pt": ["", "PK broken", "{}"],
}


@pytest.mark.parametrize("name, content", [(name, content) for name, odd in ODD_FILES.items() for content in odd])
def test_files_of_the_folder_with_other_content_are_one_sentence(small, tmp_path, name, content):
    torch.save({}, tmp_path / "weights.pt")
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="name another folder, or delete|delete it to start anew") as raised:
        pretrain.pretrain(settings_of_20_steps(), tmp_path, progress_bar=False)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 600
    assert (tmp_path / name).read_text(encoding="utf-8") == content


def test_the_state_of_another_kind_of_run_is_one_sentence(small, tmp_path):
    settings = settings_of_20_steps()
    ours = {"model": {}, "optimizer": {}, "settings": asdict(settings), "progress": {"spam": 1}}
    for state, words in (
        ({"description": {}, "state": {}}, "lacks the model"),
        ({**ours, "settings": {}}, "other settings"),
        ({**ours, "progress": []}, "progress is a list"),
        (ours, "does not fit this run"),
    ):
        tensor_files.write_state(tmp_path / "resume.pt", state)
        with pytest.raises(UserError, match=words):
            pretrain.pretrain(settings, tmp_path, progress_bar=False)


def test_a_state_with_one_other_bit_is_not_gone_on_from(small, tmp_path, monkeypatch):
    settings = settings_of_20_steps()
    monkeypatch.setattr(pretrain, "save_checkpoint", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        pretrain.pretrain(settings, tmp_path, progress_bar=False)
    file = tmp_path / "resume.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[:50_000] + bytes([whole[50_000] ^ 1]) + whole[50_001:])
    with pytest.raises(UserError, match="delete it to start anew"):
        pretrain.pretrain(settings, tmp_path, progress_bar=False)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_and_keeps_what_was_saved(small, tmp_path, monkeypatch, bad):
    settings, calls, plain = settings_of_20_steps(), [], EncoderDecoder.loss

    def loss(model, batch):
        calls.append(model.training)
        return plain(model, batch) * (bad if sum(calls) == 11 else 1.0)

    monkeypatch.setattr(EncoderDecoder, "loss", loss)
    with pytest.raises(UserError, match="pretraining stopped after step 10: the loss is .*learning rate below 0.05"):
        pretrain.pretrain(settings, tmp_path / "base", progress_bar=False)
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["resume.pt"]
    kept = tensor_files.read_state(tmp_path / "base" / "resume.pt")
    assert kept["progress"]["step"] == 8 and all(tensor.isfinite().all() for tensor in kept["model"].values())


def test_weights_that_no_checkpoint_can_hold_are_not_saved(small, tmp_path):
    model = build(SIZES["t5-tiny"])
    with torch.no_grad():
        model.embedding.weight[3, 2] = 1e6  # 16 bits end at 65504
    with pytest.raises(UserError, match="embedding.weight holds what is no number, or none that torch.float16"):
        save_checkpoint(tmp_path / "base", model)
    assert not (tmp_path / "base").exists()


def test_a_step_to_keep_beyond_the_run_is_found_before_the_first(small, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "train_step", lambda *_: pytest.fail("a step was made"))
    with pytest.raises(UserError, match="keep_at has step 100, and the run ends after about (18|19|20|21|22)"):
        pretrain.pretrain(replace(settings_of_20_steps(), keep_at=(3, 100)), tmp_path / "x", progress_bar=False)
    assert not list(tmp_path.iterdir())


def test_a_start_of_another_family_or_vocabulary_or_none_at_all_is_refused(small, tmp_path):
    save_checkpoint(tmp_path / "gpt", build(SIZES["gpt-tiny"]))
    save_checkpoint(tmp_path / "words", build(replace(SIZES["t5-tiny"], vocabulary_size=99)))
    for start, words in (("gpt", "family of t5-tiny"), ("words", "another vocabulary"), ("none", "does not exist")):
        settings = replace(settings_of_20_steps(), start_from=tmp_path / start)
        with pytest.raises(UserError, match=words):
            pretrain.pretrain(settings, tmp_path / "new", progress_bar=False)
    assert not (tmp_path / "new").exists()


def test_an_absent_device_and_no_number_of_workers_are_refused(small, tmp_path):
    for told in ({"device": "gpu"}, {"device": "cuda:99"}, {"device": 3.5}, {"workers": -1}, {"workers": "two"}):
        with pytest.raises(UserError, match="no device|workers is"):
            pretrain.pretrain(settings_of_20_steps(), tmp_path / "x", progress_bar=False, **told)
    assert not list(tmp_path.iterdir())


def test_a_place_that_takes_no_files_is_found_before_the_first_step(small, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "train_step", lambda *_: pytest.fail("a step was made"))
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for place in (tmp_path / "file", tmp_path / "file" / "base", tmp_path / ("n" * 300)):
        with pytest.raises(UserError, match="cannot be written"):
            pretrain.pretrain(settings_of_20_steps(), place, progress_bar=False)

    def full(content, part):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="resume.pt cannot be written .No space left"):
        pretrain.pretrain(settings_of_20_steps(), tmp_path / "base", progress_bar=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_weights_that_a_step_made_infinite_are_not_saved_to_go_on_from(small, tmp_path, monkeypatch):
    plain = pretrain.train_step

    def too_far(model, optimizer, batch, dtype):
        loss = plain(model, optimizer, batch, dtype)
        if optimizer.state[model.embedding.weight]["step"] == 16:  # a step that is saved
            model.embedding.weight.data[5, 1] = math.inf
        return loss

    monkeypatch.setattr(pretrain, "train_step", too_far)
    with pytest.raises(UserError, match="after step 16: a weight is no finite number"):
        pretrain.pretrain(settings_of_20_steps(), tmp_path, progress_bar=False)
    assert tensor_files.read_state(tmp_path / "resume.pt")["progress"]["step"] == 8


PREPARE = """
import sys
from minipeft.pretraining.batches import TextStream, chunks
if __name__ == "__main__":
    prepared = chunks(TextStream(batch_size=16), 0, workers=1)
    print(len(next(prepared)) > 0, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_processes_that_prepare_text_end_with_the_one_they_work_for(tmp_path):
    (tmp_path / "prepare.py").write_text(PREPARE, encoding="utf-8")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "prepare.py")], **pipes)
    assert parent.stdout.readline() == "True\n"
    parent.kill()
    parent.communicate(timeout=300)  # at once where the worker, which has the same output, ends too; else never


@pytest.mark.parametrize("name", ["config.json", "results.json"])
def test_a_model_of_another_library_is_not_written_over(name, small, tmp_path):
    """A Hugging Face folder has a config.json, and no weights.pt."""
    (tmp_path / name).write_text('{"model_type": "t5"}', encoding="utf-8")
    with pytest.raises(UserError, match="name another folder"):
        pretrain.pretrain(settings_of_20_steps(), tmp_path, progress_bar=False)
    assert [file.name for file in tmp_path.iterdir()] == [name]
