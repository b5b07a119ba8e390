"""SPoT: similarities and retrieval by hand-worked numbers, and the commands that train and transfer prompts."""

import json
import math
from pathlib import Path

import pytest
import torch
from helpers.command_line import refusal

from minipeft.__main__ import main
from minipeft.errors import UserError
from minipeft.methods.prompts.spot import read_prompt_file
from minipeft.pretraining.tokenizer import Tokenizer
from minipeft.racing.finished import finished
from minipeft.racing.runs import run
from minipeft.transfer.task_embeddings import cosine_of_means, mean_of_cosines, most_similar, weighted_average
from minipeft.transformer.checkpoints import save_checkpoint
from minipeft.transformer.encoder_decoder import EncoderDecoder, EncoderDecoderConfig


def test_the_two_similarities_of_rows_at_right_angles():
    one, other = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[5.0, 0.0]])
    # Means (1.5, 0.5) and (5, 0): the long row counts more. Pairs: cosines 1 and 0, whatever the lengths.
    assert cosine_of_means(one, other) == pytest.approx(3 / math.sqrt(10))
    assert mean_of_cosines(one, other) == pytest.approx(0.5)


def test_similarities_are_those_of_loops_in_double_precision():
    torch.manual_seed(0)
    one, other = torch.randn(5, 7), 3 * torch.randn(4, 7) + 1

    def cosine(a, b):
        dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(y) ** 2 for y in b))

    pairs = [cosine(a, b) for a in one for b in other]
    assert mean_of_cosines(one, other) == pytest.approx(sum(pairs) / 20, abs=1e-6)
    means = [[sum(map(float, column)) / len(rows) for column in rows.T] for rows in (one, other)]
    assert cosine_of_means(one, other) == pytest.approx(cosine(*means), abs=1e-6)
    for similarity in (cosine_of_means, mean_of_cosines):
        assert similarity(one.bfloat16(), other.bfloat16()) == pytest.approx(similarity(one, other), abs=0.02)
        assert similarity(2 * one, other) == pytest.approx(similarity(one, other), abs=1e-6)


def test_retrieval_takes_the_most_similar_first():
    target = torch.tensor([[1.0, 0.0]])
    sources = {f"{degrees}": torch.tensor([[math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]])
               for degrees in (80, 10, 120, 45)}  # fmt: skip
    for kind in ("means", "tokens"):
        found = most_similar(target, sources, 3, kind)
        assert [name for name, _ in found] == ["10", "45", "80"]
        assert [value for _, value in found] == pytest.approx([math.cos(math.radians(d)) for d in (10, 45, 80)])
    for count in (0, 5):
        with pytest.raises(UserError, match="4 sources to choose from"):
            most_similar(target, sources, count)
    with pytest.raises(UserError, match="means, tokens, not 'dot'"):
        most_similar(target, sources, 1, "dot")


def test_an_average_weighs_prompts_by_their_share_of_the_similarity():
    prompts = [torch.full((2, 3), value) for value in (1.0, 10.0, 100.0)]
    got = weighted_average(prompts, [0.1, 0.3, 0.6])
    torch.testing.assert_close(got, torch.full((2, 3), 0.1 * 1 + 0.3 * 10 + 0.6 * 100))
    torch.testing.assert_close(weighted_average(prompts, [0.2, 0.6, 1.2]), got)
    with pytest.raises(UserError, match="take a smaller k"):
        weighted_average(prompts, [0.9, 0.5, -0.1])


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    """A random base of a few thousand numbers that reads the bundled tokenizer's ids."""
    torch.manual_seed(0)
    sizes = {"heads": 2, "head_size": 4, "feed_forward_size": 12, "encoder_layers": 1, "decoder_layers": 1}
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(folder, EncoderDecoder(EncoderDecoderConfig(Tokenizer.load().size, hidden_size=8, **sizes)))
    return str(folder)


@pytest.mark.parametrize("kind", ["pair", "unified", "task"])
def test_a_prompt_is_pretrained_into_a_file_and_not_twice(kind, base_folder, tmp_path, capsys):
    out = tmp_path / "prompt.pt"
    flags = ["--model", base_folder, "--steps", "2", "--prompt-length", "3", "--documents", "200", "--out", str(out)]
    command = ["pretrain-prompt", "--kind", kind, *flags]
    assert main(command) == 0
    content = read_prompt_file(out)
    assert content["prompt"].shape == (3, 8)
    assert content["kind"] == ("sentiment" if kind == "task" else f"ppt-{kind}")
    assert content["provenance"]["settings"]["steps"] == 2 and content["provenance"]["torch"] == torch.__version__
    assert not list(tmp_path.glob("**/resume.pt")), "a finished run leaves nothing to resume"
    before = out.stat().st_mtime_ns
    assert main(command) == 0
    assert out.stat().st_mtime_ns == before and "is there already" in capsys.readouterr().out
    for flag, other in (("--steps", "3"), ("--prompt-length", "4"), ("--documents", "201"), ("--model", "t5-0.8m")):
        assert refusal(capsys, *command, flag, other).startswith(f"minipeft: {out} was made with ")
    assert out.stat().st_mtime_ns == before
    assert "is not a file: name another --out" in refusal(capsys, *command, "--out", str(tmp_path))


def test_pseudo_labels_are_made_once_by_a_classifier_and_kept(base_folder, tmp_path, monkeypatch):
    made = []

    def pretend(model_name, device, seed, run_dir, steps=None):
        made.append(run_dir)
        run_dir.mkdir(parents=True)

    spread = [number / 40 for number in range(41)]
    monkeypatch.setattr("minipeft.transfer.prompt_data.train_classifier", pretend)
    monkeypatch.setattr(
        "minipeft.transfer.pseudo_labels.goodness", lambda model, texts: (spread * len(texts))[: len(texts)]
    )
    flags = ["--model", base_folder, "--steps", "1", "--prompt-length", "2", "--documents", "240"]
    for _ in range(2):
        assert main(["pretrain-prompt", "--kind", "single", *flags, "--out", str(tmp_path / "p.pt")]) == 0
        (tmp_path / "p.pt").unlink()
    assert len(made) == 1
    (train,) = tmp_path.glob("p.pt.run/*/train.jsonl")
    lines = train.read_text(encoding="utf-8").splitlines()
    targets = [json.loads(line)["target"] for line in lines]
    assert {targets.count(word) for word in ("terrible", "bad", "maybe", "good", "great")} == {len(targets) // 5}
    flags[-1] = "250"  # a few documents more are other texts
    assert main(["pretrain-prompt", "--kind", "single", *flags, "--out", str(tmp_path / "p.pt")]) == 0
    assert len(made) == 2


def test_transfer_tunes_sources_measures_retrieves_and_keeps_finished_runs(base_folder, tmp_path, monkeypatch):
    made = []

    def in_this_process(specs, workers, description, done=None):
        """As `run_all`, without worker processes, which take seconds to start."""
        made.extend(missing := [spec for spec in specs if not finished(spec)])
        results = [run(spec) if spec in missing else finished(spec) for spec in specs]
        for spec, result in zip(specs, results, strict=True):  # dev and test disagree on which source is best
            good = "topic" in spec.hyperparameters.get("source", "")
            result |= {"dev": 70.0 + good, "test": 60.0 - good}
        return results

    monkeypatch.setattr("minipeft.commands.transfer.run_all", in_this_process)
    flags = ["--model", base_folder, "--steps", "2", "--prompt-length", "3", "--shots", "8", "--workers", "1"]
    command = ["transfer", "--sources", "sentiment_food,topic", "--target", "sentiment", *flags]
    command += ["--out", str(tmp_path), "--similarity", "tokens"]
    assert main([*command, "--k", "2", "--retrieval", "best,average,mixture"]) == 0
    report = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    rows = {row["start"]: row for row in report["rows"]}
    (best,) = [name for name in rows if name.startswith("best of 2 on dev: from ")]
    assert set(rows) == {"no transfer", "from sentiment_food", "from topic", "average of 2", "mixture of 2", best}
    assert best.endswith("from topic") and (rows[best]["dev"], rows[best]["test"]) == (71.0, 59.0)
    started = {Path(spec.hyperparameters["source"]).stem for spec in made if spec.method == "spot"}
    together = "+".join(report["similarities"]["tokens"])
    assert started == {"sentiment_food", "topic", "average", together}
    assert set(report["similarities"]) == {"means", "tokens"}
    # The average on disk is that of the files on disk, weighted by the similarities in the report.
    weights = report["similarities"]["tokens"]
    prompts = {name: read_prompt_file(tmp_path / "prompts" / f"{name}.pt")["prompt"] for name in weights}
    expected = sum(prompts[name] * weights[name] for name in weights) / sum(weights.values())
    torch.testing.assert_close(read_prompt_file(tmp_path / "prompts" / "average.pt")["prompt"], expected)
    made.clear()
    assert main([*command, "--k", "1"]) == 0  # with one source, its average and mixture are itself
    assert [Path(spec.folder).name.split("-")[0] for spec in made] == ["average_of_1", "mixture_of_1"]
    after = {
        row["start"]: row["test"] for row in json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["rows"]
    }
    first = next(iter(weights))
    assert list(after) == [
        "no transfer",
        f"from {first}",
        "average of 1",
        "mixture of 1",
        f"best of 1 on dev: from {first}",
    ]
    alone = [read_prompt_file(tmp_path / "prompts" / f"{name}.pt")["prompt"] for name in (first, "average")]
    assert torch.equal(*alone)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--k", "3"], "ask for 1 to 2"),
        (["--retrieval", "luck"], "no retrieval 'luck'"),
        (["--target", "sentiment_food"], "sentiment_food is the target and among the sources"),
    ],
)
def test_transfer_refuses_what_it_cannot_do(flags, words, base_folder, capsys):
    assert main(["transfer", "--model", base_folder, *flags]) == 2
    assert words in capsys.readouterr().err
