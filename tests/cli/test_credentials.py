"""`penstock credentials`, on a gateway that runs and on the state where none does: what is stored pays at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Ran, penstock
from tests.end_to_end.process import Served

CONFIG = """auth: open
providers: {up: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: "store:up"}, sim: {}}
models: {fast: {targets: [up/small]}}
state: sqlite:///penstock.db
"""
VALUE = "sk-up-0123456789abcdefWXYZ"


@pytest.fixture(params=["file", "gateway"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    if request.param == "file":
        yield tmp_path
        return
    with Served(tmp_path):
        yield tmp_path


def run(folder: Path, *arguments: str, code: int = 0, **env: str) -> Ran:
    ran = penstock(folder, "credentials", *arguments, env=env)
    assert ran.code == code, ran
    return ran


def told(folder: Path, *arguments: str, **env: Any) -> Any:
    return json.loads(run(folder, *arguments, "--json", **env).out)


def test_one_is_stored_changed_and_removed(place: Path) -> None:
    assert "There are no credentials" in run(place, "list").out
    assert (
        run(place, "set", "up", "--from-env", "UP_KEY", UP_KEY=VALUE).out
        == "The credential up is stored. It pays up.\n"
    )
    (one,) = told(place, "list")
    assert (one["name"], one["last_four"], one["providers"]) == ("up", "WXYZ", ["up"])
    assert told(place, "set", "up", "--from-env", "UP_KEY", UP_KEY="sk-other-0123456789ABCD")["last_four"] == "ABCD"
    assert "Use it: api_key: store:other" in run(place, "set", "other", "--from-env", "UP_KEY", UP_KEY=VALUE).out
    assert run(place, "remove", "up").out == "The credential up is forgotten.\n"
    assert [each["name"] for each in told(place, "list")] == ["other"]
    for file in place.rglob("*"):
        assert not file.is_file() or VALUE.encode() not in file.read_bytes(), file


def test_what_cannot_be_stored(place: Path) -> None:
    assert "MISSING is not set" in run(place, "set", "up", "--from-env", "MISSING", code=2).err
    assert "name" in run(place, "set", "a b", "--from-env", "UP_KEY", code=2, UP_KEY=VALUE).err
    assert "no credential" in run(place, "remove", "nobody", code=1).err


def test_a_provider_is_on_as_soon_as_its_credential_is_there(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    with Served(tmp_path) as served:
        assert "no credential 'up'" in served.told.text
        run(tmp_path, "set", "up", "--from-env", "UP_KEY", UP_KEY=VALUE)
        served.told.wait_for(lambda lines: any("reloaded: " in line for line in lines))
        assert VALUE not in served.told.text
