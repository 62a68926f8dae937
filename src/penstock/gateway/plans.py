"""Assembly: from the names of a configuration to plans, each the deployments that may answer and their rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from penstock.config.kinds import rows_of
from penstock.config.naming import model_of
from penstock.config.pricing import Pricing
from penstock.config.schema import Config, Policies, Terms
from penstock.config.schema import Route as Declared
from penstock.errors import Unauthenticated, UnknownModel, UnknownPrice
from penstock.gateway.variants import admitted, check_regions, fallbacks_of, with_candidates
from penstock.messages import Caller
from penstock.providers.auth import auth_headers
from penstock.providers.deployment import Deployment, Endpoint
from penstock.providers.facts import abilities_of, facts_of
from penstock.providers.payment import CallersOwn
from penstock.routing.names import Found, Names, Target
from penstock.routing.plan import Candidate, Hedge, Plan
from penstock.stores.breaker import BreakerRules
from penstock.stores.extra import Extra
from penstock.stores.gate import Gate, GateRules, Permits
from penstock.stores.health import Desk, Health
from penstock.stores.pace import Pace
from penstock.stores.state import Registry
from penstock.usage import Usage

__all__ = ["Plans", "Running"]

# Plans that are kept of what keys may use of a name.
MOST_NARROWED = 10_000
_THOUSAND = Usage(input_tokens=1000, output_tokens=1000)


class Running(NamedTuple):
    """What knows how deployments are.

    Attributes:
        state: where each one's is kept.
        desk: who decides how they stand.
        permits: for calls at a time, where other workers share the limits.
    """

    state: Registry
    desk: Desk
    permits: Permits | None


class Plans:
    """Every plan of a configuration.

    Args:
        endpoints: of each provider that is on.
        running: the state of deployments that plans lead to.
        keyless: callers need no key of Penstock's.
    """

    def __init__(
        self,
        config: Config,
        names: Names,
        endpoints: Mapping[str, Endpoint],
        running: Running,
        *,
        keyless: bool,
    ) -> None:
        self._config = config
        self._names = names
        self._endpoints = endpoints
        self._state, self._desk, self._permits = running
        self._rows = rows_of(config)
        self._pricing = Pricing(config, self._rows)
        self._callers = {
            name: CallersOwn(self._rows[provider.kind].auth, keyless=keyless)
            for name, provider in config.providers.items()
            if provider.by_caller and name in endpoints
        }
        self._pools: dict[str, list[tuple[Endpoint, int]]] = {
            name: [
                (endpoint.carrying(auth_headers(endpoint_auth, one.api_key), one.name), one.weight)
                for one in config.providers[name].credentials
            ]
            for name, endpoint in endpoints.items()
            if config.providers[name].credentials and (endpoint_auth := self._rows[config.providers[name].kind].auth)
        }
        self._credentials = _credentials(config)
        self._breakers: dict[str, BreakerRules | None] = {}
        self._gates: dict[str, GateRules | None] = {}
        for route in config.models.values():
            for target in route.targets:
                self._breakers.setdefault(str(target), route.breaker)
                self._gates.setdefault(str(target), route.concurrency)
        self._known: dict[str, Plan] = {}
        # By what a key admits, and a name that is known: no more than keys times names.
        self._narrowed: dict[tuple[object, str], Plan] = {}
        for found in names.listed():
            try:
                self._known[found.name] = self._make(found, declared=True)
            except UnknownPrice:
                continue  # told to whoever asks for it

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._known.values())

    @property
    def hedged(self) -> bool:
        """Whether any has a second deployment asked beside the first."""
        return self._config.defaults.hedge is not None or any(plan.hedge is not None for plan in self)

    def of(self, found: Found, caller: Caller) -> Plan:
        """Where what was found may go.

        Raises:
            Unauthenticated: it goes with the caller's own credential, and there is none.
            UnknownPrice: nobody knows what it costs, and the configuration refuses that.
            InvalidRequest, Forbidden: the caller wishes for a fallback that there is not, or not for this caller.
        """
        plan = self._known.get(found.name)
        if plan is None:
            # A vendor's model nobody declared: made for this request, not kept: strangers' names fill no memory.
            plan = self._make(found, declared=False)
        if caller.wishes is not None:
            plan = self._wished(plan, found, caller)
        if caller.admits is not None and len(plan.candidates) > 1:
            plan = self._admitted(plan, found, caller.admits)
        return self._paid(plan, caller) if self._callers else plan

    def _wished(self, plan: Plan, found: Found, caller: Caller) -> Plan:
        """The same as this request wishes it: tried so often, and falling back to other names."""
        retries, fallbacks = caller.wishes.retries, caller.wishes.fallbacks
        candidates = plan.candidates
        if fallbacks is not None:
            own = [candidate for candidate in candidates if not candidate.foreign]
            route = self._config.models.get(found.route)
            policies: Policies = route if route is not None else self._config.defaults
            others = fallbacks_of(fallbacks, self._names, caller.admits)
            check_regions(others, route, self._config)
            candidates = (*own, *self._foreign(own, others, policies, declared=False))
        if retries is not None:
            candidates = tuple(msgspec.structs.replace(candidate, max_attempts=retries + 1) for candidate in candidates)
        return with_candidates(plan, candidates)

    def _admitted(self, plan: Plan, found: Found, admits: Callable[[Any], bool]) -> Plan:
        """The same without what this caller's key may not ask for."""
        key = (admits, found.name)
        narrowed = self._narrowed.get(key)
        if narrowed is None or plan is not self._known.get(found.name):
            narrowed = admitted(plan, found, admits)
            if plan is self._known.get(found.name):
                if len(self._narrowed) >= MOST_NARROWED:
                    self._narrowed.clear()  # the store's keys come and go
                self._narrowed[key] = narrowed
        return narrowed

    def _paid(self, plan: Plan, caller: Caller) -> Plan:
        """The same with the caller's credential where that is what a provider is asked with.

        Who has none is not sent there; raises Unauthenticated where that leaves nothing.
        """
        found: list[Candidate] = []
        missing: Unauthenticated | None = None
        for candidate in plan.candidates:
            own = self._callers.get(candidate.deployment.endpoint.name)
            if own is not None:
                try:
                    candidate = msgspec.structs.replace(candidate, deployment=own.paid(candidate.deployment, caller))
                except Unauthenticated as error:
                    missing = error
                    continue
            found.append(candidate)
        if missing is not None and not found:
            raise missing
        return with_candidates(plan, tuple(found))

    def _make(self, found: Found, *, declared: bool) -> Plan:
        route = self._config.models.get(found.route)
        policies: Policies = route if route is not None else self._config.defaults
        candidates = list(self._candidates(found, route, policies, declared=declared))
        candidates += self._foreign(candidates, self._behind(found, policies), policies, declared=True)
        if not candidates:
            raise UnknownPrice(
                f"nobody knows what '{found.deployment}' costs, and unknown_price is refuse",
                do="Ask for another model, or have its price declared under prices.",
                param="model",
            )
        plan = Plan(
            found.name,
            (),
            (),
            strategy=policies.strategy,
            timeouts=policies.timeouts,
            retry=policies.retry,
            hedge=policies.hedge,
            content_filter=policies.content_filter,
            on_stream_cut=policies.on_stream_cut,
            on_failure=policies.on_failure,
            extra=self._extra(found.name, policies.hedge, declared=declared),
            lasting=declared,
        )
        return with_candidates(plan, tuple(candidates))

    def _foreign(
        self, own: Iterable[Candidate], others: Iterable[Found], policies: Policies, *, declared: bool
    ) -> list[Candidate]:
        """The deployments of other names, to stand behind a name's own; each once."""
        listed = list(own)
        seen = {candidate.id for candidate in listed}
        found: list[Candidate] = []
        for other in others:
            behind = max((candidate.target for candidate in (*listed, *found)), default=-1) + 1
            for candidate in self._candidates(other, self._config.models.get(other.route), policies, declared=declared):
                if candidate.id not in seen:
                    seen.add(candidate.id)
                    candidate.target += behind
                    candidate.foreign, candidate.under = True, other
                    found.append(candidate)
        return found

    def _behind(self, found: Found, policies: Policies) -> Iterator[Found]:
        """What is fallen back to, and what that falls back to: each once. What is switched off is left out."""
        seen = {found.name}
        waiting = list(policies.fallback)
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            try:
                other = self._names.find(name)
            except UnknownModel:
                continue
            yield other
            route = self._config.models.get(other.route)
            waiting = [*(route.fallback if route is not None else ()), *waiting]

    def _candidates(
        self, found: Found, route: Declared | None, policies: Policies, *, declared: bool
    ) -> Iterator[Candidate]:
        """The deployments of one name, in the order in which they are listed; those that are switched off left out."""
        targets = route.targets if route is not None else (Target(found.provider, found.model),)
        terms: Mapping[Target, Terms] = route.terms if route is not None else {}
        for number, target in enumerate(targets):
            endpoint = self._endpoints.get(target.provider)
            deployment = self._deployment(target, policies) if endpoint is not None else None
            if deployment is None:
                continue
            said = terms.get(target, Terms())
            pool = self._pools.get(target.provider)
            paid = [(deployment.at(one), share) for one, share in pool] if pool else [(deployment, 1)]
            for one, share in paid:
                yield Candidate(
                    one.id,
                    str(target),
                    number,
                    one,
                    self._health(one, str(target), declared=declared),
                    self._pace(one, str(target), declared=declared),
                    weight=said.weight,
                    share=share,
                    max_attempts=said.max_attempts or policies.retry.max_attempts,
                    window=one.facts.context_window,
                    price=_price(one),
                    reasons=one.facts.reasons,
                )

    def _health(self, deployment: Deployment, name: str, *, declared: bool) -> Health:
        """A deployment that several models have as a target has the breaker of the one that is listed first."""
        health = self._state.of("health", deployment.id, lambda id: Health(id, self._desk), declared=declared)
        rules = self._breakers.get(name, self._config.defaults.breaker)
        endpoint = deployment.endpoint
        # What is asked without a credential of ours has none that others could be asked with.
        lent = self._credentials.get((endpoint.name, endpoint.credential)) or f"{deployment.id}@"
        health.adopt(lent, rules, declared=declared)
        return health

    def _extra(self, name: str, hedge: Hedge | None, *, declared: bool) -> Extra | None:
        if hedge is None:
            return None
        extra = self._state.of("extra", name, Extra, declared=declared)
        extra.most = hedge.most
        return extra

    def _pace(self, deployment: Deployment, name: str, *, declared: bool) -> Pace:
        """With its gate, by the rules of the model that is listed first among those that have it as a target."""
        pace = self._state.of("pace", deployment.id, Pace, declared=declared)
        rules = self._gates.get(name, self._config.defaults.concurrency)
        if rules is not None:
            if pace.gate is None:
                pace.gate = Gate(pace)
            pace.gate.set_rules(rules, self._permits)
        elif pace.gate is not None:
            pace.gate.lift()
            pace.gate = None
        return pace

    def _deployment(self, target: Target, policies: Policies) -> Deployment | None:
        """None where nobody knows what it costs, and the configuration refuses that."""
        price = self._pricing.of(target.provider, target.model)
        if price is None and policies.unknown_price == "refuse":
            return None
        found = Found(str(target), "", target.provider, target.model, str(target))
        kind, model = model_of(self._config, found)
        facts = facts_of(self._rows[kind].family, model, self._rows[kind].name)
        row = self._rows[self._config.providers[target.provider].kind]
        if row.earlier_thinking:
            facts = msgspec.structs.replace(facts, earlier_thinking=row.earlier_thinking)
        if row.continues and abilities_of(self._rows[kind].name, model).get("prefill", True):
            facts = msgspec.structs.replace(facts, continues=True, continued_by=row.continued_by)
        if policies.default_max_output is not None:
            facts = msgspec.structs.replace(facts, default_output_tokens=policies.default_max_output)
        return Deployment(
            self._endpoints[target.provider].of(target.model),
            target.model,
            policies.timeouts.connect,
            facts,
            lenient=policies.untranslatable == "drop",
            price=price,
        )


def _credentials(config: Config) -> dict[tuple[str, str], str]:
    """By provider and credential the id under which its health is known.

    A few letters of its digest are part of it: a new secret is not suspended for what the old one was.
    """
    return {
        (provider.name, name): f"{provider.name}#{name}@{sha256(secret.reveal().encode()).hexdigest()[:8]}"
        for provider in config.providers.values()
        for name, secret in (("", provider.api_key), *((one.name, one.api_key) for one in provider.credentials))
        if secret is not None
    }


def _price(deployment: Deployment) -> int | None:
    return deployment.price.cost(_THOUSAND, 0.0) if deployment.price is not None else None
