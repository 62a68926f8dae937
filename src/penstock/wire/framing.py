"""How messages are framed: a chunk, and what of a head decides where the parser does not look closely enough."""

from __future__ import annotations

__all__ = ["closes", "codings", "encode_chunk"]


def closes(headers: dict[bytes, bytes]) -> bool:
    """Whether it ends the connection: `close` counts more than a `keep-alive` beside it (RFC 9112, section 9.3)."""
    return b"close" in [word.strip(b" \t") for word in headers.get(b"connection", b"").lower().split(b",")]


def codings(heads: bytes, interims: int) -> int:
    """How often a response says Transfer-Encoding.

    Args:
        heads: what has come of it so far, its interim responses included.
        interims: how many of those there are.
    """
    head = heads.split(b"\r\n\r\n", interims + 1)[interims]  # what has come of a body behind it may be large
    return head.lower().count(b"\ntransfer-encoding:")


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, section 7.1); `data` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)
