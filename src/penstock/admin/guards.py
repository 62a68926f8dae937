"""What every request to the control plane passes first, and what every answer of it carries.

A page in somebody's browser must not reach a control plane on loopback, neither by a name that resolves to it
(DNS rebinding) nor by a cross-site request; and no answer may be cached, framed, sniffed or run as a script.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.admin.problems import problem_of
from penstock.config.guards import is_loopback
from penstock.errors import Forbidden

__all__ = ["HEADERS", "Guarded"]

HEADERS = (
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

_LOCAL_NAMES = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Guarded:
    """An ASGI application behind the guards.

    Args:
        host: the listening address; on loopback only loopback's names are a valid Host. Elsewhere any is, since
            everything needs the credential there, and what names lead to it only the operator knows.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        written = f"[{host}]" if ":" in host else host
        self._app = app
        self._hosts = _LOCAL_NAMES | {written.lower().encode()} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the control plane speaks HTTP, not {scope['type']}")

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            self._check(scope["headers"])
        except Forbidden as error:
            await problem_of(error)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _check(self, headers: list[tuple[bytes, bytes]]) -> None:
        host = [value.lower() for name, value in headers if name == b"host"]
        if self._hosts is not None and (len(host) != 1 or _without_port(host[0]) not in self._hosts):
            raise Forbidden(
                "the Host header names another host than this one",
                do="Call it by the address it listens on, such as http://127.0.0.1:8485.",
            )
        for name, value in headers:
            if name == b"sec-fetch-site" and value.lower() == b"cross-site":
                raise Forbidden("cross-site requests from a browser are refused", do="Open the address itself.")
            if name == b"origin" and [value.partition(b"://")[2].lower()] != host:
                raise Forbidden("the Origin header names another site", do="Call it from the same origin.")


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host
