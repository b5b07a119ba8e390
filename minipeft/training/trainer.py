"""The trainer: one loop for all model families and every method, which it knows by the contract only.

A step: take the batch that (seed, step) names, backward, clip, let the method act, update. Every `evaluate_every` steps
the dev split is scored; the best weights on it, once the method has settled, are what remains at the end. Nothing in a
run depends on anything but its settings: one that was killed and resumed gives the same weights, bit for bit.
"""

import math
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from minipeft.errors import TrainingFailed, UserError
from minipeft.files import locked
from minipeft.methods.method import Method
from minipeft.tasks.task import Task
from minipeft.training.batches import BatchOrder, collate
from minipeft.training.data_parallel import DataParallel, world
from minipeft.training.evaluating import check_scored, encode_task, evaluate
from minipeft.training.optimizers import make_optimizer, set_learning_rates
from minipeft.training.resuming import describe_run, load_state, save_state
from minipeft.training.schedules import SCHEDULES
from minipeft.training.settings import RunResult, TrainingSettings


def fine_tune(
    model,
    method: Method,
    task: Task,
    settings: TrainingSettings | None = None,
    run_dir: str | Path | None = None,
    progress: bool = False,
) -> RunResult:
    """Train the parameters of `method`, attached to `model`, on `task.train`; leaves the weights best on `task.dev`.

    A method with nothing to train is scored on dev and left as it is. With `run_dir` the run is saved there at every
    evaluation and taken up again where it was. Under torchrun the processes share a batch. Raises UserError where the
    loss stops being a number (the last good weights stay), where an example of any split does not fit, and where
    `run_dir` holds another run, takes no files, or is in use. However it ends, the model is in eval mode.
    """
    settings = settings or TrainingSettings()
    try:
        with locked(run_dir) if run_dir is not None and world()[0] == 0 else nullcontext():
            return train(model, method, task, settings, run_dir, progress)
    finally:
        model.eval()


def train(model, method: Method, task: Task, settings: TrainingSettings, run_dir, progress: bool) -> RunResult:
    """`fine_tune`, with `run_dir` for this run alone."""
    if method.model is model and not method.named_parameters():
        check_scored(model, task, settings.max_source_length)
        score = evaluate(model, task, "dev", max_source_length=settings.max_source_length)["score"]
        return RunResult(dev_scores=[(0, score)], best_dev=score)
    run = Run(model, method, task, settings, run_dir)
    run.resume()
    if run.due():  # an earlier process ended in the middle of it
        run.evaluate()
    looks = {"disable": not progress or run.parallel.rank > 0, "desc": method.name}
    with tqdm(total=settings.steps, initial=run.step, **looks) as bar:
        while run.step < settings.steps and not run.out_of_patience():
            loss = run.train_step()
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}, best dev {max(0.0, run.result.best_dev):.1f}", refresh=False)
            if run.due():
                run.evaluate()
    return run.finish()


class Run:
    """The state of one training run: what `fine_tune` moves, and what `resume.pt` holds."""

    def __init__(self, model, method: Method, task: Task, settings: TrainingSettings, run_dir):
        if method.model is not model:
            raise UserError(f"{method.name} is not attached to this model: call method.attach(model) first.")
        method.require_own_changes_only()
        self.model, self.method, self.task, self.settings = model, method, task, settings
        self.device = next(model.parameters()).device
        self.examples = encode_task(model, task, settings.max_source_length)
        self.order = BatchOrder(self.examples, settings.batch_size, settings.seed)
        self.params = list(method.named_parameters().values())
        self.parallel = DataParallel(self.params)
        self.rate = method.suggested_learning_rate if settings.learning_rate is None else settings.learning_rate
        name, groups = settings.optimizer or method.suggested_optimizer, method.parameter_groups(self.rate)
        self.optimizer = make_optimizer(name, groups, self.rate, settings.weight_decay)
        self.step, self.seconds = 0, 0.0
        self.best = method.state_dict()
        self.result = RunResult(trained_parameters=method.stored_count())
        self.file = Path(run_dir) / "resume.pt" if run_dir is not None else None
        self.description = describe_run(method, task, asdict(settings)) if self.file else {}

    def train_step(self) -> float:
        """One update; returns the loss of the batch."""
        start, settings = time.perf_counter(), self.settings
        joint, first = self.order.at(self.step), self.step * settings.batch_size
        # Dropout depends on the step alone, so there is no state of a random generator to save.
        seed = (settings.seed * 1_000_003 + self.step) * 1009 % 2**62  # torch takes no more than 64 bits
        torch.manual_seed(seed)
        rows = self.parallel.share(range(first, first + len(joint)))
        self.method.before_step(self.step, settings.steps, rows)
        torch.manual_seed(seed + self.parallel.rank)
        self.model.train()
        loss = self.parallel.combine(self.backward(joint))
        norm = torch.nn.utils.clip_grad_norm_(self.params, math.inf if settings.clip is None else settings.clip)
        if not (math.isfinite(loss) and norm.isfinite()):
            self.stop_training(loss, float(norm))
        self.method.after_backward(self.step, settings.steps)
        warmup = round(settings.warmup * settings.steps)
        set_learning_rates(self.optimizer, SCHEDULES[settings.schedule](self.step, settings.steps, warmup))
        self.optimizer.step()
        self.method.after_step(self.step, settings.steps)
        self.optimizer.zero_grad()
        self.step += 1
        self.seconds += time.perf_counter() - start
        self.result.losses.append(loss)
        return loss

    def backward(self, joint: list[int]) -> torch.Tensor:
        """This process's gradients for its share of the `joint` batch; returns its share of the loss."""
        mine = self.parallel.share(joint)
        if not mine:
            return torch.zeros(())
        tokens = [sum(len(self.examples[index].target) for index in part) for part in (mine, joint)]
        half = self.settings.dtype == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            loss = self.method.loss(collate([self.examples[index] for index in mine], self.device))
        loss = loss * (tokens[0] / tokens[1])  # 1 for a single process
        (loss + self.method.penalty() * (len(mine) / len(joint))).backward()
        return loss.detach()

    def stop_training(self, loss: float, norm: float) -> None:
        """Put the last good weights back and say so."""
        self.method.load_state_dict(self.best)
        self.optimizer.zero_grad()
        raise TrainingFailed(
            f"training stopped at step {self.step + 1}: the loss is {loss:g} and its gradient's norm {norm:g}. Try a "
            f"learning rate below {self.rate:g}; the weights of step {self.result.best_step} were kept."
        )

    def due(self) -> bool:
        """Whether the dev split is to be scored at this step, and has not been."""
        at = self.step > 0 and (self.step % self.settings.evaluate_every == 0 or self.step == self.settings.steps)
        return at and self.step not in [step for step, _ in self.result.dev_scores[-1:]]

    def evaluate(self) -> None:
        """Score the dev split, remember the weights where they are the best so far, and save the run."""
        result = self.result
        if not all(param.isfinite().all() for param in self.params):  # a step too large for its type
            self.stop_training(result.losses[-1], math.inf)
        try:
            score = evaluate(self.model, self.task, "dev", max_source_length=self.settings.max_source_length)["score"]
        except BaseException:
            self.save()  # else all steps since the last evaluation would be lost with this one
            raise
        result.dev_scores.append((self.step, score))
        if score > result.best_dev and self.method.settled(self.step, self.settings.steps):
            result.best_dev, result.best_step, self.best = score, self.step, self.method.state_dict()
        self.save()

    def save(self) -> None:
        """Write everything that a later process needs to go on, where there is a place for it."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "weights": self.method.training_state(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "result": asdict(self.result),
        }
        if self.file and self.parallel.rank == 0:
            save_state(self.file, self.description, state)

    def resume(self) -> None:
        """Go on where the run in `run_dir` stopped, if there is one."""
        state = load_state(self.file, self.description) if self.file else None
        if state is None:
            return self.save()  # a disk that is too full is found now, and not after the first evaluation
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.method.load_training_state(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.result = RunResult(**state["result"])

    def out_of_patience(self) -> bool:
        """Whether the last `patience` evaluations brought nothing better than what was kept before them."""
        later = [step for step, _ in self.result.dev_scores if step > self.result.best_step]
        return bool(self.settings.patience and self.result.best_step and len(later) >= self.settings.patience)

    def finish(self) -> RunResult:
        """Leave the best weights in the model; the run is over, so its file goes."""
        self.method.load_state_dict(self.best)
        if self.file and self.parallel.rank == 0:
            self.file.unlink(missing_ok=True)
        self.result.seconds_per_step = self.seconds / max(1, self.step)
        self.result.bytes_per_step = self.parallel.bytes_per_step
        return self.result
