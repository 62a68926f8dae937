"""TLS settings towards providers: certificates are always verified, against certifi's roots or the operator's own."""

from __future__ import annotations

import ssl

import certifi

__all__ = ["client_context"]


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A verifying context for connections out.

    Args:
        ca_file: a PEM file with the only certificate authorities to trust; None means certifi's.

    Raises:
        OSError: the file cannot be read.
        ssl.SSLError: it holds no certificate.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file or certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
