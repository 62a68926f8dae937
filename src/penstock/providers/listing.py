"""The list of models that every provider has: one GET, which costs nothing anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from penstock.errors import ProtocolError
from penstock.providers.deployment import Endpoint
from penstock.transport.http import Pool

__all__ = ["ANSWER_SECONDS", "CONNECT_SECONDS", "Listing", "get_models"]

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0


class Listing(NamedTuple):
    """What a provider answered."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


async def get_models(endpoint: Endpoint, pool: Pool) -> Listing | None:
    """What the provider says when it is asked for its models; None where its answer is no HTTP.

    Raises:
        UpstreamError: it cannot be reached, or does not answer in time.
    """
    head = endpoint.head(b"/models", b"", {}).replace(b"POST ", b"GET ", 1)
    connection = pool.take(endpoint.origin) or await pool.connect(endpoint.origin, CONNECT_SECONDS)
    try:
        await connection.exchange(head + b"\r\n", stream=False, timeout=ANSWER_SECONDS)
        parser = connection.parser
        return Listing(parser.status, dict(parser.headers), parser.take())
    except ProtocolError:
        return None
    finally:
        connection.release()
