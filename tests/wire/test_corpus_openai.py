"""Real providers' chat completions and embeddings through the dialects: what passes, and what is known of it.

What is expected is worked out here from the recording alone, by other means than the dialect's.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from msgspec import structs

from penstock.errors import (
    ContentFiltered,
    ContextTooLong,
    PenstockError,
    Unavailable,
    UpstreamCredential,
    UpstreamError,
    UpstreamNotFound,
    UpstreamQuota,
    UpstreamRateLimited,
)
from penstock.events import collect
from penstock.messages import Embeddings, Response
from penstock.wire.dialect import Dialect, Facts
from penstock.wire.embeddings import OpenAIEmbeddings
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.openai_stream import ChatStream
from tests.wire.corpus import UNSET, Recording, openai_shaped, recordings

if not recordings():
    pytest.skip(UNSET, allow_module_level=True)

CHAT, EMBEDDINGS = OpenAIChat(), OpenAIEmbeddings()

# Ollama's own API under the same path: `prompt` for `input`, and no usage, model or list in the answer.
FOREIGN = {"ollama.embed-1650e96ddcc7c9"}

# Recorded streams that broke: the one told its client, the other did so in a line that clients don't read.
TOLD, UNTOLD = "groq.chat-9e866a6389da08", "gpustack.chat-d2b3e059494a97"

FEATURES: dict[str, type[PenstockError]] = {
    "error_quota": UpstreamQuota,
    "error_auth": UpstreamCredential,
    "error_context_length": ContextTooLong,
    "content_filter": ContentFiltered,
    "error_404": UpstreamNotFound,
    "error_in_200": ContentFiltered,
    "rate_limited": UpstreamRateLimited,
    "error_5xx": Unavailable,
}


def dialect_of(recording: Recording) -> Dialect:
    return EMBEDDINGS if recording.path.endswith("/embeddings") else CHAT


def failed(recording: Recording) -> bool:
    return recording.status != 200 or "error_in_200" in recording.features


STREAMS = openai_shaped(lambda recording: recording.streaming)
ANSWERS = openai_shaped(lambda recording: not recording.streaming and not failed(recording))
FAILURES = openai_shaped(failed)
REQUESTS = openai_shaped(lambda recording: recording.request is not None and recording.id not in FOREIGN)


def test_enough_of_them() -> None:
    assert len(STREAMS) + len(ANSWERS) + len(FAILURES) >= int(os.environ.get("PENSTOCK_CORPUS_MIN", "1"))


def blocks_of(body: bytes) -> list[bytes]:
    """A stream's events, each with its blank line. Enough for line ends that are all LF or all CRLF."""
    return re.findall(rb".+?(?:\r\n\r\n|\n\n|\Z)\n*", body, re.DOTALL)


def data_of(block: bytes) -> Any:
    lines = [line[5:] for line in block.decode().splitlines() if line.startswith("data:")]
    if not lines or lines == [" [DONE]"]:
        return {}
    return json.loads("\n".join(lines))


def run(body: bytes, *, keep_usage: bool = False, size: int | None = None) -> tuple[bytes, ChatStream]:
    reader = CHAT.open_stream(keep_usage=keep_usage, prompt_bytes=400)
    step = size or len(body)
    passed = b"".join(reader.feed(body[at : at + step]) for at in range(0, len(body), step))
    return passed + reader.end(), reader


def facts_of(reader: ChatStream) -> tuple[object, ...]:
    error = None if reader.error is None else reader.error.code
    return reader.usage, reader.model, reader.finish_reason, reader.done, reader.output, reader.dropped, error


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_passes(recording: Recording) -> None:
    """Byte for byte, but for a usage-only chunk nobody asked for and the end of a broken one."""
    whole, reader = run(recording.body, keep_usage=True)
    if recording.id == UNTOLD:
        assert whole.startswith(recording.body)
        told = json.loads(whole[len(recording.body) :].removeprefix(b"data: "))
        assert "failed to decode" in told["error"]["message"]
    else:
        assert whole == recording.body
    usage_only = [
        block for block in blocks_of(recording.body) if data_of(block).get("usage") and not data_of(block)["choices"]
    ]
    less, _ = run(recording.body)
    expected = whole
    for block in usage_only:
        expected = expected.replace(block, b"")
    assert less == expected
    assert reader.dropped == 0
    assert (reader.error is None) == (recording.id not in (TOLD, UNTOLD))


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_in_any_pieces(recording: Recording) -> None:
    whole, reader = run(recording.body)
    sizes = (1, 7, 1400) if len(recording.body) < 100_000 else (1, 1400)
    for size in sizes:
        again, other = run(recording.body, size=size)
        assert again == whole
        assert facts_of(other) == facts_of(reader)


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_facts(recording: Recording) -> None:
    _, reader = run(recording.body)
    chunks = [data_of(block) for block in blocks_of(recording.body)]
    models = [chunk["model"] for chunk in chunks if chunk.get("model")]
    assert reader.model == models[0]
    reasons = [
        choice["finish_reason"]
        for chunk in chunks
        for choice in chunk.get("choices", [])
        if choice["index"] == 0 and choice.get("finish_reason")
    ]
    assert reader.finish_reason == (reasons[-1] if reasons else None)
    counts = [chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") for chunk in chunks]
    check_usage(reader.usage, next((count for count in reversed(counts) if count), None))
    assert reader.output


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_events(recording: Recording) -> None:
    events = CHAT.decode_events(recording.body)
    response = collect(events)
    text = [
        choice["delta"]["content"]
        for block in blocks_of(recording.body)
        for choice in data_of(block).get("choices", [])
        if choice["index"] == 0 and isinstance((choice.get("delta") or {}).get("content"), str)
    ]
    if '"type":"thinking"' not in recording.body.decode().replace(" ", ""):  # Mistral mixes lists and text
        assert response.text == "".join(text)
    assert any(event.kind != "usage" for event in events)
    for call in response.tool_calls:
        assert call.name
        if response.finish_reason == "tool_calls":
            json.loads(call.arguments or "{}")


@pytest.mark.parametrize("recording", ANSWERS, ids=repr)
def test_answer(recording: Recording) -> None:
    dialect = dialect_of(recording)
    facts = dialect.decode_facts(recording.body, 400)
    written = json.loads(recording.body)
    if recording.id in FOREIGN:
        assert facts.usage.estimated
        return
    check_usage(facts.usage, written["usage"])
    assert facts.model == (written["model"] or None)
    response = dialect.decode_response(recording.body)
    # Azure has told of more that was read from the cache than there was prompt: that is marked once it is booked.
    assert response.usage == structs.replace(facts.usage, odd=response.usage.odd)
    assert response.model == (facts.model or "")
    if isinstance(response, Response):
        check_response(response, written["choices"], facts)
    else:
        check_vectors(response, written["data"])


def check_usage(usage: Any, written: dict[str, Any] | None) -> None:
    if written is None:
        assert usage.estimated
        assert usage.input_tokens == 100
        return
    assert not usage.estimated
    # xAI's reasoning and Mistral's audio stand beside the counts they belong to, so the total judges.
    assert usage.input_tokens >= written.get("prompt_tokens", 0)
    assert usage.output_tokens >= written.get("completion_tokens", 0)
    if "total_tokens" in written:
        assert usage.input_tokens + usage.output_tokens == written["total_tokens"]
    details = written.get("prompt_tokens_details") or {}
    if details.get("cached_tokens") is not None:
        assert usage.cache_read_tokens >= details["cached_tokens"]
    details = written.get("completion_tokens_details") or {}
    assert usage.reasoning_tokens == (details.get("reasoning_tokens") or written.get("reasoning_tokens") or 0)


def check_response(response: Response, choices: list[dict[str, Any]], facts: Facts) -> None:
    message = choices[0]["message"]
    assert facts.finish_reason == (choices[0]["finish_reason"] or None)
    assert response.finish_reason == facts.finish_reason
    if isinstance(message.get("content"), str):
        assert response.text == message["content"]
    assert [call.id for call in response.tool_calls] == [call["id"] for call in message.get("tool_calls") or []]
    thought = message.get("reasoning_content") or message.get("reasoning")
    assert not thought or response.message.reasoning == thought


def check_vectors(response: Embeddings, rows: list[dict[str, Any]]) -> None:
    assert len(response) == len(rows)
    for vector, row in zip(response.vectors, rows, strict=True):
        if isinstance(row["embedding"], list):
            assert vector == row["embedding"]
        else:
            assert len(vector) == len(row["embedding"]) * 3 // 4 // 4


@pytest.mark.parametrize("recording", FAILURES, ids=repr)
def test_failure(recording: Recording) -> None:
    dialect = dialect_of(recording)
    if recording.status == 200:
        with pytest.raises(UpstreamError) as raised:
            dialect.decode_facts(recording.body)
        error = raised.value
    else:
        error = dialect.classify(recording.status, recording.headers, recording.body)
    expected = next((kind for feature, kind in FEATURES.items() if feature in recording.features), UpstreamError)
    assert isinstance(error, expected), (recording.id, error)
    assert error.answer is not None
    assert error.answer.body == recording.body
    assert error.retryable == isinstance(error, Unavailable | UpstreamRateLimited)
    if b"retry-after" in recording.headers:
        assert error.retry_after == float(recording.headers[b"retry-after"])
    body = json.loads(dialect.encode_error(error, "id"))
    assert error.message in body["error"]["message"]


@pytest.mark.parametrize("recording", REQUESTS, ids=repr)
def test_request(recording: Recording) -> None:
    dialect = dialect_of(recording)
    sent = dict(recording.request)
    sent["model"] = sent.get("model") or "in-the-path"  # where Azure's classic route names it
    body = json.dumps(sent, ensure_ascii=False, indent=1).encode()
    decoded = dialect.decode_request(body)
    assert decoded.model == sent["model"]
    assert decoded.stream == bool(sent.get("stream"))
    written = dialect.encode_request(decoded.fields, "other/model", stream=decoded.stream)
    again = json.loads(written)
    if decoded.stream:
        options = again.pop("stream_options")
        assert options == {**(sent.get("stream_options") or {}), "include_usage": True}
        assert decoded.usage_asked == bool((sent.get("stream_options") or {}).get("include_usage"))
    expected = {name: value for name, value in sent.items() if name != "stream_options" or not decoded.stream}
    assert again == {**expected, "model": "other/model"}
    assert [name for name in again if name != "stream_options"] == [n for n in expected if n != "stream_options"]
