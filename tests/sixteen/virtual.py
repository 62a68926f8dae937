"""The sixteen faults in virtual time: the whole gateway on a SimLoop, its callers raw HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.lines import encode_lines
from penstock.providers.simulated import SimulatedProvider
from penstock.records import Record
from penstock.server.data_plane import DataPlane
from penstock.testing import SeededRandom, SimLoop
from tests.sixteen.play import MAX_TOKENS, PROMPT, Part, Scene, configuration
from tests.sixteen.story import Asked, Outcome
from tests.stage import Answer, Caller

__all__ = ["Virtual"]

_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
_ENDS = {"end_turn": "stop"}


class Virtual(Scene):
    """A gateway of one process, and two providers for each part."""

    def __init__(self, loop: SimLoop, parts: Sequence[Part]) -> None:
        self.clock = loop.clock
        self._loop = loop
        config = load_config(configuration(parts, lambda name: f"http://{name}:8000"), {})
        self._providers = {
            name: SimulatedProvider(loop.clock, script=script, keep=1000)
            for part in parts
            for name, script in part.providers.items()
        }
        self.lines: dict[str, dict[str, Any]] = {}
        self.gateway = Gateway(config, loop.clock, SeededRandom(loop.seed), self._note)
        self._plane = DataPlane(self.gateway, loop.clock)

    async def __aenter__(self) -> Virtual:
        for name, provider in self._providers.items():
            await self._loop.create_server(provider.connection, name, 8000)
        await self._plane.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._plane.drain(0)
        await self.gateway.aclose()
        for provider in self._providers.values():
            provider.close()

    def _note(self, record: Record) -> None:
        line = json.loads(encode_lines([record]))
        self.lines[line["id"]] = line

    async def ask(self, part: Part) -> Outcome:
        body: dict[str, Any] = {
            "model": part.name,
            "messages": [{"role": "user", "content": PROMPT}],
            "stream": part.stream,
        }
        if part.dialect == "anthropic":
            body["max_tokens"] = MAX_TOKENS
        elif part.stream:
            body["stream_options"] = {"include_usage": True}
        outcome = Outcome(began=self.clock.monotonic())
        caller = await Caller.connect()
        answer = await caller.post(body, _PATHS[part.dialect], anthropic_version="2023-06-01")
        caller.close()
        outcome.seconds = self.clock.monotonic() - outcome.began
        outcome.status, outcome.headers = answer.status, answer.headers
        assert answer.whole, answer.body
        read(answer, part, outcome)
        await self.clock.sleep(0.01)  # the line is written once the answer is out
        outcome.line = self.lines[answer.headers["x-request-id"]]
        return outcome

    async def seen(self) -> Mapping[str, Sequence[Asked]]:
        return {
            name: [Asked(seen.time, seen.outcome, seen.stream) for seen in provider.journal.log]
            for name, provider in self._providers.items()
        }


def read(answer: Answer, part: Part, outcome: Outcome) -> None:
    """Fill in what an answer says, as its vendor's client would read it."""
    if answer.status != 200:
        outcome.error = answer.error["message"]
        return
    items = answer.events if part.stream else [answer.json()]
    for item in items:
        if isinstance(item, dict):
            (_read_chat if part.dialect == "openai" else _read_message)(item, outcome)


def _read_chat(item: dict[str, Any], outcome: Outcome) -> None:
    if "error" in item:
        outcome.error = item["error"]["message"]
        return
    outcome.model = item["model"]
    for choice in item["choices"]:
        outcome.text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
        outcome.finish = choice["finish_reason"] or outcome.finish
    if item.get("usage"):
        outcome.output_tokens = item["usage"]["completion_tokens"]


def _read_message(item: dict[str, Any], outcome: Outcome) -> None:
    kind = item["type"]
    if kind == "error":
        outcome.error = item["error"]["message"]
    elif kind == "message_start":
        outcome.model = item["message"]["model"]
    elif kind == "content_block_delta":
        outcome.text += item["delta"]["text"]
    elif kind == "message_delta":
        outcome.finish = _ENDS.get(item["delta"]["stop_reason"], item["delta"]["stop_reason"])
        outcome.output_tokens = item["usage"]["output_tokens"]
    elif kind == "message":
        outcome.model, outcome.text = item["model"], item["content"][0]["text"]
        outcome.finish = _ENDS.get(item["stop_reason"], item["stop_reason"])
        outcome.output_tokens = item["usage"]["output_tokens"]
