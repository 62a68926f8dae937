"""The head of every request to a provider: its credential, and which of the caller's headers go along."""

from __future__ import annotations

import pytest

from penstock.config.schema import Provider
from penstock.gateway import endpoint_of
from penstock.providers.auth import Scheme, auth_headers
from penstock.providers.catalogue import load_catalogue
from penstock.providers.deployment import MOST_GIVEN, MOST_TAKEN, Deployment, Endpoint
from penstock.providers.prices import declared
from penstock.records import Attempt, Record
from penstock.redact import Secret
from penstock.usage import Usage
from penstock.wire.dialect import ModelFacts

KEY = Secret("sk-1")


def endpoint(kind: str, key: Secret | None = KEY, url: str = "http://h:8000/v1", version: str = "") -> Endpoint:
    provider = Provider(name="up", kind=kind, base_url=url, api_key=key, api_version=version)
    return endpoint_of(provider, load_catalogue()[kind])


def head_of(kind: str, passed: dict[bytes, bytes]) -> list[bytes]:
    head = endpoint(kind).head(b"/messages", b"beta=true", passed)
    assert head.endswith(b"\r\n")
    return head[:-2].split(b"\r\n")


@pytest.mark.parametrize(
    ("scheme", "key", "headers"),
    [
        ("bearer", KEY, {"authorization": "Bearer sk-1"}),
        ("x-api-key", KEY, {"x-api-key": "sk-1"}),
        ("api-key", KEY, {"api-key": "sk-1"}),
        ("x-goog-api-key", KEY, {"x-goog-api-key": "sk-1"}),
        ("none", KEY, {}),
        ("bearer", None, {}),
        ("x-api-key", None, {}),
    ],
)
def test_credentials(scheme: Scheme, key: Secret | None, headers: dict[str, str]) -> None:
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


DEPLOYMENTS = "https://x.openai.azure.com/openai/deployments/{model}"


def line_of(endpoint: Endpoint, query: bytes = b"") -> bytes:
    return endpoint.head(b"/chat/completions", query, {}).partition(b"\r\n")[0]


def test_azure_by_its_v1_api() -> None:
    azure = endpoint("azure", url="https://x.openai.azure.com/openai/v1")
    assert azure.of("prod-1") is azure
    assert line_of(azure) == b"POST /openai/v1/chat/completions HTTP/1.1"
    assert b"\r\napi-key: sk-1\r\n" in azure.head(b"", b"", {})
    assert b"authorization" not in azure.head(b"", b"", {})


def test_azure_by_its_deployments() -> None:
    azure = endpoint("azure", url=DEPLOYMENTS, version="2024-10-21")
    prod = azure.of("prod-1")
    assert line_of(prod) == b"POST /openai/deployments/prod-1/chat/completions?api-version=2024-10-21 HTTP/1.1"
    other = azure.of("a b/../c?d=1#\u00e9")
    assert line_of(other).startswith(b"POST /openai/deployments/a%20b%2F..%2Fc%3Fd%3D1%23%C3%A9/chat/completions?")
    assert line_of(prod) != line_of(other)
    assert (prod.origin, prod.dialects, repr(prod)) == (azure.origin, azure.dialects, repr(azure))


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        (b"a=1", b"a=1&api-version=2024-10-21"),
        (b"api-version=2020-01-01", b"api-version=2024-10-21"),
        (b"a=1&API-Version=x&b", b"a=1&b&api-version=2024-10-21"),
        (b"api-version", b"api-version=2024-10-21"),
    ],
)
def test_the_configurations_version_goes_before_the_callers(query: bytes, sent: bytes) -> None:
    azure = endpoint("azure", url=DEPLOYMENTS, version="2024-10-21").of("m")
    assert line_of(azure, query) == b"POST /openai/deployments/m/chat/completions?%b HTTP/1.1" % sent


def test_foundrys_other_models() -> None:
    foundry = endpoint("azure-inference", url="https://x.services.ai.azure.com/models", version="2024-05-01-preview")
    head = foundry.head(b"/chat/completions", b"", {})
    assert head.startswith(b"POST /models/chat/completions?api-version=2024-05-01-preview HTTP/1.1\r\n")
    assert b"\r\nextra-parameters: pass-through\r\n" in head
    dropping = foundry.head(b"/chat/completions", b"", {b"extra-parameters": b"drop"})
    assert b"\r\nextra-parameters: drop\r\n" in dropping


def test_an_endpoint_knows_what_its_vendor_refuses() -> None:
    assert endpoint("openai").bends == {}
    assert not endpoint("mistral").bends["openai_chat"].asks_usage


def test_an_endpoint_knows_its_dialects() -> None:
    assert endpoint("openai").dialects == ("openai_chat", "openai_embeddings")
    assert endpoint("anthropic").dialects == ("anthropic_messages", "anthropic_count_tokens")


def test_a_deployment_of_a_model_nobody_knows() -> None:
    deployment = Deployment(endpoint("openai"), "m", 5.0)
    assert (deployment.id, deployment.facts) == ("up/m", ModelFacts())


def test_a_count_that_no_call_can_have_is_booked_as_what_is_plausible() -> None:
    record = Record("r", "chat", 0.0, 0.0, bytes_in=400)
    price = declared({"input": 1_000_000, "output": 10_000_000})
    deployment = Deployment(endpoint("openai"), "m", 5.0, ModelFacts(max_output_tokens=500), price=price)
    attempt = Attempt("up/m", 0.0, 0.0)
    deployment.book(record, attempt, Usage(7, MOST_GIVEN + 1))
    assert attempt.usage == Usage(7, 500, estimated=True, odd=True)
    assert attempt.cost == 7 * 1000 + 500 * 10_000
    deployment.book(record, attempt, Usage(MOST_TAKEN + 1, 3))
    assert attempt.usage == Usage(100, 3, estimated=True, odd=True)
    deployment.book(record, attempt, Usage(MOST_TAKEN, MOST_GIVEN))
    assert attempt.usage == Usage(MOST_TAKEN, MOST_GIVEN)
