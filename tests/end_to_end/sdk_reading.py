"""What the vendors' own SDKs make of an answer: its bytes are handed to them in memory, in place of a network."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from tests.end_to_end.gist import Call, Count, Gist, events_of
from tests.stage import Answer

__all__ = ["AnthropicSdk", "OpenAISdk", "Sdk"]

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_ASKED: dict[str, Any] = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 500}
# Both name their exceptions so, by the status.
_BY_STATUS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}


class Sdk(ABC):
    """An SDK whose network is one answer."""

    def __init__(self, vendor: Any) -> None:
        self.answer: Answer | None = None
        self._vendor = vendor

    @abstractmethod
    def read(self, answer: Answer, *, stream: bool, typed: bool = True) -> Gist:
        """What the caller's program sees.

        Raises what the SDK raises, and with `typed` ValidationError for what its types do not know, which it forgives.
        """

    def complaints(self, answer: Answer, *, stream: bool) -> Iterator[str]:
        """Of an answer that is an error, or a stream that ends with one: the exception must be of the right class."""
        name = "APIError"
        if answer.status != 200:
            name = _BY_STATUS.get(answer.status, "InternalServerError" if answer.status >= 500 else "APIStatusError")
        try:
            said = self.read(answer, stream=stream)
        except getattr(self._vendor, name) as error:
            if answer.status != 200 and error.status_code != answer.status:
                yield f"the SDK sees status {error.status_code}, not {answer.status}"
        except Exception as error:  # noqa: BLE001 - which one is the question
            yield f"the SDK raises {error!r}, not {name}"
        else:
            yield f"the SDK sees no error: {said}"

    def network(self) -> httpx2.Client:
        """For the SDK's `http_client`."""
        return httpx2.Client(transport=httpx2.MockTransport(self._respond))

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        assert self.answer is not None
        headers = {name: value for name, value in self.answer.headers.items() if name != "transfer-encoding"}
        return httpx2.Response(self.answer.status, headers=headers, content=self.answer.body)


class OpenAISdk(Sdk):
    """OpenAI's."""

    def __init__(self) -> None:
        super().__init__(openai)
        self._client = openai.OpenAI(
            api_key="unused", base_url="http://gateway/v1", max_retries=0, http_client=self.network()
        )

    def read(self, answer: Answer, *, stream: bool, typed: bool = True) -> Gist:
        self.answer = answer
        if not stream:
            whole = self._client.chat.completions.create(**_ASKED)
            if typed:
                ChatCompletion.model_validate_json(answer.body)
            return _gist_of_completion(whole)
        heard: list[str] = []
        with self._client.chat.completions.stream(**_ASKED) as events:
            for event in events:
                if event.type == "content.delta":
                    heard.append(event.delta)
            try:
                final = events.get_final_completion()
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                final = events.current_completion_snapshot
        for _, value in events_of(answer.body) if typed else ():
            if value != "[DONE]":
                ChatCompletionChunk.model_validate(value)
        gist = _gist_of_completion(final)
        assert "".join(heard) == gist.text
        return gist


def _gist_of_completion(final: Any) -> Gist:
    choice = final.choices[0]
    message, usage = choice.message, final.usage
    gist = Gist(text=message.content or "", refusal=message.refusal or "", id=final.id, model=final.model)
    gist.finish = choice.finish_reason
    gist.calls = [Call(call.function.name, call.function.arguments, call.id) for call in message.tool_calls or ()]
    if usage is not None:
        prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
        gist.count = Count(usage.prompt_tokens, usage.completion_tokens)
        gist.count.cache_read = (prompt.cached_tokens if prompt is not None else 0) or 0
        gist.count.cache_write = getattr(prompt, "cache_write_tokens", 0) or 0
        gist.count.reasoning = (completion.reasoning_tokens if completion is not None else 0) or 0
    return gist


class AnthropicSdk(Sdk):
    """Anthropic's."""

    def __init__(self) -> None:
        super().__init__(anthropic)
        self._client = anthropic.Anthropic(
            api_key="unused", base_url="http://gateway", max_retries=0, http_client=self.network()
        )

    def read(self, answer: Answer, *, stream: bool, typed: bool = True) -> Gist:
        self.answer = answer
        if not stream:
            whole = self._client.messages.create(**_ASKED)
            if typed:
                Message.model_validate_json(answer.body)
            return _gist_of_message(whole)
        with self._client.messages.stream(**_ASKED) as events:
            heard = "".join(events.text_stream)
            final = events.get_final_message()
        for _, value in events_of(answer.body) if typed else ():
            if value["type"] != "ping":
                _EVENT.validate_python(value)
        gist = _gist_of_message(final)
        assert heard == gist.text
        return gist


def _gist_of_message(final: Any) -> Gist:
    gist = Gist(id=final.id, model=final.model, finish=final.stop_reason, stop_sequence=final.stop_sequence)
    for block in final.content:
        if block.type == "text":
            gist.text += block.text
        elif block.type == "thinking":
            gist.thoughts += block.thinking
        elif block.type == "tool_use":
            gist.calls.append(Call(block.name, json.dumps(block.input), block.id))
    usage = final.usage
    written, read = usage.cache_creation_input_tokens or 0, usage.cache_read_input_tokens or 0
    gist.count = Count(usage.input_tokens + written + read, usage.output_tokens, read, written)
    details = getattr(usage, "output_tokens_details", None)
    gist.count.reasoning = (details.thinking_tokens if details is not None else 0) or 0
    return gist
