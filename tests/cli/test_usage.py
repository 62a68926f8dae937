"""`penstock usage`: what it tells of a store's ledger, and of a wrong question."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.usage import command
from tests.admin.books import BOOKED, Books

ALL = ("--since", "2025-12-01")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.db"
    Books(BOOKED, str(path)).db.close()
    return path


def usage(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_a_table(store: Path) -> None:
    told = usage("--store", str(store), "--by", "tenant,model", *ALL)
    assert told.exit_code == 0, told.output
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[0][:4] == ["tenant", "model", "requests", "attempts"]
    assert lines[1] == ["globex", "fast", "1", "1", "0", "100", "20", "7.000000", "7.000000"]
    assert ["acme", "local", "1", "1", "0", "100", "20", "unknown", "(1)", "unknown", "(1)"] in lines
    assert lines[-1][:4] == ["in", "all", "6", "6"]
    assert "10.500000 + 2 unknown" in told.stdout


def test_json_and_csv(store: Path) -> None:
    told = json.loads(usage("--store", str(store), "--by", "model", "--json", *ALL).stdout)
    assert [(row["model"], row["cost_usd"]) for row in told["data"]] == [
        ("fast", "10.000000000"),
        ("slow", "0.500000000"),
        ("local", None),
    ]
    assert (told["total"]["attempts"], told["truncated"]) == (6, False)
    text = usage("--store", str(store), "--by", "user", "--csv", *ALL, "--where", "tenant=acme").stdout
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["user"]: row["cost_usd"] for row in rows} == {
        "acme/u1": "2.500000000",
        "acme/u2": "1.000000000",
        "acme/=1+1": "",
    }


def test_where_and_nothing(store: Path) -> None:
    told = usage("--store", str(store), *ALL, "--where", "tag=acme/feature=search", "--where", "user=acme/u1")
    assert "2.000000" in told.stdout
    assert usage("--store", str(store), *ALL, "--where", "model=none").stdout == "Nothing was used in that time.\n"


def test_the_store_is_found_by_the_configuration(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    assert "10.500000" in usage(*ALL).stdout
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "penstock.yaml").write_text("providers: {sim: {}}\nauth: open\n")
    missing = usage("--config", str(other / "penstock.yaml"), *ALL)
    assert "there is no such store" in str(missing.exception)
    (other / "penstock.yaml").write_text(f"providers: {{sim: {{}}}}\nauth: open\nstate: sqlite:///{store}\n")
    assert "10.500000" in usage("--config", str(other / "penstock.yaml"), *ALL).stdout
    (other / "penstock.yaml").write_text("providers: {sim: {}}\nauth: open\nstate: memory\n")
    assert "keeps nothing" in str(usage("--config", str(other / "penstock.yaml"), *ALL).exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--by", "nothing"),
        ("--since", "yesterday"),
        ("--since", "1d", "--until", "2d"),
        ("--where", "tenant"),
        ("--where", "since=1d"),
        ("--where", "tenant=a", "--where", "tenant=b"),
        ("--json", "--csv"),
    ],
)
def test_what_cannot_be_asked(store: Path, arguments: tuple[str, ...]) -> None:
    told = usage("--store", str(store), *arguments)
    assert told.exit_code != 0
    assert "Traceback" not in told.output


def test_control_characters_of_a_callers_name_reach_no_terminal(tmp_path: Path) -> None:
    from tests.admin.books import attempt

    path = tmp_path / "penstock.db"
    Books([attempt(1, 5, model="\x1b[2Jx\x07")], str(path)).db.close()
    told = usage("--store", str(path), *ALL)
    assert "\x1b" not in told.stdout
    assert "[2Jx" in told.stdout


# --- reconcile


def test_a_statement_that_agrees_and_one_that_does_not(store: Path, tmp_path: Path) -> None:
    agrees = tmp_path / "agrees.csv"
    agrees.write_text("day,model,input,output\n2025-12-29,small,100,20\n2025-12-31,small,500,100\n")
    told = usage("reconcile", str(agrees), "--provider", "sim", "--store", str(store))
    assert (told.exit_code, told.stdout.splitlines()[-1].split()[:2]) == (0, ["in", "all"])
    apart = tmp_path / "apart.csv"
    apart.write_text("day,model,input,output,cost\n2025-12-29,small,100,20,0.5\n2025-12-31,other,1,1,1\n")
    told = usage("reconcile", str(apart), "--provider", "sim", "--store", str(store), "--json")
    assert told.exit_code == 1
    found = json.loads(told.stdout)
    assert [(row["day"], row["model"], row["side"], row["apart"]) for row in found["data"]] == [
        ("2025-12-29", "small", "both", False),
        ("2025-12-31", "other", "theirs", True),
        ("2025-12-31", "small", "ours", True),
    ]
    assert found["data"][0]["cost"] == {"ours": "0.500000000", "theirs": "0.500000000", "ppm": 0.0}
    assert found["apart"] is True
    # By its form it is nobody's, so all providers of the ledger are meant.
    assert usage("reconcile", str(agrees), "--store", str(store)).exit_code == 0


@pytest.mark.parametrize(
    ("text", "most", "told"),
    [
        ("nothing", "100ppm", "must name the columns"),
        ("day,cost\n", "100ppm", "no day"),
        ("day,cost\n2026-01-01,1\n", "many", "millionths"),
    ],
)
def test_what_cannot_be_reconciled(store: Path, tmp_path: Path, text: str, most: str, told: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    ran = usage("reconcile", str(tmp_path / "x.csv"), "--store", str(store), "--most", most)
    assert ran.exit_code != 0
    assert told in ran.output + str(ran.exception)
