"""What the control plane shows: a configuration, its names, and what was counted under it.

A gateway is one already. A supervisor, whose workers have the gateways, keeps a `Standing`.
"""

from __future__ import annotations

from typing import Protocol

from penstock.config.naming import names_of
from penstock.config.schema import Config
from penstock.metrics import Metrics
from penstock.routing.names import Names
from penstock.stores.authority import Authority

__all__ = ["Overview", "Standing", "as_it_is"]


class Overview(Protocol):
    """What is looked at anew for every request, as it may change by a reload."""

    @property
    def config(self) -> Config:
        """The configuration in use."""
        ...

    @property
    def names(self) -> Names:
        """The names callers can use under it."""
        ...

    @property
    def metrics(self) -> Metrics:
        """What was counted since the start."""
        ...

    @property
    def health(self) -> Authority:
        """Who decides how deployments stand."""
        ...


class Standing:
    """An overview without a gateway."""

    def __init__(self, config: Config, metrics: Metrics, health: Authority) -> None:
        self.metrics = metrics
        self.health = health
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """This one is in use from now on."""
        self.config = config
        self.names = names_of(config)


async def as_it_is() -> None:
    """Nothing needs to be brought up to date: what is shown is counted where it is shown."""
