"""A run -> Weights & Biases: a group with a run for each fold and one for all folds together."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit

import wandb

from bestiary.errors import RecipeError
from bestiary.training.tracking.tracker import Tracked

START_SECONDS = 30.0  # to wait for the service
END_SECONDS = 45.0  # to send what is left; without a limit, W&B waits for days
HOST = "api.wandb.ai"
WITHOUT_KEY = ("offline", "dryrun", "disabled")


class WeightsAndBiases:
    """A run of W&B, new or continued.

    Args:
        tracked: what it is of.
    """

    def __init__(self, tracked: Tracked) -> None:
        self._name = tracked.name
        self._run = wandb.init(
            project=tracked.project,
            name=tracked.name,
            group=tracked.group,
            job_type="all folds" if tracked.fold is None else "fold",
            id=tracked.part_id,
            resume="allow",
            reinit="create_new",
            config=dict(tracked.parameters),
            # The console shows names of images, which are no business of the service.
            settings=wandb.Settings(
                init_timeout=_start_seconds(),
                finish_timeout=END_SECONDS,
                finish_timeout_raises=True,
                console="off",
            ),
        )

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log numbers; those of the end become the run's summary."""
        self._run.log(dict(metrics), step=step)
        if step is None:
            self._run.summary.update(dict(metrics))

    def log_files(self, files: Sequence[Path]) -> None:
        """Log an artefact that has the files."""
        artifact = wandb.Artifact(f"results-{self._run.id}", type="results")
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)

    def finish(self, ended: bool) -> None:
        """Send what is left, and end the run."""
        self._run.finish(exit_code=0 if ended else 1)


def _start_seconds() -> float:
    try:
        return float(os.environ.get("WANDB_INIT_TIMEOUT", START_SECONDS))
    except ValueError:
        return START_SECONDS


def check_wandb(project: str) -> None:
    """Check that there is a key, unless W&B works offline.

    Args:
        project: is not looked up.

    Raises:
        RecipeError: there is no key.
    """
    settings = wandb.setup().settings
    has_key = settings.api_key or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    if settings.mode in WITHOUT_KEY or has_key or _is_in_netrc(settings.base_url):
        return
    raise RecipeError(
        "track.to = 'wandb': there is no key of Weights & Biases; call wandb login, set "
        "WANDB_API_KEY, track without a connection by WANDB_MODE=offline, or leave wandb out"
    )


def _is_in_netrc(url: str) -> bool:
    """Whether ``wandb login`` has written a key, which it does to the file of passwords."""
    for name in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        with suppress(OSError, NetrcParseError):
            known = netrc(Path(name or "").expanduser()).hosts
            if {urlsplit(url).hostname, HOST} & set(known):
                return True
    return False
