"""Class weights and balanced sampling: what is learned are the logits of the natural shares."""

from pathlib import Path

import numpy as np
import pytest
import torch

import bestiary
from bestiary.data.loader import rank_batch
from bestiary.errors import RecipeError
from bestiary.recipe.choices import Sampler
from bestiary.recipe.load import load_recipe
from bestiary.recipe.optimization import LossOptions
from bestiary.training.loss import build_loss, class_weights, logit_offset

SHARES = torch.tensor([0.9, 0.1], dtype=torch.float64)


def learned(options: LossOptions, sampler: Sampler, count: int = 40_000) -> np.ndarray:
    """Probabilities on a natural sample after a linear classifier has been fitted to the end."""
    generator = torch.Generator().manual_seed(0)
    shares = SHARES if sampler == "shuffled" else torch.tensor([0.5, 0.5], dtype=torch.float64)

    def draw(rare: float) -> tuple[torch.Tensor, torch.Tensor]:
        labels = (torch.rand(count, generator=generator) < rare).long()
        x = torch.randn(count, 1, generator=generator, dtype=torch.float64) + 1.5 * labels[:, None]
        return torch.cat([x, torch.ones_like(x)], dim=1), labels

    features, labels = draw(float(shares[1]))
    targets = torch.nn.functional.one_hot(labels, 2).double()
    weights = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    loss_of = build_loss(options, SHARES, sampler)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(features @ weights.T, targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    natural, _ = draw(float(SHARES[1]))
    return np.asarray((natural @ weights.T).softmax(dim=1).mean(dim=0).detach())


@pytest.mark.parametrize(
    ("weights", "sampler"),
    [(0.0, "shuffled"), (0.5, "shuffled"), (1.0, "shuffled"), (0.0, "balanced")],
)
def test_prior_is_corrected(weights: float, sampler: Sampler) -> None:
    """The mean probability of the rare class is its share, whatever it counted in training."""
    probabilities = learned(LossOptions(class_weights=weights), sampler)
    assert probabilities[1] == pytest.approx(0.1, abs=0.01)


def test_without_correction_the_rare_class_is_overstated() -> None:
    options = LossOptions(class_weights=1.0, logit_adjustment=1.0)
    assert learned(options, "shuffled")[1] > 0.25


def test_adjustment_and_balance_cancel_out() -> None:
    frequencies = torch.tensor([0.8, 0.2])
    assert logit_offset(frequencies, 1.0 - 1.0) is None
    offset = logit_offset(frequencies, -1.0)
    assert offset is not None
    assert torch.allclose(offset, -frequencies.log())


def test_weights_have_a_mean_of_one() -> None:
    frequencies = torch.tensor([0.7, 0.25, 0.05, 0.0])
    weights = class_weights(frequencies, 0.5)
    assert weights is not None
    assert float((weights * frequencies).sum()) == pytest.approx(1)
    assert weights[3] == weights[2]
    assert class_weights(frequencies, 0.0) is None


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_ranks_share_a_weighted_batch(processes: int, count: int) -> None:
    """The mean over ranks is the loss of the whole batch, however the rare class is spread."""
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(count, 2, generator=generator)
    targets = torch.nn.functional.one_hot((torch.arange(count) < 1).long(), 2).float()
    loss_of = build_loss(LossOptions(class_weights=1.0), SHARES.float())
    parts = [
        rank_batch(np.arange(count), rank, processes, mixed=False) for rank in range(processes)
    ]
    shared = sum(part.weight * loss_of(logits[part.rows], targets[part.rows]) for part in parts)
    assert float(shared) / processes == pytest.approx(float(loss_of(logits, targets)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.sampler=balanced", "loss.class_weights=1"], "leave one of them out"),
        (["data.sampler=even"], "balanced"),
        (["loss.class_weights=2"], "class_weights"),
    ],
)
def test_wrong_options_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("best", overrides)


def test_no_effect_without_epochs() -> None:
    for override in ("data.sampler=balanced", "loss.class_weights=1"):
        with pytest.raises(RecipeError, match=r"acts in epochs.*--costs balanced"):
            load_recipe("probe", [override])


@pytest.mark.slow
@pytest.mark.parametrize("option", ["data.sampler=balanced", "loss.class_weights=1"])
def test_uneven_run_resumes_exactly(
    option: str, uneven_beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    """Stopped inside an epoch and resumed, or in one go: the same weights."""
    from bestiary.run.oof import read_oof
    from bestiary.training import checkpointer

    options = {
        "recipe": tiny,
        "folds": 3,
        "only_fold": (0,),
        "quiet": True,
        "overrides": [option, "train.precision=float32"],
    }
    whole = bestiary.train(uneven_beasts, tmp_path / "whole", **options)

    class Stop(KeyboardInterrupt):
        pass

    steps = iter(range(100))
    original = checkpointer.Checkpointer.end_step

    def end_step(self: checkpointer.Checkpointer, *arguments: object) -> None:
        original(self, *arguments)
        if next(steps) == 2:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpointer.Checkpointer, "end_step", end_step)
        with pytest.raises(KeyboardInterrupt):
            bestiary.train(uneven_beasts, tmp_path / "resumed", checkpoint_every="1ms", **options)
    resumed = bestiary.train(uneven_beasts, tmp_path / "resumed", resume=True, **options)
    first, _ = read_oof(whole.fold(0))
    second, _ = read_oof(resumed.fold(0))
    assert first["logits"].to_list() == second["logits"].to_list()
