"""What is said to systemd, and to nobody where it does not listen; and what a real `penstock serve` says."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.server.systemd import VARIABLES, Systemd
from penstock.testing import FakeClock
from tests.end_to_end.process import SECONDS, Served


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(SECONDS)
        yield listener


def word(listener: socket.socket) -> list[str]:
    return listener.recv(4096).decode().split("\n")


def test_the_words_of_a_life(heard: socket.socket) -> None:
    clock = FakeClock()
    manager = Systemd({"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "30000000"}, clock)
    manager.ready("serving")
    assert word(heard) == ["READY=1", "STATUS=serving"]
    assert word(heard) == ["WATCHDOG=1"]
    manager.reloading()
    assert word(heard) == ["RELOADING=1", f"MONOTONIC_USEC={int(clock.monotonic() * 1e6)}"]
    manager.ready()
    assert word(heard) == ["READY=1"]
    assert clock.pending == 1, "the watchdog has one timer"
    clock.advance(15.0)
    assert word(heard) == ["WATCHDOG=1"]
    manager.stopping(60.0)
    assert word(heard) == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000"]
    manager.close()
    manager.close()
    assert clock.pending == 0
    manager.ready()
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(1)


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0penstock-test-{os.getpid()}")
        listener.settimeout(SECONDS)
        manager = Systemd({"NOTIFY_SOCKET": f"@penstock-test-{os.getpid()}"}, FakeClock())
        manager.ready()
        assert word(listener) == ["READY=1"]
        manager.close()


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "/nowhere/notify"}]
)
def test_nobody_listens(environ: dict[str, str]) -> None:
    manager = Systemd(environ, FakeClock())
    manager.ready("serving")
    manager.reloading()
    manager.stopping(1.0)
    manager.close()


@pytest.mark.parametrize(
    ("environ", "fed"),
    [
        ({"WATCHDOG_USEC": "1000000"}, True),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({}, False),
    ],
)
def test_whose_watchdog_it_is(environ: dict[str, str], fed: bool) -> None:
    clock = FakeClock()
    manager = Systemd(environ, clock)
    manager.ready()
    assert clock.pending == int(fed)
    manager.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_real_gateway_says_when_it_serves_reloads_and_stops(
    heard: socket.socket, tmp_path: Path, workers: str
) -> None:
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders: {sim: {}}\n")
    manager = {"NOTIFY_SOCKET": heard.getsockname(), "WATCHDOG_USEC": "200000"}
    with Served(tmp_path, "--workers", workers, env=manager) as served:
        first = word(heard)
        assert first == ["READY=1", f"STATUS=serving 127.0.0.1 port {served.port}, workers: {workers}"]
        for _ in range(3):
            assert word(heard) == ["WATCHDOG=1"]
        served.signal(signal.SIGHUP)
        assert after_watchdog(heard)[0] == "RELOADING=1"
        assert after_watchdog(heard) == ["READY=1"]
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        for child in children if workers == "2" else ():
            environ = Path(f"/proc/{child}/environ").read_bytes()
            assert not any(name.encode() in environ for name in VARIABLES)
        served.signal(signal.SIGTERM)
        assert after_watchdog(heard) == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000"]
        assert served.wait() == 0


def after_watchdog(listener: socket.socket) -> list[str]:
    """The next word that is not the watchdog's."""
    while (said := word(listener)) == ["WATCHDOG=1"]:
        pass
    return said
