"""Rows of a training set -> outputs of a network for their evaluation views, computed as prediction
computes them.

Knows nothing of optimizers or epochs.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.loader import Rows, loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.model.classifier import Classifier
from bestiary.model.compute import Precision
from bestiary.model.engine import Engine, Output, build_network
from bestiary.model.tta import input_side, with_tta
from bestiary.training.dataset import TrainingSet

# Views from which on building a faster engine's graph (2 to 3 seconds) is won back.
WORTH_A_GRAPH = 500


def predict_rows(
    data: TrainingSet,
    classifier: Classifier,
    rows: Rows,
    device: torch.device,
    precision: Precision,
    *,
    output: Output = "logits",
    parts: int = 1,
    kept: Callable[[], Path] | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Outputs (rows, outputs) for the evaluation views of `rows`, each computed by one of the
    processes.

    Args:
        data: whose recipe says what the views are and how many of each image are averaged.
        classifier: in eval mode, on `device`.
        rows: of the training set.
        device: where to compute.
        precision: arithmetic of the network.
        output: logits, or what the last linear layer is given.
        parts: what a batch is cut into where memory is short.
        kept: tells where an engine's graph is kept, if it is to be.
        tick: told (done, of) after each batch.
    """
    recipe, number = data.recipe, data.recipe.predict.tta
    view = EvalView.of(recipe.view, classifier.interpolation)
    # A process without an image computes one, so that it knows how many outputs there are.
    order = data.reading_order(rows)
    mine = data.world.shard(rows[order])
    todo = mine if len(mine) else rows[:1]
    engine: Engine = "auto" if len(todo) * number >= WORTH_A_GRAPH else "torch"
    classifier.eval()
    built = build_network(
        classifier, view.size, device, precision, engine=engine, output=output, kept=kept
    )
    run = with_tta(built.run, number)
    batch_size = max(1, recipe.train.batch_size // parts)
    seen, threads = (
        replace(view, size=input_side(view.size, number)),
        loader_threads(device.type, data.world.local_size),
    )
    with data.world.synchronized():
        views = stream_views(todo, batch_size, data.eval_view_of(seen), threads, tick)
        outputs = np.concatenate([run(batch) for batch in views])
    return data.world.gather_rows(outputs[: len(mine)])[np.argsort(order)]
