"""The request log with several processes at one pipe: no line is ever cut by another process's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.server.request_log import make_turn, open_log
from penstock.stores.log import MAX_QUEUED_BYTES

# Lines far longer than what a pipe keeps together (PIPE_BUF, 4096 bytes on Linux).
LENGTH = 20_000
LINES = 50
WRITER = f"""
import sys
from penstock.server.request_log import open_log
letter, turn = sys.argv[1], int(sys.argv[2])
sink, close = open_log("stdout", turn)
for _ in range({LINES}):
    sink((letter * {LENGTH} + "\\n").encode())
close()
"""


def test_lines_of_several_processes_never_mix() -> None:
    turn = make_turn()
    read, write = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, letter, str(turn)], stdout=write, pass_fds=[turn])
        for letter in "abc"
    ]
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert sorted(set(lines)) == [letter * LENGTH for letter in "abc"]
    assert len(lines) == 3 * LINES
    os.close(turn)


def test_a_turn_is_not_lost_with_who_had_it() -> None:
    turn = make_turn()
    dies = "import fcntl, os, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", dies, str(turn)], pass_fds=[turn], check=False)
    assert done.returncode == -9
    done = subprocess.run(
        [sys.executable, "-c", WRITER, "a", str(turn)], pass_fds=[turn], capture_output=True, timeout=20, check=True
    )
    assert done.stdout.count(b"\n") == LINES
    os.close(turn)


def test_a_file_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    for line in (b"one\n", b"two\n"):
        sink, close = open_log(str(path))
        sink(line)
        close()
    assert path.read_bytes() == b"one\ntwo\n"
    with pytest.raises(ConfigError, match="the log cannot be written there"):
        open_log(str(tmp_path / "nowhere" / "requests.log"))


def test_a_batch_that_is_larger_than_the_queue_is_written_all_the_same(tmp_path: Path) -> None:
    """Who can write a long line could otherwise hide those that others write in the same moment."""
    path = tmp_path / "requests.log"
    sink, close = open_log(str(path))
    large = b"x" * (MAX_QUEUED_BYTES + 1) + b"\n"
    sink(large)
    close()
    assert path.stat().st_size == len(large)
