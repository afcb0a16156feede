"""Claim: `drift` tells images of other cameras in nine of ten samples, and calls one in twenty
samples of the same cameras changed.

    python benchmarks/honesty/drift_cameras.py [--seeds 0 1] [--splits 40] [--cameras 24]
        [--species 8] [--images 150] [--size 100] [--place DIR]

Drawn camera traps (`bestiary sample --cameras`), whole images. A `probe` of all images computes the
frozen features once a seed; --place keeps them. For each split, heads are fitted to half of the
events of half of the cameras, in five folds by event. One sample of each kind is tested, with one
image an event, by frozen features as `drift` does, and by logits as `predict`, `serve` and `count`
do, which have no features of new images:

- same cameras: of the other events of these cameras.
- other cameras: of the events of the other cameras.
- three of the cameras: of the other events of three cameras that were trained on.
- bursts: half as many events of the same cameras with all their frames, each frame as evidence of
  its own; what grouping by event prevents.

A split gives one sample of a kind, so samples of one seed share images but are no resamples of one
small pool. The splits of a seed share its cameras and species; the seeds are shown apart.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import bestiary
from bestiary.beasts.camera_sample import draw_cameras
from bestiary.evaluation.drift_features import project
from bestiary.evaluation.drifting import World
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.rng import keyed_rng
from bestiary.stats.drift import Drift
from bestiary.stats.intervals import share_interval
from bestiary.stats.vectors import main_directions
from bestiary.training.frozen_features import cached_features
from bestiary.training.lda_head import Moments, finite, lda_layer, tune_lda

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording

CLAIMS = {
    "drift-other-cameras": {
        "statement": "`drift` tells images of other cameras",
        "unit": "of the samples called changed",
        "bar": ("least", 0.9, "nine of ten samples"),
        "watches": ("src/bestiary/stats/drift.py", "src/bestiary/evaluation/drifting.py"),
    },
    "drift-same-cameras": {
        "statement": "`drift` lets new events of the same cameras pass",
        "unit": "of the samples called changed",
        "bar": ("within", [0.03, 0.07], "5 %"),
        "watches": ("src/bestiary/stats/drift.py", "src/bestiary/evaluation/drifting.py"),
    },
}
COMMANDS = ("",)

FOLDS = 5
DIMENSIONS = 256  # of the projected features
FEW = 3  # cameras
KINDS = ("same cameras", "other cameras", "three of the cameras", "bursts")
TESTED = (*KINDS, *(f"{kind}, logits" for kind in KINDS))

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass
class Cameras:
    """Features, labels, cameras and events of drawn images (images, ...).

    The projected features are for heads.
    """

    features: NDArray[np.float32]
    projected: NDArray[np.float32]
    labels: Rows
    sites: Rows
    events: Rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--cameras", type=int, default=24)
    parser.add_argument("--species", type=int, default=8)
    parser.add_argument("--images", type=int, default=150, help="of each species")
    parser.add_argument("--size", type=int, default=100, help="images of a sample, at most")
    parser.add_argument("--place", type=Path)
    args = parser.parse_args()
    print(machine())
    found: dict[str, dict[int, list[Drift]]] = {kind: {} for kind in TESTED}
    for seed in args.seeds:
        cameras = read_cameras(seed, args)
        for split in range(args.splits):
            for kind, drift in run_split(cameras, seed, split, args.size).items():
                found[kind].setdefault(seed, []).append(drift)
        for kind in TESTED:
            report(f"seed {seed}, {kind}", found[kind][seed])
    for kind in TESTED:
        report(kind, [drift for drifts in found[kind].values() for drift in drifts])
    record_all(found, args)


def read_cameras(seed: int, args: argparse.Namespace) -> Cameras:
    """The images of a seed: drawn, or as an earlier call has kept them."""
    name = f"{seed}-{args.cameras}-{args.species}-{args.images}.npz"
    if args.place and (args.place / name).exists():
        with np.load(args.place / name) as kept:
            return Cameras(**kept)
    with tempfile.TemporaryDirectory() as folder:
        cameras = draw(Path(folder), seed, args)
    if args.place:
        args.place.mkdir(parents=True, exist_ok=True)
        np.savez(args.place / name, **vars(cameras))
    return cameras


def draw(folder: Path, seed: int, args: argparse.Namespace) -> Cameras:
    """Draw the images and compute their frozen features."""
    draw_cameras(
        folder / "data",
        cameras=args.cameras,
        species=args.species,
        per_species=args.images,
        seed=seed,
    )
    run = bestiary.probe(
        folder / "data" / "images.csv",
        folder / "run",
        overrides=["folds.rare_classes=keep", "folds.n=2"],
        quiet=True,
    )
    snapshot = run.load()
    known = read_out_of_fold(snapshot).without_conflicts()
    features = cached_features(snapshot.recipe, known.table["sha256"].to_list())
    assert features is not None
    sites = np.unique(known.table["site"].to_numpy(), return_inverse=True)[1]
    roots = np.sign(features) * np.sqrt(np.abs(features))
    projected = main_directions(roots, DIMENSIONS)
    return Cameras(features, projected, known.labels, sites, known.leak_groups)


def run_split(cameras: Cameras, seed: int, split: int, size: int) -> dict[str, Drift]:
    """Train on half of the events of half of the cameras, and test a sample of each kind."""
    rng = keyed_rng(seed, "drift cameras", split)
    sites = rng.permutation(np.unique(cameras.sites))
    known_sites = sites[: len(sites) // 2]
    is_known = np.isin(cameras.sites, known_sites)
    events = rng.permutation(np.unique(cameras.events[is_known]))
    is_trained = np.isin(cameras.events, events[: len(events) // 2])
    trained = rng.permutation(np.flatnonzero(is_trained))
    world, layers = train(cameras, trained)
    reference = one_an_event(cameras, trained)

    is_new = ~is_trained & np.isin(cameras.labels, cameras.labels[trained])
    new = rng.permutation(np.flatnonzero(is_new))
    single = rng.permutation(one_an_event(cameras, new))
    at_known = single[is_known[single]]
    samples = {
        "same cameras": at_known[:size],
        "other cameras": single[~is_known[single]][:size],
        "three of the cameras": at_known[np.isin(cameras.sites[at_known], known_sites[:FEW])],
        "bursts": new[np.isin(cameras.events[new], cameras.events[at_known[: size // 2]])],
    }
    found = {}
    for kind, rows in samples.items():
        seen = logits(layers, cameras, rows)
        features = project(cameras.features[reference], cameras.features[rows])
        found[f"{kind}, logits"] = world.compare(seen)
        found[kind] = world.compare(seen, features=features)
    return found


def one_an_event(cameras: Cameras, rows: Rows) -> Rows:
    """The first of the rows of each event."""
    return rows[np.unique(cameras.events[rows], return_index=True)[1]]


def train(cameras: Cameras, rows: Rows) -> tuple[World, list[tuple[Floats, Floats]]]:
    """Fit the heads of five folds by event; what they know, and their layers."""
    labels = np.unique(cameras.labels[rows], return_inverse=True)[1]
    folds = np.unique(cameras.events[rows], return_inverse=True)[1] % FOLDS
    features = cameras.projected[rows]
    classes = int(labels.max()) + 1
    params = tune_lda(features[folds > 0], labels[folds > 0], classes, True)
    own = np.empty((len(rows), classes))
    layers = []
    for fold in range(FOLDS):
        fitted = folds != fold
        moments = Moments.of(features[fitted], labels[fitted], classes)
        weights, biases = lda_layer(moments, params)
        layers.append((weights, finite(biases)))
        own[~fitted] = features[~fitted] @ weights.T + layers[-1][1]
    scales = np.array([own[folds == fold].std() for fold in range(FOLDS)])
    first = np.unique(cameras.events[rows], return_index=True)[1]
    return World((own / scales[folds][:, None])[first], folds[first], scales), layers


def logits(
    layers: list[tuple[Floats, Floats]], cameras: Cameras, rows: Rows
) -> NDArray[np.float32]:
    features = cameras.projected[rows]
    return np.stack([features @ w.T + b for w, b in layers]).astype(np.float32)


def report(name: str, drifts: list[Drift]) -> None:
    p_values = np.array([drift.p_value for drift in drifts])
    deciles = np.histogram(p_values, 10, (0, 1))[0]
    print(
        f"{name}: changed {share_interval(changed(drifts))} of {len(drifts)}, AUC "
        f"{np.mean([drift.auc.value for drift in drifts]):.3f}, images "
        f"{np.mean([drift.images for drift in drifts]):.0f} against "
        f"{np.mean([drift.reference for drift in drifts]):.0f}, p by tenths {deciles.tolist()}",
        flush=True,
    )


def changed(drifts: list[Drift]) -> NDArray[np.bool_]:
    return np.array([drift.changed for drift in drifts])


def record_all(found: dict[str, dict[int, list[Drift]]], args: argparse.Namespace) -> None:
    """Record each kind over all seeds, and by seed."""
    n = args.splits * len(args.seeds)
    shared = {"spread": "95 % interval", "data": "drawn camera traps"}

    def shares(kind: str) -> dict[str, float]:
        return {
            f"{kind}, seed {seed}": changed(drifts).mean() for seed, drifts in found[kind].items()
        }

    def together(kind: str) -> object:
        return share_interval(changed([one for own in found[kind].values() for one in own]))

    record(
        "drift-other-cameras",
        together("other cameras"),
        n,
        "samples",
        details={"of a seed's samples called changed": shares("other cameras")},
        note="Splits of a seed share its cameras and species.",
        **shared,
    )
    record(
        "drift-same-cameras",
        together("same cameras"),
        n,
        "samples",
        details={
            "of a seed's samples called changed": shares("same cameras"),
            "of other samples called changed": {
                kind: together(kind) for kind in ("three of the cameras", "bursts")
            },
        },
        note="Bursts are samples whose frames count one by one, as no verb does.",
        **shared,
    )


if __name__ == "__main__":
    recording(main, __file__)
