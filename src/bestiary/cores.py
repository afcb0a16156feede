"""Count the CPU cores that this process may use: affinity mask and cgroup limits.

A container or a batch system may grant fewer cores than the machine has. Threads beyond these only
take turns.
"""

import math
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

CGROUP_MOUNT = Path("/sys/fs/cgroup")
CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")


def cores(processes: int = 1) -> int:
    """Count the cores that this process may use.

    Args:
        processes: processes of this machine that share the cores evenly.

    Returns:
        1 or more.

    Example:
        >>> cores() >= 1
        True
    """
    affinity = getattr(os, "sched_getaffinity", None)
    available = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = _cgroup_limit(CGROUP_MOUNT, CGROUP_MEMBERSHIP)
    return max(1, int(min(available, limit)) // processes)


@cache
def _cgroup_limit(mount: Path, membership: Path) -> float:
    """Read the lowest of the limits once: a service asks for its cores in every request."""
    return min(cgroup_limits(mount, membership), default=math.inf)


def cgroup_limits(mount: Path, membership: Path) -> Iterator[float]:
    """Yield the CPU limits of the process's cgroups and of the groups that contain them.

    See the kernel's cgroup-v2.rst (cpu.max) and, for version 1, sched-bwc.rst (cpu.cfs_quota_us).

    Args:
        mount: where cgroups are mounted.
        membership: the kernel's list of the cgroups of this process, lines of
            ``number:controllers:path``. Version 2 names no controllers.

    Yields:
        Limits in cores, such as 1.5.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mount / "cpu" if controllers else mount
        read_limit = _limit_v1 if controllers else _limit_v2
        yield from _limits_up_to(top, path, read_limit)


def busy_cores() -> float:
    """Count the cores that all programs kept busy over the last minute; 0 if it is unknown."""
    if not hasattr(os, "getloadavg"):
        return 0.0
    last_minute, _, _ = os.getloadavg()
    return last_minute


def _limits_up_to(
    top: Path, path: str, read_limit: Callable[[Path], float | None]
) -> Iterator[float]:
    """Yield the limits of the group at `path` and of its parents, up to and including `top`."""
    folder = top / path.lstrip("/")
    # In a container, `path` may be that of the host: then only `top` exists.
    for group in (folder, *folder.parents):
        limit = read_limit(group)
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
