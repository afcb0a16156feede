"""What is unlike the known images: both scores, their limits, and the file."""

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
    labels, folds = rng.integers(4, size=n), rng.integers(3, size=n)
    logits = 8 * np.eye(4)[labels] + rng.standard_normal((n, 4))
    return logits * (1 + folds)[:, None], labels, folds  # members of different emphasis


def test_distance_is_scipys_mahalanobis_distance() -> None:
    logits, labels, _ = draw(200, 0)
    folds = np.arange(200) % 2
    known = OodDetector.fit(logits, labels, folds)
    even = logits / np.array([logits[folds == fold].std() for fold in (0, 1)])[folds][:, None]
    means = np.stack([even[labels == label].mean(axis=0) for label in range(4)])
    spread = even - means[labels]
    covariance = spread.T @ spread / 200
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 4 * np.eye(4)
    inverse = np.linalg.inv(covariance)
    expected = [min(mahalanobis(row, mean, inverse) for mean in means) for row in even[:20:2]]
    of_one_member = (
        logits[None, :20:2].repeat(2, axis=0) * (known.scales / known.scales[0])[:, None, None]
    )
    np.testing.assert_allclose(known.scores(of_one_member)[1], expected, rtol=1e-9)


def test_limits_keep_95_of_100_known_images_however_emphatic_their_member() -> None:
    known = OodDetector.fit(*draw(3000, 0))
    logits, _, folds = draw(3000, 1)
    kept = []
    for fold in range(3):
        even = logits[folds == fold] / known.scales[fold]
        kept.append((distance(even[None], known.whitening, known.means) <= known.limits[1]).mean())
    assert all(0.92 < share < 0.98 for share in kept)


def test_strange_images_are_told_apart_by_both_scores() -> None:
    known = OodDetector.fit(*draw(600, 0))
    factors = np.arange(1, 4)[:, None, None]
    familiar = (
        8 * np.eye(4)[RNG.integers(4, size=200)] + RNG.standard_normal((3, 200, 4))
    ) * factors
    strange = RNG.standard_normal((3, 200, 4)) * factors  # speaks for no class
    for one, other in zip(known.scores(familiar), known.scores(strange), strict=True):
        assert roc_auc_score(np.repeat([0, 1], 200), np.concatenate([one, other])) > 0.95
    assert known.is_unknown(strange).mean() > 0.9


def test_few_images_call_nothing_unknown() -> None:
    known = OodDetector.fit(*draw(15, 0))
    assert np.isinf(known.limits).all()
    assert not known.is_unknown(1e6 * RNG.standard_normal((3, 5, 4))).any()


def test_the_file_holds_it_and_damage_is_named(tmp_path: Path) -> None:
    known, file = OodDetector.fit(*draw(100, 0)), tmp_path / "ood.safetensors"
    write_ood(file, known)
    again = read_ood(file, 3, 4)
    for name in ("scales", "whitening", "means", "limits"):
        assert (getattr(again, name) == getattr(known, name)).all()
    for others in ((2, 4), (3, 5)):
        with pytest.raises(RunError, match="it is not"):
            read_ood(file, *others)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(RunError, match="cannot be read"):
        read_ood(file, 3, 4)
