"""The request log with several processes at one pipe: no line is ever cut by another process's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.server.request_log import make_turn, open_log
from penstock.stores.log import MAX_QUEUED_BYTES, LogWriter, ThreadSink
from penstock.testing.clock import FakeClock

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_lines_that_a_full_disk_does_not_take_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    sink, close = open_log("/dev/full")
    writer: LogWriter[bytes] = LogWriter(b"".join, sink, FakeClock(), lost.append)
    for _ in range(3):
        writer.add(b"one\n")
        writer.add(b"two\n")
        writer.flush()
    close()
    writer.look()
    assert sum(lost) == 6
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "the request log cannot be written, and its lines are lost until it can"
    ]


def test_a_log_that_can_be_written_again_says_how_much_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    answers = [OSError(28, "No space left on device"), OSError(28, "No space left on device"), None]
    written: list[bytes] = []

    def write(batch: bytes) -> None:
        answer = answers[len(written)]
        written.append(batch)
        if answer is not None:
            raise answer

    sink = ThreadSink(write)
    for count in (1, 2, 3):
        sink(b"line\n")
        while len(written) < count:
            threading.Event().wait(0.001)
    sink.close()
    assert caplog.records[-1].getMessage() == "the request log can be written again: 2 lines are lost"
    assert (sink.take_lost(), sink.take_lost()) == (2, 0)
