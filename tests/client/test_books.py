"""The library keeps no books, writes no file, and says so where its configuration asks for more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock import Penstock

SIM: dict[str, Any] = {"providers": {"sim": {}}, "auth": "open"}


def ask(config: dict[str, Any]) -> str:
    async def main() -> str:
        async with Penstock(config) as llm:
            return (await llm.generate("Hello", model="sim/small")).text

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, ""),
        ({"state": "memory", "budgets": [{"scope": "global", "limit": "5 USD/day"}]}, ""),
        ({"state": "sqlite:///p.db"}, "nothing is kept in"),
        (
            {"state": "sqlite:///p.db", "budgets": [{"scope": "global", "limit": "5 USD/day"}]},
            "budgets begin at nothing",
        ),
    ],
)
def test_what_is_kept_is_said(
    more: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask({**SIM, **more})
    assert told in caplog.text
    assert bool(told) == bool(caplog.records)
    assert list(tmp_path.iterdir()) == []
