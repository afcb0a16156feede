"""Choices that several modules share, each defined once: precision, engine, formats.

The recipe, the command line and the code that acts on a choice import its type from here. Knows
nothing of what the choices do.
"""

from typing import Literal

Augment = Literal["none", "randaugment", "trivialaugment"]
Average = Literal["logits", "probabilities", "vote"]
Coverage = Literal["0.8", "0.9", "0.95", "0.99"]  # coverages that prediction sets are offered for
Engine = Literal["auto", "openvino", "torch"]
ExportFormat = Literal[
    "onnx", "openvino", "torch", "litert", "executorch", "coreml", "web", "triton", "mlflow"
]
Head = Literal["random", "lda", "auto"]
HeadKind = Literal["lda", "nearest_mean", "logistic"]
FoldBy = Literal["image", "site"]
FolderLayout = Literal["class", "split/class", "class/split", "part/class"]
Interpolation = Literal["bilinear", "bicubic"]
Layout = Literal["auto", FolderLayout]
LowPrecision = Literal["int8", "float16"]
Precision = Literal["bf16", "fp16", "float32"]
PrecisionOption = Literal["auto", Precision]
ReportFormat = Literal["html", "md", "pdf", "card"]
Resize = Literal["squash", "crop"]
Risk = Literal["0.01", "0.02", "0.05", "0.1"]  # shares of errors of accepted answers
Sampler = Literal["shuffled", "balanced"]
Sets = Literal["all", "class"]
StoreFormat = Literal["raw", "jpeg"]
TableFormat = Literal["full", "submission"]
TtaViews = Literal[1, 2, 5]
