"""A run on the Hugging Face hub: its address, such as hf://user/name -> its files in a folder.

Files come from the hub's own cache where they are there. Each is compared with the digest that the
hub names for it, so what is damaged on its way or in the cache is refused. The hub is only read
here; `bestiary.storage.hub_upload` writes to it. Knows nothing of what the files mean.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bestiary.display import Display
from bestiary.errors import BestiaryError, RunError, one_line
from bestiary.printable import printable_name
from bestiary.regular_files import MAX_WEIGHTS_BYTES

HUB = "hf://"
ANSWER_SECONDS = 15.0
MAX_FILES = 10_000  # that are fetched of one run
MAX_DEPTH = 20  # of folders inside each other
THREADS = 4
OTHER_KINDS = ("buckets", "datasets", "kernels", "models", "spaces")
"""First words of addresses that name no repository of a user."""
_ADDRESS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/@\s]+))?((?:/[^/\s]+)*)/?", re.ASCII)

# What hf_xet says where a hub gives it no token: it does not fall back to Git LFS.
_NO_XET = re.compile(r"\b404\b.*/xet-(read|write)-token/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A place on the hub.

    Attributes:
        repository: such as ``user/name``.
        revision: branch, tag or commit; None: the newest.
        folder: in the repository, without slashes around it; empty: its top.
    """

    repository: str
    revision: str | None
    folder: str


def is_hub(location: str | os.PathLike[str]) -> bool:
    """Return whether `location` is an address on the hub."""
    return os.fspath(location).startswith(HUB)


def hub_place(address: str) -> HubPlace:
    """Read an address on the hub.

    Args:
        address: such as ``hf://user/name``, ``hf://user/name@v1`` or ``hf://user/name/folder``.

    Raises:
        RunError: it names no repository that may hold a run.

    Example:
        >>> hub_place("hf://ecologist/moths@v1")
        HubPlace(repository='ecologist/moths', revision='v1', folder='')
        >>> hub_place("hf://moths")
        Traceback (most recent call last):
        bestiary.errors.RunError: hf://moths: is no address of a run on the hub; write hf://USER/NAME
    """
    match = _ADDRESS.fullmatch(address)
    folder = match[3].strip("/") if match else ""
    is_odd = match is None or match[1].split("/")[0] in OTHER_KINDS
    if match is None or is_odd or ".." in folder.split("/"):
        raise RunError(
            f"{printable_name(address)[:200]}: is no address of a run on the hub; write "
            f"{HUB}USER/NAME"
        )
    return HubPlace(match[1], match[2], folder)


@contextmanager
def hub_errors(address: str) -> Iterator[None]:
    """Turn the errors of the hub's library into one line.

    Args:
        address: of the run, for that line.

    Raises:
        RunError: the hub has refused or cannot be reached, or has no such repository.
    """
    from huggingface_hub import errors

    shown = printable_name(address)
    try:
        yield
    except BestiaryError:
        raise
    except errors.GatedRepoError as error:
        raise RunError(
            f"{shown}: its owner wants to be asked first; ask on its page on the hub"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise RunError(
            f"{shown}: there is no such repository, or it is private; check the address, or set "
            "HF_TOKEN, or log in by: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RunError(f"{shown}: has no such revision (what follows @); check it") from error
    except errors.HfHubHTTPError as error:
        raise RunError(f"{shown}: {_refusal(error)}") from error
    except Exception as error:  # each version of the library has another one for HTTP
        raise RunError(f"{shown}: {_failure(error)}") from error


def _failure(error: Exception) -> str:
    """Say what has failed besides the hub's own refusals."""
    from huggingface_hub import constants

    reason = one_line(error, 100)
    if _NO_XET.search(str(error)):
        return (
            f"{constants.ENDPOINT} has no Xet, by which the hub's library moves large files; set "
            "HF_HUB_DISABLE_XET=1, and Git LFS is used"
        )
    if isinstance(error, OSError) and error.errno:
        return f"{error.filename or 'a file'} cannot be written or read ({error.strerror})"
    if isinstance(error, ValueError):
        return f"is not as the hub's library wants it ({reason})"
    return (
        f"no answer from {constants.ENDPOINT} ({reason}); check the connection, or use a run on "
        "this disk"
    )


def _refusal(error: Any) -> str:
    """Say why the hub has refused."""
    status = getattr(error.response, "status_code", 0)
    if status in (401, 403):
        return (
            "the hub does not allow it; check that HF_TOKEN, or the login by hf auth login, may "
            "do that there"
        )
    reason = getattr(error, "server_message", None) or f"status {status}"
    return f"the hub has refused ({one_line(Exception(reason), 100)}); try again"


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Hide the bars of the hub's library inside the block."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    was_off = are_progress_bars_disabled()
    if not was_off:
        disable_progress_bars()
    try:
        yield
    finally:
        if not was_off:
            enable_progress_bars()


@dataclass(frozen=True, slots=True)
class _HubFile:
    """A file of a repository: its name there, its path in the run, and what the hub says of it."""

    name: str
    path: str
    size: int
    sha256: str
    git_sha1: str


def fetch_from_hub(
    address: str, folder: Path, is_needed: Callable[[str], bool], display: Display
) -> None:
    """Put the files of a run on the hub into a folder.

    Args:
        address: of the run.
        folder: is made.
        is_needed: whether a file is needed, by its path in the run.
        display: says how much is fetched.

    Raises:
        RunError: the hub cannot be reached, there is no such run, or a file is damaged.
    """
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    place = hub_place(address)
    with hub_errors(address), quiet_hub():
        info = HfApi().model_info(
            place.repository,
            revision=place.revision,
            files_metadata=True,
            timeout=ANSWER_SECONDS,
        )
        files = _files_of_run(address, info.siblings or [], place.folder, is_needed)
        here = [
            isinstance(try_to_load_from_cache(place.repository, file.name, revision=info.sha), str)
            for file in files
        ]
        n_bytes = sum(file.size for file, known in zip(files, here, strict=True) if not known)
        if n_bytes:
            display.notice(f"Fetching {address}: {len(files)} files, {n_bytes / 1e6:,.1f} MB")

        def fetch(file: _HubFile) -> None:
            source = hf_hub_download(place.repository, file.name, revision=info.sha)
            _copy_checked(f"{address}: {file.path}", Path(source), folder / file.path, file)

        with ThreadPoolExecutor(THREADS, "bestiary-hub") as pool:
            list(pool.map(fetch, files))


def _files_of_run(
    address: str, siblings: list[Any], folder: str, is_needed: Callable[[str], bool]
) -> list[_HubFile]:
    """The files below a folder of the repository that are needed; their names are checked."""
    prefix = f"{folder}/" if folder else ""
    files = []
    for entry in siblings:
        path = entry.rfilename.removeprefix(prefix)
        if not entry.rfilename.startswith(prefix) or not is_needed(path):
            continue
        _check_path(address, path)
        size = int(entry.size or 0)
        if size > MAX_WEIGHTS_BYTES:
            raise RunError(f"{address}: {path} has {size / 1e9:,.0f} GB, more than a file of a run")
        lfs = entry.lfs or {}
        files.append(
            _HubFile(
                name=entry.rfilename,
                path=path,
                size=size,
                sha256=str(lfs.get("sha256") or ""),
                git_sha1="" if lfs else str(entry.blob_id or ""),
            )
        )
    if len(files) > MAX_FILES:
        raise RunError(f"{address}: has more than {MAX_FILES:,} files; it is no run of bestiary")
    return files


def _check_path(address: str, path: str) -> None:
    """Refuse a name that could leave the folder."""
    parts = PurePosixPath(path).parts
    is_plain = path == "/".join(parts) and "\\" not in path and ":" not in path
    if not is_plain or ".." in parts or path.startswith("/") or len(parts) > MAX_DEPTH:
        raise RunError(f"{address}: names a file {printable_name(path)[:100]!r}, which no run has")


def _copy_checked(shown: str, source: Path, goal: Path, file: _HubFile) -> None:
    """Link or copy a file of the cache into the run, if its bytes are those that the hub names."""
    blob = source.resolve()
    if not _is_intact(blob, file):
        raise RunError(
            f"{shown} is damaged: its bytes are not those that the hub names; remove "
            f"{blob} and try again"
        )
    goal.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(blob, goal)
    except OSError:  # another disk, or one without links
        shutil.copyfile(blob, goal)


def _is_intact(blob: Path, file: _HubFile) -> bool:
    """Compare a file with its size and digest; one without a digest passes by its size."""
    size = blob.stat().st_size
    if size != file.size:
        return False
    with blob.open("rb") as stream:
        if file.sha256:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        if not file.git_sha1:
            return True
        # Git's digest of a small file: SHA-1 over a header and the bytes.
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        while part := stream.read(1 << 20):
            digest.update(part)
        return digest.hexdigest() == file.git_sha1
