"""Hooks for schemathesis: image bytes, which no JSON schema can describe. See test_openapi.py."""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

IMAGE = st.just(Path(os.environ["IMAGE"]).read_bytes())

for kind in ("jpeg", "png", "webp", "bmp", "tiff", "gif"):
    schemathesis.openapi.media_type(f"image/{kind}", IMAGE)
schemathesis.openapi.format("binary", IMAGE)
