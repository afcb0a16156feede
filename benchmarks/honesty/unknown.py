"""Claim: a run tells out-of-distribution species from new images of known ones: AUROC >= 0.85.

    python benchmarks/honesty/unknown.py [PLACE]

Draws beasts of 20 species and of some that belong to no class, trains `fast` at 128 pixels as the
demonstration does, and scores the unknown species and new images of the known ones. What exists in
PLACE is not made again.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import bestiary

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "unknown-drawn": {
        "statement": "Drawn beasts of unknown species are told from known ones",
        "unit": "AUROC",
        "bar": ("least", 0.85, "energy is the rule where none tells more"),
        "watches": ("src/bestiary/stats/ood.py",),
    },
}
COMMANDS = ("",)


SPECIES = 20
IMAGES = 40
NEW = 8


def make_run(folder: Path) -> None:
    """Draw the images and train the run in `folder`, as far as they are missing."""
    if not (folder / "images").exists():
        bestiary.sample(
            folder / "images", species=SPECIES, per_species=IMAGES, unknown=0.25, quiet=True
        )
    if not (folder / "more").exists():
        bestiary.sample(folder / "more", species=SPECIES, per_species=IMAGES + NEW, quiet=True)
    if not (folder / "run").exists():
        overrides = ["view.size=128", "view.eval_size=144"]
        bestiary.train(
            folder / "images", folder / "run", recipe="fast", overrides=overrides, quiet=True
        )


def new_images(folder: Path) -> list[Path]:
    """The images of known species that the run was not trained on."""
    trained = {path.read_bytes() for path in (folder / "images").rglob("*.jpg")}
    drawn = sorted((folder / "more").rglob("*.jpg"))
    return [path for path in drawn if path.read_bytes() not in trained]


def main() -> None:
    folder = Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp(prefix="unknown-"))
    make_run(folder)
    known = new_images(folder)
    unknown = sorted((folder / "images-unknown").rglob("*.jpg"))
    ensemble = bestiary.load(folder / "run")
    assert ensemble.ood is not None

    def logits(paths: list[Path]) -> NDArray[np.float32]:
        return np.concatenate([scored.logits for scored in ensemble.iter_logits(paths)], axis=1)

    known_logits = logits(known)
    unknown_logits = logits(unknown)
    is_unknown = np.repeat([0, 1], [len(known), len(unknown)])
    scores = zip(
        ensemble.ood.scores(known_logits), ensemble.ood.scores(unknown_logits), strict=True
    )
    areas = {}
    for name, (known_scores, unknown_scores) in zip(("energy", "distance"), scores, strict=True):
        area = areas[name] = roc_auc_score(
            is_unknown, np.concatenate([known_scores, unknown_scores])
        )
        print(
            f"{name}: AUROC {area:.3f} ({len(known)} new images of known species, "
            f"{len(unknown)} of unknown ones)"
        )
    known_share = float(ensemble.ood.is_unknown(known_logits).mean())
    unknown_share = float(ensemble.ood.is_unknown(unknown_logits).mean())
    called = {"known": known_share, "unknown": unknown_share}
    data = ("drawn beasts", len(known) + len(unknown))
    record("unknown-drawn", areas, 1, "runs", details={"called unknown": called}, data=data)
    print(f"called unknown: {known_share:.3f} of the known, {unknown_share:.3f} of the unknown")
    print(bestiary.evaluate(folder / "run", folder / "more", quiet=True))


if __name__ == "__main__":
    recording(main, __file__)
