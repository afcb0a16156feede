"""The cores that this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cores(processes: int = 1) -> int:
    """Count the cores that this process may use: its affinity mask, within the limits of its
    cgroups.

    A container or a batch system may grant fewer cores than the machine has. Threads beyond these
    would take turns.

    Args:
        processes: processes of this machine that share the cores evenly.

    Returns:
        1 or more.

    Example:
        >>> cores() >= 1
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    granted = len(affinity(0)) if affinity else os.cpu_count() or 1
    limits = cgroup_limits(CGROUPS, Path("/proc/self/cgroup"))
    return max(1, int(min([granted, *limits])) // processes)


def cgroup_limits(mount: Path, process_group: Path) -> Iterator[float]:
    """Yield the limits in cores that the process's cgroups set, those of the groups around them
    included.

    See the kernel's cgroup-v2.rst (cpu.max) and, for version 1, sched-bwc.rst (cpu.cfs_quota_us).

    Args:
        mount: where cgroups are mounted.
        membership: the kernel's table of the cgroups of this process, lines of
            ``number:controllers:path``.
    """
    try:
        lines = process_group.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mount / "cpu" if controllers else mount
        folder = top / path.lstrip("/")
        # Inside a container the path may be that of the host: then only the top is there.
        for group in (folder, *folder.parents):
            limit = _limit_v1(group) if controllers else _limit_v2(group)
            if limit is not None:
                yield limit
            if group == top:
                break


def _limit_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _limit_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
