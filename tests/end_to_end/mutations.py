"""Recorded answers, changed in ways in which other servers, proxies and later versions differ from those recorded.

Each takes a body and chance, and gives another body. What must become of it is for `expected` to say, which reads
the changed bytes like any others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.end_to_end.expected import blocks_of, data_of, json_of

__all__ = ["ANSWERS", "MESSAGES_STREAMS", "STREAMS", "Mutation"]

Mutation = Callable[[bytes, Random], bytes]

_DONE = b"[DONE]"


def _with_lf(body: bytes) -> bytes:
    return body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events(body: bytes) -> list[bytes]:
    """Blocks with LF, their blank line included."""
    return list(blocks_of(_with_lf(body)))


def _each_data(body: bytes, change: Callable[[Any], Any]) -> bytes:
    """Change the JSON of every event that holds some."""
    out = []
    for block in _events(body):
        data = data_of(block)
        if data is None or not data.startswith(b"{"):
            out.append(block)
        else:
            out.append(_event(change(json_of(data))))
    return b"".join(out)


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _between(body: bytes, random: Random, *more: bytes) -> bytes:
    """Put blocks in at chance places, the very first and last among them."""
    blocks = _events(body)
    for block in more:
        blocks.insert(random.choice((0, len(blocks), random.randrange(len(blocks) + 1))), block)
    return b"".join(blocks)


def crlf(body: bytes, random: Random) -> bytes:
    return _with_lf(body).replace(b"\n", b"\r\n")


def lf(body: bytes, random: Random) -> bytes:
    return _with_lf(body)


def cr(body: bytes, random: Random) -> bytes:
    return _with_lf(body).replace(b"\n", b"\r")


def mixed_line_ends(body: bytes, random: Random) -> bytes:
    return re.sub(b"\n", lambda _: random.choice((b"\n", b"\r\n")), _with_lf(body))


def no_blank_line_at_the_end(body: bytes, random: Random) -> bytes:
    return body.rstrip(b"\r\n")


def half_a_blank_line_at_the_end(body: bytes, random: Random) -> bytes:
    return body.rstrip(b"\r\n") + random.choice((b"\n", b"\r\n"))


def crlf_half_a_blank_line(body: bytes, random: Random) -> bytes:
    return crlf(body, random)[:-1]


def no_done(body: bytes, random: Random) -> bytes:
    return b"".join(block for block in _events(body) if data_of(block) != _DONE)


def comments(body: bytes, random: Random) -> bytes:
    pings = [b": ping\n\n", b":\n\n", b": data: {}\n\n", ": für später\n\n".encode(), b":keep-alive\n\n"]
    return _between(body, random, *pings)


def comments_inside(body: bytes, random: Random) -> bytes:
    return b"".join(random.choice((b"", b": here\n")) + block for block in _events(body))


def bom(body: bytes, random: Random) -> bytes:
    return b"\xef\xbb\xbf" + body


def no_space(body: bytes, random: Random) -> bytes:
    return re.sub(rb"(?m)^data: ", b"data:", body)


def two_spaces(body: bytes, random: Random) -> bytes:
    return re.sub(rb"(?m)^data: ", b"data:  ", body)


def more_fields(body: bytes, random: Random) -> bytes:
    heads = [b"event: message\n", b"id: 7\n", b"retry: 3000\n", b"event:\n", b"nobody: knows\n", b"id\n"]
    return b"".join(
        random.choice(heads) + block if block.startswith(b"data") else block for block in _events(body)
    ) + random.choice((b"", b"event: end\n\n"))


def fields_after(body: bytes, random: Random) -> bytes:
    return b"".join(block[:-1] + b"id: 7\n\n" if data_of(block) else block for block in _events(body))


def several_data_lines(body: bytes, random: Random) -> bytes:
    out = []
    for block in _events(body):
        data = data_of(block)
        if data is not None and data.startswith(b"{"):
            text = json.dumps(json_of(data), indent=1, ensure_ascii=False)
            block = b"".join(b"data: " + line.encode() + b"\n" for line in text.split("\n")) + b"\n"
        out.append(block)
    return b"".join(out)


def blank_lines(body: bytes, random: Random) -> bytes:
    return b"\n" + b"".join(block + b"\n" * random.randrange(4) for block in _events(body))


def usage_first(body: bytes, random: Random) -> bytes:
    """Usage chunks before everything else."""
    blocks = _events(body)
    first = [block for block in blocks if _is_usage_only(block)]
    return b"".join([*first, *(block for block in blocks if not _is_usage_only(block))])


def usage_after_done(body: bytes, random: Random) -> bytes:
    blocks = _events(body)
    last = [block for block in blocks if _is_usage_only(block)]
    return b"".join([*(block for block in blocks if not _is_usage_only(block)), *last])


def usage_everywhere(body: bytes, random: Random) -> bytes:
    """A running count in every chunk, as vLLM's continuous_usage_stats gives it."""
    count = iter(range(1, 1_000_000))

    def change(value: Any) -> Any:
        given = next(count)
        return {**value, "usage": {"prompt_tokens": 9, "completion_tokens": given, "total_tokens": 9 + given}}

    return _each_data(body, change)


def usage_null(body: bytes, random: Random) -> bytes:
    return _each_data(body, lambda value: value if value.get("usage") else {**value, "usage": None})


def no_usage(body: bytes, random: Random) -> bytes:
    kept = b"".join(block for block in _events(body) if not _is_usage_only(block))

    def change(value: Any) -> Any:
        choices = [
            {name: field for name, field in choice.items() if name != "usage"} for choice in value.get("choices") or ()
        ]
        bare = {name: field for name, field in value.items() if name not in ("usage", "x_groq")}
        return {**bare, "choices": choices} if choices else bare

    return _each_data(kept, change)


def unknown_fields(body: bytes, random: Random) -> bytes:
    return _each_data(body, lambda value: {"x_new": {"a": [1, {"b": None}]}, **value, "x_newer": "ü \u2028 \U0001f600"})


def unknown_chunks(body: bytes, random: Random) -> bytes:
    more = [_event({"object": "x.ping"}), _event({"choices": []}), _event({"id": "1", "choices": None}), _event({})]
    return _between(body, random, *more)


def escaped(body: bytes, random: Random) -> bytes:
    out = []
    for block in _events(body):
        data = data_of(block) or b""
        out.append(b"data: " + json.dumps(json_of(data)).encode() + b"\n\n" if data.startswith(b"{") else block)
    return b"".join(out)


def not_json(body: bytes, random: Random) -> bytes:
    bad = [b"{not json", b"[1, 2]", b'"text"', b"7", b"null", b'{"choices": 7}', b'{"a": NaN}', b"", b"{}{}", b"<html>"]
    return _between(body, random, *(b"data: " + data + b"\n\n" for data in bad))


def not_utf8(body: bytes, random: Random) -> bytes:
    return _between(body, random, b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n')


def error_event(body: bytes, random: Random) -> bytes:
    error = {"error": {"message": "Something failed", "type": "server_error", "param": None, "code": None}}
    blocks = [block for block in _events(body) if data_of(block) != _DONE]
    at = random.randrange(len(blocks) // 2, len(blocks) + 1)
    return b"".join(blocks[:at]) + _event(error)


def cut_between_events(body: bytes, random: Random) -> bytes:
    blocks = _events(body)
    return b"".join(blocks[: random.randrange(len(blocks) // 2, len(blocks) + 1)])


def cut_anywhere(body: bytes, random: Random) -> bytes:
    return body[: random.randrange(len(body) // 2, len(body) + 1)]


def finish_unsaid(body: bytes, random: Random) -> bytes:
    """No finish reason, but [DONE]."""

    def change(value: Any) -> Any:
        choices = [{**choice, "finish_reason": None} for choice in value.get("choices") or ()]
        return {**value, "choices": choices}

    return _each_data(no_done(body, random), change) + b"data: [DONE]\n\n"


def finish_repeated(body: bytes, random: Random) -> bytes:
    """The chunk that ends the answer comes twice."""
    return b"".join(block * (1 + (b'"finish_reason":"' in block)) for block in _events(body))


def long_prelude(body: bytes, random: Random) -> bytes:
    """More before the first output than may be held back."""
    return (b": " + b"." * 500 + b"\n\n") * 200 + body


def big_event(body: bytes, random: Random) -> bytes:
    value = {"choices": [{"index": 0, "delta": {"content": "é" * 100_000}, "finish_reason": None}]}
    return _event(value) + body


def _is_usage_only(block: bytes) -> bool:
    data = data_of(block) or b""
    value = json_of(data) if data.startswith(b"{") else {}
    return bool(value.get("usage")) and not value.get("choices")


STREAMS: tuple[Mutation, ...] = (
    crlf, lf, cr, mixed_line_ends, no_blank_line_at_the_end, half_a_blank_line_at_the_end, crlf_half_a_blank_line,
    no_done, comments, comments_inside, bom, no_space, two_spaces, more_fields, fields_after, several_data_lines,
    blank_lines, usage_first, usage_after_done, usage_everywhere, usage_null, no_usage, unknown_fields,
    unknown_chunks, escaped, not_json, not_utf8, error_event, cut_between_events, cut_anywhere, finish_unsaid,
    finish_repeated, long_prelude, big_event,
)  # fmt: skip

# Those that do not change what only OpenAI's streams have.
MESSAGES_STREAMS: tuple[Mutation, ...] = (
    crlf, lf, cr, mixed_line_ends, no_blank_line_at_the_end, half_a_blank_line_at_the_end, crlf_half_a_blank_line,
    comments, comments_inside, bom, no_space, two_spaces, fields_after, several_data_lines, blank_lines,
    unknown_fields, escaped, not_json, not_utf8, cut_between_events, cut_anywhere, long_prelude,
)  # fmt: skip


def _spelt(**style: Any) -> Mutation:
    return lambda body, random: json.dumps(json_of(body), **style).encode()


def white_space(body: bytes, random: Random) -> bytes:
    """OpenRouter sends blank lines while its client waits."""
    return b"\n         \n\n" + body + b"\r\n"


def more_members(body: bytes, random: Random) -> bytes:
    return body.rstrip()[:-1] + b',"x_new":[1.50,{"a":null}],"x_big":12345678901234567890123}'


def no_count(body: bytes, random: Random) -> bytes:
    return json.dumps({name: value for name, value in json_of(body).items() if name != "usage"}).encode()


ANSWERS: dict[str, Mutation] = {
    "compact": _spelt(separators=(",", ":"), ensure_ascii=False),
    "indented": _spelt(indent=4, ensure_ascii=False),
    "escaped": _spelt(separators=(" ,", " :")),
    "sorted": _spelt(sort_keys=True),
    "white_space": white_space,
    "more_members": more_members,
    "no_count": no_count,
}
