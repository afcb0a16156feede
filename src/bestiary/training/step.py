"""A mixed batch -> the gradients of its mean loss, in as many parts as memory asks for.

The gradients of parts add up to the whole batch's, also where each of several processes has a part.
Batch norms in training are the exception: they see each part's statistics, and move their averages
once a part (on GPUs those of several processes see the whole batch). Dropout draws other numbers.
"""

from contextlib import nullcontext

import torch

from bestiary.training.loss import Loss
from bestiary.training.non_finite import NonFiniteDiagnosis, NotFiniteError
from bestiary.training.state import FoldState


def backward(
    session: FoldState,
    loss_of: Loss,
    images: torch.Tensor,
    targets: torch.Tensor,
    rate: float,
    *,
    watched: bool,
    weight: float = 1.0,
) -> torch.Tensor:
    """Add the gradients of a batch to the network's.

    Args:
        session: the fold; its progress says how many parts.
        loss_of: logits and soft targets -> mean loss.
        images: float (n, 3, size, size).
        targets: soft (n, classes).
        rate: the learning rate, for a diagnosis.
        watched: look at the loss before it can spoil the weights, and find out what is wrong with
            it.
        weight: of this process's mean loss, see `bestiary.data.loader.Share`.

    Returns:
        the mean loss of the whole batch, a scalar on the device.

    Raises:
        NotFiniteError: with the cause, where `watched`.
    """
    losses, cause = [], None
    # Two images a part at least: batch norm cannot take statistics of fewer.
    parts = min(session.progress.parts, max(1, len(images) // 2))
    for number, (part, wanted) in enumerate(
        zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True), 1
    ):
        part = part.contiguous(memory_format=session.arithmetic.memory_format)
        # Processes add their gradients up once a step, whatever number of parts each has.
        with nullcontext() if number == parts else session.accelerator.no_sync(session.network):
            loss = loss_of(session.network(part), wanted) * (weight * len(part) / len(images))
            if watched and cause is None and not bool(loss.isfinite()):
                suspect = NonFiniteDiagnosis(
                    session.classifier.network,
                    part,
                    wanted,
                    loss_of,
                    session.arithmetic.precision,
                    rate,
                )
                cause = suspect.diagnosis()
            session.accelerator.backward(loss)
        losses.append(loss.detach())
    loss = session.world.all_reduce_mean(losses[0] if parts == 1 else torch.stack(losses).sum())
    if watched and not bool(loss.isfinite()):
        cause = next(filter(None, session.world.all_gather(cause)))
        place = f"epoch {session.progress.epochs_done + 1}, step {session.progress.step + 1}"
        raise NotFiniteError(f"the loss is not finite in {place}; {cause}")
    return loss
