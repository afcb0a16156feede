"""Out-of-distribution detector: energy, Mahalanobis distance, limits, ood.safetensors."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import roc_auc_score

from bestiary.errors import RunError
from bestiary.run.ood import read_ood, write_ood
from bestiary.stats.ood import SHRINKAGE, OodDetector, distance

RNG = np.random.default_rng(0)


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    folds = rng.integers(3, size=n)
    logits = 8 * np.eye(4)[labels] + rng.standard_normal((n, 4))
    return logits * (1 + folds)[:, None], labels, folds  # members of different confidence


def test_ood_distance_is_scipys_mahalanobis() -> None:
    logits, labels, _ = draw(200, 0)
    folds = np.arange(200) % 2
    detector = OodDetector.fit(logits, labels, folds)
    spreads = np.array([logits[folds == fold].std() for fold in (0, 1)])
    scaled = logits / spreads[folds][:, None]
    means = np.stack([scaled[labels == label].mean(axis=0) for label in range(4)])
    residuals = scaled - means[labels]
    covariance = residuals.T @ residuals / 200
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 4 * np.eye(4)
    inverse = np.linalg.inv(covariance)
    expected = [min(mahalanobis(row, mean, inverse) for mean in means) for row in scaled[:20:2]]
    ratios = (detector.scales / detector.scales[0])[:, None, None]
    same_member_twice = logits[None, :20:2].repeat(2, axis=0) * ratios
    _, distances = detector.scores(same_member_twice)
    np.testing.assert_allclose(distances, expected, rtol=1e-9)


def test_ood_limits_keep_95_percent_of_known() -> None:
    detector = OodDetector.fit(*draw(3000, 0))
    logits, _, folds = draw(3000, 1)
    shares = []
    for fold in range(3):
        scaled = logits[folds == fold] / detector.scales[fold]
        distances = distance(scaled[None], detector.whitening, detector.means)
        shares.append((distances <= detector.limits[1]).mean())
    assert all(0.92 < share < 0.98 for share in shares)


def test_ood_energy_and_distance_auroc() -> None:
    detector = OodDetector.fit(*draw(600, 0))
    factors = np.arange(1, 4)[:, None, None]
    class_logits = 8 * np.eye(4)[RNG.integers(4, size=200)]
    known = (class_logits + RNG.standard_normal((3, 200, 4))) * factors
    unknown = RNG.standard_normal((3, 200, 4)) * factors  # logits that favor no class
    is_unknown = np.repeat([0, 1], 200)
    for scores in zip(detector.scores(known), detector.scores(unknown), strict=True):
        assert roc_auc_score(is_unknown, np.concatenate(scores)) > 0.95
    assert detector.is_unknown(unknown).mean() > 0.9


def test_ood_with_few_images() -> None:
    detector = OodDetector.fit(*draw(15, 0))
    assert np.isinf(detector.limits).all()
    assert not detector.is_unknown(1e6 * RNG.standard_normal((3, 5, 4))).any()


def test_ood_file_round_trip_and_damage(tmp_path: Path) -> None:
    detector = OodDetector.fit(*draw(100, 0))
    file = tmp_path / "ood.safetensors"
    write_ood(file, detector)
    read = read_ood(file, 3, 4)
    for name in ("scales", "whitening", "means", "limits"):
        assert (getattr(read, name) == getattr(detector, name)).all()
    for others in ((2, 4), (3, 5)):
        with pytest.raises(RunError, match="it is not"):
            read_ood(file, *others)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(RunError, match="cannot be read"):
        read_ood(file, 3, 4)
