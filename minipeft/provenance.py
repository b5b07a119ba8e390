"""What a result file says about its making. What a machine does not tell is "unknown", and stops nothing."""

import os
import platform
import subprocess
from pathlib import Path

import torch

CPU_FILE = Path("/proc/cpuinfo")  # Linux alone has it, and its lines differ from processor to processor


def provenance() -> dict:
    """Commit, versions and hardware of this run."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hardware": hardware(),
    }


def commit() -> str:
    """The commit of the code that runs; "unknown" without git, or outside a repository."""
    folder = str(Path(__file__).resolve().parent)
    told = ["git", "-C", folder, "rev-parse", "--short=12", "HEAD"]
    try:
        git = subprocess.run(told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    except OSError:
        return "unknown"
    return git.stdout.decode("utf-8", "replace").strip() or "unknown"


def hardware() -> str:
    """The GPU's name where there is one, else the processor's and its number of cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = model_name() or platform.processor() or platform.machine() or "unknown processor"
    return f"{name}, {os.cpu_count() or 'unknown'} cores"


def model_name() -> str:
    """The processor's name as Linux tells it; "" where it does not."""
    try:
        lines = CPU_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), "")
