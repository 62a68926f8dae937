"""What lies in the store: providers' credentials by name, and the key that all of it is kept under."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.config.keeping import SHORTEST_SECRET
from penstock.config.load import load_config
from penstock.config.parcel import decode_config, encode_config
from penstock.config.schema import Config
from penstock.config.show import describe
from penstock.config.stored import stored_names, with_stored
from penstock.errors import ConfigError
from penstock.redact import Secret
from penstock.stores.vault import SHORTEST

GOOD = "0123456789abcdef0123456789abcdef"
ENV = {"APP_KEY": "app-key-0123456789", "SECRET": GOOD, "KEY_B": "sk-b", "WEAK": "short", "PLAIN": "x" * 64}


def load(provider: dict[str, Any], *, serving: bool = True, **more: object) -> Config:
    written = {
        "providers": {"openai": provider},
        "models": {"fast": {"targets": ["openai/gpt-5-mini"]}},
        "keys": [{"name": "app", "key": "env:APP_KEY"}],
        **more,
    }
    return load_config(written, ENV, serving=serving)


def refusal(provider: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        load(provider, **more)
    return str(refused.value)


def test_a_credential_in_the_store_leaves_its_provider_off_until_it_is_filled_in() -> None:
    config = load({"api_key": "store:openai"})
    provider = config.providers["openai"]
    assert stored_names(config) == ("openai",)
    assert "in the store" in provider.off
    assert provider.api_key is not None
    assert provider.api_key.reveal() == ""
    filled = with_stored(config, {"openai": Secret("sk-1", "store:openai")}).providers["openai"]
    assert filled.off == ""
    assert filled.api_key is not None
    assert filled.api_key.reveal() == "sk-1"
    # Filled in anew, as it was and as it is no more.
    again = with_stored(with_stored(config, {"openai": Secret("sk-1", "store:openai")}), {"openai": "it is gone"})
    assert again.providers["openai"].off == "it is gone"


def test_of_several_those_are_used_that_the_store_has() -> None:
    pool = [
        {"name": "a", "api_key": "store:a"},
        {"name": "b", "api_key": "env:KEY_B"},
        {"name": "c", "api_key": "store:c"},
    ]
    config = load({"credentials": pool})
    assert stored_names(config) == ("a", "c")
    filled = with_stored(config, {"a": Secret("sk-a", "store:a"), "c": "no"}).providers["openai"]
    assert [(each.name, each.api_key.reveal()) for each in filled.credentials] == [("a", "sk-a"), ("b", "sk-b")]
    assert filled.off == ""
    only = with_stored(load({"credentials": pool[:1]}), {"a": "it is not there"}).providers["openai"]
    assert only.off == "it is not there"


def test_one_name_twice_in_a_pool_is_the_same_value() -> None:
    twice = [{"name": "a", "api_key": "store:x"}, {"name": "b", "api_key": "store:x"}]
    assert "have the same value" in refusal({"credentials": twice})


@pytest.mark.parametrize("name", ["store:", "store:a b", "store:../x", "store:-a", "store:" + "a" * 65, "store:é"])
def test_a_name_that_no_credential_can_have(name: str) -> None:
    assert "name of a credential in the store" in refusal({"api_key": name})


def test_without_a_store_there_is_nothing_to_come_from() -> None:
    assert "state: memory is none" in refusal({"api_key": "store:openai"}, state="memory")


def test_it_is_shown_as_the_reference() -> None:
    config = with_stored(load({"api_key": "store:openai"}), {"openai": Secret("sk-1", "store:openai")})
    shown = describe(config)
    assert msgspec.json.decode(msgspec.json.encode(shown))["providers"]["openai"]["api_key"] == "*** (store:openai)"
    assert "sk-1" not in repr(config) + repr(shown)


def test_a_caller_key_cannot_come_from_there() -> None:
    assert "as a reference" in refusal({"api_key": "env:KEY_B"}, keys=[{"name": "app", "key": "store:app"}])


# --- the encryption key


def test_the_encryption_key_is_a_reference_that_workers_never_get() -> None:
    config = load({"api_key": "env:KEY_B"}, encryption_key="env:SECRET")
    assert config.encryption_key is not None
    assert config.encryption_key.reveal() == GOOD
    sent = encode_config(config)
    assert GOOD.encode() not in sent
    assert decode_config(sent) == msgspec.structs.replace(config, encryption_key=None)
    assert describe(config)["encryption_key"] == "*** (env:SECRET)"


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("env:WEAK", "too short or too plain"),
        ("env:PLAIN", "too short or too plain"),
        ("env:MISSING", "is not set"),
        ("env:MISSING?", "is not set"),
        ("none", "never without"),
        (GOOD, "as a reference"),
        ("store:x", "as a reference"),
    ],
)
def test_an_encryption_key_that_is_none(written: str, why: str) -> None:
    told = refusal({"api_key": "env:KEY_B"}, encryption_key=written)
    assert why in told
    assert GOOD not in told
    assert ENV["PLAIN"] not in told


def test_what_is_too_short_here_is_too_short_there() -> None:
    assert SHORTEST_SECRET == SHORTEST


# --- keys


def test_with_a_store_that_is_named_no_key_need_be_declared() -> None:
    written: dict[str, object] = {"providers": {"sim": {}}, "auth": "required"}
    assert load_config(written | {"state": "sqlite:///penstock.db"}, {}).keys == ()
    states: list[dict[str, object]] = [{}, {"state": "memory"}]
    for state in states:
        with pytest.raises(ConfigError, match="no key is declared"):
            load_config(written | state, {})
