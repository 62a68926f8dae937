"""A user's own rows: `providers/*.toml` beside the config file, and what is told of the ones that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from penstock.config.kinds import rows_of
from penstock.config.load import load_config
from penstock.config.naming import names_of
from penstock.config.parcel import decode_config, encode_config
from penstock.config.schema import Config
from penstock.config.yaml_file import open_config
from penstock.errors import ConfigError
from penstock.gateway import endpoint_of
from penstock.providers.catalogue import Row, load_catalogue

ACME = """\
name = "acme"
url = "https://api.acme.example/v1"
dialects = ["openai_chat"]
auth = "api-key"
env = "ACME_API_KEY"
models = ["anvil"]
billed = "input"

[headers]
up = ["x-acme-session"]

[[quirks]]
name = "system_role"
source = "https://acme.example/docs"
"""
ENV = {"ACME_API_KEY": "k-acme"}


def opened(tmp_path: Path, *, text: str = "auth: open\nproviders: {acme: {}}\n", **rows: str) -> Config:
    (tmp_path / "p.yaml").write_text(text)
    (tmp_path / "providers").mkdir(exist_ok=True)
    for name, row in rows.items():
        (tmp_path / "providers" / f"{name}.toml").write_text(row)
    return open_config(tmp_path / "p.yaml", ENV)


def problems(tmp_path: Path, text: str = "auth: open\nproviders: {sim: }\n", **rows: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, text=text, **rows)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).split("\n")]


def test_it_works_as_one_of_the_catalogues(tmp_path: Path) -> None:
    config = opened(tmp_path, acme=ACME)
    provider = config.providers["acme"]
    assert (provider.kind, provider.base_url) == ("acme", "https://api.acme.example/v1")
    head = endpoint_of(provider, rows_of(config)["acme"]).head(b"/chat/completions", b"", {b"x-acme-session": b"7"})
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\napi-key: k-acme\r\n" in head
    assert b"\r\nx-acme-session: 7\r\n" in head
    assert names_of(config).find("anvil").deployment == "acme/anvil"


def test_workers_get_it_with_the_configuration(tmp_path: Path) -> None:
    config = opened(tmp_path, acme=ACME)
    assert decode_config(encode_config(config)) == config
    assert rows_of(decode_config(encode_config(config)))["acme"] == rows_of(config)["acme"]


def test_it_goes_before_one_of_the_same_name(tmp_path: Path) -> None:
    row = ACME.replace('"acme"', '"mistral"')
    config = opened(tmp_path, text="auth: open\nproviders: {mistral: {}}\n", mistral=row)
    assert config.providers["mistral"].base_url == "https://api.acme.example/v1"
    assert load_catalogue()["mistral"].url == "https://api.mistral.ai/v1"


def test_one_that_needs_no_credential(tmp_path: Path) -> None:
    row = 'name = "acme"\nurl = "http://10.0.0.7/v1"\ndialects = ["openai_chat"]\n'
    assert opened(tmp_path, acme=row).providers["acme"].api_key is None


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("auth: open\nproviders: {sim: }\n")
    config = open_config(tmp_path / "p.yaml", {})
    assert config.kinds == {}
    assert rows_of(config) is load_catalogue()


def test_a_dict_reads_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path, acme=ACME)
    monkeypatch.chdir(tmp_path)
    assert load_config({"auth": "open", "providers": {"sim": {}}}, {}).kinds == {}
    assert load_config(None, {}).kinds == {}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("name = acme", ["providers/acme.toml:1:8: not valid TOML: Invalid value"]),
        ('name = "acme', ['providers/acme.toml:1:1: not valid TOML: Unterminated string']),
        (ACME + "url = 1\nurl = 2", ["providers/acme.toml:16:"]),
        ("", ["providers/acme.toml:1:1: dialects is missing", "providers/acme.toml:1:1: name is missing"]),
        (ACME.replace("auth", "auht"), [
            'providers/acme.toml:4:1: unknown key "auht" (did you mean "auth"?)']),
        (ACME.replace('"api-key"', '"basic"'), ["providers/acme.toml:4:1: auth: Invalid enum value 'basic'"]),
        (ACME.replace('["openai_chat"]', '"openai_chat"'), [
            'providers/acme.toml:3:1: dialects: Expected "array", got "str"']),
        (ACME.replace("up =", "upp ="), [
            'providers/acme.toml:10:1: headers: Object contains unknown field "upp"']),
        (ACME.replace('["x-acme-session"]', "[1]"), ['providers/acme.toml:10:1: headers: Expected "str", got "int"']),
        (ACME.replace("source =", "  sauce ="), [
            'providers/acme.toml:14:3: quirks: Object contains unknown field "sauce"']),
        (ACME.replace('name = "acme"', 'name = "acmes"'), [
            'providers/acme.toml:1:1: the file of kind "acmes" is called "acmes.toml"']),
        (ACME.replace('"x-acme-session"', '"cookie"'), [
            'providers/acme.toml:9:1: "cookie" never passes: it says who calls, or whose account pays']),
        (ACME.replace("https://api.acme", "api.acme") + 'x = 1\n', [
            'providers/acme.toml:15:1: quirks: Object contains unknown field "x"']),
        (ACME + "#" * 70_000, ["providers/acme.toml:1:1: is too large for a row of the catalogue"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, row: str, expected: list[str]) -> None:
    found = problems(tmp_path, acme=row)
    assert len(found) == len(expected), found
    assert all(line.startswith(start) for line, start in zip(sorted(found), expected, strict=True)), found


def test_all_that_is_wrong_is_told_at_once_file_by_file(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "auth: open\nproviders: {acme: {api_key: 3}}\nnonsense: 1\n",
        acme=ACME.replace('"api-key"', '"basic"').replace("billed", "bild"),
        other=ACME.replace("system_role", "sistem_role"),
    )
    places = [line.partition(": ")[0] for line in found]
    assert places == [
        "p.yaml:2:29", "p.yaml:3:1",
        "providers/acme.toml:4:1", "providers/acme.toml:7:1", "providers/other.toml:1:1", "providers/other.toml:12:1",
    ]  # fmt: skip
    assert not any("unknown kind" in line for line in found)


ODD = (
    "1",
    "1.5",
    "true",
    '""',
    '"x"',
    '"a b\\u0000"',
    "[]",
    "[1]",
    '["x"]',
    "[[]]",
    "{}",
    "{x = 1}",
    "[{}]",
    "2024-10-21",
)


@pytest.mark.parametrize("key", [field.name for field in msgspec.structs.fields(Row)])
@pytest.mark.parametrize("value", ODD)
def test_whatever_is_written_is_a_row_or_told_with_its_file(tmp_path: Path, key: str, value: str) -> None:
    lines = [line for line in ACME.partition("\n[headers]")[0].split("\n") if not line.startswith(f"{key} =")]
    told = ""
    try:
        opened(tmp_path, text="auth: open\nproviders: {sim: }\n", acme="\n".join([*lines, f"{key} = {value}"]))
    except ConfigError as error:
        told = str(error)
    assert all("/providers/acme.toml:" in line for line in told.splitlines())


def test_nobody_runs_inside_penstock_but_sim(tmp_path: Path) -> None:
    inside = 'name = "acme"\nin_process = true\ndialects = ["openai_chat"]\n'
    assert "would run inside Penstock" in problems(tmp_path, acme=inside)[0]
    assert "would run inside Penstock" in problems(tmp_path, sim=ACME.replace('"acme"', '"sim"'))[0]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "a.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "providers" / "b.toml").mkdir()
    found = problems(tmp_path)
    assert found == [
        "providers/a.toml:1:1: cannot be read: not valid UTF-8",
        "providers/b.toml:1:1: cannot be read: Is a directory",
    ]


def test_it_is_shown_nowhere_with_a_secret(tmp_path: Path) -> None:
    assert "k-acme" not in json.dumps(repr(opened(tmp_path, acme=ACME)))
