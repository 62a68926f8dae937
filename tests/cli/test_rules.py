"""`penstock limits` and `budgets`: on a gateway that runs, and on the state where none does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_keys import CONFIG, ENV, run
from tests.cli.test_serve import chat
from tests.end_to_end.process import Served

PRICED = f"{CONFIG}prices: {{sim/small: {{input: 1, output: 4}}}}\n"


@pytest.fixture(params=["file", "gateway"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder whose state nobody owns, or a running gateway does."""
    (tmp_path / "penstock.yaml").write_text(PRICED)
    if request.param == "file":
        yield tmp_path
        return
    with Served(tmp_path, env=ENV):
        yield tmp_path


def told(folder: Path, *arguments: str) -> Any:
    return json.loads(run(folder, *arguments, "--json").out)


def test_they_are_made_listed_changed_and_removed(place: Path) -> None:
    made = told(
        place, "limits", "create", "--scope", "task", "--match", "a,b", "--requests", "5/min", "--concurrency", "3"
    )
    assert made["rule"] == {"scope": "task", "match": ["a", "b"], "requests": "5/min", "concurrency": 3}
    budget = run(
        place, "budgets", "create", "--scope", "tenant", "--limit", "5 USD/day", "--soft", "--on-soft", "throttle",
        "--zone", "Europe/Berlin", "--alert-at", "50%,0.9",
    ).out  # fmt: skip
    assert "scope: tenant, limit: 5 USD/day, zone: Europe/Berlin" in budget
    (shown,) = told(place, "budgets", "list")
    assert shown["rule"] == {
        "scope": "tenant", "limit": "5 USD/day", "zone": "Europe/Berlin", "hard": False, "alert_at": ["50%", 0.9],
        "on_soft": "throttle",
    }  # fmt: skip
    first, declared, row = run(place, "limits", "list").out.splitlines()
    assert first.split()[:4] == ["id", "scope", "match", "holds"]
    assert declared.endswith("penstock.yaml:5")
    assert row.split()[:7] == [made["id"], "task", "a,b", "requests:", "5/min,", "concurrency:", "3"]
    assert "requests      60/min" in run(place, "limits", "show", "penstock.yaml:5").out
    tail = made["id"][-8:]
    run(place, "limits", "change", tail, "--requests", "6/min", "--without", "concurrency")
    assert told(place, "limits", "show", tail)["rule"] == {"scope": "task", "match": ["a", "b"], "requests": "6/min"}
    assert run(place, "limits", "remove", tail).out.startswith(f"The limit {made['id']} is gone")
    assert len(run(place, "limits", "list").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("limits", "create", "--scope", "tenants", "--requests", "5/min"), 2, 'did you mean "tenant"?'),
        (("limits", "create", "--requests", "5/min"), 2, "scope is missing"),
        (("limits", "create", "--scope", "tenant", "--match", "", "--requests", "5/min"), 2, "matches nothing"),
        (("limits", "create", "--scope", "tenant", "--match", " , ", "--requests", "5/min"), 2, "matches nothing"),
        (("limits", "create", "--scope", "user", "--requests", "5/min"), 1, "the same is said by penstock.yaml:5"),
        (("limits", "change", "penstock.yaml:5", "--requests", "5/min"), 1, "declared at penstock.yaml:5"),
        (("limits", "remove", "penstock.yaml:5"), 1, "declared at penstock.yaml:5"),
        (("limits", "remove", "nothing"), 2, "`penstock limits list` shows"),
        (("limits", "change", "penstock.yaml:5"), 2, "say what is to change"),
        (("budgets", "create", "--scope", "tenant", "--limit", "0.00001 USD/day"), 2, "less than one request costs"),
        (("budgets", "create", "--scope", "tenant", "--limit", "5 USD/day", "--alert-at", "x"), 2, "alert_at"),
        (
            (
                "budgets",
                "create",
                "--scope",
                "tenant",
                "--limit",
                "5 USD/day",
                "--on-soft",
                "alert",
                "--downgrade",
                "f",
            ),
            2,
            "say one of them",
        ),
        (("budgets", "list", "--accounts", "101"), 2, "101"),
    ],
)
def test_what_is_wrong_is_told(place: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    ran = run(place, *arguments, code=code)
    assert said in ran.err
    assert ran.out == ""


def test_what_is_doubtful_is_told_beside_what_is_made(place: Path) -> None:
    run(place, "budgets", "create", "--scope", "tenant", "--limit", "10 USD/hour")
    ran = run(place, "budgets", "create", "--scope", "tenant", "--limit", "900 USD/day")
    assert "NOTE  limit: 900 USD/day can never act" in ran.err
    ran = run(place, "limits", "create", "--scope", "tenant", "--match", "filedd", "--requests", "9/min")
    assert 'did you mean "filed"?' in ran.err


def test_what_is_used_and_left_is_told_while_it_runs_and_after(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(PRICED)
    run(tmp_path, "limits", "create", "--scope", "tenant", "--requests", "8/h")
    run(tmp_path, "budgets", "create", "--scope", "tenant", "--limit", "5 USD/day")
    run(tmp_path, "budgets", "create", "--scope", "key", "--limit", "9 requests/day")
    with Served(tmp_path, env=ENV) as served:
        for _ in range(3):
            assert chat(served, key=ENV["APP_KEY"], model="fast")[0] == 200
        assert any(used(tmp_path) == 3 for _ in range(100)), "the books"
        (limit,) = [each for each in told(tmp_path, "limits", "list") if each["rule"]["scope"] == "tenant"]
        (account,) = limit["accounts"]
        assert (account["value"], account["unit"], account["used"], account["left"]) == ("filed", "requests", 3, 5)
        served.stop()
    money, requests = told(tmp_path, "budgets", "list")
    (account,) = money["accounts"]
    assert account["value"] == "filed"
    assert float(account["used"]) > 0
    assert float(account["used"]) + float(account["left"]) == pytest.approx(5)
    (account,) = requests["accounts"]
    assert (account["value"], account["unit"], account["used"], account["left"]) == ("app", "requests", 3, 6)
    assert "3 requests   6 requests" in run(tmp_path, "budgets", "list").out
    assert [each.get("accounts") for each in told(tmp_path, "limits", "list")] == [[], []]
    assert "accounts" not in told(tmp_path, "budgets", "list", "--accounts", "0")[0]


def used(folder: Path) -> int:
    """Requests that the books have."""
    accounts = told(folder, "budgets", "list")[1]["accounts"]
    return int(accounts[0]["used"]) if accounts else 0


def test_when_a_declared_key_was_used_last_is_told_by_the_books(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text(PRICED)
    with Served(tmp_path, env=ENV) as served:
        assert told(tmp_path, "keys", "list")[0]["last_used"] is None
        assert chat(served, key=ENV["APP_KEY"], model="fast")[0] == 200
        served.stop()
    (key,) = told(tmp_path, "keys", "list")
    assert (key["declared"], key["last_used"] is None) == ("penstock.yaml:4", False)
    assert told(tmp_path, "keys", "show", "app")["last_used"] == key["last_used"]
