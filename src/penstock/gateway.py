"""Assembly: a configuration becomes one `Call`.

The layers, outermost first; a request passes them in this order on its way in, its reply in reverse on its way out:

1. trace: opens the record, stamps times
2. record: closes the record, counts it, writes the log line
3. authenticate: whose key it is
4. route: which deployment answers, and whether this key may ask for it
5. upstream: one attempt at that deployment

`tests/house` asserts that this list and the stack agree.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from penstock.call import Call, stack
from penstock.clock import Clock, Ids, Random
from penstock.config.kinds import rows_of
from penstock.config.naming import model_of, names_of
from penstock.config.pricing import Pricing
from penstock.config.schema import Config, Defaults, Provider
from penstock.config.schema import Route as Declared
from penstock.errors import UnknownPrice
from penstock.layers.authenticate import Authenticate, Key, Keyring
from penstock.layers.record import Recorder, Recording
from penstock.layers.route import Route
from penstock.layers.trace import Opening, Trace
from penstock.messages import Caller
from penstock.metrics import Metrics
from penstock.providers.auth import auth_headers
from penstock.providers.catalogue import Row
from penstock.providers.deployment import Deployment, Endpoint
from penstock.providers.facts import facts_of
from penstock.providers.payment import CallersOwn, OneOfSeveral
from penstock.providers.simulated import SimulatedProvider
from penstock.providers.upstream import Upstream
from penstock.records import Record
from penstock.routing.names import AllowList, Found
from penstock.transport.http import Origin, Pool
from penstock.transport.places import Permits
from penstock.transport.proxy import read_proxy
from penstock.transport.tls import client_context
from penstock.version import VERSION
from penstock.wire.dialects import DIALECTS

__all__ = ["LAYERS", "Gateway", "endpoint_of"]

LAYERS = ("trace", "record", "authenticate", "route", "upstream")


class Gateway:
    """The engine behind all three ways in.

    Args:
        log: takes each request's record when it is over, for its log line; None writes none.
        permits: what connections to providers need where other workers share their limits.

    Attributes:
        call: the whole stack.
        config, metrics, names: what it was built from, and what it counts.
        auth_open: whether calls need no key.
        now: the monotonic time.
        begin: makes the record of a request that has just arrived, by its operation's name; it must reach `call` or
            `refuse`.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        random: Random,
        log: Callable[[Record], None] | None = None,
        metrics: Metrics | None = None,
        permits: Permits | None = None,
    ) -> None:
        self.config = config
        self.metrics = metrics if metrics is not None else Metrics()
        self.auth_open = config.auth == "open"
        self._clock = clock
        self.now = clock.monotonic
        self.begin = Opening(Ids(clock, random), clock).record
        self._pool = Pool(clock, permits)
        self._recorder = Recorder(self.metrics, log, clock)
        self._rows = rows_of(config)
        self._endpoints = self._make_endpoints()
        self._payments = self._make_payments(random)
        self.names = names_of(config)
        self._pricing = Pricing(config, self._rows)
        self._deployments: dict[str, Deployment] = {}
        self._add_known_deployments()
        self._keyring = None if self.auth_open else _keyring(config)
        self.call: Call = self._make_stack()

    def __repr__(self) -> str:
        return f"<Gateway {' > '.join(LAYERS)} | {self._pool!r} | auth {self.config.auth}>"

    # --- what shells use

    def refuse(self, record: Record, error: BaseException) -> None:
        """A request ended before it reached `call`: count it and log it all the same."""
        self._recorder.begin()
        self._recorder.fail(record, error)

    def finish(self, record: Record, status: int) -> None:
        """A request was answered without a model call, such as the list of models."""
        self._recorder.begin()
        record.status = status
        self._recorder.end(record)

    def models(self, caller: Caller, record: Record) -> list[Found]:
        """What this caller may ask for.

        Raises:
            Unauthenticated: without a known key, where one is needed.
        """
        if self._keyring is None or caller.trusted:
            return self.names.listed()
        key = self._keyring.identify(caller)
        record.key, record.tenant, record.project = key.name, key.tenant, key.project
        return self.names.listed(key.admits)

    @property
    def deployments(self) -> list[Deployment]:
        """Those the configuration names."""
        return list(self._deployments.values())

    @property
    def upstream_connections(self) -> int:
        """Connections to providers open now."""
        return self._pool.open

    @property
    def upstream_busy(self) -> int:
        """Connections to providers that carry a request now."""
        return self._pool.busy

    async def aclose(self) -> None:
        """Close every connection to providers, busy ones too."""
        await self._pool.aclose()

    # --- assembly

    def _make_stack(self) -> Call:
        return stack(
            [
                lambda call: Trace(call, self._clock),
                lambda call: Recording(call, self._recorder),
                lambda call: Authenticate(call, self._keyring),
                lambda call: Route(call, self.names, self._deployment),
            ],
            Upstream(self._pool, DIALECTS, self._clock),
        )

    def _make_endpoints(self) -> dict[str, Endpoint]:
        on = (provider for provider in self.config.providers.values() if not provider.off)
        return {provider.name: self._make_endpoint(provider, self._rows[provider.kind]) for provider in on}

    def _make_payments(self, random: Random) -> dict[str, OneOfSeveral | CallersOwn]:
        """For the providers that have not just one credential; most configurations have none of these."""
        found: dict[str, OneOfSeveral | CallersOwn] = {}
        for name, endpoint in self._endpoints.items():
            provider = self.config.providers[name]
            scheme = self._rows[provider.kind].auth
            if provider.by_caller:
                found[name] = CallersOwn(scheme, keyless=self.auth_open)
            elif provider.credentials:
                each = (
                    (endpoint.carrying(auth_headers(scheme, one.api_key), one.name), one.weight)
                    for one in provider.credentials
                )
                found[name] = OneOfSeveral(each, random)
        return found

    def _make_endpoint(self, provider: Provider, row: Row) -> Endpoint:
        if row.in_process:
            simulated = SimulatedProvider(self._clock, keep=0)
            origin = Origin(provider.name, 80, in_process=simulated.connection)
            return Endpoint(provider.name, origin, "/v1", _headers(provider.name), row)
        return endpoint_of(provider, row)

    def _add_known_deployments(self) -> None:
        for found in self.names.listed():
            policies = self.config.models.get(found.route) or self.config.defaults
            try:
                made = self._deployments[found.name] = self._make_deployment(found, policies)
            except UnknownPrice:
                continue  # told to whoever asks for it
            payment = self._payments.get(found.provider)
            if isinstance(payment, OneOfSeveral):
                payment.prepare(made)

    def _deployment(self, found: Found, caller: Caller) -> Deployment:
        known = self._deployments.get(found.name)
        if known is None:
            # A vendor's model nobody declared: made for this request, not kept: strangers' names fill no memory.
            known = self._make_deployment(found, self.config.defaults)
        if self._payments and found.provider in self._payments:
            return self._payments[found.provider].paid(known, caller)
        return known

    def _make_deployment(self, found: Found, policies: Declared | Defaults) -> Deployment:
        price = self._pricing.of(found.provider, found.model)
        if price is None and policies.unknown_price == "refuse":
            raise UnknownPrice(
                f"nobody knows what '{found.deployment}' costs, and unknown_price is refuse",
                do="Ask for another model, or have its price declared under prices.",
                param="model",
            )
        kind, model = model_of(self.config, found)
        facts = facts_of(self._rows[kind].family, model, self._rows[kind].name)
        row = self._rows[self.config.providers[found.provider].kind]
        if row.earlier_thinking:
            facts = msgspec.structs.replace(facts, earlier_thinking=row.earlier_thinking)
        if policies.default_max_output is not None:
            facts = msgspec.structs.replace(facts, default_output_tokens=policies.default_max_output)
        return Deployment(
            self._endpoints[found.provider].of(found.model),
            found.model,
            policies.timeouts,
            facts,
            lenient=policies.untranslatable == "drop",
            price=price,
        )


def endpoint_of(provider: Provider, row: Row) -> Endpoint:
    """The endpoint of a provider that is reached by TCP.

    Raises:
        OSError: its `ca_file` cannot be read.
    """
    url = urlsplit(provider.base_url)
    tls = client_context(provider.ca_file) if url.scheme == "https" else None
    host = url.hostname or ""
    proxy = read_proxy(provider.proxy.reveal(), client_context) if provider.proxy is not None else None
    origin = Origin(host, url.port or (443 if tls else 80), tls, proxy=proxy)
    headers = _headers(url.netloc) | auth_headers(row.auth, provider.api_key)
    base = url.path
    if row.versioned is not None and provider.api_version:
        base += f"?{row.versioned.query}={provider.api_version}"
    endpoint = Endpoint(provider.name, origin, base, headers, row)
    endpoint.by_caller = provider.by_caller
    return endpoint


def _headers(host: str) -> dict[str, str]:
    return {
        "host": host,
        "user-agent": f"penstock/{VERSION}",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
    }


def _keyring(config: Config) -> Keyring:
    return Keyring(
        (key.key.reveal(), Key(key.name, key.tenant, key.project, AllowList(key.models).admits, key.trusted_user))
        for key in config.keys
    )
