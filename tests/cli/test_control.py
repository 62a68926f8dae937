"""How commands find the control plane of a running gateway, and what they may tell whom."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from penstock.admin.credential import FILE, load_admin_key
from penstock.cli.control import Control, find_control
from penstock.errors import ConfigError, PenstockError
from penstock.redact import Secret
from penstock.stores.lock import StateLock
from tests.end_to_end.process import Served

KEY = "psk_admin_0123456789abcdef"
ENV = {"PENSTOCK_ADMIN_KEY": KEY}


def test_the_states_lock_says_where_it_is(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        control = find_control(None, str(tmp_path / "penstock.yaml"), {})
        assert control.url == served.admin_url
        health = control.ask("GET", "/health")
        assert health["requests_in_flight"] == 0
        with pytest.raises(PenstockError) as told:
            control.ask("GET", "/nothing")
        assert (told.value.status, told.value.code) == (404, "not_found")
        with pytest.raises(PenstockError) as told:
            control._replace(key=Secret(KEY)).ask("GET", "/health")
        assert (told.value.status, told.value.code) == (401, "unauthenticated")
        assert "PENSTOCK_ADMIN_KEY" in told.value.do


def test_an_option_wins_over_the_environment_and_both_over_the_lock(tmp_path: Path) -> None:
    env = {**ENV, "PENSTOCK_ADMIN": "http://127.0.0.1:1111/"}
    config = str(tmp_path / "penstock.yaml")
    lock = StateLock(tmp_path)
    try:
        lock.tell("http://127.0.0.1:3333")
        assert find_control("https://gateway:2222", config, env).url == "https://gateway:2222"
        assert find_control(None, config, env).url == "http://127.0.0.1:1111"
        assert find_control(None, config, ENV).url == "http://127.0.0.1:3333"
    finally:
        lock.release()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://10.0.0.7:8485", "in clear"),
        ("http://gateway.example", "in clear"),
        ("ftp://127.0.0.1", "not a URL"),
        ("127.0.0.1:8485", "not a URL"),
        ("http://user:password@127.0.0.1:8485", "not a URL"),
        ("http://127.0.0.1:8485/api", "not a URL"),
        ("http://127.0.0.1:0", "not a URL"),
        ("http://127.0.0.1:99999", "not a URL"),
    ],
)
def test_what_is_no_place_for_the_admin_key_is_refused(tmp_path: Path, url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        find_control(url, str(tmp_path / "penstock.yaml"), ENV)
    assert KEY not in str(refused.value)


def test_where_no_gateway_runs_the_ways_out_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no gateway runs") as told:
        find_control(None, str(tmp_path / "penstock.yaml"), ENV)
    assert "--admin" in told.value.do
    lock = StateLock(tmp_path)
    try:
        with pytest.raises(PenstockError, match="has no control plane"):
            find_control(None, str(tmp_path / "penstock.yaml"), ENV)
    finally:
        lock.release()


def test_no_key_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no admin key"):
        find_control("http://127.0.0.1:8485", str(tmp_path / "penstock.yaml"), {})
    assert not (tmp_path / FILE).exists()
    made = load_admin_key({}, tmp_path)
    assert find_control("http://127.0.0.1:8485", str(tmp_path / "penstock.yaml"), {}).key == made.secret


def test_one_that_is_gone_is_told_by_its_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(PenstockError, match="cannot be reached") as told:
        Control(url, Secret(KEY), str(tmp_path)).ask("GET", "/health")
    assert url in told.value.message
    assert str(tmp_path) in told.value.do


def test_what_is_no_control_plane_is_told(tmp_path: Path) -> None:
    with Served(tmp_path) as served, pytest.raises(PenstockError) as told:
        Control(served.url, Secret(KEY)).ask("GET", "/health")
    assert told.value.status == 404
