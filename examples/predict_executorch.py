"""Predict images with an ExecuTorch file, as phones do (pip install executorch pillow):
python predict_executorch.py model.pte image.jpg ..."""

import json
import sys
import zipfile

import numpy as np
import torch
from executorch.runtime import Runtime
from PIL import Image, ImageOps

card = json.loads(zipfile.ZipFile(sys.argv[1]).read("bestiary.json"))
method = Runtime.get().load_program(sys.argv[1]).load_method("forward")
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
    probabilities, energy, logits = method.execute([torch.from_numpy(np.array(image)[None])])
    likely = probabilities[0].numpy()
    verdict = "|".join(np.array(card["classes"])[1 - likely <= limits["prediction_sets"]["0.9"]])
    if limits["unknown"] is not None and energy[0] > limits["unknown"]:
        verdict = "unknown"
    elif likely.max() >= limits["accepted"]["0.05"]:
        verdict = "accepted"
    best = likely.argmax()
    print(file, card["classes"][best], f"{likely[best]:.4f}", verdict, sep="\t")
