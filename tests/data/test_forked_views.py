"""Views by forked processes: those of threads; no process outlives, or stops, its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bestiary.data import forked_team, loader
from bestiary.data.decode import Pixels
from bestiary.data.epoch_order import epoch_order
from bestiary.data.forked_team import ForkedTeam, can_fork
from bestiary.data.loader import LoaderThreads, load_batches, split_batches, train_views
from bestiary.data.views import TrainView
from bestiary.errors import DataError, ImageError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

VIEW = TrainView(16, 0.5, 10.0, (0.3, 1.0), (0.75, 1.33))
FORKED = LoaderThreads(3, prefetch=True, forked=True)


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MIN_FORKED_IMAGES", 1)
    monkeypatch.setattr(forked_team, "_broken", [])


def flat(row: int) -> Pixels:
    return np.full((4, 4, 3), row % 256, np.uint8)


def in_child(parent: int, then: Callable[[], Any]) -> Callable[[int], Pixels]:
    """Make views; in a forked process do something else from row 20 on."""

    def view_of(row: int) -> Pixels:
        if os.getpid() != parent and row >= 20:
            then()
        return flat(row)

    return view_of


@pytest.fixture
def children() -> Callable[[], set[int]]:
    """List the child processes that the test has begun."""

    def of_this() -> set[int]:
        tasks = Path("/proc/self/task").glob("*/children")
        return {int(child) for task in tasks for child in task.read_text().split()}

    before = of_this()

    def left() -> set[int]:
        """List those that are left a while after their team's end, which nobody waits for."""
        for _ in range(500):
            forked_team._reap()
            if not of_this() - before:
                break
            time.sleep(0.01)
        return of_this() - before

    return left


Children = Callable[[], set[int]]


def load(view_of: Callable[[int], Pixels], images: int = 200, batch: int = 8) -> list[int]:
    rows = np.arange(images)
    seen = []
    for loaded in load_batches(split_batches(rows, batch), view_of, FORKED):
        np.testing.assert_array_equal(loaded.views[:, 0, 0, 0].numpy(), loaded.rows % 256)
        seen += loaded.rows.tolist()
    return seen


@pytest.mark.parametrize("images", [1, 2, 9, 33, 1000])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_views_come_in_order(images: int, batch: int) -> None:
    assert load(flat, images, batch) == list(range(images))


def test_views_have_the_bits_of_threads() -> None:
    images = np.random.default_rng(0).integers(0, 255, (30, 40, 40, 3), dtype=np.uint8)
    batches = split_batches(epoch_order(30, 0, 1, 2), 7)
    view_of = train_views(lambda row: images[row], VIEW, 0, 1, 2)
    torch.ones(1 << 20).exp()  # by the threads of OpenMP, which a fork does not copy
    by_threads, by_processes = (
        torch.cat([batch.views for batch in load_batches(batches, view_of, threads)])
        for threads in (LoaderThreads(2, prefetch=True), FORKED)
    )
    assert torch.equal(by_threads, by_processes)
    assert by_threads.float().std() > 10


def test_processes_make_the_views() -> None:
    def own_pid(row: int) -> Pixels:
        time.sleep(0.001)
        return np.frombuffer(np.array([row, os.getpid()], np.int64).tobytes(), np.uint8)

    batches = split_batches(np.arange(500), 20)
    views = torch.cat([batch.views for batch in load_batches(batches, own_pid, FORKED)])
    rows, pids = views.numpy().view(np.int64).T
    assert rows.tolist() == list(range(500))
    assert os.getpid() not in pids
    assert 2 <= len(set(pids)) <= 3
    assert can_fork()


class UnpicklableError(Exception):
    def __init__(self, first: object, second: object) -> None:
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LookupError("row 13"), LookupError),
        (ImageError("truncated"), ImageError),
        (UnpicklableError("row", 13), RuntimeError),
        (DataError("row 13" + "x" * 200_000), DataError),
    ],
)
def test_errors_are_passed_on(
    error: Exception, expected: type[Exception], children: Children
) -> None:
    def fails_at_13(row: int) -> Pixels:
        if row == 13:
            raise error
        return flat(row)

    loaded = []
    with pytest.raises(expected) as raised:
        for batch in load_batches(split_batches(np.arange(40), 4), fails_at_13, FORKED):
            loaded += batch.rows.tolist()
    assert str(error)[:100] in str(raised.value)
    assert loaded == list(range(12))
    assert not children()


def test_no_process_is_left_when_stopped_early(children: Children) -> None:
    loading = load_batches(split_batches(np.arange(400), 4), flat, FORKED)
    assert next(loading).rows.tolist() == [0, 1, 2, 3]
    loading.close()  # type: ignore[attr-defined]
    assert not children()


def test_a_process_that_dies_is_told(children: Children) -> None:
    killed = in_child(os.getpid(), lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match=r"has died \(SIGKILL\).*--resume"):
        load(killed)
    ended = in_child(os.getpid(), lambda: os._exit(3))
    with pytest.raises(DataError, match=r"has died \(exit status 3\)"):
        load(ended)
    assert not children()


def test_the_foreman_that_dies_is_told() -> None:
    def kill_all() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)

    with pytest.raises(DataError, match="has died"):
        load(in_child(os.getpid(), kill_all))


def test_a_disk_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked_team, "STALL_SECONDS", 0.3)
    with pytest.raises(DataError, match="check the disk"):
        load(in_child(os.getpid(), lambda: time.sleep(3)))


def test_threads_work_where_no_process_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert load(flat) == list(range(200))
    assert not can_fork()
    assert not loader.loader_threads("cuda", can_inherit=True).forked


def test_threads_work_where_processes_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked_team, "START_SECONDS", 0.2)
    parent = os.getpid()

    def hangs_in_child(row: int) -> Pixels:
        if os.getpid() != parent:
            time.sleep(3)  # as for a lock that a thread of the parent held
        return flat(row)

    assert load(hangs_in_child) == list(range(200))
    assert not can_fork()


def test_many_open_files_stop_no_team() -> None:
    """Segments of a store, or a cluster's connections: select() would take none above 1023."""
    resource = pytest.importorskip("resource")
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < 1200:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1200, most))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert load(flat) == list(range(200))
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


def test_a_few_images_are_left_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "MIN_FORKED_IMAGES", 128)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process for 100 images"))
    assert load(flat, 100) == list(range(100))


def test_answers_do_not_block_jobs() -> None:
    def answer(job: bytes) -> bytes:
        return job * 200

    with ForkedTeam(2, answer) as team:
        answers = []
        for number in range(2000):
            while team.is_full:
                answers.append(team.receive())
            team.submit(number.to_bytes(4, "big"))
        while len(answers) < 2000:
            answers.append(team.receive())
    assert {int.from_bytes(one[:4], "big") for one in answers} == set(range(2000))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    """Of a signal to the whole group, as Ctrl-C and batch systems send it, they know nothing."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, time\n"
        "from bestiary.data.loader import LoaderThreads, load_batches, split_batches\n"
        "view = np.zeros((4, 4, 3), np.uint8)\n"
        "batches = split_batches(np.arange(100_000), 4)\n"
        "try:\n"
        "    for n, _ in enumerate(load_batches(batches, lambda _: view, "
        "LoaderThreads(2, True, True))):\n"
        "        if n == 3: print('begun', flush=True)\n"
        "        time.sleep(0.01)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        # All that inherited the pipe have closed it: nobody is left.
        rest = process.stdout.read()
    assert rest == ("stopped\n" if number == signal.SIGINT else "")
