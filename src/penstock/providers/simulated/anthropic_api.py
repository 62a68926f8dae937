"""Anthropic's API as the simulated provider has it: messages, the counting of their tokens, models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.providers.simulated.answer import compose, prompt_tokens
from penstock.providers.simulated.anthropic_answer import MESSAGES, encode_message, message_events
from penstock.providers.simulated.anthropic_failures import MessagesError, invalid, scripted_failure, worded
from penstock.providers.simulated.anthropic_request import read_counted, read_messages
from penstock.providers.simulated.api import Asked
from penstock.providers.simulated.chance import Dice, mixed
from penstock.providers.simulated.failures import ApiError, Headers
from penstock.providers.simulated.models import MODELS, Model
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.script import Script
from penstock.wire.h1 import HttpRequest

__all__ = ["AnthropicApi", "speaks_anthropic"]

_VERSION = b"anthropic-version"
_ROUTES = (b"/messages", b"/messages/count_tokens")
_OVERLOADED = 529  # what a stream most often ends with in its middle
_BORN = "2025-01-01T00:00:00Z"


def speaks_anthropic(request: HttpRequest) -> bool:
    """Whether a request is for this API: by its path, and where both vendors have it, by Anthropic's header."""
    path = request.path.rstrip(b"/")
    if path.endswith(_ROUTES):
        return True
    return _VERSION in request.headers and not path.endswith((b"/chat/completions", b"/embeddings"))


class AnthropicApi:
    """Anthropic's routes."""

    def headers(self, seed: int) -> Headers:
        """With the names Anthropic gives them."""
        return (
            (b"request-id", _request_id(seed).encode()),
            (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000"),
        )

    def check_key(self, request: HttpRequest, key: str) -> None:
        """In `x-api-key`, or as a bearer token."""
        given = request.headers.get(b"x-api-key", b"").decode("latin-1")
        scheme, _, token = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if given:
            if given != key:
                raise MessagesError(401, "authentication_error", "invalid x-api-key")
        elif scheme.lower() != "bearer" or not token:
            raise MessagesError(401, "authentication_error", "x-api-key header is required")
        elif token.strip() != key:
            raise MessagesError(401, "authentication_error", "Invalid bearer token")

    def failure(self, status: int, script: Script, model: str) -> ApiError:
        """By status and, if given, by code."""
        return scripted_failure(status, script.code, script.retry_after, model)

    def worded(self, error: ApiError, seed: int) -> ApiError:
        """In Anthropic's envelope, with the response's id and whether to try again."""
        return worded(error, _request_id(seed))

    def not_json(self) -> ApiError:
        """A 400."""
        return invalid("The request body is not valid JSON: expected a JSON object")

    def answer(self, asked: Asked) -> Iterable[Step]:
        """By the end of the path: what stands before is nobody's business."""
        request = asked.request
        path = request.path.rstrip(b"/")
        if path.endswith(_ROUTES):
            _check_method(request, b"POST")
            if _VERSION not in request.headers:
                raise invalid("anthropic-version: header is required")
            return _messages(asked) if path.endswith(b"/messages") else _count(asked)
        _, found, name = path.rpartition(b"/models")
        if found and (not name or name.startswith(b"/")):
            _check_method(request, b"GET")
            return asked.stage.unary(200, _models(name[1:].decode("latin-1")))
        raise MessagesError(404, "not_found_error", "Not Found")


def _messages(asked: Asked) -> Iterable[Step]:
    model = _known(asked.model)
    request = read_messages(asked.fields, model.name)
    script, stage = asked.script, asked.stage
    _check_begun(request.begun)
    answer = compose(request, model, script, asked.seed)
    asked.seen.prompt, asked.seen.completion = answer.used.prompt, answer.used.completion
    name = f"msg_{Dice(asked.seed).name(24)}"
    if not request.stream:
        return stage.answer(encode_message(answer, name, model.name), answer.choices[0].tokens)
    events = message_events(answer, name, model.name, finish=not script.no_finish)
    failure = worded(scripted_failure(_OVERLOADED, script.code, "", model.name), _request_id(asked.seed))
    return stage.stream(events, failure, MESSAGES)


def _check_begun(begun: str) -> None:
    # https://platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response
    if begun != begun.rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def _count(asked: Asked) -> Iterable[Step]:
    request = read_counted(asked.fields, _known(asked.model).name)
    return asked.stage.answer(b'{"input_tokens":%d}' % prompt_tokens(request), 1)


def _request_id(seed: int) -> str:
    return f"req_011C{Dice(mixed(seed, 1)).name(20)}"


def _check_method(request: HttpRequest, method: bytes) -> None:
    if request.method != method:
        raise MessagesError(405, "invalid_request_error", "Method Not Allowed", ((b"allow", method),))


def _known(name: str) -> Model:
    if not name:
        raise invalid("model: Field required")
    model = MODELS.get(name)
    if model is None or model.dimensions:
        raise MessagesError(404, "not_found_error", f"model: {name[:200]}")
    return model


def _models(name: str) -> bytes:
    """https://platform.claude.com/docs/en/api/models/list"""
    if name:
        return msgspec.json.encode(_card(_known(name)))
    cards = [_card(model) for model in MODELS.values() if not model.dimensions]
    page = {"data": cards, "has_more": False, "first_id": cards[0]["id"], "last_id": cards[-1]["id"]}
    return msgspec.json.encode(page)


def _card(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.name,
        "display_name": f"Simulated {model.name}",
        "created_at": _BORN,
        "lifecycle": "active",
        "max_input_tokens": model.window,
    }
