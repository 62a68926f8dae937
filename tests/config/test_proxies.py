"""The forward proxy that the environment names, as a configuration has it and shows it."""

from __future__ import annotations

import json

import pytest

from penstock.client.remote import Remote
from penstock.config.load import load_config
from penstock.config.show import describe
from penstock.errors import ConfigError
from penstock.gateway import endpoint_of
from penstock.providers.catalogue import load_catalogue

KEYS = {"OPENAI_API_KEY": "sk-x", "A_KEY": "k"}
PROXY = "http://user:hidden@proxy:3128"
SOURCE = {
    "auth": "open",
    "providers": {
        "openai": {},
        "sim": {},
        "near": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "api_key": "none"},
        "own": {"kind": "openai", "base_url": "https://llm.corp.example/v1", "api_key": "env:A_KEY"},
    },
}


def test_each_provider_has_its_own_answer() -> None:
    config = load_config(SOURCE, {**KEYS, "https_proxy": PROXY, "http_proxy": PROXY, "no_proxy": "corp.example"})
    proxies = {name: provider.proxy and provider.proxy.reveal() for name, provider in config.providers.items()}
    assert proxies == {"openai": PROXY, "sim": None, "near": None, "own": None}
    origin = endpoint_of(config.providers["openai"], load_catalogue()["openai"]).origin
    assert origin.proxy is not None
    assert (origin.door, origin.tls is None, origin.rewrite) == (("proxy", 3128), False, None)
    assert endpoint_of(config.providers["own"], load_catalogue()["openai"]).origin.proxy is None


def test_it_is_shown_without_its_credentials() -> None:
    config = load_config(SOURCE, {**KEYS, "HTTPS_PROXY": PROXY})
    shown = describe(config)
    assert "hidden" not in json.dumps(shown) + repr(config)
    providers = shown["providers"]
    assert isinstance(providers, dict)
    assert providers["openai"]["proxy"] == "http://proxy:3128"
    assert "proxy" not in providers["near"]


def test_one_that_cannot_be_used_is_a_problem_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as wrong:
        load_config(SOURCE, {**KEYS, "HTTPS_PROXY": "socks5://user:hidden@proxy"})
    assert "providers.openai: the proxy that the environment names for https://api.openai.com/v1 is of a kind" in str(
        wrong.value
    )
    assert "NO_PROXY=api.openai.com" in str(wrong.value)
    assert "hidden" not in str(wrong.value)


def test_a_gateway_elsewhere_is_reached_by_it_too() -> None:
    engine = Remote("https://gateway.example", env={"HTTPS_PROXY": PROXY})
    assert engine._endpoint.origin.door == ("proxy", 3128)
    assert Remote("https://gateway.example")._endpoint.origin.proxy is None
    with pytest.raises(ConfigError, match="is no proxy"):
        Remote("https://gateway.example", env={"HTTPS_PROXY": "http://"})
