"""One process of the data-parallel test: trains some methods and writes what came out to the folder it is given."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as distributed
from helpers.word_models import MAKERS, make_tiny_task

from minipeft.methods.adapters.adapter_drop import AdapterDrop
from minipeft.methods.low_rank.lora import LoRA
from minipeft.methods.prompts.prompt_ensemble import PromptEnsemble
from minipeft.training.trainer import TrainingSettings, fine_tune

METHOD_MAKERS = {
    "lora": lambda: LoRA(rank=3, targets=("*blocks.*",)),
    "prompt_ensemble": lambda: PromptEnsemble(prompt_length=2, members=9),  # dealt out to the rows, which are fewer
    "adapter_drop": lambda: AdapterDrop(bottleneck=5, dropped=1, robust=True),  # which draws layers in each step
}


def train(kind: str, family: str, attach_seed: int) -> dict:
    """The trained weights, the losses and the bytes sent in a step."""
    model, method = MAKERS[family](), METHOD_MAKERS[kind]()
    torch.manual_seed(attach_seed)
    method.attach(model)
    # 7 examples do not part evenly, an epoch's last batch has 2, and targets of unequal length weigh unequally.
    settings = TrainingSettings(steps=11, batch_size=7, learning_rate=0.01, evaluate_every=11, optimizer="adafactor")
    task = make_tiny_task("exact_match")
    longer = tuple(replace(e, target="warm and seen") if e.target == "warm" else e for e in task.train)
    result = fine_tune(model, method, replace(task, train=longer, dev=task.dev[:2]), settings)
    return {"weights": method.state_dict(), "losses": result.losses, "bytes": result.bytes_per_step}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    distributed.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=2)
    # Each process starts from other random numbers: the first one's must reach all.
    runs = [(kind, family) for kind in METHOD_MAKERS for family in ("t5", "gpt")]
    ends = {f"{kind} on {family}": train(kind, family, attach_seed=rank) for kind, family in runs}
    torch.save(ends, folder / f"{rank}.pt")
    distributed.destroy_process_group()
