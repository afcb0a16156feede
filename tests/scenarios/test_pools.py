"""One ensemble in pools of threads and processes, and in a Jupyter kernel: the same answers."""

import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pytest

from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run

pytestmark = pytest.mark.slow
MAX_SECONDS = 240


@pytest.fixture(scope="module")
def ensemble(trained: Run) -> Ensemble:
    loaded = Ensemble.load(trained, device="cpu")
    loaded.average = "probabilities"  # a change that goes along
    return loaded


@pytest.fixture(scope="module")
def parts(beasts: Path) -> list[list[Path]]:
    """Images in parts of different sizes, one for each job."""
    images = sorted(beasts.rglob("*.jpg"))
    return [images[:1], images[1:4], images[4:12], images[12:13], images[13:]]


@pytest.fixture(scope="module")
def expected(ensemble: Ensemble, parts: list[list[Path]]) -> np.ndarray:
    return np.concatenate([ensemble.predict_proba(part) for part in parts])


def check(answers: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(np.concatenate(list(answers)), expected, atol=1e-6)


def test_thread_pool(ensemble: Ensemble, parts: list[list[Path]], expected: np.ndarray) -> None:
    with ThreadPoolExecutor(4) as pool:
        check(pool.map(ensemble.predict_proba, parts), expected)


def test_spawn_pool(ensemble: Ensemble, parts: list[list[Path]], expected: np.ndarray) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        check(pool.map_async(ensemble.predict_proba, parts).get(MAX_SECONDS), expected)
        pool.close()
        pool.join()


def test_spawned_executor(
    ensemble: Ensemble, parts: list[list[Path]], expected: np.ndarray
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        check(pool.map(ensemble.predict_proba, parts, timeout=MAX_SECONDS), expected)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(
    ensemble: Ensemble, parts: list[list[Path]], expected: np.ndarray, backend: str
) -> None:
    joblib = pytest.importorskip("joblib")
    jobs = [joblib.delayed(ensemble.predict_proba)(part) for part in parts]
    check(joblib.Parallel(2, backend=backend, timeout=MAX_SECONDS)(jobs), expected)


class Notebook:
    """The cells of a notebook, one after the other, in a kernel of their own."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, cell: str) -> tuple[str, list[dict[str, str]]]:
        """What a cell prints, and what it displays by MIME type."""
        printed: list[str] = []
        displayed: list[dict[str, str]] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            assert message["msg_type"] != "error", content
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            if message["msg_type"] in ("display_data", "execute_result", "update_display_data"):
                displayed.append(content["data"])

        reply = self.client.execute_interactive(cell, output_hook=take, timeout=MAX_SECONDS)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed), displayed


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    jupyter = pytest.importorskip("jupyter_client", reason="jupyter_client is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    manager = jupyter.KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=MAX_SECONDS)
        yield Notebook(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_jupyter_kernel(
    notebook: Notebook, trained: Run, beasts: Path, ensemble: Ensemble, parts: list[list[Path]]
) -> None:
    names = [str(path) for path in parts[1]]
    ensemble = Ensemble.load(trained)
    notebook.run(f"import bestiary\nensemble = bestiary.load({str(trained.path)!r})")

    _, (shown,) = notebook.run("ensemble")
    assert shown["text/plain"] == repr(ensemble)
    _, (shown,) = notebook.run(f"ensemble.predict({names!r}).tolist()")
    assert shown["text/plain"] == repr(ensemble.predict(names).tolist())

    # Inside a cell that runs an event loop, and in threads of a notebook.
    cell = f"""
        import asyncio
        loop = asyncio.get_running_loop()
        answers = await asyncio.gather(
            *(loop.run_in_executor(None, ensemble.predict, name) for name in {names!r})
        )
        [str(answer[0]) for answer in answers]
    """
    _, (shown,) = notebook.run("\n".join(line[8:] for line in cell.splitlines()))
    assert shown["text/plain"] == repr(ensemble.predict(names).tolist())

    # Progress, and the result of a verb.
    printed, displayed = notebook.run(
        f"result = bestiary.predict({str(trained.path)!r}, {str(beasts)!r}, out='p.csv')\n"
        "print(result)"
    )
    everything = printed + "".join(data.get("text/plain", "") for data in displayed)
    assert "27\xa0images predicted: p.csv" in everything
    assert "Warning" not in everything
    # A notebook shows colors, and none of the codes that move a cursor.
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", everything)
    with pytest.raises(Empty):
        notebook.client.get_iopub_msg(timeout=0.1)
