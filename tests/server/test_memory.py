"""How much of the memory that the process may have is in use, as the kernel's files tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.server.memory import memory_in_use

MIB = 2**20
STAT = f"anon 100\ninactive_anon 5\ninactive_file {100 * MIB}\ntotal_inactive_file {50 * MIB}\n"


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "part"),
    [
        # A container of version 2.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{1000 * MIB}\n",
          "sys/fs/cgroup/memory.current": f"{700 * MIB}\n", "sys/fs/cgroup/memory.stat": STAT}, 0.6),
        # A unit of systemd's.
        ({"proc/self/cgroup": "0::/system.slice/penstock.service\n",
          "sys/fs/cgroup/system.slice/penstock.service/memory.max": f"{1000 * MIB}\n",
          "sys/fs/cgroup/system.slice/penstock.service/memory.current": f"{900 * MIB}\n",
          "sys/fs/cgroup/system.slice/penstock.service/memory.stat": STAT}, 0.8),
        # Version 1.
        ({"proc/self/cgroup": "5:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{500 * MIB}\n",
          "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{450 * MIB}\n",
          "sys/fs/cgroup/memory/memory.stat": STAT}, 0.8),
    ],
)  # fmt: skip
def test_the_part_in_use(tmp_path: Path, files: dict[str, str], part: float) -> None:
    told = memory_in_use(lay(tmp_path, files))
    assert told is not None
    assert told() == pytest.approx(part)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"},
        {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
         "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n"},
    ],
)  # fmt: skip
def test_where_nothing_bounds_it_nobody_looks(tmp_path: Path, files: dict[str, str]) -> None:
    assert memory_in_use(lay(tmp_path, files)) is None


def test_what_vanishes_later_counts_as_nothing(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "900\n"}
    told = memory_in_use(lay(tmp_path, files))
    assert told is not None
    assert told() == pytest.approx(0.9)
    (tmp_path / "sys/fs/cgroup/memory.current").unlink()
    assert told() == 0.0
