"""The head of every request to a provider: its credential, and which of the caller's headers go along."""

from __future__ import annotations

import pytest

from penstock.config.schema import Provider
from penstock.gateway import endpoint_of
from penstock.providers.auth import auth_headers
from penstock.providers.catalogue import load_catalogue
from penstock.providers.deployment import Deployment, Endpoint, Timeouts
from penstock.redact import Secret
from penstock.wire.dialect import ModelFacts

KEY = Secret("sk-1")


def endpoint(kind: str, key: Secret | None = KEY) -> Endpoint:
    return endpoint_of(Provider(name="up", kind=kind, base_url="http://h:8000/v1", api_key=key), load_catalogue()[kind])


def head_of(kind: str, passed: dict[bytes, bytes]) -> list[bytes]:
    head = endpoint(kind).head(b"/messages", b"beta=true", passed)
    assert head.endswith(b"\r\n")
    return head[:-2].split(b"\r\n")


@pytest.mark.parametrize(
    ("scheme", "key", "headers"),
    [
        ("bearer", KEY, {"authorization": "Bearer sk-1"}),
        ("x-api-key", KEY, {"x-api-key": "sk-1"}),
        ("none", KEY, {}),
        ("bearer", None, {}),
        ("x-api-key", None, {}),
    ],
)
def test_credentials(scheme: str, key: Secret | None, headers: dict[str, str]) -> None:
    assert auth_headers(scheme, key) == headers


def test_a_request_to_anthropic() -> None:
    line, *headers = head_of("anthropic", {})
    assert line == b"POST /v1/messages?beta=true HTTP/1.1"
    assert b"host: h:8000" in headers
    assert b"x-api-key: sk-1" in headers
    assert b"anthropic-version: 2023-06-01" in headers
    assert not any(header.startswith((b"authorization", b"anthropic-beta")) for header in headers)


def test_what_the_caller_sent_goes_before_the_default() -> None:
    passed = {b"anthropic-version": b"2099-01-01", b"anthropic-beta": b"a,b", b"openai-beta": b"x", b"cookie": b"y"}
    headers = head_of("anthropic", passed)
    assert [header for header in headers if header.startswith(b"anthropic-")] == [
        b"anthropic-version: 2099-01-01",
        b"anthropic-beta: a,b",
    ]
    assert not any(header.startswith((b"openai-beta", b"cookie")) for header in headers)


def test_what_is_anthropics_does_not_go_to_openai() -> None:
    headers = head_of("openai", {b"anthropic-version": b"2023-06-01", b"openai-beta": b"x"})
    assert b"authorization: Bearer sk-1" in headers
    assert b"openai-beta: x" in headers
    assert not any(header.startswith(b"anthropic-") for header in headers)


def test_an_endpoint_knows_its_dialects() -> None:
    assert endpoint("openai").dialects == ("openai_chat", "openai_embeddings")
    assert endpoint("anthropic").dialects == ("anthropic_messages", "anthropic_count_tokens")


def test_a_deployment_of_a_model_nobody_knows() -> None:
    deployment = Deployment(endpoint("openai"), "m", Timeouts())
    assert (deployment.id, deployment.facts) == ("up/m", ModelFacts())
