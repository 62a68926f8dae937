"""The simulated provider: routes a request, follows its fault script, and hands out the steps of the response.

It answers as OpenAI's API does, from a seed: the same request to a provider of the same seed gives the same bytes
(under the same clock: `created` is its time). It opens no sockets; `connection()` is a protocol for any transport.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from penstock.clock import Clock
from penstock.providers.simulated.answer import compose
from penstock.providers.simulated.chance import Dice, mixed, seed_of
from penstock.providers.simulated.chat import Stamp, completion_events, encode_completion
from penstock.providers.simulated.embeddings import embed, read_embedding
from penstock.providers.simulated.failures import ApiError, scripted_error
from penstock.providers.simulated.fields import decode_fields, missing
from penstock.providers.simulated.journal import Journal, Seen
from penstock.providers.simulated.models import MODELS, Model
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.request import read_chat
from penstock.providers.simulated.script import HEADER, Script, ScriptError, parse_script, split_model
from penstock.providers.simulated.server import Connection
from penstock.providers.simulated.staging import Stage
from penstock.wire.h1 import HttpRequest

__all__ = ["SimulatedProvider"]

_BORN = 1_735_689_600  # when the models were "created": 2025-01-01
_SCRIPTS = 1_000  # scripts whose uses are counted
_NO_SCRIPT = Script()


class SimulatedProvider:
    """A provider without a network or a bill.

    Args:
        clock: all its time.
        seed: all its chance.
        script: a fault script for every request, e.g. `first_token=200ms,between=20ms`; the model's and the
            header's settings go above it. Raises ScriptError if it is wrong.
        key: the bearer token to require; empty accepts any and none.
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
        self._uses: OrderedDict[str, int] = OrderedDict()
        self._fingerprint = f"fp_{seed_of(seed, b'fingerprint') & 0xFF_FFFF_FFFF:010x}"

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
        fields, problem = _read_fields(request)
        asked = fields.get("model")
        name, model_script = split_model(asked) if isinstance(asked, str) else ("", "")
        stream = fields.get("stream") is True
        seen.model, seen.stream = name, stream
        seed = self._seed_for(request, fields, name)
        stage = self._stage(_NO_SCRIPT, seed, close)
        try:
            header = request.headers.get(HEADER, b"").decode("latin-1")
            script = self._script_for(model_script, header)
            seen.script = _canonical(script)
            if script is not _NO_SCRIPT:
                stage = self._stage(script, seed, close)
            instead = stage.instead(stream, name)
            if instead is not None:
                return instead
            self._check_key(request)
            if script.status or script.error_in_200:
                failure = scripted_error(script.status or 500, script.code, script.retry_after, name)
                return stage.error(failure, 200 if script.error_in_200 else 0)
            if problem is not None:
                raise problem
            return self._answer(request, fields, _Asked(name, script, stage, seed))
        except ScriptError as error:
            return stage.error(ApiError(400, str(error), param="model", code="invalid_fault_script"))
        except ApiError as error:
            return stage.error(error)

    # The routes

    def _answer(self, request: HttpRequest, fields: Mapping[str, Any], asked: _Asked) -> Iterable[Step]:
        path = request.path.rstrip(b"/")
        if path.endswith(b"/chat/completions"):
            _check_method(request, b"POST")
            return self._chat(fields, asked)
        if path.endswith(b"/embeddings"):
            _check_method(request, b"POST")
            return self._embeddings(fields, asked)
        _, found, name = path.rpartition(b"/models")
        if found and (not name or name.startswith(b"/")):
            _check_method(request, b"GET")
            return asked.stage.unary(200, _models(name[1:].decode("latin-1")))
        where = f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}"
        raise ApiError(404, f"Invalid URL ({where})")

    def _chat(self, fields: Mapping[str, Any], asked: _Asked) -> Iterable[Step]:
        model = _known(asked.model)
        if model.dimensions:
            message = (
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
                "Did you mean to use v1/completions?"
            )
            raise ApiError(404, message, param="model")
        request = read_chat(fields, model.name)
        script, stage = asked.script, asked.stage
        answer = compose(request, model, script, asked.seed)
        name = f"chatcmpl-{Dice(asked.seed).name(29)}"
        stamp = Stamp(name, int(self.clock.wall()), model.name, self._fingerprint)
        if not request.stream:
            tokens = sum(choice.tokens for choice in answer.choices)
            return stage.answer(encode_completion(answer, stamp, request.top_logprobs), tokens)
        events = completion_events(
            answer,
            stamp,
            include_usage=request.include_usage,
            top_logprobs=request.top_logprobs,
            finish=not script.no_finish,
        )
        return stage.stream(events, scripted_error(500, script.code, "", model.name))

    def _embeddings(self, fields: Mapping[str, Any], asked: _Asked) -> Iterable[Step]:
        model = _known(asked.model)
        if not model.dimensions:
            raise ApiError(403, "You are not allowed to generate embeddings from this model")
        request = read_embedding(fields, model)
        return asked.stage.answer(embed(request, model, asked.script), 1)

    # What a request comes with

    def _check_key(self, request: HttpRequest) -> None:
        if not self.key:
            return
        scheme, _, given = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not given:
            message = (
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
                "https://platform.openai.com/account/api-keys."
            )
            raise ApiError(401, message)
        if given.strip() != self.key:
            shown = f"{given[:3]}*****{given[-4:]}" if len(given) > 12 else "*****"
            message = (
                f"Incorrect API key provided: {shown}. You can find your API key at "
                "https://platform.openai.com/account/api-keys."
            )
            raise ApiError(401, message, code="invalid_api_key")

    def _seed_for(self, request: HttpRequest, fields: Mapping[str, Any], model: str) -> int:
        """From what is asked, not from how: streamed or not, with faults or not, the answer has the same words."""
        asked = {key: value for key, value in fields.items() if key not in ("stream", "stream_options")}
        if asked:
            asked["model"] = model
        return seed_of(self.seed, request.path.rpartition(b"/")[2], msgspec.json.encode(asked, order="sorted"))

    def _stage(self, script: Script, seed: int, close: bool) -> Stage:
        headers = (
            (b"x-request-id", b"req_%016x%016x" % (seed, mixed(seed, 1))),
            (b"openai-processing-ms", b"%d" % (5 + seed % 40)),
            (b"openai-version", b"2020-10-01"),
        )
        # Waits differ between two equal requests, or a repeated one could never be luckier than the first.
        dice = Dice(mixed(seed, self.journal.requests))
        return Stage(script, headers, dice, close or script.close)

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
        times, chance = settings.get("times"), settings.get("p")
        if times is None and chance is None:
            return True
        use = self._uses.pop(text, 0) + 1
        self._uses[text] = use
        if len(self._uses) > _SCRIPTS:
            self._uses.popitem(last=False)
        if times is not None and use > times:
            return False
        return chance is None or Dice(seed_of(self.seed, text.encode(), use)).random() < chance


class _Asked(msgspec.Struct, frozen=True):
    """The model asked for, and how the answer is to be given."""

    model: str
    script: Script
    stage: Stage
    seed: int


def _read_fields(request: HttpRequest) -> tuple[dict[str, Any], ApiError | None]:
    if request.method != b"POST":
        return {}, None
    try:
        return decode_fields(request.body), None
    except ApiError as problem:
        return {}, problem


def _canonical(script: Script) -> str:
    if script is _NO_SCRIPT:
        return ""
    return ",".join(f"{key}={value}" for key, value in msgspec.to_builtins(script).items())


def _check_method(request: HttpRequest, method: bytes) -> None:
    if request.method != method:
        message = f"Only {method.decode()} requests are accepted."
        raise ApiError(405, message, code="method_not_supported", headers=((b"allow", method),))


def _known(name: str) -> Model:
    if not name:
        raise missing("model")
    model = MODELS.get(name)
    if model is None:
        message = f"The model `{name[:200]}` does not exist or you do not have access to it."
        raise ApiError(404, message, code="model_not_found")
    return model


def _models(name: str) -> bytes:
    cards = [{"id": each, "object": "model", "created": _BORN, "owned_by": "penstock-sim"} for each in MODELS]
    if not name:
        return msgspec.json.encode({"object": "list", "data": cards})
    return msgspec.json.encode(next(card for card in cards if card["id"] == _known(name).name))
