"""What a reload says has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.changes import changed_names
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.config.yaml_file import open_config

ENV = {"APP_KEY": "pk-hidden", "OPENAI_API_KEY": "sk-hidden", "OTHER": "sk-other"}
IS = {"target": "own/x", "is": "openai/gpt-5"}
SOURCE: dict[str, Any] = {
    "providers": {"openai": {}, "sim": {}, "own": {"kind": "vllm", "base_url": "http://127.0.0.1:9/v1"}},
    "models": {
        "fast": {"targets": ["openai/gpt-5", IS]},
        "b": {"targets": ["sim/small"]},
    },
    "keys": [{"name": "app", "key": "env:APP_KEY"}],
    "tenants": [{"name": "acme"}],
    "limits": [{"scope": "user", "requests": "60/min"}],
    "budgets": [{"scope": "tenant", "limit": "50 USD/day"}],
    "prices": {"own/x": {"input": 1, "output": 2}},
}


def loaded(changes: Mapping[str, Any] | None = None, env: Mapping[str, str] = ENV) -> Config:
    return load_config({**SOURCE, **(changes or {})}, env)


def listed(name: str, **more: Any) -> dict[str, Any]:
    """The first of a list, with something more."""
    return {name: [{**SOURCE[name][0], **more}]}


def models(**more: Any) -> dict[str, Any]:
    """Those, with other ones."""
    return {"models": {**SOURCE["models"], **more}}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"server": {"idle": "10s", "cors": ["https://a.example"]}}, ["server.cors", "server.idle"]),
        ({"models": {"fast": SOURCE["models"]["fast"]}}, ["models.b"]),
        (models(b={"targets": ["sim/large"]}, c={"targets": ["sim/small"]}), ["models.b", "models.c"]),
        (models(fast={"targets": ["openai/gpt-5", {**IS, "is": "openai/gpt-5-mini"}]}), ["models.fast"]),
        ({"defaults": {"retry": {"max_attempts": 2}}}, ["defaults.retry", "models.b", "models.fast"]),
        ({"providers": {**SOURCE["providers"], "openai": {"api_key": "env:OTHER"}}}, ["providers.openai"]),
        (listed("keys", models=["fast"]), ["keys.app"]),
        (listed("tenants", weight=2), ["tenants.acme"]),
        (listed("limits", requests="61/min"), ["limits"]),
        (listed("budgets", limit="51 USD/day"), ["budgets"]),
        ({"budgets": [*SOURCE["budgets"], {"scope": "request", "limit": "1 USD"}]}, ["budgets"]),
        ({"prices": {"own/x": {"input": 1, "output": 3}}}, ["prices.own/x"]),
        ({"default_model": "fast", "admission": "off"}, ["admission", "default_model"]),
        ({"alerts": {"anomaly": "off"}}, ["alerts.anomaly"]),
    ],
)  # fmt: skip
def test_by_the_names_of_the_file(changes: dict[str, Any], names: list[str]) -> None:
    assert changed_names(loaded(), loaded(changes)) == names
    assert changed_names(loaded(changes), loaded()) == names


def test_every_part_of_a_configuration_is_looked_at() -> None:
    """One that is added without a thought of reloads fails here."""
    seen = {
        *("providers", "models", "keys", "tenants", "prices", "server", "defaults", "log", "alerts", "kinds"),
        *("rules", "request_budgets", "default_model", "auth", "state", "durability", "retention", "admission"),
        *("encryption_key", "layers", "known_as"),
    }
    assert {field.name for field in msgspec.structs.fields(Config)} - seen == {"source", "files"}


def test_the_same_secret_with_another_value_is_another() -> None:
    assert changed_names(loaded(), loaded(env={**ENV, "OPENAI_API_KEY": "sk-new"})) == ["providers.openai"]
    assert changed_names(loaded(), loaded(env={**ENV, "APP_KEY": "pk-new"})) == ["keys.app"]


def test_where_it_stands_is_no_difference_but_a_row_of_the_catalogue_is(tmp_path: Path) -> None:
    text = "providers: {sim: {}}\nkeys: [{name: app, key: env:APP_KEY}]\nlimits: [{scope: user, requests: 60/min}]\n"
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    before = open_config(file, ENV)
    file.write_text(f"# moved\n{text}")
    assert changed_names(before, open_config(file, ENV)) == []
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "mine.toml").write_text(
        'name = "mine"\nsource = "https://a.example/docs"\nurl = "https://a.example/v1"\n'
        'dialects = ["openai_chat"]\nauth = "none"\n'
    )
    assert changed_names(before, open_config(file, ENV)) == ["providers/mine"]
