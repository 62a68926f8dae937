"""`penstock serve`: where it finds its configuration, what it refuses, and what it says."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.running import penstock
from tests.end_to_end.process import PENSTOCK, Served, environment

KEYS = """\
providers: {sim: {}}
models: {fast: {targets: [sim/small]}}
default_model: sim/large
keys:
  - {name: narrow, key: "env:NARROW_KEY", models: [fast]}
  - {name: app, key: "env:APP_KEY", models: ["sim/*"]}
"""
OPEN = "auth: open\nproviders: {sim: {}}\nmodels: {%s: {targets: [sim/small]}}\n"
ENV = {"NARROW_KEY": "psk_narrow_0123456789abcdef", "APP_KEY": "psk_app_0123456789abcdef"}
SECRET_WORDS = "a word that nobody else says"


def models(served: Served, key: str = "") -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"} if key else {})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return [model["id"] for model in answer["data"]]


def chat(served: Served, text: str = "Hello", key: str = "", **more: object) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    body = json.dumps({"model": "sim/small", "messages": [{"role": "user", "content": text}], **more})
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    connection.request("POST", "/v1/chat/completions", body, headers)
    answer = connection.getresponse()
    decoded = json.loads(answer.read())
    connection.close()
    return answer.status, decoded


# --- where the configuration is


def test_without_one(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        assert "config: (built in)" in served.told.text
        assert models(served) == ["sim/small", "sim/large", "sim/embed"]
        assert served.stop() == 0
    # What is kept, and nothing of it for anybody else to read.
    kept = {path.name for path in tmp_path.iterdir()}
    assert {"penstock.admin-key", "penstock.secret", "penstock.db"} <= kept
    assert {name for name in kept if not name.startswith("penstock.")} == set()
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.iterdir()} == {0}


def test_the_environment_does_not_lead_elsewhere(tmp_path: Path) -> None:
    """Only a vendor's own variable switches it on, and nothing moves its address."""
    env = {"OPENAI_API_KEY": "sk-0123456789", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "GITHUB_TOKEN": "ghp_1"}
    with Served(tmp_path, env=env) as served:
        assert models(served) == ["sim/small", "sim/large", "sim/embed"]
        assert "sk-0123456789" not in served.told.text


def test_the_file_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(OPEN % "here")
    with Served(tmp_path) as served:
        assert "config: penstock.yaml" in served.told.text
        assert models(served)[0] == "here"


def test_the_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(OPEN % "here")
    (tmp_path / "other.yaml").write_text(OPEN % "other")
    (tmp_path / "third.yaml").write_text(OPEN % "third")
    env = {"PENSTOCK_CONFIG": "other.yaml"}
    with Served(tmp_path, env=env) as served:
        assert models(served)[0] == "other"
    with Served(tmp_path, "--config", "third.yaml", env=env) as served:
        assert models(served)[0] == "third"


def test_state_lies_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "penstock.yaml").write_text(OPEN % "here")
    with Served(tmp_path, "--config", "etc/penstock.yaml"):
        assert (folder / "penstock.admin-key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etc"]


# --- what it refuses


def test_a_wrong_config(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders:\n  sim: {}\n  up: {kind: opnai}\nmodls: {}\n")
    ran = penstock(tmp_path, "serve")
    assert ran.code == 2
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert len(lines) == 2
    assert all(re.match(r"penstock\.yaml:\d+:\d+: \S", line) for line in lines)
    assert lines[0].startswith("penstock.yaml:4:14: ")
    assert 'did you mean "openai"?' in lines[0]
    assert lines[1].startswith("penstock.yaml:5:1: ")


DOUBTFUL = """\
providers: {sim: {}, openai: {api_key: "env:NOPE?"}}
auth: open
models:
  lost: {targets: [openai/x]}
"""


def test_what_can_never_be_reached(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(DOUBTFUL)
    with Served(tmp_path) as served:
        warning = 'penstock.yaml:4:3: warning: model "lost" cannot be asked for: the provider "openai" is switched off'
        assert warning in served.told.text
        assert served.stop() == 0
        assert served.told.text.count("warning") == 1


@pytest.mark.parametrize("option", [True, False])
def test_a_config_that_is_not_there(tmp_path: Path, option: bool) -> None:
    arguments, env = (["--config", "nope.yaml"], {}) if option else ([], {"PENSTOCK_CONFIG": "nope.yaml"})
    ran = penstock(tmp_path, "serve", *arguments, env=env)
    assert ran.code == 2
    assert "nope.yaml: cannot be read: No such file or directory" in ran.err


def test_an_unset_secret(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(KEYS)
    ran = penstock(tmp_path, "serve", env={"APP_KEY": "psk_app_0123456789"})
    assert ran.code == 2
    assert ran.err.startswith("penstock.yaml:5:")
    assert "NARROW_KEY" in ran.err


def test_a_ca_file_without_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing of the kind\n")
    (tmp_path / "penstock.yaml").write_text(
        "auth: open\n"
        "providers: {up: {kind: openai, base_url: https://127.0.0.1:1/v1, api_key: none, ca_file: ca.pem}}\n"
    )
    ran = penstock(tmp_path, "serve", "--port", "0", "--admin-port", "0")
    assert ran.code == 2
    assert "ca.pem" in ran.err


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(OPEN % "here" + "log: {to: nowhere/requests.log}\n")
    ran = penstock(tmp_path, "serve", "--port", "0", "--admin-port", "0")
    assert ran.code == 2
    assert "requests.log: the log cannot be written there: No such file or directory" in ran.err


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_that_is_taken(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--admin-port" if option == "--port" else "--port"
        ran = penstock(tmp_path, "serve", option, port, other, "0")
    assert ran.code == 1
    assert ran.out == ""
    told, do = ran.err.splitlines()
    assert told.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "in use" in told
    assert f"{option}." in do


def test_a_limit_of_open_files_that_serves_nobody(tmp_path: Path) -> None:
    command = f"ulimit -n 40; exec {shlex.join(PENSTOCK)} serve --port 0 --admin-port 0"
    ran = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2
    told, do = ran.stderr.splitlines()
    assert told == "this process may open 40 files, too few to serve anybody"
    assert "ulimit" in do


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "serve", "--host", "192.0.2.1", "--port", "0", "--config", _with_keys(tmp_path), env=ENV)
    assert ran.code == 2
    assert "cannot listen on 192.0.2.1:0" in ran.err


def test_an_open_gateway_for_everybody(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert ran.code == 2
    # The line that makes a key, to be copied.
    assert "auth: required and keys: [{name: app, key: env:APP_KEY}]" in ran.err


def test_a_control_plane_for_everybody(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "serve", "--admin-host", "0.0.0.0", "--port", "0")
    assert ran.code == 2
    assert "the admin address 0.0.0.0:8485 can be reached from other machines" in ran.err


def test_keys_open_it_for_everybody(tmp_path: Path) -> None:
    with Served(tmp_path, "--host", "0.0.0.0", "--config", _with_keys(tmp_path), env=ENV) as served:
        assert served.base_url.startswith("http://127.0.0.1:")
        assert models(served, ENV["NARROW_KEY"]) == ["fast"]
        assert chat(served)[0] == 401


@pytest.mark.parametrize("number", ["0", "257", "many"])
def test_a_wrong_number_of_workers(tmp_path: Path, number: str) -> None:
    ran = penstock(tmp_path, "serve", "--workers", number)
    assert ran.code == 2
    assert "--workers" in ran.err


# --- what it says


@pytest.mark.parametrize("keys", [False, True])
def test_the_printed_curl_line_works(tmp_path: Path, keys: bool) -> None:
    arguments = ["--config", _with_keys(tmp_path)] if keys else []
    with Served(tmp_path, *arguments, env=ENV if keys else {}) as served:
        line = served.told.text.splitlines()[-1].strip()
        assert line.startswith("curl ")
        for secret in ENV.values():
            assert secret not in line
        if shutil.which("curl") is None:
            pytest.skip("there is no curl here")
        env = environment(**ENV, NO_PROXY="*")
        done = subprocess.run(["sh", "-c", f"{line} -sS -m 10"], env=env, capture_output=True, check=True)
        answer = json.loads(done.stdout)
        assert answer["choices"][0]["message"]["content"]
        assert served.line(id=_id_of(served))["model"] == ("fast" if keys else "sim/small")


def test_the_curl_line_finds_a_key_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "a key"
    secret.write_text("psk_file_0123456789abcdef\n")
    secret.chmod(0o600)
    config = tmp_path / "penstock.yaml"
    config.write_text('providers: {sim: {}}\nkeys: [{name: app, key: "file:a key", models: ["sim/*"]}]\n')
    with Served(tmp_path) as served:
        line = served.told.text.splitlines()[-1].strip()
        assert "psk_file" not in served.told.text
        if shutil.which("curl") is None:
            pytest.skip("there is no curl here")
        env = environment(NO_PROXY="*")
        done = subprocess.run(["sh", "-c", f"{line} -sS -m 10"], cwd=tmp_path, env=env, capture_output=True, check=True)
        assert json.loads(done.stdout)["choices"]


def test_the_log_is_json_without_content_or_secrets(tmp_path: Path) -> None:
    with Served(tmp_path, "--config", _with_keys(tmp_path), env=ENV) as served:
        status, _ = chat(served, SECRET_WORDS, ENV["APP_KEY"], user="somebody")
        assert status == 200
        assert chat(served, SECRET_WORDS, "psk_unknown_secret")[0] == 401
        assert chat(served, SECRET_WORDS, ENV["NARROW_KEY"])[0] == 403
        assert chat(served, SECRET_WORDS, ENV["APP_KEY"], model="sim/small:status=500")[0] == 500
        assert chat(served, SECRET_WORDS, ENV["APP_KEY"], messages=SECRET_WORDS)[0] == 400
        assert served.stop() == 0
        lines = served.lines  # every one of them decodes
        assert [line["status"] for line in lines] == [200, 401, 403, 500, 400]
        assert lines[0]["key"] == "app"
        assert lines[0]["tokens"]["input"] > 0
        assert len({line["id"] for line in lines}) == 5
        for unsaid in (SECRET_WORDS, "nobody", "psk_", *ENV.values()):
            assert unsaid not in served.log.text
            assert unsaid not in served.told.text


def test_a_log_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(OPEN % "here" + "log: {to: requests.log}\n")
    for _ in range(2):
        with Served(tmp_path) as served:
            assert chat(served)[0] == 200
            assert served.stop() == 0
            assert served.log.text == ""
    lines = (tmp_path / "requests.log").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == [200, 200]
    assert (tmp_path / "requests.log").stat().st_mode & 0o007 == 0


def test_nobody_reads_the_log(tmp_path: Path) -> None:
    """A log pipe whose reader is gone costs the log, not the service."""
    read, write = os.pipe()
    os.close(read)
    process = Served(tmp_path, stdout=write)
    os.close(write)
    with process as served:
        for _ in range(3):
            assert chat(served)[0] == 200
        assert served.stop() == 0


def _with_keys(folder: Path) -> str:
    (folder / "keys.yaml").write_text(KEYS)
    return "keys.yaml"


def _id_of(served: Served) -> object:
    return served.log.wait_for(lambda lines: json.loads(lines[-1])["id"] if lines else None)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_all_addresses_are_those_of_both_families(tmp_path: Path, workers: str) -> None:
    (tmp_path / "penstock.yaml").write_text(f"{KEYS}server: {{listen: '[::]:0'}}\n")
    with Served(tmp_path, "--workers", workers, env=ENV) as served:
        assert served.base_url == f"http://127.0.0.1:{served.port}/v1"
        for host in ("127.0.0.1", "::1"):
            connection = http.client.HTTPConnection(host, served.port, timeout=10)
            connection.request("POST", "/v1/chat/completions", "{}", {"content-type": "application/json"})
            assert connection.getresponse().status == 401
            connection.close()
            served.line(status=401, address=host)
        assert served.stop() == 0
