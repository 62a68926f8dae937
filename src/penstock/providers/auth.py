"""How a credential is put on a request: a table of schemes, so that a catalogue row need only name one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from penstock.redact import Secret

__all__ = ["SCHEMES", "Scheme", "auth_headers"]

Scheme = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "none"]

# The header, and what stands in it before the credential; None sends no credential.
SCHEMES: Mapping[Scheme, tuple[str, str] | None] = MappingProxyType(
    {
        "bearer": ("authorization", "Bearer "),  # RFC 6750, section 2.1
        "x-api-key": ("x-api-key", ""),
        "api-key": ("api-key", ""),
        "x-goog-api-key": ("x-goog-api-key", ""),
        "none": None,
    }
)


def auth_headers(scheme: Scheme, credential: Secret | None) -> dict[str, str]:
    """The headers that carry `credential`; none without one."""
    place = SCHEMES[scheme]
    if credential is None or place is None:
        return {}
    name, before = place
    return {name: before + credential.reveal()}
