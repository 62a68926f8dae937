"""Which credential a request goes with."""

from __future__ import annotations

import pytest

from penstock.config.schema import Provider
from penstock.errors import Unauthenticated
from penstock.gateway import endpoint_of
from penstock.messages import Caller
from penstock.providers.auth import Scheme
from penstock.providers.catalogue import load_catalogue
from penstock.providers.deployment import Deployment, Endpoint
from penstock.providers.payment import CallersOwn


def endpoint(kind: str = "openai", url: str = "http://h/v1", version: str = "") -> Endpoint:
    provider = Provider(name="up", kind=kind, base_url=url, api_version=version)
    return endpoint_of(provider, load_catalogue()[kind])


def head(deployment: Deployment) -> bytes:
    return deployment.endpoint.head(b"/chat/completions", b"", {})


def test_each_credential_is_a_deployment_of_its_own_where_the_path_names_the_model() -> None:
    base = endpoint("azure", "http://h/openai/deployments/{model}", "2024-10-21")
    plain = Deployment(base.of("m/1"), "m/1", 1.0)
    for name in ("a", "b"):
        made = plain.at(base.carrying({"api-key": name}, name))
        sent = head(made)
        assert (made.id, made.connect) == (f"up/m/1#{name}", 1.0)
        assert sent.startswith(b"POST /openai/deployments/m%2F1/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n")
        assert sent.count(b"api-key: ") == 1
        assert b"api-key: %b\r\n" % name.encode() in sent
    assert plain.id == "up/m/1"
    assert b"api-key" not in head(plain)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "azure", "gemini", "groq"])
def test_the_callers_own_goes_where_the_provider_wants_it(kind: str) -> None:
    scheme = load_catalogue()[kind].auth
    caller = Caller({b"x-penstock-key": b"psk"}, b"", "psk")
    caller.provider_credential = "own-1"
    plain = Deployment(endpoint(kind), "m", 5.0)
    sent = head(CallersOwn(scheme, keyless=False).paid(plain, caller))
    name = {"bearer": b"authorization: Bearer ", "x-api-key": b"x-api-key: ", "api-key": b"api-key: "}[scheme]
    assert name + b"own-1\r\n" in sent
    assert b"psk" not in sent


@pytest.mark.parametrize("own", ["", "a b", "a\r\nx: y", "a\x00", "é", "\x7f"])
@pytest.mark.parametrize("scheme", ["bearer", "x-api-key"])
def test_what_cannot_be_a_credential_is_never_put_into_a_header(scheme: Scheme, own: str) -> None:
    caller = Caller()
    caller.provider_credential = own
    with pytest.raises(Unauthenticated):
        CallersOwn(scheme, keyless=False).paid(Deployment(endpoint(), "m", 5.0), caller)


@pytest.mark.parametrize(("keyless", "headers"), [(False, {}), (True, {b"x-penstock-key": b"psk"})])
def test_a_key_of_penstocks_is_never_taken_for_the_providers(keyless: bool, headers: dict[bytes, bytes]) -> None:
    caller = Caller(headers, b"", "psk")
    with pytest.raises(Unauthenticated, match="none came"):
        CallersOwn("bearer", keyless=keyless).paid(Deployment(endpoint(), "m", 5.0), caller)


def test_nothing_prints_a_credential() -> None:
    caller = Caller({}, b"", "own-secret")
    paid = CallersOwn("bearer", keyless=True).paid(Deployment(endpoint(), "m", 5.0), caller)
    assert "own-secret" not in repr(paid) + repr(paid.endpoint) + paid.id
