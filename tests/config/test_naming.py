"""Names that a configuration gives its callers: a vendor's own names work unchanged where one vendor alone has them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.naming import names_of
from penstock.errors import UnknownModel
from penstock.routing.names import Names

ENV = {"OPENAI_API_KEY": "sk-0123456789", "ANTHROPIC_API_KEY": "sk-ant-0123456789", "OTHER_KEY": "sk-9876543210"}


def names(**providers: Any) -> Names:
    if not providers:
        return names_of(load_config(None, ENV))
    return names_of(load_config({"auth": "open", "providers": providers}, ENV))


@pytest.mark.parametrize(
    ("asked", "deployment"),
    [
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("gpt-5-mini-2025-08-07", "openai/gpt-5-mini-2025-08-07"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5-20251001"),
        ("small", "sim/small"),
    ],
)
def test_an_existing_clients_names_work(asked: str, deployment: str) -> None:
    found = names().find(asked)
    assert (found.name, found.route, found.deployment) == (asked, "", deployment)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("openai/gpt-5-mini", "OPENAI_API_KEY is not set"),
        ("gpt-5-mini", "OPENAI_API_KEY is not set"),
        ("claude-haiku-4-5", "ANTHROPIC_API_KEY is not set"),
        ("deepseek/deepseek-chat", "DEEPSEEK_API_KEY is not set"),
    ],
)
def test_without_a_file_a_vendors_model_is_told_which_variable_is_missing(asked: str, why: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        names_of(load_config(None, {})).find(asked)
    assert str(refused.value) == f'model "{asked}" is switched off: {why}'
    assert refused.value.do is not None
    assert refused.value.do.startswith("ask for one of: sim/small")


def test_with_a_file_only_what_it_declares_is_there() -> None:
    with pytest.raises(UnknownModel, match=r'^unknown model "openai/gpt-5-mini"$'):
        names(sim={}).find("openai/gpt-5-mini")


def test_another_vendors_key_serves_a_name_that_its_maker_has_as_well() -> None:
    found = names_of(load_config(None, {"OPENROUTER_API_KEY": "sk-or-0123456789"})).find("openai/gpt-5-mini")
    assert found.deployment == "openrouter/openai/gpt-5-mini"


@pytest.mark.parametrize("asked", ["gpt-5-mni", "claude", "", "llama", "gpt-5-mini/", "x" * 300])
def test_what_no_vendor_is_known_to_have(asked: str) -> None:
    with pytest.raises(UnknownModel):
        names().find(asked)


def test_what_google_sells_elsewhere_is_anthropics_alone_here() -> None:
    both = names_of(load_config(None, ENV | {"GEMINI_API_KEY": "AIza-0123456789"}))
    assert both.find("claude-haiku-4-5").deployment == "anthropic/claude-haiku-4-5"
    assert both.find("gemini-2.5-flash").deployment == "gemini/gemini-2.5-flash"


def test_who_wants_the_makers_name_before_a_model_has_none_without() -> None:
    both = names_of(load_config(None, {"XAI_API_KEY": "xai-0123456789", "OPENROUTER_API_KEY": "sk-or-0123456789"}))
    assert both.find("grok-3").deployment == "xai/grok-3"


def test_several_have_it() -> None:
    two = names(openai={}, spare={"kind": "openai", "api_key": "env:OTHER_KEY"})
    with pytest.raises(UnknownModel, match='"gpt-5-mini" is ambiguous') as refused:
        two.find("gpt-5-mini")
    assert refused.value.do == "ask for openai/gpt-5-mini or spare/gpt-5-mini"
    with pytest.raises(UnknownModel, match="unknown model") as hidden:
        two.find("gpt-5-mini", lambda found: False)
    assert "spare" not in str(hidden.value.told)


def test_a_compatible_server_may_have_anything() -> None:
    local = {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "api_key": "none"}
    with pytest.raises(UnknownModel):
        names(local=local).find("gpt-5-mini")
    # Where the vendor is there as well, it is the vendor's.
    assert names(local=local, openai={}).find("gpt-5-mini").deployment == "openai/gpt-5-mini"


def test_what_is_declared_goes_first() -> None:
    config = {
        "auth": "open",
        "providers": {"openai": {}, "sim": {}, "local": {"kind": "sim"}},
        "models": {"gpt-5-mini": {"targets": ["sim/small"]}, "mine": {"targets": ["local/gpt-5"]}},
    }
    declared = names_of(load_config(config, ENV))
    assert declared.find("gpt-5-mini").deployment == "sim/small"
    assert declared.find("gpt-5").deployment == "local/gpt-5"


def test_one_that_is_switched_off() -> None:
    with pytest.raises(UnknownModel):
        names(openai={"api_key": "env:NOT_SET?"}, sim={}).find("gpt-5-mini")
