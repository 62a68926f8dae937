"""`POST /api/v1/reload`: the configuration read anew, as SIGHUP has it, with an answer to whoever asked."""

from __future__ import annotations

from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.operations import Operation, json, principal_of
from penstock.admin.problems import MEDIA_TYPE, problem
from penstock.admin.register import Done, Register, note
from penstock.config.changes import Reloaded
from penstock.errors import ConfigError

__all__ = ["ReloadRoutes", "Reloads"]


class Reloads(Protocol):
    """Who reloads."""

    async def now(self) -> Reloaded:
        """Read the configuration anew, and have every worker go by it before this returns.

        Raises:
            ConfigError: it is wrong, or changes what only a restart can; nothing has changed.
            PenstockError: workers, or the store, do not get it done; nothing has changed.
        """
        ...


class ReloadRoutes:
    """The operation that reloads.

    Args:
        register: whose audit log has it; None: nobody's.
    """

    def __init__(self, reloads: Reloads, register: Register | None) -> None:
        self._reloads = reloads
        self._register = register

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        about = "Read the configuration anew; all workers take it, or none."
        return (Operation("/api/v1/reload", "reload", about, self.reload, "Reloaded", method="POST"),)

    async def reload(self, request: Request) -> Response:
        """What has changed; 422 with every mistake where nothing has."""
        try:
            done = await self._reloads.now()
        except ConfigError as error:
            return _refused(error)
        told = done._asdict()
        await note(self._register, principal_of(request).who, Done("reload", done.source, after=told))
        return json(told)


def _refused(error: ConfigError) -> Response:
    """Its mistakes one by one, as compilers tell them: `file:line:col: message`."""
    mistakes = error.message.splitlines()
    count = f"{len(mistakes)} mistakes; the first: " if len(mistakes) > 1 else ""
    do = error.do or "Mend the file; `penstock check` says the same."
    base = problem(422, error.code, f"nothing has changed: {count}{mistakes[0]}", do)
    return Response(
        msgspec.json.encode({**msgspec.json.decode(base.body), "mistakes": mistakes}), 422, None, MEDIA_TYPE
    )
