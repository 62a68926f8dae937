"""The command line as a whole: help that answers at once, mistakes that are told, versions."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest

from penstock.cli import COMMANDS, LATER, _cli
from penstock.providers.models import table_hash
from penstock.version import VERSION
from tests.cli.running import penstock
from tests.end_to_end.process import PENSTOCK, environment

# What takes long to load and helps nobody to read a help text.
HEAVY = {"uvloop", "httptools", "starlette", "uvicorn", "ruamel", "rich", "prometheus_client", "penstock.gateway"}
LOADED = """
import sys
sys.argv = ["penstock", *sys.argv[1:]]
import penstock.cli
if len(sys.argv) > 1:
    try:
        penstock.cli.main()
    except SystemExit as stop:
        assert not stop.code, stop.code
print(*sys.modules, file=sys.stderr)
"""
HELPS = [["--help"], *([name, "--help"] for name in COMMANDS)]


@pytest.mark.parametrize("arguments", [[], *HELPS, ["version"]], ids=" ".join)
def test_nothing_heavy_is_loaded(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "penstock.cli" in loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize("arguments", HELPS, ids=" ".join)
def test_help_answers_at_once(tmp_path: Path, arguments: list[str]) -> None:
    # CPU time, so that a busy machine does not fail it; on a quiet one that is the time it takes.
    assert min(_cpu_seconds(tmp_path, [*PENSTOCK, *arguments]) for _ in range(3)) < 0.3


def test_the_package_is_imported_at_once(tmp_path: Path) -> None:
    assert min(_cpu_seconds(tmp_path, [sys.executable, "-c", "import penstock"]) for _ in range(3)) < 0.15


def _cpu_seconds(folder: Path, command: list[str]) -> float:
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_names_every_command(tmp_path: Path, arguments: list[str]) -> None:
    ran = penstock(tmp_path, *arguments)
    assert ran.code == 0
    assert ran.err == ""
    for name, told in COMMANDS.items():
        assert f"  {name}" in ran.out
        assert told in ran.out


def test_every_command_is_there() -> None:
    context = click.Context(_cli)
    assert _cli.list_commands(context) == list(COMMANDS)
    for name in COMMANDS:
        command = _cli.get_command(context, name)
        assert command is not None
        assert command.help
        assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))
    assert not LATER & set(COMMANDS)


def test_no_command(tmp_path: Path) -> None:
    ran = penstock(tmp_path)
    assert ran.code == 2
    assert "Commands:" in ran.out + ran.err


def test_a_mistyped_command(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "sevre")
    assert ran.code == 2
    assert ran.out == ""
    assert "No such command 'sevre' (did you mean \"serve\"?)" in ran.err


def test_a_command_of_a_later_version(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "prompts", "list")
    assert ran.code == 2
    assert "'prompts' is not in this version" in ran.err


@pytest.mark.parametrize(
    "arguments", [["--nope"], ["serve", "--nope"], ["serve", "--port", "many"], ["serve", "--port", "65536"], ["chat"]]
)
def test_a_wrong_option(tmp_path: Path, arguments: list[str]) -> None:
    ran = penstock(tmp_path, *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "Usage: penstock" in ran.err


def test_version(tmp_path: Path) -> None:
    short, long = penstock(tmp_path, "--version"), penstock(tmp_path, "version")
    assert (short.code, long.code) == (0, 0)
    assert short.out == f"penstock {VERSION}\n"
    lines = long.out.splitlines()
    assert lines[0] == short.out.strip()
    assert f"prices {table_hash()}" in lines
    assert any(line.startswith(f"python {sys.version_info.major}.{sys.version_info.minor}.") for line in lines)
    assert f"httptools {metadata.version('httptools')}" in lines
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["help"], "did you mean penstock --help?"),
        (["start"], "did you mean penstock serve?"),
        (["logs"], "did you mean penstock explain?"),
        (["teams"], "did you mean penstock tenants?"),
        (["providers"], "did you mean penstock deployments?"),
        (["serve", "my.yaml"], "A configuration is named by --config FILE."),
        (["doctor", "my.yml"], "A configuration is named by --config FILE."),
        (["chat", "hello", "river"], "Put the prompt in quotes."),
        (["import", "config.yaml"], "penstock import litellm FILE"),
        (["check", "a.yaml", "--config", "b.yaml"], "FILE and --config say the same"),
        (["serve", "--listen", "127.0.0.1:9000"], "Write --host and --port, or server.listen in the configuration."),
        (["serve", "--bind", "0.0.0.0"], "Write --host and --port"),
        (["serve", "--host", "127.0.0.1:9000"], "Write --host 127.0.0.1 --port 9000."),
        (["serve", "--admin-host", "[::1]:9000"], "Write --admin-host ::1 --admin-port 9000."),
        (["serve", "-p", "9000"], "Write --port."),
        (["serve", "-c", "my.yaml"], "Write --config."),
        (["serve", "--config-file", "my.yaml"], "Write --config."),
        (["serve", "--tls", "cert.pem"], "server.tls in the configuration"),
        (["serve", "--debug"], "`penstock explain ID`"),
        (["serve", "--model", "gpt-5"], "It stands in the configuration, under providers: and models:."),
        (["--config", "my.yaml", "serve"], "Options come after the command: penstock serve --config my.yaml"),
        (["keys", "add"], "Did you mean 'create'?"),
        (["keys", "delete", "app"], "Did you mean 'revoke'?"),
        (["tenants", "rm"], "Did you mean 'archive'?"),
        (
            ["keys", "create", "app", "--budget", "5"],
            "penstock budgets create --scope key --match NAME --limit '50 USD/",
        ),
        (["keys", "create", "app", "--max-budget", "5"], "penstock budgets create --scope key"),
        (["tenants", "create", "acme", "--budget", "5"], "penstock budgets create --scope tenant --match NAME --limit"),
        (["keys", "create", "app", "--rpm", "5"], "penstock limits create --scope key --match NAME --requests 600/min"),
        (
            ["tenants", "create", "acme", "--tpm", "5"],
            "penstock limits create --scope tenant --match NAME --tokens 200k",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_others_tools_are_told_is_answered_with_ours(tmp_path: Path, arguments: list[str], told: str) -> None:
    ran = penstock(tmp_path, *arguments)
    assert ran.code == 2
    assert told in ran.err


def test_check_takes_its_file_as_other_commands_do(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("providers: {sim: {}}\nauth: open\n")
    told = [penstock(tmp_path, "check", *options) for options in (["my.yaml"], ["--config", "my.yaml"])]
    assert told[0].code == told[1].code == 0
    assert told[0].out == told[1].out != ""
