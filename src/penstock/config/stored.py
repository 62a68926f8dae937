"""Providers' credentials that lie in the store (`api_key: store:NAME`): what is named, and what becomes of it.

A configuration is read without a store, so such a provider is switched off at first. The gateway that owns the store
fills the credentials in, and with each the provider is on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from penstock.config.reader import Reader
from penstock.config.schema import Config, Provider
from penstock.config.tree import Node
from penstock.redact import Secret

__all__ = ["is_stored", "read_stored", "stored_names", "stored_of", "users_of", "why_off", "with_stored"]

_PREFIX = "store:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_stored(reader: Reader, node: Node) -> Secret | None:
    """The reference to a credential in the store, as a secret without a value; None where it is none, or is wrong."""
    written = node.value
    if not isinstance(written, str) or not written.startswith(_PREFIX):
        return None
    if not _NAME.fullmatch(written.removeprefix(_PREFIX)):
        reader.problems.add(
            node.place, "store: must be followed by the name of a credential in the store: store:openai"
        )
    return Secret("", written)


def is_stored(secret: Secret | None) -> bool:
    """Whether it is a reference to the store that nobody has followed."""
    return secret is not None and not secret.reveal() and secret.source.startswith(_PREFIX)


def why_off(secrets: list[Secret]) -> str:
    """Why a provider is off that is paid with those; "" where none of them is in the store."""
    names = [_name(secret) for secret in secrets if is_stored(secret)]
    return f"its credential {' and '.join(names)} is in the store, which `penstock serve` reads" if names else ""


def stored_names(config: Config) -> tuple[str, ...]:
    """The credentials that a configuration wants of the store."""
    found = (name for provider in config.providers.values() for name in stored_of(provider))
    return tuple(dict.fromkeys(found))


def stored_of(provider: Provider) -> tuple[str, ...]:
    """The same of one provider."""
    return tuple(_name(secret) for secret in _secrets(provider) if secret.source.startswith(_PREFIX))


def users_of(config: Config, name: str) -> tuple[str, ...]:
    """The providers that are paid with that credential of the store."""
    wanted = f"{_PREFIX}{name}"
    providers = config.providers.values()
    return tuple(each.name for each in providers if any(secret.source == wanted for secret in _secrets(each)))


def with_stored(config: Config, found: Mapping[str, Secret | str]) -> Config:
    """The same with what the store has.

    Args:
        found: by name, the credential; or why it is not to be had, which switches its provider off.
    """
    providers = {name: _filled(provider, found) for name, provider in config.providers.items()}
    return msgspec.structs.replace(config, providers=providers)


def _filled(provider: Provider, found: Mapping[str, Secret | str]) -> Provider:
    wanted = [secret for secret in _secrets(provider) if secret.source.startswith(_PREFIX)]
    if not wanted:
        return provider
    if provider.api_key is not None:
        secret = found[_name(provider.api_key)]
        if isinstance(secret, str):
            return msgspec.structs.replace(provider, off=secret)
        return msgspec.structs.replace(provider, api_key=secret, off="")
    pool = []
    for credential in provider.credentials:
        secret = credential.api_key
        if secret.source.startswith(_PREFIX):
            filled = found[_name(secret)]
            if isinstance(filled, str):
                continue
            credential = msgspec.structs.replace(credential, api_key=filled)
        pool.append(credential)
    if not pool:
        why = (found[_name(secret)] for secret in wanted)
        return msgspec.structs.replace(provider, off=", ".join(each for each in why if isinstance(each, str)))
    return msgspec.structs.replace(provider, credentials=tuple(pool), off="")


def _secrets(provider: Provider) -> Iterator[Secret]:
    if provider.api_key is not None:
        yield provider.api_key
    for credential in provider.credentials:
        yield credential.api_key


def _name(secret: Secret) -> str:
    return secret.source.removeprefix(_PREFIX)
