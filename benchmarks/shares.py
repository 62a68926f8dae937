"""Processes that may use a share of a core each and no more, so that a small machine shows what a larger one does.

Two workers with a core each want a third core for load and upstream. With a third of a core each, two cores are
enough, and what is asked stays the same: how much more do two answer than one, when both have what one had? The shares
are the kernel's own (cgroups, version 1 or 2), and whoever may not make such groups learns so by `Denied`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Denied", "shared_out"]

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


class Denied(Exception):
    """The kernel's groups cannot be made here: not Linux, not root, or in a container that may not."""


@contextmanager
def shared_out(whole: float, each: Mapping[int, float | None]) -> Iterator[None]:
    """Hold processes to their shares; nothing of it is left afterwards.

    Args:
        whole: how many cores all of them may use together.
        each: by process id how many cores it may use, None for no limit but the whole's.

    Raises:
        Denied: as above.
    """
    first = _ROOT / "cpu" if (_ROOT / "cpu" / "cpu.cfs_quota_us").exists() else _ROOT
    top = first / f"penstock-bench-{min(each)}"
    groups = {pid: top / str(pid) for pid in each}
    try:
        _make(top, whole)
        for pid, share in each.items():
            _make(groups[pid], share)
            (groups[pid] / "cgroup.procs").write_text(str(pid))
    except OSError as error:
        _remove(top, groups, first)
        raise Denied(f"no groups of the kernel's (cgroups): {error}") from error
    try:
        yield
    finally:
        _remove(top, groups, first)


def _make(group: Path, share: float | None) -> None:
    group.mkdir()
    quota = None if share is None else round(share * _PERIOD_US)
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))
        return
    if not (group / "cpu.max").exists():
        (group.parent / "cgroup.subtree_control").write_text("+cpu")
    (group / "cpu.max").write_text(f"{'max' if quota is None else quota} {_PERIOD_US}")


def _remove(top: Path, groups: Mapping[int, Path], home: Path) -> None:
    for group in (*groups.values(), top):
        for _ in range(200):
            if not group.exists():
                break
            with suppress(OSError):  # whoever has just ended, leaves a moment later
                for pid in (group / "cgroup.procs").read_text().split():
                    (home / "cgroup.procs").write_text(pid)
                group.rmdir()
                break
            time.sleep(0.01)
