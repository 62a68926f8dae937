"""How a key of this gateway is written: `psk_live_` or `psk_test_`, 27 letters of chance, 6 of a checksum.

27 letters of 62 are 160 bits. The checksum tells a typo from a key that is not known, without a look at any store,
and lets a secret scanner be sure: `psk_(live|test)_[0-9A-Za-z]{33}`, CRC-32 over all but the last six letters.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable
from hmac import digest as hmac_digest
from typing import Literal, get_args
from zlib import crc32

from penstock.redact import Secret

__all__ = ["ENVS", "PATTERN", "Env", "digest_with", "display_parts", "is_mistyped", "make_key"]

Env = Literal["live", "test"]
ENVS: tuple[Env, ...] = get_args(Env)

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 27
_CHECK = 6
_SHOWN = 4
# `[0-9A-Za-z]`, not `\w`: a letter of another script that looks like one of these is none of these.
PATTERN = re.compile(r"psk_(?:live|test)_[0-9A-Za-z]{33}")
# What was meant to be such a key, whatever has become of it.
_MEANT = re.compile(r"psk_(?:live|test)_", re.IGNORECASE)


def make_key(env: Env, choose: Callable[[str], str] = secrets.choice) -> Secret:
    """A new key. `choose` draws one of some letters; only tests draw otherwise than from the system."""
    body = f"psk_{env}_" + "".join(choose(_LETTERS) for _ in range(_RANDOM))
    return Secret(body + _checksum(body))


def is_mistyped(presented: str) -> bool:
    """Whether it was meant to be a key of this form and cannot be one: too short, too long, or a letter is wrong."""
    if PATTERN.fullmatch(presented) is None:
        return _MEANT.match(presented.strip()) is not None
    return _checksum(presented[:-_CHECK]) != presented[-_CHECK:]


def display_parts(key: Secret) -> tuple[str, str]:
    """What may be shown of a key: its first letters and its last four. At least 112 of its 160 bits stay unknown."""
    text = key.reveal()
    start = text.rindex("_") + 1 + _SHOWN
    return text[:start], text[-_SHOWN:]


def digest_with(pepper: bytes, presented: str) -> bytes:
    """What a key is looked up by: its HMAC-SHA256 under a pepper.

    Not a password hash: a key has 160 random bits, nobody can guess it from its hash, and one that takes long would
    let a stranger keep the gateway busy. Under a pepper nobody can choose a hash either, so a plain look-up tells
    nothing by its time.
    """
    return hmac_digest(pepper, presented.encode("utf-8", "surrogatepass"), "sha256")


def _checksum(body: str) -> str:
    number, found = crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_LETTERS))
        found = _LETTERS[digit] + found
    return found
