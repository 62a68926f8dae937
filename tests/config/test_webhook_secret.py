"""A webhook's secret is looked at when the configuration is loaded, and never shown."""

from __future__ import annotations

from base64 import b64encode

import pytest

from penstock.config.load import load_config
from penstock.errors import ConfigError

GOOD = "whsec_" + b64encode(b"x" * 32).decode()


def load(secret: str) -> None:
    load_config(
        {
            "auth": "open",
            "providers": {"sim": {}},
            "alerts": {"webhook": {"url": "https://hooks.example.com/x", "secret": "env:HOOK"}},
        },
        {"HOOK": secret},
    )


def test_one_and_two_while_it_is_replaced() -> None:
    load(GOOD)
    load(f"{GOOD},whsec_{b64encode(b'y' * 24).decode()}")


@pytest.mark.parametrize(
    "secret", ["", " ", "whsec_", "a text that is long enough but no secret", f"{GOOD},whsec_AAAA"]
)
def test_an_empty_or_weak_one_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(secret)
    assert "HOOK" in str(refused.value)
    assert "long enough but" not in str(refused.value)
    assert GOOD not in str(refused.value)
