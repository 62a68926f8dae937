"""What a caller must get and the log must say for a provider's answer, worked out from its bytes alone.

Nothing of the package is used here: an own reading of server-sent events (WHATWG HTML, section 9.2.6), of OpenAI's
chunks and of its vendors' spellings, so that a mistake in the one is not made again in the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Expected", "blocks_of", "data_of", "expect_answer", "expect_stream", "json_of", "says"]

_LINE = re.compile(rb"[^\r\n]*(\r\n|\n|\r|\Z)")
_SPOKEN = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal", "function_call", "audio")


@dataclass
class Expected:
    """An answer as it should arrive.

    Attributes:
        body: the bytes; of a stream those before an error event of ours.
        broken: a stream without a good end: an error event of ours follows.
        told: the stream itself told of an error, or it is too late to tell.
        lead: where in the provider's bytes the first event lies that is output; None if there is none.
        dropped: events left out because they are not valid.
        unasked: usage chunks left out because nobody asked for them.
        usage: the provider's last count, None if it gave none.
    """

    body: bytes = b""
    broken: bool = False
    told: bool = False
    lead: int | None = None
    dropped: int = 0
    unasked: int = 0
    usage: dict[str, Any] | None = None
    model: str | None = None
    finish_reason: str | None = None
    ends: dict[int, str | None] = field(default_factory=dict)


def blocks_of(body: bytes) -> Iterator[bytes]:
    """The stream cut after each blank line; the last block may lack one."""
    start = at = 0
    while at < len(body):
        line = _LINE.match(body, at)
        assert line is not None
        at = line.end()
        if not line.group().strip(b"\r\n"):
            yield body[start:at]
            start = at
    if start < len(body):
        yield body[start:]


def data_of(block: bytes) -> bytes | None:
    """The event's data, None where the block has no data line."""
    lines = re.split(rb"\r\n|\n|\r", block.removeprefix(b"\xef\xbb\xbf"))
    data = [line[5:].removeprefix(b" ") for line in lines if line == b"data" or line.startswith(b"data:")]
    return b"\n".join(data) if data else None


def json_of(data: bytes) -> Any:
    """The value; raises ValueError for what RFC 8259 does not know."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(data.decode("utf-8"), parse_constant=refuse)


def says(delta: dict[str, Any]) -> bool:
    """Whether a delta holds output: text, reasoning (not where it is encrypted), a tool call, a refusal, audio."""
    details = delta.get("reasoning_details") or ()
    return any(delta.get(name) for name in _SPOKEN) or any(d.get("text") or d.get("summary") for d in details)


def expect_answer(body: bytes) -> Expected:
    """The facts in a whole answer, chat or embeddings."""
    value = json_of(body)
    found = Expected(body=body, model=value.get("model") or None)
    _note_usage(found, value)
    for choice in value.get("choices") or ():
        found.finish_reason = found.finish_reason or choice.get("finish_reason") or None
    return found


def expect_stream(body: bytes, *, usage_asked: bool) -> Expected:
    """What becomes of a stream. Its last event counts without its blank line too; half of anything else does not."""
    found, done, kept, at = Expected(), False, [], 0
    for block in blocks_of(body):
        data = data_of(block)
        unread = b"\nerror:" in b"\n" + block  # GPUStack's way to tell, which no client reads
        found.broken = found.broken or unread
        if data is None:
            if unread or re.search(rb"(\A|[\r\n])(\r\n|\n|\r)\Z", block):
                kept.append(block)
        elif data.strip() == b"[DONE]":
            done = True
            kept.append(block)
            found.lead = at if found.lead is None else found.lead
        elif _take(found, data, at, usage_asked):
            kept.append(block)
        at += len(block)
        if found.told:
            break  # whatever comes behind an error event
    good = done or (bool(found.ends) and None not in found.ends.values())
    found.told = found.told or (found.broken and done)
    found.broken = not found.told and (found.broken or not good)
    found.body = b"".join(kept)
    ends = found.ends
    found.finish_reason = ends.get(0) or next((reason for reason in ends.values() if reason), None)
    return found


def _take(found: Expected, data: bytes, at: int, usage_asked: bool) -> bool:
    """Note what one event says; whether it passes."""
    try:
        value = json_of(data)
    except (ValueError, RecursionError):
        value = None
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not (choices is None or isinstance(choices, list)):
        found.dropped += 1
        return False
    found.model = found.model or value.get("model") or None
    _note_usage(found, value)
    for choice in choices or ():
        index = choice.get("index") or 0
        if choice.get("finish_reason") or index not in found.ends:
            found.ends[index] = choice.get("finish_reason") or None
        if found.lead is None and (choice.get("finish_reason") or says(choice.get("delta") or {})):
            found.lead = at
    if value.get("error"):
        found.told = found.told or not choices
    elif not choices and value.get("usage") and not usage_asked:
        found.unasked += 1
        return False
    return True


def _note_usage(found: Expected, value: dict[str, Any]) -> None:
    places = [(value.get("x_groq") or {}).get("usage"), value.get("usage")]
    places += [choice.get("usage") for choice in value.get("choices") or ()]
    for usage in places:
        if isinstance(usage, dict) and any(isinstance(number, int) for number in usage.values()):
            found.usage = usage
