"""Rehearsals: one real token through a deployment, past every policy, so that what is dead shows before it is needed.

It is booked as any attempt is; what a hard budget of everything, of its provider or deployment cannot pay is not asked.

What an attempt costs is the price of a word in and at most one token out; an answer that is no more than a complaint
about so small a request shows too that key, quota and model are good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.clock import Clock, Random
from penstock.config.schema import Config
from penstock.errors import PenstockError, UpstreamNotFound, UpstreamRefused
from penstock.gateway import Gateway, Shared
from penstock.messages import Caller, Request
from penstock.prompt import Prompt, Text, Turn
from penstock.providers.deployment import Deployment
from penstock.records import Attempt
from penstock.routing.judge import effect_of
from penstock.routing.plan import Candidate, Plan
from penstock.standing import NO_EFFECT, Effect
from penstock.usage import usd
from penstock.wire.dialects import CHAT

__all__ = ["TASK", "Rehearsal", "Rehearsed", "describe_rehearsed"]

# What the ledger files them under; they are no tenant's and no key's.
TASK = "rehearsal"

AT_A_TIME = 16
# For one token, however much a model thinks before it: it may think for that one token only.
PATIENCE_SECONDS = 15.0
# About what its body has, for what is booked where the provider tells nothing.
BYTES = 80
_VECTORS = "openai_embeddings"
_TOLD = 300  # characters of what a provider says


class Rehearsed(msgspec.Struct, kw_only=True):
    """What came of one deployment's rehearsal.

    Attributes:
        models: the names under `models:` that lead to it, as a target or a fallback.
        ok: it would answer.
        code: of the error, "" where it is well.
        told: for a person: what it said.
        do: what to do about it.
        cost: nano-dollars; None where the price is not known.
        seconds: how long it took.
        wall: Unix time.
        effect: what it means for the deployment's health.
    """

    deployment: str
    models: tuple[str, ...]
    ok: bool
    code: str = ""
    told: str = ""
    do: str = ""
    cost: int | None = 0
    seconds: float = 0.0
    wall: float = 0.0
    effect: Effect = NO_EFFECT


def describe_rehearsed(found: Rehearsed) -> dict[str, Any]:
    """The same, ready for JSON."""
    return {
        "deployment": found.deployment,
        "models": list(found.models),
        "ok": found.ok,
        "code": found.code,
        "told": found.told,
        "do": found.do,
        "cost_usd": usd(found.cost) if found.cost is not None else None,
        "seconds": found.seconds,
        "at": datetime.fromtimestamp(found.wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


class Rehearsal:
    """Asks the deployments of a configuration, each by itself, with connections of its own.

    Args:
        shared: what budgets leave, and where attempts are written down; None: nothing is kept or limited.

    Attributes:
        intervals: by deployment how often it is to be rehearsed, in seconds: of several models the most often; None
            where no model asks for it.
    """

    def __init__(self, config: Config, clock: Clock, random: Random, shared: Shared | None = None) -> None:
        self._clock = clock
        self._gateway = Gateway(config, clock, random, shared=shared)
        self._candidates: dict[str, tuple[Plan, Candidate]] = {}
        self._models: dict[str, list[str]] = {}
        self.intervals: dict[str, float | None] = {}
        self._asking = 0
        self._retired = False
        for plan in self._gateway.plans:
            route = config.models.get(plan.name)
            interval = route.rehearse if route is not None else config.defaults.rehearse
            for candidate in plan.candidates if route is not None else ():
                id = candidate.id
                self._candidates[id] = plan, candidate
                self._models.setdefault(id, []).append(plan.name)
                known = self.intervals.setdefault(id, interval)
                if interval is not None and (known is None or interval < known):
                    self.intervals[id] = interval

    async def ask_all(self, ids: Iterable[str] | None = None) -> list[Rehearsed]:
        """Rehearse those deployments, or all, a few at a time; in their order."""
        turns = asyncio.Semaphore(AT_A_TIME)

        async def ask(id: str) -> Rehearsed:
            async with turns:
                return await self.ask(id)

        return list(await asyncio.gather(*(ask(id) for id in (self._candidates if ids is None else ids))))

    async def ask(self, id: str) -> Rehearsed:
        """Rehearse one deployment. Raises KeyError where the configuration has none of that id."""
        candidate, models = self._candidates[id], tuple(self._models[id])
        deployment: Deployment = candidate[1].deployment
        if deployment.endpoint.by_caller:
            told = "not asked: its callers bring their own keys"
            return Rehearsed(deployment=id, models=models, ok=True, told=told, wall=self._clock.wall())
        self._asking += 1
        try:
            return await self._ask(candidate, models)
        finally:
            self._asking -= 1
            # What is in hand of budgets nobody needs before the next round.
            self._gateway.purse.close()
            if self._retired:
                await self.retire()

    async def _ask(self, candidate: tuple[Plan, Candidate], models: tuple[str, ...]) -> Rehearsed:
        began = self._clock.monotonic()
        attempts: list[Attempt] = []
        error = await self._try(candidate, attempts)
        costs = [attempt.cost for attempt in attempts if attempt.usage is not None]
        found = Rehearsed(
            deployment=candidate[1].id,
            models=models,
            ok=error is None or isinstance(error, UpstreamRefused),
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
            seconds=round(self._clock.monotonic() - began, 3),
            wall=self._clock.wall(),
        )
        if error is not None:
            found.told, found.do = error.message[:_TOLD], error.do
            if found.ok:
                found.told, found.do = f"it answers, and refuses so small a request: {found.told}", ""
            else:
                found.code, found.effect = error.code, effect_of(error)
        return found

    async def _try(self, candidate: tuple[Plan, Candidate], attempts: list[Attempt]) -> PenstockError | None:
        """One token, or a vector where it is no model for chats; why there was none."""
        deployment: Deployment = candidate[1].deployment
        speaks = deployment.endpoint.dialects
        kinds = [_chat] if any(name in CHAT for name in speaks) else []
        if _VECTORS in speaks:
            kinds.insert(0 if "embed" in deployment.model.lower() else len(kinds), _vector)
        error: PenstockError | None = None
        for kind in kinds:
            request = kind(self._gateway, deployment)
            failed = await self._attempt(request, candidate)
            attempts += request.record.attempts
            if failed is None:
                return None
            # The first complaint is the one that counts: the second kind is tried in case it is another sort of model.
            error = error or failed
            if not isinstance(failed, UpstreamNotFound):
                return failed
        return error

    async def _attempt(self, request: Request, candidate: tuple[Plan, Candidate]) -> PenstockError | None:
        request.plan, request.candidate = candidate
        request.target = request.candidate.deployment
        request.wait = PATIENCE_SECONDS
        request.record.task, request.record.bytes_in = TASK, BYTES
        request.record.model = request.model = request.candidate.name
        try:
            reply = await self._gateway.booked(request)
        except PenstockError as error:
            return error
        await reply.aclose()
        return None

    async def retire(self) -> None:
        """Close its connections once nobody is asked any more."""
        self._retired = True
        if not self._asking:
            await self.aclose()

    async def aclose(self) -> None:
        """Close its connections, busy ones too."""
        await self._gateway.aclose()


def _chat(gateway: Gateway, deployment: Deployment) -> Request:
    # In no vendor's words: so it is said as this model wants it said.
    prompt = Prompt(turns=[Turn(role="user", parts=[Text(text="Hi")])], max_output_tokens=1)
    return Request("generate", deployment.model, False, {}, Caller(trusted=True), gateway.begin("chat"), prompt=prompt)


def _vector(gateway: Gateway, deployment: Deployment) -> Request:
    fields = {"input": msgspec.Raw(b'"Hi"')}
    return Request(_VECTORS, deployment.model, False, fields, Caller(trusted=True), gateway.begin("embeddings"))
