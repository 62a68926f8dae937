"""What every request to the data plane must pass before anything else looks at it.

Host allow-list and cross-site check keep a page in somebody's browser from using a gateway on loopback (DNS
rebinding, CSRF), unless `cors:` lists that page's origin; `x-penstock-` headers of a later version are refused, never
ignored.
"""

from __future__ import annotations

from penstock.config.guards import is_loopback
from penstock.config.schema import Server
from penstock.errors import Forbidden, InvalidRequest, NotAvailable
from penstock.routing.wishes import HEADERS
from penstock.server.cors import Cors
from penstock.wire.h1 import HttpRequest

__all__ = ["Guards", "json_only"]

# Those of the contract that this version has; the simulated provider reads its own.
KNOWN_HEADERS = frozenset(HEADERS) | {
    *(b"x-penstock-user", b"x-penstock-task", b"x-penstock-tags"),
    *(b"x-penstock-key", b"x-penstock-sim"),
}

_LOCAL_NAMES = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Guards:
    """Checks by the listening address and `hosts:`.

    On loopback only loopback's names, the address itself and `hosts:` are a valid Host. Elsewhere any well-formed one
    is as long as `hosts:` is empty, since a key is needed there, and what names lead to it only the operator knows.

    Attributes:
        cors: what to tell browsers; None where no page may call.
    """

    def __init__(self, server: Server) -> None:
        host = server.listen.host
        written = f"[{host}]" if ":" in host else host
        listed = [name.lower().encode() for name in server.hosts]
        # `*.example.com` stands for every name below example.com, not for itself.
        self._suffixes = tuple(name[1:] for name in listed if name.startswith(b"*."))
        self._hosts = None
        if is_loopback(host) or listed:
            self._hosts = _LOCAL_NAMES | {written.lower().encode(), *listed}
        self.cors = Cors(server.cors) if server.cors else None

    def check(self, request: HttpRequest) -> None:
        """Raises Forbidden, NotAvailable."""
        headers = request.headers
        if self._hosts is not None:
            name = _without_port(headers.get(b"host", b""))
            if name not in self._hosts and not self._is_known(name.lower(), self._hosts):
                raise Forbidden(
                    "the Host header names another host than this one",
                    do="Call it by the address it listens on, such as http://127.0.0.1:8484, or list the name under"
                    " `server: {hosts: [...]}`.",
                )
        if b"origin" in headers or b"sec-fetch-site" in headers:
            self._check_site(headers)
        if b"x-penstock-" in b" ".join(headers):
            for name in headers:
                if name.startswith(b"x-penstock-") and name not in KNOWN_HEADERS:
                    raise NotAvailable(
                        f"the header {name.decode('latin-1')} is not in this version", do="Leave it out.",
                        param=name.decode("latin-1"),
                    )  # fmt: skip

    def _is_known(self, name: bytes, hosts: frozenset[bytes]) -> bool:
        return name in hosts or (bool(self._suffixes) and name.endswith(self._suffixes) and not name.startswith(b"*"))

    def _check_site(self, headers: dict[bytes, bytes]) -> None:
        origin = headers.get(b"origin")
        if origin is not None:
            if self.cors is not None and self.cors.admits(origin):
                return
            if origin.partition(b"://")[2].lower() != headers.get(b"host", b"").lower():
                raise Forbidden(
                    "the Origin header names another site",
                    do="Call from a server, or list the origin under `server: {cors: [...]}`.",
                )
        if headers.get(b"sec-fetch-site", b"none").lower() == b"cross-site":
            raise Forbidden(
                "cross-site requests from a browser are refused", do="Call from a server, or the same origin."
            )


def json_only(request: HttpRequest) -> None:
    """Refuse a body that does not say it is JSON: a cross-site form cannot send one that does.

    Raises:
        InvalidRequest: 415.
    """
    kind = request.headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        raise InvalidRequest("the content-type must be application/json", do="Send that header.", status=415)
    coding = request.headers.get(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        raise InvalidRequest("compressed bodies are not read here", do="Send it without content-encoding.", status=415)


def _without_port(host: bytes) -> bytes:
    if host.endswith(b"]"):
        return host
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host
