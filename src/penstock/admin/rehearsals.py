"""`/api/v1/rehearsals`: whether each deployment would answer, by one real token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from penstock.errors import NotFound
from penstock.gateway.rehearsal import Rehearsed, describe_rehearsed

__all__ = ["Rehearsals", "last_rehearsals", "rehearse"]


class Rehearsals(Protocol):
    """Who rehearses."""

    @property
    def rehearsed(self) -> Mapping[str, Rehearsed]:
        """What came of each deployment's last rehearsal."""
        ...

    async def rehearse(self, id: str = "") -> list[Rehearsed]:
        """Rehearse a deployment now, or all (""). Raises KeyError where there is none of that id."""
        ...


def last_rehearsals(rehearsals: Rehearsals) -> dict[str, Any]:
    """What was found last."""
    return _listed(rehearsals.rehearsed.values())


async def rehearse(rehearsals: Rehearsals, id: str) -> dict[str, Any]:
    """What is found now.

    Raises:
        NotFound: no deployment has that id.
    """
    try:
        return _listed(await rehearsals.rehearse(id))
    except KeyError:
        raise NotFound(
            "no name under `models:` leads to a deployment of that id", do="GET /api/v1/deployments lists them."
        ) from None


def _listed(found: Iterable[Rehearsed]) -> dict[str, Any]:
    return {"data": [describe_rehearsed(one) for one in found]}
