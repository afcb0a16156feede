"""Count the CPU cores that this process may use, by affinity and cgroups; and those that are busy.

A container or a batch system may grant fewer cores than the machine has. Threads beyond these only
take turns.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bestiary.numbers import counted

MIN_BUSY_CORES = 0.5  # fewer hardly slow a measurement
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


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the machine was over the last minute, by all programs together.

    Attributes:
        wanted: programs and threads that ran or waited for a core, on average (the system's load
            average, getloadavg(3)); it may be more than there are cores.
        machine_cores: cores of the machine, those included that this process may not use.

    Example:
        >>> Load(8.2, 2).describe()
        'over the last minute, all 2 cores of this machine were busy, and other work waited'
        >>> Load(0.2, 2).describe()
        ''
    """

    wanted: float
    machine_cores: int

    @property
    def busy_cores(self) -> float:
        """The cores that were busy, which are never more than there are."""
        return min(self.wanted, float(self.machine_cores))

    def describe(self) -> str:
        """Say how busy the machine was; empty where that hardly slows a measurement."""
        if self.wanted <= MIN_BUSY_CORES:
            return ""
        total = counted(self.machine_cores, "core")
        if self.wanted < self.machine_cores:
            busy = f"about {self.wanted:.1f} of this machine's {total} were busy"
        elif self.machine_cores == 1:
            busy = "this machine's core was busy, and other work waited"
        else:
            busy = f"all {total} of this machine were busy, and other work waited"
        return f"over the last minute, {busy}"


def machine_load() -> Load:
    """Ask the system how busy the machine was over the last minute; 0 where it does not say.

    Example:
        >>> machine_load().machine_cores >= 1
        True
    """
    wanted = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Load(wanted, os.cpu_count() or 1)


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
