"""The lock file beside the state: one owner, told to others, and a dead one's does not count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.stores.lock import FILE, Owner, StateLock, read_owner

HOLDS = "import sys; from pathlib import Path; from penstock.stores.lock import StateLock\n"
HOLDS += "lock = StateLock(Path(sys.argv[1])); lock.tell('http://127.0.0.1:1'); print('held', flush=True); input()"


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDS, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_it_says_who_and_where_and_goes(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    assert lock.held
    assert read_owner(tmp_path) == Owner(os.getpid())
    lock.tell("http://127.0.0.1:8485")
    assert read_owner(tmp_path) == Owner(os.getpid(), "http://127.0.0.1:8485")
    lock.tell("")
    assert read_owner(tmp_path) == Owner(os.getpid())
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    assert read_owner(tmp_path) is None


def test_another_owner_is_named_with_the_ways_out(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(ConfigError) as caught:
            StateLock(tmp_path)
        assert f"{tmp_path / FILE}: the state in this folder belongs to process {process.pid}" in str(caught.value)
        assert "its control plane is http://127.0.0.1:1" in str(caught.value)
        assert "stop it" in caught.value.do
        assert "another folder" in caught.value.do
        assert isinstance(caught.value.__cause__, BlockingIOError)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    # It left its file behind.
    assert read_owner(tmp_path) == Owner(process.pid, "http://127.0.0.1:1")
    lock = StateLock(tmp_path)
    assert read_owner(tmp_path) == Owner(os.getpid())
    lock.release()


@pytest.mark.parametrize("left", ["", "{", "12", '{"pid": "x"}', "\x00" * 100, '{"pid":1}' + " " * 9000])
def test_whatever_lies_there_is_taken_over(tmp_path: Path, left: str) -> None:
    (tmp_path / FILE).write_text(left)
    lock = StateLock(tmp_path)
    assert (tmp_path / FILE).read_text() == f'{{"pid":{os.getpid()},"admin":""}}\n'
    lock.release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("kept")
    (tmp_path / FILE).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="the lock cannot be made"):
        StateLock(tmp_path)
    assert elsewhere.read_text() == "kept"


def test_where_nothing_can_be_written_there_is_nothing_to_lock(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # root writes anywhere else
    else:
        folder = tmp_path
        folder.chmod(0o500)
    try:
        lock = StateLock(folder)
    except ConfigError:
        assert folder == Path("/proc/self"), "as the system refuses by other words there"
    else:
        assert not lock.held
        lock.tell("http://127.0.0.1:1")
        lock.release()
