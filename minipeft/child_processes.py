"""A process that works for another one ends with it: nobody else would ever stop it."""

import multiprocessing
import os
import threading
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """From now on this process ends when its parent does, by whatever means, in the middle of what it does."""
    threading.Thread(target=wait_and_end, daemon=True).start()


def wait_and_end() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
