"""What `server:` says of the network around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.schema import Tls
from penstock.config.show import describe
from penstock.errors import ConfigError


def load(server: dict[str, Any], **more: Any) -> Any:
    return load_config({"auth": "open", "providers": {"sim": {}}, "server": server, **more}, {})


def test_all_of_it_is_read_and_shown(tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    written = {
        "hosts": ["gateway.example", "*.below.example"],
        "trusted_proxies": ["10.0.0.7", "fd00::/8"],
        "cors": ["https://app.example"],
        "tls": {"cert": str(pem), "key": str(pem)},
        "max_connections": 500,
    }
    config = load(written)
    assert config.server.trusted_proxies == ("10.0.0.7/32", "fd00::/8")
    assert config.server.tls == Tls(str(pem), str(pem))
    shown: Any = describe(config)["server"]
    assert {name: shown[name] for name in written} == {**written, "trusted_proxies": ["10.0.0.7/32", "fd00::/8"]}


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"hosts": ["a:80"]}, "is not a host"),
        ({"hosts": ["*"]}, "is not a host"),
        ({"hosts": "a"}, "a list is expected"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "is not an address or a network"),
        ({"trusted_proxies": [7]}, "is not an address or a network"),
        ({"cors": ["https://app.example/"]}, "is not an origin"),
        ({"cors": ["null"]}, "is not an origin"),
        ({"cors": ["*"]}, "lets any web page"),
        ({"tls": {"cert": "a.pem"}}, "tls needs key"),
        ({"tls": {"cert": "gone.pem", "key": "gone.pem"}}, "cannot be read"),
        ({"max_connections": 0}, "max_connections is a number"),
        ({"max_connections": True}, "max_connections is a number"),
    ],
)
def test_what_is_wrong_is_said(server: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load(server)


def test_what_stands_elsewhere_is_told_its_place() -> None:
    with pytest.raises(ConfigError, match="it stands under server"):
        load({}, hosts=["a"])
