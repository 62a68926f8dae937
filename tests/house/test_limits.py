"""Limits only go down: today's table against every version of it that was ever committed."""

from __future__ import annotations

import subprocess
import tomllib

import pytest

from tests.house.trees import ROOT, limits, project

TABLE = "tests/house/limits.toml"
Table = dict[str, dict[str, int]]


def raised(older: Table, newer: Table) -> list[str]:
    """What `newer` allows more of than `older`, a limit that was taken away included."""
    found = []
    for section, rows in older.items():
        for name, value in rows.items():
            now = newer.get(section, {}).get(name)
            if now is None or now > value:
                found.append(f"{section}.{name}: {value} -> {now}")
    return found


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def test_no_limit_was_ever_raised() -> None:
    commits = git("log", "--format=%H", "--", TABLE).split()
    if not commits:
        pytest.skip("no git history here that holds the table")
    newer = limits()
    for commit in commits:
        older = tomllib.loads(git("show", f"{commit}:{TABLE}"))
        assert raised(older, newer) == [], commit
        newer = older


def test_a_raised_or_dropped_limit_is_found() -> None:
    assert not raised({"file": {"lines": 700}}, {"file": {"lines": 650}, "class": {"methods": 20}})
    assert raised({"file": {"lines": 700}}, {"file": {"lines": 701}})
    assert raised({"file": {"lines": 700}}, {"file": {}})


def test_core_dependencies() -> None:
    assert len(project()["project"]["dependencies"]) <= limits()["package"]["dependencies"]
