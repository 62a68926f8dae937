"""Streams that are waited for, and streams that are gone on with, as the vendors' own clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.end_to_end.process import Served
from tests.end_to_end.providers import Provider
from tests.end_to_end.ways import UP_KEY, Way, user

LONG = "tokens=60,between=1ms"
CONFIG = """\
server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0", keepalive: 300ms}
providers:
  up:     {kind: openai, base_url: "%(url)s", api_key: "env:UP_KEY"}
  claude: {kind: anthropic, base_url: "%(url)s", api_key: "env:UP_KEY"}
models:
  late-openai:      {targets: ["up/small:first_token=1s,tokens=60"]}
  late-anthropic:   {targets: ["claude/small:first_token=1s,tokens=60"]}
  hopeless:         {targets: ["up/small:silence"], timeouts: {first_token: 1s}}
  whole-openai:     {targets: ["up/small:%(long)s"]}
  whole-anthropic:  {targets: ["claude/small:%(long)s"]}
  joined-openai:    {targets: ["up/small:%(long)s,cut=40", "up/small:%(long)s"], retry: {max_attempts: 1}}
  joined-anthropic: {targets: ["claude/small:%(long)s,cut=40", "claude/small:%(long)s"], retry: {max_attempts: 1}}
  lost-openai:      {targets: ["up/small:%(long)s,cut=40", "up/large"], retry: {max_attempts: 1}}
  lost-anthropic:   {targets: ["claude/small:%(long)s,cut=40", "claude/large:no_prefill"], retry: {max_attempts: 1}}
defaults: {on_stream_cut: resume}
auth: open
"""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    folder: Path = tmp_path_factory.mktemp("waits")
    with Provider(UP_KEY) as provider:
        (folder / "penstock.yaml").write_text(CONFIG % {"url": provider.base_url, "long": LONG}, "utf-8")
        with Served(folder, env={"UP_KEY": UP_KEY}) as served:
            yield Way(served, "", "none", provider)
            assert served.stop() == 0
            assert "Traceback" not in served.told.text


def say(client: openai.OpenAI, model: str) -> tuple[str, Any]:
    """The text of a stream and its last chunk."""
    text, last = "", None
    stream = client.chat.completions.create(
        model=model, messages=user("Where is the weir?"), stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        last = chunk
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    return text, last


def tell(client: anthropic.Anthropic, model: str) -> tuple[anthropic.types.Message, Any]:
    """The message of a stream, put together by the client, and the last event of another one."""
    asked: Any = {"model": model, "max_tokens": 500, "messages": user("Where is the weir?")}
    with client.messages.stream(**asked) as stream:
        message = stream.get_final_message()
    *_, last = client.messages.create(**asked, stream=True)
    return message, last


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_openais_client_waits(there: Way, kind: str) -> None:
    with there.client() as client:
        text, last = say(client, f"late-{kind}")
    assert len(text) > 50
    assert last.usage.completion_tokens == 60


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_anthropics_client_waits(there: Way, kind: str) -> None:
    with there.claude() as client:
        message, _ = tell(client, f"late-{kind}")
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 60


def test_openais_client_is_told_in_the_stream_that_it_waited_in_vain(there: Way) -> None:
    with there.client() as client, pytest.raises(openai.APIError, match="silent"):
        say(client, "hopeless")


def test_anthropics_client_is_told_in_the_stream_that_it_waited_in_vain(there: Way) -> None:
    with there.claude() as client, pytest.raises(anthropic.APIStatusError, match="silent"):
        tell(client, "hopeless")


def test_openais_client_swallows_a_join(there: Way) -> None:
    with there.client() as client:
        text, last = say(client, "joined-openai")
        assert text == say(client, "whole-openai")[0]
    assert last.usage.completion_tokens > 60
    (join,) = last.model_extra["penstock"]["resumed"]
    assert join["target"] == f"up/small:{LONG}"


def test_openais_client_puts_a_joined_answer_together(there: Way) -> None:
    with there.client() as client:
        with client.chat.completions.stream(model="joined-openai", messages=user("Where is the weir?")) as stream:
            for _ in stream:
                pass
            completion = stream.get_final_completion()
        assert completion.choices[0].message.content == say(client, "whole-openai")[0]
    assert completion.choices[0].finish_reason == "stop"


def test_anthropics_client_swallows_a_join(there: Way) -> None:
    with there.claude() as client:
        message, last = tell(client, "joined-anthropic")
        whole, _ = tell(client, "whole-anthropic")
    assert [block.type for block in message.content] == ["text"]
    assert message.content == whole.content
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 60
    (join,) = last.model_extra["penstock"]["resumed"]
    assert join["how"].startswith("continued after ")


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_across_dialects(there: Way, kind: str) -> None:
    with there.client() as client:
        text, last = say(client, f"joined-{kind}")
    assert last.model_extra["penstock"]["resumed"]
    with there.claude() as claude:
        message, end = tell(claude, f"joined-{kind}")
    assert message.stop_reason == "end_turn"
    assert end.model_extra["penstock"]["resumed"]
    assert len(text) > 50


def test_what_is_lost_is_an_exception(there: Way) -> None:
    with there.client() as client, pytest.raises(openai.APIError, match="unfinished"):
        say(client, "lost-openai")
    with there.claude() as claude, pytest.raises(anthropic.APIStatusError, match="unfinished"):
        tell(claude, "lost-anthropic")
