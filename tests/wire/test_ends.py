"""Why an answer ended, said in another family's words: a caller runs its tools and goes on with half answers all the
same."""

from __future__ import annotations

import json

import pytest

from penstock.wire.dialects import CHAT
from penstock.wire.ends import plain_end

CALLS = {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("said", "calls", "told"),
    [
        ("tool_use", True, "tool_use"),
        ("TOOL_CALL", True, "tool_use"),
        ("function_call", True, "tool_use"),
        ("frobnicated", True, "tool_use"),
        ("eos", True, "tool_use"),
        ("end_turn", True, "tool_use"),
        ("max_tokens", True, "max_tokens"),
        ("MAX_TOKENS", False, "max_tokens"),
        ("model_length", False, "max_tokens"),
        ("SAFETY", False, "refusal"),
        ("content_filtered", False, "refusal"),
        ("COMPLETE", False, "end_turn"),
        ("frobnicated", False, "end_turn"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_openai_answer_to_a_caller_of_anthropics(said: str, calls: bool, told: str, stream: bool) -> None:
    message = {"role": "assistant", "content": None if calls else "So", **(CALLS if calls else {})}
    choice = {"index": 0, "finish_reason": said, "delta" if stream else "message": message}
    body = json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()
    events = CHAT["openai_chat"].decode_events(b"data: %b\n\n" % body if stream else body)
    answer = json.loads(CHAT["anthropic_messages"].encode_answer(events, "r", 1))
    assert answer["stop_reason"] == told
    writer = CHAT["anthropic_messages"].open_writer("r", 1, keep_usage=True)
    assert b'"stop_reason":"%b"' % told.encode() in writer.write(events) + writer.end()


@pytest.mark.parametrize(
    ("said", "calls", "told"),
    [
        ("tool_use", True, "tool_calls"),
        ("frobnicated", True, "tool_calls"),
        ("frobnicated", False, "stop"),
        ("model_context_window_exceeded", False, "length"),
        ("MAX_TOKENS", False, "length"),
        ("safety", False, "content_filter"),
    ],
)
def test_an_anthropic_answer_to_a_caller_of_openais(said: str, calls: bool, told: str) -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}} if calls else {"type": "text", "text": "So"}
    body = {"type": "message", "model": "m", "content": [block], "stop_reason": said, "usage": {"output_tokens": 1}}
    events = CHAT["anthropic_messages"].decode_events(json.dumps(body).encode())
    answer = json.loads(CHAT["openai_chat"].encode_answer(events, "r", 1))
    assert answer["choices"][0]["finish_reason"] == told


def test_words_nobody_knows_are_none() -> None:
    assert [plain_end(word) for word in ("", "frobnicated", "pause_turn", "compaction")] == [""] * 4
