"""A provider with several credentials, and one that is asked with each caller's own."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from penstock.testing import SimLoop, run
from tests.stage import ENV, Answer, Caller, Stage, ask

KEY, OTHER, OWN = ENV["APP_KEY"], ENV["OTHER_KEY"], ENV["UP_KEY"]
OPENAI = {"kind": "openai", "base_url": "http://provider:8000/v1"}
ANTHROPIC = {"kind": "anthropic", "base_url": "http://provider:8000"}
BY_CALLER = {
    "auth": "required",
    "keys": [{"name": "app", "key": "env:APP_KEY", "models": ["*"]}],
    "providers": {"gpt": {**OPENAI, "credentials": "caller"}, "claude": {**ANTHROPIC, "credentials": "caller"}},
    "models": {"fast": {"targets": ["gpt/small"]}, "smart": {"targets": ["claude/small"]}},
}
POOL = {
    "providers": {
        "up": {
            **OPENAI,
            "credentials": [
                {"name": "good", "api_key": "env:UP_KEY", "weight": 3},
                {"name": "bad", "api_key": "env:OTHER_KEY"},
            ],
        }
    }
}


def answers(config: dict[str, Any], requests: list[tuple[str, Any, dict[str, str]]]) -> tuple[list[Answer], Stage]:
    """What each request, on one connection, is answered; and the stage afterwards."""

    async def main(loop: SimLoop) -> tuple[list[Answer], Stage]:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            found = [await caller.post(body, path, **headers) for path, body, headers in requests]
            caller.close()
            await loop.clock.sleep(1)
            return found, stage

    return run(main, leak_free=True)


def by_caller(dialect: str, model: str, **headers: str) -> Answer:
    path, body = ask(dialect, model=model)
    (answer,), stage = answers(BY_CALLER, [(path, body, headers)])
    told = json.dumps(stage.lines)
    assert not any(secret in told for secret in ENV.values())
    return answer


CALLERS_OWN: list[dict[str, str]] = [
    {"authorization": f"Bearer {OWN}", "x_penstock_key": KEY},
    {"x_api_key": OWN, "x_penstock_key": KEY},
    {"api_key": OWN, "x_penstock_key": KEY},
]


@pytest.mark.parametrize("headers", CALLERS_OWN, ids=lambda headers: next(iter(headers)))
@pytest.mark.parametrize("model", ["fast", "smart", "gpt/large", "claude/large"])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_the_callers_own_credential_is_passed_on_in_every_dialect(
    dialect: str, model: str, headers: dict[str, str]
) -> None:
    answer = by_caller(dialect, model, **headers)
    assert answer.status == 200, answer.body


def test_a_token_of_anthropics_client_stays_a_bearer() -> None:
    headers = {"authorization": f"Bearer {OWN}", "anthropic_version": "2023-06-01", "x_penstock_key": KEY}
    assert by_caller("messages", "smart", **headers).status == 200


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"x_penstock_key": KEY},
        {"x_penstock_key": KEY, "authorization": "Bearer a b"},
    ],
)
def test_penstocks_own_key_never_goes_to_a_provider(dialect: str, headers: dict[str, str]) -> None:
    path, body = ask(dialect, model="fast")
    (answer,), stage = answers(BY_CALLER, [(path, body, headers)])
    assert answer.status == 401
    assert "asked with each caller's own credential, and none came" in answer.error["message"]
    assert "x-penstock-key" in answer.error["message"]
    assert "attempts" not in stage.lines[0]
    assert stage.provider.journal.requests == 0
    assert stage.lines[0]["error"] == "unauthenticated"


def test_penstocks_key_is_checked_first() -> None:
    answer = by_caller("chat", "fast", authorization=f"Bearer {OWN}", x_penstock_key=OTHER)
    assert answer.status == 401
    assert "The API key" in answer.error["message"]


def test_without_keys_the_usual_header_is_the_providers() -> None:
    config = {**BY_CALLER, "auth": "open", "keys": []}
    path, body = ask("chat")
    requests: list[tuple[str, Any, dict[str, str]]] = [
        (path, body, {"authorization": f"Bearer {OWN}"}),
        (path, body, {}),
    ]
    found, _ = answers(config, requests)
    assert [answer.status for answer in found] == [200, 401]


@pytest.mark.parametrize("stream", [False, True])
def test_a_complaint_about_the_callers_own_credential_passes_as_it_is(stream: bool) -> None:
    """In the provider's own words in its dialect, in the caller's envelope in another."""
    headers = {"authorization": "Bearer sk-wrong", "x_penstock_key": KEY}
    same = by_caller("chat", "fast", **headers)
    assert (same.status, same.error["code"]) == (401, "invalid_api_key")
    assert "provider" not in same.error["message"].lower()
    path, body = ask("chat", model="smart", stream=stream)
    (other,), stage = answers(BY_CALLER, [(path, body, headers)])
    assert (other.status, other.error["code"], other.error["type"]) == (401, "invalid_api_key", "invalid_request_error")
    assert "refuses your own credential" in other.error["message"]
    assert stage.lines[0]["error"] == "upstream_credential"
    anthropic = by_caller("messages", "fast", **headers)
    assert (anthropic.status, anthropic.error["type"]) == (401, "authentication_error")


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [("status=402", 402, "insufficient_credits"), ("status=429,code=insufficient_quota", 429, "insufficient_quota")],
)
def test_so_does_one_about_the_callers_account(script: str, status: int, code: str) -> None:
    headers = {"authorization": f"Bearer {OWN}", "x_penstock_key": KEY}
    same = by_caller("chat", f"gpt/small:{script}", **headers)
    assert same.status == status
    assert same.error["code"] == code
    other = by_caller("messages", f"gpt/small:{script}", **headers)
    assert other.status == status
    assert "your own" not in same.error["message"]


def test_a_complaint_about_our_own_credential_stays_ours() -> None:
    path, body = ask("chat")
    config = {"providers": {"up": {**OPENAI, "api_key": "env:OTHER_KEY"}}}
    (answer,), _ = answers(config, [(path, body, {})])
    assert (answer.status, answer.error["code"]) == (502, "upstream_credential")
    assert "configured for it" in answer.error["message"]


def test_a_pool_gives_each_credential_its_part() -> None:
    path, body = ask("chat")
    found, stage = answers(POOL, [(path, body, {})] * 200)
    used = Counter(line["attempts"][0]["deployment"] for line in stage.lines)
    assert "up/small#good" in used
    # Each is really sent with its own: the provider knows only one of them, and the other one's calls go on to it.
    ends = {(one["deployment"], one["outcome"]) for line in stage.lines for one in line["attempts"]}
    assert ends <= {("up/small#good", "ok"), ("up/small#bad", "upstream_credential")}
    assert {answer.status for answer in found} == {200}
    assert {line["deployment"] for line in stage.lines} == {"up/small"}
    assert {answer.headers["x-penstock-target"] for answer in found} == {"up/small"}
    told = json.dumps(stage.lines)
    assert not any(secret in told for secret in ENV.values())


def test_the_same_seed_chooses_the_same() -> None:
    name = "up/large:status=503"
    path, body = ask("chat", model=name)
    first, second = (answers(POOL, [(path, body, {})])[1].lines for _ in range(2))
    assert first == second
    assert {one["deployment"] for one in first[0]["attempts"]} == {
        "up/large:status=503#good",
        "up/large:status=503#bad",
    }
