"""Write docs/map.md: every module with its first line, and an index of usual words.

python docs/write_map.py
"""

import ast
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "src" / "bestiary"

# The word that one would search for -> the module where it is done.
INDEX = {
    "ablation": "evaluation/ablation.py",
    "augmentation (flip, crop, rotation)": "data/views.py",
    "RandAugment, TrivialAugment": "data/augment.py",
    "AdamW, layer-wise learning rates": "training/optimizer.py",
    "autotuning of precision, layout, threads": "training/autotune.py",
    "averaging of members": "stats/averaging.py",
    "backbone, pretrained weights": "model/backbone.py",
    "blends of runs, stacking": "stats/blending.py",
    "body limit of a request": "serving/limits.py",
    "bootstrap": "stats/bootstrap.py",
    "calibration, temperature": "stats/calibration.py",
    "checkpoint (what a state holds)": "training/checkpoint.py",
    "checkpoint (when it is saved)": "training/checkpointer.py",
    "class weights, balanced sampling": "training/loss.py",
    "confidence interval of a share": "stats/intervals.py",
    "control characters in names": "printable.py",
    "costs of mistakes": "stats/costs.py",
    "counts and shares of classes (label shift)": "stats/class_shares.py",
    "cross-validation": "training/crossval.py",
    "decoding, EXIF orientation": "data/decode.py",
    "default recipe": "recipe/defaults.py",
    "distributed training, DDP, ranks": "training/distributed.py",
    "EMA, WiSE-FT, weight averaging": "training/weight_averaging.py",
    "errors": "errors.py",
    "expected calibration error, Brier score": "stats/metrics.py",
    "fork, spawn": "model/forks.py",
    "folds, stratified and grouped": "data/folds.py",
    "fonts of a PDF": "reporting/fonts.py",
    "frozen features": "training/frozen_features.py",
    "Grad-CAM, saliency": "ensemble/saliency.py",
    "browser, page that classifies offline": "exporting/web_page.py",
    "KServe, Open Inference Protocol (V2)": "serving/inference_protocol.py",
    "LiteRT, TensorFlow Lite, phones": "exporting/litert.py",
    "Triton model repository": "exporting/triton.py",
    "Core ML, iPhones": "exporting/coreml.py",
    "ExecuTorch": "exporting/executorch_file.py",
    "MLflow model": "exporting/mlflow_model.py",
    "model card": "reporting/model_card.py",
    "Hugging Face hub, a run there": "storage/hub.py",
    "HTTP service": "serving/application.py",
    "int8, ONNX, OpenVINO": "exporting/formats.py",
    "JSON document of a verb (--json)": "cli/documents.py",
    "JSON Schema of recipes": "recipe/schema.py",
    "label errors": "stats/label_issues.py",
    "learning-rate schedule": "training/schedule.py",
    "linear discriminant head (LDA)": "training/lda_head.py",
    "foundation models (CLIP, DINO, SigLIP), the hub": "model/towers.py",
    "self-training, pseudo-labels, unlabeled images": "training/self_training.py",
    "logistic regression, nearest class mean": "training/head_choice.py",
    "LoRA, adapters, peft": "model/lora.py",
    "loss, focal loss, label smoothing": "training/loss.py",
    "MLflow, W&B, Trackio, TensorBoard": "training/tracking/start.py",
    "McNemar's test, paired differences": "stats/paired.py",
    "metrics (accuracy, F1)": "stats/metrics.py",
    "MixUp, CutMix": "data/mixing.py",
    "NaN loss": "training/non_finite.py",
    "near duplicates": "data/near_duplicates/proof.py",
    "options of a recipe": "recipe/sections.py",
    "out of memory": "training/out_of_memory.py",
    "out-of-distribution": "stats/ood.py",
    "out-of-fold logits": "run/oof.py",
    "prediction of a folder": "ensemble/predictions.py",
    "prediction sets, conformal": "stats/calibration.py",
    "pickle, joblib": "ensemble/reloading.py",
    "prefetching, batches": "data/loader.py",
    "preprocessing, normalization": "model/classifier.py",
    "quarantine, manifest": "data/manifest.py",
    "promise of a class's precision": "stats/class_promises.py",
    "random seeds": "rng.py",
    "Ray": "cluster/folds.py",
    "report": "reporting/report.py",
    "resume, interruption": "training/fold.py",
    "run directory, names of its files": "run/layout.py",
    "S3, stores": "storage/files.py",
    "SIGTERM, Ctrl-C": "signals.py",
    "test-time augmentation": "model/tta.py",
    "threads, infer requests": "model/infer_requests.py",
    "training loop": "training/loop.py",
    "WebDataset shards": "storage/shards.py",
}


def first_line(module: Path) -> str:
    """Read the first line of a module's docstring, joined where it goes over two lines."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def as_markdown() -> str:
    """Compose the page."""
    lines = [
        "# Where things are",
        "",
        "Written by `make map` from the first lines of the modules; a test keeps it current. Paths "
        "start from `src/bestiary/`.",
        "",
        "## Looking for",
        "",
        "| word | module |",
        "|---|---|",
    ]
    for word, module in sorted(INDEX.items(), key=lambda entry: entry[0].lower()):
        lines.append(f"| {word} | `{module}` |")
    lines += ["", "## Modules", ""]
    modules = sorted(PACKAGE.rglob("*.py"), key=lambda file: file.relative_to(PACKAGE).parts)
    folder: Path | None = None
    for module in modules:
        name = module.relative_to(PACKAGE)
        if module.parent != folder:
            folder = module.parent
            title = name.parent.as_posix() if name.parent.parts else "bestiary"
            lines += ["", f"### `{title}`", ""]
        if module.name == "__init__.py" and name.parent.parts:
            lines += [first_line(module), ""]
        elif module.name != "__init__.py":
            lines.append(f"- `{module.name}`: {first_line(module)}")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    (DOCS / "map.md").write_text(as_markdown(), encoding="utf-8")
