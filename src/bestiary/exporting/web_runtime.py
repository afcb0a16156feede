"""The npm package onnxruntime-web -> the files of it that a page needs, checked by their digest.

The package is fetched once, when a page is built, and stays in the user's cache folder. A page
fetches nothing. The notices come with the Python package of the same runtime, since the npm package
has none.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bestiary.caches import cache_root
from bestiary.display import Display
from bestiary.errors import BestiaryError, one_line
from bestiary.regular_files import read_regular

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
# As the registry states it for this version; a package with other bytes is not taken.
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
MAX_PACKAGE_BYTES = 64_000_000
FETCH_SECONDS = 600
SCRIPT = "package/dist/ort.wasm.bundle.min.mjs"
WASM = "package/dist/ort-wasm-simd-threaded.wasm"


@dataclass(frozen=True, slots=True)
class WebRuntime:
    """What a page needs to run networks.

    Attributes:
        script: JavaScript, a module.
        wasm: WebAssembly.
        notices: name of a file -> the license, or the notices of third parties.
    """

    script: str
    wasm: bytes
    notices: dict[str, str]


def read_web_runtime(display: Display) -> WebRuntime:
    """Read the runtime from the cache folder; where it is not there, npm fetches it first.

    Args:
        display: says what is fetched.

    Raises:
        BestiaryError: it is not there and npm cannot fetch it; the line says where to put it.
    """
    archive = cache_root() / "npm" / f"{PACKAGE}-{VERSION}.tgz"
    if not _is_intact(archive):
        _fetch(archive, display)
    members = {}
    with tarfile.open(archive) as package:
        for name in (SCRIPT, WASM):
            member = package.extractfile(name)
            assert member is not None  # the digest is right, so the package has its files
            members[name] = member.read()
    notices = {
        "onnxruntime.txt": (files("onnxruntime") / "LICENSE").read_text("utf-8"),
        "third-party.txt": (files("onnxruntime") / "ThirdPartyNotices.txt").read_text("utf-8"),
    }
    return WebRuntime(members[SCRIPT].decode(), members[WASM], notices)


def _is_intact(archive: Path) -> bool:
    try:
        content = read_regular(archive, MAX_PACKAGE_BYTES)
    except OSError:
        return False
    return base64.b64encode(hashlib.sha512(content).digest()).decode() == SHA512


def _fetch(archive: Path, display: Display) -> None:
    """Fetch the package with npm and put it into its place, if it is the right one."""
    npm = shutil.which("npm")
    if npm is None:
        raise _unavailable(archive, "npm is not installed")
    display.notice(f"Fetching {PACKAGE} {VERSION} by npm, once: 33 MB, license MIT")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        try:
            subprocess.run(
                command, cwd=folder, check=True, capture_output=True, text=True,
                timeout=FETCH_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            raise _unavailable(archive, f"npm: {one_line(Exception(said), 80)}") from None
        packed = Path(folder) / archive.name
        if not _is_intact(packed):
            raise _unavailable(archive, "npm has fetched other bytes than those of this version")
        os.replace(packed, archive)


def _unavailable(archive: Path, reason: str) -> BestiaryError:
    return BestiaryError(
        f"--format web: {PACKAGE} {VERSION} is not here and cannot be fetched ({reason}); put the "
        f"{archive.name} that `npm pack {PACKAGE}@{VERSION}` makes elsewhere into {archive.parent}"
    )
