"""What is kept so that the store alone gives nothing away: keys as HMACs, providers' credentials encrypted.

All of it hangs on one secret, the encryption key, which never lies in the store: what is needed is derived from it
(HKDF-SHA256, RFC 5869), each use from another label. Lost, no stored key is known any more and no provider's
credential can be read; so the store remembers by a fingerprint which one it was made with.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from penstock.errors import PenstockError
from penstock.redact import Secret
from penstock.stores.key_format import digest_with

__all__ = ["SHORTEST", "Sealed", "Vault"]

SHORTEST = 32
_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, section 8.2.2: by chance, for far fewer than 2^32 of them
_FINGERPRINT_BYTES = 8


class Sealed(NamedTuple):
    """An encrypted value as it lies in the store; whose fingerprint says under which encryption key."""

    nonce: bytes
    ciphertext: bytes
    fingerprint: str


class Vault:
    """One encryption key in use.

    Args:
        secret: at least 32 characters; its source may be told.

    Attributes:
        pepper: what keys are hashed under.
        fingerprint: tells encryption keys apart and nothing else about them.
        source: where it came from.
    """

    __slots__ = ("_cipher", "fingerprint", "pepper", "source")

    def __init__(self, secret: Secret) -> None:
        self.source = secret.source
        self.pepper = _derive(secret, b"penstock keys pepper 1")
        self.fingerprint = _derive(secret, b"penstock fingerprint 1")[:_FINGERPRINT_BYTES].hex()
        self._cipher = AESGCM(_derive(secret, b"penstock provider credentials aes-256-gcm 1"))

    def __repr__(self) -> str:
        return f"<Vault {self.fingerprint}>"

    def digest(self, presented: str) -> bytes:
        """What a key is kept as, and looked up by."""
        return digest_with(self.pepper, presented)

    def seal(self, place: tuple[str, ...], value: Secret) -> Sealed:
        """Encrypt a value for its place, table, row and name: nowhere else can it be opened."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return Sealed(nonce, self._cipher.encrypt(nonce, value.reveal().encode(), _bound(place)), self.fingerprint)

    def open(self, place: tuple[str, ...], sealed: Sealed, source: str) -> Secret:
        """The value again.

        Raises:
            PenstockError: it was made for another place, changed, or encrypted under another key.
        """
        if sealed.fingerprint != self.fingerprint:
            raise PenstockError(
                f"{source} was encrypted under another encryption key ({sealed.fingerprint})",
                do=f"Bring that key back ({self.source} holds {self.fingerprint}), or store the credential anew.",
            )
        try:
            return Secret(self._cipher.decrypt(sealed.nonce, sealed.ciphertext, _bound(place)).decode(), source)
        except (InvalidTag, ValueError):
            raise PenstockError(
                f"{source} cannot be decrypted: its row was changed, or is a copy of another one",
                do="Store the credential anew, and look who can write to the store.",
            ) from None


def _bound(place: tuple[str, ...]) -> bytes:
    """The parts with their lengths before them, so that no two places are written alike."""
    encoded = [part.encode() for part in place]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _derive(secret: Secret, label: bytes) -> bytes:
    # No salt: the encryption key is random itself (RFC 5869, section 3.1), and restarts must find the same.
    found = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=label).derive(secret.reveal().encode())
    assert len(found) == sha256().digest_size
    return found
