"""Finds the key that somebody means: by its id, by `tenant/name`, by its name where one alone has it, or by its secret.

Of a key that has leaked nobody knows more than its secret. It is looked for by its first and last letters, as `list`
tells them, goes nowhere, and is never repeated.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from penstock.cli.register import Asked, everything
from penstock.errors import CallerError, NotFound
from penstock.redact import as_asked
from penstock.routing.nearest import did_you_mean

__all__ = ["seek_key"]

_MOST_TOLD = 5


def seek_key(asked: Asked, room: str, meant: str, tenant: str | None = None) -> dict[str, Any]:
    """The key as the control plane tells it.

    Args:
        room: `keys` or `admins`.
        tenant: among that one's alone.

    Raises:
        NotFound: there is none; with what is near.
        CallerError: several have that name.
    """
    of_tenant = f"&tenant={quote(tenant, safe='')}" if tenant else ""
    query = f"?revoked=true{of_tenant}"
    known = list(everything(asked, f"/{room}{query}"))
    if meant.startswith("psk_"):
        return _by_secret(known, meant)
    by_id = [key for key in known if key["id"] == meant]
    named = [key for key in known if meant in (key["label"], key["name"])]
    # One that is revoked has given its name away.
    living = [key for key in named if key["state"] != "revoked"]
    found = by_id or [key for key in living if key["label"] == meant] or living or named
    if len(found) == 1:
        return found[0]
    if not found:
        near = did_you_mean(meant, sorted({key["label"] for key in known}))
        raise NotFound(
            f"there is no key {as_asked(meant)}{near}", do=f"`penstock {_command(room)} list` shows those there are."
        )
    several = ", ".join(f"{key['label']} ({key['id']})" for key in found[:_MOST_TOLD])
    more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
    do = "Say which as tenant/name, by its id, or with --tenant."
    raise CallerError(f"several keys are named {as_asked(meant)}: {several}{more}", do=do)


def _by_secret(known: list[dict[str, Any]], meant: str) -> dict[str, Any]:
    """By a whole secret, or by its first and last letters as a list of keys shows them."""
    for key in known:
        # One that is revoked has none any more, but what it was called by.
        for secret in [*key.get("secrets", ()), key]:
            first, last = secret.get("prefix") or "", secret.get("last_four") or ""
            if first and len(meant) >= len(first + last) and meant.startswith(first) and meant.endswith(last):
                return key
    raise NotFound(
        "no key here has that secret",
        do="It is another gateway's, or was replaced by a rotation that is over; then it is good for nothing here.",
    )


def _command(room: str) -> str:
    return "keys" if room == "keys" else "admin"
