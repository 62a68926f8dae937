"""Which credential one request goes with, where a provider has not just one: chosen by weight, or the caller's own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock.clock import Random
from penstock.errors import Unauthenticated
from penstock.messages import Caller
from penstock.providers.auth import Scheme, auth_headers
from penstock.providers.deployment import Deployment, Endpoint
from penstock.redact import Secret
from penstock.routing.weights import Weighted

__all__ = ["CallersOwn", "OneOfSeveral"]

# As config/reader.py has it: RFC 9110, section 5.5, visible ASCII only.
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")


class OneOfSeveral:
    """A pool of credentials: each request goes with one of them, by weight.

    Args:
        endpoints: the provider with each credential, and its weight.
    """

    def __init__(self, endpoints: Iterable[tuple[Endpoint, int]], random: Random) -> None:
        self._weights = list(endpoints)
        self._endpoints = Weighted(self._weights)
        self._known: dict[Deployment, Weighted[Deployment]] = {}
        self._random = random

    def prepare(self, deployment: Deployment) -> None:
        """Make it with every credential, so that no request has to."""
        self._known[deployment] = Weighted((deployment.at(endpoint), weight) for endpoint, weight in self._weights)

    def paid(self, deployment: Deployment, caller: Caller) -> Deployment:
        """The deployment with the credential whose turn it is."""
        chance = self._random.random()
        known = self._known.get(deployment)
        return known.choose(chance) if known is not None else deployment.at(self._endpoints.choose(chance))


class CallersOwn:
    """Passes each caller's own credential on, and no other to nobody (`credentials: caller`).

    Args:
        scheme: how the provider takes a credential.
        keyless: callers need no key of Penstock's, so that what stands in the usual header is the provider's. Else it
            is Penstock's own key, and the provider's only where Penstock's came in `x-penstock-key`.
    """

    def __init__(self, scheme: Scheme, *, keyless: bool) -> None:
        self._scheme = scheme
        self._keyless = keyless

    def paid(self, deployment: Deployment, caller: Caller) -> Deployment:
        """The deployment with the caller's credential.

        Raises:
            Unauthenticated: there is none, or it is none.
        """
        own = caller.provider_credential
        if own is None and self._keyless and b"x-penstock-key" not in caller.headers:
            own = caller.credential
        if own is None or not _CREDENTIAL.fullmatch(own):
            raise Unauthenticated(
                f"{deployment.endpoint.name} is asked with each caller's own credential, and none came",
                do="Send the provider's key in its usual header, and Penstock's own in x-penstock-key.",
            )
        return deployment.at(deployment.endpoint.carrying(auth_headers(self._scheme_of(caller), Secret(own))))

    def _scheme_of(self, caller: Caller) -> Scheme:
        # Anthropic's clients send a token (ANTHROPIC_AUTH_TOKEN, Claude Code's own) as Bearer and a key as x-api-key;
        # other clients know Bearer alone: https://platform.claude.com/docs/en/api/sdks/python
        if b"anthropic-version" in caller.headers and b"authorization" in caller.headers:
            return "bearer"
        return self._scheme
