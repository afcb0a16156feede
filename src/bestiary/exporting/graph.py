"""An ensemble's members -> one network from pixels to probabilities, in a graph that needs no
bestiary to run.

Normalization, views at test time, members, averaging rule, temperature and the energy that tells
unknown images are all inside; the batch axis is free. The rules are those of `bestiary.ensemble`,
in PyTorch's terms, and are tested against them. Knows nothing of files.
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
from bestiary.model.tta import TtaViews, tta_views
from bestiary.stats.averaging import TIE_BREAK, Average

INPUT = "pixels"
OUTPUTS = ("probabilities", "energy", "logits")


class Outputs(NamedTuple):
    """What a graph gives for so many images.

    Attributes:
        probabilities: calibrated (n, classes).
        energy: of each image (n,), the higher the less like the known ones; nan in no case.
        logits: of each member, neither calibrated nor averaged (n, members, classes).
    """

    probabilities: NDArray[np.float32]
    energy: NDArray[np.float32]
    logits: NDArray[np.float32]


class EnsembleGraph(nn.Module):
    """A run's members as one network.

    Args:
        members: in eval mode, on the CPU, all with the same outputs.
        average: how members are put together.
        number: of views of each image whose logits are averaged, see `bestiary.model.tta`.
        temperature: what logits are divided by before they become probabilities.
        scales: spread of each member's logits (members,), by which energy is made comparable.
    """

    scales: torch.Tensor

    def __init__(
        self,
        members: Sequence[Classifier],
        average: Average,
        number: TtaViews,
        temperature: float,
        scales: Sequence[float],
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        norms = [
            (*member.mean.flatten().tolist(), *member.std.flatten().tolist()) for member in members
        ]
        self.alike = [
            norms.index(norm) for norm in norms
        ]  # the first member that normalizes as each does
        self.average = average
        self.number = number
        self.temperature = temperature
        self.register_buffer("scales", torch.tensor(scales, dtype=torch.float32).view(1, -1, 1))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`Outputs` of uint8 `pixels` (n, side, side, 3), RGB, with the side that `input_side`
        says.
        """
        views = torch.cat(tta_views(pixels, self.number)) if self.number > 1 else pixels
        logits = torch.stack([member(images) for member, images in self._prepared(views)], dim=1)
        if self.number > 1:
            logits = (
                logits.reshape(self.number, pixels.shape[0], *logits.shape[1:]).sum(dim=0)
                / self.number
            )
        energy = -(logits / self.scales).logsumexp(dim=2).mean(dim=1)
        return self._averaged(logits / self.temperature), energy, logits

    def _prepared(self, views: torch.Tensor) -> list[tuple[nn.Module, torch.Tensor]]:
        """Each member with its input, which those that normalize alike share."""
        inputs = {place: self.members[place].preprocess(views) for place in set(self.alike)}  # type: ignore[operator]
        return [
            (member, inputs[place]) for member, place in zip(self.members, self.alike, strict=True)
        ]

    def _averaged(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, classes) of `logits` (n, members, classes), see
        `bestiary.ensemble.average`.
        """
        if self.average == "logits":
            return logits.mean(dim=1).softmax(dim=1)
        mean = logits.softmax(dim=2).mean(dim=1)
        if self.average == "probabilities":
            return mean
        classes = torch.arange(logits.shape[2])
        votes = (logits.argmax(dim=2, keepdim=True) == classes).float().sum(dim=1)
        return (votes + TIE_BREAK * mean) / (len(self.members) + TIE_BREAK)


def trace(graph: EnsembleGraph, side: int) -> ExportedProgram:
    """`graph` as a program of PyTorch's for any number of images of `side` pixels."""
    views = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what the libraries' networks do in Python
        program = torch.export.export(
            graph, (views,), dynamic_shapes=({0: Dim("batch", min=1)},), strict=False
        )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names the folders of this machine
    return program


@torch.inference_mode()
def run_graph(graph: EnsembleGraph, views: NDArray[np.uint8]) -> Outputs:
    """What PyTorch itself makes of `views` (n, size, size, 3), in float32."""
    return Outputs(*(output.numpy() for output in graph(torch.from_numpy(views))))
