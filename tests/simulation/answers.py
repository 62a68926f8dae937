"""What a caller can tell of its answer by itself: whether it is whole, an error, or broken off, and the text in it."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.simulation.callers import Got

__all__ = ["Read", "read_answer"]

_decode = msgspec.json.decode


class Read(msgspec.Struct):
    """An answer as its caller understands it.

    Attributes:
        end: `clean`: all of an answer; `error`: the gateway says that it is none; `broken`: HTTP itself broke off.
        code: the error's, as far as it has one.
    """

    end: str
    text: str = ""
    code: str = ""


def read_answer(got: Got) -> Read:
    """Raises ValueError where it is neither: a whole response that is no answer and no error."""
    if got.status != 200:
        if not got.whole:
            return Read("broken")
        return Read("error", code=_code(_decode(got.body)))
    if got.headers.get(b"content-type", b"").startswith(b"application/json"):
        return _unary(got) if got.whole else Read("broken")
    return _stream(got)


def _code(body: Any) -> str:
    error = body["error"]
    code = error.get("code") or error.get("details", {}).get("error_code") or error["type"]
    return str(code)


def _unary(got: Got) -> Read:
    body = _decode(got.body)
    if got.ask.dialect == "messages":
        if not body.get("stop_reason"):
            raise ValueError("a message without a stop reason")
        return Read("clean", "".join(part.get("text", "") for part in body["content"]))
    choice = body["choices"][0]
    if not choice.get("finish_reason"):
        raise ValueError("a completion without a finish reason")
    return Read("clean", choice["message"]["content"] or "")


def _stream(got: Got) -> Read:
    body = got.body.replace(b"\r\n", b"\n")
    if not got.whole:
        body = body[: body.rfind(b"\n\n") + 2]  # the last event may be a part of one
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    text: list[str] = []
    ended = failed = False
    code = ""
    read = _message_event if got.ask.dialect == "messages" else _chat_event
    for data in events:
        if data == b"[DONE]":
            continue
        event = _decode(data)
        if event.get("error"):
            failed, code = True, _code(event)
            continue
        if failed:
            raise ValueError("an event after the error")
        ended = read(event, text) or ended
    if failed:
        return Read("error", "".join(text), code)
    if ended and got.whole:
        return Read("clean", "".join(text))
    if got.whole:
        raise ValueError("a stream that ends without a reason and without an error")
    return Read("broken", "".join(text))


def _chat_event(event: Any, text: list[str]) -> bool:
    ended = False
    for choice in event.get("choices", ()):
        text.append(choice["delta"].get("content") or "")
        ended = ended or bool(choice.get("finish_reason"))
    return ended


def _message_event(event: Any, text: list[str]) -> bool:
    if event["type"] == "content_block_delta":
        text.append(event["delta"].get("text", ""))
    return bool(event["type"] == "message_delta" and event["delta"].get("stop_reason"))
