"""This machine, its libraries, the code's commit and a folder of images -> what a result says."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.results import Data, Machine
from harness.scripts import ROOT

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "polars", "openvino", "onnxruntime")
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"}


def load_now() -> float | None:
    """Processes that wanted a core in the last minute, where the system counts them."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def this_machine(load: float | None) -> Machine:
    """The processor, its cores and the GPU; `load` as it was at the start.

    Asked at the end: a process that has asked PyTorch for a GPU can fork no more.
    """
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return Machine(cpu=processor(), cores=os.cpu_count(), gpu=gpu, load=load)


def processor() -> str:
    """The processor's name, as the system tells it."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, model)
    return model


def versions() -> dict[str, str]:
    """Of Python and of the libraries that decide speed and scores."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git(*words: str) -> str | None:
    """What git prints in the project's folder; None where there is no git or no such commit."""
    try:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def data_facts(data: Path | tuple[Path | str, int] | str) -> Data:
    """What was measured on.

    Args:
        data: a folder or a table of images, or the name of what was drawn; with a number, as many
            images of it were used.

    Returns:
        Name, number of images, and a digest of their names and sizes.
    """
    if isinstance(data, str):
        return Data(name=data)
    if isinstance(data, tuple):
        source, used = data
        return data_facts(source).model_copy(update={"n": used})
    folder = data if data.is_dir() else data.parent
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGES)
    names = [f"{file.relative_to(folder).as_posix()} {file.stat().st_size}" for file in files]
    digest = "sha256:" + hashlib.sha256("\n".join(names).encode()).hexdigest()
    return Data(name=data.resolve().name, n=len(files), digest=digest)
