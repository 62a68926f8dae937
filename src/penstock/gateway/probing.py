"""Probes: whether a provider is there and takes its keys, by its list of models, which costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.config.kinds import rows_of
from penstock.config.schema import Config, Provider
from penstock.errors import UpstreamError
from penstock.gateway import endpoint_of
from penstock.providers.auth import auth_headers
from penstock.providers.catalogue import Row
from penstock.providers.deployment import Endpoint
from penstock.providers.listing import get_models
from penstock.transport.http import Pool

__all__ = ["Probe", "Probed"]


class Probed(msgspec.Struct):
    """What came of a probe.

    Attributes:
        failure: why the provider cannot be used; "" where it is there.
        accepted, refused: the names of its credentials, "" for the only one.
        status: the last HTTP status, 0 without one.
    """

    failure: str = ""
    accepted: list[str] = []
    refused: list[str] = []
    status: int = 0


class Probe:
    """Looks for one provider.

    Args:
        endpoints: of each of its credentials, by name.
    """

    def __init__(self, endpoints: dict[str, Endpoint], pool: Pool) -> None:
        self._endpoints = endpoints
        self._pool = pool

    @classmethod
    def all_of(cls, config: Config, pool: Pool) -> dict[str, tuple[Probe, float]]:
        """By provider its probe, and how often it is to be made, in seconds: for those that want one."""
        rows = rows_of(config)
        return {
            provider.name: (cls(dict(_ways_to_pay(provider, rows[provider.kind])), pool), provider.probe)
            for provider in config.providers.values()
            # One that runs inside Penstock is always there, and one with a model in its path has no list of models.
            if provider.probe and not provider.off and provider.base_url and "{model}" not in provider.base_url
        }

    async def ask(self) -> Probed:
        """One GET for each of its credentials; never raises for what the provider does."""
        found = Probed()
        for name, endpoint in self._endpoints.items():
            try:
                answer = await get_models(endpoint, self._pool)
            except UpstreamError as error:
                return Probed(f"{error.code}: {error.message}")
            if answer is None:
                return Probed("its answer is no HTTP")
            found.status = answer.status
            if answer.status >= 500:
                return Probed(f"it answers {answer.status}", status=answer.status)
            if answer.status in (401, 403):
                # Of one that is asked without a key of ours it says no more than that it is there.
                if not endpoint.by_caller:
                    found.refused.append(name)
            else:
                found.accepted.append(name)
        return found


def _ways_to_pay(provider: Provider, row: Row) -> Iterator[tuple[str, Endpoint]]:
    endpoint = endpoint_of(provider, row)
    for one in provider.credentials:
        yield one.name, endpoint.carrying(auth_headers(row.auth, one.api_key), one.name)
    if not provider.credentials:
        yield "", endpoint
