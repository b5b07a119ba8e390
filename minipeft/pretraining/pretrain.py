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
from torch import Tensor, nn
from tqdm import tqdm

from minipeft.pretraining.batches import Rows, TextStream, as_batch, chunks
from minipeft.pretraining.held_out import evaluate_base, held_out_batches
from minipeft.pretraining.progress import Progress, is_finished, restore, results, save
from minipeft.pretraining.settings import PretrainSettings
from minipeft.pretraining.sizes import SIZES, build
from minipeft.training.optimizers import Adafactor, AdamW
from minipeft.transformer.batch import Batch
from minipeft.transformer.checkpoints import load_checkpoint, save_checkpoint
from minipeft.transformer.encoder_decoder import EncoderDecoder
from minipeft.transformer.language_model import LanguageModel


def pretrain(
    settings: PretrainSettings,
    folder: str | Path,
    resume: bool = True,
    device: str = "cpu",
    workers: int = 0,
    progress_bar: bool = True,
) -> LanguageModel:
    """Train until `settings.tokens` are read and save a 16-bit checkpoint with its results in `folder`.

    A run that was killed goes on from its last save, to the same weights bit for bit as one that was not (on one
    machine); a finished one is loaded. Raises UserError where the folder holds an unfinished run with other settings.
    """
    folder = Path(folder)
    if resume and is_finished(folder, settings):
        return load_checkpoint(folder, device)
    model = new_model(settings).to(device).train()
    optimizer = new_optimizer(model)
    progress = Progress()
    if resume and (folder / "resume.pt").exists():
        progress = restore(folder, settings, model, optimizer)
    held_out = [batch.to(device) for batch in held_out_batches(settings.text)]
    looks = {"unit": "tok", "unit_scale": True, "mininterval": 1.0, "disable": not progress_bar}
    bar = tqdm(
        total=settings.tokens, initial=progress.tokens, desc=f"{settings.size} {settings.text.objective}", **looks
    )
    started, losses = time.perf_counter() - progress.seconds, []
    for rows in remaining_batches(settings.text, progress, workers):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(progress.step, progress.tokens)
        losses.append(train_step(model, optimizer, as_batch(rows).to(device)))
        progress.step += 1
        progress.tokens += rows.tokens
        progress.seconds = time.perf_counter() - started
        finished = progress.tokens >= settings.tokens
        bar.update(rows.tokens)
        if progress.step % settings.evaluate_every == 0 or finished:
            row = {"train_loss": torch.stack(losses).mean().item(), **evaluate_base(model, held_out)}
            progress.curve.append({"step": progress.step, "tokens": progress.tokens, **row})
            numbers = ", ".join(f"{name} {value:.3f}" for name, value in row.items())
            bar.set_postfix_str(numbers)
            bar.write(f"step {progress.step}: {numbers}, {progress.tokens / progress.seconds:.0f} tokens/s")
            losses = []
        if progress.step in settings.keep_at:
            kept = folder.with_name(f"{folder.name}-step{progress.step}")
            save_checkpoint(kept, model, results(settings, progress))
        if finished:
            break
        if progress.step % settings.save_every == 0:
            save(folder, settings, model, optimizer, progress)
    bar.close()
    save_checkpoint(folder, model, results(settings, progress))
    (folder / "resume.pt").unlink(missing_ok=True)
    return model.eval()


def new_model(settings: PretrainSettings) -> LanguageModel:
    """The model as it is before the first step."""
    if settings.start_from is not None:
        return load_checkpoint(settings.start_from)
    torch.manual_seed(settings.seed)
    return build(SIZES[settings.size])


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


def train_step(model: LanguageModel, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
    """One update of the weights; returns the loss before it."""
    device = batch.source.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):  # on a CPU it is slower, not faster
        loss = model.loss(batch)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()
