"""What a caller must get for an answer of Anthropic's, worked out from its bytes alone; `expected` for the other API.

The rules are those of https://platform.claude.com/docs/en/build-with-claude/streaming: a stream's good end is
`message_stop`; one that told its stop reason has said all.
"""

from __future__ import annotations

import re
from typing import Any

from tests.end_to_end.expected import Expected, blocks_of, data_of, json_of
from tests.end_to_end.gist import ANTHROPIC_ENDS, Count, count_of_anthropic

__all__ = ["expect_count", "expect_message", "expect_messages"]

_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def expect_count(body: bytes) -> Expected:
    """A count of tokens."""
    return Expected(body=body, usage=_usage(Count(input=json_of(body)["input_tokens"])))


def expect_message(body: bytes) -> Expected:
    """A whole message."""
    value = json_of(body)
    found = Expected(body=body, model=value.get("model"), finish_reason=_end(value.get("stop_reason")))
    count = count_of_anthropic(value.get("usage"))
    found.usage = None if count is None else _usage(count)
    return found


def expect_messages(body: bytes) -> Expected:
    """What becomes of a stream."""
    found, kept, at = Expected(), [], 0
    counted: dict[str, Any] = {}
    stopped = False
    for block in blocks_of(body):
        data = data_of(block)
        value = _object(data)
        if data is None:
            if re.search(rb"(\A|[\r\n])(\r\n|\n|\r)\Z", block):
                kept.append(block)
        elif value is None:
            found.dropped += 1
        else:
            kept.append(block)
            if not stopped:
                _take(found, value, counted)
                found.lead = at if found.lead is None and _speaks(value) else found.lead
            stopped = stopped or value["type"] == "message_stop"
        at += len(block)
    found.broken = not found.told and not stopped and found.finish_reason is None
    found.body = b"".join(kept)
    count = count_of_anthropic(counted)
    found.usage = None if count is None else _usage(count)
    if found.usage is not None and found.broken:
        found.usage["cut"] = True
    return found


def _object(data: bytes | None) -> dict[str, Any] | None:
    try:
        value = json_of(data or b"")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("type"), str) else None


def _take(found: Expected, value: dict[str, Any], counted: dict[str, Any]) -> None:
    message = value.get("message") or {}
    told = message.get("usage") or value.get("usage") or {}
    counted.update({name: number for name, number in told.items() if number is not None})
    found.model = found.model or message.get("model")
    ended = (value.get("delta") or message).get("stop_reason")
    found.finish_reason = _end(ended) or found.finish_reason
    found.told = found.told or value["type"] == "error"


def _speaks(value: dict[str, Any]) -> bool:
    """Whether an event holds output."""
    kind, delta, block = value["type"], value.get("delta") or {}, value.get("content_block") or {}
    if kind == "message_start":
        return bool(value["message"].get("content") or value["message"].get("stop_reason"))
    if kind == "content_block_start" and block["type"] in ("text", "thinking"):
        return bool(block.get("text") or block.get("thinking") or block.get("signature") or block.get("citations"))
    if kind == "content_block_start" and block["type"] == "compaction":
        return bool(block.get("content"))
    if kind == "content_block_delta" and delta["type"] in _PIECES:
        return bool(delta[_PIECES[delta["type"]]])
    if kind == "content_block_delta" and delta["type"] == "signature_delta":
        return bool(delta["signature"])
    return kind in ("content_block_start", "content_block_delta", "message_stop") or bool(delta.get("stop_reason"))


def _end(stop_reason: str | None) -> str | None:
    return stop_reason and ANTHROPIC_ENDS.get(stop_reason, stop_reason)


def _usage(count: Count) -> dict[str, Any]:
    """As `checks` reads it: in the other API's words."""
    return {
        "prompt_tokens": count.input,
        "completion_tokens": count.output,
        "prompt_tokens_details": {"cached_tokens": count.cache_read},
        "completion_tokens_details": {"reasoning_tokens": count.reasoning},
    }
