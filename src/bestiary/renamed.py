"""Old names of options, recipe keys, table columns and run files -> their current names.

Whoever uses an old name gets one line that says the new one. Nothing is translated silently.
"""

OPTIONS = {
    "--fold": "--only-fold",
    "--held": "--test-data",
    "--hold-out": "--test-share",
    "--max-pictures": "--max-images",
    "--on": "--cluster",
    "--over": "--vary",
    "--views": "--tta",
}
RECIPE_KEYS = {
    "folds.rare": "folds.rare_classes",
    "mix.until": "mix.stop_at",
    "model.normalise": "model.normalize",
    "model.root": "model.power_norm",
    "model.tau_normalise": "model.head_tau_norm",
    "optimiser": "optimizer",
    "optimizer.decay_all": "optimizer.decay_norm_and_bias",
    "optimizer.head_factor": "optimizer.head_lr_mult",
    "predict.views": "predict.tta",
    "schedule.t_0": "schedule.first_cycle",
    "schedule.t_mult": "schedule.cycle_mult",
    "train.keep_every": "train.save_every",
    "train.start_share": "train.wise_ft",
    "view.eval_factor": "view.eval_scale",
    "view.made_on": "view.device",
}
RECIPE_VALUES = {
    ("model.head", "probe"): "lda",
    ("view.device", "device"): "model",
}
COLUMNS = {
    "agreement": "member_agreement",
    "bytes": "size_bytes",
    "conflict": "label_conflict",
    "copies": "duplicate_group",
    "digest": "sha256",
    "doubt": "warning",
    "judged": "evaluated_on",
    "pictures": "images",
    "pixels": "pixel_sha256",
    "set": "prediction_set",
    "sure": "accepted",
    "twins": "similar_names",
}
RUN_FILES = {
    "arithmetic.json": "compute.json",
    "copies.csv": "near_duplicates.csv",
    "known.safetensors": "ood.safetensors",
}


def renamed_column(columns: list[str], wanted: list[str]) -> str | None:
    """Explain a missing column by its old name.

    Args:
        columns: columns of the table.
        wanted: columns that the reader needs.

    Returns:
        The explanation, or None where no old name stands for a missing column.

    Example:
        >>> renamed_column(["path", "digest"], ["path", "sha256"])
        "its column 'digest' is called 'sha256' now"
    """
    for old in columns:
        new = COLUMNS.get(old)
        if new in wanted and new not in columns:
            return f"its column {old!r} is called {new!r} now"
    return None
