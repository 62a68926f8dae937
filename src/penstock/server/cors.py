"""Which web pages may call the gateway from a browser (the Fetch standard's CORS protocol).

Credentials of the browser's own (cookies, certificates) are never allowed, whatever the origin: a page sends its key
in a header, and so `access-control-allow-credentials` has no use here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Cors"]

ANY = "*"

# How long a browser may keep the answer to a preflight, seconds.
MAX_AGE = 600

# What may be read besides the body: what the contract promises on an answer.
_EXPOSED = (
    b"x-request-id, request-id, retry-after, x-should-retry, x-penstock-target, x-penstock-attempts, x-penstock-cache,"
    b" x-penstock-overhead-us, x-penstock-dropped, x-penstock-clamped, x-penstock-degraded"
)
# A list of header names (RFC 9110, section 5.6.2): goes back as it came, so it must be nothing else.
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}){0,63}\Z")


class Cors:
    """Answers for a list of origins.

    Args:
        origins: as browsers write them (`https://app.example`), or `*` alone for every one.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        written = [origin.lower() for origin in origins]
        self._any = ANY in written
        self._origins = frozenset(origin.encode() for origin in written)

    def admits(self, origin: bytes) -> bool:
        """Whether a page of that origin may call. `null`, which any sandboxed page can be, is admitted by `*` only."""
        return self._any or origin.lower() in self._origins

    def lines(self, headers: dict[bytes, bytes]) -> bytes:
        """The header lines for the answer to a request with `headers`, whatever the answer is."""
        if self._any:
            if b"origin" not in headers:
                return b""
            return b"access-control-allow-origin: *\r\naccess-control-expose-headers: %b\r\n" % _EXPOSED
        origin = headers.get(b"origin")
        if origin is None or not self.admits(origin):
            return b"vary: origin\r\n"
        return (
            b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\nvary: origin\r\n"
            % (origin, _EXPOSED)
        )  # fmt: skip

    def preflight(self, headers: dict[bytes, bytes], allowed: bytes) -> bytes:
        """What `lines` lacks for the answer to a preflight; nothing where `headers` are not one that is admitted.

        Args:
            allowed: the methods of the route, separated by commas.
        """
        if b"access-control-request-method" not in headers or not self.admits(headers.get(b"origin", b"")):
            return b""
        found = b"access-control-allow-methods: %b\r\naccess-control-max-age: %d\r\n" % (allowed, MAX_AGE)
        wanted = headers.get(b"access-control-request-headers", b"").strip(b" \t")
        if _NAMES.match(wanted):
            found += b"access-control-allow-headers: %b\r\n" % wanted
        return found
