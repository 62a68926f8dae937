"""One POST that is not a call to a model: to a webhook. No redirect is followed, and what is answered is not read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from penstock.transport.http import Origin, Pool
from penstock.transport.tls import client_context
from penstock.version import VERSION
from penstock.wire.retry_after import retry_after

__all__ = ["Address", "Posted"]

CONNECT_SECONDS = 5.0
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, Request timeouts.
ANSWER_SECONDS = 15.0


class Posted(NamedTuple):
    """What was answered.

    Attributes:
        retry_after: seconds after which it may be sent again, where the receiver says so.
    """

    status: int
    retry_after: float | None


class Address:
    """Where to post to, again and again.

    Args:
        url: http or https.

    Raises:
        ValueError: it is neither, or has no host.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host, tls = parts.hostname or "", parts.scheme == "https"
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise ValueError("a webhook's URL begins with https:// and has no user in it")
        self.shown = f"{parts.scheme}://{parts.netloc}"
        self._origin = Origin(host, parts.port or (443 if tls else 80), client_context() if tls else None, limit=8)
        self._host = parts.netloc
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def __repr__(self) -> str:
        # Not the path: with some receivers it is the secret.
        return f"<Address {self.shown}>"

    async def post(self, pool: Pool, headers: Mapping[str, str], body: bytes, clock_wall: float) -> Posted:
        """Send JSON there.

        Args:
            clock_wall: Unix time, which a date in `retry-after` is counted from.

        Raises:
            UpstreamError: it cannot be reached, or does not answer in time.
        """
        lines = [f"POST {self._path} HTTP/1.1", f"host: {self._host}", f"user-agent: penstock/{VERSION}"]
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        payload = "\r\n".join([*lines, "", ""]).encode("ascii") + body
        connection = pool.take(self._origin) or await pool.connect(self._origin, CONNECT_SECONDS)
        try:
            await connection.exchange(payload, stream=True, timeout=ANSWER_SECONDS)
            parser = connection.parser
            return Posted(parser.status, retry_after(dict(parser.headers), clock_wall))
        finally:
            connection.release()
