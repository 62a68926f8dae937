"""Deployments of names that have several targets."""

from __future__ import annotations

from penstock.admin.deployments import deployment_ids, describe_deployments, switched_off
from penstock.admin.overview import Standing
from penstock.config.load import load_config
from penstock.metrics import Metrics
from penstock.stores.authority import Authority
from penstock.testing import FakeClock

CONFIG = {
    "auth": "open",
    "providers": {"gone": {"kind": "openai", "api_key": "env:GONE?"}, "sim": {}, "other": {"kind": "sim"}},
    "models": {
        "fast": {"targets": ["gone/x", "sim/small", "other/large"]},
        "smart": {"targets": ["other/large", "sim/large"], "fallback": ["fast"]},
    },
}


def test_each_target_is_told_with_the_names_that_lead_to_it() -> None:
    overview = Standing(load_config(CONFIG, {}), Metrics(), Authority())
    told = {
        each["id"]: each["routes"]
        for each in describe_deployments(overview, deployment_ids(overview, 0.0), FakeClock())
    }
    assert {id: routes for id, routes in told.items() if routes} == {
        "sim/small": ["fast"],
        "other/large": ["fast", "smart"],
        "sim/large": ["smart"],
    }


def test_a_provider_that_is_off_names_whom_it_takes_a_target_from() -> None:
    assert switched_off(load_config(CONFIG, {})) == [
        {"provider": "gone", "kind": "openai", "reason": "GONE is not set", "routes": ["fast"]}
    ]
