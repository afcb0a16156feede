"""Graphs of networks, kept in the user's cache folder: converted (.xml, .bin) and compiled (.blob).

A graph is found by the digest of the weights that it was made of. It is not kept in the run: a run
from a stranger must not bring a graph that differs from its weights, and a run may be read-only.
Compiling takes longer than reading what was compiled, so a graph that is read a second time is kept
compiled too. Knows nothing of PyTorch and of how graphs are made.
"""

import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path
from bestiary.caches import cache_root, evict_least_recently_used, mark_used
from bestiary.errors import BestiaryError
from bestiary.model.openvino_runtime import (
    compile_graph,
    compiled_content,
    cpu_name,
    import_compiled,
    openvino_options,
)
from bestiary.recipe.choices import Precision

MAX_GRAPH_CACHE_BYTES = 4_000_000_000  # the least recently used graphs are removed first
COMPILED_SUFFIX = ".blob"
JOINT_FORMAT = 2  # raised when joint graphs of the same members come to compute otherwise


def cached_graph(weights: Path, size: int) -> Path:
    """Name the file that caches a member's graph.

    The file is not in the run. A run from a stranger must not bring a graph that differs from its
    weights, and a run may be read-only.

    Args:
        weights: file of the member.
        size: side of the views in pixels.

    Returns:
        The path of the .xml file in the cache folder.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _graph_file(digest[:32], size)


def cached_joint_graph(
    members: Sequence[str], outputs: int, size: int, precision: Precision
) -> Path:
    """Name the file that caches the joint graph of some members; see `cached_graph`.

    Args:
        members: digest of each member, verified against its tensors.
        outputs: of each member.
        size: side of the views in pixels.
        precision: in which the graph was compared with the networks.

    Returns:
        The path of the .xml file in the cache folder.
    """
    text = json.dumps([JOINT_FORMAT, *members, outputs, precision])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return _graph_file(f"joint-{digest[:32]}", size)


def _graph_file(name: str, size: int) -> Path:
    """Name a file of the cache. Another version of OpenVINO has files of its own."""
    version = importlib.metadata.version("openvino")
    return cache_root() / "graphs" / f"{name}-{size}-{version}.xml"


def read_graph(path: Path, precision: Precision, *, together: bool = False) -> Any:
    """Read a graph from the cache, as it was compiled before if it was.

    Args:
        path: of the .xml file.
        precision: of the arithmetic.
        together: for the most images a second rather than the shortest time of each request.

    Returns:
        OpenVINO's compiled model.

    Raises:
        RuntimeError: the graph is damaged.
    """
    blob = _compiled_file(path, precision, together)
    compiled = None
    with suppress(OSError, RuntimeError):  # it is compiled below
        compiled = import_compiled(blob, precision, together=together)
    if compiled is None:
        compiled = compile_graph(path, precision, together=together)
        _write_compiled(compiled, path, blob)
    mark_used(path)
    return compiled


def _compiled_file(path: Path, precision: Precision, together: bool) -> Path:
    """Name the file of a compiled graph, which fits one kind of CPU, and its options."""
    options = openvino_options(precision, together)
    kind = hashlib.sha256(f"{cpu_name()} {options}".encode()).hexdigest()
    return path.with_name(f"{path.stem}.{kind[:8]}{COMPILED_SUFFIX}")


def _write_compiled(compiled: Any, path: Path, blob: Path) -> None:
    content = compiled_content(compiled)
    with suppress(OSError, RuntimeError, BestiaryError):  # the next start compiles it again
        _make_room(path.parent, len(content), spared=path)
        with atomic_path(blob) as temporary:
            temporary.write_bytes(content)


def write_graph(graph: Any, path: Path) -> bool:
    """Write a graph, weights (.bin) first: the .xml is what later starts look for.

    Args:
        graph: OpenVINO's model.
        path: of the .xml file.

    Returns:
        Whether it could be written.
    """
    import openvino

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # OpenVINO names the .bin after the .xml, so it writes both into a temporary folder.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            xml = Path(folder) / "graph.xml"
            openvino.save_model(graph, xml, compress_to_fp16=False)
            _make_room(path.parent, xml.with_suffix(".bin").stat().st_size)
            for suffix in (".bin", ".xml"):
                with atomic_path(path.with_suffix(suffix)) as temporary:
                    os.replace(xml.with_suffix(suffix), temporary)
    except (OSError, RuntimeError, BestiaryError):
        return False  # without a cache, the next start takes some seconds more
    return True


def _make_room(folder: Path, n_bytes: int, spared: Path | None = None) -> None:
    graphs = [
        (xml, xml.with_suffix(".bin"), *folder.glob(f"{xml.stem}.*{COMPILED_SUFFIX}"))
        for xml in folder.glob("*.xml")
        if xml != spared
    ]
    evict_least_recently_used(graphs, MAX_GRAPH_CACHE_BYTES - n_bytes)
