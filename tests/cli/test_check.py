"""`penstock check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import penstock

GOOD = """\
providers:
  openai: {api_key: env:OPENAI_API_KEY}
  anthropic: {api_key: "env:NOPE?"}
models:
  fast: {targets: [openai/gpt-5-mini]}
  smart: {targets: [anthropic/claude-sonnet-4-5]}
keys:
  - {name: app, key: env:APP_KEY}
"""
ENV = {"OPENAI_API_KEY": "sk-hidden", "APP_KEY": "pk-hidden-0123456789"}
WARNING = 'warning: model "smart" cannot be asked for: the provider "anthropic" is switched off: NOPE is not set\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "penstock.yaml").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["penstock.yaml"]])
def test_a_good_one(folder: Path, arguments: list[str]) -> None:
    ran = penstock(folder, "check", *arguments, env=ENV)
    assert ran.code == 0
    assert ran.err == f"penstock.yaml:6:3: {WARNING}"
    assert ran.out == (
        "penstock.yaml: good\n  providers  openai\n  off        anthropic (NOPE is not set)\n"
        "  models     fast, smart\n  keys       app\n"
    )
    assert [path.name for path in folder.iterdir()] == ["penstock.yaml"]


def test_what_holds_is_counted(folder: Path) -> None:
    held = "limits: [{scope: tenant, requests: 5/s, tokens: 5k/s}]\nbudgets: [{scope: request, limit: 20k tokens}]\n"
    (folder / "held.yaml").write_text(GOOD + held)
    assert penstock(folder, "check", "held.yaml", env=ENV).out.endswith("  holds      2 limits, 1 budget\n")


def test_a_key_that_has_expired_is_doubted(folder: Path) -> None:
    ends = GOOD.replace("key: env:APP_KEY}", "key: env:APP_KEY, expires: 2020-01-31}")
    (folder / "old.yaml").write_text(ends)
    ran = penstock(folder, "check", "old.yaml", env=ENV)
    assert ran.code == 0
    assert ran.err.splitlines()[1] == 'old.yaml:8: warning: key "app" has expired: it is not known any more'
    (folder / "old.yaml").write_text(ends.replace("2020", "2120"))
    assert "expired" not in penstock(folder, "check", "old.yaml", env=ENV).err


def test_one_named_by_the_environment(folder: Path) -> None:
    (folder / "penstock.yaml").rename(folder / "other.yaml")
    ran = penstock(folder, "check", env={**ENV, "PENSTOCK_CONFIG": "other.yaml"})
    assert ran.code == 0
    assert ran.out.startswith("other.yaml: good\n")


def test_what_is_wrong(folder: Path) -> None:
    (folder / "bad.yaml").write_text(GOOD.replace("fast:", "fast :").replace("models: ", "modles: ") + "modles: {}\n")
    ran = penstock(folder, "check", "bad.yaml", env={"OPENAI_API_KY": "sk-hidden"})
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err == (
        'bad.yaml:2:21: OPENAI_API_KEY is not set in the environment (did you mean "OPENAI_API_KY"?)\n'
        "bad.yaml:8:22: APP_KEY is not set in the environment\n"
        'bad.yaml:9:1: unknown key "modles" (did you mean "models"?)\n'
    )
    missing = penstock(folder, "check", "no.yaml")
    assert (missing.code, missing.err) == (2, "no.yaml: cannot be read: No such file or directory\n")


def test_resolved(folder: Path) -> None:
    ran = penstock(folder, "check", "--resolved", env=ENV)
    assert ran.code == 0
    assert "hidden" not in ran.out + ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "# penstock.yaml, resolved"
    assert any(
        line.startswith("    api_key: env:OPENAI_API_KEY ")
        and line.endswith("# penstock.yaml:2:21, the variable OPENAI_API_KEY")
        for line in lines
    )
    (folder / "again.yaml").write_text(ran.out)
    again = penstock(folder, "check", "again.yaml", env=ENV)
    assert again.code == 0
    assert again.out.removeprefix("again") == penstock(folder, "check", env=ENV).out.removeprefix("penstock")


def test_without_a_file(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "check", env=ENV)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "(built in): good\n  providers  openai, sim\n  models     none\n  keys       none, auth: open\n"


def test_schema_needs_no_file(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "check", "--schema")
    assert (ran.code, ran.err) == (0, "")
    schema = json.loads(ran.out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "openai" in schema["$defs"]["provider"]["properties"]["kind"]["examples"]
