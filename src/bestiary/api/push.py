"""The verb `push`: a finished run -> a repository on the Hugging Face hub, with its model card."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestiary.api.arguments import RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.printable import shell_name

if TYPE_CHECKING:
    from bestiary.run.run import Run
    from bestiary.run.sharing import SharedFiles
    from bestiary.storage.hub_upload import Uploaded


@dataclass(frozen=True, slots=True)
class Pushed:
    """What `push` uploaded, or would upload.

    Attributes:
        address: of the run on the hub, for every verb that takes a run.
        shared: the files, and what they tell of the images.
        uploaded: what is on the hub now; None: nothing was uploaded.
    """

    address: str
    shared: "SharedFiles"
    uploaded: "Uploaded | None" = None

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        done = self.uploaded
        return {
            "address": self.address,
            "files": sorted(self.shared.files),
            "images": self.shared.images,
            "columns": self.shared.columns,
            "positions": self.shared.positions,
            "page": done.page if done else None,
            "private": done.is_private if done else None,
            "removed": done.removed if done else None,
        }

    def __str__(self) -> str:
        if self.uploaded is None:
            return "Nothing was uploaded, since --dry-run was given."
        seen_by = "private" if self.uploaded.is_private else "everyone can read it"
        lines = [f"{self.uploaded.page} ({seen_by})"]
        if self.uploaded.removed:
            lines.append(f"{self.uploaded.removed} files of the run that was there are gone.")
        lines.append(f"To use it: bestiary predict {shell_name(self.address)} IMAGES")
        return "\n".join(lines)


@checked_arguments
def push(
    run: RunLocation,
    address: str,
    /,
    *,
    public: bool = False,
    with_report: bool = False,
    with_positions: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
) -> Pushed:
    """Upload a finished run to the Hugging Face hub.

    Members, recipe, tables and scores go up in one commit, with a model card, README.md.
    A new repository is private, unless --public is given. No image goes up, and no
    thumbnail. What goes up is said first. Every verb that takes a run then takes the
    address too, and so does bestiary.load.

    The token is that of HF_TOKEN, or of `hf auth login`; it must be one that may write.
    If RUN/README.md exists, it is the card: write it by bestiary report RUN --format card,
    and fill in the license and what the run is for.

    Parameters
    ----------
    run
        Finished run: its folder, or its address in an object store.
    address
        Where it goes: hf://USER/NAME. The repository is made if there is none; an earlier
        run in it is replaced, and stays in its history.
    public
        Let everyone read a new repository.
    with_report
        Upload RUN/report.html too, which shows thumbnails of the images.
    with_positions
        Let everyone read where the images were taken. With --public, a run whose tables tell
        it is refused otherwise.
    dry_run
        Say what would be uploaded, and upload nothing.
    quiet
        Do not say what is uploaded.

    Returns
    -------
    Pushed
        The address, the files, and the page on the hub.

    Raises
    ------
    ArgumentError
        There is no token, or the address is no repository of the hub.
    RunError
        A fold has not ended, the hub refuses or cannot be reached, or the repository
        holds something else than a run.

    Examples
    --------
    >>> import bestiary
    >>> pushed = bestiary.push("run", "hf://ecologist/moths", dry_run=True, quiet=True)
    >>> sorted(pushed.shared.files)[:2]
    ['SHA256SUMS', 'ensemble.json']
    """
    from bestiary.display import Display
    from bestiary.reporting.model_card import at_place, has_license
    from bestiary.run.layout import REPORTS, is_shared
    from bestiary.run.opening import opened_run
    from bestiary.run.sharing import shared_files
    from bestiary.storage.hub_upload import check_token, upload, upload_repository

    repository = upload_repository(address)
    display = Display(quiet)
    with opened_run(os.fspath(run)) as opened:
        if not dry_run:
            check_token(address)
        shared = shared_files(opened.load(), with_report=with_report)
        _check_positions(shared, public=public, with_positions=with_positions)
        card = at_place(_card(opened), address)
        who = "for everyone to read" if public else "private, if it is new"
        display.line(f"To {repository} on the hub ({who}):")
        for sentence in shared.sentences():
            display.line(f"  {sentence}")
        if not has_license(card):
            name = REPORTS["card"]
            write = f"bestiary report {shell_name(run)} --format card, then "
            first = "" if opened.file(name).exists() else write
            display.notice(
                f"The model card names no license. To fill it in: {first}edit {run}/{name}"
            )
        if dry_run:
            return Pushed(address, shared)
        files: dict[str, Path | bytes] = {**shared.files, REPORTS["card"]: card.encode()}
        done = upload(
            address,
            files,
            lambda path: is_shared(path) or path == REPORTS["html"],
            public=public,
            message=f"bestiary push {opened.name}",
        )
    return Pushed(address, shared, done)


def _check_positions(shared: "SharedFiles", *, public: bool, with_positions: bool) -> None:
    """Refuse to show everyone where images were taken, unless that is asked for."""
    from bestiary.errors import ArgumentError
    from bestiary.numbers import count
    from bestiary.run.layout import MANIFEST

    if public and shared.positions and not with_positions:
        raise ArgumentError(
            f"--public: {MANIFEST} tells everyone where {count(shared.positions, 'image')} "
            f"{'was' if shared.positions == 1 else 'were'} taken (lat, lon); add --with-positions "
            "if that may be known, or leave --public out"
        )


def _card(run: "Run") -> str:
    """Return the card that the user has in the run, or else a new one."""
    from bestiary.errors import RunError, one_line
    from bestiary.evaluation.results import read_results
    from bestiary.regular_files import MAX_TEXT_BYTES, read_regular
    from bestiary.reporting.model_card import model_card
    from bestiary.run.layout import REPORTS

    file = run.file(REPORTS["card"])
    try:
        return read_regular(file, MAX_TEXT_BYTES).decode("utf-8")
    except FileNotFoundError:
        return model_card(read_results(run))
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: cannot be read ({one_line(error)})") from None
