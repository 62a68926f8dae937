"""What may be said to the library, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from penstock import ConfigError, InvalidRequest, Message, NotAvailable, Penstock, SyncPenstock
from penstock.client.asking import ChatOptions, EmbedOptions, ask_chat, ask_embeddings
from penstock.routing.wishes import Wishes

LATER = ["budget", "cache", "prompt_id", "variables", "idempotency_key"]


def refusals(llm: Penstock, **arguments: Any) -> list[Callable[[], Any]]:
    """Each method, called with these arguments besides a prompt."""
    sync: Any = SyncPenstock()
    call: Any = llm
    return [
        lambda: asyncio.run(call.generate("Hello", **arguments)),
        lambda: call.stream("Hello", **arguments),
        lambda: asyncio.run(call.embed("Hello", **arguments)),
        lambda: sync.generate("Hello", **arguments),
        lambda: sync.stream("Hello", **arguments),
        lambda: sync.embed("Hello", **arguments),
    ]


@pytest.mark.parametrize("name", LATER)
def test_arguments_of_later_versions(name: str) -> None:
    for call in refusals(Penstock(), **{name: 1}):
        with pytest.raises(NotAvailable, match=f"'{name}' is not in this version") as caught:
            call()
        assert caught.value.param == name
        assert caught.value.status == 400


def test_arguments_of_none() -> None:
    for call in refusals(Penstock(), modle="x"):
        with pytest.raises(TypeError, match=r"'modle' \(did you mean \"model\"\?\)"):
            call()
    with pytest.raises(TypeError, match=r"'stream' \(call stream"):
        ask_chat("Hello", {"stream": True}, stream=False)


def test_later_arguments_of_the_library_itself() -> None:
    for face in (Penstock, SyncPenstock):
        made: Any = face
        with pytest.raises(NotAvailable, match="'cache'"):
            made(cache={})
        with pytest.raises(TypeError, match="'confg'"):
            made(confg={})


@pytest.mark.parametrize(
    ("prompt", "options", "param"),
    [
        (None, {}, "prompt"),
        ("Hello", {"messages": []}, "messages"),
        (None, {"messages": 7}, "messages"),
        (b"Hello", {}, "messages"),
        ("Hello", {"model": 7}, "model"),
        ("Hello", {"task": "a\r\nx-penstock-user: root"}, "task"),
        ("Hello", {"task": "Übersetzung"}, "task"),
        ("Hello", {"extra": {"stream": True}}, "extra"),
        ("Hello", {"extra": {"model": "other"}}, "extra"),
        ("Hello", {"tools": [object()]}, None),
        ("Hello", {"temperature": 1j}, None),
    ],
)
def test_wrong_arguments(prompt: Any, options: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask_chat(prompt, options, stream=False)
    assert caught.value.param == param
    assert caught.value.do


@pytest.mark.parametrize("texts", [7, b"Hello", {"a": 1}])
def test_wrong_texts(texts: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask_embeddings(texts, {})
    assert caught.value.param == "texts"


def body(ask: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(ask.fields))
    return decoded


def test_every_argument_arrives() -> None:
    given: dict[str, Any] = {
        "model": "fast", "system": "s", "user": "u", "temperature": 0, "max_tokens": 3, "tools": [{"type": "function"}],
        "tool_choice": "none", "output_schema": {"type": "object"}, "stop": ["x"], "extra": {"top_p": 0.5},
    }  # fmt: skip
    wished = {"deadline": 2, "priority": "low", "timeout": "500ms", "retries": 0, "fallbacks": ["a", "sim/b"]}
    wished |= {"tags": {"feature": "x"}, "max_cost_usd": Decimal("0.10")}
    ask = ask_chat("Hello", {**given, **wished, "task": "t", "messages": None}, stream=True)
    written = body(ask)
    assert (ask.model, ask.task, ask.stream) == ("fast", "t", True)
    assert written["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "Hello"}]
    assert written["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert written["max_completion_tokens"] == 3
    assert written["stream"] is True
    for name in ("model", "user", "temperature", "tools", "tool_choice", "stop"):
        assert written[name] == given[name]
    assert written["top_p"] == 0.5
    assert ask.wishes == Wishes(
        deadline=2.0, priority="low", timeout=0.5, retries=0, fallbacks=("a", "sim/b"), max_cost_usd=100_000_000
    )
    assert ask.tags == (("feature", "x"),)
    assert ask.headers == {
        b"x-penstock-task": b"t",
        b"x-penstock-deadline": b"2.000s",
        b"x-penstock-priority": b"low",
        b"x-penstock-timeout": b"500ms",
        b"x-penstock-retries": b"0",
        b"x-penstock-fallbacks": b"a, sim/b",
        b"x-penstock-tags": b'feature="x"',
        b"x-penstock-max-cost-usd": b"0.10",
    }
    assert set(given) | set(wished) | {"messages", "task"} == set(ChatOptions.__annotations__)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", True), ("deadline", "5"), ("deadline", 0), ("deadline", -1), ("deadline", float("nan")),
        ("deadline", float("inf")), ("timeout", []), ("priority", 1), ("priority", "high\r\nx: y"), ("retries", "2"),
        ("retries", 1.0), ("retries", True), ("retries", 6), ("fallbacks", "a"), ("fallbacks", [1]),
        ("fallbacks", ["a,b"]), ("fallbacks", ["a\r\nx: y"]), ("fallbacks", [""]), ("fallbacks", ["ä"]),
        ("max_cost_usd", "1e3"), ("max_cost_usd", -1), ("max_cost_usd", True),
        ("tags", {"A": "x"}), ("tags", {"a": 1}), ("tags", []), ("max_cost_usd", float("nan")),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be(name: str, value: Any) -> None:
    for call in refusals(Penstock(), **{name: value}):
        with pytest.raises(InvalidRequest, match=name) as caught:
            call()
        assert caught.value.param == name


def test_none_is_the_same_as_nothing() -> None:
    nothing = dict.fromkeys(ChatOptions.__annotations__)
    assert body(ask_chat("Hello", nothing, stream=False)) == body(ask_chat("Hello", {}, stream=False))
    nothing = dict.fromkeys(EmbedOptions.__annotations__)
    assert body(ask_embeddings("Hello", nothing)) == body(ask_embeddings("Hello", {}))


def test_messages_may_be_values() -> None:
    said = body(
        ask_chat(None, {"messages": [Message("user", "Hello"), {"role": "user", "content": "!"}]}, stream=False)
    )
    assert said["messages"] == [{"role": "user", "content": "Hello"}, {"role": "user", "content": "!"}]


@pytest.mark.parametrize("name", ["generate", "stream"])
def test_the_keywords_are_shown(name: str) -> None:
    for face in (Penstock, SyncPenstock):
        shown = inspect.signature(getattr(face, name)).parameters
        assert [*shown][1:] == ["prompt", *ChatOptions.__annotations__]
        assert shown["model"].annotation == "str | None"


@pytest.mark.parametrize(
    "url",
    ["gateway:8484", "ftp://gateway", "http://", "http://a:b@gateway", "http://gateway:99999", "http://gateway/?x=1",
     "http://gate way", "http://gateway\r\nx: y", "http://gäteway"],
)  # fmt: skip
def test_urls_that_cannot_be(url: str) -> None:
    for face in (Penstock, SyncPenstock):
        with pytest.raises(ConfigError, match="url"):
            face.connect(url)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nb", "clé"])
def test_keys_that_cannot_be(key: str) -> None:
    with pytest.raises(ConfigError, match="api_key") as caught:
        Penstock.connect("http://gateway", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://gateway:1", "http://gateway:1/", "http://gateway:1/v1", "http://gateway:1/v1/"]
)
def test_the_path_of_the_url_may_be_left_out(url: str) -> None:
    async def shown() -> str:
        async with Penstock.connect(url) as llm:
            return repr(llm)

    assert "http://gateway:1/v1 |" in asyncio.run(shown())


def test_a_key_is_never_shown() -> None:
    async def shown() -> str:
        async with Penstock.connect("http://gateway", "sk-secret") as llm:
            return repr(llm) + str(vars(llm))

    assert "sk-secret" not in asyncio.run(shown())


def test_a_ca_file_that_is_none() -> None:
    async def main() -> None:
        async with Penstock.connect("https://gateway", ca_file="/nowhere.pem"):
            pass

    with pytest.raises(ConfigError, match=r"ca_file /nowhere\.pem"):
        asyncio.run(main())
