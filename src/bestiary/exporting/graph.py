"""An ensemble's members -> one graph from pixels to probabilities that runs without bestiary.

Inside are preprocessing (normalization), test-time augmentation, all members, the averaging rule,
temperature scaling and the score that marks unknown images. The batch axis is free. The rules are
those of `bestiary.ensemble`, in PyTorch's operations, and are tested against it. Knows nothing of
files.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from bestiary.data.eval_view import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.model.classifier import Classifier
from bestiary.model.compute import memory_format
from bestiary.model.joint import JointClassifier
from bestiary.model.tta import tta_views
from bestiary.recipe.choices import Average, TtaViews
from bestiary.stats.averaging import TIE_BREAK
from bestiary.stats.ood import OodDetector

INPUT = "pixels"
OUTPUTS = ("probabilities", "energy", "logits")


class Outputs(NamedTuple):
    """The outputs of a graph for n images.

    Attributes:
        probabilities: calibrated probabilities (n, classes).
        energy: score of each image that marks the unknown (n,), never nan: its energy, or the
            weighted sum with its distance that the run decides by. The higher, the less like the
            known images.
        logits: logits of each member, neither calibrated nor averaged (n, members, classes).
    """

    probabilities: NDArray[np.float32]
    energy: NDArray[np.float32]
    logits: NDArray[np.float32]


class EnsembleGraph(nn.Module):
    """A run's members as one network.

    Args:
        members: members in eval mode, on the CPU, all with the same classes.
        size: side of their input in pixels.
        average: how members are averaged.
        tta: number of views of each image whose logits are averaged, see `bestiary.model.tta`.
        temperature: divisor of the logits before they become probabilities.
        scales: spread of each member's logits (members,), which makes energies comparable.
        detector: how unknown images are told, of the same members; None: by energy.

    Attributes:
        blended: of a joined run: the logits of all its runs, in place of the members' own.
    """

    scales: torch.Tensor
    whitening: torch.Tensor
    center: torch.Tensor
    means: torch.Tensor

    def __init__(
        self,
        members: Sequence[Classifier],
        size: int,
        average: Average,
        tta: TtaViews,
        temperature: float,
        scales: Sequence[float],
        detector: OodDetector | None = None,
    ) -> None:
        super().__init__()
        self.members: nn.Module = JointClassifier(members, size)
        self.n_members = len(members)
        self.average = average
        self.tta = tta
        self.temperature = temperature
        self.blended: BlendedLogits | None = None
        self.register_buffer("scales", torch.tensor(scales, dtype=torch.float32).view(1, -1, 1))
        self.weights = detector.weights.tolist() if detector else [1.0, 0.0]
        if detector and self.weights[1]:
            center = detector.means.mean(axis=0)
            for name, values in (
                ("whitening", detector.whitening),
                ("center", center),
                ("means", detector.means - center),
            ):
                self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute `Outputs`.

        Args:
            pixels: uint8 (n, side, side, 3), RGB, with the side of `input_side`.

        Returns:
            Probabilities, energy and logits.
        """
        logits = self.blended(pixels) if self.blended is not None else self.member_logits(pixels)
        unlikeness = self._unlikeness(logits / self.scales)
        return self._probabilities(logits / self.temperature), unlikeness, logits

    def member_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits (n, members, classes) of pixels, mean of the augmentation's views."""
        views = torch.cat(tta_views(pixels, self.tta)) if self.tta > 1 else pixels
        logits: torch.Tensor = self.members(views)
        if self.tta > 1:
            by_view = logits.reshape(self.tta, pixels.shape[0], *logits.shape[1:])
            logits = by_view.sum(dim=0) / self.tta
        return logits

    def _unlikeness(self, scaled: torch.Tensor) -> torch.Tensor:
        """Score how unlike the known images each is (n,), as `OodDetector.unlikeness` does."""
        energy = -scaled.logsumexp(dim=2).mean(dim=1)
        if not self.weights[1]:
            return energy
        # |x - m|^2 = |x|^2 + |m|^2 - 2 x.m; around the center, float32 has digits enough.
        whitened = scaled @ self.whitening - self.center
        products = whitened @ self.means.T
        norms = whitened.square().sum(dim=2, keepdim=True)
        squares = norms + self.means.square().sum(dim=1) - 2 * products
        distance = squares.amin(dim=2).clamp(min=0).sqrt().mean(dim=1)
        return self.weights[0] * energy + self.weights[1] * distance

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Average `logits` (n, members, classes) to probabilities (n, classes).

        The rules are those of `bestiary.stats.averaging`.
        """
        if self.average == "logits":
            return logits.mean(dim=1).softmax(dim=1)
        mean = logits.softmax(dim=2).mean(dim=1)
        if self.average == "probabilities":
            return mean
        classes = torch.arange(logits.shape[2])
        is_vote = logits.argmax(dim=2, keepdim=True) == classes
        votes = is_vote.float().sum(dim=1)
        return (votes + TIE_BREAK * mean) / (self.n_members + TIE_BREAK)


class BlendedLogits(nn.Module):
    """Logits of several runs, each at its own size, summed by weights.

    One input serves all: smaller views are shrunk from it, bilinear with anti-aliasing, by two
    matrix products, which every format knows. In prediction each view is made of the image itself,
    so a few pixels differ by a level or two.

    Args:
        graphs: of each run; `EnsembleGraph.member_logits` is used.
        sides: of each run's input in pixels.
        weights: (members, runs).
    """

    def __init__(
        self, graphs: Sequence[EnsembleGraph], sides: Sequence[int], weights: NDArray[np.float64]
    ) -> None:
        super().__init__()
        self.graphs = nn.ModuleList(graphs)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        for number, side in enumerate(sides):
            shrinks = None if side == max(sides) else _shrinking_matrix(max(sides), side)
            self.register_buffer(f"shrink_{number}", shrinks)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits (n, members, classes) of pixels uint8 (n, side, side, 3)."""
        total = []
        for number, graph in enumerate(self.graphs):
            own = _shrink(pixels, getattr(self, f"shrink_{number}"))
            logits = cast(EnsembleGraph, graph).member_logits(own)
            total.append(logits * self.weights[:, number, None])  # type: ignore[index]
        return torch.stack(total).sum(dim=0)


def _shrinking_matrix(side: int, smaller: int) -> torch.Tensor:
    """Weights (smaller, side) that shrink a line of pixels, as `interpolate` does."""
    lines = torch.eye(side)[None, None]
    shrunk = functional.interpolate(lines, (smaller, side), mode="bilinear", antialias=True)
    return shrunk[0, 0]


def _shrink(pixels: torch.Tensor, matrix: torch.Tensor | None) -> torch.Tensor:
    """Shrink pixels uint8 (n, side, side, 3) in both directions; None leaves them as they are."""
    if matrix is None:
        return pixels
    planes = matrix @ pixels.permute(0, 3, 1, 2).to(torch.float32) @ matrix.T
    return planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def input_view(ensemble: Ensemble) -> EvalView:
    """Return the view that a file's input is: of a joined run, that of its largest images.

    Args:
        ensemble: the ensemble.

    Raises:
        ArgumentError: its runs crop or squash images in different ways.
    """
    views = [one.input_view for one in (ensemble, *ensemble.blended)]
    largest = max(views, key=lambda view: view.size)
    if len({(view.resize, view.crop) for view in views}) > 1:
        raise ArgumentError(
            "export: the joined runs crop or squash images in different ways, and one file has one "
            "input; export a run alone, or bestiary distill"
        )
    return largest


def build_graph(ensemble: Ensemble, members: Sequence[int]) -> EnsembleGraph:
    """Build one network of some members, on the CPU.

    Args:
        ensemble: the ensemble.
        members: indices of the members to take.

    Returns:
        The network in eval mode.
    """
    detector = ensemble.ood
    calibration = ensemble.calibration

    def graph_of(one: Ensemble) -> EnsembleGraph:
        return EnsembleGraph(
            members=[one.members[member] for member in members],
            size=one.view.size,
            average=ensemble.average,
            tta=one.tta,
            temperature=calibration.temperature if calibration else 1.0,
            scales=[float(detector.scales[member]) if detector else 1.0 for member in members],
            detector=detector,
        )

    graph = graph_of(ensemble)
    if ensemble.blend_weights is not None:
        runs = [ensemble, *ensemble.blended]
        graphs = [graph_of(one) for one in runs]
        sides = [one.input_view.size for one in runs]
        graph.blended = BlendedLogits(graphs, sides, ensemble.blend_weights[list(members)])
        graph.members = nn.Identity()  # they are in `blended`
    # Files hold weights with the channels outermost.
    return graph.eval().to(memory_format=memory_format(False))


def trace(graph: EnsembleGraph, side: int) -> ExportedProgram:
    """Trace a graph with torch.export.

    Args:
        graph: the network.
        side: side of the input in pixels.

    Returns:
        A program for any number of images.
    """
    pixels = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    dynamic_shapes = ({0: Dim("batch", min=1)},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about Python code in the libraries' networks
        program = torch.export.export(graph, (pixels,), dynamic_shapes=dynamic_shapes, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the folders of this machine
    return program


@torch.inference_mode()
def run_graph(graph: EnsembleGraph, views: NDArray[np.uint8]) -> Outputs:
    """Run a graph with PyTorch in float32.

    Args:
        graph: the network.
        views: uint8 (n, size, size, 3).

    Returns:
        The outputs for all views.
    """
    outputs = graph(torch.from_numpy(views))
    return Outputs(*(output.numpy() for output in outputs))
