"""What a provider's `usage` tells beside tokens, for the sake of the price: tiers, sound, longer caches, searches."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.usage import Usage
from penstock.wire.anthropic_messages import AnthropicMessages
from penstock.wire.anthropic_usage import read_usage as read_anthropic
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.openai_usage import PlainUsage, _read_any, read_usage

OPENAI, ANTHROPIC = OpenAIChat(), AnthropicMessages()
COUNTED = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
SOUND = COUNTED | {"prompt_tokens_details": {"audio_tokens": 7}, "completion_tokens_details": {"audio_tokens": 3}}


def whole(**more: Any) -> bytes:
    message = {"role": "assistant", "content": "Hi"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"id": "1", "model": "m", "choices": choices, "usage": COUNTED} | more).encode()


def stream(**more: Any) -> bytes:
    said = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    chunks = [said | more, {"id": "1", "model": "m", "choices": [], "usage": COUNTED} | more]
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def heard(data: bytes, size: int) -> Usage:
    """What a stream's reader makes of it, fed in pieces."""
    reader = OPENAI.open_stream(keep_usage=True, prompt_bytes=0)
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    reader.end()
    return reader.usage


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ("flex", "flex"),
        ("priority", "priority"),
        ("scale", "scale"),
        ("default", ""),
        ("standard", ""),
        ("on_demand", ""),
        ("", ""),
        (None, ""),
        (7, ""),
        ("x" * 99, "x" * 40),
    ],
)
def test_openais_tier(said: Any, tier: str) -> None:
    assert OPENAI.decode_facts(whole(service_tier=said)).usage == Usage(10, 4, tier=tier)
    assert [e.usage for e in OPENAI.decode_events(whole(service_tier=said)) if e.usage] == [Usage(10, 4, tier=tier)]
    told = stream(service_tier=said)
    assert {heard(told, size) for size in (1, 7, len(told))} == {Usage(10, 4, tier=tier)}
    assert [event.usage for event in OPENAI.decode_events(told) if event.usage] == [Usage(10, 4, tier=tier)]


def test_openais_tier_beside_odd_types() -> None:
    body = whole(service_tier="flex", usage=COUNTED | {"total_tokens": "14"})
    assert OPENAI.decode_facts(body).usage == Usage(10, 4, tier="flex")


def test_openais_sound() -> None:
    usage = Usage(10, 4, input_audio_tokens=7, output_audio_tokens=3)
    assert OPENAI.decode_facts(whole(usage=SOUND)).usage == usage
    assert OPENAI.decode_facts(whole(usage=SOUND | {"total_tokens": 14.0})).usage == usage


def test_perplexitys_searches() -> None:
    said = COUNTED | {"search_context_size": "low", "num_search_queries": 3}
    usage = Usage(10, 4, web_searches=3, tier="search_low")
    assert OPENAI.decode_facts(whole(usage=said)).usage == usage
    assert OPENAI.decode_facts(whole(usage=said | {"total_tokens": 14.0})).usage == usage
    odd = COUNTED | {"search_context_size": 7, "num_search_queries": "many"}
    assert OPENAI.decode_facts(whole(usage=odd)).usage == Usage(10, 4)


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({}, Usage(13, 4, 2, 1)),
        ({"service_tier": "standard", "inference_geo": "not_available"}, Usage(13, 4, 2, 1)),
        ({"service_tier": "priority"}, Usage(13, 4, 2, 1, tier="priority")),
        ({"service_tier": "standard", "speed": "fast"}, Usage(13, 4, 2, 1, tier="fast")),
        ({"service_tier": "batch", "speed": "standard"}, Usage(13, 4, 2, 1, tier="batch")),
        ({"inference_geo": "us"}, Usage(13, 4, 2, 1, tier="in_us")),
        ({"inference_geo": "us", "speed": "fast"}, Usage(13, 4, 2, 1, tier="in_us+fast")),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 1}}, Usage(13, 4, 2, 1, cache_write_1h_tokens=1)),
        ({"server_tool_use": {"web_search_requests": 3}}, Usage(13, 4, 2, 1, web_searches=3)),
        ({"cache_creation": 7, "server_tool_use": None, "speed": 1, "service_tier": []}, Usage(13, 4, 2, 1)),
    ],
)
def test_anthropics(more: dict[str, Any], usage: Usage) -> None:
    counts = {"input_tokens": 10, "output_tokens": 4, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2}
    assert read_anthropic(counts | more) == usage
    start = {"type": "message", "id": "m", "model": "c", "content": [], "usage": counts | more | {"output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    reader = ANTHROPIC.open_stream(keep_usage=True, prompt_bytes=0)
    for event in events:
        reader.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    reader.end()
    assert reader.usage == usage


# --- the short way


COUNTS = st.none() | st.integers(-2, 60) | st.sampled_from([2**53, 2**60, 1.5, True, "7"])
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens"]), COUNTS
)
FIELDS = {
    **dict.fromkeys(
        [
            *("input_tokens", "output_tokens", "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"),
            *("reasoning_tokens", "num_search_queries", "search_context_size"),
        ],
        COUNTS,
    ),
    **dict.fromkeys([f"{side}_tokens_details" for side in ("prompt", "completion", "input", "output")], DETAILS),
}


@given(st.integers(0, 100), st.integers(0, 100), st.integers(-1, 1), st.fixed_dictionaries({}, optional=FIELDS))
def test_the_short_way_counts_as_the_long_one(taken: int, given_out: int, more: int, other: dict[str, Any]) -> None:
    value = {"prompt_tokens": taken, "completion_tokens": given_out, "total_tokens": taken + given_out + more, **other}
    body = msgspec.json.encode(value)
    careful = _read_any(value)
    assert read_usage(value) == careful
    try:
        plain = msgspec.json.decode(body, type=PlainUsage).counts()
    except msgspec.ValidationError:
        return
    assert plain in (None, careful)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # Gemini's total alone knows of its thoughts; what is explained otherwise, or absurd, is no thought.
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 103}, Usage(9, 94, 0, 0, 93)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 2**52}, Usage(9, 1)),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 8}, Usage(9, 1)),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 50, "completion_tokens_details": {}},
            Usage(9, 41, 0, 0, 40),
        ),
        (
            COUNTED | {"total_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(10, 4, 0, 0, 3),
        ),
        # Anthropic's names in OpenAI's object: within the prompt, or beside it where the total says so.
        (COUNTED | {"cache_read_input_tokens": 6, "cache_creation_input_tokens": 2}, Usage(10, 4, 6, 2)),
        (COUNTED | {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}, Usage(10, 4)),
        (COUNTED | {"total_tokens": 22, "cache_read_input_tokens": 8}, Usage(18, 4, 8)),
        (
            {"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 6, "cache_creation_input_tokens": 2},
            Usage(18, 4, 6, 2),
        ),
        # What was written to the cache, by each of its names.
        (COUNTED | {"prompt_tokens_details": {"cache_creation_tokens": 5}}, Usage(10, 4, 0, 5)),
        (COUNTED | {"prompt_tokens_details": {"cache_creation_input_tokens": 5}}, Usage(10, 4, 0, 5)),
        (COUNTED | {"prompt_tokens_details": {"cache_write_tokens": 5, "cached_tokens": 2}}, Usage(10, 4, 2, 5)),
    ],
)
def test_counts_in_other_vendors_words(told: dict[str, Any], expected: Usage) -> None:
    assert read_usage(told) == expected
    assert OPENAI.decode_facts(whole(usage=told)).usage == expected
