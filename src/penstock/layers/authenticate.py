"""Layer 2, authenticate: who asks, and whether this may be asked with their key. No key is kept in the clear here."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Set
from hmac import digest as hmac_digest
from typing import Any, Protocol

import msgspec

from penstock.call import Call, Reply
from penstock.errors import Forbidden, RateLimited, Unauthenticated
from penstock.messages import Caller, Request
from penstock.records import Record, quick
from penstock.routing.labels import label
from penstock.routing.strikes import Strikes
from penstock.routing.wishes import at_most

__all__ = ["LONGEST_KEY", "Authenticate", "Key", "Keyring", "NoStore", "Stored"]

# Longer than any key that anybody makes; what is longer is not even hashed.
LONGEST_KEY = 4096
# What is asked about the key itself every key may ask.
_ABOUT_ITSELF = ("key", "requests")
_NEVER = float("inf")
_UNKNOWN = "the API key is not known here"
# What comes where a client's variable is not set, or stands in quotes that nothing fills in.
_UNFILLED = re.compile(r"undefined|null|none|(?:[$<%]|\{\{|env:|os\.environ|process\.env).*", re.IGNORECASE)


@quick
class Key(msgspec.Struct, eq=False):
    """A caller's credential, without the secret.

    Attributes:
        admits: which models it may ask for.
        trusts_user: whether the user a request names counts.
        overrides: whether its calls may say how they are tried.
        id: the store's; "" for one that the configuration declares.
        expires: Unix time from which on it is no longer good.
        near: whether it may be used from an address; None: from any.
        operations: what it may ask for; None: everything.
        max_output: the most tokens of output that a call may ask for; None: no bound.
        priority: how urgent its calls are at most, and where they do not say; None: as they say.
        used: Unix time of its last call.
        guarded: whether any of that must be looked at.
    """

    name: str
    tenant: str | None
    project: str | None
    admits: Callable[[Any], bool]
    trusts_user: bool = False
    overrides: bool = False
    id: str = ""
    expires: float = _NEVER
    near: Callable[[str | None], bool] | None = None
    operations: Collection[str] | None = None
    max_output: int | None = None
    priority: str | None = None
    used: float = 0.0
    guarded: bool = False

    def __post_init__(self) -> None:
        self.guarded = self.expires != _NEVER or self.near is not None or self.operations is not None

    def ended(self, archived: Set[str]) -> bool:
        """Whether it has ended with its tenant or its project."""
        return bool(archived) and (self.tenant in archived or f"{self.tenant}/{self.project}" in archived)

    def guard(self, record: Record) -> None:
        """See that a request may be made with it.

        Raises:
            Unauthenticated: it has expired.
            Forbidden: not from there, or not for that.
        """
        if record.wall >= self.expires:
            raise Unauthenticated("this API key has expired", do="Use the one that has taken its place.")
        if self.near is not None and not self.near(record.address):
            raise Forbidden(
                f"this API key may not be used from {record.address or 'an address that is not known'}",
                do="Call from where it may be used, or have the key's `addresses` changed.",
            )
        allowed = self.operations
        if allowed is not None and record.operation not in allowed and record.operation not in _ABOUT_ITSELF:
            may = f"It may: {', '.join(sorted(allowed))}." if allowed else "It is for the control plane alone."
            raise Forbidden(f"this API key may not ask for {record.operation}", do=may)


class Stored(Protocol):
    """Keys that are known besides the declared ones, and how any key is looked up.

    Attributes:
        archived: tenants and projects (`acme`, `acme/web`) that have ended: declared keys too end with them.
    """

    @property
    def archived(self) -> Set[str]: ...

    def digest(self, presented: str) -> bytes:
        """What a key is looked up by."""
        ...

    def is_mistyped(self, presented: str) -> bool:
        """Whether it cannot be the key that it was meant to be."""
        ...

    def find(self, digest: bytes) -> Key | None:
        """That key, None where there is none; raises Overloaded where nobody knows."""
        ...


class NoStore:
    """No keys but the declared ones."""

    archived: Set[str] = frozenset()
    _pepper = secrets.token_bytes(32)

    def digest(self, presented: str) -> bytes:
        return hmac_digest(self._pepper, presented.encode("utf-8", "surrogatepass"), "sha256")

    def is_mistyped(self, presented: str) -> bool:
        return False

    def find(self, digest: bytes) -> Key | None:
        return None


class Keyring:
    """The known keys: those that the configuration declares, and of the store's those that have been used.

    They are looked up by their HMAC under a pepper, which nobody can choose who doesn't know it: so how long a look-up
    takes says nothing about the keys there are.

    Args:
        strikes: counts wrong keys, for the keyring of before a reload too.

    Attributes:
        keys: by digest; what stands here may be used. What does not may still: ask `identify`.
        edition: another object once any of them may stand there no longer.
    """

    def __init__(
        self, keys: Iterable[tuple[str, Key]], stored: Stored | None = None, strikes: Strikes | None = None
    ) -> None:
        self._stored = stored = stored if stored is not None else NoStore()
        self._declared = {stored.digest(secret): key for secret, key in keys}
        self.keys: dict[bytes | None, Key] = {}
        self._found: list[str] = []
        self._strikes = strikes if strikes is not None else Strikes()
        self.forget(None)

    def identify(self, caller: Caller, record: Record) -> Key:
        """The caller's key.

        Raises:
            RateLimited: wrong ones came from there again and again, and this is one more.
            Unauthenticated: none was given, or it is not known: in the same words whether it was never made, was
                revoked, or is another tenant's that has ended.
            Overloaded: nobody knows, as the store of keys cannot be reached.
        """
        presented, stored = caller.credential, self._stored
        if presented is None:
            raise Unauthenticated("no API key was given", do="Send it as `Authorization: Bearer <key>`.")
        if len(presented) > LONGEST_KEY:
            raise self._refusal(record, _UNKNOWN, f"No key has more than {LONGEST_KEY} characters.")
        digest = caller.digest = stored.digest(presented)
        key = self.keys.get(digest)
        if key is not None:
            return key
        if digest not in self._declared:
            if stored.is_mistyped(presented):
                why = "the API key has a typo: its checksum is wrong"
                raise self._refusal(record, why, "Copy the whole of it once more.")
            key = stored.find(digest)
            if key is not None:
                self.keys[digest] = key
                self._found.append(key.id)
                return key
        raise self._refusal(record, _UNKNOWN, _advice(presented))

    def _refusal(self, record: Record, why: str, do: str) -> Unauthenticated | RateLimited:
        wait = self._strikes.strike(record.address, record.started)
        if not wait:
            return Unauthenticated(why, do=do)
        return RateLimited(
            "wrong API keys came from your address again and again", do=f"Correct the key. {do}", retry_after=wait
        )

    def admit(self, caller: Caller, record: Record) -> Key:
        """The caller's key, once it is known to be good for what the record says is asked; raises as both do."""
        key = self.keys.get(caller.digest) or self.identify(caller, record)
        record.key, record.tenant, record.project = key.name, key.tenant, key.project
        key.used = record.wall
        if key.guarded:
            key.guard(record)
        return key

    def forget(self, digests: list[bytes] | None) -> None:
        """Look those up anew when they are used next; None: all of them."""
        self.edition = object()
        if digests is None:
            archived = self._stored.archived
            self.keys = {digest: key for digest, key in self._declared.items() if not key.ended(archived)}
            return
        for digest in digests:
            if digest not in self._declared:
                self.keys.pop(digest, None)

    def used(self) -> list[str]:
        """Ids of the store's keys that were used since this was asked last."""
        found = [key for key in self.keys.values() if key.used and key.id]
        for key in found:
            key.used = 0.0
        return [key.id for key in found]

    def found(self) -> list[str]:
        """Ids of the store's keys that were looked up since this was asked last."""
        found, self._found = self._found, []
        return found


class Authenticate:
    """Admits calls from inside the process, every call where auth is open, and else those with a known key.

    Args:
        keyring: None where auth is open.
    """

    def __init__(self, call: Call, keyring: Keyring | None) -> None:
        self._call = call
        self._keyring = keyring

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """Raises Unauthenticated; Forbidden where the call says more than its key may; Overloaded as `Keyring`."""
        caller = request.caller
        if caller.trusted:
            label(request, trusted=True)
        elif self._keyring is not None:
            keyring, record = self._keyring, request.record
            key = keyring.keys.get(caller.digest) or keyring.identify(caller, record)
            record.key, record.tenant, record.project = key.name, key.tenant, key.project
            key.used = record.wall
            if key.guarded:
                key.guard(record)
            if caller.wishes is not None and not key.overrides and caller.wishes.overrides:
                raise Forbidden(
                    f"this key may not say how its calls are tried ({caller.wishes.overrides})",
                    do="Leave it out, or have `overrides: allowed` written on the key.",
                )
            if key.priority is not None:
                # Not in the caller itself, which further requests share.
                caller = request.caller = caller.wishing(at_most(caller.wishes, key.priority))
            caller.admits, caller.max_output = key.admits, key.max_output
            if key.trusts_user or "metadata" in request.fields:
                label(request, trusted=key.trusts_user)
        elif "metadata" in request.fields:
            label(request, trusted=False)
        call = self._call
        return call(request)


def _advice(presented: str) -> str:
    """What to do about a key that is not known, by its form alone; nothing of it is told."""
    if not presented:
        return "It came empty: set the variable that the client reads it from."
    if presented.startswith(('"', "'")):
        return "It came in quotation marks: leave them out."
    if presented.lower().startswith("bearer "):
        return "It came with `Bearer` twice: the client adds that itself."
    if _UNFILLED.fullmatch(presented):
        return "What came is a placeholder, which the client did not fill in: set the variable it stands for."
    return "It must be one of this gateway's own keys."
