"""Files of a run -> a repository on the Hugging Face hub, in one commit.

A repository is made if there is none. One that holds something else than a run is left alone. All
files appear together or none does, and files of an earlier run there go in the same commit. Knows
nothing of what the files mean.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.errors import ArgumentError, RunError
from bestiary.printable import printable_name
from bestiary.storage.hub import ANSWER_SECONDS, HUB, hub_errors, hub_place, quiet_hub

ATTRIBUTES = ".gitattributes"  # which the hub makes itself


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What is on the hub after an upload.

    Attributes:
        page: address of the repository's page.
        is_private: whether only its owner and those whom the owner admits can read it.
        is_new: whether the repository was made for it.
        removed: number of files of an earlier run that went.
    """

    page: str
    is_private: bool
    is_new: bool
    removed: int


def upload_repository(address: str) -> str:
    """Return the repository of an address that a run goes to.

    Args:
        address: such as ``hf://user/name``.

    Raises:
        ArgumentError: it is no address of a whole repository.

    Example:
        >>> upload_repository("hf://ecologist/moths")
        'ecologist/moths'
    """
    try:
        place = hub_place(address)
    except RunError:
        place = None
    if place is None or place.revision or place.folder:
        raise ArgumentError(
            f"{printable_name(address)[:200]}: a run is pushed to a repository of its own; write "
            f"{HUB}USER/NAME"
        )
    return place.repository


def check_token(address: str) -> None:
    """Refuse an upload without a login.

    Raises:
        ArgumentError: neither HF_TOKEN is set nor has anybody logged in.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise ArgumentError(
            f"push {printable_name(address)}: needs a token that may write; set HF_TOKEN, or log "
            "in by: hf auth login"
        )


def upload(
    address: str,
    files: Mapping[str, Path | bytes],
    is_of_run: Callable[[str], bool],
    *,
    public: bool,
    message: str,
) -> Uploaded:
    """Upload the files of a run.

    Args:
        address: of the repository.
        files: path in the repository -> a file, or its bytes.
        is_of_run: whether a path in the repository is a file of a run; such files that are not
            among `files` are removed.
        public: whether everybody may read them.
        message: of the commit.

    Returns:
        What is there now.

    Raises:
        ArgumentError: there is no login.
        RunError: the hub refuses or cannot be reached, or the repository holds something else, or
            everybody can read it and may not.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    repository = upload_repository(address)
    check_token(address)
    hub = HfApi()
    with hub_errors(address), quiet_hub(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a table in a repository of a model looks like data
        there = _repository(hub, repository)
        names = {entry.rfilename for entry in there.siblings or []} if there else set()
        _check_is_run(address, names, is_of_run)
        if there and not there.private and not public:
            raise RunError(
                f"{printable_name(address)}: everyone can read this repository; add --public if "
                "everyone may read the run"
            )
        if there is None:
            hub.create_repo(repository, private=not public)
        stale = sorted(name for name in names if is_of_run(name) and name not in files)
        operations: list[Any] = [CommitOperationDelete(path_in_repo=name) for name in stale]
        operations += [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in files.items()
        ]
        hub.create_commit(repository, operations, commit_message=message)
    is_private = bool(there.private) if there else not public
    return Uploaded(f"{hub.endpoint}/{repository}", is_private, there is None, len(stale))


def _repository(hub: Any, repository: str) -> Any:
    """Ask for a repository; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return hub.model_info(repository, timeout=ANSWER_SECONDS)
    except RepositoryNotFoundError:
        return None


def _check_is_run(address: str, names: set[str], is_of_run: Callable[[str], bool]) -> None:
    """Refuse a repository with files, none of which is a run's."""
    from huggingface_hub.constants import REPOCARD_NAME

    others = sorted(names - {ATTRIBUTES, REPOCARD_NAME})
    if others and not any(map(is_of_run, others)):
        raise RunError(
            f"{printable_name(address)}: holds something else ({printable_name(others[0])}), which "
            "stays; choose another name"
        )
