"""Time, chance, ids and sockets have one door each; dialects and routing have none at all."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from scripts.imports import Source, imports_of
from tests.house.trees import dotted, in_room, planted, src, suite

# Who may make time and chance: the clock, and those that stand in for the machine under a seed.
CLOCKS = ("clock", "testing", "transport.memory", "transport.network", "transport.link")
TIME_MODULES = {"time", "random", "uuid", "sched"}
TIME_CALLS = {
    "os.urandom", "urandom", "asyncio.sleep", "asyncio.timeout", "asyncio.timeout_at", "asyncio.wait_for",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today",
}  # fmt: skip
TIME_NAMES = {"sleep", "timeout", "timeout_at", "wait_for", "urandom"}
LOOP_TIMERS = {"call_later", "call_at"}

# Who may open sockets out; and who may wait for connections in.
DIALERS = ("transport", "testing")
LISTENERS = (*DIALERS, "server", "admin")
DIAL_CALLS = {
    "create_connection", "create_unix_connection", "open_connection", "open_unix_connection", "sock_connect",
    "create_datagram_endpoint",
}  # fmt: skip
LISTEN_CALLS = {"create_server", "create_unix_server", "start_server", "start_unix_server", "bind", "listen"}
SOCKET_MAKERS = {"socket", "socketpair", "fromfd"}  # the module's constants and options may be named anywhere
HTTP_CLIENTS = {"httpx", "httpx2", "aiohttp", "requests", "urllib3", "http.client", "urllib.request", "pycurl"}

PURE = ("wire", "routing")
IMPURE_MODULES = {"asyncio", "socket", "ssl", "select", "selectors", "threading", "uvloop", "anyio", "trio"}
CLOCK_FOR_POLICIES = {"Random"}  # a weighted choice takes chance as an argument; the time it is given as a number


def clock_bypasses(sources: Iterable[Source]) -> list[str]:
    """Time, chance and ids that do not come through `penstock.clock`."""
    found = []
    for source in sources:
        if in_room(source, *CLOCKS):
            continue
        found += [f"{source.path}:{line}: {what} belongs behind penstock.clock" for line, what in _times(source)]
    return found


def _times(source: Source) -> Iterator[tuple[int, str]]:
    for item in imports_of(source):
        if item.target in TIME_MODULES or (item.target in {"os", "asyncio"} and item.name in TIME_NAMES):
            yield item.line, f"{item.target} {item.name}".strip()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            owner = dotted(node.value).rpartition(".")[2].lower()
            loop_timer = node.attr in LOOP_TIMERS and "clock" not in owner
            loop_time = node.attr == "time" and "loop" in owner
            if dotted(node) in TIME_CALLS or loop_timer or loop_time:
                yield node.lineno, dotted(node)
        elif isinstance(node, ast.Call) and dotted(node.func) == "asyncio.wait":
            yield from ((node.lineno, "asyncio.wait(timeout=)") for k in node.keywords if k.arg == "timeout")


def socket_bypasses(sources: Iterable[Source]) -> list[str]:
    """Outgoing sockets outside `transport/`, and listeners outside the shells."""
    found = []
    for source in sources:
        out = set() if in_room(source, *DIALERS) else DIAL_CALLS
        wait = set() if in_room(source, *LISTENERS) else LISTEN_CALLS
        clients = set() if in_room(source, *DIALERS) else HTTP_CLIENTS
        makers = set() if in_room(source, *LISTENERS) else {f"socket.{name}" for name in SOCKET_MAKERS}
        for item in imports_of(source):
            if {item.target, f"{item.target}.{item.name}", item.target.partition(".")[0]} & (clients | makers):
                found.append(f"{source.path}:{item.line}: {item.target}: sockets are opened in transport/")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                if name in makers or name.rpartition(".")[2] in out | wait:
                    found.append(f"{source.path}:{node.lineno}: {name}: sockets are opened in transport/")
    return found


def impurities(sources: Iterable[Source]) -> list[str]:
    """Whatever waits, ticks or talks in `wire/` and `routing/`."""
    waits = ast.Await | ast.AsyncFor | ast.AsyncWith | ast.AsyncFunctionDef
    found = []
    for source in sources:
        if not in_room(source, *PURE):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, waits) or (isinstance(node, ast.comprehension) and node.is_async):
                line = getattr(node, "lineno", 0)
                found.append(f"{source.path}:{line}: dialects and routing never wait")
        for item in imports_of(source, frozenset({"penstock.clock"})):
            ticks = item.target == "penstock.clock" and item.name not in CLOCK_FOR_POLICIES
            if ticks or item.target.partition(".")[0] in IMPURE_MODULES:
                found.append(f"{source.path}:{item.line}: {item.target} in a pure room")
    return found


def waits_and_fakes(sources: Iterable[Source]) -> list[str]:
    """Sleeps, and fakes of the middle, in tests."""
    found = []
    for source in sources:
        for item in imports_of(source):
            if {item.target, f"{item.target}.{item.name}"} & {"unittest.mock", "mock", "pytest_mock"}:
                found.append(f"{source.path}:{item.line}: script the edge, do not mock the middle")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and dotted(node) == "monkeypatch.setattr":
                found.append(f"{source.path}:{node.lineno}: script the edge, do not patch the middle")
            if isinstance(node, ast.Call) and dotted(node.func) in {"time.sleep", "asyncio.sleep"}:
                zero = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
                if not zero:
                    found.append(f"{source.path}:{node.lineno}: wait for what is to happen, or use virtual time")
    return found


def test_time_chance_and_ids() -> None:
    assert clock_bypasses(src()) == []


def test_sockets() -> None:
    assert socket_bypasses(src()) == []


def test_pure_rooms() -> None:
    assert impurities(src()) == []


def test_tests_neither_sleep_nor_mock() -> None:
    assert waits_and_fakes(suite()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "import random",
        "import uuid",
        "from os import urandom",
        "import os\nos.urandom(8)",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "from asyncio import timeout",
        "import asyncio\nasyncio.wait_for(x, 1)",
        "import asyncio\nasyncio.wait(x, timeout=1)",
        "self.loop.call_later(1, f)",
        "asyncio.get_running_loop().call_at(1, f)",
        "self._loop.time()",
        "from datetime import datetime\ndatetime.now()",
    ],
)
def test_a_second_clock_is_found(tmp_path: Path, text: str) -> None:
    assert clock_bypasses(planted(tmp_path / "1", "penstock/layers/a.py", text))
    assert not clock_bypasses(planted(tmp_path / "2", "penstock/testing/a.py", text))


def test_the_clock_itself_is_the_way(tmp_path: Path) -> None:
    text = "async def f(self):\n    self._clock.call_later(1, g)\n    await clock.sleep(1)\n    message.time"
    assert not clock_bypasses(planted(tmp_path, "penstock/layers/a.py", text))


@pytest.mark.parametrize(
    "text",
    ["import socket\nsocket.socket()", "from socket import socketpair", "import httpx", "from urllib import request",
     "from http.client import HTTPConnection", "loop.create_connection(f)", "asyncio.open_connection('x', 1)"],
)  # fmt: skip
def test_a_second_way_out_is_found(tmp_path: Path, text: str) -> None:
    assert socket_bypasses(planted(tmp_path / "1", "penstock/client.py", text))
    assert not socket_bypasses(planted(tmp_path / "2", "penstock/transport/a.py", text))


def test_a_listener_belongs_to_the_shells(tmp_path: Path) -> None:
    assert socket_bypasses(planted(tmp_path / "1", "penstock/gateway.py", "loop.create_server(f)"))
    assert not socket_bypasses(planted(tmp_path / "2", "penstock/server/a.py", "loop.create_server(f)"))


@pytest.mark.parametrize(
    "text",
    ["async def f(): ...", "import asyncio", "from penstock.clock import Clock", "from penstock import clock"],
)
def test_an_impure_dialect_is_found(tmp_path: Path, text: str) -> None:
    assert impurities(planted(tmp_path, "penstock/wire/a.py", text))


def test_chance_may_be_handed_to_routing(tmp_path: Path) -> None:
    assert not impurities(planted(tmp_path, "penstock/routing/a.py", "from penstock.clock import Random"))


@pytest.mark.parametrize(
    "text",
    ["from unittest import mock", "from unittest.mock import patch", "monkeypatch.setattr(a, 'b', 1)",
     "time.sleep(0.1)", "asyncio.sleep(x)"],
)  # fmt: skip
def test_a_sleep_or_a_mock_in_a_test_is_found(tmp_path: Path, text: str) -> None:
    assert waits_and_fakes(planted(tmp_path / "1", "layers/test_a.py", text))
    assert not waits_and_fakes(planted(tmp_path / "2", "layers/test_a.py", "asyncio.sleep(0)"))
