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
from penstock.server.pem import load_pair, out_of_date, why_not

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
            self._current = load_pair(cert, key)
            self.context = load_pair(cert, key)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"server.tls: {cert} with {key} cannot be used: {why_not(cert, key, error)}",
                do="Give a PEM certificate chain and its key, without a passphrase.",
            ) from None
        self._tell_date()
        self.context.sni_callback = self._choose

    @property
    def out_of_date(self) -> str:
        """`has expired` or `does not hold yet`; empty where it holds."""
        return out_of_date(self._current, self._files[0])

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
            self._current = load_pair(*self._files)
        except (OSError, ValueError) as error:
            why = why_not(*self._files, error)
            log.error("%s has changed and cannot be used, the old one stays: %s", self._files[0], why)
        else:
            log.warning("%s was loaded anew", self._files[0])
            self._tell_date()

    def _tell_date(self) -> None:
        # It is used all the same: callers may not look, and none at all is no better.
        if self.out_of_date:
            log.error("server.tls: %s %s: callers will refuse it", self._files[0], self.out_of_date)

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
