"""Webhooks as Standard Webhooks 1.0.0 has them: the message, its headers and its signature. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: a body of JSON with `type`,
`timestamp` and `data`; what is signed is `id.timestamp.body`, by HMAC-SHA256 with the bytes of a `whsec_` secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence

__all__ = ["TOLERANCE", "read_secret", "signature", "verify", "webhook_headers"]

PREFIX = "whsec_"
# Of the secret, decoded: at least 192 bits, at most 512.
LEAST_SECRET, MOST_SECRET = 24, 64
# By how many seconds a message's timestamp may differ from the receiver's time.
TOLERANCE = 300
# No dot, so that nobody can move the borders between what is signed; no space, comma or control.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,15}")


def read_secret(written: str) -> bytes:
    """The key in a secret, written as `whsec_` and base64; of several, each has its own.

    Raises:
        ValueError: it is empty, of another form, or too short to keep a secret; the message never has it in it.
    """
    if not written.strip():
        raise ValueError("the webhook's secret is empty: anybody could sign with it")
    if not written.startswith(PREFIX):
        raise ValueError(f"the webhook's secret must begin with {PREFIX}, and go on with 24 to 64 bytes in base64")
    try:
        key = b64decode(written[len(PREFIX) :], validate=True)
    except ValueError:
        raise ValueError(f"what follows {PREFIX} in the webhook's secret is not base64") from None
    if not LEAST_SECRET <= len(key) <= MOST_SECRET:
        raise ValueError(f"the webhook's secret has {len(key)} bytes, and must have {LEAST_SECRET} to {MOST_SECRET}")
    return key


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """One signature, with its version: `v1,` and base64."""
    if not key:
        raise ValueError("an empty key signs nothing")
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def webhook_headers(keys: Sequence[bytes], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that say which message it is, when it was sent, and who sent it.

    Args:
        keys: one, or two while a secret is being replaced; at least one.
        id: the same each time that the message is sent again, without a dot.
        timestamp: of this sending, Unix seconds.

    Raises:
        ValueError: there is no key, or an empty one, or the id cannot be signed.
    """
    if not keys:
        raise ValueError("a webhook without a secret is not sent")
    if not _ID.fullmatch(id):
        raise ValueError(f"{id[:128]!r} cannot be a message's id")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, id, timestamp, body) for key in keys),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float, tolerance: float = TOLERANCE) -> bool:
    """Whether a message that has come is from whoever knows the secret, and is not an old one sent again.

    Args:
        headers: by lower-case name.
        body: as it came; JSON that was read and written anew has other bytes.
        now: Unix time.

    Raises:
        ValueError: as `read_secret`.
    """
    key = read_secret(secret)
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(id) or not _TIMESTAMP.fullmatch(stamp) or not abs(now - int(stamp)) <= tolerance:
        return False
    expected = signature(key, id, int(stamp), body).encode()
    found = [each.encode() for each in headers.get("webhook-signature", "").split(" ")]
    # All are compared, so that the time taken says nothing about which one it was.
    return any([hmac.compare_digest(expected, each) for each in found])  # noqa: C419
