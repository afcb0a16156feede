"""Training step: a mixed batch -> the gradients of its mean loss, in parts if memory is short.

The gradients of the parts add up to those of the whole batch, also over several ranks. Batch norms
that learn are the exception: they see the statistics of each part, and update their averages once a
part. On several GPUs, synchronized norms see the part of every rank. Dropout draws other numbers.
Does not know optimizers.
"""

from contextlib import AbstractContextManager, nullcontext

import torch

from bestiary.training.loss import Loss
from bestiary.training.non_finite import NonFiniteDiagnosis, NotFiniteError
from bestiary.training.out_of_memory import count_parts
from bestiary.training.state import FoldState


def backward(
    state: FoldState,
    loss_of: Loss,
    images: torch.Tensor,
    targets: torch.Tensor,
    lr: float,
    *,
    check_loss: bool,
    weight: float = 1.0,
) -> torch.Tensor:
    """Add the gradients of a batch to the network's.

    Args:
        state: the fold's state; its progress says how many parts the batch is cut into.
        loss_of: logits and soft targets -> mean loss.
        images: float (n, 3, size, size).
        targets: soft targets (n, classes).
        lr: learning rate, for a diagnosis.
        check_loss: check the loss before backward, and diagnose a non-finite one.
        weight: of this rank's mean loss, see `bestiary.data.loader.RankBatch`.

    Returns:
        The mean loss of the whole batch over all ranks, a scalar on the device.

    Raises:
        NotFiniteError: with `check_loss`, the loss is not finite; the message names the cause.
    """
    losses = []
    cause = None
    parts = count_parts(len(images), state.progress.parts)
    image_parts = images.tensor_split(parts)
    target_parts = targets.tensor_split(parts)
    pairs = zip(image_parts, target_parts, strict=True)

    # Add up the gradients of the parts.
    for index, (part, part_targets) in enumerate(pairs, 1):
        part = part.contiguous(memory_format=state.compute.memory_format)
        with _gradient_sync(state, last=index == parts):
            logits = state.network(part)
            share = weight * len(part) / len(images)
            loss = loss_of(logits, part_targets) * share
            needs_cause = check_loss and cause is None
            if needs_cause and not bool(loss.isfinite()):
                cause = _diagnose(state, loss_of, part, part_targets, lr)
            state.accelerator.backward(loss)
        losses.append(loss.detach())

    # Add up the losses of the parts, then average over the ranks.
    rank_loss = losses[0] if parts == 1 else torch.stack(losses).sum()
    batch_loss = state.world.all_reduce_mean(rank_loss)
    if check_loss and not bool(batch_loss.isfinite()):
        raise _not_finite_error(state, cause)
    return batch_loss


def _not_finite_error(state: FoldState, cause: str | None) -> NotFiniteError:
    """Build the error with the cause that the first rank has found; `cause` is this rank's."""
    causes = state.world.all_gather(cause)
    first_cause = next(filter(None, causes))
    epoch = state.progress.epochs_done + 1
    step = state.progress.step + 1
    return NotFiniteError(f"the loss is not finite in epoch {epoch}, step {step}; {first_cause}")


def _gradient_sync(state: FoldState, *, last: bool) -> AbstractContextManager[None]:
    """Let ranks add up their gradients once a step, after the last part of each."""
    if last:
        return nullcontext()
    no_sync: AbstractContextManager[None] = state.accelerator.no_sync(state.network)
    return no_sync


def _diagnose(
    state: FoldState,
    loss_of: Loss,
    images: torch.Tensor,
    targets: torch.Tensor,
    lr: float,
) -> str:
    step = NonFiniteDiagnosis(
        network=state.classifier.network,
        images=images,
        targets=targets,
        loss_of=loss_of,
        precision=state.compute.precision,
        lr=lr,
    )
    return step.diagnosis()
