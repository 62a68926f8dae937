"""What an answer says, whatever dialect says it: read from its bytes alone, to compare two dialects by.

Nothing of the package is used here: an own reading of OpenAI's chat completions with its vendors' spellings
(https://platform.openai.com/docs/api-reference/chat) and of Anthropic's messages
(https://platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.end_to_end.expected import blocks_of, data_of, json_of

__all__ = [
    "ANTHROPIC_ENDS",
    "Call",
    "Count",
    "Gist",
    "anthropic_gist",
    "count_of_anthropic",
    "events_of",
    "openai_gist",
]

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons, in OpenAI's words.
ANTHROPIC_ENDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_BESIDE = ("compaction", "advisor_message")  # what `usage.iterations` holds that the totals do not


@dataclass
class Call:
    """A tool call; `arguments` is text while it grows."""

    name: str = ""
    arguments: str = ""
    id: str = ""

    @property
    def value(self) -> Any:
        """The arguments as JSON; as they stand where they are none. None at all is an empty object."""
        try:
            return json.loads(self.arguments or "{}")
        except ValueError:
            return self.arguments


@dataclass
class Count:
    """Tokens; the input includes what was read from and written to a cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass
class Gist:
    """What was said; of several answers the first.

    Attributes:
        id, model: as told before or with the first output; the id that comes with the model.
        finish: why it ended, as the dialect says it.
        error: what an error event or body says.
        count: None where nothing was counted.
        ended: the stream's last word came: `[DONE]`, `message_stop`.
    """

    text: str = ""
    thoughts: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    stop_sequence: str | None = None
    seals: list[str] = field(default_factory=list)
    count: Count | None = None
    model: str = ""
    id: str = ""
    error: dict[str, Any] | None = None
    ended: bool = False


def events_of(body: bytes) -> Iterator[tuple[str, Any]]:
    """Each event's name and JSON; `[DONE]` as itself, what is no JSON object left out."""
    for block in blocks_of(body):
        data = data_of(block)
        if data is None:
            continue
        name = next((line[6:].strip() for line in block.splitlines() if line.startswith(b"event:")), b"").decode()
        if data.strip() == b"[DONE]":
            yield name, "[DONE]"
            continue
        try:
            value = json_of(data)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield name, value


# --- OpenAI


def openai_gist(body: bytes, *, stream: bool) -> Gist:
    """What a chat completion says."""
    gist = Gist()
    calls: dict[int, Call] = {}
    begun = False
    for _, value in events_of(body) if stream else [("", json_of(body))]:
        if value == "[DONE]":
            gist.ended = True
            break
        choices = value.get("choices") or []
        if not isinstance(choices, list):
            continue
        if not begun and not gist.model:
            gist.id, gist.model = value.get("id") or gist.id, value.get("model") or ""
        if value.get("error") and (not choices or any(c.get("finish_reason") == "error" for c in choices)):
            gist.error = gist.error or value["error"]
        for usage in _openai_counts(value):
            gist.count = usage
        for choice in choices:
            if not choice.get("index") and not (stream and gist.finish):
                said = choice.get("delta") if stream else choice.get("message")
                _hear(gist, calls, said or {})
                gist.finish = choice.get("finish_reason") or gist.finish
        begun = begun or bool(gist.text or gist.thoughts or gist.refusal or calls or gist.finish)
    gist.calls = [calls[at] for at in sorted(calls)]
    return gist


def _hear(gist: Gist, calls: dict[int, Call], said: dict[str, Any]) -> None:
    text, thoughts = _parts(said.get("content"))
    gist.text += text
    # One of these is heard: several vendors say the same in two.
    details = said.get("reasoning_details") or ()
    detailed = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
    gist.thoughts += said.get("reasoning_content") or said.get("reasoning") or thoughts or detailed
    gist.seals += [seal for detail in details if (seal := detail.get("signature") or detail.get("data"))]
    gist.refusal += said.get("refusal") or ""
    pieces = list(said.get("tool_calls") or ())
    if said.get("function_call") and any(said["function_call"].values()):
        pieces.append({"function": said["function_call"]})
    for at, piece in enumerate(pieces):
        call = calls.setdefault(at if piece.get("index") is None else piece["index"], Call())
        told = piece.get("function") or piece.get("custom") or {}
        call.id = call.id or piece.get("id") or ""
        call.name = call.name or told.get("name") or ""
        more = told.get("arguments") or told.get("input") or ""
        call.arguments += more if isinstance(more, str) else json.dumps(more)


def _parts(content: Any) -> tuple[str, str]:
    """Text and thoughts of content; a list is Mistral's."""
    if not isinstance(content, list):
        return content or "", ""
    text = "".join(part if isinstance(part, str) else part.get("text") or "" for part in content)
    lists = [part["thinking"] for part in content if isinstance(part, dict) and part.get("thinking")]
    return text, "".join(_parts(thinking)[0] for thinking in lists)


def _openai_counts(value: dict[str, Any]) -> Iterator[Count]:
    places = [(value.get("x_groq") or {}).get("usage"), *(c.get("usage") for c in value.get("choices") or ())]
    for usage in (*places, value.get("usage")):
        if not isinstance(usage, dict) or not any(isinstance(number, int) for number in usage.values()):
            continue
        took, gave = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        reasoning = completion.get("reasoning_tokens") or usage.get("reasoning_tokens") or 0
        cached = prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens")
        cached = cached or usage.get("num_cached_tokens") or 0
        beside = (usage.get("total_tokens") or 0) - took - gave
        if beside > 0 and beside == reasoning:  # xAI
            gave += beside
        elif beside > 0 and beside == prompt.get("audio_tokens"):  # Mistral
            took += beside
        yield Count(took, gave, cached, prompt.get("cache_write_tokens") or 0, reasoning)


# --- Anthropic


def anthropic_gist(body: bytes, *, stream: bool) -> Gist:
    """What a message says."""
    gist = Gist()
    if not stream:
        message = json_of(body)
        gist.error = message.get("error")
        _hear_message(gist, {}, message)
        gist.count = count_of_anthropic(message.get("usage"))
        return gist
    calls: dict[int, Call] = {}
    counted: dict[str, Any] = {}
    for name, value in events_of(body):
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "error" or name == "error":
            gist.error = value["error"]
        elif kind == "message_start":
            counted = dict(value["message"].get("usage") or {})
            _hear_message(gist, calls, value["message"])
        elif kind == "content_block_start":
            _hear_block(gist, calls, value["index"], value["content_block"])
        elif kind == "content_block_delta":
            _hear_delta(gist, calls, value["index"], value["delta"])
        elif kind == "message_delta":
            counted |= {name: number for name, number in (value.get("usage") or {}).items() if number is not None}
            gist.finish = value["delta"].get("stop_reason") or gist.finish
            gist.refusal += _why(value["delta"])
            gist.stop_sequence = value["delta"].get("stop_sequence") or gist.stop_sequence
        elif kind == "message_stop":
            gist.ended = True
            break
    gist.calls = [calls[at] for at in sorted(calls)]
    gist.count = count_of_anthropic(counted)
    return gist


def count_of_anthropic(usage: dict[str, Any] | None) -> Count | None:
    """Input without what is cached, as Anthropic counts, made whole."""
    if not usage:
        return None
    count = Count()
    for part in (usage, *(one for one in usage.get("iterations") or () if one.get("type") in _BESIDE)):
        written, read = part.get("cache_creation_input_tokens") or 0, part.get("cache_read_input_tokens") or 0
        count.input += (part.get("input_tokens") or 0) + written + read
        count.output += part.get("output_tokens") or 0
        count.cache_write += written
        count.cache_read += read
    count.reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return count


def _why(ended: dict[str, Any]) -> str:
    """In words, why the vendor refused."""
    return (ended.get("stop_details") or {}).get("explanation") or "" if ended.get("stop_reason") == "refusal" else ""


def _hear_message(gist: Gist, calls: dict[int, Call], message: dict[str, Any]) -> None:
    gist.id, gist.model = message.get("id") or "", message.get("model") or ""
    gist.finish, gist.stop_sequence = message.get("stop_reason"), message.get("stop_sequence")
    gist.refusal = _why(message)
    for at, block in enumerate(message.get("content") or ()):
        _hear_block(gist, calls, at, block)
    gist.calls = list(calls.values())


def _hear_block(gist: Gist, calls: dict[int, Call], at: int, block: dict[str, Any]) -> None:
    kind = block["type"]
    if kind == "text":
        gist.text += block["text"]
    elif kind == "thinking":
        gist.thoughts += block["thinking"]
        gist.seals += [block["signature"]] if block.get("signature") else []
    elif kind == "redacted_thinking":
        gist.seals.append(block["data"])
    elif kind == "tool_use":
        given = block.get("input")
        calls[at] = Call(block["name"], json.dumps(given) if given else "", block["id"])


def _hear_delta(gist: Gist, calls: dict[int, Call], at: int, delta: dict[str, Any]) -> None:
    kind = delta["type"]
    if kind == "text_delta":
        gist.text += delta["text"]
    elif kind == "thinking_delta":
        gist.thoughts += delta["thinking"]
    elif kind == "signature_delta":
        gist.seals.append(delta["signature"])
    elif kind == "input_json_delta" and at in calls:  # else of a tool that runs at the vendor
        calls[at].arguments += delta["partial_json"]
