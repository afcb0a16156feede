"""Claim: clients that misuse a service get the right status, and others are still answered.

Against `bestiary serve`: clients killed while they send and while they wait, clients that send
headers or a body very slowly, a gigabyte of headers, bodies of 200 MB with and without their
length, decompression bombs, images of every pixel type at the limit of pixels and 16 at once, wrong
types, thousands of random and mutated bodies, and more requests than the queue holds. After each,
the service must answer a good image within a minute, asked again where it says to come again. At
the end it must stop by SIGTERM with status 0. Its memory is printed, with its peak in each part
(Linux).

    python benchmarks/reliability/serve_abuse.py [--run FOLDER] [--bodies 10000] [--seed 0]
"""

import argparse
import http.client
import json
import math
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.rng import keyed_rng

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.paired import machine
from harness.record import record, recording
from reliability.decode_memory import ENCODERS

CLAIMS = {
    "serve-abuse": {
        "statement": "After every abuse a service answers a good image within a minute",
        "unit": "of the good images answered",
        "bar": ("least", 1.0, "one client must not harm others"),
        "watches": ("src/bestiary/serving/*.py",),
    },
    "serve-abuse-memory": {
        "statement": "Abuse does not make a service's memory grow without bound",
        "unit": "GB at most",
        "watches": (
            "src/bestiary/serving/*.py",
            "src/bestiary/data/image_limits.py",
        ),
    },
}
COMMANDS = ("",)


HEAD = (
    "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
)

PATIENCE = 60  # seconds in which a good image must be answered
SIDE_AT_LIMIT = 8_000  # pixels; the service takes 64 million
MAX_BODY = 20_000_000  # bytes that the service takes


class Service:
    """`bestiary serve` as a process of its own, with a short timeout and a small queue."""

    def __init__(self, run: Path) -> None:
        options = ["--port", "0", "--timeout", "5", "--queue", "48", "--no-similar"]
        command = [sys.executable, "-m", "bestiary", "serve", str(run), *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        self.port = next(
            int(x.split("127.0.0.1:")[1].split("/")[0])
            for x in self.process.stderr
            if "127.0.0.1:" in x
        )

    def ask(
        self, body: Any, kind: str = "image/jpeg", path: str = "/v1/predict", **options: Any
    ) -> int:
        """The status of an answer; its body must be JSON, and a 503 must have Retry-After."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", path, body, {"Content-Type": kind}, **options)
            answer = connection.getresponse()
            json.loads(answer.read())
            assert answer.status != 503 or answer.headers["Retry-After"]
            return answer.status
        finally:
            connection.close()

    def seconds_to_good(self, image: bytes) -> float:
        """Seconds until a good image is answered, asked again where the service says so."""
        began = time.perf_counter()
        while time.perf_counter() - began < PATIENCE:
            if self.ask(image) == 200:
                return time.perf_counter() - began
            time.sleep(1)  # what Retry-After says
        return math.inf

    def open(self, head: bytes) -> socket.socket:
        """A connection on which `head` has been sent."""
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        opened.sendall(head)
        return opened

    def memory(self) -> float:
        """Resident memory in MB."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(
            float(x.split()[1]) / 1e6
            for x in lines
            if x.startswith("process_resident_memory_bytes ")
        )

    def forget_peak(self) -> None:
        """Start to measure the peak of memory again."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """Peak of resident memory in MB since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def reset(service: Service, image: bytes) -> Counter[str]:
    """Clients that reset the connection while they send, and before the answer."""
    head = HEAD.format(kind="image/jpeg", length=len(image)).encode()
    for number in range(200):
        opened = service.open(head + image[: len(image) // 2 if number % 2 else len(image)])
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        opened.close()
    return Counter({"left": 200})


def slow_bytes(service: Service, image: bytes) -> Counter[str]:
    """Clients that send a byte now and then, of the body and of the headers.

    Counts how each ends, and after how long.
    """
    outcomes: Counter[str] = Counter()
    request = HEAD.format(kind="image/jpeg", length=len(image)).encode() + image
    for part, start in (("body", len(request) - len(image) + 10), ("headers", 20)):
        opened = service.open(request[:start])
        began = time.perf_counter()
        sent = start
        opened.settimeout(0.2)
        answer = None
        while answer is None:
            try:
                opened.sendall(request[sent : sent + 1])
                sent += 1
                answer = opened.recv(99_999)
            except TimeoutError:
                continue
            except OSError:
                answer = b""
        status = answer[9:12].decode() or "closed"
        outcomes[f"{part}: {status} after {time.perf_counter() - began:.0f} s"] += 1
        opened.close()
    return outcomes


def endless_headers(service: Service, _: bytes) -> Counter[str]:
    """A gigabyte of header lines on one connection, until the service closes it."""
    opened = service.open(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n")
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1_000) for number in range(1_000))
    sent = 0
    try:
        while sent < 1e9:
            opened.sendall(lines)
            sent += len(lines)
        outcome = "took it all"
    except OSError:
        outcome = "closed"
    opened.close()
    return Counter({f"{outcome} after {sent / 1e6:.0f} MB": 1})


def large_bodies(service: Service, _: bytes) -> Counter[str]:
    """Bodies of 200 MB, with their length and in chunks without it."""
    chunk = bytes(1_000_000)
    pieces: list[Any] = [bytes(200_000_000), (chunk for _ in range(200))]
    return Counter(
        str(service.ask(piece, encode_chunked=number == 1)) for number, piece in enumerate(pieces)
    )


def decompression_bombs(service: Service, _: bytes) -> Counter[str]:
    """Images that claim, or hold, far more pixels than their bytes."""
    outcomes: Counter[str] = Counter()
    for name, content in _bombs():
        outcomes[f"{name}: {service.ask(content, 'image/png')}"] += 1
    return outcomes


def _bombs() -> Iterator[tuple[str, bytes]]:
    def png(width: int, height: int, rows: bytes) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

        header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", rows)
            + chunk(b"IEND", b"")
        )

    yield "PNG of 30,000 x 30,000 zeros", png(30_000, 30_000, zlib.compress(bytes(900_030_000), 9))
    yield "PNG of 8,100 x 8,100 zeros", png(8_100, 8_100, zlib.compress(bytes(8_101 * 8_100), 9))
    yield "PNG that claims 2,147,483,647 x 1", png(2**31 - 1, 1, b"")
    file = BytesIO()
    Image.new("L", (16_000, 16_000)).save(file, "GIF")
    yield "GIF of 16,000 x 16,000", file.getvalue()
    file = BytesIO()
    Image.new("1", (60_000, 60_000)).save(file, "TIFF", compression="group4")
    yield "TIFF of 60,000 x 60,000", file.getvalue()
    file = BytesIO()
    Image.new("RGB", (7_900, 7_900)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    yield (
        "JPEG of 7,900 x 7,900 with 5,000 scans",
        content[:-2] + content[last:-2][:2_000] * 5_000 + b"\xff\xd9",
    )


def images_at_the_limit(service: Service, _: bytes) -> Counter[str]:
    """Images of each pixel type, as large as the service takes, 16 at once.

    Those whose files are larger than a body may be are left out; `large_bodies` sends such bodies.
    """
    outcomes: Counter[str] = Counter()
    for name, encode in ENCODERS.items():
        content = encode(SIDE_AT_LIMIT)
        if len(content) > MAX_BODY:
            continue
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(service.ask, [content] * 16))
        outcomes += Counter(f"{name}: {status}" for status in answers)
    return outcomes


def wrong_types(service: Service, image: bytes) -> Counter[str]:
    """Content types that are not images."""
    kinds = [
        "text/html",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "video/mp4",
    ]
    outcomes = Counter(f"{kind}: {service.ask(image, kind)}" for kind in kinds)
    outcomes += Counter(
        f"a PDF as image/jpeg: {service.ask(b'%PDF-1.7' + image)}" for _ in range(1)
    )
    return outcomes


def random_bodies(service: Service, image: bytes, bodies: int, seed: int) -> Counter[str]:
    """Random and mutated bodies, eight at a time."""
    draw = keyed_rng(seed, "abuse")
    heads = [
        b"",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"II*\x00",
        b"BM",
    ]
    form = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
        + image
        + b"\r\n--b--\r\n"
    )
    kinds = ["image/jpeg", "application/octet-stream", "multipart/form-data; boundary=b"]

    def body(number: int) -> tuple[bytes, str]:
        if number % 2:
            return heads[number % len(heads)] + draw.bytes(int(draw.integers(3_000))), kinds[
                int(draw.integers(3))
            ]
        content = np.frombuffer(form if number % 4 else image, np.uint8).copy()
        places = draw.integers(0, len(content), 1 + number % 7)
        content[places] = draw.integers(0, 256, len(places))
        return content[: int(draw.integers(1, len(content) + 1))].tobytes(), kinds[
            2 if number % 4 else 0
        ]

    drawn = [body(number) for number in range(bodies)]
    with ThreadPoolExecutor(8) as clients:
        return Counter(str(status) for status in clients.map(lambda one: service.ask(*one), drawn))


def full_queue(service: Service, image: bytes) -> Counter[str]:
    """Four hundred requests at once for a queue of 48."""
    with ThreadPoolExecutor(400) as clients:
        return Counter(
            str(status) for status in clients.map(lambda _: service.ask(image), range(400))
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as ends:
        draw_sample(Path(scratch) / "beasts", species=4, per_species=10, size=160)
        run = (
            args.run
            or bestiary.probe(Path(scratch) / "beasts", Path(scratch) / "run", quiet=True).path
        )
        image = sorted((Path(scratch) / "beasts").rglob("*.jpg"))[0].read_bytes()
        service = Service(run)
        ends.callback(service.process.kill)  # where an abuse fails; one that has ended is let be
        first = service.memory()
        print(f"memory at first: {first:.0f} MB")
        waits, peaks = {}, {}
        for abuse in (
            reset,
            slow_bytes,
            large_bodies,
            endless_headers,
            decompression_bombs,
            images_at_the_limit,
            wrong_types,
            full_queue,
        ):
            service.forget_peak()
            outcomes = abuse(service, image)
            name = abuse.__name__.replace("_", " ")
            waits[name] = service.seconds_to_good(image)
            peaks[name] = service.peak() / 1e3
            print(
                f"{abuse.__name__}: {dict(outcomes)}; then a good image in {waits[name]:.1f} s; "
                f"{service.memory():.0f} MB, at most {service.peak():.0f}",
                flush=True,
            )
        outcomes = random_bodies(service, image, args.bodies, args.seed)
        waits["random bodies"] = service.seconds_to_good(image)
        end = service.memory()
        print(
            f"random: {dict(outcomes)}; then a good image in {waits['random bodies']:.1f} s; "
            f"{end:.0f} MB"
        )
        service.process.send_signal(signal.SIGTERM)
        assert service.process.stderr
        output = service.process.stderr.read()
        status = service.process.wait()
        print(f"stopped with {status}; it said: {output.strip() or 'nothing'}")
    statuses = {"status at the end": status, "random bodies": dict(outcomes)}
    answered = {name: float(wait < math.inf) for name, wait in waits.items()}
    details = flat(statuses) | {
        "s until a good image was answered": {
            name: wait for name, wait in waits.items() if wait < math.inf
        }
    }
    record("serve-abuse", answered, len(answered), "abuses", details=details)
    details = {"MB": {"at first": first, "at the end": end}}
    record("serve-abuse-memory", peaks, len(peaks), "abuses", details=details)


def flat(statuses: dict[str, Any]) -> dict[str, Any]:
    """Counts of the statuses, as a result has them."""
    bodies = {f"answered {status}": count for status, count in statuses["random bodies"].items()}
    return {"exit status": statuses["status at the end"], "random bodies": bodies}


if __name__ == "__main__":
    recording(main, __file__)
