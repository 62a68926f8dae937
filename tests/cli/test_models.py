"""`penstock models`: what it finds, and how it looks on a narrow terminal, in a pipe and as JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.models import ABILITIES
from penstock.providers.models import CAPABILITIES, table_hash
from tests.cli.running import penstock
from tests.end_to_end.process import PENSTOCK, SECONDS, environment

CONFIG = """\
auth: open
providers:
  openai: {api_key: env:KEY}
  mine: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: none}
prices: {"openai/gpt-5-mini": {input: 9, output: 9}}
"""


def found(folder: Path, *arguments: str, **env: str) -> list[dict[str, Any]]:
    ran = penstock(folder, "models", "--json", *arguments, env=env)
    assert (ran.code, ran.err) == (0, "")
    told: list[dict[str, Any]] = json.loads(ran.out)
    assert ran.out.count("\n") == max(1, len(told))
    return told


def on_terminal(folder: Path, columns: int, *arguments: str) -> list[str]:
    """The lines that a terminal of that width is shown."""
    lead, follow = pty.openpty()
    env = {**environment(), "COLUMNS": str(columns), "NO_COLOR": "1"}
    ran = subprocess.Popen(
        [*PENSTOCK, "models", *arguments], cwd=folder, env=env, stdout=follow, stderr=subprocess.PIPE
    )
    os.close(follow)
    said = b""
    try:
        while piece := os.read(lead, 65536):
            said += piece
    except OSError:
        pass  # how Linux says that the other end is closed
    assert ran.stderr is not None
    hint = ran.stderr.read().decode()
    ran.stderr.close()
    assert ran.wait(SECONDS) == 0
    os.close(lead)
    return [*said.decode().splitlines(), *hint.splitlines()]


@pytest.mark.parametrize(
    ("word", "told"),
    [("sonet", 'did you mean "sonnet"?'), ("oppus", 'did you mean "opus"?'), ("haikou", 'did you mean "haiku"?')],
)
def test_a_familys_name_that_is_misspelt_is_told_as_it_is_spelt(tmp_path: Path, word: str, told: str) -> None:
    ran = penstock(tmp_path, "models", word)
    assert (ran.code, ran.out) == (1, "")
    assert told in ran.err


def test_the_flags_are_the_tables_capabilities() -> None:
    assert tuple(ABILITIES) == CAPABILITIES


def test_by_name_and_price(tmp_path: Path) -> None:
    told = found(tmp_path, "gpt-5", "mini", "--provider", "openai")
    assert all("gpt-5" in row["model"] and "mini" in row["model"] for row in told)
    (mini,) = (row for row in told if row["model"] == "openai/gpt-5-mini")
    assert (mini["context"], mini["max_output"], mini["price_table"]) == (400_000, 128_000, table_hash())
    assert {"tools", "vision", "thinking"} <= set(mini["can"])
    assert mini["price"] == {
        "input": "0.25", "cache_read": "0.025", "output": "2", "web_search": "0.01", "file_search": "0.0025",
    }  # fmt: skip


def test_by_capability_window_and_price(tmp_path: Path) -> None:
    told = found(tmp_path, "--vision", "--json-schema", "--context", "1M", "--max-input-price", "1", "--sort", "price")
    assert len(told) > 5
    assert all({"vision", "json_schema"} <= set(row["can"]) and row["context"] >= 1_000_000 for row in told)
    costs = [3 * float(row["price"]["input"]) + float(row["price"]["output"]) for row in told]
    assert costs == sorted(costs)
    assert all(float(row["price"]["input"]) <= 1 for row in told)


def test_embeddings_and_what_is_over(tmp_path: Path) -> None:
    told = found(tmp_path, "--embeddings", "--provider", "openai")
    assert "openai/text-embedding-3-small" in [row["model"] for row in told]
    assert {row["operation"] for row in told} == {"embeddings"}
    living, all_of_them = found(tmp_path, "--provider", "deepseek"), found(tmp_path, "--provider", "deepseek", "--all")
    assert {"deepseek/deepseek-chat"} <= {row["model"] for row in all_of_them} - {row["model"] for row in living}


def test_a_configurations_providers_and_prices(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(CONFIG)
    told = found(tmp_path, "gpt-5-mini", "--config", "p.yaml", KEY="sk")
    by_name = {row["model"]: row for row in told}
    assert by_name["openai/gpt-5-mini"]["price"] == {"input": "9", "output": "9"}
    assert by_name["openai/gpt-5-mini"]["price_table"].startswith("config:")
    assert by_name["mine/gpt-5-mini"]["price"] is None, "somebody else's server"


def test_in_a_pipe_names_are_whole_and_capabilities_words(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "models", "sonnet", "--provider", "anthropic")
    assert (ran.code, ran.err) == (0, "")
    head, *rows = ran.out.splitlines()
    assert head.split() == ["model", "window", "output", "in", "$", "out", "$", "can"]
    (row,) = (row for row in rows if row.startswith("anthropic/claude-sonnet-4-5 "))
    assert row.split()[1:5] == ["200k", "64k", "3+", "15+"]
    assert "tools,json_schema,vision,documents,thinking,prefill,prompt_caching" in row
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_no_line_is_wider(tmp_path: Path, columns: int) -> None:
    lines = on_terminal(tmp_path, columns, "--provider", "openrouter")
    assert max(map(len, lines)) <= columns
    assert len(lines) < 50
    assert any("more: name a part" in line for line in lines)
    assert any(line.startswith("openrouter/") for line in lines)


def test_one_model_is_told_in_full(tmp_path: Path) -> None:
    lines = on_terminal(tmp_path, 80, "claude-sonnet-4-5", "--provider", "anthropic")
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[:4]] == ["model", "names", "window", "output"]
    assert any("above 200,000 tokens: input 6" in line for line in lines)
    assert any(line.startswith("batch") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["no-such-model-anywhere"], 1, "No model that is known is like that; ask for less, or without --provider."),
        (["gpt5", "--provider", "openai"], 1, 'like that (did you mean "openai/gpt-5"'),
        (["Claude_haiku45", "--provider", "anthropic"], 1, '(did you mean "anthropic/claude-haiku-4-5"'),
        (["gtp-5", "--provider", "openai"], 1, '(did you mean "openai/gpt-5"'),
        (["openai/gtp-5"], 1, '(did you mean "openai/gpt-5"'),
        (["--provider", "opnai"], 2, "No provider is named 'opnai' (did you mean \"openai\"?)."),
        (["--context", "many"], 2, '--context: "many" is not a number of things'),
        (["--max-input-price", "cheap"], 2, '--max-input-price: "cheap" is not a price'),
    ],
)
def test_what_cannot_be_found_is_said(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    ran = penstock(tmp_path, "models", *arguments)
    assert ran.code == code
    assert told in ran.err
    assert ran.out == ""
