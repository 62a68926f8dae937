"""`penstock` commands that run to their end, as somebody at a shell would run them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cli.forking import forks
from tests.end_to_end.process import PENSTOCK, SECONDS, environment

__all__ = ["Ran", "penstock"]


class Ran:
    """What a command left: its exit code and what it wrote."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out.decode()
        self.err = err.decode()

    def __repr__(self) -> str:
        return f"<exit {self.code}, out {self.out!r}, err {self.err!r}>"


def penstock(folder: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
    """Run it in `folder`, in an environment without keys, to its end.

    It is a fork of what has loaded all, unless `env` has what an interpreter looks at when it starts.
    """
    if any(name.startswith("PYTHON") for name in env or ()):
        return _started(folder, arguments, stdin, environment(**(env or {})))
    with tempfile.TemporaryDirectory() as name:
        given, out, err = (Path(name) / stream for stream in ("in", "out", "err"))
        given.write_bytes(stdin)
        out.touch()
        err.touch()
        files = [str(given), str(out), str(err)]
        code = forks().run(str(folder), arguments, environment(**(env or {})), files, SECONDS)
        ran = Ran(code, out.read_bytes(), err.read_bytes())
    assert "Traceback" not in ran.err
    return ran


def _started(folder: Path, arguments: Sequence[str], stdin: bytes, env: Mapping[str, str]) -> Ran:
    command = [*PENSTOCK, *arguments]
    done = subprocess.run(command, cwd=folder, env=env, input=stdin, capture_output=True, timeout=SECONDS)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ran.err
    return ran
