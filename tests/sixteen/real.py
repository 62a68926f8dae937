"""The sixteen faults for real: `penstock serve`, a process of providers, and the vendors' own clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anthropic
import openai

from penstock.clock import SystemClock
from tests.end_to_end.process import Served
from tests.sixteen.crowd import Crowd
from tests.sixteen.play import MAX_TOKENS, PROMPT, Part, Scene, configuration
from tests.sixteen.story import Asked, Outcome

__all__ = ["Real"]

_ENDS = {"end_turn": "stop"}


class Real(Scene):
    """A gateway process with two simulated providers for each part, and clients that try nothing again themselves.

    Args:
        folder: where the gateway runs.
        workers: how many processes it has for callers.
    """

    def __init__(self, folder: Path, parts: Sequence[Part], workers: int = 1) -> None:
        self.clock = SystemClock()
        self.crowd = Crowd({name: script for part in parts for name, script in part.providers.items()})
        config = configuration(parts, lambda name: f"http://127.0.0.1:{self.crowd.ports[name]}")
        (folder / "penstock.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
        self.served = Served(folder, "--workers", str(workers))
        self._openai = openai.AsyncOpenAI(base_url=self.served.base_url, api_key="unused", max_retries=0)
        self._claude = anthropic.AsyncAnthropic(base_url=self.served.url, api_key="unused", max_retries=0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._openai.close()
        await self._claude.close()
        self.crowd.__exit__(kind, error, trace)

    async def ask(self, part: Part) -> Outcome:
        outcome = Outcome(began=self.clock.monotonic())
        try:
            if part.dialect == "openai":
                await self._chat(part, outcome)
            else:
                await self._message(part, outcome)
        except (openai.APIError, anthropic.APIError) as error:
            outcome.error = error.message
            if isinstance(error, openai.APIStatusError | anthropic.APIStatusError):
                outcome.status, outcome.headers = error.status_code, dict(error.response.headers)
        outcome.seconds = self.clock.monotonic() - outcome.began
        if outcome.headers:
            outcome.line = await asyncio.to_thread(self.served.line, id=outcome.headers["x-request-id"])
        return outcome

    async def seen(self) -> Mapping[str, Sequence[Asked]]:
        return await asyncio.to_thread(self.crowd.seen)

    async def _chat(self, part: Part, outcome: Outcome) -> None:
        messages: Any = [{"role": "user", "content": PROMPT}]
        create = self._openai.chat.completions.create
        if not part.stream:
            raw = await self._openai.chat.completions.with_raw_response.create(model=part.name, messages=messages)
            outcome.headers = dict(raw.headers)
            completion = raw.parse()
            outcome.model, choice = completion.model, completion.choices[0]
            outcome.text, outcome.finish = choice.message.content or "", choice.finish_reason
            outcome.output_tokens = completion.usage.completion_tokens if completion.usage is not None else None
            return
        stream = await create(model=part.name, messages=messages, stream=True, stream_options={"include_usage": True})
        outcome.headers = dict(stream.response.headers)
        async for chunk in stream:
            outcome.model = chunk.model
            for one in chunk.choices:
                outcome.text += one.delta.content or ""
                outcome.finish = one.finish_reason or outcome.finish
            if chunk.usage is not None:
                outcome.output_tokens = chunk.usage.completion_tokens

    async def _message(self, part: Part, outcome: Outcome) -> None:
        messages: Any = [{"role": "user", "content": PROMPT}]
        asked = {"model": part.name, "messages": messages, "max_tokens": MAX_TOKENS}
        if not part.stream:
            raw = await self._claude.messages.with_raw_response.create(**asked)
            outcome.headers = dict(raw.headers)
            message = await raw.parse()
            outcome.model = message.model
            outcome.text = "".join(block.text for block in message.content if block.type == "text")
            outcome.finish = _ENDS.get(message.stop_reason or "", message.stop_reason)
            outcome.output_tokens = message.usage.output_tokens
            return
        stream = await self._claude.messages.create(**asked, stream=True)
        outcome.headers = dict(stream.response.headers)
        async for event in stream:
            if event.type == "message_start":
                outcome.model = event.message.model
            elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                outcome.text += event.delta.text
            elif event.type == "message_delta":
                outcome.finish = _ENDS.get(event.delta.stop_reason or "", event.delta.stop_reason)
                outcome.output_tokens = event.usage.output_tokens
