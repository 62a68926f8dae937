"""`penstock` commands that run to their end, as somebody at a shell would run them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.end_to_end.process import PENSTOCK, SECONDS, environment

__all__ = ["Ran", "penstock"]


class Ran:
    """What a command left: its exit code and what it wrote."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()

    def __repr__(self) -> str:
        return f"<exit {self.code}, out {self.out!r}, err {self.err!r}>"


def penstock(folder: Path, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run it in `folder`, in an environment without keys, to its end."""
    done = subprocess.run(
        [*PENSTOCK, *arguments],
        cwd=folder,
        env=environment(**(env or {})),
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=SECONDS,
    )
    ran = Ran(done)
    assert "Traceback" not in ran.err
    return ran
