"""Claim: a trained run tells species that it has never seen from new images of those it knows:
AUROC 0.85 or more.

    python benchmarks/bench_unknown.py PLACE

Draws beasts of 20 species and of some that belong to no class, trains `fast` at 128 pixels on them,
as the demonstration does, and has the ensemble judge the unknown ones and new images of the known
species. What PLACE holds already is not made again.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import bestiary

SPECIES, IMAGES, NEW = 20, 40, 8


def main() -> None:
    place = Path(sys.argv[1])
    if not (place / "images").exists():
        bestiary.sample(
            place / "images", species=SPECIES, per_species=IMAGES, unknown=0.25, quiet=True
        )
    if not (place / "more").exists():
        bestiary.sample(place / "more", species=SPECIES, per_species=IMAGES + NEW, quiet=True)
    if not (place / "run").exists():
        overrides = ["view.size=128", "view.eval_size=144"]
        bestiary.train(
            place / "images", place / "run", recipe="fast", overrides=overrides, quiet=True
        )
    seen = {path.read_bytes() for path in (place / "images").rglob("*.jpg")}
    known = [
        path for path in sorted((place / "more").rglob("*.jpg")) if path.read_bytes() not in seen
    ]
    unknown = sorted((place / "images-unknown").rglob("*.jpg"))
    ensemble = bestiary.load(place / "run")

    def logits(paths: list[Path]) -> NDArray[np.float32]:
        return np.concatenate([scored.logits for scored in ensemble.score(paths)], axis=1)

    judged = [logits(known), logits(unknown)]
    for name, *scores in zip(
        ("energy", "distance"), *map(ensemble.known.scores, judged), strict=True
    ):
        area = roc_auc_score(
            np.repeat([0, 1], [len(score) for score in scores]), np.concatenate(scores)
        )
        print(
            f"{name}: AUROC {area:.3f} ({len(known)} new images of known species, {len(unknown)} "
            f"of unknown ones)"
        )
    shares = [float(ensemble.known.is_unknown(some).mean()) for some in judged]
    print(f"called unknown: {shares[0]:.3f} of the known, {shares[1]:.3f} of the unknown")
    print(bestiary.evaluate(place / "run", place / "more", quiet=True))


if __name__ == "__main__":
    main()
