"""What comes to a port that speaks HTTP/1.1 in other protocols' first bytes: named, so that nobody looks for a typo."""

from __future__ import annotations

__all__ = ["unspoken"]

# https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 and 2.2
_PROXY_PROTOCOL = (b"PROXY TCP", b"PROXY UNKNOWN", b"\r\n\r\n\0\r\nQUIT\n")
_HTTP_2 = b"PRI * HTTP/2"  # RFC 9113, section 3.4
_TLS = b"\x16\x03"  # a handshake's record: RFC 8446, section 5.1


def unspoken(begin: bytes) -> str:
    """What a connection that begins so speaks, and what to do; empty where it is nothing known."""
    if begin.startswith(_TLS):
        return "this is TLS, and the port speaks plain HTTP: call it by http://, or give it a certificate (server.tls)"
    if begin.startswith(_HTTP_2):
        return "HTTP/2 is not spoken here: send HTTP/1.1"
    if begin.startswith(_PROXY_PROTOCOL):
        return (
            "the PROXY protocol is not spoken here: have the proxy in front send X-Forwarded-For instead, and list its"
            " address under server.trusted_proxies"
        )
    return ""
