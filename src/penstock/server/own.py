"""What callers may ask about themselves: `GET /v1/key`, and `GET /v1/requests/{id}` of what they asked themselves.

Whose a request is, its key says together with its tenant; one of somebody else and one that never was are answered by
the same words. Of what was decided about it a caller is told what concerns its answer and its money, and nothing of
how the gateway is set up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any, NamedTuple

import msgspec

from penstock.clock import Clock
from penstock.errors import NotFound
from penstock.gateway import Gateway
from penstock.layers.authenticate import Key
from penstock.lines import Line
from penstock.records import Record
from penstock.reservation import Level, Rule, Want
from penstock.routing.scopes import Facts, Rules
from penstock.server.ended import as_they_stand
from penstock.stores.past import Past, attempts_of
from penstock.stores.past_told import past_told
from penstock.stores.questions import Answers, Questions
from penstock.stores.sqlite import Database
from penstock.usage import usd

__all__ = ["REQUEST", "Asked", "Own", "own_questions", "own_view", "past_view"]

# The topic of the questions.
REQUEST = "request"
KEY_PATHS = (b"/v1/key", b"/openai/v1/key", b"/anthropic/v1/key")
_REQUEST = re.compile(rb"/(?:openai/|anthropic/)?v1/requests/([^/]+)")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# Of the line as the log has it.
_SHOWN = (
    *("id", "time", "operation", "status", "open", "model", "deployment", "stream", "user", "task", "response_model"),
    *("finish_reason", "error", "stream_error", "dropped", "clamped", "degraded", "tokens", "cost_usd", "ms"),
    *("first_output_ms", "attempts"),
)
# Of what the ledger tells.
_PAST = ("id", "time", "model", "deployment", "user", "task", "tokens", "cost_usd", "charge_usd", "attempts")
_LAST = 253_402_300_799  # the end of the year 9999
_lines = msgspec.json.Decoder(Line)


class Asked(NamedTuple):
    """A question about one request: `key` and `tenant` are those of whoever asks."""

    id: str
    key: str | None
    tenant: str | None


def own_view(line: bytes, asked: Asked) -> bytes | None:
    """What of a request's line its caller is told, as JSON; None where it is somebody else's."""
    told = _lines.decode(line)
    if (told.id, told.key, told.tenant) != asked:
        return None
    for attempt in told.attempts:
        attempt.deployment = attempt.deployment.partition("#")[0]
    written: dict[str, Any] = msgspec.to_builtins(told)
    return msgspec.json.encode({name: written[name] for name in _SHOWN if name in written})


def past_view(attempts: Sequence[Past], asked: Asked) -> bytes | None:
    """The same from the ledger, of one that is no longer in memory: what it took; None where it is somebody else's."""
    if not attempts or any((each.key or None, each.tenant or None) != (asked.key, asked.tenant) for each in attempts):
        return None
    told = past_told(asked.id, attempts)
    for each in (told, *told["attempts"]):
        each["deployment"] = each["deployment"].partition("#")[0]
    return msgspec.json.encode({name: told[name] for name in _PAST if name in told})


def own_questions(database: Database, live: Callable[[], Iterable[Record]], clock: Clock) -> Questions:
    """Who is asked where one process is all there is: what is being answered, and its store."""

    async def tell(asked: bytes) -> bytes | None:
        question = msgspec.msgpack.decode(asked, type=Asked)
        here = [record for record in live() if record.id == question.id]
        for _, line in as_they_stand(here, 1, clock.monotonic()):
            return own_view(line, question)
        past = await database.read(lambda connection: attempts_of(connection, question.id))
        return past_view(past, question)

    answers = Answers(clock)
    answers.topics[REQUEST] = tell
    told: list[Questions] = []
    asking = Questions(lambda asked: answers.received(database, lambda reply: told[0].received(reply), asked), clock)  # type: ignore[arg-type]
    told.append(asking)
    return asking


class Own:
    """Answers them.

    Args:
        questions: to the centre; None where this process is all there is.
    """

    def __init__(self, gateway: Gateway, questions: Questions | None) -> None:
        self._gateway = gateway
        self._questions = questions
        self._rules = Rules(gateway.config.rules)

    @staticmethod
    def knows(path: bytes) -> bool:
        """Whether a path is one of these."""
        return path in KEY_PATHS or _REQUEST.fullmatch(path) is not None

    async def answer(self, path: bytes, key: Key | None) -> bytes:
        """The body.

        Args:
            key: the caller's; None where calls need none.

        Raises:
            NotFound: there is no such request of this caller's.
            Overloaded: the centre does not answer.
        """
        found = _REQUEST.fullmatch(path)
        if found is None:
            return await self._key(key)
        return await self._request(found[1].decode("latin-1").lower(), key)

    async def _request(self, id: str, key: Key | None) -> bytes:
        if not _ID.fullmatch(id):
            raise NotFound(
                "that is not a request's id",
                do="An answer has it in the header x-request-id: it looks like 0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21.",
            )
        asked = Asked(id, key.name if key is not None else None, key.tenant if key is not None else None)
        told: bytes | None
        if self._questions is not None:
            told = await self._questions.ask(REQUEST, msgspec.msgpack.encode(asked))
        else:
            told = self._live(asked)
        if told is None:
            raise NotFound(f"you have no request {id} here", do="Look at the id: x-request-id of its answer has it.")
        return told

    def _live(self, asked: Asked) -> bytes | None:
        live = [record for record in self._gateway.live if record.id == asked.id]
        for _, line in as_they_stand(live, 1, self._gateway.now()):
            return own_view(line, asked)
        return None

    async def _key(self, key: Key | None) -> bytes:
        told: dict[str, Any] = {"object": "key", "name": None, "tenant": None, "project": None}
        held: list[tuple[Rule, str]] = []
        if key is not None:
            told |= {"name": key.name, "tenant": key.tenant, "project": key.project}
            told |= {"id": key.id or None, "max_output": key.max_output, "priority": key.priority}
            told["routes"] = sorted(key.operations) if key.operations is not None else None
            told["expires_at"] = moment(key.expires) if key.expires != inf else None
            held = [
                each for each in self._rules.of(Facts(key.tenant, key.project, key.name)) if _concerns(each[0], key)
            ]
        counted = [(rule, value) for rule, value in held if rule.kind != "concurrency"]
        purse, now = self._gateway.purse, self._gateway.clock.wall()
        levels = await purse.look([Want(rule, value, 0) for rule, value in counted]) if counted else []
        told["budgets"] = [_budget(level, now) for level in levels if level.rule.kind == "budget"]
        told["limits"] = [
            *(_limit(level) for level in levels if level.rule.kind != "budget"),
            *({"scope": rule.scope, "concurrency": rule.limit} for rule, _ in held if rule.kind == "concurrency"),
        ]
        return msgspec.json.encode(told)


def _concerns(rule: Rule, key: Key) -> bool:
    """Whether what is left of it is its caller's to know: of what others spend too, it is not."""
    return rule.scope == "key" or (rule.scope in ("tenant", "project") and key.tenant is not None)


def _budget(level: Level, now: float) -> dict[str, Any]:
    rule = level.rule
    written = usd if rule.unit == "usd" else int
    return {
        "scope": rule.scope,
        "unit": rule.unit,
        "limit": written(rule.limit),
        "used": written(level.used),
        "left": written(max(0, level.left)),
        "period": rule.period,
        "zone": rule.zone,
        "resets_at": moment(now + level.resets),
        "hard": rule.hard,
    }


def _limit(level: Level) -> dict[str, Any]:
    rule = level.rule
    return {
        "scope": rule.scope,
        rule.unit: rule.limit,
        "seconds": rule.seconds,
        "kind": rule.kind,
        "left": max(0, level.left),
        "resets_in": round(level.resets, 3),
    }


def moment(at: float) -> str:
    """A moment, to the second."""
    return datetime.fromtimestamp(min(ceil(at), _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
