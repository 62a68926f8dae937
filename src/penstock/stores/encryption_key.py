"""Where the encryption key comes from: `encryption_key:` of the configuration, or `penstock.secret` beside the state.

The file is made on first start, once: where the store was made under a key that is gone, a new one would mend nothing
and hide what happened.
"""

from __future__ import annotations

import logging
import secrets
import string
from pathlib import Path

from penstock.errors import ConfigError
from penstock.redact import Secret
from penstock.stores.secret_file import make_secret_file, read_secret_file
from penstock.stores.vault import SHORTEST, Vault

__all__ = ["FILE", "load_vault", "lost"]

log = logging.getLogger("penstock.store")

FILE = "penstock.secret"

_LETTERS = string.ascii_letters + string.digits
_LENGTH = 48  # of 62 letters each: 285 bits


def load_vault(folder: Path, declared: Secret | None, *, make: bool) -> Vault | None:
    """The vault of the declared encryption key, else of the one in its file in `folder`.

    Args:
        make: whether one is made where there is none; otherwise that is None.

    Raises:
        ConfigError: it is too short, or its file cannot be read, made or trusted.
    """
    if declared is not None:
        return Vault(_checked(declared))
    path = folder.absolute() / FILE
    try:
        try:
            found = read_secret_file(path, "the encryption key")
        except FileNotFoundError:
            if not make:
                return None
            # `secrets`, not clock.Random: this is a secret, not chance, and must not follow from a seed.
            make_secret_file(path, "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)))
            found = read_secret_file(path, "the encryption key")
        if found.warning:
            log.warning("%s", found.warning)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"{path}: the encryption key cannot be read or made: {reason}",
            do="Let Penstock write in that folder, or write encryption_key: env:NAME in the configuration.",
        ) from None
    return Vault(_checked(Secret(found.value, f"file:{path}")))


def lost(folder: Path, vault: Vault | None, made_with: str) -> ConfigError:
    """What is wrong where the store was made under another encryption key, and what can be done."""
    found = f"{vault.source} holds {vault.fingerprint}" if vault is not None else f"{folder / FILE} is not there"
    return ConfigError(
        f"the keys in the store were made under the encryption key {made_with}, and {found}",
        do=f"Bring that key back ({FILE} from a backup, or encryption_key in the configuration). If it is lost for"
        " good, no stored key can be known again and no stored credential read: begin with a new store.",
    )


def _checked(secret: Secret) -> Secret:
    value = secret.reveal()
    if len(value) < SHORTEST or len(set(value)) < 8:
        # An empty or trivial secret that is accepted is no secret (new-api CVE-2026-41432).
        raise ConfigError(
            f"{secret.source} holds no usable encryption key: it must have at least {SHORTEST} characters of chance",
            do="Make one: openssl rand -hex 32",
        )
    return secret
