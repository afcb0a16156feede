"""Cores that this process may use: affinity, and the cgroups of both versions."""

import os
from pathlib import Path

import pytest

from bestiary import cores as module
from bestiary.cores import Load, cgroup_limits, cores, machine_load


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def limits(mount: Path, membership: str) -> list[float]:
    write(mount / "membership", membership)
    return list(cgroup_limits(mount, mount / "membership"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight cores, in a cgroup without a limit."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(module, "CGROUP_MOUNT", tmp_path)
    monkeypatch.setattr(module, "CGROUP_MEMBERSHIP", tmp_path / "membership")
    write(tmp_path / "membership", "0::/job\n")
    return tmp_path


def test_cores_of_the_affinity_mask(machine: Path) -> None:
    assert cores() == 8


def test_cores_without_affinity(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(("processes", "expected"), [(1, 8), (2, 4), (3, 2), (9, 1)])
def test_cores_are_shared_by_processes(machine: Path, processes: int, expected: int) -> None:
    assert cores(processes) == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("3200000 100000", 8)],
)
def test_cgroup_v2_quota_bounds_cores(machine: Path, quota: str, expected: int) -> None:
    write(machine / "job" / "cpu.max", quota)
    assert cores() == expected


def test_cgroup_v2_limit(tmp_path: Path) -> None:
    write(tmp_path / "job" / "cpu.max", "150000 100000\n")
    assert limits(tmp_path, "0::/job\n") == [1.5]


def test_cgroup_v2_max_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path / "job" / "cpu.max", "max 100000\n")
    assert limits(tmp_path, "0::/job\n") == []


def test_cgroup_v2_nested_groups(tmp_path: Path) -> None:
    write(tmp_path / "slice" / "job" / "step" / "cpu.max", "max 100000\n")
    write(tmp_path / "slice" / "job" / "cpu.max", "400000 100000\n")
    write(tmp_path / "slice" / "cpu.max", "200000 100000\n")
    write(tmp_path / "cpu.max", "800000 100000\n")
    assert limits(tmp_path, "0::/slice/job/step\n") == [4.0, 2.0, 8.0]


def test_cgroup_v2_path_of_the_host(tmp_path: Path) -> None:
    """Inside a container, the path may exist on the host only."""
    write(tmp_path / "cpu.max", "300000 100000\n")
    assert limits(tmp_path, "0::/docker/0123456789ab\n") == [3.0]


def test_cgroup_v1_limit(tmp_path: Path) -> None:
    write(tmp_path / "cpu" / "job" / "cpu.cfs_quota_us", "250000\n")
    write(tmp_path / "cpu" / "job" / "cpu.cfs_period_us", "100000\n")
    assert limits(tmp_path, "5:memory:/job\n4:cpu,cpuacct:/job\n") == [2.5]


def test_cgroup_v1_minus_one_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path / "cpu" / "job" / "cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "cpu" / "job" / "cpu.cfs_period_us", "100000\n")
    assert limits(tmp_path, "4:cpu,cpuacct:/job\n") == []


def test_cgroup_v1_nested_groups(tmp_path: Path) -> None:
    for folder, quota in (("job/step", 400_000), ("job", 200_000), ("", -1)):
        write(tmp_path / "cpu" / folder / "cpu.cfs_quota_us", f"{quota}\n")
        write(tmp_path / "cpu" / folder / "cpu.cfs_period_us", "100000\n")
    assert limits(tmp_path, "4:cpu:/job/step\n") == [4.0, 2.0]


def test_other_controllers_are_ignored(tmp_path: Path) -> None:
    write(tmp_path / "cpu" / "cpu.cfs_quota_us", "100000\n")
    write(tmp_path / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert limits(tmp_path, "3:cpuset:/job\n2:memory:/job\n") == []


@pytest.mark.parametrize("text", ["", "many 100000", "100000 0", "100000", "1 2 3"])
def test_damaged_cgroup_file_is_no_limit(text: str, tmp_path: Path) -> None:
    write(tmp_path / "job" / "cpu.max", text)
    assert limits(tmp_path, "0::/job\n") == []


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    assert list(cgroup_limits(tmp_path, tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("wanted", "machine_cores", "words"),
    [
        (0.3, 2, ""),
        (1.3, 2, "over the last minute, about 1.3 of this machine's 2 cores were busy"),
        (2.0, 2, "all 2 cores of this machine were busy"),
        (8.2, 2, "all 2 cores of this machine were busy, and other work waited"),
        (3.0, 1, "this machine's core was busy, and other work waited"),
    ],
)
def test_no_more_cores_are_busy_than_there_are(
    wanted: float, machine_cores: int, words: str
) -> None:
    load = Load(wanted, machine_cores)
    assert words in load.describe()
    assert bool(words) == bool(load.describe())
    assert load.busy_cores <= machine_cores


def test_load_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (8.2, 5.0, 1.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert machine_load() == Load(8.2, 2)
    monkeypatch.delattr(os, "getloadavg")
    assert machine_load() == Load(0.0, 2)
