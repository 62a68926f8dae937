"""Bring your own key, as the vendors' own clients do it: through a gateway with two workers, in both dialects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.end_to_end.process import Served
from tests.end_to_end.providers import Provider

APP_KEY = "psk_own_0123456789abcdef"
# The simulated provider knows this one; it is in no variable and no file of the gateway's.
OWN_KEY = "sk-own-0123456789abcdef"
HEADERS = {"x-penstock-key": APP_KEY}
CONFIG = """\
server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0", workers: 2}
providers:
  gpt:    {kind: openai, base_url: "%(url)s", credentials: caller}
  claude: {kind: anthropic, base_url: "%(url)s", credentials: caller}
  pooled:
    kind: openai
    base_url: "%(url)s"
    credentials: [{name: a, api_key: env:POOL_A}, {name: b, api_key: env:POOL_B}]
keys:
  - {name: app, key: env:APP_KEY, models: ["*"]}
"""
ENV = {"APP_KEY": APP_KEY, "POOL_A": OWN_KEY, "POOL_B": "sk-pool-b-0123456789abcdef"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("own")
    with Provider(OWN_KEY) as provider:
        (folder / "penstock.yaml").write_text(CONFIG % {"url": provider.base_url})
        with Served(folder, env=ENV) as served:
            yield served
            assert served.stop() == 0
            for secret in (*ENV.values(), OWN_KEY):
                assert secret not in served.told.text + served.log.text


def gpt(gateway: Served, key: str = OWN_KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, default_headers=HEADERS, max_retries=0)


def claude(gateway: Served, **credential: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, default_headers=HEADERS, max_retries=0, **credential)


@pytest.mark.parametrize("model", ["gpt/small", "claude/small"])
def test_openais_client(gateway: Served, model: str) -> None:
    with gpt(gateway) as client:
        messages: Any = [{"role": "user", "content": "Hello"}]
        assert client.chat.completions.create(model=model, messages=messages).choices[0].message.content
        stream = client.chat.completions.create(model=model, messages=messages, stream=True)
        assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1] == "stop"


@pytest.mark.parametrize("credential", ["api_key", "auth_token"])
@pytest.mark.parametrize("model", ["gpt/small", "claude/small"])
def test_anthropics_client(gateway: Served, model: str, credential: str) -> None:
    with claude(gateway, **{credential: OWN_KEY}) as client:
        messages: Any = [{"role": "user", "content": "Hello"}]
        assert client.messages.create(model=model, max_tokens=200, messages=messages).content
        with client.messages.stream(model=model, max_tokens=200, messages=messages) as stream:
            assert stream.get_final_message().stop_reason == "end_turn"


@pytest.mark.parametrize("model", ["gpt/small", "claude/small"])
def test_a_wrong_one_is_the_clients_own_exception(gateway: Served, model: str) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    with gpt(gateway, "sk-wrong") as client, pytest.raises(openai.AuthenticationError) as theirs:
        client.chat.completions.create(model=model, messages=messages)
    assert theirs.value.code == "invalid_api_key"
    with claude(gateway, api_key="sk-wrong") as other, pytest.raises(anthropic.AuthenticationError) as caught:
        other.messages.create(model=model, max_tokens=10, messages=messages)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_without_penstocks_key(gateway: Served) -> None:
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=OWN_KEY, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="not known here"),
    ):
        client.chat.completions.create(model="gpt/small", messages=[{"role": "user", "content": "Hello"}])


def test_a_pool_in_real_processes(gateway: Served) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=APP_KEY, max_retries=0) as client:
        for _ in range(40):
            client.chat.completions.create(model="pooled/small", messages=[{"role": "user", "content": "Hello"}])
    gateway.log.wait_for(lambda lines: sum('"model":"pooled/small"' in line for line in lines) >= 40)
    lines = [line for line in gateway.lines if line["model"] == "pooled/small"]
    ends = Counter((one["deployment"], one["outcome"]) for line in lines for one in line["attempts"])
    # One of the two is refused by the provider: no caller hears of it, and it is not asked again for a minute.
    refused = {key: count for key, count in ends.items() if key[1] != "ok"}
    assert set(refused.values()) <= {1}
    assert sum(ends.values()) - len(refused) == 40
