"""What the gateway makes of a configuration: deployments with what is known of their models."""

from __future__ import annotations

from typing import Any

from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.providers.deployment import Deployment
from penstock.providers.facts import facts_of
from penstock.testing import FakeClock, SeededRandom

ENV = {"ANTHROPIC_API_KEY": "sk-ant", "OPENAI_API_KEY": "sk"}


def deployments_by_name(**config: Any) -> dict[str, Deployment]:
    source = {"auth": "open", "providers": {"anthropic": {}, "openai": {}, "sim": {}}, **config}
    gateway = Gateway(load_config(source, ENV), FakeClock(), SeededRandom(0))
    return {plan.name: plan.candidates[0].deployment for plan in gateway.plans}


def test_a_deployment_knows_its_model() -> None:
    found = deployments_by_name(
        models={"a": {"targets": ["anthropic/claude-opus-4-6"]}, "b": {"targets": ["openai/o3"]}}
    )
    assert found["anthropic/claude-opus-4-6"].facts == facts_of("anthropic", "claude-opus-4-6")
    assert found["openai/o3"].facts == facts_of("openai", "o3")
    assert found["anthropic/claude-opus-4-6"].facts.default_output_tokens == 8192


def test_how_much_output_is_asked_for_is_the_models_own_or_the_defaults() -> None:
    models = {
        "own": {"targets": ["anthropic/claude-opus-4-6"], "default_max_output": "32k"},
        "usual": {"targets": ["anthropic/claude-haiku-4-5"]},
    }
    found = deployments_by_name(models=models, defaults={"default_max_output": 2000})
    assert found["own"].facts.default_output_tokens == 32_000
    assert found["own"].facts.max_output_tokens == 128_000
    assert found["usual"].facts.default_output_tokens == 2000
    assert found["anthropic/claude-opus-4-6"].facts.default_output_tokens == 2000
    assert found["sim/small"].facts.default_output_tokens == 2000


def test_a_deployment_whose_name_says_no_model_is_what_is_says() -> None:
    target = {"target": "openai/prod-1", "is": "openai/o3"}
    found = deployments_by_name(models={"smart": {"targets": [target]}})
    assert found["smart"].facts == found["openai/prod-1"].facts == facts_of("openai", "o3")
    assert facts_of("openai", "o3") != facts_of("openai", "prod-1")
    assert found["smart"].price is not None
    assert found["smart"].price == deployments_by_name(models={"a": {"targets": ["openai/o3"]}})["a"].price
    assert deployments_by_name(models={"a": {"targets": ["openai/prod-1"]}})["a"].price is None
    assert found["smart"].model == "prod-1"


def test_the_simulated_provider_is_spoken_to_in_both_vendors_dialects() -> None:
    dialects = deployments_by_name()["sim/small"].endpoint.dialects
    assert {"openai_chat", "openai_embeddings", "anthropic_messages", "anthropic_count_tokens"} == set(dialects)
