"""An ensemble <-> what is enough to load it again from its run, for pickle and for copies.

Networks of an engine cannot be pickled, and weights need not be: they are in the run. What was
pickled is loaded again by the run's path or address, and compared by a digest. So a run that has
changed since is refused. Knows nothing of how an ensemble computes.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bestiary.errors import ArgumentError, ForkError, RunError
from bestiary.model.forks import check_can_compute
from bestiary.model.tensor_file import checksum
from bestiary.recipe.choices import Engine, PrecisionOption, TtaViews
from bestiary.run.ood import ood_arrays
from bestiary.run.opening import opened_run

if TYPE_CHECKING:
    from bestiary.ensemble.ensemble import Ensemble

MAX_CACHED = 2  # reloaded ensembles that a process keeps: a pool unpickles one for each job

# Changes that no network depends on
_CARRIED = ("average", "calibration", "ood", "classes_", "decisions")
_OWN = ("digest", "_given", "_origin", "_pid")  # of each object or process, never carried
_lock = threading.Lock()  # two threads must not copy a run from its store into one folder
_cache: "OrderedDict[SavedEnsemble, Ensemble]" = OrderedDict()


@dataclass(frozen=True, slots=True)
class LoadArguments:
    """Where an ensemble was loaded from, and how.

    Attributes:
        place: absolute path or address of the run.
        device: as it was asked for.
        engine: as it was asked for.
        tta: as it was asked for.
        precision: as the run says; what it comes to depends on the machine.
    """

    place: str
    device: str | None
    engine: Engine
    tta: TtaViews | None
    precision: PrecisionOption


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a loaded ensemble.

    Attributes:
        arguments: where it was loaded from, and how.
        loaded: its attributes as they were loaded.
    """

    arguments: LoadArguments
    loaded: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedEnsemble:
    """What a pickle contains of an ensemble.

    Attributes:
        kind: class of the ensemble.
        arguments: where to load it from, and how.
        digest: of all that the run has given to it.
    """

    kind: "type[Ensemble]"
    arguments: LoadArguments
    digest: str


def save_ensemble(ensemble: "Ensemble") -> tuple[SavedEnsemble, dict[str, Any]]:
    """Return what a pickle contains of an ensemble: see `load_saved`.

    Args:
        ensemble: to pickle.

    Returns:
        Where to load it from, and the attributes that were changed since it was loaded.

    Raises:
        ArgumentError: it was not loaded from a run, or a change of it would be lost.

    Example:
        >>> saved, changes = save_ensemble(ensemble)  # doctest: +SKIP
    """
    origin = ensemble.origin
    if origin is None:
        raise ArgumentError(
            "this ensemble was not loaded from a run, so it cannot be pickled or copied; "
            "pickle one that bestiary.load(RUN) returns"
        )
    saved = SavedEnsemble(type(ensemble), origin.arguments, _digest(ensemble, origin))
    return saved, _changes(ensemble, origin)


def load_saved(saved: SavedEnsemble, changes: dict[str, Any]) -> "Ensemble":
    """Load the ensemble of a pickle from its run.

    Ensembles that one process unpickles from one run share their networks.

    Args:
        saved: where to load it from.
        changes: attributes to set.

    Returns:
        The ensemble; in a forked process that cannot compute, one that refuses with `ForkError`.

    Raises:
        RunError: the run is gone, or has changed.

    Example:
        >>> ensemble = load_saved(saved, {})  # doctest: +SKIP
    """
    try:
        check_can_compute()  # before the lock, which a fork may have copied while it was held
    except ForkError:
        return _refusing(saved.kind)
    with _lock:
        shared = _load_cached(saved)
    ensemble = saved.kind.__new__(saved.kind)
    vars(ensemble).update(vars(shared))
    if "members" in vars(shared):
        ensemble.members = list(shared.members)
    ensemble.folds = list(shared.folds)
    ensemble.classes_ = shared.classes_.copy()
    ensemble.set_origin(saved.arguments)
    vars(ensemble).update(changes)
    return ensemble


def _refusing(kind: "type[Ensemble]") -> "Ensemble":
    """Make an ensemble that refuses to predict, as if it had been inherited by a fork.

    A pool waits for ever for a job that its worker could not unpickle. A job may fail.
    """
    ensemble = kind.__new__(kind)
    no_process = 0
    vars(ensemble).update(
        _pid=no_process, _origin=None, members=[], classes_=np.array([]), engine="no engine"
    )
    return ensemble


def _load_cached(saved: SavedEnsemble) -> "Ensemble":
    ensemble = _cache.pop(saved, None)
    if ensemble is None or not _is_same(ensemble, saved):
        ensemble = _load(saved)
    _cache[saved] = ensemble
    if len(_cache) > MAX_CACHED:
        _cache.popitem(last=False)
    return ensemble


def _load(saved: SavedEnsemble) -> "Ensemble":
    arguments = saved.arguments
    with opened_run(arguments.place) as run:
        ensemble = saved.kind.load(run, arguments.device, arguments.engine, arguments.tta)
    if not _is_same(ensemble, saved):
        raise RunError(
            f"{arguments.place}: is not what the pickled ensemble was loaded from, or it was "
            "changed in memory; load the run and pickle it again"
        )
    return ensemble


def _is_same(ensemble: "Ensemble", saved: SavedEnsemble) -> bool:
    origin = ensemble.origin
    return origin is not None and _digest(ensemble, origin) == saved.digest


def member_tensors(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Name the tensors of all members, for a digest.

    Args:
        states: tensors of each member, by name.

    Returns:
        Number of the member and name in it -> tensor.
    """
    tensors = {}
    for index, state in enumerate(states):
        for name, tensor in state.items():
            tensors[f"{index}.{name}"] = tensor
    return tensors


def content_digest(ensemble: "Ensemble") -> str:
    """Compute the SHA-256 of what an ensemble's answers depend on.

    Args:
        ensemble: with all changes since it was loaded.

    Example:
        >>> len(content_digest(ensemble))  # doctest: +SKIP
        64
    """
    card = {
        "classes": ensemble.classes_.tolist(),
        "view": asdict(ensemble.view),
        "precision": ensemble.precision,
        "calibration": ensemble.calibration.to_json() if ensemble.calibration else None,
    }
    if ensemble.blend_weights is not None:
        card["blend"] = ensemble.blend_weights.tolist()
    return checksum(member_tensors(ensemble.member_states), card)


def _digest(ensemble: "Ensemble", origin: Origin) -> str:
    """SHA-256 of all that the run has given to an ensemble, the same on every machine."""
    loaded = origin.loaded
    calibration = loaded["calibration"]
    card = {
        "classes": loaded["classes_"].tolist(),
        "average": loaded["average"],
        "calibration": calibration.to_json() if calibration else None,
        "precision": origin.arguments.precision,
        "view": asdict(ensemble.view),
        "tta": ensemble.tta,
        "folds": ensemble.folds,
    }
    if ensemble.blend_weights is not None:
        card["blend"] = ensemble.blend_weights.tolist()
    tensors = member_tensors(ensemble.member_states)
    if loaded["ood"]:
        for name, values in ood_arrays(loaded["ood"]).items():
            tensors[f"ood.{name}"] = torch.from_numpy(values)
    return checksum(tensors, card)


def _changes(ensemble: "Ensemble", origin: Origin) -> dict[str, Any]:
    """Select the attributes that were set since an ensemble was loaded."""
    changes = {}
    for name, value in vars(ensemble).items():
        if name in _OWN or _is_unchanged(value, origin.loaded.get(name, _OWN)):
            continue
        if name in origin.loaded and name not in _CARRIED:
            raise ArgumentError(
                f"{name}: was changed on this ensemble, and a pickle or copy would lose that; "
                f"load the run with what you need, such as Ensemble.load(RUN, tta=2)"
            )
        changes[name] = value
    return changes


def _is_unchanged(value: Any, loaded: Any) -> bool:
    """Compare words and numbers by value, and objects by identity."""
    if value is loaded:
        return True
    return isinstance(value, (str, int)) and type(value) is type(loaded) and value == loaded
