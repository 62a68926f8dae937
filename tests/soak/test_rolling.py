"""Workers renewed and configurations reloaded again and again under load, and not one request lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.load import EVERY_WAY, Load
from tests.cli.test_workers import CONFIG, SECRETS, ends_of, serve, told, workers
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

ROUNDS = 20
RELOADS = 50


def test_twenty_rolling_restarts_of_four_workers_lose_no_request(tmp_path: Path) -> None:
    with serve(tmp_path, workers=4) as served, Load(served, EVERY_WAY * 3) as load:
        for turn in range(1, ROUNDS + 1):
            ended = ends_of(workers(served)[:4])
            served.signal(signal.SIGUSR2)
            told(served, "every worker was renewed", turn)
            load.more(20)
            assert len(ended(30.0)) == 0, "those that were replaced have ended"
            assert load.failures == []
        assert set(load.statuses) == {200}
        assert "died" not in served.told.text
        tell(f"{ROUNDS} rolling restarts of 4 workers: {len(load.statuses)} answers, {len(load.failures)} failures")


def test_fifty_reloads_lose_no_request(tmp_path: Path) -> None:
    file, draft = tmp_path / "penstock.yaml", tmp_path / "draft"
    file.write_text(CONFIG % "first")
    with serve(tmp_path, env=SECRETS) as served, Load(served, EVERY_WAY * 3) as load:
        for turn in range(2, RELOADS + 2):
            draft.write_text(CONFIG % f"name{turn}")
            draft.rename(file)
            told(served, f"reloaded: penstock.yaml, generation {turn}")
            load.more(5)
            assert load.failures == []
        assert set(load.statuses) == {200}
        tell(f"{RELOADS} reloads: {len(load.statuses)} answers, {len(load.failures)} failures")
