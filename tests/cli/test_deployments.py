"""`penstock deployments`: what a running gateway says, and that every worker of it obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Ran, penstock
from tests.cli.test_serve import chat
from tests.end_to_end.process import Served

CONFIG = """auth: open
providers: {sim: {}}
models:
  fast: {targets: [sim/small, sim/large]}
  lone: {targets: [sim/large]}
"""


def cells(ran: Ran) -> dict[str, list[str]]:
    """Each deployment's cells: columns are two spaces apart."""
    assert (ran.code, ran.err) == (0, "")
    first, *rows = ran.out.splitlines()
    names = ("deployment", "state", "since", "until", "retries", "reason")
    starts = [first.index(name) for name in names]
    assert first.split() == list(names)
    cut = [
        [row[at:end].strip() for at, end in zip(starts, [*starts[1:], None], strict=True)] for row in rows
    ]  # fmt: skip
    return {each[0]: each[1:] for each in cut}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_operator_drains_isolates_and_restores(tmp_path: Path, workers: str) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    with Served(tmp_path, "--workers", workers) as served:
        assert cells(penstock(tmp_path, "deployments", "list"))["sim/small"] == ["ready", "-", "-", "10", ""]
        told = cells(penstock(tmp_path, "deployments", "drain", "sim/small"))
        assert list(told) == ["sim/small"]
        assert (told["sim/small"][0], told["sim/small"][4]) == ("drained", "drained by an operator")
        for _ in range(8):
            status, answer = chat(served, model="fast")
            assert (status, str(answer["model"])) == (200, "large")
        penstock(tmp_path, "deployments", "isolate", "sim/large")
        listed = cells(penstock(tmp_path, "deployments", "list"))
        assert (listed["sim/small"][0], listed["sim/large"][0]) == ("drained", "isolated")
        status, answer = chat(served, model="fast")
        assert status == 503
        assert "isolated" in json.dumps(answer)
        for name in ("sim/small", "sim/large"):
            assert cells(penstock(tmp_path, "deployments", "restore", name))[name][0] == "ready"
        assert chat(served, model="fast")[1]["model"] == "small"


def test_what_faults_do_is_seen_in_json(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(CONFIG)
    with Served(tmp_path) as served:
        model = "sim/small:status=404,code=model_not_found"
        assert chat(served, model=model)[0] == 404
        told = penstock(tmp_path, "deployments", "list", "--json", "--admin", served.admin_url)
        (found,) = [each for each in json.loads(told.out) if each["id"] == model]
        assert (found["state"], found["reason"]) == ("misconfigured", "upstream_not_found (404)")
        assert found["since"] < found["until"]
        restored = json.loads(penstock(tmp_path, "deployments", "restore", model, "--json").out)
        assert [each["state"] for each in restored] == ["ready"]


def test_who_is_not_there(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        told = penstock(tmp_path, "deployments", "drain", "sim/none")
        assert (told.code, told.out) == (1, "")
        assert "there is no deployment 'sim/none'" in told.err
        assert penstock(tmp_path, "deployments", "drain", "sim").code == 2
        assert penstock(tmp_path, "deployments", "drain").code == 2
        served.stop()
    gone = penstock(tmp_path, "deployments", "list")
    assert gone.code == 2
    assert "no gateway runs" in gone.err
