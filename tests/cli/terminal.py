"""`penstock` commands on a terminal, as somebody who watches would run them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.end_to_end.process import PENSTOCK, SECONDS, environment

__all__ = ["ESCAPE", "Terminal", "terminal"]

ESCAPE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")
# Makes its stdin the terminal of its session, so that Ctrl-C reaches it as it would somebody's at a shell.
ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A `penstock` command on a terminal of so many columns, read by a thread as it writes."""

    def __init__(self, folder: Path, arguments: Sequence[str], columns: int, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *PENSTOCK, *arguments],
            cwd=folder,
            env=environment(**{"TERM": "xterm-256color", "LANG": "C.UTF-8", **env}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._came = threading.Condition()
        self._data = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 4096)
            except OSError:  # EIO: the other side is closed
                data = b""
            with self._came:
                self._data += data
                self._came.notify_all()
            if not data:
                return

    @property
    def shown(self) -> str:
        """What has been written, escape codes and all."""
        return self._data.decode("utf-8", "replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """The same without escape codes."""
        return ESCAPE.sub("", self.shown)

    def wait_for(self, found: Callable[[str], object]) -> None:
        """Wait until what was written, without escape codes, is as wanted."""
        with self._came:
            assert self._came.wait_for(lambda: found(self.text), SECONDS), self.text[-2000:]

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait(self) -> int:
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        os.close(self._ours)


@contextmanager
def terminal(
    folder: Path, *arguments: str, columns: int = 80, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """It, for the length of a `with`."""
    with closing(Terminal(folder, arguments, columns, env or {})) as opened:
        yield opened
