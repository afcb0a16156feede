"""What `bestiary --version` says: the versions that a report of a fault needs."""

import platform
from importlib.metadata import PackageNotFoundError, version

from bestiary.cores import cores
from bestiary.numbers import count
from bestiary.version import VERSION

LIBRARIES = ("torch", "torchvision", "timm", "accelerate", "openvino", "onnxruntime", "ray")


def versions() -> str:
    """List bestiary's version, those of the libraries that compute, and the machine.

    Example:
        >>> versions().splitlines()[0].startswith("bestiary ")
        True
    """
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    system = f"{platform.system()} {platform.machine()}, {count(cores(), 'core')}"
    return (
        f"bestiary {VERSION}\n"
        f"Python {platform.python_version()} on {system}\n"
        f"{', '.join(found[:4])}\n{', '.join(found[4:])}"
    )
