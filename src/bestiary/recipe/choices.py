"""Choices that several modules share, each defined once: precision, averaging rule, interpolation,
engine, resize, augmentation and test-time augmentation.

The recipe, the command line and the code that acts on a choice import its type from here. Knows
nothing of what the choices do.
"""

from typing import Literal

Augment = Literal["none", "randaugment", "trivialaugment"]
Average = Literal["logits", "probabilities", "vote"]
Engine = Literal["auto", "openvino", "torch"]
Interpolation = Literal["bilinear", "bicubic"]
Precision = Literal["bf16", "fp16", "float32"]
PrecisionOption = Literal["auto", Precision]
Resize = Literal["squash", "crop"]
TtaViews = Literal[1, 2, 5]
