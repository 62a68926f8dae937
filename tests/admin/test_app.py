"""What the control plane answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.config.show import describe
from penstock.gateway import Gateway
from penstock.messages import Usage
from penstock.records import Attempt, Record
from penstock.testing import FakeClock
from penstock.version import VERSION
from tests.admin.asgi import ADMIN, ask, config, control_plane


def answered(
    gateway: Gateway, deployment: str, status: int = 200, outcome: str = "ok", tokens: int = 0, cost: int | None = None
) -> None:
    """Count one ended request."""
    record = Record("id", "chat", 1.0, 1.0)
    record.deployment, record.status, record.ended = deployment, status, 2.0
    attempt = Attempt(deployment, 1.0, 1.0)
    attempt.outcome = outcome
    record.attempts.append(attempt)
    record.usage = Usage(input_tokens=tokens, output_tokens=2 * tokens) if tokens else None
    record.cost = cost
    gateway.metrics.noted.append(record)


def test_the_index_names_every_path() -> None:
    plane, _ = control_plane()
    told = ask(plane, "/").json
    assert (told["name"], told["version"]) == ("penstock", VERSION)
    assert list(told["paths"]) == [operation.path for operation in plane.operations]


def test_config_is_what_show_describes() -> None:
    plane, gateway = control_plane()
    answer = ask(plane, "/api/v1/config", ADMIN)
    assert answer.body == msgspec.json.encode(describe(gateway.config))
    assert answer.json["providers"]["openai"]["api_key"] == "*** (env:OPENAI_API_KEY)"
    assert answer.headers["content-type"] == "application/json"


def test_config_has_a_tag() -> None:
    plane, _ = control_plane()
    other, _ = control_plane(config({"providers": {"sim": {}}, "auth": "open"}))
    tag = ask(plane, "/api/v1/config", ADMIN).headers["etag"]
    assert tag == ask(plane, "/api/v1/config", ADMIN).headers["etag"]
    for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = ask(plane, "/api/v1/config", ADMIN, ("if-none-match", condition))
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    for condition in ('"x"', tag.strip('"'), ""):
        assert ask(plane, "/api/v1/config", ADMIN, ("if-none-match", condition)).status == 200
    assert ask(other, "/api/v1/config", ADMIN, ("if-none-match", tag)).status == 200
    assert ask(plane, "/api/v1/config", ("if-none-match", tag)).status == 401


def test_deployments() -> None:
    plane, gateway = control_plane()
    answered(gateway, "openai/gpt-5-mini", tokens=10, cost=42_000)
    answered(gateway, "openai/gpt-5-mini", tokens=5)
    answered(gateway, "openai/gpt-5-mini", 429, "upstream_rate_limited")
    told = ask(plane, "/api/v1/deployments", ADMIN).json
    assert told["data"][0] == {
        "id": "openai/gpt-5-mini",
        "provider": "openai",
        "model": "gpt-5-mini",
        "kind": "openai",
        "base_url": "https://api.openai.com/v1",
        "routes": ["fast", "small"],
        "state": "ready",
        "reason": None,
        "since": None,
        "until": None,
        "retry_quota": 500,
        "retries_left": 10,
        "requests": {"200": 2, "429": 1},
        "attempts": {"ok": 2, "upstream_rate_limited": 1},
        "tokens": {"input": 15, "output": 30},
        "cost_usd": "0.000042000",
        "unknown_price": 1,
    }
    assert told["data"][1] == {
        "id": "sim/small",
        "provider": "sim",
        "model": "small",
        "kind": "sim",
        "base_url": None,
        "routes": [],
        "state": "ready",
        "reason": None,
        "since": None,
        "until": None,
        "retry_quota": 500,
        "retries_left": 10,
        "requests": {},
        "attempts": {},
        "tokens": {"input": 0, "output": 0},
        "cost_usd": "0.000000000",
        "unknown_price": 0,
    }
    assert [each["id"] for each in told["data"]] == ["openai/gpt-5-mini", "sim/small", "sim/large", "sim/embed"]
    assert told["switched_off"] == [
        {"provider": "gone", "kind": "openai", "reason": "GONE is not set", "routes": ["lost"]}
    ]


def test_a_call_to_a_model_is_told_where_models_are_asked() -> None:
    plane, _ = control_plane()
    for path in ("/v1/chat/completions", "/anthropic/v1/messages"):
        told = ask(plane, path, ADMIN)
        assert told.status == 404
        assert told.json["do"].startswith("Models are asked at the gateway's own address, server.listen")
    assert ask(plane, "/nowhere", ADMIN).json["do"] == "GET / says what is here."


def test_deployments_nobody_declared_are_listed_once_used() -> None:
    plane, gateway = control_plane()
    named = [each["id"] for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"]]
    answered(gateway, "openai/org/b")
    answered(gateway, "openai/a", 404, "upstream_not_found")
    answered(gateway, "other")  # what a counter that is full sums under
    answered(gateway, "", 404)
    told = ask(plane, "/api/v1/deployments", ADMIN).json["data"]
    assert [each["id"] for each in told] == [*named, "openai/a", "openai/org/b"]
    assert (told[-1]["model"], told[-1]["requests"], told[-1]["routes"]) == ("org/b", {"200": 1}, [])


def test_each_credential_of_a_pool_is_listed_once_used() -> None:
    pool = [{"name": "a", "api_key": "env:OPENAI_API_KEY"}]
    pooled = {"kind": "openai", "credentials": pool}
    plane, gateway = control_plane(config({"providers": {"up": pooled, "own": {"kind": "openai"}}, "auth": "open"}))
    answered(gateway, "up/m#a")
    answered(gateway, "own/m#a")
    told = {each["id"]: each for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"]}
    assert (told["up/m#a"]["model"], told["up/m#a"]["credential"]) == ("m", "a")
    assert told["own/m#a"]["model"] == "m#a", "a mark is one only where there are credentials"
    assert "credential" not in told["own/m#a"]


def test_paging() -> None:
    plane, _ = control_plane()
    whole = [each["id"] for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"]]
    assert len(whole) == 4
    assert pages(plane, 1) == [[id] for id in whole]
    assert pages(plane, 3) == [whole[:3], whole[3:]]
    assert pages(plane, 4) == pages(plane, 1000) == [whole]


def pages(plane: Any, limit: int) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        told = ask(plane, f"/api/v1/deployments?limit={limit}{cursor}", ADMIN).json
        found.append([each["id"] for each in told["data"]])
        if told["next_cursor"] is None:
            return found
        cursor = f"&cursor={told['next_cursor']}"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1_0", "limit"),
        ("limit=", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=%D9%A1", "limit"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=%FF%FE", "cursor"),
        ("cursor=Z29uZS94", "cursor"),
        ("limit=1&limit=2", "limit"),
        ("page=2", "parameter"),
        ("key=secret", "parameter"),
    ],
)
def test_a_bad_query_is_a_problem(query: str, param: str) -> None:
    plane, _ = control_plane()
    answer = ask(plane, f"/api/v1/deployments?{query}", ADMIN)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert param in answer.json["detail"]


def test_health() -> None:
    clock = FakeClock()

    async def refresh() -> None:
        gateway.metrics.connections.set(3)

    plane, gateway = control_plane(clock=clock, refresh=refresh)
    gateway.metrics.in_flight.set(2)
    for worker, generation in (("10", 1), ("0", 2)):
        gateway.metrics.generation.set(generation, (worker,))
    clock.advance(12.5)
    assert ask(plane, "/api/v1/health", ADMIN).json == {
        "version": VERSION,
        "uptime_seconds": 12.5,
        "requests_in_flight": 2,
        "connections": 3,
        "upstream_connections": {"open": 0, "busy": 0},
        "workers": [{"worker": 0, "config_generation": 2}, {"worker": 10, "config_generation": 1}],
    }


def test_a_mistake_of_ours_tells_nothing() -> None:
    async def fail() -> None:
        raise ZeroDivisionError("sk-hidden")

    plane, _ = control_plane(refresh=fail)
    answer = ask(plane, "/metrics")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert b"hidden" not in answer.body
    assert b"Zero" not in answer.body
