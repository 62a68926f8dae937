"""`penstock rehearse` and the lookout of a running gateway, as whoever is on call meets them."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.cli.load import call
from tests.cli.running import penstock
from tests.end_to_end.process import Served

CONFIG = """\
auth: open
server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
providers:
  sim: {}
  gone: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: none, probe: 100ms}
models:
  fast: {targets: ["gone/small", sim/small], fallback: [behind]}
  behind: {targets: [sim/large, "sim/small:status=401"], rehearse: 300ms}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    return tmp_path


def test_each_is_asked_now_without_a_gateway(folder: Path) -> None:
    ran = penstock(folder, "rehearse", "--now")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0].startswith("FAIL  gone/small  (fast)")
    assert "unavailable: no connection to the provider" in lines[1]
    assert lines[2] == "      fix: Check its base_url and that it is up."
    assert lines[3].startswith("ok    sim/small  (fast)")
    assert lines[4].startswith("ok    sim/large  (fast, behind)")
    assert lines[5].startswith("FAIL  sim/small:status=401  (fast, behind)")
    assert "upstream_credential" in lines[6]
    assert lines[-1].startswith("2 of 4 would answer. It cost $0.0000")
    assert sorted(path.name for path in folder.iterdir()) == ["penstock.yaml"]


def test_json(folder: Path) -> None:
    ran = penstock(folder, "rehearse", "--now", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["ok"]) == (1, False)
    assert [one["deployment"] for one in told["data"] if one["ok"]] == ["sim/small", "sim/large"]
    assert set(told["data"][0]) == {
        "deployment", "models", "ok", "code", "told", "do", "cost_usd", "seconds", "at",
    }  # fmt: skip


def test_all_is_well(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("providers: {sim: {}}\nmodels: {a: {targets: [sim/small]}}\nauth: open\n")
    ran = penstock(tmp_path, "rehearse", "--now")
    assert ran.code == 0
    assert ran.out.endswith("1 of 1 would answer. It cost $0.000012000.\n")


def test_nobody_has_rehearsed(folder: Path) -> None:
    ran = penstock(folder, "rehearse")
    assert (ran.code, ran.out) == (2, "")
    assert "no gateway runs here" in ran.err
    assert "--now" in ran.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_gateway_looks_out_by_itself(folder: Path, workers: str) -> None:
    with Served(folder, "--workers", workers) as served:

        def told(*parts: str) -> bool:
            return bool(
                served.told.wait_for(
                    lambda lines: any(all(part in line for part in parts) for line in lines), " ".join(parts)
                )
            )

        assert told("provider gone is unreachable", "3 probes in a row failed", "penstock doctor")
        assert told("rehearsal: sim/small:status=401 would not answer", "upstream_credential")
        # What cannot be reached is passed over: no attempt is made there.
        assert call(served.port, "fast") == 200
        line = served.line(model="fast")
        assert [attempt["deployment"] for attempt in line["attempts"]] == ["sim/small"]
        assert any("unreachable" in decision.get("why", "") for decision in line["decisions"])
        with urllib.request.urlopen(f"{served.admin_url}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        assert 'penstock_probe_up{provider="gone"} 0' in metrics
        assert 'penstock_rehearsal_ok{deployment="sim/large"} 1' in metrics
        assert 'penstock_rehearsal_ok{deployment="sim/small:status=401"} 0' in metrics
        # The command asks the gateway that runs here; without --now, for what it found last.
        last = penstock(folder, "rehearse", "--json")
        assert last.code == 1
        assert {one["deployment"] for one in json.loads(last.out)["data"]} == {"sim/large", "sim/small:status=401"}
        now = penstock(folder, "rehearse", "--now")
        assert now.code == 1
        assert "FAIL  gone/small  (fast)" in now.out
        assert now.out.splitlines()[-1].startswith("2 of 4 would answer.")
        assert served.stop() == 0
        assert "Traceback" not in served.told.text
