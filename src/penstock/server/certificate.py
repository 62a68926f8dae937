"""The data plane's TLS: a certificate from two files, taken anew when they change.

A new pair is loaded into a context of its own and replaces the old one only once it is sound, so that a half-written
or mismatched file changes nothing for anybody. Connections that stand keep what they were opened with.
"""

from __future__ import annotations

import logging
import os
import ssl

from penstock.clock import Clock, Timer
from penstock.errors import ConfigError

__all__ = ["Certificate"]

log = logging.getLogger("penstock.server")

# How often the files are looked at.
LOOK_SECONDS = 5.0

_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate with its key, watched.

    Args:
        cert: a PEM file: the certificate, then those that lead to a root.
        key: a PEM file, without a passphrase.

    Attributes:
        context: what a listener is given; every handshake finds the pair that holds now.

    Raises:
        ConfigError: the pair cannot be used.
    """

    def __init__(self, cert: str, key: str, clock: Clock) -> None:
        self._files = (cert, key)
        self._clock = clock
        self._timer: Timer | None = None
        self._seen = self._stamp()
        try:
            self._current = _load(cert, key)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"server.tls: {cert} with {key} cannot be used: {_reason(error)}",
                do="Give a PEM certificate chain and its key, without a passphrase.",
            ) from None
        self.context = _load(cert, key)
        self.context.sni_callback = self._choose

    def use(self, cert: str, key: str) -> None:
        """Take the pair from other files from now on; one that cannot be used is logged, and the old one stays."""
        if (cert, key) != self._files:
            self._files, self._seen = (cert, key), ()
            self._check()

    def watch(self) -> None:
        """Look at the files every few seconds, until `close`."""
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _choose(self, handshake: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # OpenSSL asks this for every handshake, those without a server name included.
        handshake.context = self._current

    def _look(self) -> None:
        self.watch()
        self._check()

    def _check(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._current = _load(*self._files)
        except (OSError, ValueError) as error:
            log.error("%s has changed and cannot be used, the old one stays: %s", self._files[0], _reason(error))
        else:
            log.warning("%s was loaded anew", self._files[0])

    def _stamp(self) -> _Stamp:
        found = []
        for path in self._files:
            try:
                status = os.stat(path)
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def _load(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    # A passphrase would be asked for on the terminal, and the whole process would wait for it.
    context.load_cert_chain(cert, key, password=lambda: b"")
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
