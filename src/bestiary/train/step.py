"""A mixed batch -> the gradients of its mean loss, in as many parts as memory asks for.

The gradients of parts add up to the whole batch's. Batch norms in training are the exception: they see each part's
statistics, and move their averages once a part. Dropout draws other numbers.
"""

import torch

from bestiary.train.faults import NotFiniteError, Suspect
from bestiary.train.loss import Loss
from bestiary.train.session import Session


def backward(
    session: Session, loss_of: Loss, images: torch.Tensor, targets: torch.Tensor, rate: float, *, watched: bool
) -> torch.Tensor:
    """Add the gradients of a batch to the network's.

    Args:
        session: the fold; its progress says how many parts.
        loss_of: logits and soft targets -> mean loss.
        images: float (n, 3, size, size).
        targets: soft (n, classes).
        rate: the learning rate, for a diagnosis.
        watched: look at the loss before it can spoil the weights, and find out what is wrong with it.

    Returns:
        the mean loss, a scalar on the device.

    Raises:
        NotFiniteError: with the cause, where `watched`.
    """
    losses = []
    # Two pictures a part at least: batch norm cannot take statistics of fewer.
    parts = min(session.progress.parts, max(1, len(images) // 2))
    for part, wanted in zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True):
        part = part.contiguous(memory_format=session.arithmetic.memory_format)
        loss = loss_of(session.network(part), wanted) * (len(part) / len(images))
        if watched and not bool(loss.isfinite()):
            suspect = Suspect(session.classifier.network, part, wanted, loss_of, session.arithmetic.precision, rate)
            place = f"epoch {session.progress.epochs_done + 1}, step {session.progress.step + 1}"
            raise NotFiniteError(f"the loss is not finite in {place}; {suspect.diagnosis()}")
        session.accelerator.backward(loss)
        losses.append(loss.detach())
    return losses[0] if parts == 1 else torch.stack(losses).sum()
