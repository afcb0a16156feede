"""Parts that a recipe adds to the plain loop, each against a reference: averages, adjusted
logits, rates by depth.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional

import bestiary
from bestiary.errors import RecipeError
from bestiary.model.classifier import build_classifier, load_member, save_member
from bestiary.model.power_norm import root
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import LossOptions, OptimizerOptions
from bestiary.rng import keyed_rng
from bestiary.run.oof import read_oof
from bestiary.training import loop
from bestiary.training.lda_head import Moments, Shape, discriminant
from bestiary.training.loss import build_loss
from bestiary.training.optimizer import build_optimizer
from bestiary.training.weight_averaging import ema_of


def test_the_average_follows_the_weights_and_the_norms_statistics() -> None:
    classifier = build_classifier("timm/test_resnet", 3, "none")
    average = ema_of(classifier, 0.9)
    assert average is not None
    name = next(key for key in classifier.state_dict() if key.endswith("running_mean"))
    expected = classifier.state_dict()[name].clone()
    for step in range(1, 200):
        for value in classifier.state_dict().values():
            if value.is_floating_point():
                value.fill_(float(step))
        average.update(classifier, step)
        decay = min(0.9, 1 - 1 / (1 + (step - 1) / 10)) if step > 1 else 0.0
        expected = expected * decay + step * (1 - decay)
    torch.testing.assert_close(average.module.state_dict()[name], expected)
    assert ema_of(classifier, 0.0) is None


def test_the_member_is_the_average(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = []
    keep = loop.keep_oof
    monkeypatch.setattr(
        loop,
        "keep_oof",
        lambda data, session, *rest: (sessions.append(session), keep(data, session, *rest)),
    )
    options = ["train.ema=0.99", "train.keep_best=false"]
    run = bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    member, (session,) = load_member(run.fold(0).weights).state_dict(), sessions
    weight = session.classifier.head + ".weight"
    torch.testing.assert_close(
        member[f"network.{weight}"], session.average.module.state_dict()[f"network.{weight}"]
    )
    assert not torch.equal(
        member[f"network.{weight}"], session.classifier.state_dict()[f"network.{weight}"]
    )


def test_the_member_is_the_mean_of_the_start_and_the_trained_weights(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    options = [
        "model.backbone=timm/test_resnet",
        "train.keep_best=false",
        "train.threads=1",
        "train.precision=float32",
    ]
    members = {}
    for share in (0.0, 0.25):
        place = tmp_path / f"run-{share}"
        own = [*options, f"train.wise_ft={share}"]
        run = bestiary.train(
            beasts, place, recipe=tiny, overrides=own, folds=3, only_fold=[0], quiet=True
        )
        members[share] = load_member(run.fold(0).weights).state_dict()
    start, weight = load_member(run.fold(0).start).state_dict(), "network.conv1.0.weight"
    assert not torch.equal(members[0.0][weight], start[weight])
    for name, tensor in members[0.25].items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * start[name] + 0.75 * members[0.0][name])


def test_a_share_of_the_start_is_not_for_picked_epochs() -> None:
    with pytest.raises(
        RecipeError, match=r"train.wise_ft = 0.5: .* give train.keep_best=false too"
    ):
        load_recipe("paper", ["train.wise_ft=0.5"])


def test_nothing_is_mixed_after_its_share_of_the_steps(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[object, ...]] = []
    monkeypatch.setattr(loop, "generator", lambda *key: drawn.append(key) or keyed_rng(*key))  # type: ignore[arg-type, func-returns-value]
    options = ["mix.stop_at=0.5", "train.epochs=4", "mix.probability=1.0"]
    bestiary.train(
        beasts, tmp_path / "run", recipe=tiny, overrides=options, folds=3, only_fold=[0], quiet=True
    )
    assert {key[3] for key in drawn if key[1] == "mix"} == {0, 1}


def test_adjusted_loss_is_cross_entropy_of_logits_plus_log_frequencies() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(16, 3), torch.rand(16, 3).softmax(dim=1)
    shares = torch.tensor([0.7, 0.3, 0.0])
    expected = functional.cross_entropy(logits + 1.5 * torch.tensor([0.7, 0.3, 0.3]).log(), targets)
    torch.testing.assert_close(
        build_loss(LossOptions(logit_adjustment=1.5), shares)(logits, targets), expected
    )
    plain = functional.cross_entropy(logits, targets)
    torch.testing.assert_close(build_loss(LossOptions(), shares)(logits, targets), plain)


def test_a_wholly_adjusted_discriminant_has_scikit_learns_covariance_and_even_priors() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 20, 5])
    features = (rng.normal(size=(85, 6)) + labels[:, None]).astype(np.float32)
    covariance = (
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(features, labels).covariance_
    )
    moments = Moments.of(features, labels, 3)
    weights, biases = discriminant(moments, Shape(0.3), 1.0)
    precision = np.linalg.inv(covariance)
    expected = features @ precision @ moments.means.T - 0.5 * np.einsum(
        "cf,fg,cg->c", moments.means, precision, moments.means
    )
    found = features @ weights.T + biases
    np.testing.assert_allclose(
        found - found[:, :1], expected - expected[:, :1], rtol=1e-3, atol=1e-3
    )


def test_tau_makes_the_means_as_equally_long_as_it_says() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), [60, 20, 5, 2])
    features = (rng.normal(size=(87, 6)) + rng.normal(size=(4, 6))[labels]).astype(np.float32)
    moments = Moments.of(features, labels, 4)
    covariance = (
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(features, labels).covariance_
    )
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    means = (moments.means - moments.means.mean(axis=0)) @ whiten.T
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    for tau in (0.0, 0.5, 1.0):
        drawn = means * (np.sqrt(np.mean(lengths**2)) / lengths) ** tau
        points = (features - moments.means.mean(axis=0)) @ whiten.T
        expected = -0.5 * ((points[:, None] - drawn) ** 2).sum(axis=2)  # nearest mean
        weights, biases = discriminant(moments, Shape(0.3, tau), 1.0)
        found = features @ weights.T + biases
        np.testing.assert_allclose(
            found - found[:, :1], expected - expected[:, :1], rtol=1e-3, atol=1e-3
        )


def test_rates_fall_with_depth_and_the_heads_is_its_own() -> None:
    classifier = build_classifier("torchvision/resnet18", 3, "none")
    options = OptimizerOptions(lr=1.0, layer_decay=0.5, head_lr_mult=4.0, decay_norm_and_bias=False)
    groups = build_optimizer(classifier, options).param_groups
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    network = classifier.network
    parts = [network.conv1, network.layer1[0].conv1, network.layer4[0].conv1, network.fc]
    # stem, four stages, and the head in the last of them
    assert [rate[id(part.weight)] for part in parts] == [0.5**4, 0.5**3, 1.0, 4.0]


def test_the_root_is_odd_nothing_at_nothing_and_can_be_trained_through() -> None:
    features = torch.tensor([-4.0, -0.01, 0.0, 0.01, 4.0], requires_grad=True)
    rooted = root(features)
    torch.testing.assert_close(rooted, -root(-features))
    torch.testing.assert_close(rooted.detach()[-1], torch.tensor(2.0), atol=0.11, rtol=0)
    rooted.sum().backward()
    assert features.grad is not None and bool(features.grad.isfinite().all())


def test_a_member_with_a_root_predicts_the_same_from_its_file(tmp_path: Path) -> None:
    classifier = build_classifier("torchvision/resnet18", 3, "none", rooted=True).eval()
    images = torch.rand(2, 3, 32, 32)
    save_member(classifier, tmp_path / "member.safetensors")
    with torch.inference_mode():
        weighed, head = classifier.features(images), classifier.head_layer
        expected = functional.linear(weighed, head.weight, head.bias)
        torch.testing.assert_close(load_member(tmp_path / "member.safetensors")(images), expected)
    features = build_classifier("torchvision/resnet18", 3, "none")
    features.load_state_dict(classifier.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(root(features.eval().features(images)), weighed)


def test_a_probe_of_roots_fits_the_discriminant_of_roots(beasts: Path, tmp_path: Path) -> None:
    options = ["view.size=32", "model.power_norm=true", "train.precision=float32"]
    run = bestiary.probe(beasts, tmp_path / "run", overrides=options, folds=3, quiet=True)
    table, _ = read_oof(run.fold(0))
    scored = bestiary.load(run).score([beasts / path for path in table["path"]])
    logits = np.concatenate([batch.logits[0] for batch in scored])
    np.testing.assert_allclose(logits, table["logits"].to_numpy(), atol=1e-3)
