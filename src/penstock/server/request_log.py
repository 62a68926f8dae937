"""Where the request log's lines go: stdout or a file, whole lines only, also with several processes writing.

A file is opened to append, so one write is one piece of it. A pipe keeps only short writes together: there the
workers of one gateway take turns by a lock they inherit, which the kernel takes from one that dies.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable

from penstock.errors import ConfigError
from penstock.stores.log import ThreadSink

__all__ = ["make_turn", "open_log"]


def make_turn() -> int:
    """The descriptor of a new lock file without a name, for processes that will share it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("penstock-log", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def open_log(to: str, turn: int | None = None) -> tuple[Callable[[bytes], object], Callable[[], None]]:
    """What takes batches of lines, and how to close it, for `log: {to: ...}`.

    Args:
        turn: what `make_turn` made, where other processes write to the same place.

    Raises:
        ConfigError: the file cannot be written.
    """
    if to == "none":
        return (lambda batch: None), (lambda: None)
    descriptor = 1
    if to != "stdout":
        try:
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(
                f"{to}: the log cannot be written there: {error.strerror or error}", do="Change `log: {to: ...}`."
            ) from None
    if turn is None:
        sink = ThreadSink(lambda batch: _write_all(descriptor, batch))
    else:
        sink = ThreadSink(lambda batch: _write_in_turn(descriptor, batch, turn))
    return sink, sink.close


def _write_in_turn(descriptor: int, data: bytes, turn: int) -> None:
    # A record lock (POSIX) belongs to the process: an inherited descriptor is no shared one, as it is with flock.
    fcntl.lockf(turn, fcntl.LOCK_EX)
    try:
        _write_all(descriptor, data)
    finally:
        fcntl.lockf(turn, fcntl.LOCK_UN)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
