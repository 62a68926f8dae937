"""OpenAI's chat completions on the wire: the body of a whole answer, and the events of a streamed one.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.providers.simulated.answer import Answer, Choice, Spent
from penstock.providers.simulated.chance import Dice, mixed
from penstock.providers.simulated.staging import Event, Form
from penstock.providers.simulated.words import NOUNS

__all__ = ["CHUNKS", "Stamp", "completion_events", "encode_completion"]

DONE = b"[DONE]"
CHUNKS = Form(DONE)

_LOGPROBS = 1 << 20  # apart from the numbers that choices are seeded with

_encode = msgspec.json.encode


class Stamp(msgspec.Struct, frozen=True):
    """What stands in every body and chunk of an answer."""

    id: str
    created: int
    model: str
    fingerprint: str
    tier: str = "default"


def encode_completion(answer: Answer, stamp: Stamp, top_logprobs: int | None) -> bytes:
    """A `chat.completion`."""
    body: dict[str, Any] = {
        "id": stamp.id,
        "object": "chat.completion",
        "created": stamp.created,
        "model": stamp.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice),
                "logprobs": _logprobs(choice.content or [], answer.seed, index, top_logprobs),
                "finish_reason": choice.finish,
            }
            for index, choice in enumerate(answer.choices)
        ],
    }
    if answer.spent is not None:
        body["usage"] = _usage(answer.spent)
    body["service_tier"] = stamp.tier
    body["system_fingerprint"] = stamp.fingerprint
    return _encode(body)


def _message(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if choice.content is None else "".join(choice.content),
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in choice.calls
        ]
    message["refusal"] = None
    message["annotations"] = []
    return message


def _usage(spent: Spent) -> dict[str, Any]:
    return {
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.completion,
        "total_tokens": spent.total,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion_events(
    answer: Answer, stamp: Stamp, *, include_usage: bool, top_logprobs: int | None, finish: bool
) -> Iterator[Event]:
    """The `chat.completion.chunk` events, choices taking turns, and `[DONE]`.

    Args:
        finish: False leaves out the finish reasons and all after them.
    """
    chunks = _Chunks(stamp, include_usage)
    turns = [_deltas(choice, chunks, index, answer.seed, top_logprobs) for index, choice in enumerate(answer.choices)]
    for index, choice in enumerate(answer.choices):
        first = b'{"role":"assistant","content":null}'
        if choice.content is not None:
            first = b'{"role":"assistant","content":"","refusal":null}'
        yield chunks.delta(index, first), False
    if len(turns) == 1:
        yield from turns.pop()
    while turns:
        waiting = []
        for turn in turns:
            event = next(turn, None)
            if event is not None:
                yield event
                waiting.append(turn)
        turns = waiting
    if not finish:
        return
    for index, choice in enumerate(answer.choices):
        yield chunks.delta(index, b"{}", finish=_encode(choice.finish)), False
    if include_usage and answer.spent is not None:
        yield chunks.usage(_encode(_usage(answer.spent))), False
    yield DONE, False


class _Chunks:
    """Writes chunks; what is the same in all of them is written once."""

    def __init__(self, stamp: Stamp, include_usage: bool) -> None:
        self._head = (
            b'{"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"service_tier":%b,'
            b'"system_fingerprint":%b,"choices":['
            % (_encode(stamp.id), stamp.created, _encode(stamp.model), _encode(stamp.tier), _encode(stamp.fingerprint))
        )
        self._tail = b',"usage":null}' if include_usage else b"}"

    def delta(self, index: int, delta: bytes, logprobs: bytes = b"null", finish: bytes = b"null") -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b' % (
            self._head, index, delta, logprobs, finish, self._tail,
        )  # fmt: skip

    def around(self, index: int, field: bytes) -> tuple[bytes, bytes]:
        """What stands before and after the value of a delta's only field."""
        before = b'%b{"index":%d,"delta":{"%b":' % (self._head, index, field)
        return before, b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def usage(self, usage: bytes) -> bytes:
        return b'%b],"usage":%b}' % (self._head, usage)


def _deltas(choice: Choice, chunks: _Chunks, index: int, seed: int, top_logprobs: int | None) -> Iterator[Event]:
    before, after = chunks.around(index, b"reasoning_content")
    for token in choice.reasoning:
        yield before + _encode(token) + after, True
    if top_logprobs is None:
        before, after = chunks.around(index, b"content")
        for token in choice.content or ():
            yield before + _encode(token) + after, True
    else:
        dice = Dice(mixed(seed, _LOGPROBS + index))
        for token in choice.content or ():
            logprobs = _encode({"content": [_logprob(token, dice, top_logprobs)], "refusal": None})
            yield chunks.delta(index, b'{"content":%b}' % _encode(token), logprobs), True
    for number, call in enumerate(choice.calls):
        opening = b'{"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":""}}]}'
        yield chunks.delta(index, opening % (number, _encode(call.id), _encode(call.name))), True
        for token in call.arguments:
            more = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (number, _encode(token))
            yield chunks.delta(index, more), True


def _logprobs(tokens: list[str], seed: int, index: int, top: int | None) -> dict[str, Any] | None:
    if top is None:
        return None
    dice = Dice(mixed(seed, _LOGPROBS + index))
    return {"content": [_logprob(token, dice, top) for token in tokens], "refusal": None}


def _logprob(token: str, dice: Dice, top: int) -> dict[str, Any]:
    chosen = {"token": token, "logprob": -round(dice.random() * 0.7, 6), "bytes": list(token.encode())}
    others = [" " + dice.choice(NOUNS).rsplit(" ", 1)[1] for _ in range(1, top)]
    ranked = [{**chosen}][:top]
    for rank, other in enumerate(others, 1):
        ranked.append({"token": other, "logprob": round(-0.7 - rank - dice.random(), 6), "bytes": list(other.encode())})
    return {**chosen, "top_logprobs": ranked}
