"""Options for uneven classes on frozen features: many draws of a long tail in a minute.

    python benchmarks/accuracy/uneven_heads.py [RUN TEST] [--draws 20]

RUN is a probe whose features are cached; TEST has class folders with as many new images of each
class. Without them, beasts are drawn and probed. For each draw, the k-th class in a random order
keeps LARGEST images times RATIO to the power of k / (classes - 1). A linear head is trained with
AdamW by the recipe's own losses and epochs, for each variant of `accuracy/uneven.py`, and judged by
its likeliest classes and by balanced costs.
Temperatures are fitted on a tenth of the training part, which no head sees.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import bestiary
from bestiary.data.epoch_order import balanced_rows, epoch_order
from bestiary.display import Display
from bestiary.recipe.load import load_recipe
from bestiary.recipe.optimization import LossOptions
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import fit_temperature
from bestiary.stats.costs import balanced_costs, decide
from bestiary.training.dataset import read_training_set
from bestiary.training.frozen_features import frozen_features
from bestiary.training.loss import build_loss
from bestiary.training.prepare import begin_run

sys.path.insert(0, str(Path(__file__).parents[1]))

from accuracy.uneven import LARGEST, RATIO, draw_beasts
from harness.record import record, recording

CLAIMS = {
    "uneven-heads": {
        "statement": "What options for uneven classes are worth for linear heads",
        "unit": "difference of balanced accuracy",
        "watches": (
            "src/bestiary/training/loss.py",
            "src/bestiary/stats/costs.py",
        ),
    },
}
COMMANDS = ("",)


Floats = NDArray[np.float64]
VARIANTS: dict[str, tuple[LossOptions, str]] = {
    "plain": (LossOptions(), "shuffled"),
    "logit_adjustment=1": (LossOptions(logit_adjustment=1), "shuffled"),
    "class_weights=1": (LossOptions(class_weights=1), "shuffled"),
    "class_weights=0.5": (LossOptions(class_weights=0.5), "shuffled"),
    "sampler=balanced": (LossOptions(), "balanced"),
    "sampler=balanced, logit_adjustment=1": (LossOptions(logit_adjustment=1), "balanced"),
}
EPOCHS = 30
BATCH = 32


def probe_beasts(folder: Path) -> tuple[Path, Path]:
    """Draw beasts, and compute the features of those that tails are cut from."""
    data, test = draw_beasts(folder)
    bestiary.probe(data, folder / "run", quiet=True)
    return folder / "run", test


def read_features(place: Path, test: Path, scratch: Path) -> list[tuple[Floats, NDArray[np.int64]]]:
    """Features and labels of a run's images, and of the test images."""
    run = Run.open(place)
    recipe = run.read_recipe()
    begin_run(
        test,
        Run(scratch / "test"),
        load_recipe("probe").with_values(
            {
                "model.backbone": recipe.model.backbone,
                "view.size": recipe.view.size,
                "view.eval_size": recipe.view.eval_size,
                "view.eval_scale": recipe.view.eval_scale,
                "folds.n": 2,
                "folds.rare_classes": "keep",
            }
        ),
        None,
        Display(quiet=True),
    )
    parts = []
    for one in (run, Run(scratch / "test")):
        data = read_training_set(one)
        features = frozen_features(data, Display(quiet=True)).astype(np.float64)
        features = np.sign(features) * np.sqrt(np.abs(features))
        parts.append((features, data.labels))
    return parts


def cut(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    classes = keyed_rng(seed, "uneven classes").permutation(int(labels.max()) + 1)
    rows = []
    for rank, label in enumerate(classes):
        count = round(LARGEST * RATIO ** (rank / (len(classes) - 1)))
        own = np.flatnonzero(labels == label)
        rows.append(keyed_rng(seed, "uneven images", int(label)).permutation(own)[:count])
    return np.concatenate(rows)


def train_head(
    features: Floats, labels: NDArray[np.int64], variant: tuple[LossOptions, str], seed: int
) -> tuple[Floats, Floats]:
    options, sampler = variant
    n_classes = int(labels.max()) + 1
    shares = np.bincount(labels, minlength=n_classes) / len(labels)
    loss_of = build_loss(options, torch.tensor(shares, dtype=torch.float32), sampler)
    x = torch.tensor(features, dtype=torch.float32)
    y = torch.nn.functional.one_hot(torch.from_numpy(labels), n_classes).float()
    torch.manual_seed(seed)
    head = torch.nn.Linear(x.shape[1], n_classes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.01)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(EPOCHS):
        rows = np.arange(len(labels))
        if sampler == "balanced":
            rows = balanced_rows(labels, seed, 0, epoch)
        rows = rows[epoch_order(len(rows), seed, 0, epoch)]
        for batch in np.split(rows, range(BATCH, len(rows), BATCH)):
            optimizer.zero_grad()
            loss_of(head(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
    weights = head.weight.detach().numpy().astype(np.float64)
    return weights, head.bias.detach().numpy().astype(np.float64)


def judge(logits: Floats, labels: NDArray[np.int64], shares: Floats) -> dict[str, float]:
    probabilities = softmax(logits)
    decided, _ = decide(probabilities, balanced_costs(shares))
    predicted = probabilities.argmax(axis=1)
    weights = (shares / np.bincount(labels, minlength=len(shares)))[labels]
    rare = shares[labels] < np.median(shares)
    chosen = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
    return {
        "balanced accuracy": float((predicted == labels).mean()),
        "rare": float((predicted == labels)[rare].mean()),
        "with costs": float((decided == labels).mean()),
        "with costs, rare": float((decided == labels)[rare].mean()),
        "natural accuracy": float((weights * (predicted == labels)).sum()),
        "natural log loss": float(-(weights * np.log(chosen)).sum()),
    }


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("places", type=Path, nargs="*", metavar="RUN TEST")
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run, test = args.places or probe_beasts(Path(scratch))
        (features, labels), (new, truth) = read_features(run, test, Path(scratch))
    scale = features.std()
    features, new = features / scale, new / scale
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for draw in range(args.draws):
        rows = cut(labels, draw)
        spared = np.arange(len(rows)) % 10 == 0
        shares = np.bincount(labels[rows]) / len(rows)
        for name, variant in VARIANTS.items():
            weights, bias = train_head(
                features[rows[~spared]], labels[rows[~spared]], variant, draw
            )
            own = features[rows[spared]] @ weights.T + bias
            temperature = fit_temperature(own, labels[rows[spared]])
            scores[name].append(judge((new @ weights.T + bias) / temperature, truth, shares))
    record_scores(scores, args)
    for name, own_scores in scores.items():
        print(f"{name} ({args.draws} draws)")
        for key in own_scores[0]:
            values = np.array([score[key] for score in own_scores])
            apart = values - np.array([score[key] for score in scores["plain"]])
            error = apart.std(ddof=1) / np.sqrt(len(apart))
            print(
                f"  {key}: {values.mean():.4f}, against plain {apart.mean():+.4f} "
                f"[{apart.mean() - 2 * error:+.4f}, {apart.mean() + 2 * error:+.4f}]"
            )


def record_scores(scores: dict[str, list[dict[str, float]]], args: argparse.Namespace) -> None:
    def each(name: str, key: str) -> Floats:
        return np.array([score[key] for score in scores[name]])

    gains = {}
    for name in scores:
        apart = each(name, "balanced accuracy") - each("plain", "balanced accuracy")
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        gains[name] = (apart.mean(), apart.mean() - 2 * error, apart.mean() + 2 * error)
    del gains["plain"]
    keys = list(scores["plain"][0])
    record(
        "uneven-heads",
        gains,
        args.draws,
        "draws",
        spread="two standard errors",
        details={key: {name: each(name, key).mean() for name in scores} for key in keys},
        case="" if args.places else "drawn beasts",
        data=args.places[1] if args.places else "drawn beasts",
    )


if __name__ == "__main__":
    recording(main, __file__)
