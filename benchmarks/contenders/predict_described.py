"""The course report's test loop: image by image, five float32 networks, Pillow.

An image is decoded once and preprocessed for each network; the logits are averaged.
"""

import csv
from itertools import cycle
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms

from bestiary.model.classifier import load_member
from harness.paired import Worker


def main() -> None:
    worker = Worker()
    job = worker.job
    members = [
        load_member(file) for file in sorted(Path(job["run"]).glob("fold-*/weights.safetensors"))
    ]
    networks = [member.network.eval() for member in members]
    views = [
        transforms.Compose(
            [
                transforms.Resize((job["size"], job["size"])),
                transforms.ToTensor(),
                transforms.Normalize(member.mean.flatten().tolist(), member.std.flatten().tolist()),
            ]
        )
        for member in members
    ]
    classes = job["classes"]

    @torch.no_grad()
    def predict(folder: str) -> int:
        rows = []
        for file in sorted(Path(folder).rglob("*.jpg")):
            image = Image.open(file).convert("RGB")
            logits = sum(
                network(view(image).unsqueeze(0))
                for network, view in zip(networks, views, strict=True)
            )
            rows.append((str(file.relative_to(folder)), classes[int(logits.argmax())]))
        with (Path(job["scratch"]) / f"{Path(folder).name}-described.csv").open(
            "w", newline=""
        ) as out:
            csv.writer(out).writerows([("path", "label"), *rows])
        return len(rows)

    warm, *folders = job["folders"]
    # A disturbed turn is repeated with the next folder, so there may be more turns than folders.
    turns = cycle(folders)
    worker.serve(lambda limit: predict(warm if limit else next(turns)), members=len(members))


if __name__ == "__main__":
    main()
