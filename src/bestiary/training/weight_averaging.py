"""A run's members -> one network with the mean of their weights.

Members that began from the same weights often lie in one valley, whose middle is as good as their
ensemble at a fraction of the cost (Wortsman et al. 2022, arXiv:2203.05482), and often do not: it
has to be tried. Knows nothing of how it is judged.
"""

from collections.abc import Sequence

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from bestiary.data.loader import Rows, loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.model.classifier import Classifier, load_member
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet

STATISTICS = 1000  # images that batch norms take their statistics anew from


def average_members(run: Run, folds: Sequence[int]) -> Classifier:
    """The members of `folds` averaged, weight by weight, on the CPU; whole numbers are the first
    member's.
    """
    members = [load_member(run.fold(fold).weights) for fold in folds]
    first, states = members[0], [member.state_dict() for member in members]
    mean = {
        key: torch.stack([state[key] for state in states]).mean(dim=0)
        if value.is_floating_point()
        else value
        for key, value in states[0].items()
    }
    first.load_state_dict(mean)
    return first.eval()


def has_moved_norms(run: Run, folds: Sequence[int]) -> bool:
    """Whether members differ in what their batch norms have seen, so that the mean of it fits
    none.
    """
    states = [
        {name: module.running_mean for name, module in load_member(run.fold(f).weights).named_modules()
         if isinstance(module, _BatchNorm) and module.running_mean is not None}
        for f in folds[:2]
    ]  # fmt: skip
    return any(not torch.equal(mean, states[-1][name]) for name, mean in states[0].items())


def refresh_norms(classifier: Classifier, data: TrainingSet, rows: Rows) -> None:
    """Let batch norms take their statistics from evaluation views of up to `STATISTICS` of `rows`,
    as in SWA.

    Izmailov et al. 2018, arXiv:1803.05407; by PyTorch's `update_bn`.
    """
    order = keyed_rng(data.recipe.train.seed, "norms", len(rows)).permutation(len(rows))[
        :STATISTICS
    ]
    view = EvalView.of(data.recipe.view, classifier.interpolation)
    chosen: Rows = np.sort(rows[order])
    batch = max(2, data.recipe.train.batch_size)
    views = stream_views(chosen, batch, data.eval_view_of(view), loader_threads("cpu"))
    with torch.no_grad():
        update_bn((classifier.preprocess(part) for part in views), classifier)
    classifier.eval()


def wise_ft(start: Classifier, trained: Classifier, share: float) -> Classifier:
    """Interpolate in a straight line between the initial and the trained weights.

    Fine-tuned weights, drawn back towards their start, forget less of what the pretrained network
    knew: WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903). Statistics of norms are interpolated
    likewise.

    Args:
        start: the network as training began; its weights are overwritten.
        trained: the same network after training, on the same device; left as it is.
        share: weight of the start, 0 to 1.

    Returns:
        `start`, with the interpolated weights.
    """
    weights = trained.state_dict()
    with torch.no_grad():
        for name, tensor in start.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(weights[name], 1 - share)
            else:
                tensor.copy_(weights[name])
    return start


def ema_of(classifier: Classifier, decay: float) -> ModelEmaV3 | None:
    """A moving average of `classifier`'s weights (Polyak and Juditsky 1992, doi:10.1137/0330046),
    norms included.

    Its decay rises to `decay` over the first steps, so that it does not hold on to the start; 0:
    none.
    """
    # gamma and power: after n steps the average reaches back over about n / 10 of them
    return (
        ModelEmaV3(classifier, decay, use_warmup=True, warmup_gamma=10.0, warmup_power=1.0)
        if decay
        else None
    )
