"""The simulated provider: routes a request, follows its fault script, and hands out the steps of the response.

It answers as OpenAI's API does and as Anthropic's, from a seed: the same request to a provider of the same seed gives
the same bytes (under the same clock: `created` is its time). It opens no sockets; `connection()` is a protocol for any
transport.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from penstock.clock import Clock
from penstock.providers.simulated.anthropic_api import AnthropicApi, speaks_anthropic
from penstock.providers.simulated.api import Api, Asked
from penstock.providers.simulated.chance import Dice, mixed, seed_of
from penstock.providers.simulated.failures import ApiError
from penstock.providers.simulated.fields import read_object
from penstock.providers.simulated.journal import Journal, Seen
from penstock.providers.simulated.openai_api import OpenAIApi
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.request import begun_in
from penstock.providers.simulated.script import HEADER, Script, ScriptError, parse_script, split_model
from penstock.providers.simulated.server import Connection
from penstock.providers.simulated.staging import Stage
from penstock.wire.h1 import HttpRequest

__all__ = ["SimulatedProvider"]

_SCRIPTS = 1_000  # scripts whose uses are counted
_HOW = ("stream", "stream_options", "max_tokens", "max_completion_tokens")
_NO_SCRIPT = Script()

# What Claude says since Opus 4.6: https://github.com/router-for-me/CLIProxyAPI/issues/5319
_NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."


class SimulatedProvider:
    """A provider without a network or a bill.

    Args:
        clock: all its time.
        seed: all its chance.
        script: a fault script for every request, e.g. `first_token=200ms,between=20ms`; the model's and the
            header's settings go above it. Raises ScriptError if it is wrong.
        key: the key to require, as a bearer token or in Anthropic's `x-api-key`; empty accepts any and none.
        keep: how many requests the journal remembers, with their bodies.

    Attributes:
        journal: what was seen.
        connections: those that are open, oldest first.
    """

    def __init__(self, clock: Clock, seed: int = 0, *, script: str = "", key: str = "", keep: int = 100) -> None:
        self.clock = clock
        self.seed = seed
        self.key = key
        self.journal = Journal(keep)
        self.connections: dict[Connection, None] = {}
        self._script = ""
        self.script = script
        self._uses: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._openai = OpenAIApi(seed)
        self._anthropic = AnthropicApi()

    def __repr__(self) -> str:
        seen = self.journal
        return (
            f"<SimulatedProvider [connections: {len(self.connections)} | requests: {seen.open} open, "
            f"{seen.requests} seen, {seen.disconnects} disconnected]>"
        )

    @property
    def script(self) -> str:
        """The fault script of every request; may be changed at any time, for the requests to come."""
        return self._script

    @script.setter
    def script(self, text: str) -> None:
        parse_script(text)
        self._script = text

    def connection(self) -> asyncio.Protocol:
        """A protocol for one connection; give this method to `loop.create_server` or an in-memory pipe."""
        return Connection(self)

    def close(self) -> None:
        """Drop every connection."""
        for connection in tuple(self.connections):
            connection.abort()

    def respond(self, request: HttpRequest, seen: Seen, *, close: bool) -> Iterable[Step]:
        """The response to a request; fills in what `seen` says of it.

        Args:
            close: the connection is to end with it.
        """
        api = self._anthropic if speaks_anthropic(request) else self._openai
        fields = read_object(request.body) if request.method == b"POST" else {}
        given = fields or {}
        asked = given.get("model")
        name, model_script = split_model(asked) if isinstance(asked, str) else ("", "")
        stream = given.get("stream") is True
        seen.model, seen.stream = name, stream
        seed = self._seed_for(request, given, name)
        stage = self._stage(api, _NO_SCRIPT, seed, close)
        try:
            header = request.headers.get(HEADER, b"").decode("latin-1")
            script = self._script_for(model_script, header)
            seen.script = _canonical(script)
            if script is not _NO_SCRIPT:
                stage = self._stage(api, script, seed, close)
            instead = stage.instead(stream, name)
            if instead is not None:
                return instead
            if self.key:
                api.check_key(request, self.key)
            if script.status or script.error_in_200:
                failure = api.worded(api.failure(script.status or 500, script, name), seed)
                return stage.error(failure, 200 if script.error_in_200 else 0)
            if fields is None:
                raise api.not_json()
            if script.no_prefill and _is_begun(fields):
                raise ApiError(400, _NO_PREFILL)
            return api.answer(Asked(request, fields, name, script, stage, seed, self.clock.wall(), seen))
        except ScriptError as error:
            wrong = ApiError(400, str(error), param="model", code="invalid_fault_script")
            return stage.error(api.worded(wrong, seed))
        except ApiError as error:
            return stage.error(api.worded(error, seed))

    # What a request comes with

    def _seed_for(self, request: HttpRequest, fields: Mapping[str, Any], model: str) -> int:
        """From what is asked, not from how: streamed or not, with faults or not, whole or gone on with, and however
        much of it, the answer has the same words."""
        asked = {key: value for key, value in fields.items() if key not in _HOW}
        messages = asked.get("messages")
        if isinstance(messages, list) and begun_in(messages, plain=speaks_anthropic(request)):
            asked["messages"] = messages[:-1]
        if asked:
            asked["model"] = model
        return seed_of(self.seed, request.path.rpartition(b"/")[2], msgspec.json.encode(asked, order="sorted"))

    def _stage(self, api: Api, script: Script, seed: int, close: bool) -> Stage:
        # Waits differ between two equal requests, or a repeated one could never be luckier than the first.
        dice = Dice(mixed(seed, self.journal.requests))
        return Stage(script, api.headers(seed), dice, close or script.close)

    def _script_for(self, model: str, header: str) -> Script:
        if not (self._script or model or header):
            return _NO_SCRIPT
        settings: dict[str, Any] = {}
        for text in (self._script, model, header):
            found = parse_script(text)
            if found and self._applies(text, found):
                settings.update(found)
        return Script(**settings)

    def _applies(self, text: str, settings: Mapping[str, Any]) -> bool:
        times, chance, during = settings.get("times"), settings.get("p"), settings.get("during")
        if times is None and chance is None and during is None:
            return True
        now = self.clock.monotonic()
        use, first = self._uses.pop(text, (0, now))
        use += 1
        self._uses[text] = use, first
        if len(self._uses) > _SCRIPTS:
            self._uses.popitem(last=False)
        if (times is not None and use > times) or (during is not None and now - first >= during):
            return False
        return chance is None or Dice(seed_of(self.seed, text.encode(), use)).random() < chance


def _is_begun(fields: Mapping[str, Any]) -> bool:
    """Whether the answer is begun for the model: the conversation ends with what it is to have said."""
    messages = fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "assistant" and not last.get("tool_calls")


def _canonical(script: Script) -> str:
    if script is _NO_SCRIPT:
        return ""
    return ",".join(f"{key}={value}" for key, value in msgspec.to_builtins(script).items())
