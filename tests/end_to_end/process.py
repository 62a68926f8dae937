"""`penstock` as a process of its own: what it prints is read as it comes, and nothing of this machine leaks in."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

__all__ = ["PENSTOCK", "SECONDS", "Lines", "Served", "environment"]

PENSTOCK = (sys.executable, "-m", "penstock")
# For what takes milliseconds on a quiet machine; a test that waits longer has failed.
SECONDS = 20.0

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "PYTHONPATH", "VIRTUAL_ENV")
_LINE = re.compile(r"^  (gateway|control) +(https?://\S+)", re.MULTILINE)


def environment(**more: str) -> dict[str, str]:
    """An environment without keys, proxies or settings of this machine's owner."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | more


class Lines:
    """The lines of a pipe, read by a thread as they come."""

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe = pipe
        self._came = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._came:
                self._lines.append(line)
                self._came.notify_all()
        with self._came:
            self._ended = True
            self._came.notify_all()

    @property
    def text(self) -> str:
        """What has come so far."""
        with self._came:
            return "".join(self._lines)

    def wait_for(self, found: Callable[[list[str]], Any], what: str = "the line") -> Any:
        """The first true answer of `found` to the lines so far; fails if there is none in time."""
        with self._came:
            answer = self._came.wait_for(lambda: found(self._lines) or self._ended, SECONDS) and found(self._lines)
            assert answer, f"{what} did not come; what came: {''.join(self._lines)[-3000:]}"
            return answer

    def close(self) -> None:
        """Read to the end; the process must have ended."""
        self._thread.join(SECONDS)
        self._pipe.close()


class Served:
    """A running `penstock serve` on free ports of loopback.

    Args:
        folder: where it runs.
        env: beside the environment that `environment` makes.
        stdout: a descriptor for the request log, instead of a pipe that `log` reads.

    Attributes:
        url, admin_url: where it listens; `base_url` is for OpenAI clients.
        log, told: what it writes to stdout, the request log, and to stderr.
    """

    def __init__(
        self, folder: Path, *options: str, env: Mapping[str, str] | None = None, stdout: int = subprocess.PIPE
    ) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*PENSTOCK, "serve", "--port", "0", "--admin-port", "0", *options],
            cwd=folder,
            env=environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert self.process.stderr is not None
        self.log, self.told = Lines(self.process.stdout or io.StringIO()), Lines(self.process.stderr)
        try:
            self.told.wait_for(lambda lines: lines and "curl " in lines[-1], "the announcement")
        except BaseException:
            self.kill()
            raise
        found = dict(_LINE.findall(self.told.text))
        self.base_url, self.admin_url = found["gateway"], found["control"]
        self.url = self.base_url.removesuffix("/v1")
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def line(self, **wanted: object) -> dict[str, Any]:
        """The log line whose fields are as wanted, once it has been written."""

        def find(lines: list[str]) -> dict[str, Any] | None:
            decoded: list[dict[str, Any]] = [json.loads(line) for line in reversed(lines)]
            return next((each for each in decoded if wanted.items() <= each.items()), None)

        found: dict[str, Any] = self.log.wait_for(find, f"a log line with {wanted}")
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The request log so far."""
        return [json.loads(line) for line in self.log.text.splitlines()]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code; all it wrote has been read."""
        code = self.process.wait(SECONDS)
        self.log.close()
        self.told.close()
        return code

    def stop(self) -> int:
        """End it as an operator would."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Make sure that it is gone; does nothing once it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
