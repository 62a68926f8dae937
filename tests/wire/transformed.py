"""Answers said otherwise: what vendors, proxies and later versions do to the same answer without meaning another.

Each takes the decoded JSON of one event, or of a whole body, and gives it back in another form; `Stream` applies one to
a stream. What was said, how it ended and what it cost must not change: `test_transformed` holds that, for the golden
cases and for recordings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ANTHROPIC", "OPENAI", "OPENAI_STREAMS", "Change", "transform_body", "transform_stream"]

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""A new value for that of one event or body. Made anew for each answer, so it may remember what came before."""


def transform_stream(body: bytes, change: Change) -> bytes:
    """Change each event whose data is one line of JSON; others stay as they are."""
    out = []
    for line in re.split(rb"(\r\n|\n|\r)", body):
        data = line[5:].lstrip()
        if line.startswith(b"data:") and data.startswith(b"{"):
            line = b"data: " + transform_body(data, change)
        out.append(line)
    return b"".join(out)


def transform_body(body: bytes, change: Change) -> bytes:
    """Change a whole answer; what is no JSON object stays as it is."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    if not isinstance(value, dict):
        return body
    try:
        return json.dumps(change(value), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can say
        return json.dumps(change(value), separators=(",", ":")).encode()


def _events(body: bytes, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> bytes:
    """Change a stream of OpenAI's as a whole, where it is chunks alone, with an end; else it stays as it is."""
    lines = [line for line in re.split(rb"\r\n|\n|\r", body) if line and not line.startswith(b":")]
    done = b"data: [DONE]" in lines
    try:
        chunks = [json.loads(line.removeprefix(b"data:")) for line in lines if line != b"data: [DONE]"]
    except ValueError:
        return body
    whole = all(isinstance(chunk, dict) and isinstance(chunk.get("choices"), list) for chunk in chunks)
    if not whole or not any(map(_ended, chunks)) or any("error" in chunk for chunk in chunks):
        return body
    said = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in change(chunks)]
    return b"".join(said) + (b"data: [DONE]\n\n" if done else b"")


def _ended(chunk: dict[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in chunk["choices"])


# --- any dialect


def _objects(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]], *, within: str = "") -> Any:
    """The same with each object changed, inner ones first, but for what the model wrote: arguments and inputs."""
    if isinstance(value, dict):
        inner = {name: each if name == "input" else _objects(each, change, within=name) for name, each in value.items()}
        return change(inner)
    if isinstance(value, list):
        return [_objects(each, change, within=within) for each in value]
    return value


def sorted_keys() -> Change:
    return lambda value: _objects(value, lambda each: dict(sorted(each.items())))


def reversed_keys() -> Change:
    return lambda value: _objects(value, lambda each: dict(reversed(each.items())))


def unknown_fields() -> Change:
    new = {"x_new": {"a": [1.5, {"b": None}], "type": "x"}, "x_newer": "ü \u2028 \U0001f600"}
    return lambda value: _objects(value, lambda each: {"x_first": [], **each, **new})


# --- OpenAI's


def _choices(value: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(value.get("choices"), list):
        return value
    choices = [change(choice) if isinstance(choice, dict) else choice for choice in value["choices"]]
    return {**value, "choices": choices}


def _says(choice: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("delta", "message"):
        if isinstance(choice.get(name), dict):
            yield name, choice[name]


def _deltas(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def each(choice: dict[str, Any]) -> dict[str, Any]:
        return {**choice, **{name: change(delta) for name, delta in _says(choice)}}

    return lambda value: _choices(value, each)


def _calls(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def each(delta: dict[str, Any]) -> dict[str, Any]:
        calls = delta.get("tool_calls")
        if not isinstance(calls, list):
            return delta
        return {**delta, "tool_calls": [change(call) if isinstance(call, dict) else call for call in calls]}

    return _deltas(each)


_NULL_DELTA = dict.fromkeys(
    ("refusal", "audio", "function_call", "tool_calls", "annotations", "reasoning", "reasoning_content")
)


def nulls() -> Change:
    """Null for everything that may be there and is not."""

    def each(choice: dict[str, Any]) -> dict[str, Any]:
        said = {name: {**_NULL_DELTA, **delta} for name, delta in _says(choice)}
        return {"logprobs": None, "finish_reason": None, "matched_stop": None, **choice, **said}

    def change(value: dict[str, Any]) -> dict[str, Any]:
        if "choices" not in value:
            return value
        return {"system_fingerprint": None, "service_tier": None, "usage": None, **_choices(value, each)}

    return change


def bare() -> Change:
    """Only what says something."""

    def each(choice: dict[str, Any]) -> dict[str, Any]:
        left = {name: said for name, said in choice.items() if said is not None and said != 0}
        for name, delta in _says(choice):
            left[name] = {key: said for key, said in delta.items() if said not in (None, [], "") and key != "role"}
        return left

    def change(value: dict[str, Any]) -> dict[str, Any]:
        kept = _choices(value, each)
        for name in ("id", "object", "created", "system_fingerprint"):
            if kept.get("object") != "error":
                kept = {key: said for key, said in kept.items() if key != name}
        return {key: said for key, said in kept.items() if said is not None}

    return change


def content_parts() -> Change:
    def each(delta: dict[str, Any]) -> dict[str, Any]:
        text = delta.get("content")
        if not isinstance(text, str) or not text:
            return delta
        half = len(text) // 2
        parts = [{"type": "text", "text": piece} for piece in (text[:half], text[half:]) if piece]
        return {**delta, "content": parts}

    return _deltas(each)


def arguments_as_objects() -> Change:
    """Where a call comes whole."""

    def each(call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        if not isinstance(function, dict) or not function.get("name"):
            return call
        try:
            arguments = json.loads(function["arguments"])
        except (ValueError, KeyError, TypeError):
            return call
        return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call

    return _calls(each)


def ids_and_names_again() -> Change:
    """Each piece of a call says whose it is."""
    seen: dict[Any, tuple[Any, Any]] = {}

    def each(call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        if not isinstance(function, dict):
            return call
        index = call.get("index", call.get("id"))
        if call.get("id") and function.get("name"):
            seen[index] = (call["id"], function["name"])
        id, name = seen.get(index, (call.get("id"), function.get("name")))
        return {**call, "id": id, "type": "function", "function": {**function, "name": name}}

    return _calls(each)


def ids_again() -> Change:
    """Each piece of a call has its id, and an empty name but for the first."""
    seen: dict[Any, Any] = {}

    def each(call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        if not isinstance(function, dict):
            return call
        index = call.get("index", call.get("id"))
        if call.get("id"):
            seen[index] = call["id"]
        return {**call, "id": seen.get(index), "function": {**function, "name": function.get("name") or ""}}

    return _calls(each)


def empty_ids_and_names() -> Change:
    def each(call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        if not isinstance(function, dict):
            return call
        function = {**function, "name": function.get("name") or "", "arguments": function.get("arguments") or ""}
        return {**call, "id": call.get("id") or "", "type": call.get("type") or "", "function": function}

    return _calls(each)


def calls_without_index() -> Change:
    return _calls(lambda call: {name: said for name, said in call.items() if name != "index"})


def calls_numbered_zero() -> Change:
    return _calls(lambda call: {**call, "index": 0} if "index" in call else call)


def reasoning_elsewhere(field: str) -> Callable[[], Change]:
    """Thoughts in another of the vendors' fields, where they are in one alone."""

    def each(delta: dict[str, Any]) -> dict[str, Any]:
        told = [name for name in ("reasoning", "reasoning_content") if isinstance(delta.get(name), str) and delta[name]]
        if len(told) != 1 or delta.get("reasoning_details"):
            return delta
        left = {name: said for name, said in delta.items() if name != told[0]}
        text = delta[told[0]]
        if field == "reasoning_details":
            return {**left, field: [{"type": "reasoning.text", "text": text, "index": 0, "format": "unknown"}]}
        if field == "content" and not delta.get("content"):  # Mistral's
            return {**left, field: [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}
        return delta if field == "content" else {**left, field: text}

    return lambda: _deltas(each)


def usage_as_floats() -> Change:
    def each(usage: Any) -> Any:
        return {
            name: float(said) if isinstance(said, int) and 0 < said < 2**50 else said for name, said in usage.items()
        }

    def change(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "usage": _objects(value["usage"], each)} if isinstance(value.get("usage"), dict) else value

    return change


def usage_without_total() -> Change:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        usage = value.get("usage")
        if not isinstance(usage, dict) or "prompt_tokens" not in usage or "completion_tokens" not in usage:
            return value
        if usage.get("total_tokens") != usage["prompt_tokens"] + usage["completion_tokens"]:
            return value
        return {**value, "usage": {name: said for name, said in usage.items() if name != "total_tokens"}}

    return change


def usage_details_null() -> Change:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        usage = value.get("usage")
        if not isinstance(usage, dict):
            return value
        details = dict.fromkeys(("prompt_tokens_details", "completion_tokens_details", "cached_tokens", "cost"))
        return {**value, "usage": {**details, **usage}}

    return change


OPENAI: dict[str, Callable[[], Change]] = {
    "sorted_keys": sorted_keys,
    "reversed_keys": reversed_keys,
    "unknown_fields": unknown_fields,
    "nulls": nulls,
    "bare": bare,
    "content_parts": content_parts,
    "arguments_as_objects": arguments_as_objects,
    "ids_and_names_again": ids_and_names_again,
    "ids_again": ids_again,
    "empty_ids_and_names": empty_ids_and_names,
    "calls_without_index": calls_without_index,
    "calls_numbered_zero": calls_numbered_zero,
    "reasoning": reasoning_elsewhere("reasoning"),
    "reasoning_content": reasoning_elsewhere("reasoning_content"),
    "reasoning_details": reasoning_elsewhere("reasoning_details"),
    "reasoning_in_content": reasoning_elsewhere("content"),
    "usage_as_floats": usage_as_floats,
    "usage_without_total": usage_without_total,
    "usage_details_null": usage_details_null,
}


def _counted(chunks: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)


def usage_with_the_end(body: bytes) -> bytes:
    """In the chunk that holds the last finish reason, and in no chunk of its own."""

    def change(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        usage, last = _counted(chunks), max(at for at, chunk in enumerate(chunks) if _ended(chunk))
        if usage is None:
            return chunks
        kept = [chunk for chunk in chunks if chunk.get("choices") or not chunk.get("usage")]
        return [{**chunk, "usage": usage} if chunk is chunks[last] else chunk for chunk in kept]

    return _events(body, change)


def usage_twice(body: bytes) -> bytes:
    """With the end, and again in a chunk of its own, as it is and once more."""

    def change(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        usage = _counted(chunks)
        if usage is None:
            return chunks
        told = [{**chunk, "usage": usage} if _ended(chunk) else chunk for chunk in chunks]
        return [*told, {**chunks[-1], "choices": [], "usage": usage}, {**chunks[-1], "choices": [], "usage": usage}]

    return _events(body, change)


def nothing_between(body: bytes) -> bytes:
    """Chunks that say nothing: without choices, with none, with empty ones, as Azure and others send them."""

    def change(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        head = {name: said for name, said in chunks[0].items() if name not in ("choices", "usage", "error")}
        silent = {"index": 0, "delta": {"content": "", "tool_calls": []}, "finish_reason": None}
        between = [{**head, "choices": []}, {**head, "choices": None}, {**head, "choices": [{**silent, "delta": None}]}]
        return [*between[:1], chunks[0], *between, *chunks[1:], between[0]]

    return _events(body, change)


def one_event_for_each_field(body: bytes) -> bytes:
    """What a chunk says of one choice in as many chunks as it has things to say."""

    def change(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for chunk in chunks:
            choices = chunk["choices"]
            if len(choices) != 1 or not isinstance(choices[0].get("delta"), dict) or choices[0].get("logprobs"):
                out.append(chunk)
                continue
            delta = choices[0]["delta"]
            thoughts = {name: said for name, said in delta.items() if name.startswith("reasoning")}  # one thing, twice
            for each in (thoughts, *({name: said} for name, said in delta.items() if name not in thoughts)):
                single = {**choices[0], "delta": each, "finish_reason": None, "usage": None}
                out.append({**chunk, "choices": [single], "usage": None})
            out.append({**chunk, "choices": [{**choices[0], "delta": {}}]})
        return out

    return _events(body, change)


OPENAI_STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "usage_with_the_end": usage_with_the_end,
    "usage_twice": usage_twice,
    "nothing_between": nothing_between,
    "one_event_for_each_field": one_event_for_each_field,
}


# --- Anthropic's


def _blocks(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def each(value: dict[str, Any]) -> dict[str, Any]:
        value = dict(value)
        for name in ("message", "content_block", "delta"):
            if isinstance(value.get(name), dict):
                value[name] = change(value[name])
        for holder in (value, value.get("message")):
            if isinstance(holder, dict) and isinstance(holder.get("content"), list):
                holder["content"] = [change(block) if isinstance(block, dict) else block for block in holder["content"]]
        return value

    return each


def _nulls_of_blocks(block: dict[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {
        "message": {"stop_reason": None, "stop_sequence": None, "container": None, "context_management": None},
        "text": {"citations": None},
        "tool_use": {"caller": None, "cache_control": None},
        "text_delta": {"citation": None, "thinking": None},
        "thinking": {"data": None},
        "input_json_delta": {"text": None},
    }.get(block.get("type", ""), {})
    return {**more, **block}


def anthropic_nulls() -> Change:
    blocks = _blocks(_nulls_of_blocks)

    def change(value: dict[str, Any]) -> dict[str, Any]:
        value = blocks(value)
        for holder in (value, value.get("message")):
            if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                more = dict.fromkeys(("cache_creation_input_tokens", "cache_read_input_tokens", "server_tool_use"))
                holder["usage"] = {**more, "service_tier": None, "iterations": None, **holder["usage"]}
        return value

    return change


def anthropic_bare() -> Change:
    """Without what is null, and without what every message and block is the same in."""

    def each(found: dict[str, Any]) -> dict[str, Any]:
        kept = {name: said for name, said in found.items() if said is not None}
        if kept.get("type") == "message":
            kept = {name: said for name, said in kept.items() if name not in ("role", "type")}
        return kept

    return lambda value: {"type": value["type"], **_objects(value, each)} if "type" in value else value


def text_in_its_start() -> Change:
    """A block's beginning comes with nothing where it came with an empty text, input or list."""

    def each(value: dict[str, Any]) -> dict[str, Any]:
        block = value.get("content_block")
        if not isinstance(block, dict) or value.get("type") != "content_block_start":
            return value
        return {**value, "content_block": {name: said for name, said in block.items() if said not in ("", {}, [])}}

    return each


ANTHROPIC: dict[str, Callable[[], Change]] = {
    "sorted_keys": sorted_keys,
    "reversed_keys": reversed_keys,
    "unknown_fields": unknown_fields,
    "nulls": anthropic_nulls,
    "bare": anthropic_bare,
    "starts_bare": text_in_its_start,
    "usage_as_floats": usage_as_floats,
}
