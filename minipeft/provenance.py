"""What a result file says about its making, and how it is written: whole or not at all."""

import json
import os
import platform
import subprocess
from pathlib import Path

import torch


def provenance() -> dict:
    """Commit, versions and hardware of this run."""
    folder = Path(__file__).resolve().parent
    git = subprocess.run(["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return {
        "commit": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hardware": hardware(),
    }


def hardware() -> str:
    """The GPU's name where there is one, else the processor's and its number of cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [platform.processor(), platform.machine()]
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":")[1].strip() for line in information.read_text().splitlines() if "model name" in line]
    return f"{next(name for name in names if name)}, {os.cpu_count()} cores"


def write_json(path: str | Path, content) -> None:
    """Write under a temporary name, then rename, so that a killed run leaves the old file or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
