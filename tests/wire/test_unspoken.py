"""Other protocols at a port of HTTP/1.1: refused as ever, and named."""

from __future__ import annotations

import ssl

import pytest

from penstock.wire.h1 import Refused, RequestParser

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def hello() -> bytes:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(down, up, server_hostname="gateway")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return up.read()


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (hello(), "this is TLS, and the port speaks plain HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "HTTP/2 is not spoken here"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n" + REQUEST, "X-Forwarded-For instead"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 5 80\r\n" + REQUEST, "server.trusted_proxies"),
        (b"PROXY UNKNOWN\r\n" + REQUEST, "the PROXY protocol is not spoken here"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + 12 * b"\1" + REQUEST, "the PROXY protocol is not spoken here"),
        (b"PROXIED / HTTP/1.1\r\n\r\n", "not valid HTTP/1.1"),
        (b"\5\1\0", "not valid HTTP/1.1"),
    ],
)
def test_another_protocol_is_named(begin: bytes, told: str) -> None:
    parser = RequestParser()
    with pytest.raises(Refused) as refused:
        parser.feed(begin)
    assert refused.value.status == 400
    assert told in refused.value.message
    assert not parser.ready
