"""Predict images without bestiary (pip install onnxruntime pillow):
python predict_onnx.py model.onnx image.jpg ..."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
card = json.loads(session.get_modelmeta().custom_metadata_map["bestiary"])
view = card["input"]
limits = card["thresholds"]


def read(file: str) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if view["resize"] == "crop":
        side = round(min(image.size) * view["crop"])
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    enlarge = view["enlarge"] if min(image.size) < view["size"] else "bilinear"
    return np.asarray(image.resize((view["size"],) * 2, Image.Resampling[enlarge.upper()]))


def verdict(probabilities: np.ndarray, energy: float) -> str:
    if limits["unknown"] is not None and energy > limits["unknown"]:
        return "unknown"
    if probabilities.max() >= limits["accepted"]["0.05"]:
        return "accepted"
    in_set = 1 - probabilities <= limits["prediction_sets"]["0.9"]
    return "|".join(np.array(card["classes"])[in_set])


files = sys.argv[2:]
inputs = {view["name"]: np.stack([read(file) for file in files])}
outputs = session.run(["probabilities", "energy"], inputs)
for file, row, energy in zip(files, *outputs, strict=True):
    print(file, card["classes"][row.argmax()], f"{row.max():.4f}", verdict(row, energy), sep="\t")
