"""Claim: where a fifth of near copies is planted, a plain shuffled k-fold flatters and bestiary's
out-of-fold does not.

    python benchmarks/bench_leak_guard.py [DATA] [--seeds 0 1 2] [--rounds 8] [--set section.key=value ...]

Trains five folds twice, dealt at random (scikit-learn's shuffled, stratified k-fold) and by
bestiary, and compares what each says out of fold with the members' mean accuracy on clean images
that no fold has seen, which is what an out-of-fold accuracy foretells.

With DATA, photographs in class folders, every photograph gets a copy made in one of the ways of
`copying.WAYS`, and --rounds times each of five fifths is held out, while a fifth of the copies
joins the rest. So many splits are had by the head that `fast` starts from, on frozen features.
Then, for each seed, `fast` itself on drawn beasts: 20 species of 40 images, a fifth of altered
copies added, and 50 further images of each species held out.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.model_selection import StratifiedKFold

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.data.decode import decode, read_image
from bestiary.data.folds import deal
from bestiary.stats.intervals import share_interval
from copying import WAYS, encode
from frozen import FOLDS, Numbers, cross_validate, features_of, read_data

COPIES = 0.2
SMALL = [
    "view.size=128",
    "view.eval_size=144",
]  # as `bestiary demo` has it: drawn beasts are 160 pixels wide


def plain_folds(labels: Numbers, seed: int) -> Numbers:
    folds = np.empty(len(labels), np.int64)
    for fold, (_, part) in enumerate(
        StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels)
    ):
        folds[part] = fold
    return folds


def copy_all(source: Path, goal: Path) -> None:
    """Write original and copy side by side, named alike but for their last letter."""
    rng, ways = np.random.default_rng(0), list(WAYS.values())
    for file in sorted(source.glob("*/*")):
        pixels, folder = decode(read_image(file)), goal / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file.stem}-a.jpg").write_bytes(encode(pixels, 95))
        (folder / f"{file.stem}-b.jpg").write_bytes(ways[rng.integers(len(ways))](pixels, rng))


def measure_head(source: Path, rounds: int, place: Path) -> None:
    copy_all(source, place / "copied")
    data, groups = read_data(place / "copied")
    features, labels, classes = features_of(data), data.labels, len(data.classes)
    is_copy = np.array([path.endswith("-b.jpg") for path in data.paths])
    flattery: dict[str, list[float]] = {"shuffled": [], "bestiary's": []}
    told_of, new_of = [], []
    for seed in range(rounds):
        rng, fifths = (
            np.random.default_rng(seed),
            deal(data.paths, pl.Series(labels), groups, FOLDS, seed),
        )
        for fifth in range(FOLDS):
            held = np.flatnonzero((fifths == fifth) & ~is_copy)
            rest = np.flatnonzero(
                (fifths != fifth) & (~is_copy | (rng.random(len(fifths)) < COPIES))
            )
            names = data.paths[rest]
            own = deal(names, pl.Series(labels[rest]), groups[rest], FOLDS, seed)
            for name, folds in (("shuffled", plain_folds(labels[rest], seed)), ("bestiary's", own)):
                x, y = features[rest], labels[rest]
                out, members = cross_validate(x, y, folds, features[held], classes)
                told = share_interval(
                    out.argmax(axis=1) == y, groups[rest] if folds is own else None
                )
                new = float((members.argmax(axis=2) == labels[held]).mean())
                flattery[name].append(told.value - new)
                if folds is own:
                    told_of.append((told.low, told.high))
                    new_of.append(new)
    print(
        f"head of fast, {rounds} rounds of {FOLDS} fifths, {len(held)} images held out each time:"
    )
    for name, values in flattery.items():
        by_round = np.reshape(values, (rounds, FOLDS)).mean(axis=1)
        half = 1.96 * by_round.std(ddof=1) / rounds**0.5
        print(
            f"  {name} folds flatter by {by_round.mean():+.4f} ± {half:.4f} (95 %, of {rounds} "
            f"rounds)"
        )
    (low, high), new = np.transpose(told_of), np.array(new_of)
    print(
        f"  bestiary's interval is [{low.mean():.4f}, {high.mean():.4f}] in the mean, the held-out "
        f"figure "
        f"{new.mean():.4f}; of {len(new)} single splits it holds "
        f"{((low <= new) & (new <= high)).mean():.0%}",
        flush=True,
    )


def measure_fast(seed: int, overrides: list[str], place: Path) -> None:
    """The same seed draws the same beasts first, so that `evaluate` leaves them out of the
    held-out folder.
    """
    data, held = place / "data", place / "held-out"
    draw_sample(data, per_species=40, seed=seed, near_duplicates=COPIES)
    draw_sample(held, per_species=90, seed=seed)
    paths = sorted(path.relative_to(data).as_posix() for path in data.glob("*/*.jpg"))
    codes = pl.Series(paths).str.split("/").list.first().rank("dense").cast(pl.Int64).to_numpy()
    pl.DataFrame({"path": paths, "fold": plain_folds(codes, seed)}).write_csv(place / "folds.csv")
    for name, folds in (("shuffled folds", str(place / "folds.csv")), ("bestiary's folds", None)):
        asked = [*SMALL, f"folds.seed={seed}", *overrides]
        run = bestiary.train(
            data, place / name, recipe="fast", overrides=asked, folds=folds, quiet=True
        )
        told = run.read_json("metrics.json")["oof"]["accuracy"]
        scores = bestiary.evaluate(run.path, held, quiet=True).scores
        inside = told["low"] <= scores["mean_member"] <= told["high"]
        print(
            f"fast, seed {seed}, {name}: out-of-fold {told['value']:.4f} [{told['low']:.4f}, "
            f"{told['high']:.4f}] "
            f"(n = {told['n']}), held out {scores['mean_member']:.4f} (n = {scores['n']}), "
            f"flatters by "
            f"{told['value'] - scores['mean_member']:+.4f}, interval "
            f"{'holds' if inside else 'misses'} it",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--set", nargs="*", default=[])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BESTIARY_CACHE"] = f"{folder}/cache"
        if asked.data:
            measure_head(asked.data, asked.rounds, Path(folder))
        for seed in asked.seeds:
            measure_fast(seed, asked.set, Path(folder) / f"seed-{seed}")


if __name__ == "__main__":
    main()
