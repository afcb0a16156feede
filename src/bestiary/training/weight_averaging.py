"""Weight averaging: EMA, WiSE-FT and the mean of a run's members -> one network.

EMA averages the weights along training, WiSE-FT interpolates between the initial and the trained
weights, and `average_members` averages the members of several folds. Does not know how the
resulting network is evaluated.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from bestiary.data.eval_view import EvalView
from bestiary.data.loader import Rows, loader_threads, stream_views
from bestiary.model.classifier import Classifier, load_member
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3

MAX_NORM_SAMPLES = 1000  # images that batch norms recompute their statistics from


def ema_of(classifier: Classifier, decay: float) -> "ModelEmaV3 | None":
    """Create an exponential moving average (EMA) of a classifier's weights and buffers.

    Polyak and Juditsky 1992, doi:10.1137/0330046. The decay rises to `decay` over the first steps:
    after n steps the average spans about the last n / 10 of them.

    Args:
        classifier: as training begins.
        decay: per step, 0 to 1; 0 turns EMA off.

    Returns:
        The average, to be updated after each step; None if it is turned off.
    """
    if not decay:
        return None
    from timm.utils import ModelEmaV3

    return ModelEmaV3(
        classifier,
        decay,
        use_warmup=True,
        warmup_gamma=10.0,
        warmup_power=1.0,
    )


def wise_ft(start: Classifier, trained: Classifier, share: float) -> Classifier:
    """Interpolate linearly between the initial and the trained weights (WiSE-FT).

    The interpolated network forgets less of what the pretrained network knew (Wortsman et al. 2022,
    arXiv:2109.01903). The statistics of batch norms are interpolated likewise.

    Args:
        start: the network before training; its weights are overwritten.
        trained: the same network after training, on the same device; it is not changed.
        share: weight of the initial network, 0 to 1.

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


def average_members(run: Run, folds: Sequence[int]) -> Classifier:
    """Average the weights of a run's members into one network.

    Members that start from the same weights often lie in one basin of the loss. Then their mean is
    as good as their ensemble, at a fraction of the cost (Wortsman et al. 2022, arXiv:2203.05482).
    If they do not, the mean is useless, so the result has to be evaluated.

    Args:
        run: whose members are averaged.
        folds: numbers of the members' folds.

    Returns:
        The mean, on the CPU, in eval mode. Integer buffers are those of the first member.
    """
    members = [load_member(run.fold(fold).weights) for fold in folds]
    states = [member.state_dict() for member in members]

    mean: dict[str, torch.Tensor] = {}
    for key, value in states[0].items():
        if value.is_floating_point():
            values = torch.stack([state[key] for state in states])
            mean[key] = values.mean(dim=0)
        else:
            mean[key] = value

    average = members[0]
    average.load_state_dict(mean)
    return average.eval()


def has_moved_norms(run: Run, folds: Sequence[int]) -> bool:
    """Check whether training changed the batch norm statistics of a run's members.

    Then the members differ in them, and averaged statistics fit no network.

    Args:
        run: whose members are compared.
        folds: numbers of the members' folds; the first two are compared.
    """
    compared = folds[:2]
    first = _running_means(run, compared[0])
    second = _running_means(run, compared[-1])
    return any(not torch.equal(mean, second[name]) for name, mean in first.items())


def _running_means(run: Run, fold: int) -> dict[str, torch.Tensor]:
    """Read the running mean of each batch norm of a member, by the name of the norm."""
    classifier = load_member(run.fold(fold).weights)
    return {
        name: module.running_mean
        for name, module in classifier.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


def refresh_norms(classifier: Classifier, data: TrainingSet, rows: Rows) -> None:
    """Recompute batch norm statistics from evaluation views, as stochastic weight averaging does.

    Izmailov et al. 2018, arXiv:1803.05407; by PyTorch's `update_bn`.

    Args:
        classifier: an averaged network, on the CPU; it is changed in place, and left in eval mode.
        data: the dataset.
        rows: samples to draw up to `MAX_NORM_SAMPLES` from.
    """
    # Draw the samples.
    recipe = data.recipe
    rng = keyed_rng(recipe.train.seed, "norms", len(rows))
    order = rng.permutation(len(rows))
    drawn: Rows = np.sort(rows[order[:MAX_NORM_SAMPLES]])

    # Recompute the statistics from their evaluation views.
    view = EvalView.of(recipe.view, classifier.interpolation)
    views = stream_views(
        drawn,
        max(2, recipe.train.batch_size),  # batch norm needs two samples
        data.eval_view_of(view),
        loader_threads("cpu"),
    )
    images = (classifier.preprocess(batch) for batch in views)
    with torch.no_grad():
        update_bn(images, classifier)
    classifier.eval()
