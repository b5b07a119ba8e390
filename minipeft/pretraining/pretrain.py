"""Pretraining: from random weights, or from another base, to a checkpoint that `minipeft.load` reads.

T5 is trained T5's way: Adafactor with parameter scaling, so that each matrix moves in proportion to its own size. Its
unscaled attention, with embeddings of standard deviation 1, does not learn at one flat rate for all. GPT-2 has AdamW.
Watch the gap: the loss with the encoder inputs of other texts minus the loss with the right ones. While it is near
zero, the decoder ignores the encoder, and nothing that is fine-tuned on this base will learn to read.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from minipeft.errors import UserError
from minipeft.files import locked
from minipeft.pretraining.batches import Rows, TextStream, as_batch, chunks
from minipeft.pretraining.beforehand import check_keep_at, check_place
from minipeft.pretraining.held_out import evaluate_base, held_out_batches
from minipeft.pretraining.progress import Progress, is_finished, restore, results, save
from minipeft.pretraining.settings import PretrainSettings
from minipeft.pretraining.sizes import SIZES, build
from minipeft.pretraining.skills import GATE, passes_gate, skill_aucs
from minipeft.training.optimizers import Adafactor, AdamW
from minipeft.transformer.batch import Batch
from minipeft.transformer.checkpoints import load_checkpoint, save_checkpoint
from minipeft.transformer.encoder_decoder import EncoderDecoder
from minipeft.transformer.language_model import LanguageModel


def pretrain(
    settings: PretrainSettings,
    folder: str | Path,
    device: str = "cpu",
    workers: int = 0,
    progress_bar: bool = True,
) -> LanguageModel:
    """Train until `settings.tokens` are read and save a 16-bit checkpoint with its results in `folder`.

    A run that was killed goes on from its last save, to the same weights bit for bit as one that was not (on one
    machine); a finished one is loaded. Raises UserError where the folder holds a run or a base with other settings, is
    in use by another process or takes no files, and where the loss stops being a number: nothing is then saved.
    """
    check_place(device, workers)
    with locked(folder) as folder:
        for step in settings.keep_at:  # a kept checkpoint that was made otherwise stops the run here
            is_finished(kept_folder(folder, step), settings)
        if is_finished(folder, settings):
            return load_checkpoint(folder, device)
        check_keep_at(settings)
        model = new_model(settings).to(device).train()
        run = Run(settings, folder, model, progress_bar)
        for rows in remaining_batches(settings.text, run.progress, workers):
            run.read(rows)
            if run.finished():
                break
        return run.finish()


class Run:
    """A pretraining run: its model, how far it is, and what it does after each batch."""

    def __init__(self, settings: PretrainSettings, folder: Path, model: LanguageModel, progress_bar: bool):
        self.settings, self.folder, self.model = settings, folder, model
        self.optimizer, self.progress, self.losses = new_optimizer(model), Progress(), []
        if (folder / "resume.pt").exists():
            self.progress = restore(folder, settings, model, self.optimizer)
        else:
            save(folder, settings, model, self.optimizer, self.progress)  # a disk that is too full is found now
        self.device = next(model.parameters()).device
        self.held_out = [batch.to(self.device) for batch in held_out_batches(settings.text)]
        looks = {"unit": "tok", "unit_scale": True, "mininterval": 1.0, "disable": not progress_bar}
        named = f"{settings.size} {settings.text.objective}"
        self.bar = tqdm(total=settings.tokens, initial=self.progress.tokens, desc=named, **looks)
        self.started = time.perf_counter() - self.progress.seconds

    def read(self, rows: Rows) -> None:
        """One step on a batch, and what is due after it."""
        settings, progress = self.settings, self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate(progress.step, progress.tokens)
        self.losses.append(self.step(as_batch(rows).to(self.device)))
        progress.step += 1
        progress.tokens += rows.tokens
        progress.seconds = time.perf_counter() - self.started
        self.bar.update(rows.tokens)
        if progress.step % settings.evaluate_every == 0 or self.finished():
            self.evaluate()
        kept, saved = progress.step in settings.keep_at, progress.step % settings.save_every == 0
        if kept or saved or self.finished():
            self.require_finite_weights()
        if kept:
            save_checkpoint(kept_folder(self.folder, progress.step), self.model, results(settings, progress))
        if saved and not self.finished():
            save(self.folder, settings, self.model, self.optimizer, progress)

    def step(self, batch: Batch) -> torch.Tensor:
        """One update. Raises UserError, before it, where the loss or its gradient is no number."""
        try:
            return train_step(self.model, self.optimizer, batch, self.settings.dtype)
        except FloatingPointError as error:
            raise self.stopped(str(error)) from error

    def require_finite_weights(self) -> None:
        """Nothing is saved after a step that was too large for the weights' type."""
        if not all(param.isfinite().all() for param in self.model.parameters()):
            raise self.stopped("a weight is no finite number")

    def stopped(self, reason: str) -> UserError:
        """What to say where a run cannot go on."""
        return UserError(
            f"pretraining stopped after step {self.progress.step}: {reason}. Try a learning rate below "
            f"{self.settings.peak:g}; what was saved before is kept."
        )

    def evaluate(self) -> None:
        """A row of the curve: the mean loss since the last one, and the losses on held-out texts."""
        progress = self.progress
        row = {"train_loss": torch.stack(self.losses).mean().item(), **evaluate_base(self.model, self.held_out)}
        self.losses = []
        shown = ", ".join(f"{name} {value:.3f}" for name, value in row.items())
        skills = skill_aucs(self.model, self.settings.text.objective)
        shown += "; " + ", ".join(f"{name} {value:.0f}" for name, value in skills.items())
        row["skills"] = {name: round(value, 1) for name, value in skills.items()}
        progress.curve.append({"step": progress.step, "tokens": progress.tokens, **row})
        self.bar.set_postfix_str(shown)
        self.bar.write(f"step {progress.step}: {shown}, {progress.tokens / progress.seconds:.0f} tokens/s")

    def finished(self) -> bool:
        return self.progress.tokens >= self.settings.tokens

    def finish(self) -> LanguageModel:
        """Save the base; the run is over, so what it would go on from goes."""
        found = self.progress.curve[-1]["skills"]
        wanted = ", ".join(f"{skill} {found[skill]:.0f} of {least:.0f}" for skill, least in GATE.items())
        self.bar.write(f"The gate of a bundled base is {'passed' if passes_gate(found) else 'not passed'}: {wanted}.")
        self.bar.close()
        save_checkpoint(self.folder, self.model, results(self.settings, self.progress))
        (self.folder / "resume.pt").unlink(missing_ok=True)
        return self.model.eval()


def kept_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is kept: beside the folder."""
    return folder.absolute().with_name(f"{folder.absolute().name}-step{step}")


def new_model(settings: PretrainSettings) -> LanguageModel:
    """The model as it is before the first step. Raises UserError where `start_from` is no base that can go on."""
    if settings.start_from is None:
        torch.manual_seed(settings.seed)
        return build(SIZES[settings.size])
    model, wanted = load_checkpoint(settings.start_from), SIZES[settings.size]
    if type(model.config) is not type(wanted):
        raise UserError(f"{settings.start_from} is not of the family of {settings.size}: give a --size of its family.")
    if model.config.vocabulary_size != wanted.vocabulary_size:
        raise UserError(f"{settings.start_from} has another vocabulary than the bundled tokenizer: choose another.")
    return model


def new_optimizer(model: LanguageModel) -> torch.optim.Optimizer:
    """Adafactor with steps relative to each weight's size for T5, AdamW for GPT-2."""
    if isinstance(model, EncoderDecoder):
        return Adafactor(model.parameters(), lr=0.0, scale_parameter=True)
    return AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98))


def remaining_batches(text: TextStream, progress: Progress, workers: int) -> Iterator[Rows]:
    """All batches from where `progress` stands; it is told how far it will be once the batch is done with."""
    for chunk in chunks(text, progress.chunk, workers):
        while progress.batch < len(chunk):
            progress.batch += 1
            yield chunk[progress.batch - 1]
        progress.chunk, progress.batch = progress.chunk + 1, 0


def train_step(
    model: LanguageModel, optimizer: torch.optim.Optimizer, batch: Batch, dtype: str | None = None
) -> torch.Tensor:
    """One update of the weights; returns the loss before it. FloatingPointError, before it, where that is no number."""
    device = batch.source.device.type
    half = dtype == "bfloat16" or (dtype is None and device == "cuda")
    with torch.autocast(device, torch.bfloat16, enabled=half):
        loss = model.loss(batch)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not (loss + norm).isfinite():
        raise FloatingPointError(f"the loss is {loss.item():g} and its gradient's norm {norm.item():g}")
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()
