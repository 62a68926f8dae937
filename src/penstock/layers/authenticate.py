"""Layer 3, authenticate: who asks. Keys are looked up by their SHA-256, so none is kept in the clear here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any

import msgspec

from penstock.call import Call, Reply
from penstock.errors import Forbidden, Unauthenticated
from penstock.messages import Caller, Request
from penstock.routing.labels import label

__all__ = ["Authenticate", "Key", "Keyring", "digest"]


class Key(msgspec.Struct, frozen=True):
    """A caller's credential, without the secret.

    Attributes:
        admits: which models it may ask for.
        trusts_user: whether the user a request names counts.
        overrides: whether its calls may say how they are tried.
    """

    name: str
    tenant: str | None
    project: str | None
    admits: Callable[[Any], bool]
    trusts_user: bool = False
    overrides: bool = False


def digest(secret: str) -> bytes:
    """What a key is looked up by. Not a password hash: keys are random and long (security.md 31)."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


class Keyring:
    """The known keys.

    Attributes:
        keys: by digest.
    """

    def __init__(self, keys: Iterable[tuple[str, Key]]) -> None:
        self.keys: dict[bytes | None, Key] = {digest(secret): key for secret, key in keys}

    def identify(self, caller: Caller) -> Key:
        """The caller's key.

        Raises:
            Unauthenticated: none was given, or it is not known.
        """
        hashed = caller.digest
        if hashed is None:
            if caller.credential is None:
                raise Unauthenticated("no API key was given", do="Send it as `Authorization: Bearer <key>`.")
            hashed = caller.digest = digest(caller.credential)
        key = self.keys.get(hashed)
        if key is None:
            raise Unauthenticated("the API key is not known here", do="It must be one of this gateway's own keys.")
        return key


class Authenticate:
    """Admits calls from inside the process, every call where auth is open, and else those with a known key.

    Args:
        keyring: None where auth is open.
    """

    def __init__(self, call: Call, keyring: Keyring | None) -> None:
        self._call = call
        self._keyring = keyring

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """Raises Unauthenticated; Forbidden where the call says more than its key may."""
        caller = request.caller
        if caller.trusted:
            label(request, trusted=True)
        elif self._keyring is not None:
            key = self._keyring.keys.get(caller.digest) or self._keyring.identify(caller)
            record = request.record
            record.key, record.tenant, record.project = key.name, key.tenant, key.project
            caller.admits = key.admits
            if caller.wishes is not None and not key.overrides and caller.wishes.overrides:
                raise Forbidden(
                    f"this key may not say how its calls are tried ({caller.wishes.overrides})",
                    do="Leave it out, or have `overrides: allowed` written on the key.",
                )
            if key.trusts_user or "metadata" in request.fields:
                label(request, trusted=key.trusts_user)
        elif "metadata" in request.fields:
            label(request, trusted=False)
        return self._call(request)
