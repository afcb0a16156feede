"""What no JSON schema can say: that bytes are a picture. Loaded by schemathesis, see test_openapi.py."""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

PICTURE = st.just(Path(os.environ["PICTURE"]).read_bytes())

for kind in ("jpeg", "png", "webp", "bmp", "tiff", "gif"):
    schemathesis.openapi.media_type(f"image/{kind}", PICTURE)
schemathesis.openapi.format("binary", PICTURE)
