"""The lines of an answer's head: what is kept of them is bounded by what we make, not by what providers say."""

from __future__ import annotations

from penstock.call import Frame, Reply
from penstock.messages import Caller, Request
from penstock.records import Record
from penstock.server.routes import _reply_headers, _usual_lines


def test_nothing_of_what_a_provider_calls_its_answers_is_kept() -> None:
    request = Request("openai_chat", "m", False, {}, Caller({}), Record("id", "chat", 0.0, 0.0))
    request.record.deployment = "up/kept-once"
    before = _usual_lines.cache_info().currsize
    for number in range(20):
        kind = b"application/json; of=" + b"%d" % number * 1000
        reply = Reply(200, kind, Frame(b"{}", lambda _: []), (), "openai_chat")
        assert _reply_headers(reply, request).startswith(
            b"content-type: %b\r\nx-penstock-target: up/kept-once\r\n" % kind
        )
    assert _usual_lines.cache_info().currsize == before + 1
