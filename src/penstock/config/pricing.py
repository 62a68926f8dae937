"""What each deployment of a configuration costs: what is declared there, else what its vendor takes."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from penstock.config.schema import Config, Provider
from penstock.providers.catalogue import Row
from penstock.providers.models import price_of
from penstock.providers.prices import Price, declared, match_declared

__all__ = ["Pricing"]


class Pricing:
    """Looks prices up. A user's own kind of provider has no vendor's price, whatever it is called.

    Args:
        rows: the catalogue's rows by kind.
    """

    def __init__(self, config: Config, rows: Mapping[str, Row]) -> None:
        self._declared = {name: declared(dict(prices)) for name, prices in config.prices.items()}
        self._known_as = {name: known.partition("/")[2] for name, known in config.known_as.items()}
        self._kinds = {
            provider.name: provider.kind
            for provider in config.providers.values()
            if provider.kind in rows
            and provider.kind not in config.kinds
            and _is_the_vendors(provider, rows[provider.kind])
        }

    @classmethod
    def of_vendors(cls, config: Config) -> Pricing:
        """What the vendors themselves take, wherever the configuration says they are."""
        made = cls(config, {})
        made._kinds = {provider.name: provider.kind for provider in config.providers.values()}
        return made

    def of(self, provider: str, model: str) -> Price | None:
        """What a model costs; None where nobody knows."""
        if self._declared:
            found = match_declared(self._declared, f"{provider}/{model}")
            if found is not None:
                return found
        kind = self._kinds.get(provider)
        if kind is None:
            return None
        # `is:` says which model it is, not whose price holds: that is for whoever sells it here to say.
        if self._known_as:
            model = self._known_as.get(f"{provider}/{model}", model)
        return price_of(kind, model)


def _is_the_vendors(provider: Provider, row: Row) -> bool:
    """Whether a provider is at its vendor's own address, where that has one, so that the vendor's prices hold.

    A compatible server of somebody else's, or a region with a surcharge, is of the same kind and takes what it takes.
    """
    own = urlsplit(row.url).hostname
    return own is None or urlsplit(provider.base_url).hostname == own
