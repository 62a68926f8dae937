"""The catalogue: one `.toml` row per kind of provider, saying where it lives and how it is spoken to.

A new OpenAI-like provider is a new file in `catalogue/`, no code. Nothing here is about a user's own settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

import msgspec

__all__ = ["Headers", "Row", "load_catalogue"]


class Headers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lower-case names of the headers that pass: a caller's on their way up, the provider's on their way down.

    Attributes:
        defaults: the value of a header in `up` that the caller did not send, where the provider demands one.
    """

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    defaults: dict[str, str] = {}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of provider.

    Attributes:
        name: the kind, as in `kind:`.
        url: the base URL, without a slash at its end; "" for one that runs inside Penstock.
        dialects: how it can be spoken to.
        auth: how its credential is sent.
        env: the variable that holds its credential and switches it on in the built-in default; "" for none.
        models: models it is known to have; empty where that is not known.
        headers: what passes besides content-type.
        version_path: what its base URL ends with; added to a user's `base_url` that does not, where the vendor's own
            clients add it to theirs.
    """

    name: str
    url: str
    dialects: tuple[str, ...]
    auth: Literal["bearer", "x-api-key", "none"]
    env: str
    models: tuple[str, ...] = ()
    headers: Headers = Headers()
    version_path: str = ""

    @property
    def in_process(self) -> bool:
        """Whether it runs inside Penstock: no URL, no credential, no TLS."""
        return not self.url


@cache
def load_catalogue() -> Mapping[str, Row]:
    """Every row by name, in the order of the names; read once."""
    folder = resources.files("penstock.providers").joinpath("catalogue")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    rows = [msgspec.convert(tomllib.loads(entry.read_text("utf-8")), Row) for entry in files]
    return MappingProxyType({row.name: row for row in rows})
