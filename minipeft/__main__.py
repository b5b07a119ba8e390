"""The command line: `python -m minipeft compare | train | evaluate | ...`. Each command is a file of `commands/`."""

import os
import sys

from minipeft.commands import (
    compare,
    evaluate,
    generate,
    hint,
    memory,
    notebook,
    pretrain,
    pretrain_prompt,
    progress,
    prompts,
    tasks,
    train,
    transfer,
)
from minipeft.errors import UserError, refusal_of_the_machine
from minipeft.flags import OneSentenceParser, drop_unwritten
from minipeft.interrupts import interrupt_on_ctrl_c
from minipeft.racing.runs import is_first_process
from minipeft.training.data_parallel import world

COMMANDS = (compare, train, evaluate, generate, prompts, pretrain_prompt, transfer)
COMMANDS += (memory, progress, hint, notebook, tasks, pretrain)
TOGETHER = (train,)  # what the processes of torchrun can do together


def build_parser() -> OneSentenceParser:
    parser = OneSentenceParser(prog="python -m minipeft", description="Parameter-efficient fine-tuning from scratch.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=OneSentenceParser)
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        entry = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(entry)
        entry.set_defaults(module=module)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one sentence when it cannot be done, 130 when interrupted."""
    for name in ("stdout", "stderr"):  # None where they were closed: then there is nobody to tell
        stream = getattr(sys, name) or open(os.devnull, "w", encoding="utf-8")
        setattr(sys, name, stream)
        if hasattr(stream, "reconfigure"):  # a terminal of few letters shows the others as their escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        args = build_parser().parse_args(arguments)
        if world()[1] > 1 and args.module not in TOGETHER:
            raise UserError(f"{args.command} is the work of one process: start it without torchrun.")
        args.module.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on where it stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has gone, as `head` does: nobody is left to tell
        drop_unwritten()
        return 1
    except Exception as error:
        sentence = str(error) if isinstance(error, UserError) else refusal_of_the_machine(error)
        if not sentence:  # a fault of this program, which needs its traceback
            raise
        if is_first_process():
            print(f"minipeft: {readable(sentence)}", file=sys.stderr)
        drop_unwritten()
        return 2
    return 0


def readable(sentence: str) -> str:
    """One line, in which what somebody gave as a name of thousands of letters is cut."""
    return " ".join(word if len(word) < 300 else f"{word[:60]}...{word[-20:]}" for word in sentence.split())


if __name__ == "__main__":
    interrupt_on_ctrl_c()
    sys.exit(main())
