"""Peak memory of decoding one image of each pixel type, in bytes a pixel.

Each image is decoded in a process of its own. `bestiary.data.image_limits.BYTES_PER_PIXEL` must be
at least that.

    python benchmarks/reliability/decode_memory.py [--megapixels 24]
"""

import argparse
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from bestiary.data.decode import decode
from bestiary.data.image_limits import decoder_bytes

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "decode-memory": {
        "statement": "Decoding an image takes no more memory than its bound",
        "unit": "of the bound",
        "bar": ("most", 1.0, "the bounds decide how many images are decoded at once"),
        "watches": (
            "src/bestiary/data/decode.py",
            "src/bestiary/data/image_limits.py",
        ),
    },
}
COMMANDS = ("",)


CHILD = """
import re, sys
from pathlib import Path
from bestiary.data.decode import decode

def resident(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

content = sys.stdin.buffer.read()
Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
before = resident("VmRSS")
decode(content)
print(resident("VmHWM") - before)
"""


def by_pillow(mode: str, kind: str, **options: object) -> Callable[[int], bytes]:
    def encode(side: int) -> bytes:
        value = {"F": 0.5, "I;16": 30_000}.get(mode, 0 if len(mode) == 1 else (90,) * len(mode))
        if mode == "CMYK":
            value = (9, 9, 9, 9)
        image = Image.new(mode, (side, side), value)
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return encode


def by_opencv(channels: int, kind: str, dtype: type = np.uint16) -> Callable[[int], bytes]:
    def encode(side: int) -> bytes:
        values = np.full((side, side, channels), 9, dtype)
        return cv2.imencode(kind, values)[1].tobytes()

    return encode


def heif(side: int) -> bytes:
    from pillow_heif import from_pillow

    buffer = io.BytesIO()
    from_pillow(Image.new("RGB", (side, side), (90, 80, 70))).save(buffer, quality=50)
    return buffer.getvalue()


ENCODERS: dict[str, Callable[[int], bytes]] = {
    "JPEG": by_pillow("RGB", "JPEG"),
    "JPEG progressive": by_pillow("RGB", "JPEG", progressive=True),
    "JPEG CMYK": by_pillow("CMYK", "JPEG"),
    "PNG gray": by_pillow("L", "PNG"),
    "PNG RGB": by_pillow("RGB", "PNG"),
    "PNG RGBA": by_pillow("RGBA", "PNG"),
    "PNG palette": by_pillow("P", "PNG"),
    "PNG 16-bit gray": by_pillow("I;16", "PNG"),
    "PNG 16-bit RGB": by_opencv(3, ".png"),
    "PNG 16-bit RGBA": by_opencv(4, ".png"),
    "TIFF RGB": by_pillow("RGB", "TIFF", compression="tiff_lzw"),
    "TIFF CMYK": by_pillow("CMYK", "TIFF", compression="tiff_lzw"),
    "TIFF 16-bit gray": by_pillow("I;16", "TIFF", compression="tiff_lzw"),
    "TIFF float": by_pillow("F", "TIFF", compression="tiff_lzw"),
    "TIFF 16-bit RGB": by_opencv(3, ".tiff"),
    "WebP RGB": by_pillow("RGB", "WEBP"),
    "WebP RGBA": by_pillow("RGBA", "WEBP", lossless=True),
    "GIF": by_pillow("P", "GIF"),
    "BMP": by_pillow("RGB", "BMP"),
    "AVIF": by_pillow("RGB", "AVIF", speed=10),
    "HEIF": heif,
    "JPEG2000": by_pillow("RGB", "JPEG2000"),
    "PPM": by_pillow("RGB", "PPM"),
}


def peak(content: bytes) -> int:
    """Bytes that decoding an image adds to a process at its peak; Linux only."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=content, capture_output=True, check=True
    )
    return int(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=24)
    args = parser.parse_args()
    side = int((args.megapixels * 1e6) ** 0.5)
    print(f"{'pixel type':20} {'measured':>9} {'bound':>6}  bytes a pixel, at {side} x {side}")
    shares, bytes_a_pixel = {}, {}
    for name, encode in ENCODERS.items():
        content = encode(min(side, 16_000))
        extra = peak(content)
        kind = name.split()[0].upper()
        bound = decoder_bytes(kind, 1, is_deep=name.startswith("PNG 16-bit RGB"))
        measured = extra / side**2
        shares[name] = measured / bound
        bytes_a_pixel[name] = measured
        over = "  OVER" if measured > bound else ""
        print(f"{name:20} {measured:9.1f} {bound:6.1f}{over}", flush=True)
        assert decode(encode(64)).shape == (64, 64, 3)
    details = {"bytes a pixel": bytes_a_pixel}
    record("decode-memory", shares, len(shares), "pixel types", details=details)


if __name__ == "__main__":
    recording(main, __file__)
