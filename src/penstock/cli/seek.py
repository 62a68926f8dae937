"""Finds the key that somebody means: by its id, by `tenant/name`, or by its name where one alone has it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from penstock.cli.register import Asked, everything
from penstock.errors import CallerError, NotFound
from penstock.routing.nearest import did_you_mean

__all__ = ["seek_key"]


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
            f"there is no key {meant!r}{near}", do=f"`penstock {_command(room)} list` shows those there are."
        )
    several = ", ".join(f"{key['label']} ({key['id']})" for key in found)
    raise CallerError(f"several keys are named {meant!r}: {several}", do="Say which by its id, or with --tenant.")


def _command(room: str) -> str:
    return "keys" if room == "keys" else "admin"
