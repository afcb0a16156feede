"""Predict images with a LiteRT file, as phones do (pip install ai-edge-litert pillow numpy):
python predict_litert.py model.tflite image.jpg ..."""

import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

card = json.loads(zipfile.ZipFile(sys.argv[1]).read("bestiary.json"))
run = Interpreter(sys.argv[1]).get_signature_runner("serving_default")
view = card["input"]
limits = card["thresholds"]

for file in sys.argv[2:]:
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if view["resize"] == "crop":
        side = round(min(image.size) * view["crop"])
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    enlarge = view["enlarge"] if min(image.size) < view["size"] else "bilinear"
    image = image.resize((view["size"],) * 2, Image.Resampling[enlarge.upper()])
    outputs = run(pixels=np.asarray(image, np.uint8)[None])
    probabilities = outputs["probabilities"][0]
    inside = 1 - probabilities <= limits["prediction_sets"]["0.9"]
    verdict = "|".join(np.array(card["classes"])[inside])
    if limits["unknown"] is not None and outputs["energy"][0] > limits["unknown"]:
        verdict = "unknown"
    elif probabilities.max() >= limits["accepted"]["0.05"]:
        verdict = "accepted"
    best = probabilities.argmax()
    print(file, card["classes"][best], f"{probabilities[best]:.4f}", verdict, sep="\t")
