"""Runs `penstock` commands in forks of one process that has loaded them, as loading is most of what a command takes.

Each has its own process, folder, environment and streams, and ends as any program does. What depends on the start of an
interpreter is run for itself: see `running`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from typing import NoReturn

from tests.house.trees import ROOT

__all__ = ["Forks", "forks"]

# Beside the commands themselves: what they load when they are run.
LOADED = (
    "penstock.admin.app",
    "penstock.client",
    "penstock.config.yaml_file",
    "penstock.gateway",
    "penstock.stores.sqlite",
)


class Forks:
    """The process that forks, for one command at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(
        self, folder: str, arguments: Sequence[str], env: dict[str, str], files: Sequence[str], seconds: float
    ) -> int:
        """The exit code of `penstock ARGUMENTS`, its three streams being `files`; below 0, as the signal that ended it.

        Raises:
            TimeoutExpired: it was still running after `seconds`; neither it nor what would fork further is now.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([folder, arguments, env, files]).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], seconds)[0]:
            forks.cache_clear()
            os.killpg(process.pid, 9)
            process.wait()
            raise subprocess.TimeoutExpired(["penstock", *arguments], seconds)
        return int(process.stdout.readline())


@cache
def forks() -> Forks:
    """The one of this test run; it ends when its standard input does."""
    return Forks()


def load() -> None:
    import penstock.cli as commands

    for module in pkgutil.walk_packages(commands.__path__, f"{commands.__name__}."):
        importlib.import_module(module.name)
    for name in LOADED:
        importlib.import_module(name)


def become(arguments: Sequence[str], folder: str, env: dict[str, str], files: Sequence[str]) -> None:
    """Be as a process that was started so."""
    for number, path in enumerate(files):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["penstock", *arguments]
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "wb", closefd=False)), encoding="utf-8")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "wb", closefd=False)), "utf-8", "backslashreplace", line_buffering=True
    )


def end(command: Callable[[], None]) -> NoReturn:
    """Run it, and end as an interpreter does, but for taking apart all that was loaded, which takes half a second."""
    code = 0
    try:
        command()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:  # noqa: BLE001 - told, as an interpreter does
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    load()
    from penstock.cli import main as command

    gc.collect()
    gc.freeze()  # so that no look at it makes a fork copy it

    while line := sys.stdin.buffer.readline():
        folder, arguments, env, files = json.loads(line)
        child = os.fork()
        if child == 0:
            become(arguments, folder, env, files)
            end(command)
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
