"""A run -> MLflow: a run for all folds together, and one below it for each fold.

By MLflow's client, which keeps no run of this process active: a notebook may have one of its own.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from bestiary.errors import RecipeError, one_line
from bestiary.training.tracking.tracker import Tracked, without_secrets

ID_TAG = "bestiary.id"
BATCH = 100  # parameters that a store takes at a time
MAX_VALUE = 500  # characters of a parameter that every store takes
# A server that is gone is asked seven times for two minutes each otherwise.
IMPATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


class MLflow:
    """A run of MLflow, new or continued.

    Args:
        tracked: what it is of.
    """

    def __init__(self, tracked: Tracked) -> None:
        self._client = _client()
        experiment = _experiment(self._client, tracked.project)
        self._run = self._open(experiment, tracked.id, tracked.group, {})
        if tracked.fold is not None:
            tags = {MLFLOW_PARENT_RUN_ID: self._run, "bestiary.fold": str(tracked.fold)}
            self._run = self._open(experiment, tracked.part_id, tracked.name, tags)
        params = [Param(name, str(value)[:MAX_VALUE]) for name, value in tracked.parameters.items()]
        for start in range(0, len(params), BATCH):
            self._client.log_batch(self._run, params=params[start : start + BATCH])

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Log numbers."""
        now = int(1000 * time.time())
        batch = [Metric(name, float(value), now, step or 0) for name, value in metrics.items()]
        self._client.log_batch(self._run, metrics=batch)

    def log_files(self, files: Sequence[Path]) -> None:
        """Log artefacts."""
        for file in files:
            self._client.log_artifact(self._run, str(file))

    def finish(self, ended: bool) -> None:
        """End the run."""
        self._client.set_terminated(self._run, "FINISHED" if ended else "KILLED")

    def _open(self, experiment: str, part: str, name: str, tags: dict[str, str]) -> str:
        """Find the run of a part, or create it; return its identifier.

        Several processes may create the run of all folds at once. The earliest one stays.
        """
        if found := self._find(experiment, part):
            self._client.update_run(found, status="RUNNING")
            return found
        created = self._client.create_run(
            experiment, tags={ID_TAG: part, **tags}, run_name=name
        ).info.run_id
        first = self._find(experiment, part) or created
        if first != created:
            self._client.delete_run(created)
        return str(first)

    def _find(self, experiment: str, part: str) -> str:
        """Find the run of a part; empty if there is none."""
        runs = self._client.search_runs([experiment], f"tags.`{ID_TAG}` = '{part}'")
        infos = sorted((run.info.start_time, run.info.run_id) for run in runs)
        return str(infos[0][1]) if infos else ""


def check_mlflow(project: str) -> None:
    """Check that MLflow's store answers, and has no deleted experiment of the project's name.

    Args:
        project: name of the experiment.

    Raises:
        RecipeError: the store cannot be used.
    """
    uri = without_secrets(get_tracking_uri())
    try:
        found = _client().get_experiment_by_name(project)
    except Exception as error:  # of MLflow, of its database or of the network
        raise RecipeError(
            f"track.to = 'mlflow': {uri} cannot be used ({_first_sentence(error)}); set "
            "MLFLOW_TRACKING_URI to a store that answers, such as sqlite:///mlflow.db, or leave "
            "mlflow out"
        ) from None
    if found is not None and found.lifecycle_stage == "deleted":
        raise RecipeError(
            f"track.project = {project!r}: is a deleted experiment in {uri}; restore it by mlflow "
            f"experiments restore -x {found.experiment_id}, or name another project"
        )


def _first_sentence(error: Exception) -> str:
    return without_secrets(one_line(error)).partition(". ")[0].rstrip(".")


def _client() -> MlflowClient:
    for name, value in IMPATIENCE.items():
        os.environ.setdefault(name, value)
    return MlflowClient()


def _experiment(client: MlflowClient, name: str) -> str:
    """Find an experiment, or create it; another process may create it meanwhile."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
