"""`/api/v1/credentials`: a value goes in, is used, and is told nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.stored import users_of
from tests.admin.registered import DECLARING, Registered

VALUE, OTHER = "sk-live-0123456789abcdefWXYZ", "sk-live-9876543210fedcbaABCD"


@pytest.fixture
def desk() -> Iterator[Registered]:
    desk = Registered()
    yield desk
    desk.close()


def test_one_is_kept_changed_and_forgotten(desk: Registered) -> None:
    made = desk.done("POST", "/credentials", {"name": "openai", "value": VALUE})
    assert (made["name"], made["last_four"], made["providers"]) == ("openai", "WXYZ", [])
    assert desk.done("GET", "/credentials")["data"] == [made]
    changed = desk.done("PATCH", "/credentials/openai", {"value": OTHER}, if_match=made["etag"])
    assert changed["last_four"] == "ABCD"
    credentials = desk.register.directory.credentials
    assert asyncio.run(credentials.reveal("openai")).reveal() == OTHER
    assert desk.ask("admin", "PATCH", "/credentials/openai", {"value": VALUE}, if_match=made["etag"]).status == 412
    assert desk.ask("admin", "DELETE", "/credentials/openai", if_match=made["etag"]).status == 412
    assert desk.done("DELETE", "/credentials/openai", if_match=changed["etag"]) == changed
    assert desk.ask("admin", "GET", "/credentials/openai").status == 404
    told = [(entry.what, entry.subject, entry.actor) for entry in desk.entries]
    assert told == [(f"credential.{what}", "openai", "admin-key") for what in ("put", "put", "drop")]


def test_its_value_is_told_nowhere(desk: Registered) -> None:
    answers = [
        desk.ask("admin", "POST", "/credentials", {"name": "openai", "value": VALUE}, idempotency_key="1"),
        desk.ask("admin", "POST", "/credentials", {"name": "openai", "value": VALUE}, idempotency_key="1"),
        desk.ask("admin", "POST", "/credentials", {"name": "openai", "value": VALUE}),
        desk.ask("admin", "POST", "/credentials", {"name": "a b", "value": VALUE}),
        desk.ask("admin", "POST", "/credentials", {"name": "x", "value": VALUE, "extra": VALUE}),
        desk.ask("admin", "POST", "/credentials", {"name": "x", "value": [VALUE]}),
        desk.ask("admin", "POST", "/credentials", {"name": "x", "value": f"{VALUE}\n"}),
        desk.ask("admin", "PATCH", "/credentials/openai", {"value": VALUE}, if_match="*"),
        desk.ask("admin", "GET", "/credentials/openai"),
        desk.ask("admin", "GET", "/credentials"),
        desk.ask("admin", "GET", "/audit"),
        desk.ask("admin", "GET", "/config"),
    ]
    assert [answer.status for answer in answers] == [201, 201, 409, 400, 400, 400, 400, 200, 200, 200, 200, 200]
    told = json.dumps([answer.json for answer in answers]) + repr(desk.entries)
    assert VALUE not in told
    assert "WXYZ" in told


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "openai"}, "value"),
        ({"value": VALUE}, "name"),
        ({"name": "openai", "value": ""}, "value"),
        ({"name": "openai", "value": "a b"}, "value"),
        ({"name": "../x", "value": VALUE}, "name"),
        ({"name": "", "value": VALUE}, "name"),
    ],
)
def test_what_is_no_credential_is_refused_by_its_field(desk: Registered, body: Any, param: str) -> None:
    answer = desk.ask("admin", "POST", "/credentials", body)
    assert (answer.status, answer.json["param"]) == (400, param)


def test_there_is_none_to_change_or_to_forget(desk: Registered) -> None:
    assert desk.ask("admin", "PATCH", "/credentials/x", {"value": VALUE}, if_match="*").status == 404
    assert desk.ask("admin", "DELETE", "/credentials/x", if_match="*").status == 404
    assert desk.ask("admin", "DELETE", "/credentials/x").status == 428


def test_it_says_which_providers_it_pays() -> None:
    source = DECLARING | {"providers": {"sim": {}, "openai": {"api_key": "store:main"}}, "state": "sqlite:///x.db"}
    config = load_config(source, {"APP_KEY": "sk-app-1", "OPENAI_API_KEY": "sk-2"})
    assert users_of(config, "main") == ("openai",)
    assert users_of(config, "other") == ()
