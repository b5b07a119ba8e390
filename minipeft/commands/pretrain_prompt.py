"""`python -m minipeft pretrain-prompt`: a prompt file for PPT (four kinds of made data) or for SPoT (any task).

The prompt is tuned on the frozen base and the one best on dev is kept. A killed run goes on where it stopped.
"""

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from minipeft.commands.arguments import add_model, add_task, label, spec_from
from minipeft.errors import UserError
from minipeft.files import require_file
from minipeft.flags import positive, whole, words
from minipeft.methods.prompts.ppt import PPT
from minipeft.methods.prompts.prompt_tuning import PromptTuning
from minipeft.methods.prompts.spot import read_prompt_file, save_prompt
from minipeft.models import load
from minipeft.provenance import provenance
from minipeft.racing.finished import digest, refuse_other_settings
from minipeft.racing.rehearsal import try_on
from minipeft.racing.runs import folder_name, get_task
from minipeft.training.settings import TrainingSettings
from minipeft.training.trainer import fine_tune
from minipeft.transfer.prompt_data import made_task
from minipeft.transformer.fingerprints import fingerprint

ASKED = ("kind", "task", "documents", "prompt_length")  # the flags that decide a prompt, beside those of its training
KINDS = ("pair", "choice", "single", "unified", "task")

HELP = "Make a prompt that PPT or SPoT can start from."


def add_arguments(parser) -> None:
    add_model(parser)
    add_task(parser)
    parser.add_argument("--kind", default="pair", choices=KINDS, help="what to learn from; task: --task or --data")
    parser.add_argument("--steps", type=whole(), default=1000)
    parser.add_argument("--prompt-length", type=whole(), default=20)
    parser.add_argument("--learning-rate", type=positive(), help="default: prompt tuning's own")
    parser.add_argument(
        "--documents", type=whole(1, 10**6), default=12000, help="texts to make the data from (default 12000)"
    )
    parser.add_argument("--out", type=words, help="the prompt file (default runs/prompts/<name>.pt)")


def run(args) -> None:
    """Train one prompt and write its file."""
    name = label(args) if args.kind == "task" else f"ppt-{args.kind}"
    out = Path(args.out or f"runs/prompts/{folder_name(name)}.pt")
    if args.data and args.kind != "task":
        raise UserError(f"--data is read with --kind task only, and not with --kind {args.kind}.")
    settings = TrainingSettings(
        steps=args.steps,
        learning_rate=args.learning_rate,
        seed=args.seed,
        max_source_length=args.max_source_length,
    )
    if args.kind != "task":  # so near to chance the best of many looks at dev would be luck: look at half time and end
        settings = replace(settings, evaluate_every=max(1, args.steps // 2))
    asked = {name: getattr(args, name) for name in ASKED} | {"data_sha256": digest(args.data) if args.data else None}
    model = load(args.model).to(args.device)
    if out.exists():
        content = read_prompt_file(require_file(out, "name another --out"))
        told = content["provenance"]
        theirs = {"base": content["base"], "prompt_length": len(content["prompt"]), **told.get("asked", {})}
        theirs |= told.get("settings", {})
        refuse_other_settings(out, theirs, {"base": fingerprint(model), **asked, **asdict(settings)})
        print(f"This prompt is there already: {out}. Delete it or name another --out to train again.")
        return
    run_dir = out.with_name(out.name + ".run")
    method = PromptTuning(args.prompt_length) if args.kind == "task" else PPT(args.prompt_length, format=args.kind)
    try_on(method, model)
    method.detach()
    task = get_task(spec_from(args)) if args.kind == "task" else made_task(args, model, run_dir)
    torch.manual_seed(args.seed)
    method.attach(model)
    print(f"{name} on {args.model}: {len(task.train)} examples, {args.steps} steps, into {out}", flush=True)
    outcome = fine_tune(model, method, task, settings, run_dir=run_dir, progress=True)
    (prompt,) = method.state_dict().values()
    told = {"command": shlex.join(["python", "-m", "minipeft", *sys.argv[1:]]), "settings": asdict(settings)}
    told["asked"] = asked
    told |= {"dev": outcome.best_dev, "best_step": outcome.best_step, "train_examples": len(task.train), **provenance()}
    save_prompt(out, prompt, method.fingerprint, Path(args.model).name, name, told)
    print(f"dev {outcome.best_dev:.1f} at step {outcome.best_step}, prompt {out}")
