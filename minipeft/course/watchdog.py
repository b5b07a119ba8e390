"""A watchdog for endless loops: it counts the steps of the student's file, so no machine is too slow for it.

Three limits, each far above what any exercise needs:

    STEPS         instructions of Python in exercise.py in one call of a test, the same on every machine. Lines would
                  not do: a loop that stands in one line is one line. From Python 3.12 on only jumps and the beginnings
                  of functions are counted, by sys.monitoring, and each stands for JUMP instructions.
    SECONDS       of this thread's own processor time, for loops of few and slow steps; other programs do not count
    WALL_SECONDS  for a loop inside C, as list(itertools.count()), which no Python code can interrupt: faulthandler
                  prints the line where Python stands and ends the process
"""

import contextlib
import faulthandler
import sys
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

STEPS, JUMP, SECONDS, WALL_SECONDS = 20_000_000, 10, 120.0, 900.0
TOOL = 4  # of sys.monitoring; 0, 1, 2 and 5 have names: debugger, coverage, profiler, optimizer


class EndlessLoop(BaseException):
    """A loop that did not end. No Exception, so that an `except Exception` in the loop does not keep it running."""


class Watchdog:
    """Counts the steps of one file."""

    def __init__(self, file: str):
        self.file, self.count, self.calls, self.end = file, 0, 0, time.thread_time() + SECONDS

    def over(self, steps: int) -> bool:
        """Count so many steps more; whether that is more than any answer needs."""
        self.count += steps
        self.calls += 1
        return self.count > STEPS or (self.calls % 1000 == 0 and time.thread_time() > self.end)

    def ended(self, line: int) -> EndlessLoop:
        name = self.file.replace("\\", "/").rpartition("/")[2]
        return EndlessLoop(f"it never came to an end; it was stopped at line {line} of {name}")

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        """A trace function, before Python 3.12: how a function that begins is counted."""
        if frame.f_code.co_filename != self.file:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self.trace_one

    def trace_one(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.over(1):
            raise self.ended(frame.f_lineno)
        return self.trace_one

    def start(self, code: CodeType, offset: int) -> Any:
        """A function begins, from Python 3.12 on: one of another file is not looked at again."""
        if code.co_filename != self.file:
            return sys.monitoring.DISABLE
        sys.monitoring.set_local_events(TOOL, code, sys.monitoring.events.JUMP)
        return self.jump(code, offset)

    def jump(self, code: CodeType, offset: int, destination: int = 0) -> None:
        if self.over(JUMP):
            raise self.ended(next(line for first, end, line in code.co_lines() if first <= offset < end))


@contextlib.contextmanager
def watchdog(file: str) -> Iterator[None]:
    """Raise EndlessLoop where code of `file` does not end.

    The answers of the project itself (solution.py) are not watched. A debugger's or coverage's trace function is left
    alone.
    """
    monitored = hasattr(sys, "monitoring")
    if not file.endswith("exercise.py") or sys.gettrace() is not None or (monitored and sys.monitoring.get_tool(TOOL)):
        yield
        return
    timed, dog = start_timer(), Watchdog(file)
    start, stop = (start_monitoring, stop_monitoring) if monitored else (start_tracing, stop_tracing)
    start(dog)
    try:
        yield
    finally:
        stop()
        if timed:
            faulthandler.cancel_dump_traceback_later()


def start_tracing(dog: Watchdog) -> None:
    sys.settrace(dog.trace)


def stop_tracing() -> None:
    sys.settrace(None)


def start_monitoring(dog: Watchdog) -> None:
    events = sys.monitoring.events
    sys.monitoring.use_tool_id(TOOL, "watchdog")
    sys.monitoring.register_callback(TOOL, events.PY_START, dog.start)
    sys.monitoring.register_callback(TOOL, events.JUMP, dog.jump)
    sys.monitoring.set_events(TOOL, events.PY_START)
    sys.monitoring.restart_events()


def stop_monitoring() -> None:
    sys.monitoring.set_events(TOOL, 0)
    for event in (sys.monitoring.events.PY_START, sys.monitoring.events.JUMP):
        sys.monitoring.register_callback(TOOL, event, None)
    sys.monitoring.free_tool_id(TOOL)


def start_timer() -> bool:
    """The limit by wall clock; False where there is no stream that it could write to, as in a notebook."""
    try:
        faulthandler.dump_traceback_later(WALL_SECONDS, exit=True, file=sys.__stderr__)
    except (AttributeError, OSError, RuntimeError, ValueError):
        return False
    return True
