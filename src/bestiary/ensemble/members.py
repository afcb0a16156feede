"""The files of a run's members -> members that are verified, and the cache file of their graph.

Nothing that a run claims is believed: the tensors are digested again at each start, and a cached
graph is found by these digests. Knows nothing of how an ensemble computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bestiary.display import Display
from bestiary.ensemble.card import EnsembleCard, read_card
from bestiary.errors import RunError
from bestiary.model.classifier import Classifier, SavedMember, open_member
from bestiary.model.compute import resolve_precision
from bestiary.model.device import best_device
from bestiary.model.engine import uses_openvino
from bestiary.model.graph_cache import cached_graph, cached_joint_graph
from bestiary.model.tensor_card import claimed_checksum
from bestiary.recipe.choices import Engine
from bestiary.run.run import Run


@dataclass(frozen=True, slots=True)
class Graphs:
    """The cache files of members' graphs.

    Attributes:
        joint: of all members as one graph.
        single: of each member, where training has left it.
    """

    joint: Path
    single: list[Path]


def say_first_start(run: Run, engine: Engine, display: Display) -> None:
    """Show the line of `describe_first_start`, if there is one.

    Args:
        run: the run.
        engine: as it was asked for.
        display: where it is shown.

    Raises:
        RunError: the run's files are missing or damaged.
    """
    if line := describe_first_start(run, engine):
        display.line(line)


def describe_first_start(run: Run, engine: Engine) -> str:
    """Say that the first start of a run on this machine builds its graph; empty on later starts.

    Args:
        run: the run.
        engine: as it was asked for.

    Returns:
        A line to show before `open_members` and what follows.

    Raises:
        RunError: the run's files are missing or damaged.
    """
    device = best_device()
    if not uses_openvino(engine, device):
        return ""
    card = read_card(run)
    claimed = [claimed_checksum(run.fold(fold).weights) or "" for fold in card.folds]
    precision = resolve_precision(card.precision, device)
    graph = cached_joint_graph(claimed, len(card.classes), card.view.size, precision)
    if graph.exists():
        return ""
    return "First start of this run here: its network is built, once, in 5 to 20 seconds"


def open_members(
    run: Run, card: EnsembleCard, device: torch.device, engine: Engine
) -> tuple[list[SavedMember], Graphs | None]:
    """Open the files of a run's members.

    A graph in the cache was made of members with the very digests that it is named by. Where there
    is one, no network is built, and the libraries of networks are not imported.

    Args:
        run: the run.
        card: of its ensemble.
        device: where the members are computed.
        engine: as it was asked for.

    Returns:
        The members and the files of their graphs; None: their engine needs none.

    Raises:
        RunError: a file is missing, damaged, or not that of a member of this ensemble.
        WeightsError: this installation does not know a member's backbone.
    """
    files = [run.fold(fold).weights for fold in card.folds]
    size = card.view.size
    has_graph = uses_openvino(engine, device)

    def graph_of(digests: Sequence[str]) -> Path:
        precision = resolve_precision(card.precision, device)
        return cached_joint_graph(digests, len(card.classes), size, precision)

    # What a file claims only decides whether its shapes are compared before its tensors are read.
    claimed = [claimed_checksum(file) or "" for file in files]
    is_known = has_graph and graph_of(claimed).exists()
    try:
        members = [open_member(file, fits=is_known) for file in files]
        digests = [member.digest for member in members]
        card.check_digests(digests)
        if not is_known or digests != claimed:
            card.check_outputs([member.outputs for member in members])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.place}: a member is not what bestiary writes ({error!r})") from None
    if not has_graph:
        return members, None
    joint = graph_of(digests)
    single = [] if joint.exists() else [cached_graph(file, size) for file in files]
    return members, Graphs(joint, single)


def build_members(given: Sequence[Classifier | SavedMember]) -> list[Classifier]:
    """Build the classifiers of members.

    Args:
        given: the members; a classifier is taken as it is.

    Returns:
        The classifiers, in eval mode, in the same order.

    Raises:
        RunError: a file is not that of a classifier.
        WeightsError: this installation does not know a backbone.
    """
    built: list[Classifier] = []
    of_kind: dict[tuple[str, int], Classifier] = {}
    for member in given:
        if isinstance(member, SavedMember):
            classifier = member.build(of_kind.get(member.kind))
            of_kind.setdefault(member.kind, classifier)
        else:
            classifier = member
        built.append(classifier)
    return built
