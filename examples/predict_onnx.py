"""Predict images with a file that `bestiary export` wrote, without bestiary: pip install
onnxruntime pillow.

python predict_onnx.py model.onnx image.jpg ...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
card = json.loads(session.get_modelmeta().custom_metadata_map["bestiary"])
wanted, limits, size = card["input"], card["thresholds"], card["input"]["size"]


def read(file: str) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if wanted["resize"] == "crop":
        side = round(min(image.size) * wanted["crop"])
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    cubic = wanted["enlarge"] == "bicubic" and min(image.size) < size
    return np.asarray(
        image.resize((size, size), Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR)
    )


pixels = np.stack([read(file) for file in sys.argv[2:]])
probabilities, energy = session.run(["probabilities", "energy"], {wanted["name"]: pixels})
for file, row, strangeness in zip(sys.argv[2:], probabilities, energy, strict=True):
    unknown = limits["unknown"] is not None and strangeness > limits["unknown"]
    among = [
        name
        for name, p in zip(card["classes"], row, strict=True)
        if 1 - p <= limits["prediction_sets"]["0.9"]
    ]
    sure = row.max() >= limits["accepted"]["0.05"] and not unknown
    label = card["classes"][row.argmax()]
    print(
        f"{file}\t{label}\t{row.max():.4f}\t{'unknown' if unknown else 'sure' if sure else '|'.join(among)}"
    )
