"""The callers of a scenario: they come at their times, ask, read the answer to its end, and are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import msgspec

from penstock.config.schema import Config
from penstock.errors import PenstockError
from penstock.gateway import Gateway
from penstock.messages import Caller, Request
from penstock.records import Record
from penstock.routing.wishes import wishes_of
from penstock.testing.simulate.answers import prompt_text
from penstock.testing.simulate.curves import arrivals
from penstock.testing.simulate.scenario import Scenario, Traffic
from penstock.testing.simulate.world import Down, World

__all__ = ["Drive"]

_NO_WORKER = "no_worker"
_KILLED = "worker_ended"
_TRUE = msgspec.Raw(b"true")
_json = msgspec.json.Encoder().encode


class Drive:
    """Sends a scenario's traffic.

    Args:
        over: told what became of each request.
    """

    def __init__(self, scenario: Scenario, world: World, seed: int, over: Callable[[Traffic, Record], object]) -> None:
        self._scenario = scenario
        self._world = world
        self._seed = seed
        self._over = over
        self._number = 0
        self._config: Config | None = None
        self._callers: dict[str, Caller] = {}
        self._running: dict[asyncio.Task[None], Gateway] = {}

    async def run(self) -> None:
        """All of it; returns when the last answer is over."""
        async with asyncio.TaskGroup() as group:
            for traffic in self._scenario.traffic:
                group.create_task(self._send(traffic, group))

    def cut(self, gateway: Gateway) -> None:
        """End the calls that run at a gateway, as when its process is killed."""
        for task, at in list(self._running.items()):
            if at is gateway:
                task.cancel(_KILLED)

    async def _send(self, traffic: Traffic, group: asyncio.TaskGroup) -> None:
        clock, zero = self._world.loop.clock, self._world.zero
        random = Random(f"traffic {self._seed} {traffic.name}")
        names, parts = list(traffic.models), list(traffic.models.values())
        start, end = traffic.window.start, min(traffic.window.end, self._scenario.duration)
        for moment in arrivals(traffic.rate, start, end, random):
            wait = zero + moment - clock.monotonic()
            if wait > 0:
                await clock.sleep(wait)
            model = names[0] if len(names) == 1 else random.choices(names, parts)[0]
            stream = traffic.streams >= 1.0 or random.random() < traffic.streams
            self._number += 1
            prompt, output = round(traffic.prompt.draw(random)), round(traffic.output.draw(random))
            text = prompt_text(self._number, max(1, prompt), max(1, output))
            fields = _fields(traffic.dialect, model, text, stream)
            group.create_task(self._call(traffic, model, stream, fields))

    def _caller(self, traffic: Traffic) -> Caller:
        """As of one connection: its requests share what is known of their head."""
        config = self._world.config
        if self._config is not config:
            self._config = config
            self._callers.clear()
        caller = self._callers.get(traffic.name)
        if caller is None:
            caller = self._callers[traffic.name] = self._new_caller(traffic)
        return caller

    def _new_caller(self, traffic: Traffic) -> Caller:
        headers = {name.lower().encode(): value.encode() for name, value in traffic.headers.items()}
        if traffic.dialect == "anthropic_messages":
            headers.setdefault(b"anthropic-version", b"2023-06-01")
        caller = Caller(headers, trusted=traffic.key is None)
        if traffic.key is not None:
            key = next((key for key in self._world.config.keys if key.name == traffic.key), None)
            # A reload may have taken it away.
            caller.credential = key.key.reveal() if key is not None else "simulated"
        caller.provider_credential = "simulated"
        caller.wishes = wishes_of(headers)
        return caller

    async def _call(self, traffic: Traffic, model: str, stream: bool, fields: dict[str, msgspec.Raw]) -> None:
        clock = self._world.loop.clock
        try:
            gateway = self._world.gateway()
        except Down:
            now = clock.monotonic()
            record = Record("", "chat", now, clock.wall(), model=model, error=_NO_WORKER, ended=now)
            self._over(traffic, record)
            return
        record = gateway.begin("chat")
        record.model, record.stream = model, stream
        record.bytes_in = sum(len(value) for value in fields.values())
        request = Request(traffic.dialect, model, stream, fields, self._caller(traffic), record)
        request.usage_asked = stream
        task = asyncio.current_task()
        assert task is not None
        self._running[task] = gateway
        try:
            async with clock.timeout(traffic.patience):
                await _read(gateway, request)
        except (PenstockError, TimeoutError):
            pass  # the record says what it was
        except asyncio.CancelledError as cancelled:
            if cancelled.args != (_KILLED,):
                raise
            record.error, record.status = _KILLED, 0
            record.ended = clock.monotonic()
            task.uncancel()
        finally:
            del self._running[task]
        self._over(traffic, record)


async def _read(gateway: Gateway, request: Request) -> None:
    reply = await gateway.call(request)
    try:
        if reply.streaming:
            request.record.bytes_out = len(reply.begin())
            await reply.pump(_read_on, _drained)
        else:
            frame = reply.take()
            request.record.bytes_out = len(frame.data) if frame is not None else 0
    except asyncio.CancelledError:
        request.record.status, request.record.error = 499, "cancelled"
        raise
    finally:
        reply.close()


def _read_on(data: bytes) -> bool:
    return False


async def _drained() -> None:
    return


def _fields(dialect: str, model: str, text: str, stream: bool) -> dict[str, msgspec.Raw]:
    fields = {
        "model": msgspec.Raw(_json(model)),
        "messages": msgspec.Raw(b'[{"role":"user","content":%b}]' % _json(text)),
    }
    if dialect == "anthropic_messages":
        fields["max_tokens"] = msgspec.Raw(b"8192")
    if stream:
        fields["stream"] = _TRUE
    return fields
