"""The admin key: who may see and steer a gateway. Not a caller's key, and never sent to a provider.

It comes from PENSTOCK_ADMIN_KEY, or from the file `penstock.admin-key` beside the state, which is made on first
start. Whoever prints something prints the path; the key itself leaves this room only in the `Secret`.
"""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import NamedTuple

from penstock.errors import ConfigError
from penstock.redact import Secret
from penstock.stores.secret_file import make_secret_file, read_secret_file

__all__ = ["FILE", "VARIABLE", "AdminKey", "Credential", "load_admin_key", "read_admin_key", "reset_admin_key"]

VARIABLE = "PENSTOCK_ADMIN_KEY"
FILE = "penstock.admin-key"
SHORTEST = 16

_PREFIX = "psk_admin_"
_LETTERS = string.ascii_letters + string.digits
_LENGTH = 32  # of 62 letters each: 190 bits


class AdminKey(NamedTuple):
    """An admin key and where it came from.

    Attributes:
        secret: the key; its `source` (`env:NAME`, `file:PATH`) may be printed.
        path: the file it lies in, None if it came from the environment.
        made: whether it was made just now.
        warning: what the operator should know, "" for nothing.
    """

    secret: Secret
    path: Path | None = None
    made: bool = False
    warning: str = ""


class Credential:
    """Tells whether a request carries the admin key. Holds its SHA-256 only.

    Args:
        path: the file it lies in, which is read anew once it is another one: `penstock admin reset` holds at once.

    Attributes:
        changed: it was read anew, and whoever sees to the audit log has not said so yet.
    """

    __slots__ = ("_digest", "_path", "_stamp", "changed")

    def __init__(self, key: Secret, path: Path | None = None) -> None:
        self.changed = False
        self._path = path
        self._stamp = _stamp(path)
        self._digest = sha256(key.reveal().encode()).digest()

    def opens(self, given: str) -> bool:
        """Whether that is the admin key."""
        if self._path is not None and _stamp(self._path) != self._stamp:
            self._read_anew(self._path)
        # Digests have one length whatever was sent, so the time taken says nothing about the key (RFC 6750, 5.2).
        return compare_digest(sha256(given.encode("utf-8", "surrogatepass")).digest(), self._digest)

    def _read_anew(self, path: Path) -> None:
        stamp = _stamp(path)
        try:
            key = _read(path).secret
        except (OSError, ConfigError):
            return  # gone, or half of one: the one before holds until there is another
        self._stamp = stamp
        self._digest = sha256(key.reveal().encode()).digest()
        self.changed = True


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path, follow_symlinks=False) if path is not None else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found is not None else None


def load_admin_key(env: Mapping[str, str], folder: Path) -> AdminKey:
    """The admin key from the environment, else from its file in `folder`, else a new one written there.

    Raises:
        ConfigError: the variable is set but empty or short, or the file cannot be read, made or trusted.
    """
    known = read_admin_key(env, folder)
    if known is not None:
        return known
    path = folder.absolute() / FILE
    try:
        made = make_secret_file(path, _new_key())
        return _read(path)._replace(made=made)
    except OSError as error:
        raise _unusable(path, error) from None


def read_admin_key(env: Mapping[str, str], folder: Path) -> AdminKey | None:
    """The same, but none is made: None where there is none.

    Raises:
        ConfigError: as `load_admin_key`.
    """
    if VARIABLE in env:
        return AdminKey(Secret(_checked(env[VARIABLE], VARIABLE), f"env:{VARIABLE}"))
    path = folder.absolute() / FILE
    try:
        return _read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None


def _checked(value: str, place: str) -> str:
    value = value.strip()
    if len(value) < SHORTEST:
        # An empty secret that is accepted is no secret (new-api CVE-2026-41432).
        raise ConfigError(f"{place} holds no usable admin key: it must have at least {SHORTEST} characters")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(f"{place} holds no usable admin key: only visible ASCII characters fit into a header")
    return value


def _unusable(path: Path, error: OSError) -> ConfigError:
    reason = error.strerror or type(error).__name__
    return ConfigError(
        f"{path}: the admin key cannot be read or made: {reason}",
        do=f"Set {VARIABLE}, or let Penstock write in that folder.",
    )


def reset_admin_key(env: Mapping[str, str], folder: Path) -> AdminKey:
    """Put a new key into its file; whoever has the one before is nobody from then on, a running gateway included.

    Raises:
        ConfigError: the key comes from the environment, or the file cannot be written.
    """
    if VARIABLE in env:
        raise ConfigError(
            f"the admin key comes from {VARIABLE}, and no file holds it",
            do="Set that variable to another value, and restart the gateway.",
        )
    path = folder.absolute() / FILE
    try:
        make_secret_file(path, _new_key(), instead=True)
        return _read(path)._replace(made=True)
    except OSError as error:
        raise _unusable(path, error) from None


def _read(path: Path) -> AdminKey:
    """Raises FileNotFoundError, OSError and ConfigError as `read_secret_file`; ConfigError where it holds no key."""
    found = read_secret_file(path, "the admin key")
    return AdminKey(Secret(_checked(found.value, str(path)), f"file:{path}"), path, warning=found.warning)


def _new_key() -> str:
    # `secrets`, not clock.Random: this is a secret, not chance, and must not follow from a seed.
    return _PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
