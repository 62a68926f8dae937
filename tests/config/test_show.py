"""What is shown of a configuration: everything but the secrets."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.config.guards import is_loopback, with_addresses
from penstock.config.load import load_config
from penstock.config.schema import Address
from penstock.config.show import describe
from penstock.config.values import count, duration, duration_text, size, size_text
from penstock.errors import ConfigError

ENV = {"APP_KEY": "pk-hidden", "OPENAI_API_KEY": "sk-hidden"}
SOURCE = {
    "providers": {"openai": {}, "sim": {}, "gone": {"kind": "openai", "api_key": "env:GONE?"}},
    "models": {"fast": {"targets": ["openai/gpt-5"], "timeouts": {"connect": "250ms", "total": "90s"}}},
    "defaults": {"default_max_output": "16k"},
    "keys": [{"name": "app", "key": "env:APP_KEY", "user": "trusted"}],
}


def test_describe() -> None:
    timeouts = {"connect": "5s", "first_token": "auto", "idle": "auto", "total": None, "attempt": "auto"}
    url = "https://api.openai.com/v1"
    assert describe(load_config(SOURCE, ENV)) == {
        "source": "(a mapping)",
        "server": {
            "listen": "127.0.0.1:8484",
            "admin": "127.0.0.1:8485",
            "workers": 1,
            "drain": "60s",
            "max_body": "32MiB",
            "idle": "75s",
            "keepalive": "15s",
        },
        "providers": {
            "openai": {"kind": "openai", "base_url": url, "api_key": "*** (env:OPENAI_API_KEY)"},
            "sim": {"kind": "sim"},
            "gone": {"kind": "openai", "base_url": url, "api_key": "none", "off": "GONE is not set"},
        },
        "models": {
            "fast": {
                "targets": ["openai/gpt-5"],
                "timeouts": timeouts | {"connect": "250ms", "total": "90s"},
                "default_max_output": 16_000,
            },
        },
        "default_model": None,
        "defaults": {
            "strategy": "ordered",
            "timeouts": timeouts,
            "retry": {
                "max_attempts": 3,
                "max_total": 6,
                "base": "50ms",
                "throttle_base": "1s",
                "max_wait": "20s",
            },
            "breaker": {
                "failures": 5,
                "ratio": 0.5,
                "minimum": 20,
                "window": "30s",
                "open": "5s",
                "max_open": "20s",
                "calm": "5m",
                "successes": 3,
                "slow": "off",
            },
            "concurrency": {"most": "auto", "queue": 1000},
            "hedge": "off",
            "fallback": "off",
            "on_stream_cut": "error",
            "on_failure": "error",
            "rehearse": "off",
            "default_max_output": 16_000,
            "untranslatable": "refuse",
            "unknown_price": "flag",
        },
        "auth": "required",
        "keys": [
            {
                "name": "app",
                "key": "*** (env:APP_KEY)",
                "tenant": None,
                "project": None,
                "models": None,
                "user": "trusted",
                "overrides": None,
            }
        ],
        "state": f"sqlite:///{Path('penstock.db').absolute()}",
        "log": {"to": "stdout", "content": "none"},
    }


def test_no_secret_is_in_what_is_shown() -> None:
    config = load_config(SOURCE, ENV)
    shown = msgspec.json.encode(describe(config)).decode() + repr(config) + str(config)
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("written", "seconds", "shown"),
    [
        ("250ms", 0.25, "250ms"),
        ("1.5s", 1.5, "1500ms"),
        ("60s", 60.0, "60s"),
        ("120s", 120.0, "2m"),
        ("2h", 7200.0, "2h"),
        ("7d", 604800.0, "7d"),
        ("0s", 0.0, "0s"),
    ],
)
def test_durations(written: str, seconds: float, shown: str) -> None:
    assert duration(written) == pytest.approx(seconds)
    assert duration_text(seconds) == shown


@pytest.mark.parametrize(("written", "count"), [("64KiB", 65536), ("32MiB", 33554432), ("2GiB", 2**31), ("7B", 7)])
def test_sizes(written: str, count: int) -> None:
    assert size(written) == count
    assert size_text(count) == written


@pytest.mark.parametrize(("written", "number"), [(8192, 8192), ("8192", 8192), ("64k", 64_000), ("1M", 1_000_000)])
def test_counts(written: object, number: int) -> None:
    assert count(written) == number


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil", "127.0.0.1.nip.io", "", "*"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_addresses_from_the_command_line() -> None:
    config = load_config(None, {})
    changed = with_addresses(config, listen=Address("127.0.0.1", 0))
    assert (str(changed.server.listen), str(changed.server.admin)) == ("127.0.0.1:0", "127.0.0.1:8485")
    with pytest.raises(ConfigError) as caught:
        with_addresses(config, listen=Address("0.0.0.0", 80), admin=Address("0.0.0.0", 81))
    lines = str(caught.value).split("\n")
    assert lines[0].startswith("(built in): auth: open is for loopback addresses, and 0.0.0.0:80 is none: write auth: ")
    assert lines[1].startswith("(built in): the admin address 0.0.0.0:81 can be reached")
