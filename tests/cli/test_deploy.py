"""What lies in deploy/ fits the program: systemd's unit, the image, the compose file; and the commands in it run."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from penstock.cli.serve import command
from penstock.config.schema import Server
from penstock.config.values import duration
from penstock.config.yaml_file import open_config
from penstock.server.systemd import CLOSE_SECONDS
from tests.end_to_end.process import SECONDS, Served, environment

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KEYS = {"APP_KEY": "psk_test_0123456789abcdef", "PENSTOCK_ADMIN_KEY": "psk_admin_0123456789abcdef"}
STORE = "DATABASE_URL"


def unit() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(DEPLOY / "penstock.service")
    return parsed


def compose() -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe", pure=True).load((DEPLOY / "compose.yaml").read_text())
    return read


def dockerfile() -> list[tuple[str, str]]:
    """The last stage's instructions and their arguments."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    steps = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    last = max(index for index, step in enumerate(steps) if step[0] == "FROM")
    return [(name, rest) for name, _, rest in steps[last:]]


def health_command() -> list[str]:
    (check,) = [rest for name, rest in dockerfile() if name == "HEALTHCHECK"]
    found: list[str] = json.loads(check.partition("CMD ")[2])
    return found


def options() -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def test_the_unit_starts_reloads_and_stops_it_as_it_is_meant() -> None:
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert shlex.split(service["ExecStart"]) == ["/opt/penstock/bin/penstock", "serve"]
    assert "-HUP $MAINPID" in service["ExecReload"]
    assert service["KillMode"] == "mixed", "workers would ask to be relieved"
    assert service["OOMPolicy"] == "continue", "a worker that ran out of memory would stop the gateway"
    assert service["RestartPreventExitStatus"] == "2"
    assert float(service["TimeoutStopSec"]) >= Server().drain + CLOSE_SECONDS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "penstock.service").read_text().replace("/opt/penstock/bin/penstock", sys.executable)
    (tmp_path / "penstock.service").write_text(text)
    analyze = ["systemd-analyze", "verify", str(tmp_path / "penstock.service")]
    done = subprocess.run(analyze, capture_output=True, text=True, timeout=SECONDS, check=False)
    mentioned = [line for line in done.stderr.splitlines() if "penstock.service" in line]
    assert mentioned == []


def test_the_image_runs_as_nobody_in_particular() -> None:
    steps = dict(dockerfile())
    assert re.fullmatch(r"[1-9][0-9]{3,}:[1-9][0-9]{3,}", steps["USER"])
    assert json.loads(steps["ENTRYPOINT"]) == ["penstock"]
    name, *arguments = json.loads(steps["CMD"])
    assert name == "serve"
    assert {argument for argument in arguments if argument.startswith("-")} <= options()
    assert f":{steps['EXPOSE']}/readyz" in health_command()[-1]
    assert str(Server().listen.port) == steps["EXPOSE"]


def test_the_image_is_built_from_what_is_here_and_nothing_else() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    sources = [name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for name in line.split()[:-1]]
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert let_in[0] == "*"
    assert set(let_in) & {f"!{name}" for name in sources} == {f"!{name}" for name in sources}
    assert all((ROOT / name).exists() for name in sources)


def test_the_compose_file_fits_the_image_and_the_configuration() -> None:
    service = compose()["services"]["penstock"]
    assert service["healthcheck"]["test"] == ["CMD", *health_command()]
    mount, volume = service["volumes"]
    source, target, mode = mount.split(":")
    assert mode == "ro"
    assert f"PENSTOCK_CONFIG={target}/penstock.yaml" in dict(dockerfile())["ENV"]
    config = open_config(DEPLOY / source / "penstock.yaml", KEYS | {STORE: service["environment"][STORE]})
    assert {key.key.source for key in config.keys} == {"env:APP_KEY"}
    assert set(service["environment"]) == {*KEYS, STORE}
    name, kept = volume.split(":")
    assert name in compose()["volumes"], "the ledger would go with the container"
    assert Path(config.state).parent == Path(kept)
    assert dict(dockerfile())["WORKDIR"] == kept, "a new volume takes its owner from the image's folder"
    assert duration(service["stop_grace_period"]) >= config.server.drain + CLOSE_SECONDS
    assert compose()["services"]["example"]["depends_on"] == {"penstock": {"condition": "service_healthy"}}


def test_the_health_check_and_the_example_work_against_the_configuration(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    env = KEYS | {"PENSTOCK_CONFIG": str(tmp_path / "etc" / "penstock.yaml"), STORE: f"sqlite:///{kept}/penstock.db"}
    shutil.copytree(DEPLOY / "config", tmp_path / "etc")
    (tmp_path / "state").mkdir()
    kept.mkdir()

    def run(words: list[str], host: str, port: int) -> subprocess.CompletedProcess[str]:
        words = [word.replace(f"{host}:8484", f"127.0.0.1:{port}") for word in words[1:]]
        return subprocess.run(
            [sys.executable, *words],
            env=environment(**KEYS),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    with Served(tmp_path / "state", env=env) as served:
        assert run(health_command(), "127.0.0.1", served.port).returncode == 0
        asked = run(compose()["services"]["example"]["command"], "penstock", served.port)
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout)["choices"][0]["message"]["content"]
        assert served.stop() == 0
    assert run(health_command(), "127.0.0.1", served.port).returncode == 1
    assert os.listdir(tmp_path / "state") == []
    assert (kept / "penstock.db").exists()


def test_the_service_keeps_its_ledger_where_it_may_write() -> None:
    service = unit()["Service"]
    folder = f"/var/lib/{service['StateDirectory']}"
    assert service["WorkingDirectory"] == folder
    assert f"sqlite:///{folder}/penstock.db" in (DEPLOY / "penstock.service").read_text()
    assert f"state: sqlite:///{folder}/penstock.db" in (ROOT / "docs" / "operations.md").read_text()
