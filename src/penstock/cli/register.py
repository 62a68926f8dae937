"""Whom commands ask that see and change what is kept: the gateway that owns the state, or the state itself.

Where a gateway runs, it alone writes: commands ask its control plane. Where none does, the same operations are done on
the file, under its lock, in the name of `file`: whoever can write the folder is nobody's guest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from penstock.errors import ConfigError, PenstockError

if TYPE_CHECKING:
    from penstock.admin.app import ControlPlane
    from penstock.stores.audit_log import AuditLog

__all__ = ["Asked", "everything", "find_register", "if_match"]

_HOST = "127.0.0.1"
_ROUTES = re.compile(r"GET /api/v1/(keys|tenants|admins|credentials|limits|budgets)")


class Asked(Protocol):
    """Who answers for what is kept."""

    def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """As `Control.ask`."""

    def notice_reset(self) -> None:
        """See to it that the audit log has that there is a new admin key."""


def find_register(stack: ExitStack, admin: str | None, path: str | None) -> Asked:
    """Whom to ask.

    Args:
        stack: closes what is opened for it.
        admin, path: what `--admin` and `--config` say.

    Raises:
        ConfigError: the configuration or the state cannot be used, or its owner cannot be reached.
    """
    from penstock.cli.control import ADMIN, find_control
    from penstock.cli.settings import find_folder
    from penstock.stores.lock import StateLock

    if admin or os.environ.get(ADMIN):
        return _Running(find_control(admin, path))
    try:
        lock = StateLock(find_folder(path, os.environ))
    except ConfigError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        return _Running(find_control(None, path))
    stack.callback(lock.release)
    return _open_file(stack, path, find_folder(path, os.environ))


def _in_commands(error: PenstockError) -> PenstockError:
    """What to do, in the words of whoever sits at a shell."""
    error.do = _ROUTES.sub(r"`penstock \1 list`", error.do).replace("`penstock admins list`", "`penstock admin list`")
    error.do = error.do.replace("POST /api/v1/tenants", "`penstock tenants create`")
    return error


class _Running:
    """A gateway's control plane."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        try:
            return self._control.ask(method, path, body, headers=headers)
        except PenstockError as error:
            if error.status == 404 and error.message == "there is no such route here":
                raise PenstockError(
                    "that gateway keeps nothing: its state is in memory",
                    do="Write state: sqlite:///penstock.db in its configuration, and restart it.",
                ) from None
            raise _in_commands(error) from None

    def notice_reset(self) -> None:
        self._control.ask("GET", "/health")  # it looks at the key's file when it is asked


class _File:
    """The same operations on the file."""

    def __init__(self, plane: ControlPlane, audit: AuditLog) -> None:
        self._plane = plane
        self._audit = audit

    def notice_reset(self) -> None:
        import asyncio

        from penstock.admin.credential import FILE
        from penstock.admin.door import FILE_OWNER
        from penstock.admin.register import Done

        asyncio.run(self._audit.add(FILE_OWNER.who, Done("admin.reset", FILE)))

    def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        import asyncio

        from penstock.cli.control import read_answer

        path, _, query = path.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        given = {"host": _HOST, "content-type": "application/json", **(headers or {})}
        status, answer = asyncio.run(self._exchange(method, path, query, given, content))
        try:
            return read_answer(status, answer)
        except PenstockError as error:
            raise _in_commands(error) from None

    async def _exchange(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes
    ) -> tuple[int, bytes]:
        from urllib.parse import unquote

        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(f"/api/v1{path}"), "raw_path": f"/api/v1{path}".encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": (_HOST, 0), "server": (_HOST, 0), "state": {},
        }  # fmt: skip
        await self._plane.app(scope, receive, send)
        return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:])


def _open_file(stack: ExitStack, path: str | None, locked: Path) -> _File:
    from penstock.admin.app import ControlPlane, Shown
    from penstock.admin.door import LocalDoor
    from penstock.admin.overview import Standing
    from penstock.cli.settings import find_config
    from penstock.clock import SystemClock, SystemRandom
    from penstock.metrics import Metrics
    from penstock.server.register import open_register
    from penstock.stores.authority import Authority
    from penstock.stores.fill import Standings
    from penstock.stores.lock import StateLock
    from penstock.stores.sqlite import Database

    config, _ = find_config(path, serving=True)
    if config.state == "memory":
        raise ConfigError(
            f"{config.source}: state: memory keeps nothing, and no gateway runs",
            do="Write state: sqlite:///penstock.db, or leave state out.",
        )
    state = Path(config.state).parent
    if state != locked and state.is_dir():
        stack.callback(StateLock(state).release)  # another configuration may name the same store
    clock, random = SystemClock(), SystemRandom()
    database = Database(Path(config.state), inline=True)
    stack.callback(database.close)
    register = open_register(database, config, clock, random)
    metrics = Metrics()
    standing = Standing(config, metrics, Authority(random.random, metrics.moved, metrics.retry_refused))
    shown = Shown(register=register, fills=Standings(database, clock))
    return _File(ControlPlane(standing, LocalDoor(), clock, shown), register.audit)


def everything(asked: Asked, path: str) -> Iterator[dict[str, Any]]:
    """All pages of a list, one after another."""
    cursor = ""
    joint = "&" if "?" in path else "?"
    while True:
        told = asked.ask("GET", f"{path}{joint}limit=1000{cursor and f'&cursor={quote(cursor)}'}")
        yield from told["data"]
        cursor = told["next_cursor"] or ""
        if not cursor:
            return


def if_match(told: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a change to what was seen; of what the file declares the gateway says why not."""
    return {"if-match": told["etag"] or "*"}
