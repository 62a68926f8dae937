"""Assembly: a configuration becomes one `Call`.

The layers, outermost first; a request passes them in this order on its way in, its reply in reverse on its way out:

1. record: stamps times, closes the record, counts it, writes the log line
2. authenticate: whose key it is
3. deadline: by when the caller wants it to be over
4. own: the user's own layers, each behind a fence; a configuration without any has none of this
5. admission: who is let in while the process is short, and so many calls at a time; only where there is such a limit
6. rate_limit: requests and tokens in a time, of every scope; only where there is such a limit
7. budget: what the request may use in all, and a cheaper model where a soft budget is used up
8. route: where it may go, and whether this key may ask for it
9. attempts: the one loop over retries and fallbacks
10. hedge: asks a second deployment beside one that is silent for long; only where the configuration says when
11. breaker: of each attempt, what came of it is told to the deployment's health
12. concurrency: how many attempts run at a time at a deployment, and who waits
13. meter: what the attempt may cost is reserved, its row opened, and what it did cost settled
14. timeout: how long the attempt may take
15. upstream: the attempt itself

A connection's further requests for the same model go past 2 to 8 where nothing in these has anything to look at, and
past 13 as far as nothing is reserved (`shortcut.py`).

`tests/house` asserts that this list and the stack agree.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from penstock.call import Call, Layer, stack
from penstock.clock import Clock, Ids, Random
from penstock.config.kinds import rows_of
from penstock.config.naming import names_of
from penstock.config.schema import Config, Provider
from penstock.gateway.keys import keyring_of
from penstock.gateway.limiting import Given, Limiting
from penstock.gateway.own_layers import load_layers, name_layers
from penstock.gateway.plans import Plans, Running
from penstock.gateway.shortcut import Learning, Shortcut
from penstock.layers.attempts import Attempts
from penstock.layers.authenticate import Authenticate, Key
from penstock.layers.breaker import Breaker
from penstock.layers.budget import Budget, downgrading_rules
from penstock.layers.concurrency import Concurrency
from penstock.layers.deadline import Deadline
from penstock.layers.hedge import Hedging
from penstock.layers.meter import Booking, Meter, metered_rules
from penstock.layers.own import Own
from penstock.layers.record import Recorder, Recording
from penstock.layers.route import Route
from penstock.layers.timeout import Timeout
from penstock.layers.trace import Opening
from penstock.messages import Caller
from penstock.metrics import Metrics
from penstock.providers.auth import auth_headers
from penstock.providers.catalogue import Row
from penstock.providers.deployment import Deployment, Endpoint
from penstock.providers.joined import join
from penstock.providers.simulated import SimulatedProvider
from penstock.providers.upstream import Upstream
from penstock.records import Record
from penstock.routing.names import Found
from penstock.routing.strikes import Strikes
from penstock.stores.authority import Authority
from penstock.stores.factors import Factors
from penstock.stores.health import Desk, OwnDesk
from penstock.stores.journal import Journal
from penstock.stores.key_link import KeyLink
from penstock.stores.pace import Pace
from penstock.stores.permits import Permits
from penstock.stores.purse import Purse, open_purse
from penstock.stores.questions import Questions
from penstock.stores.state import Registry
from penstock.stores.strain import Strain
from penstock.stores.treasury import Treasury
from penstock.transport.http import Origin, Pool
from penstock.transport.proxy import read_proxy
from penstock.transport.tls import client_context
from penstock.version import VERSION
from penstock.wire.dialects import DIALECTS

__all__ = ["LAYERS", "Gateway", "Shared", "endpoint_of"]

LAYERS = (
    *("record", "authenticate", "deadline", "own", "admission", "rate_limit", "budget", "route"),
    *("attempts", "hedge", "breaker", "concurrency", "meter", "timeout", "upstream"),
)
# Those that are only there where a configuration gives them something to do.
SELDOM = frozenset(("own", "admission", "rate_limit", "hedge"))


class Shared(NamedTuple):
    """What several gateways of one process have in common: the one of before a reload and the one of after it.

    Attributes:
        state: how deployments stand and how busy they are.
        permits: what connections and calls to providers need where other workers share their limits.
        desk: who decides how deployments stand; None: this process.
        layers: a program's own, inside those that the configuration names.
        questions: to the centre; None: this process is all there is.
        keys: the store's keys; None: there are none but the declared ones.
        purse: what may be spent of limits and budgets; None: this process keeps them itself.
        journal: where attempts are written down; None: nothing is kept of them.
        strain: whether the process has too much to do; None: it is a program's own, and nobody looks.
        pressure: by which part what draws on a soft budget's account should slow down.
    """

    state: Registry
    permits: Permits | None = None
    desk: Desk | None = None
    layers: tuple[Layer, ...] = ()
    questions: Questions | None = None
    keys: KeyLink | None = None
    purse: Purse | None = None
    journal: Journal | None = None
    strain: Strain | None = None
    pressure: Callable[[str], float] = lambda account: 0.0


class Gateway:
    """The engine behind all three ways in.

    Args:
        log: takes each request's record when it is over, for its log line; None writes none.
        shared: what it has in common with other gateways; None: nothing.

    Attributes:
        call: the whole stack.
        config, metrics, names: what it was built from, and what it counts.
        plans: where each name's requests may go.
        auth_open: whether calls need no key.
        shared: what it has in common with other gateways.
        purse: what may be spent of limits and budgets.
        strain: whether the process has too much to do; None where nobody looks.
        full: as Limiting's.
        clock: all its time; `now`: the monotonic one.
        attempt: one attempt at a request's `target`, past every policy.
        booked: the same, reserved and booked: it needs the request's plan and candidate, too.
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
        shared: Shared | None = None,
    ) -> None:
        self.config = config
        self.metrics = metrics if metrics is not None else Metrics()
        self.auth_open = config.auth == "open"
        self._clock = self.clock = clock
        self.now = clock.monotonic
        self.begin = Opening(Ids(clock, random), clock).record
        shared = self.shared = shared if shared is not None else Shared(Registry())
        self._pool = Pool(clock, shared.permits)
        self._recorder = Recorder(self.metrics, log, clock)
        self._rows = rows_of(config)
        self._endpoints = self._make_endpoints()
        self.names = names_of(config)
        self.purse = shared.purse if shared.purse is not None else self._own_purse(shared.state)
        self.purse.adopt(config.rules)
        given = Given(shared.state, self.purse, shared.permits, shared.strain, shared.pressure)
        self._limiting = Limiting(config, clock, self.metrics, given)
        self.strain, self.full = self._limiting.strain, self._limiting.full
        self._desk = shared.desk if shared.desk is not None else self._own_desk(shared.state, random)
        running = Running(shared.state, self._desk, shared.permits)
        self.plans = Plans(config, self.names, self._endpoints, running, keyless=self.auth_open)
        strikes = shared.state.of("strikes", "", lambda _: Strikes())
        self._keyring = None if self.auth_open else keyring_of(config, shared.keys, strikes)
        self._random = random
        self.attempt: Call = Upstream(self._pool, DIALECTS, clock)
        self.booked: Call = Meter(self.attempt, clock, self._booking(), self.metrics).__call__
        self._hedging: dict[str, Layer] = {"hedge": lambda call: Hedging(call, clock)} if self.plans.hedged else {}
        self._own = [*load_layers(config), *name_layers(shared.layers)]
        self.call: Call = self._make_stack()

    def __repr__(self) -> str:
        there = self._limiting.layers.keys() | ({"own"} if self._own else set()) | self._hedging.keys()
        layers = [layer for layer in LAYERS if layer not in SELDOM or layer in there]
        return f"<Gateway {' > '.join(layers)} | {self._pool!r} | auth {self.config.auth}>"

    # --- what shells use

    def refuse(self, record: Record, error: BaseException) -> None:
        """A request ended before it reached `call`: count it and log it all the same."""
        self._recorder.fail(record, error)

    def finish(self, record: Record, status: int) -> None:
        """A request was answered without a model call, such as the list of models."""
        record.status = status
        self._recorder.end(record)

    def models(self, caller: Caller, record: Record) -> list[Found]:
        """What this caller may ask for.

        Raises:
            Unauthenticated: without a known key, where one is needed.
            Forbidden: the key may not ask for that, or not from there.
            Overloaded: nobody knows the key, as the store of keys cannot be reached.
        """
        key = self.whose(caller, record)
        return self.names.listed() if key is None else self.names.listed(key.admits)

    def whose(self, caller: Caller, record: Record) -> Key | None:
        """The caller's key, noted in the record; None where none is needed. Raises Unauthenticated."""
        if self._keyring is None or caller.trusted:
            return None
        return self._keyring.admit(caller, record)

    @property
    def deployments(self) -> list[Deployment]:
        """Those the configuration names, each once."""
        found = {one.id: one.deployment for plan in self.plans for one in plan.candidates}
        return list(found.values())

    @property
    def live(self) -> Set[Record]:
        """The records of requests that are being answered."""
        return self._recorder.live

    @property
    def health(self) -> Authority:
        """Who decides how deployments stand.

        Raises:
            RuntimeError: it is not in this process: this is a worker's gateway.
        """
        if isinstance(self._desk, OwnDesk):
            return self._desk.authority
        raise RuntimeError("the centre decides how deployments stand")

    @property
    def upstream_connections(self) -> int:
        """Connections to providers open now."""
        return self._pool.open

    @property
    def upstream_busy(self) -> int:
        """Connections to providers that carry a request now."""
        return self._pool.busy

    @property
    def calls_waiting(self) -> int:
        """Calls that wait for their turn at a deployment or a limit, those of gateways that share the state too."""
        paces = (state for state in self.shared.state if isinstance(state, Pace) and state.gate is not None)
        waiting: int = sum(pace.in_flight - pace.gate.running for pace in paces)
        return waiting + self._limiting.waiting

    async def aclose(self) -> None:
        """Close every connection to providers, busy ones too."""
        await self._pool.aclose()

    # --- assembly

    def _make_stack(self) -> Call:
        config, keyring, downgrading = self.config, self._keyring, downgrading_rules(self.config.rules)
        onward = self._make_attempts()
        looking = self._own or self._limiting.each or downgrading or config.request_budgets
        short = keyring if not looking else None
        decided = stack(
            [
                lambda call: Authenticate(call, keyring),
                Deadline,
                *(partial(Own, layer=own.layer, name=own.name) for own in self._own),
                *self._limiting.layers.values(),
                lambda call: Budget(
                    call, self._clock, downgrading, config.request_budgets, self.purse, self.shared.pressure
                ),
                lambda call: Route(call, self.names, self.plans.of),
            ],
            onward if short is None else Learning(onward, self._make_attempts(plain=True), short),
        )
        return stack(
            [lambda call: Recording(call, self._recorder)],
            decided if short is None else Shortcut(decided, short, self.strain),
        )

    def _make_attempts(self, *, plain: bool = False) -> Call:
        """From the loop over attempts on; `plain`: for requests of which nothing is reserved, if there are such."""

        def metered(call: Call) -> Call:
            meter = Meter(call, self._clock, self._booking(), self.metrics)
            return meter.plain if plain and meter.plain is not None else meter

        return stack(
            [
                lambda call: Attempts(call, self._clock, self._random, join),
                *self._hedging.values(),
                lambda call: Breaker(call, self._clock),
                lambda call: Concurrency(call, self._clock, self._limiting.weigh, self._limiting.seating),
                metered,
                lambda call: Timeout(call, self._clock),
            ],
            self.attempt,
        )

    def _booking(self) -> Booking:
        """By what each attempt is booked."""
        factors = self.shared.state.of("factors", "", lambda _: Factors())
        winner_pays = frozenset(tenant.name for tenant in self.config.tenants if tenant.charge == "winner")
        rules, queues = metered_rules(self.config.rules), self._limiting.queues
        return Booking(rules, self.purse, self.shared.journal, winner_pays, factors, queues)

    def _own_desk(self, state: Registry, random: Random) -> Desk:
        """The authority in this process; the one that a gateway before this one left, if it did."""
        authority = Authority(random.random, self.metrics.moved, self.metrics.retry_refused)
        return state.of("desk", "", lambda _: OwnDesk(authority, self._clock))

    def _own_purse(self, state: Registry) -> Purse:
        """What limits and budgets leave in this process; the one that a gateway before this one left, if it did."""
        treasury = state.of("treasury", "", lambda _: Treasury(self._clock))
        treasury.adopt(self.config.rules)
        return state.of("purse", "", lambda _: open_purse(treasury, self._clock))

    def _make_endpoints(self) -> dict[str, Endpoint]:
        on = (provider for provider in self.config.providers.values() if not provider.off)
        return {provider.name: self._make_endpoint(provider, self._rows[provider.kind]) for provider in on}

    def _make_endpoint(self, provider: Provider, row: Row) -> Endpoint:
        if row.in_process:
            simulated = SimulatedProvider(self._clock, keep=0)
            origin = Origin(provider.name, 80, in_process=simulated.connection)
            return Endpoint(provider.name, origin, "/v1", _headers(provider.name), row)
        return endpoint_of(provider, row)


def endpoint_of(provider: Provider, row: Row) -> Endpoint:
    """The endpoint of a provider that is reached by TCP.

    Raises:
        OSError: its `ca_file` cannot be read.
    """
    url = urlsplit(provider.base_url)
    tls = client_context(provider.ca_file) if url.scheme == "https" else None
    host = url.hostname or ""
    proxy = None
    if provider.proxy is not None:
        proxy = read_proxy(provider.proxy.reveal(), lambda: client_context(provider.ca_file, too=True))
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
