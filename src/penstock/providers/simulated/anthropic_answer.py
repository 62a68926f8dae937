"""Anthropic's messages on the wire: the body of a whole answer, and the events of a streamed one. Pure.

https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from penstock.providers.simulated.answer import Answer, Choice, Spent
from penstock.providers.simulated.staging import Event, Form
from penstock.providers.simulated.tools import Call

__all__ = ["MESSAGES", "encode_message", "message_events", "signature_of"]

_STOP = b'{"type":"message_stop"}'
MESSAGES = Form(_STOP, named=True)

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}

_encode = msgspec.json.encode


def signature_of(thinking: str) -> str:
    """The seal on a block of thinking: the same from every provider, so that any of them knows its own again."""
    return base64.b64encode(hashlib.blake2b(thinking.encode(), person=b"penstock-sim").digest()).decode("ascii")


def encode_message(answer: Answer, id: str, model: str) -> bytes:
    """A `message`."""
    choice = answer.choices[0]
    body = _message(id, model, _content(choice))
    body["stop_reason"], body["stop_sequence"] = _stopped(choice)
    if answer.spent is not None:
        body["usage"] = _usage(answer.spent)
    return _encode(body)


def message_events(answer: Answer, id: str, model: str, *, finish: bool) -> Iterator[Event]:
    """The events from `message_start` to `message_stop`, with the ping that comes once the first block is open.

    Args:
        finish: False leaves out `message_delta` with the stop reason, and all after it.
    """
    choice, spent = answer.choices[0], answer.spent
    started = _message(id, model, [])
    if spent is not None:
        started["usage"] = _usage(spent, started=True)
    yield _encode({"type": "message_start", "message": started}), False
    pinged = False
    for index, (opening, deltas, is_output) in enumerate(_blocks(choice)):
        start = {"type": "content_block_start", "index": index, "content_block": opening}
        yield _encode(start), is_output
        if not pinged:
            yield b'{"type":"ping"}', False
            pinged = True
        for delta, spoken in deltas:
            yield b'{"type":"content_block_delta","index":%d,"delta":%b}' % (index, delta), spoken
        yield b'{"type":"content_block_stop","index":%d}' % index, False
    if not finish:
        return
    reason, sequence = _stopped(choice)
    last: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}}
    if spent is not None:
        last["usage"] = _counts(spent)
    yield _encode(last), False
    yield _STOP, False


def _message(id: str, model: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": model,
        "id": id,
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stopped(choice: Choice) -> tuple[str, str | None]:
    if choice.finish == "length":
        return "max_tokens", None
    if choice.stopped:
        return "stop_sequence", choice.stopped
    return "tool_use" if choice.calls else _REASONS[choice.finish], None


def _content(choice: Choice) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if choice.reasoning:
        thinking = "".join(choice.reasoning)
        blocks.append({"type": "thinking", "thinking": thinking, "signature": signature_of(thinking)})
    if choice.content:
        blocks.append({"type": "text", "text": "".join(choice.content)})
    blocks += [_call(call, _input(call)) for call in choice.calls]
    return blocks


def _call(call: Call, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{call.id.removeprefix('call_')}", "name": call.name, "input": arguments}


def _input(call: Call) -> Any:
    try:
        return msgspec.json.decode("".join(call.arguments))
    except msgspec.DecodeError:
        return {}  # cut at the limit of the output


def _blocks(choice: Choice) -> Iterator[tuple[dict[str, Any], Iterable[tuple[bytes, bool]], bool]]:
    """Each block's opening, its deltas, and whether the opening is output itself; each delta, and whether it is."""
    if choice.reasoning:
        yield {"type": "thinking", "thinking": "", "signature": ""}, _thinking(choice.reasoning), False
    if choice.content:
        yield {"type": "text", "text": ""}, _pieces(b"text_delta", b"text", choice.content), False
    for call in choice.calls:
        # The first piece of the arguments is empty, as the real ones are.
        yield _call(call, {}), _pieces(b"input_json_delta", b"partial_json", ["", *call.arguments]), True


def _thinking(tokens: list[str]) -> Iterator[tuple[bytes, bool]]:
    yield from _pieces(b"thinking_delta", b"thinking", tokens)
    yield b'{"type":"signature_delta","signature":%b}' % _encode(signature_of("".join(tokens))), False


def _pieces(kind: bytes, field: bytes, tokens: list[str]) -> Iterator[tuple[bytes, bool]]:
    for token in tokens:
        yield b'{"type":"%b","%b":%b}' % (kind, field, _encode(token)), bool(token)


def _usage(spent: Spent, *, started: bool = False) -> dict[str, Any]:
    cache = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    return _counts(spent, started=started) | {"cache_creation": cache, "service_tier": "standard"}


def _counts(spent: Spent, *, started: bool = False) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "input_tokens": spent.prompt,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": min(1, spent.completion) if started else spent.completion,
    }
    if spent.reasoning and not started:
        counts["output_tokens_details"] = {"thinking_tokens": spent.reasoning}
    return counts
