"""The flags of every command, and how a bad one is refused."""

import argparse

from minipeft.commands import memory as memory_plan
from minipeft.commands import pretrain_prompt, transfer
from minipeft.errors import UserError
from minipeft.methods.registry import METHODS
from minipeft.pretraining import pretrain

DEFAULT_MODEL, DEFAULT_TASK = "t5-0.8m", "sentiment"
PATIENCE = "stop after so many dev scores (one every 100 steps) without a better one (default: train all steps)"


class OneSentenceParser(argparse.ArgumentParser):
    """Bad flags get one sentence and exit status 2, like every other bad input."""

    def error(self, message: str):
        raise UserError(f"{message[0].upper()}{message[1:]}. See: python -m minipeft {self.prog.split()[-1]} --help")


def build_parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(prog="python -m minipeft", description="Parameter-efficient fine-tuning from scratch.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=OneSentenceParser)

    def command(name: str, help: str, task_flag: str = "--task") -> argparse.ArgumentParser:
        entry = commands.add_parser(name, help=help, description=help)
        entry.add_argument(
            "--model", default=DEFAULT_MODEL, help=f"a bundled name or a folder (default {DEFAULT_MODEL})"
        )
        entry.add_argument(
            task_flag,
            dest="task",
            default=DEFAULT_TASK,
            help=f"a bundled task, or several at once: a+b (default {DEFAULT_TASK})",
        )
        entry.add_argument("--data", help="your own JSONL in place of a task: {'source': ..., 'target': ...} a line")
        entry.add_argument("--seed", type=int, default=0)
        entry.add_argument("--device", default="cpu", help="cpu or cuda")
        return entry

    entry = command("compare", "Race several methods on one task: every seed, one table, one picture.")
    entry.add_argument(
        "--methods",
        help="comma-separated (default: all that fit the model, and the controls); "
        "hyper-parameters follow a colon each, a name of your own may stand before: low=lora:rank=1:alpha=2",
    )
    entry.add_argument("--shots", type=int, help="train on so many examples a seed, with as many for dev")
    entry.add_argument("--seeds", type=int, help="how many seeds (default 5, with --quick 1)")
    entry.add_argument("--steps", type=int, help="training steps of each run (default 600)")
    entry.add_argument("--patience", type=int, help=PATIENCE)
    entry.add_argument(
        "--quick", action="store_true", help="a first look: one seed, fewer steps, part of the test split"
    )
    entry.add_argument("--tune", action="store_true", help="first choose every method's learning rate on the dev split")
    entry.add_argument("--workers", type=int, help="worker processes (default: one per core)")
    entry.add_argument("--out", help="where runs and results go (default runs/compare-<model>-<task>)")

    entry = command("train", "Fine-tune with one method and save the adapter.")
    entry.add_argument("--method", default="lora", help=f"one of {', '.join(METHODS)}")
    entry.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyper-parameter, as rank=8")
    entry.add_argument("--steps", type=int, default=600)
    entry.add_argument("--patience", type=int, help=PATIENCE)
    entry.add_argument("--batch-size", type=int, default=32)
    entry.add_argument("--learning-rate", type=float, help="default: the method's own")
    entry.add_argument("--out", help="default runs/<method>-<task>-seed<seed>")

    entry = command("evaluate", "Score a model, with an adapter or without, on a split.")
    entry.add_argument("--adapter", help="the adapter.pt of a training run")
    entry.add_argument("--split", default="test", choices=("train", "dev", "test"))

    entry = command("generate", "Write the model's answer to a text.")
    entry.add_argument("text", help="the source text")
    entry.add_argument("--adapter", help="the adapter.pt of a training run")
    entry.add_argument("--max-length", type=int, default=40)
    entry.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")

    entry = command("prompts", "Score hard prompts on dev: every template with every verbalizer.")
    entry.add_argument("--shots", type=int, default=0, help="demonstrations before each source (default 0)")
    entry.add_argument("--draws", type=int, help="how often demonstrations are drawn (default 3, without --shots 1)")
    entry.add_argument(
        "--template", action="append", metavar="TEXT", help="yours in place of the task's: '{source} So:'"
    )
    entry.add_argument("--verbalizer", action="append", metavar="JSON", help='yours: \'{"good": ["Good."], ...}\'')
    entry.add_argument("--limit", type=int, help="read so many dev examples only")
    entry.add_argument("--out", help="default runs/prompts-<model>-<task>-<shots>shots")
    entry = command("pretrain-prompt", "Make a prompt that PPT or SPoT can start from.")
    pretrain_prompt.add_arguments(entry)

    entry = command("transfer", "Find source tasks like --target and start its prompt from theirs (SPoT).", "--target")
    transfer.add_arguments(entry)

    help = "Plan the memory of a training step, of models of any size, and the largest batch."
    memory_plan.add_arguments(commands.add_parser("memory", help=help, description=help))

    help = "How far the course is done, found out by running its tests."
    entry = commands.add_parser("progress", help=help, description=help)
    entry.add_argument("chapter", nargs="?", help="one chapter only, as 13 or lora")
    entry.add_argument("--lessons", help="the folder of the course (default: lessons/ of this project)")

    help = "The next hint for the first exercise of a chapter that is not done."
    entry = commands.add_parser("hint", help=help, description=help)
    entry.add_argument("chapter", help="as 13 or lora")
    entry.add_argument("exercise", nargs="?", help="a hint for this exercise")
    entry.add_argument("--lessons", help="the folder of the course (default: lessons/ of this project)")

    command("tasks", "List the bundled tasks and models.")
    commands.add_parser("pretrain", help="Make a base model.", parents=[pretrain.build_parser()], add_help=False)
    return parser
