"""An ensemble's members -> one graph from pixels to probabilities that runs without bestiary.

Inside are preprocessing (normalization), test-time augmentation, all members, the averaging rule,
temperature scaling and the score that marks unknown images. The batch axis is free. The rules are
those of `bestiary.ensemble`, in PyTorch's operations, and are tested against it. Knows nothing of
files.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.export import Dim, ExportedProgram

from bestiary.model.classifier import Classifier
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
        self.members = JointClassifier(members, size)
        self.n_members = len(members)
        self.average = average
        self.tta = tta
        self.temperature = temperature
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
        views = torch.cat(tta_views(pixels, self.tta)) if self.tta > 1 else pixels
        logits = self.members(views)
        if self.tta > 1:
            by_view = logits.reshape(self.tta, pixels.shape[0], *logits.shape[1:])
            logits = by_view.sum(dim=0) / self.tta
        unlikeness = self._unlikeness(logits / self.scales)
        return self._probabilities(logits / self.temperature), unlikeness, logits

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
