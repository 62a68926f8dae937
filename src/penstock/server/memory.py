"""How much of the memory that this process may have is in use, where its cgroup bounds it.

Without such a bound nobody ends this process for its own sake, and what others on the machine use says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["memory_in_use"]

ROOT = Path("/")
# A limit of cgroups' version 1 that says none is about the largest number there is.
_NONE = 1 << 60


def memory_in_use(root: Path = ROOT) -> Callable[[], float] | None:
    """What tells the part in use; None where nothing bounds it.

    Files that are only cached do not count, since the kernel gives them up first (as Kubernetes counts it).

    Args:
        root: of the file system.
    """
    for folder, limit, usage, cached in _places(root):
        bound = _number(folder / limit)
        if bound is not None and 0 < bound < _NONE and _number(folder / usage) is not None:
            return lambda: _part(folder, usage, cached, bound)
    return None


def _places(root: Path) -> list[tuple[Path, str, str, str]]:
    """Where a bound may stand: https://docs.kernel.org/admin-guide/cgroup-v2.html, and version 1's controller.

    In a container its own cgroup is at the root; of a unit of systemd the path is told.
    """
    mounted = root / "sys/fs/cgroup"
    second = ("memory.max", "memory.current", "inactive_file")
    first = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    own = next((line[3:] for line in _lines(root / "proc/self/cgroup") if line.startswith("0::/")), "/")
    folders = dict.fromkeys((mounted / own.lstrip("/"), mounted))
    return [*((folder, *second) for folder in folders), (mounted / "memory", *first)]


def _part(folder: Path, usage: str, cached: str, bound: int) -> float:
    used = _number(folder / usage) or 0
    idle = next((line.split()[1] for line in _lines(folder / "memory.stat") if line.startswith(cached + " ")), "0")
    return max(0, used - int(idle)) / bound


def _number(path: Path) -> int | None:
    """None where it is not there, or holds another word, such as `max`."""
    try:
        return int(path.read_text().strip())
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
