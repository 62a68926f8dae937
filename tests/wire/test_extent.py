"""What a request can use at most, in every dialect that callers speak."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from penstock.wire.extent import (
    ANTHROPIC_IMAGE_TOKENS,
    IMAGE_TOKENS,
    TOOL_TOKENS,
    Extent,
    limit_output,
    read_extent,
    read_plain,
    text_of,
)

HELLO = [{"role": "user", "content": "Hello"}]


def extent(dialect: str, **fields: Any) -> Extent:
    """As it is read; and where that can be told at once, it is told the same."""
    body = json.dumps(fields).encode()
    raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    found = read_extent(dialect, raw, len(body))
    plain = read_plain(dialect, raw, len(body))
    found.plain = plain is not None
    assert plain is None or plain == (found, text_of(raw, media=found.media))
    return found


def size(**fields: Any) -> int:
    return len(json.dumps(fields))


@pytest.mark.parametrize(
    ("dialect", "fields", "output"),
    [
        ("openai_chat", {"max_tokens": 30}, 30),
        ("openai_chat", {"max_completion_tokens": 30}, 30),
        ("openai_chat", {"max_tokens": 30, "max_completion_tokens": 40}, 40),
        ("openai_chat", {"max_tokens": None}, None),
        ("openai_chat", {"max_tokens": "30"}, None),
        ("openai_chat", {"max_tokens": -1}, None),
        ("openai_chat", {"max_tokens": True}, None),
        ("openai_chat", {}, None),
        ("anthropic_messages", {"max_tokens": 30}, 30),
        ("generate", {"budget": {"max_output_tokens": 30}}, 30),
        ("generate", {"budget": {"max_cost_usd": "1"}}, None),
        ("generate", {}, None),
        ("openai_embeddings", {}, 0),
    ],
)
def test_the_callers_own_limit_of_the_output(dialect: str, fields: dict[str, Any], output: int | None) -> None:
    found = extent(dialect, model="m", messages=HELLO, **fields)
    assert found.output == output
    assert found.input == size(model="m", messages=HELLO, **fields)


@pytest.mark.parametrize(
    ("more", "plain"),
    [
        ({}, True),
        ({"temperature": 1, "max_tokens": 9, "stream": True}, True),
        ({"messages": [{"role": "user", "content": "a \n line"}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, False),
        ({"messages": [{"role": "user", "content": "\u00e9"}]}, False),  # written as an escape
        ({"n": 2}, False),
        ({"tools": []}, False),
        ({"system": "s"}, False),
        ({"whatever": 1}, False),
    ],
)
def test_what_is_nothing_but_words_is_read_at_once(more: dict[str, Any], plain: bool) -> None:
    for dialect in ("openai_chat", "anthropic_messages"):
        raw = msgspec.json.decode(json.dumps({"model": "m", "messages": HELLO, **more}), type=dict[str, msgspec.Raw])
        assert (read_plain(dialect, raw, 100) is not None) is plain
        assert read_plain("generate", raw, 100) is None


def test_several_answers() -> None:
    assert extent("openai_chat", messages=HELLO, n=3).answers == 3
    assert extent("openai_chat", messages=HELLO, n="x").answers == 1


def test_what_is_thought() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2048}
    assert extent("anthropic_messages", model="m", messages=HELLO, max_tokens=4096, thinking=thinking).thinking == 2048


def parts(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": "Look"}, *parts]}]


@pytest.mark.parametrize(
    ("dialect", "part", "more", "stored"),
    [
        ("openai_chat", {"type": "image_url", "image_url": {"url": "https://x/y.png"}}, IMAGE_TOKENS, False),
        ("anthropic_messages", {"type": "image", "source": {"type": "url", "url": "x"}}, ANTHROPIC_IMAGE_TOKENS, False),
        ("openai_chat", {"type": "file", "file": {"file_id": "file-1"}}, 0, True),
        ("openai_chat", {"type": "file", "file": {"file_data": "JVBERi0="}}, 0, True),
        ("anthropic_messages", {"type": "document", "source": {"type": "file", "file_id": "f"}}, 0, True),
        ("anthropic_messages", {"type": "document", "source": {"type": "base64", "data": "JVBERi0="}}, 0, True),
        ("anthropic_messages", {"type": "document", "source": {"type": "text", "data": "words"}}, 0, False),
        ("anthropic_messages", {"type": "container_upload", "file_id": "f"}, 0, True),
        ("openai_chat", {"type": "text", "text": "an image of a document file, and audio"}, 0, False),
    ],
)
def test_what_is_no_text(dialect: str, part: dict[str, Any], more: int, stored: bool) -> None:
    messages = parts(part)
    found = extent(dialect, messages=messages)
    assert (found.input, found.stored) == (size(messages=messages) + more, stored)


def test_a_picture_in_a_tools_result_and_one_whose_type_is_spelt_in_escapes() -> None:
    result = {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": "AAAA"}}]}
    assert extent("anthropic_messages", messages=parts(result)).input > ANTHROPIC_IMAGE_TOKENS
    body = json.dumps({"messages": parts({"type": "image_url", "image_url": {}})}).replace("image", "\\u0069mage")
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    assert read_extent("openai_chat", fields, len(body)).input > IMAGE_TOKENS


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "container"])
def test_what_lies_at_the_vendor(name: str) -> None:
    assert extent("openai_chat", model="m", messages=HELLO, **{"max_tokens": 1, name: "x"}).stored
    assert not extent("openai_chat", model="m", messages=HELLO, **{"max_tokens": 1, name: None}).stored


@pytest.mark.parametrize(
    ("tools", "uses"),
    [
        ([{"name": "mine", "input_schema": {}}], 0),
        ([{"type": "function", "function": {"name": "mine"}}], 0),
        ([{"type": "bash_20250124", "name": "bash"}], 0),
        ([{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}], 3),
        ([{"type": "web_search_20250305", "max_uses": 3}, {"type": "web_fetch_20250910", "max_uses": 2}], 5),
        ([{"type": "web_search_20250305", "name": "web_search"}], None),
        ([{"type": "code_execution_20250825", "name": "code"}, {"type": "web_search_20250305", "max_uses": 3}], None),
    ],
)
def test_a_vendors_own_tools(tools: list[dict[str, Any]], uses: int | None) -> None:
    fields = {"model": "m", "max_tokens": 10, "messages": HELLO, "tools": tools}
    found = extent("anthropic_messages", **fields)
    assert (found.uses, found.stored) == (uses, uses != 0)
    assert found.input == size(**fields) + TOOL_TOKENS


def test_what_nobody_can_bound() -> None:
    assert extent("openai_chat", messages=HELLO, tools=[{"type": "web_search"}]).uses is None
    assert extent("anthropic_messages", model="m", max_tokens=1, messages=HELLO, mcp_servers=[{}]).uses is None
    assert extent("openai_chat", model="m", max_tokens=1, messages=HELLO, plugins=[{"id": "web"}]).uses is None
    assert extent("openai_chat", model="m", max_tokens=1, messages=HELLO, web_search_options={}).uses == 1


def test_sound_the_cache_and_the_tier() -> None:
    heard = parts({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})
    found = extent("openai_chat", model="m", messages=heard, modalities=["text", "audio"], service_tier="flex")
    assert (found.heard, found.spoken, found.tier) == (True, True, "flex")
    system = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert extent("anthropic_messages", system=system, messages=HELLO, max_tokens=1).kept
    assert extent("anthropic_messages", model="m", messages=HELLO, max_tokens=1, speed="fast").tier == "fast"


def test_a_request_is_limited_where_it_says_so_itself_else_by_the_name_that_is_given() -> None:
    fields = {"max_tokens": msgspec.Raw(b"900"), "model": msgspec.Raw(b'"m"')}
    limited, names = limit_output(fields, 40, "max_completion_tokens")
    assert ({name: bytes(raw) for name, raw in limited.items()}, names) == (
        {"max_tokens": b"40", "model": b'"m"'}, ("max_tokens",),
    )  # fmt: skip
    limited, names = limit_output({"model": msgspec.Raw(b'"m"')}, 40, "max_completion_tokens")
    assert (bytes(limited["max_completion_tokens"]), names) == (b"40", ("max_completion_tokens",))
    assert bytes(fields["max_tokens"]) == b"900"


@pytest.mark.parametrize("kind", [["image"], {"a": "image"}, None, 1, True])
def test_a_type_that_is_no_word_is_no_type(kind: Any) -> None:
    part = {"type": kind, "text": "image_url input_image"}
    found = extent("openai_chat", messages=[{"role": "user", "content": [part]}])
    assert not found.media
