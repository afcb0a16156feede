"""Fit the rule of near duplicates (data/near_duplicates/proof.py) on pairs whose answer is known.

    python benchmarks/fit_near_duplicates.py ../shared/data

Same photograph: every fourteenth photograph of caltech-creatures and flowers17 with an altered copy
in each way of `copying` and `altering`, some of them as photographs of 64 pixels, and the pairs of
one motif in specimens/truth.csv. Other photographs: the candidates of the search among all images
of each set, specimens of two motifs, silhouettes and digits. reviewed_copies.csv names the
photographs that are near duplicates in caltech-creatures itself. Other pairs of photographs count
as different only if their detail correlates by less than 0.5, since a person found those above to
be duplicates. Each kind of data weighs the same, and a different pair five times as much as a same
one. Prints the coefficients, and the errors of a rule fitted without the kind of data judged.
"""

import csv
import math
import sys
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bestiary.data.decode import decode, read_image
from bestiary.data.image_info import make_thumb
from bestiary.data.near_duplicates.candidates import candidate_pairs
from bestiary.data.near_duplicates.hashes import MIRROR, hash_thumbs
from bestiary.data.near_duplicates.proof import (
    NEAR_DUPLICATE_PROBABILITY,
    features,
    prove,
    to_square,
)
from bestiary.data.near_duplicates.screening import screen
from harness.altering import HARD_WAYS
from harness.copying import WAYS, Pixels
from harness.silhouettes import draw_digits, draw_silhouette

STEP = 14  # every fourteenth photograph
PLAIN_WAYS = ("encoded again", "resized", "mirrored", "brightness ±20 %")
MAX_PAIRS = 1000  # of one kind
DIFFERENT_DETAIL = 0.5
OUTLINES = ("silhouettes", "digits")
WRONG_TRUTH = {frozenset(("WOOD SATYR/010.jpg", "WOOD SATYR/011.jpg"))}  # one photograph, seen


class Pair(NamedTuple):
    """A pair with a known answer: the kind of data, the features and whether it is the same."""

    kind: str
    features: tuple[float, ...]
    is_same: bool
    names: tuple[str, str]


def read(files: list[Path]) -> list[Pixels]:
    return [decode(read_image(file), min_side=256) for file in files]


def compare(image: Pixels, partner: Pixels, view: int, mirrored: int):
    """Screen and prove one pair; None if it is screened out."""
    other = np.ascontiguousarray(partner[:, ::-1]) if mirrored else partner
    screened = screen(make_thumb(image), make_thumb(other), view)
    if screened is None:
        return None
    short_side = min(*image.shape[:2], *other.shape[:2])
    return prove(to_square(image), to_square(other), screened.affine, short_side)


def altered_pairs(kind: str, images: list[Pixels], ways: list[str], rng) -> list[Pair]:
    """One pair for each image and way."""
    pairs = []
    every_way = {**WAYS, **HARD_WAYS}
    hashes = hash_thumbs(np.stack([make_thumb(image) for image in images]))
    for way in ways:
        copies = [decode(every_way[way](image, rng)) for image in images]
        copy_hashes = hash_thumbs(np.stack([make_thumb(copy) for copy in copies]))
        for index, (image, copy) in enumerate(zip(images, copies, strict=True)):
            options = []
            for one, other, swapped in (
                (hashes[index], copy_hashes[index], False),
                (copy_hashes[index], hashes[index], True),
            ):
                for mirrored, mask in enumerate((np.uint64(0), MIRROR)):
                    distance = np.bitwise_count(one ^ other[0] ^ mask)
                    options.append((distance.min(), swapped, int(distance.argmin()), mirrored))
            _, swapped, view, mirrored = min(options)
            one, other = (copy, image) if swapped else (image, copy)
            proof = compare(one, other, view, mirrored)
            if proof is not None:
                pairs.append(Pair(kind, features(proof.evidence), True, (way, str(index))))
    return pairs


def candidates(kind: str, names: list[str], images: list[Pixels], known, rng) -> list[Pair]:
    """The candidates of the search, with what `known` says of each."""
    hashes = hash_thumbs(np.stack([make_thumb(image) for image in images]))
    rows = candidate_pairs(hashes)
    pairs = []
    for row in rng.permutation(len(rows)):
        image, partner, view, mirrored, _ = rows[row].tolist()
        proof = compare(images[image], images[partner], view, mirrored)
        if proof is None:
            continue
        is_same = known(names[image], names[partner], proof.evidence.detail)
        if is_same is not None:
            named = (names[image], names[partner])
            pairs.append(Pair(kind, features(proof.evidence), is_same, named))
        if len(pairs) >= MAX_PAIRS:
            break
    return pairs


def reviewed() -> set[frozenset[str]]:
    groups: dict[str, list[str]] = {}
    with (Path(__file__).parent / "honesty" / "reviewed_copies.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups.setdefault(row["group"], []).append(row["path"])
    return {frozenset(pair) for names in groups.values() for pair in combinations(names, 2)}


def make_pairs(shared: Path) -> list[Pair]:
    rng = np.random.default_rng(0)
    pairs = []

    # Photographs
    near = reviewed()

    def known_photograph(a: str, b: str, detail: float) -> bool | None:
        if frozenset((a, b)) in near:
            return True if detail >= DIFFERENT_DETAIL else None
        return False if detail < DIFFERENT_DETAIL else None

    for name in ("caltech-creatures", "flowers17"):
        files = sorted((shared / name).rglob("*.jpg"))
        pairs += altered_pairs(name, read(files[::STEP]), [*WAYS, *HARD_WAYS], rng)
        names = [file.relative_to(shared / name).as_posix() for file in files]
        pairs += candidates(name, names, read(files), known_photograph, rng)

    # Specimens
    with (shared / "specimens/truth.csv").open(encoding="utf-8") as file:
        motif = {row["path"]: row["motif"] for row in csv.DictReader(file)}

    def known_specimen(a: str, b: str, _: float) -> bool | None:
        return None if frozenset((a, b)) in WRONG_TRUTH else motif[a] == motif[b]

    names = list(motif)
    images = read([shared / "specimens" / name for name in names])
    pairs += candidates("specimens", names, images, known_specimen, rng)
    alone = [image for name, image in zip(names, images, strict=True) if name == motif[name]]
    pairs += altered_pairs("specimens, altered", alone[::2], [*WAYS, *HARD_WAYS], rng)

    # Photographs of few pixels
    files = sorted((shared / "caltech-creatures").rglob("*.jpg"))[::3]
    small = [cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in read(files)]
    names = [file.relative_to(shared / "caltech-creatures").as_posix() for file in files]
    pairs += altered_pairs("64 pixels", small[::10], [*WAYS, *HARD_WAYS], rng)
    pairs += candidates("64 pixels", names, small, known_photograph, rng)

    # Images of low detail
    for kind, drawn in (
        ("silhouettes", [draw_silhouette(rng) for _ in range(1000)]),
        ("digits", [image for _, image in draw_digits(1000, rng)]),
    ):
        numbers = [str(number) for number in range(len(drawn))]
        pairs += altered_pairs(kind, drawn[:100], list(PLAIN_WAYS), rng)
        pairs += candidates(kind, numbers, drawn, lambda *_: False, rng)
    return pairs


def fit(pairs: list[Pair]) -> tuple[np.ndarray, float]:
    """Fit the rule; each kind of data and answer weighs the same.

    The same silhouettes and digits are left out: they have an outline in common and nothing else,
    as the different ones have. So the rule is not to learn that an outline is enough.
    """
    pairs = [pair for pair in pairs if not (pair.is_same and pair.kind in OUTLINES)]
    x = np.array([pair.features for pair in pairs])
    y = np.array([pair.is_same for pair in pairs])
    cells = [(pair.kind, pair.is_same) for pair in pairs]
    weight = np.array([1000 / cells.count(cell) * (1 if cell[1] else 5) for cell in cells])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    model.fit(x, y, logisticregression__sample_weight=weight)
    scaler, rule = model
    coefficients = rule.coef_[0] / scaler.scale_
    return coefficients, float(rule.intercept_[0] - coefficients @ scaler.mean_)


def errors(pairs: list[Pair], coefficients: np.ndarray, intercept: float) -> str:
    x = np.array([pair.features for pair in pairs])
    y = np.array([pair.is_same for pair in pairs])
    threshold = math.log(NEAR_DUPLICATE_PROBABILITY / (1 - NEAR_DUPLICATE_PROBABILITY))
    proved = x @ coefficients + intercept > threshold
    return f"of {y.sum()} same {proved[y].sum()} proved, of {(~y).sum()} others {proved[~y].sum()}"


def main() -> None:
    pairs = make_pairs(Path(sys.argv[1]))
    coefficients, intercept = fit(pairs)
    print("COEFFICIENTS =", tuple(round(value, 3) for value in coefficients.tolist()))
    print("INTERCEPT =", round(intercept, 3))
    for kind in sorted({pair.kind for pair in pairs}):
        own = [pair for pair in pairs if pair.kind == kind]
        others = [pair for pair in pairs if pair.kind != kind]
        print(f"{kind}: {errors(own, coefficients, intercept)}")
        print(f"  fitted without it: {errors(own, *fit(others))}")
    if len(sys.argv) > 2:
        import pickle

        Path(sys.argv[2]).write_bytes(pickle.dumps([tuple(pair) for pair in pairs]))


if __name__ == "__main__":
    main()
