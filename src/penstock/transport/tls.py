"""TLS settings towards providers: certificates are always verified, against certifi's roots or the operator's own."""

from __future__ import annotations

import ssl

import certifi

__all__ = ["ClientContext", "client_context"]


class ClientContext(ssl.SSLContext):
    """Remembers one session a host, so that its next connection needs no full handshake (RFC 8446, section 2.2).

    Neither asyncio nor uvloop pass a session on, but both make their TLS objects by `wrap_bio`.
    """

    def note_session(self, name: str, session: ssl.SSLSession | None) -> None:
        """Use this session for the next connection to `name`; one the server gave no ticket for is of no use."""
        if session is not None and session.has_ticket:
            self._sessions()[name] = session

    def _sessions(self) -> dict[str, ssl.SSLSession]:
        # Not in __init__: ssl.SSLContext is made in __new__ and passes its arguments on to both.
        found: dict[str, ssl.SSLSession] = self.__dict__.setdefault("sessions", {})
        return found

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        if session is None and isinstance(server_hostname, str):
            session = self._sessions().get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def client_context(ca_file: str | None = None, *, too: bool = False) -> ClientContext:
    """A verifying context for connections out.

    Args:
        ca_file: a PEM file with the only certificate authorities to trust; None means certifi's.
        too: trust certifi's as well.

    Raises:
        OSError: the file cannot be read.
        ssl.SSLError: it holds no certificate.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificate and host name
    context.load_verify_locations(cafile=ca_file or certifi.where())
    if ca_file and too:
        context.load_verify_locations(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
