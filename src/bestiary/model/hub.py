"""The Hugging Face hub: a repository and a file name -> a local file; license and size are said.

Files come from the hub's cache where they are there. Nothing that is fetched is executed: JSON is
parsed and bounded, and weights are safetensors or PyTorch files that are read with
``weights_only``. Knows nothing of networks.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bestiary.display import Display
from bestiary.errors import WeightsError
from bestiary.printable import printable_name
from bestiary.regular_files import read_regular

ANSWER_SECONDS = 5.0
MAX_CONFIG_BYTES = 1 << 18
MAX_LICENSE_LENGTH = 60


def hub_answers() -> bool:
    """Return whether the hub that weights are fetched from can be reached, within seconds.

    Its own download tries for a minute before it gives up.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=ANSWER_SECONDS)
    except Exception:  # the HTTP library of its version, or its offline mode, raise their own
        return False
    return True


def cached_file(repository: str, names: Sequence[str]) -> Path | None:
    """Find the first of some files of a repository that is on this machine.

    Args:
        repository: such as ``timm/vit_tiny_patch16_224.augreg_in21k``.
        names: of files, the preferred one first.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        file = try_to_load_from_cache(repository, name)
        if isinstance(file, str):
            return Path(file)
    return None


def fetch(repository: str, names: Sequence[str]) -> Path:
    """Return the first of some files that a repository has, from the cache or from the hub.

    Args:
        repository: as for `cached_file`.
        names: of files, the preferred one first.

    Raises:
        WeightsError: none is here, and none can be fetched; the line says where to put it.
    """
    file = cached_file(repository, names)
    if file is not None:
        return file
    from huggingface_hub import hf_hub_download

    reason = "no connection"
    if hub_answers():
        for name in names:
            try:
                return Path(hf_hub_download(repository, name))
            except Exception as error:  # the hub, HTTP and the file system each raise their own
                reason = type(error).__name__
    raise WeightsError(
        f"{' or '.join(names)} of {repository} is not here and cannot be fetched ({reason}); put "
        f"its snapshot into {cache_folder(repository)}, or choose a backbone that needs no "
        "connection: --set model.backbone=offline/efficientnet_lite0"
    )


def cache_folder(repository: str) -> Path:
    """Where the hub's cache keeps a repository."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def read_config(repository: str, names: Sequence[str]) -> dict[str, Any]:
    """Read the first of some JSON files of a repository.

    Returns:
        Its content.

    Raises:
        WeightsError: it cannot be had, or is no JSON object of a usual size.
    """
    file = fetch(repository, names)
    try:
        content = json.loads(read_regular(file.resolve(), MAX_CONFIG_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WeightsError(f"{file}: is not the description of a network; fetch {repository} again")
    return content


def say_before_download(repository: str, names: Sequence[str], license: str = "") -> None:
    """Say the license and the size of a file before it is fetched; nothing if it is here.

    Args:
        repository: as for `cached_file`.
        names: of the file, the preferred one first.
        license: what the library says of it; empty: what the hub says.
    """
    if cached_file(repository, names) is not None or not hub_answers():
        return
    size, stated = _facts(repository, names)
    license = printable_name(license or stated or "unknown")[:MAX_LICENSE_LENGTH]
    megabytes = f"{size / 1e6:,.0f} MB" if size else "size unknown"
    Display().notice(f"Fetching the weights of {repository}: {megabytes}, license {license}")


def _facts(repository: str, names: Sequence[str]) -> tuple[int, str]:
    """Ask the hub for the size of a file, 0 if unknown, and for the license of its repository."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(repository, files_metadata=True, timeout=ANSWER_SECONDS)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        license = getattr(info.card_data, "license", None) if info.card_data else None
    except Exception:  # the hub and HTTP each raise their own
        return 0, ""
    size = next((sizes[name] for name in names if name in sizes), 0)
    return size, str(license or "")
