"""Ctrl-C while `python -m minipeft` still imports: a sentence in place of a traceback through half of PyTorch.

Python imports the package before its `__main__`, so no command is there yet that could catch the interruption. This
module is the first that the package imports, and acts when it is imported.
"""

import os
import signal
import sys
import threading


def leave(*_) -> None:
    """End at once: in the middle of an import there is nothing to save."""
    os.write(2, b"\nStopped.\n")
    os._exit(130)


def interrupt_on_ctrl_c() -> None:
    """From here on KeyboardInterrupt again, as everywhere else."""
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


started_here = sys.argv[:1] == ["-m"] and threading.current_thread() is threading.main_thread()
if started_here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)
