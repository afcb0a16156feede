"""Stages that ask how fast prediction is: a folder, the loader alone, `probe`, and the service."""

import hashlib
import http.client
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gpu.checks import trained_run
from gpu.images import HEIGHT, WIDTH, large_set
from gpu.kit import Kit, device, median_seconds, n_cores

BOUNDARY = "bestiary-benchmark"


def predict(kit: Kit) -> None:
    """The members predict a folder: against a loop image by image, and the CPU's answers."""
    import numpy as np

    import bestiary
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.predictions import PredictJob, predict_folder

    run = trained_run(kit)
    files = sorted((large_set(kit) / "train").rglob("*.jpg"))
    folder = kit.work / "to-predict"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, file in enumerate(files[: 16 if kit.tiny else 1920]):
        (folder / f"{number:05d}.jpg").symlink_to(file)

    started = time.perf_counter()
    ensemble = bestiary.load(run)
    seconds = time.perf_counter() - started
    kit.say("load", seconds=round(seconds, 2), engine=ensemble.engine, tta=ensemble.tta)
    table = kit.work / "speed.csv"
    for turn in range(2):
        table.unlink(missing_ok=True)
        started = time.perf_counter()
        counts = predict_folder(ensemble, PredictJob((folder,), table), Display(quiet=True)).counts
        seconds = time.perf_counter() - started
        kit.say("bestiary", turn=turn, images_per_second=round(counts.rows / seconds, 1))
    _time_ceiling(kit, ensemble)
    _time_described_loop(kit, ensemble, files[: 4 if kit.tiny else 120])

    part = files[: 8 if kit.tiny else 64]
    ours = ensemble.predict_proba(part)
    theirs = Ensemble.load(run, device="cpu", engine="torch").predict_proba(part)
    same = int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())
    largest = float(np.abs(ours - theirs).max())
    kit.say("agreement_with_cpu", same=same, of=len(part), largest_difference=largest)


def _time_described_loop(kit: Kit, ensemble: Any, files: list[Path]) -> None:
    """The course report's test: image by image, one network after the other, float32."""
    import torch
    from PIL import Image
    from torchvision import transforms

    side = ensemble.view.size
    view = transforms.Compose([transforms.Resize((side, side)), transforms.PILToTensor()])
    started = time.perf_counter()
    with torch.inference_mode():
        for file in files:
            pixels = view(Image.open(file).convert("RGB")).permute(1, 2, 0)[None].to(device())
            logits = [member(member.preprocess(pixels)) for member in ensemble.members]
            sum(logits).argmax().item()
    seconds = time.perf_counter() - started
    kit.say("described_loop", images_per_second=round(len(files) / seconds, 1))


def _time_ceiling(kit: Kit, ensemble: Any) -> None:
    """The members and their views on images that lie on the device: what prediction could reach."""
    import torch

    where = device()
    count = 8 if kit.tiny else 256
    side = ensemble.view.size
    images = torch.rand(count, 3, side, side, device=where)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast(where.type, dtype=torch.bfloat16):
        seconds = median_seconds(lambda: ensemble.members[0](images), 2 if kit.tiny else 10)
    forwards = len(ensemble.members) * ensemble.tta
    kit.say("ceiling", images_per_second=round(count / seconds / forwards, 1), forwards=forwards)


def loader(kit: Kit) -> None:
    """What the loading threads make while no network computes, from JPEG and from the store."""
    import numpy as np

    from bestiary.data.loader import LoaderThreads, load_batches, split_batches, train_views
    from bestiary.data.store import ImageStore, load_shrunk
    from bestiary.data.views import TrainView

    files = sorted((large_set(kit) / "train").rglob("*.jpg"))
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    side = round(1.5 * kit.size)
    sizes = [(HEIGHT, WIDTH)] * len(files)
    store = ImageStore(kit.work / "store", side)
    started = time.perf_counter()
    store.fill(list(zip(digests, files, strict=True)), sizes, int(50e9))
    seconds = time.perf_counter() - started
    kit.say("fill_store", images_per_second=round(len(files) / seconds, 1))

    view = TrainView(kit.size, 0.5, 15.0, (0.08, 1.0), (0.75, 4 / 3))
    sources: dict[str, Callable[[int], Any]] = {
        "jpeg": lambda row: load_shrunk(files[row], digests[row], side),
        "store": lambda row: store.get(digests[row]),
    }
    batches = split_batches(np.arange(len(files)), kit.batch)
    counts = {1, 2} if kit.tiny else {1, 4, 8, min(16, n_cores() - 1)}
    for source, pixels_of in sources.items():
        view_of = train_views(pixels_of, view, 0, 0, 0)
        for n_threads in sorted(counts):
            done = 0
            started = time.perf_counter()
            for batch in load_batches(batches, view_of, LoaderThreads(n_threads, prefetch=True)):
                done += len(batch.rows)
            speed = done / (time.perf_counter() - started)
            kit.say("loader", source=source, threads=n_threads, images_per_second=round(speed, 1))
    store.close()


def probe(kit: Kit) -> None:
    """`probe` on the larger set: with an empty cache, then with a filled one."""
    data = large_set(kit)
    tiny = ["--set", "view.size=64", "folds.n=2"] if kit.tiny else []
    for turn in ("cold", "warm"):
        run = kit.work / "probe-large"
        shutil.rmtree(run, ignore_errors=True)
        done = kit.cli("probe", data, run, *tiny, name=f"probe_{turn}")
        kit.say("probe", turn=turn, images_per_second=round(kit.n_images / done.seconds, 1))


def serve(kit: Kit) -> None:
    """Clients with one request under way each; then requests of many images."""
    files = sorted((large_set(kit) / "train").rglob("*.jpg"))
    bodies = [file.read_bytes() for file in files[:64]]
    command = [sys.executable, "-m", "bestiary", "serve", str(trained_run(kit)), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        port = _port_of(process)
        for clients in (2,) if kit.tiny else (1, 16, 64):
            _time_clients(kit, port, bodies, clients)
        _time_large_requests(kit, port, bodies[: 4 if kit.tiny else 32])
    finally:
        process.terminate()
        kit.say("serve_ended", status=process.wait(30))


def _port_of(process: "subprocess.Popen[str]") -> int:
    """Wait for the line that names the address, and let the others be read."""
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r" at http://[^/]*:(\d+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return int(found[1])
    raise SystemExit(f"serve ended with status {process.wait()}")


def _ask(connection: http.client.HTTPConnection, body: bytes, kind: str) -> tuple[int, float]:
    """Send a request; give its status, and the seconds until the answer."""
    started = time.perf_counter()
    connection.request("POST", "/v1/predict", body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status, time.perf_counter() - started


def _time_clients(kit: Kit, port: int, bodies: list[bytes], clients: int) -> None:
    end = time.perf_counter() + (1 if kit.tiny else 6)
    answers: list[tuple[int, float]] = []

    def ask_on(number: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            while time.perf_counter() < end:
                answers.append(_ask(connection, bodies[number % len(bodies)], "image/jpeg"))
                number += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=ask_on, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    speed = len(answers) / (time.perf_counter() - started)
    milliseconds = sorted(1e3 * seconds for _, seconds in answers)
    kit.say(
        "serve",
        clients=clients,
        answers_per_second=round(speed, 1),
        failed=sum(status != 200 for status, _ in answers),
        p50_ms=round(milliseconds[len(milliseconds) // 2], 1),
        p99_ms=round(milliseconds[len(milliseconds) * 99 // 100], 1),
    )


def _time_large_requests(kit: Kit, port: int, bodies: list[bytes]) -> None:
    head = 'Content-Disposition: form-data; name="images"; filename="x.jpg"\r\n'
    part = f"--{BOUNDARY}\r\n{head}Content-Type: image/jpeg\r\n\r\n".encode()
    whole = b"".join(part + body + b"\r\n" for body in bodies) + f"--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        answers = [_ask(connection, whole, kind) for _ in range(6)]
    seconds = statistics.median(taken for _, taken in answers[1:])
    status, _ = answers[-1]
    kit.say("serve_many", images=len(bodies), status=status, milliseconds=round(1e3 * seconds, 1))
