"""How deployments stand as the control plane tells it, and operators' words about them."""

from __future__ import annotations

import pytest

from penstock.gateway import Gateway
from penstock.messages import Caller
from penstock.standing import Effect
from penstock.stores.health import Health
from penstock.testing import FakeClock, SeededRandom
from tests.admin.asgi import ADMIN, ask, config, control_plane

POOL = {
    "providers": {
        "up": {
            "kind": "openai",
            "credentials": [{"name": "a", "api_key": "env:OPENAI_API_KEY"}, {"name": "b", "api_key": "env:APP_KEY"}],
        },
        "sim": {},
    },
    "models": {"fast": {"targets": ["up/m"]}},
    "auth": "open",
}
FAILURE = Effect("failure", None, "unavailable (503)")


def health_of(gateway: Gateway, name: str, number: int = 0) -> Health:
    plan = gateway.plans.of(gateway.names.find(name), Caller(trusted=True))
    health: Health = plan.candidates[number].health
    return health


def fail(gateway: Gateway, name: str, clock: FakeClock, times: int = 5, effect: Effect = FAILURE) -> None:
    for _ in range(times):
        health_of(gateway, name).failed(clock.monotonic(), effect)


def test_an_open_breaker_is_told_with_its_reason_since_when_and_until_when() -> None:
    clock = FakeClock()
    plane, gateway = control_plane(clock=clock)
    clock.advance(10)
    fail(gateway, "sim/small", clock)
    clock.advance(1)
    (told,) = [each for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"] if each["id"] == "sim/small"]
    assert told["state"] == "open"
    assert told["reason"] == "5 failures in a row, the last one: unavailable (503)"
    assert told["since"] == "2026-01-01T00:00:10.000Z"
    assert "2026-01-01T00:00:14.500Z" <= told["until"] <= "2026-01-01T00:00:15.500Z"


def test_once_it_may_be_tried_it_says_since_when() -> None:
    clock = FakeClock()
    plane, gateway = control_plane(clock=clock)
    fail(gateway, "sim/small", clock, 1, Effect("misconfigured", None, "upstream_not_found (404)"))
    clock.advance(100)
    (told,) = [each for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"] if each["id"] == "sim/small"]
    assert (told["state"], told["since"], told["until"]) == ("trial", "2026-01-01T00:01:00.000Z", None)


@pytest.mark.parametrize(("order", "state"), [("drain", "drained"), ("isolate", "isolated")])
def test_an_operator_stops_a_deployment_and_restores_it(order: str, state: str) -> None:
    plane, gateway = control_plane()
    (told,) = ask(plane, f"/api/v1/deployments/sim/small/{order}", ADMIN, method="POST").json["data"]
    assert (told["id"], told["state"], told["reason"], told["until"]) == (
        "sim/small",
        state,
        f"{state} by an operator",
        None,
    )
    assert health_of(gateway, "sim/small").blocked
    assert not health_of(gateway, "sim/large").blocked
    (told,) = ask(plane, "/api/v1/deployments/sim/small/restore", ADMIN, method="POST").json["data"]
    assert (told["state"], told["reason"]) == ("ready", None)
    assert not health_of(gateway, "sim/small").blocked


def test_a_mark_in_an_id_is_one_credential_and_none_is_all() -> None:
    plane, gateway = control_plane(config(POOL))
    told = ask(plane, "/api/v1/deployments/up/m#b/drain", ADMIN, method="POST").json["data"]
    assert [each["id"] for each in told] == ["up/m#b"]
    listed = {each["id"]: each["state"] for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"]}
    assert (listed["up/m"], listed["up/m#b"]) == ("ready", "drained"), "the other credential can be asked"
    told = ask(plane, "/api/v1/deployments/up/m/drain", ADMIN, method="POST").json["data"]
    assert [each["id"] for each in told] == ["up/m#a", "up/m#b"]
    listed = {each["id"]: each["state"] for each in ask(plane, "/api/v1/deployments", ADMIN).json["data"]}
    assert listed["up/m"] == "drained"
    assert all(health_of(gateway, "fast", number).blocked for number in (0, 1))


def test_who_is_not_there_cannot_be_stopped() -> None:
    plane, _ = control_plane()
    for id in ("sim/none", "sim", "", "sim/small/", "sim/sma"):
        answer = ask(plane, f"/api/v1/deployments/{id}/drain", ADMIN, method="POST")
        assert (answer.status, answer.json["code"]) == (404, "not_found"), id


def test_a_reload_changes_nothing_of_it() -> None:
    clock = FakeClock()
    _, gateway = control_plane(clock=clock)
    fail(gateway, "sim/small", clock)
    fail(gateway, "fast", clock, 1, Effect("credential", None, "upstream_credential (401)"))
    gateway.health.order("sim/large", "drain", clock.monotonic())
    loaded = config({"providers": {"sim": {}, "openai": {"api_key": "env:OPENAI_API_KEY"}}, "auth": "open"})
    again = Gateway(loaded, clock, SeededRandom(2), shared=gateway.shared)
    states = {name: health_of(again, name).standing(clock.monotonic()).state for name in ("sim/small", "sim/large")}
    assert states == {"sim/small": "open", "sim/large": "drained"}
    assert health_of(again, "openai/gpt-5-mini").standing(clock.monotonic()).state == "suspended"
    other = Gateway(
        config({"providers": {"openai": {"api_key": "env:APP_KEY"}}, "auth": "open"}),
        clock, SeededRandom(3), shared=gateway.shared,
    )  # fmt: skip
    assert not health_of(other, "openai/gpt-5-mini").blocked, "another secret"


def test_the_metrics_say_so_too() -> None:
    clock = FakeClock()
    plane, gateway = control_plane(clock=clock)
    fail(gateway, "sim/small", clock)
    shown = ask(plane, "/metrics").body.decode()
    assert 'penstock_breaker_transitions_total{deployment="sim/small",to="open"} 1.0' in shown
    assert 'penstock_deployment_state{deployment="sim/small",state="open"} 1.0' in shown
    assert 'penstock_deployment_state{deployment="sim/large",state="ready"} 1.0' in shown
    clock.advance(30)
    shown = ask(plane, "/metrics").body.decode()
    assert 'penstock_deployment_state{deployment="sim/small",state="trial"} 1.0' in shown
    assert 'state="open"' not in shown
