"""A run's members -> one network with the mean of their weights.

Members that began from the same weights often lie in one valley, whose middle is as good as their ensemble at a
fraction of the cost (Wortsman et al. 2022, arXiv:2203.05482), and often do not: it has to be tried. Knows nothing of
how it is judged.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from bestiary.data.draws import generator
from bestiary.data.loader import Rows, loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.model import Classifier, load_member
from bestiary.run import Run
from bestiary.train.task import TrainingSet

STATISTICS = 1000  # pictures that batch norms take their statistics anew from


def average_members(run: Run, folds: Sequence[int]) -> Classifier:
    """The members of `folds` averaged, weight by weight, on the CPU; whole numbers are the first member's."""
    members = [load_member(run.fold(fold).weights) for fold in folds]
    first, states = members[0], [member.state_dict() for member in members]
    mean = {
        key: torch.stack([state[key] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }
    first.load_state_dict(mean)
    return first.eval()


def has_moved_norms(run: Run, folds: Sequence[int]) -> bool:
    """Whether members differ in what their batch norms have seen, so that the mean of it fits none."""
    states = [
        {name: module.running_mean for name, module in load_member(run.fold(f).weights).named_modules()
         if isinstance(module, _BatchNorm) and module.running_mean is not None}
        for f in folds[:2]
    ]  # fmt: skip
    return any(not torch.equal(mean, states[-1][name]) for name, mean in states[0].items())


def refresh_norms(classifier: Classifier, data: TrainingSet, rows: Rows) -> None:
    """Let batch norms take their statistics from evaluation views of up to `STATISTICS` of `rows`, as in SWA.

    Izmailov et al. 2018, arXiv:1803.05407; by PyTorch's `update_bn`.
    """
    order = generator(data.recipe.train.seed, "norms", len(rows)).permutation(len(rows))[:STATISTICS]
    view = EvalView.of(data.recipe.view, classifier.interpolation)
    chosen: Rows = np.sort(rows[order])
    batch = max(2, data.recipe.train.batch_size)
    views = stream_views(chosen, batch, data.eval_view_of(view), loader_threads("cpu"))
    with torch.no_grad():
        update_bn((classifier.prepare(part) for part in views), classifier)
    classifier.eval()
