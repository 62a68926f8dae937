"""OpenAI's API as the simulated provider has it: chat completions, embeddings, models."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.providers.simulated.answer import compose
from penstock.providers.simulated.api import Asked
from penstock.providers.simulated.chance import Dice, mixed, seed_of
from penstock.providers.simulated.chat import CHUNKS, Stamp, completion_events, encode_completion
from penstock.providers.simulated.embeddings import embed, read_embedding
from penstock.providers.simulated.failures import ApiError, Headers, scripted_error
from penstock.providers.simulated.fields import missing, not_json
from penstock.providers.simulated.models import BORN, MODELS, Model
from penstock.providers.simulated.play import Step
from penstock.providers.simulated.request import read_chat
from penstock.providers.simulated.script import Script
from penstock.wire.h1 import HttpRequest

__all__ = ["OpenAIApi"]


class OpenAIApi:
    """OpenAI's routes. `seed` is the provider's."""

    def __init__(self, seed: int) -> None:
        self._fingerprint = f"fp_{seed_of(seed, b'fingerprint') & 0xFF_FFFF_FFFF:010x}"

    def headers(self, seed: int) -> Headers:
        """With the names OpenAI gives them."""
        return (
            (b"x-request-id", b"req_%016x%016x" % (seed, mixed(seed, 1))),
            (b"openai-processing-ms", b"%d" % (5 + seed % 40)),
            (b"openai-version", b"2020-10-01"),
        )

    def check_key(self, request: HttpRequest, key: str) -> None:
        """A bearer token."""
        scheme, _, given = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not given:
            message = (
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
                "https://platform.openai.com/account/api-keys."
            )
            raise ApiError(401, message)
        if given.strip() != key:
            shown = f"{given[:3]}*****{given[-4:]}" if len(given) > 12 else "*****"
            message = (
                f"Incorrect API key provided: {shown}. You can find your API key at "
                "https://platform.openai.com/account/api-keys."
            )
            raise ApiError(401, message, code="invalid_api_key")

    def failure(self, status: int, script: Script, model: str) -> ApiError:
        """By status and, if given, by code."""
        return scripted_error(status, script.code, script.retry_after, model)

    def worded(self, error: ApiError, seed: int) -> ApiError:
        """As it is: OpenAI's words are those the shared parts use."""
        return error

    def not_json(self) -> ApiError:
        """A 400."""
        return not_json()

    def answer(self, asked: Asked) -> Iterable[Step]:
        """By the end of the path: what stands before is nobody's business."""
        request = asked.request
        path = request.path.rstrip(b"/")
        if path.endswith(b"/chat/completions"):
            _check_method(request, b"POST")
            return self._chat(asked)
        if path.endswith(b"/embeddings"):
            _check_method(request, b"POST")
            return _embeddings(asked)
        _, found, name = path.rpartition(b"/models")
        if found and (not name or name.startswith(b"/")):
            _check_method(request, b"GET")
            return asked.stage.unary(200, _models(name[1:].decode("latin-1")))
        where = f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}"
        raise ApiError(404, f"Invalid URL ({where})")

    def _chat(self, asked: Asked) -> Iterable[Step]:
        model = _known(asked.model)
        if model.dimensions:
            message = (
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
                "Did you mean to use v1/completions?"
            )
            raise ApiError(404, message, param="model")
        request = read_chat(asked.fields, model.name)
        script, stage = asked.script, asked.stage
        answer = compose(request, model, script, asked.seed)
        asked.seen.prompt, asked.seen.completion = answer.used.prompt, answer.used.completion
        name = f"chatcmpl-{Dice(asked.seed).name(29)}"
        stamp = Stamp(name, int(asked.time), model.name, self._fingerprint, request.tier)
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
        return stage.stream(events, scripted_error(500, script.code, "", model.name), CHUNKS)


def _embeddings(asked: Asked) -> Iterable[Step]:
    model = _known(asked.model)
    if not model.dimensions:
        raise ApiError(403, "You are not allowed to generate embeddings from this model")
    request = read_embedding(asked.fields, model)
    return asked.stage.answer(embed(request, model, asked.script), 1)


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
    cards = [{"id": each, "object": "model", "created": BORN, "owned_by": "penstock-sim"} for each in MODELS]
    if not name:
        return msgspec.json.encode({"object": "list", "data": cards})
    return msgspec.json.encode(next(card for card in cards if card["id"] == _known(name).name))
