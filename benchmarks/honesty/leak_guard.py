"""Claim: with a fifth of near duplicates, shuffled k-fold flatters and bestiary does not.

    python benchmarks/honesty/leak_guard.py [DATA] [--seeds 0 1 2] [--rounds 8]
                                          [--set section.key=value ...]

Trains five folds twice: assigned at random (scikit-learn's shuffled, stratified k-fold) and by
bestiary. Compares each out-of-fold accuracy with the members' mean accuracy on clean images that no
fold has seen, which is what an out-of-fold accuracy predicts.

With DATA, photographs in class folders: every photograph gets a copy in one of the ways of
`copying.WAYS`. --rounds times, each of five fifths is held out, and a fifth of the copies joins the
rest. So many splits are affordable with the head of `fast`, on frozen features. Then,
for each seed, `fast` itself on drawn beasts: 20 species of 40 images, a fifth of altered copies
added, and 50 more images of each species held out.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedKFold

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.decode import decode, read_image
from bestiary.data.folds import assign_folds
from bestiary.stats.intervals import share_interval

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.copying import WAYS, encode
from harness.frozen import FOLDS, Numbers, cross_validate, features_of, read_data
from harness.record import record, recording

CLAIMS = {
    "leak-guard-heads": {
        "statement": (
            "With a fifth of near duplicates, bestiary's folds do not flatter and shuffled ones do"
        ),
        "unit": "out-of-fold less true accuracy",
        "watches": (
            "src/bestiary/data/folds.py",
            "src/bestiary/data/near_duplicates/*.py",
        ),
    },
    "leak-guard-fast": {
        "statement": (
            "With near duplicates, `fast` flatters less in bestiary's folds than in shuffled ones"
        ),
        "unit": "out-of-fold less true accuracy",
        "watches": (
            "src/bestiary/data/folds.py",
            "src/bestiary/data/near_duplicates/*.py",
            "src/bestiary/recipe/shipped/fast.toml",
        ),
    },
}
COMMANDS = (
    "",
    "{data} --seeds",
)


COPIES = 0.2
# As in `bestiary demo`: drawn beasts are 160 pixels wide.
SMALL = [
    "view.size=128",
    "view.eval_size=144",
]


def plain_folds(labels: Numbers, seed: int) -> Numbers:
    folds = np.empty(len(labels), np.int64)
    for fold, (_, part) in enumerate(
        StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels)
    ):
        folds[part] = fold
    return folds


def copy_all(source: Path, goal: Path) -> None:
    """Write original and copy; their names differ in the last letter."""
    rng = np.random.default_rng(0)
    ways = list(WAYS.values())
    for file in sorted(source.glob("*/*")):
        pixels = decode(read_image(file))
        folder = goal / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file.stem}-a.jpg").write_bytes(encode(pixels, 95))
        (folder / f"{file.stem}-b.jpg").write_bytes(ways[rng.integers(len(ways))](pixels, rng))


def measure_head(source: Path, rounds: int, place: Path) -> None:
    copy_all(source, place / "copied")
    data, groups = read_data(place / "copied")
    features = features_of(data)
    labels = data.labels
    classes = len(data.classes)
    is_copy = np.array([path.endswith("-b.jpg") for path in data.paths])
    bias: dict[str, list[float]] = {"shuffled": [], "bestiary's": []}
    intervals = []
    new_accuracies = []
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        fifths = assign_folds(data.paths, pl.Series(labels), groups, FOLDS, seed)
        for fifth in range(FOLDS):
            held_out = np.flatnonzero((fifths == fifth) & ~is_copy)
            rest = np.flatnonzero(
                (fifths != fifth) & (~is_copy | (rng.random(len(fifths)) < COPIES))
            )
            names = data.paths[rest]
            own = assign_folds(names, pl.Series(labels[rest]), groups[rest], FOLDS, seed)
            for name, folds in (("shuffled", plain_folds(labels[rest], seed)), ("bestiary's", own)):
                x = features[rest]
                y = labels[rest]
                out, members = cross_validate(x, y, folds, features[held_out], classes)
                claimed = share_interval(
                    out.argmax(axis=1) == y, groups[rest] if folds is own else None
                )
                new = float((members.argmax(axis=2) == labels[held_out]).mean())
                bias[name].append(claimed.value - new)
                if folds is own:
                    intervals.append((claimed.low, claimed.high))
                    new_accuracies.append(new)
    print(
        f"head of fast, {rounds} rounds of {FOLDS} fifths, "
        f"{len(held_out)} images held out each time:"
    )
    flattery = {}
    for name, values in bias.items():
        by_round = np.reshape(values, (rounds, FOLDS)).mean(axis=1)
        half = 1.96 * by_round.std(ddof=1) / rounds**0.5
        mean = by_round.mean()
        flattery[f"{name} folds"] = (mean, mean - half, mean + half)
        print(
            f"  {name} folds flatter by {by_round.mean():+.4f} ± {half:.4f} (95 %, of {rounds} "
            f"rounds)"
        )
    (low, high) = np.transpose(intervals)
    new = np.array(new_accuracies)
    print(
        f"  bestiary's interval is [{low.mean():.4f}, {high.mean():.4f}] in the mean, the held-out "
        f"figure "
        f"{new.mean():.4f}; of {len(new)} single splits it holds "
        f"{((low <= new) & (new <= high)).mean():.0%}",
        flush=True,
    )
    record(
        "leak-guard-heads",
        flattery,
        rounds,
        f"rounds of {FOLDS} splits",
        spread="95 % interval over rounds",
        details={"of the single splits covered": ((low <= new) & (new <= high)).mean()},
        data=source,
    )


def measure_fast(seed: int, overrides: list[str], place: Path) -> dict[str, float]:
    """Train `fast` on drawn beasts with both kinds of folds; by how much each flatters.

    The same seed draws the same beasts first; `evaluate` leaves them out of the held-out folder.
    """
    data = place / "data"
    held_out = place / "held-out"
    draw_sample(data, per_species=40, seed=seed, near_duplicates=COPIES)
    draw_sample(held_out, per_species=90, seed=seed)
    paths = sorted(path.relative_to(data).as_posix() for path in data.glob("*/*.jpg"))
    codes = pl.Series(paths).str.split("/").list.first().rank("dense").cast(pl.Int64).to_numpy()
    pl.DataFrame({"path": paths, "fold": plain_folds(codes, seed)}).write_csv(place / "folds.csv")
    flattery = {}
    for name, folds in (("shuffled folds", str(place / "folds.csv")), ("bestiary's folds", None)):
        args = [*SMALL, f"folds.seed={seed}", *overrides]
        run = bestiary.train(
            data, place / name, recipe="fast", overrides=args, folds=folds, quiet=True
        )
        claimed = run.read_json("metrics.json")["oof"]["accuracy"]
        scores = bestiary.evaluate(run.path, held_out, quiet=True).scores
        flattery[name] = claimed["value"] - scores["mean_member"]
        inside = claimed["low"] <= scores["mean_member"] <= claimed["high"]
        print(
            f"fast, seed {seed}, {name}: out-of-fold {claimed['value']:.4f} [{claimed['low']:.4f}, "
            f"{claimed['high']:.4f}] "
            f"(n = {claimed['n']}), held out {scores['mean_member']:.4f} (n = {scores['n']}), "
            f"flatters by "
            f"{claimed['value'] - scores['mean_member']:+.4f}, interval "
            f"{'holds' if inside else 'misses'} it",
            flush=True,
        )
    return flattery


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--set", nargs="*", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BESTIARY_CACHE"] = f"{folder}/cache"
        if args.data:
            measure_head(args.data, args.rounds, Path(folder))
        places = {seed: Path(folder) / f"seed-{seed}" for seed in args.seeds}
        found = [measure_fast(seed, args.set, place) for seed, place in places.items()]
    if found:
        flattery = {name: [one[name] for one in found] for name in found[0]}
        data = ("drawn beasts", 800)
        record("leak-guard-fast", flattery, len(found), "seeds", data=data)


if __name__ == "__main__":
    recording(main, __file__)
