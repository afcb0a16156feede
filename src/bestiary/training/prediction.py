"""Prediction in training: samples of a dataset -> logits or features of their evaluation views.

The views and the engine are those of prediction with a finished ensemble. Knows nothing of
optimizers or epochs.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.eval_view import EvalView
from bestiary.data.loader import Rows, stream_views
from bestiary.display import Tick
from bestiary.model.classifier import Classifier
from bestiary.model.engine import Output, build_network
from bestiary.model.halving import HalvedBatches
from bestiary.model.tta import averaged_over_views, images_at_once, input_side
from bestiary.recipe.choices import Engine, Precision, TtaViews
from bestiary.training.dataset import TrainingSet

# From this number of views on, a faster engine saves more than the 2 to 3 seconds its graph takes.
MIN_VIEWS_FOR_GRAPH = 500


def predict_rows(
    data: TrainingSet,
    classifier: Classifier,
    rows: Rows,
    device: torch.device,
    precision: Precision,
    *,
    output: Output = "logits",
    keeps_first: bool = False,
    parts: int = 1,
    graph_path: Callable[[], Path] | None = None,
    tick: Tick | None = None,
) -> NDArray[np.float32]:
    """Predict the evaluation views of some samples, shared among the ranks.

    Args:
        data: the dataset; its recipe sets the views and test-time augmentation.
        classifier: on `device`; it is put into eval mode.
        rows: indices of the samples (n,).
        device: where to compute.
        precision: of the network.
        output: logits, or the input of the last linear layer.
        keeps_first: whether the outputs of the first view are returned too.
        parts: number of micro-batches that a batch is split into when memory is short.
        graph_path: returns the path where an engine's graph is cached; None: it is not cached.
        tick: is called with (done, total) after each batch.

    Returns:
        Outputs (n, outputs), in the order of `rows`, on every rank. With `keeps_first` the mean
        of the views and the first view's (n, 2, outputs).

    Raises:
        DataError: an image has vanished.
    """
    n_views = data.recipe.predict.tta
    view = EvalView.of(data.recipe.view, classifier.interpolation)

    # A rank without samples predicts one, so that it knows the number of outputs.
    order = data.reading_order(rows)
    shard = data.world.shard(rows[order])
    batch_rows = shard if len(shard) else rows[:1]

    # Build the network, with test-time augmentation.
    classifier.eval()
    network = build_network(
        classifier,
        view.size,
        device,
        precision,
        engine=_choose_engine(len(batch_rows) * n_views),
        output=output,
        graph_path=graph_path,
    )
    run = HalvedBatches(averaged_over_views(network, n_views, keeps_first=keeps_first))

    # Predict this rank's share, then gather all of them.
    tta_input = replace(view, size=input_side(view.size, n_views))
    with data.world.synchronized():
        batches = _load_batches(data, batch_rows, tta_input, device, parts, tick)
        outputs = np.concatenate([run(batch) for batch in batches])
    gathered = data.world.gather_rows(outputs[: len(shard)])
    original_order = np.argsort(order)
    return gathered[original_order]


def _choose_engine(n_views: int) -> Engine:
    return "auto" if n_views >= MIN_VIEWS_FOR_GRAPH else "torch"


def prediction_batch_size(train_batch_size: int, device: torch.device, n_views: TtaViews) -> int:
    """Choose how many images are predicted together.

    Args:
        train_batch_size: images of a training step.
        device: where to compute. A GPU gets more than a step has: without gradients they fit.
        n_views: views of each image.
    """
    if device.type == "cpu":
        return train_batch_size
    return max(train_batch_size, images_at_once(n_views, device))


def _load_batches(
    data: TrainingSet,
    rows: Rows,
    view: EvalView,
    device: torch.device,
    parts: int,
    tick: Tick | None,
) -> Iterator[torch.Tensor]:
    """Load evaluation views, uint8 (n, size, size, 3), in batches of the size that fits."""
    options = data.recipe
    whole = prediction_batch_size(options.train.batch_size, device, options.predict.tta)
    batch_size = max(1, whole // parts)
    return stream_views(
        rows,
        batch_size,
        data.eval_view_of(view),
        data.loader_threads(device),
        tick,
        pin=device.type == "cuda",
    )
