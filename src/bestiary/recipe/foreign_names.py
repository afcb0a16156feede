"""Words of other tools for an option -> the recipe's key. Knows nothing of the command line."""

FOREIGN_KEYS = {
    "arch": "model.backbone",
    "architecture": "model.backbone",
    "aug": "view.augment",
    "augment": "view.augment",
    "augmentation": "view.augment",
    "auto-augment": "view.augment",
    "backbone": "model.backbone",
    "batch": "train.batch_size",
    "batch-size": "train.batch_size",
    "bs": "train.batch_size",
    "class-weights": "loss.logit_adjustment",
    "compile": "train.compile",
    "cutmix": "mix.cutmix",
    "ema": "train.ema",
    "epoch": "train.epochs",
    "epochs": "train.epochs",
    "fp16": "train.precision",
    "amp": "train.precision",
    "half": "train.precision",
    "freeze": "model.freeze",
    "hflip": "view.flip",
    "image-size": "view.size",
    "img": "view.size",
    "img-size": "view.size",
    "imgsz": "view.size",
    "input-size": "view.size",
    "label-smoothing": "loss.label_smoothing",
    "learning-rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "lr0": "optimizer.lr",
    "max-epochs": "train.epochs",
    "mixed-precision": "train.precision",
    "mixup": "mix.mixup",
    "model": "model.backbone",
    "model-ema": "train.ema",
    "model-name": "model.backbone",
    "network": "model.backbone",
    "num-epochs": "train.epochs",
    "precision": "train.precision",
    "pretrained": "model.weights",
    "random-seed": "train.seed",
    "random-state": "train.seed",
    "resolution": "view.size",
    "scheduler": "schedule.kind",
    "seed": "train.seed",
    "size": "view.size",
    "smoothing": "loss.label_smoothing",
    "threads": "train.threads",
    "tracker": "track.to",
    "tta": "predict.tta",
    "val-size": "view.eval_size",
    "warmup": "schedule.warmup",
    "warmup-epochs": "schedule.warmup",
    "wd": "optimizer.weight_decay",
    "weight-decay": "optimizer.weight_decay",
    "weights": "model.weights",
}
"""As timm, Ultralytics, fastai, torchvision and scikit-learn say it -> as a recipe says it."""


def foreign_key(word: str) -> str | None:
    """Return the recipe's key for a word of another tool; None where none is known.

    Args:
        word: without leading dashes; an underscore counts as a dash.

    Example:
        >>> foreign_key("learning_rate"), foreign_key("patience")
        ('optimizer.lr', None)
    """
    return FOREIGN_KEYS.get(word.replace("_", "-").lower())
