"""Assembly: what limits calls before they are routed, from a configuration's rules; a layer only where it has work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from math import ceil, floor
from typing import NamedTuple

from penstock.call import Call, Layer
from penstock.clock import Clock
from penstock.config.schema import Config
from penstock.errors import Overloaded
from penstock.layers.admission import PROCESS, Admission, Entrance
from penstock.layers.concurrency import Seating
from penstock.layers.meter.turns import Queues
from penstock.layers.rate_limit import RateLimit, Rates, Size
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.providers.bounds import MEDIA_TOKENS, measure
from penstock.reservation import Rule
from penstock.routing.admission import LONGEST_SECONDS, AdmissionRules, full
from penstock.routing.scopes import Facts, Rules
from penstock.stores.gate import GateRules
from penstock.stores.line import Lines
from penstock.stores.pacer import Pacer
from penstock.stores.permits import Permits
from penstock.stores.purse import Purse
from penstock.stores.repeats import Repeats
from penstock.stores.seats import Seats
from penstock.stores.state import Registry
from penstock.stores.strain import Strain
from penstock.wire.extent import Extent

__all__ = ["Given", "Limiting"]

# Where a call goes is known of each attempt, and not before.
AFTERWARDS = ("provider", "deployment")
# How long a call may wait for one of the process's own places.
OWN_QUEUE_SECONDS = 30.0

Held = Sequence[tuple[Rule, str]]


class Given(NamedTuple):
    """What there is in a process, whatever its configuration.

    Attributes:
        state: where what runs is kept.
        permits: for calls at a time, where other workers share the limits.
        purse: what may be spent of limits.
        strain: whether the process has too much to do; None: it is a program's own, and nobody looks.
        pressure: by which part what draws on an account should slow down, for the account to last.
    """

    state: Registry
    purse: Purse
    permits: Permits | None = None
    strain: Strain | None = None
    pressure: Callable[[str], float] = lambda account: 0.0


class Limiting:
    """The limits of one configuration.

    Attributes:
        layers: `admission` and `rate_limit`, as far as there is something for them to do.
        each: whether they look at each request; else at most at the strain.
        strain: whether the process has too much to do; None where nobody looks.
        full: what one is told for whom there is no place and no queue, None where there is a place; None: where one may
            wait, or there is no end of places, which the layer knows.
        seating: calls at a time of where an attempt goes; None where nothing limits them.
    """

    def __init__(self, config: Config, clock: Clock, metrics: Metrics, given: Given) -> None:
        self._clock = clock
        self._metrics = metrics
        self._given = given
        self._rules = config.rules
        self._default = config.default_model or ""
        self._admission = config.admission
        self._weights = {tenant.name: float(tenant.weight) for tenant in config.tenants}
        self._seats = given.state.of("seats", "", lambda _: Seats(clock, given.permits))
        self._seats.own = {PROCESS: _own_gate(config.admission)}
        self._seats.adopt([*config.rules, *_own(config.admission)])
        self.strain = given.strain if config.admission is not None else None
        if given.strain is not None:
            given.strain.lag = config.admission.loop_lag if config.admission is not None else None
        self.full = self._full() if config.admission is not None and config.admission.queue == 0 else None
        self.layers = self._layers()
        self.seating = self._make_seating()

    def weigh(self, tenant: str) -> float:
        """A tenant's part of the turns beside others'."""
        return self._weights.get(tenant, 1.0)

    @property
    def waiting(self) -> int:
        """How many calls wait at a limit."""
        lines = self._given.state.of("lines", "", lambda _: self._new_lines())
        return self._seats.waiting + len(lines)

    @property
    def queues(self) -> Queues:
        """Where calls wait for a rate."""
        return Queues(self._given.state.of("lines", "", lambda _: self._new_lines()), self.weigh)

    def _full(self) -> Callable[[], Overloaded | None] | None:
        own, seats = _own(self._admission), self._seats
        if not own:
            return None

        made = lru_cache(lambda seconds: full(own[0].limit, float(seconds)))

        def answer() -> Overloaded | None:
            wait = seats.full(own[0])
            # Its header has whole seconds: so thousands are told the very same.
            return None if wait is None else made(ceil(min(wait, LONGEST_SECONDS)))

        return answer

    def _new_lines(self) -> Lines:
        return Lines(self._given.purse, self._clock)

    def _layers(self) -> dict[str, Layer]:
        found: dict[str, Layer] = {}
        entrance = self._entrance()
        self.each = entrance.of is not None or entrance.repeats is not None
        if entrance.of is not None or entrance.strain is not None or entrance.repeats is not None:
            found["admission"] = partial(_admission, entrance=entrance, clock=self._clock)
        rates = [rule for rule in self._rules if _is_rate(rule)]
        if rates:
            self.each = True
            found["rate_limit"] = partial(_rate_limit, rates=self._rates(rates), clock=self._clock)
        return found

    def _entrance(self) -> Entrance:
        admission, given = self._admission, self._given
        rules = [rule for rule in self._rules if rule.kind == "concurrency" and rule.scope not in AFTERWARDS]
        own = _own(admission)
        of = self._of(rules, own) if rules or own else None
        repeats = None
        if admission is not None and admission.repeats is not None:
            same, per = admission.repeats.same, admission.repeats.per
            repeats = given.state.of("repeats", f"{same} {per}", lambda _: Repeats(same, per))
        return Entrance(of, self._seats, self._metrics, self.weigh, self.strain, repeats)

    def _make_seating(self) -> Seating | None:
        rules = Rules(rule for rule in self._rules if rule.kind == "concurrency" and rule.scope in AFTERWARDS)
        if not rules:
            return None

        @lru_cache(1024)
        def of(deployment: str) -> Held:
            return rules.of(Facts(provider=deployment.partition("/")[0], deployment=deployment))

        return Seating(of, self._seats)

    def _of(self, rules: Sequence[Rule], own: Sequence[Rule] = ()) -> Callable[[Facts], Held]:
        """What tells which of them hold for a call; a call that names no model is for the one that it gets."""
        known, default = Rules(rules), self._default
        always = tuple((rule, "") for rule in own)

        def of(facts: Facts) -> Held:
            return (*known.of(facts if facts.model else facts._replace(model=default)), *always)

        return of

    def _rates(self, rules: Sequence[Rule]) -> Rates:
        given = self._given
        lines = given.state.of("lines", "", lambda _: self._new_lines())
        pacer = given.state.of("pacer", "", lambda _: Pacer())
        return Rates(self._of(rules), given.purse, lines, pacer, self._metrics, self.weigh, size_of, given.pressure)


def _admission(call: Call, entrance: Entrance, clock: Clock) -> Admission:
    return Admission(call, entrance, clock)


def _rate_limit(call: Call, rates: Rates, clock: Clock) -> RateLimit:
    return RateLimit(call, rates, clock)


def _is_rate(rule: Rule) -> bool:
    """Whether it holds for a call before it is routed, and is no number of calls at a time."""
    if rule.kind == "budget":
        return rule.throttle
    return rule.kind != "concurrency" and rule.scope not in AFTERWARDS


def _own(admission: AdmissionRules | None) -> list[Rule]:
    """The process's own number of calls at a time, where it has one."""
    if admission is None or admission.most is None:
        return []
    return [Rule(PROCESS, "global", "concurrency", "requests", admission.most, queue=OWN_QUEUE_SECONDS)]


def _own_gate(admission: AdmissionRules | None) -> GateRules:
    return GateRules(admission.most, admission.queue) if admission is not None else GateRules()


def size_of(request: Request) -> Size:
    """How many tokens a call may come to: as estimated, and at most."""
    if request.record.operation == "count_tokens":
        return 0, 0, 0
    extent: Extent = request.extent or measure(request)
    likely, _ = request.likely
    output = extent.output
    if not extent.plain:
        if extent.media:
            likely += MEDIA_TOKENS
        if output is not None:
            output *= extent.answers
    return floor(likely) + 1, output, extent.input
