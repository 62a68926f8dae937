"""A gateway process of each kind for the whole session, and the ways through them."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.end_to_end.certificates import Authority
from tests.end_to_end.process import Served
from tests.end_to_end.providers import Provider
from tests.end_to_end.ways import APP_KEY, ENV, UP_KEY, Way, configure


@pytest.fixture(scope="session")
def sim_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway without a key, as it is without a config but for retries: each failure is seen as it is said."""
    folder = tmp_path_factory.mktemp("sim")
    (folder / "penstock.yaml").write_text(
        "{auth: open, providers: {sim: {}}, default_model: sim/small, defaults: {retry: off, breaker: off}}\n"
    )
    with Served(folder) as served:
        yield served
        assert served.stop() == 0
        assert "Traceback" not in served.told.text


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with Provider(UP_KEY) as provider:
        yield provider


@pytest.fixture(scope="session")
def tls_provider(authority: Authority) -> Iterator[Provider]:
    with Provider(UP_KEY, authority.server_context()) as provider:
        yield provider


@pytest.fixture(scope="session")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, provider: Provider, tls_provider: Provider, authority: Authority
) -> Iterator[Served]:
    """A gateway with a config: keys, and providers behind sockets."""
    folder = tmp_path_factory.mktemp("configured")
    configure(folder, provider, tls_provider, authority)
    with Served(folder, env=ENV) as served:
        yield served
        assert served.stop() == 0
        assert "Traceback" not in served.told.text
        for secret in ENV.values():
            assert secret not in served.told.text
            assert secret not in served.log.text


@pytest.fixture(scope="session", params=["sim", "openai", "tls", "anthropic"])
def way(request: pytest.FixtureRequest) -> Way:
    """Of OpenAI's client."""
    return _way(request)


@pytest.fixture
def client(way: Way) -> Iterator[openai.OpenAI]:
    with way.client() as client:
        yield client


@pytest.fixture(scope="session", params=["sim", "anthropic", "openai"])
def path(request: pytest.FixtureRequest) -> Way:
    """Of Anthropic's client."""
    return _way(request)


@pytest.fixture
def claude(path: Way) -> Iterator[anthropic.Anthropic]:
    with path.claude() as client:
        yield client


def _way(request: pytest.FixtureRequest) -> Way:
    if request.param == "sim":
        return Way(request.getfixturevalue("sim_gateway"), "sim/", "unused", None)
    gateway = request.getfixturevalue("gateway")
    if request.param == "tls":
        return Way(gateway, "safe/", APP_KEY, request.getfixturevalue("tls_provider"))
    prefix = {"openai": "up/", "anthropic": "claude/"}[request.param]
    return Way(gateway, prefix, APP_KEY, request.getfixturevalue("provider"))
