"""`/api/v1/usage` and `/api/v1/alerts`: what is asked, what is told, and to whom; over the ledger's own tables."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import pytest

from penstock.admin.openapi import SCHEMAS
from penstock.admin.usage import COLUMNS, defused, read_asked, rows_of
from penstock.errors import InvalidRequest
from penstock.stores.alerts import Alert
from penstock.stores.attribution import EVER, Question, Tally
from tests.admin.asgi import ADMIN, ask, control_plane
from tests.admin.books import BOOKED, Books, attempt
from tests.admin.people import People, bearer

NOW = 1_767_225_600.0


def told(query: str = "", books: Books | None = None, *who: Any) -> Any:
    plane, _ = control_plane(books=books, principals=People())
    answer = ask(plane, f"/api/v1/usage?{query}", *(who or (ADMIN,)))
    assert answer.status == 200, answer.body
    return answer.json


def costs(query: str, *who: Any) -> dict[Any, str | None]:
    found = told(query, None, *who)["data"]
    names = query.partition("by=")[2].partition("&")[0].split(",")
    return {tuple(row[name] for name in names): row["cost_usd"] for row in found}


def test_by_one_dimension() -> None:
    assert costs("by=model") == {
        ("fast",): "10.000000000",
        ("slow",): "0.500000000",
        ("local",): None,
    }
    assert costs("by=tenant")[("globex",)] == "7.000000000"
    assert costs("by=tag") == {
        ("acme/feature=search",): "3.000000000",
        ("acme/team==cmd()",): "1.000000000",
    }


def test_by_several_at_once_and_by_time() -> None:
    assert costs("by=tenant,user")[("acme", "acme/u1")] == "2.500000000"
    assert costs("by=user,day,model")[("acme/u1", "2025-12-29", "slow")] == "0.500000000"
    assert costs("by=hour,model&tenant=globex") == {("2025-12-31T23:00:00Z", "fast"): "7.000000000"}


def test_an_unknown_price_is_unknown_and_never_nothing() -> None:
    rows = {row["model"]: row for row in told("by=model")["data"]}
    assert (rows["local"]["cost_usd"], rows["local"]["unpriced"], rows["local"]["input_tokens"]) == (None, 1, 100)
    assert (rows["fast"]["cost_usd"], rows["fast"]["unpriced"]) == ("10.000000000", 1)
    assert (rows["slow"]["cost_usd"], rows["slow"]["unpriced"]) == ("0.500000000", 0)
    total = told("by=model")["total"]
    assert (total["cost_usd"], total["unpriced"], total["attempts"]) == ("10.500000000", 2, 6)
    free = told("", Books([attempt(1, 0)]))["total"]
    assert (free["cost_usd"], free["unpriced"]) == ("0.000000000", 0)


def test_within_a_time_and_of_one_value_alone() -> None:
    assert told("since=2d")["total"]["attempts"] == 5
    assert told("since=2025-12-29&until=2025-12-30")["total"]["attempts"] == 1
    assert told("until=2025-12-31T23:00:00%2B00:00&since=1w")["total"]["attempts"] == 1
    assert told("model=fast")["total"]["attempts"] == 4
    assert told("tag=acme/feature=search&user=acme/u2")["total"]["attempts"] == 1
    nothing = told("model=nobody")
    assert nothing["data"] == []
    assert told("since=2020-01-01&until=2020-01-02")["data"] == []


@pytest.mark.parametrize(
    ("since", "before"), [("1d", 86_400 + 754), ("2w", 14 * 86_400 + 754), ("90m", 5_400), ("3h", 10_800)]
)
def test_days_ago_begin_with_a_quarter_of_an_hour(since: str, before: int) -> None:
    now = 1_764_201_600.0 + 4 * 900 + 754
    assert read_asked({"since": since}, now).question.since == now - before


def test_up_to_now_is_all_there_is_but_it_cannot_begin_later() -> None:
    assert read_asked({}, NOW).question.until == EVER
    for since in ("2099-01-01", "2099-01-01T00:00:00Z"):
        with pytest.raises(InvalidRequest, match="since is not before until"):
            read_asked({"since": since}, NOW)


def test_a_tenants_own_sees_its_own_alone() -> None:
    own = bearer("acme tenant_admin")
    assert costs("by=tenant", own) == {("acme",): "3.500000000"}
    assert told("", None, own)["total"]["attempts"] == 4
    assert costs("by=key", own) == {("app",): "3.500000000"}
    assert told("tenant=acme", None, own)["total"]["attempts"] == 4
    for query in ("tenant=globex", "by=user&tenant=globex", "tenant="):
        assert told(query, None, own) == {"data": [], "total": None, "truncated": False}
    # Another's names are nothing to it, though they are there.
    assert told("user=globex/u1", None, own)["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("by=nothing", "by"),
        ("by=model,model", "by"),
        ("by=day,hour", "by"),
        ("by=tenant,user,model,key,task", "by"),
        ("since=yesterday", "since"),
        ("since=2026-13-01", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("since=99999999d", "since"),
        ("since=1969-12-31T00:00:00Z", "since"),
        ("since=0001-01-01", "since"),
        ("since=1969-12-31", "since"),
        ("since=0001-01-01&until=9999-12-31", "since"),
        ("until=x", "until"),
        ("since=1d&until=2d", "since"),
        ("format=xml", "format"),
        ("by=model&x=1", ""),
        ("by=model&by=user", ""),
    ],
)
def test_what_cannot_be_asked(query: str, param: str) -> None:
    plane, _ = control_plane()
    answer = ask(plane, f"/api/v1/usage?{query}", ADMIN)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert answer.json["do"]


@pytest.mark.parametrize("by", ["model", "day", "hour", "user,model"])
@pytest.mark.parametrize("time", ["since=9999-12-30&until=9999-12-31", "since=1970-01-01&until=9999-12-31"])
def test_the_far_future_holds_nothing_more(by: str, time: str) -> None:
    """Nanoseconds of so late a time are more than the store can count."""
    plane, _ = control_plane()
    answer = ask(plane, f"/api/v1/usage?{time}&by={by}", ADMIN)
    assert answer.status == 200
    assert bool(answer.json["data"]) == time.startswith("since=1970")


@pytest.mark.parametrize("value", ["' OR 1=1 --", "%", "_", "\\", '"', "a/b", "\U0010ffff", "x" * 5000, "\x00"])
def test_a_value_is_a_value(value: str) -> None:
    from urllib.parse import quote

    for name in ("model", "user", "tag", "tenant"):
        assert told(f"{name}={quote(value)}")["data"] == []


def test_csv_is_the_same_and_no_formula() -> None:
    plane, _ = control_plane()
    answer = ask(plane, "/api/v1/usage?by=user,tag&format=csv", ADMIN)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    names, *rows = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert names == ["user", "tag", *COLUMNS]
    found = {(row[0], row[1]): row for row in rows}
    assert found["acme/u2", "acme/team==cmd()"][names.index("cost_usd")] == "1.000000000"
    plane, _ = control_plane(books=Books([attempt(1, None, tenant=None, user=None, model="=cmd|'/c calc'!A1")]))
    answer = ask(plane, "/api/v1/usage?by=model,user&format=csv", ADMIN)
    ((model, user, *figures),) = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))[1:]
    assert model == "'=cmd|'/c calc'!A1"
    assert user == ""  # of no tenant and nobody, told as `-` is
    assert figures[COLUMNS.index("cost_usd")] == ""


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-", ""),
        ("-/-", ""),
        ("-/ann", "'-/ann"),
        ("--", "'--"),
        ("/", "/"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_run(cell: str, written: str) -> None:
    assert defused(cell) == written


def test_many_rows_come_in_pieces_and_are_bounded() -> None:
    books = Books([attempt(number, number, user=f"u{number}") for number in range(1, 1800)])
    plane, _ = control_plane(books=books)
    for form in ("json", "csv"):
        answer = ask(plane, f"/api/v1/usage?by=user&format={form}", ADMIN)
        if form == "json":
            assert len(answer.json["data"]) == 1799
            assert answer.json["data"][0]["cost_usd"] == "0.000001799"
        else:
            assert len(answer.body.splitlines()) == 1800


def test_rows_have_the_columns_that_are_described() -> None:
    tallies = asyncio.run(Books(BOOKED).usage(Question(("model",), 0.0)))
    rows = rows_of(read_asked({"by": "model", "since": "1w"}, NOW), tallies)
    assert list(rows[0]) == ["model", *COLUMNS]
    assert set(COLUMNS) == set(SCHEMAS["Used"]["required"])
    assert set(COLUMNS) - {"cost_usd", "charge_usd"} <= set(Tally._fields) | set(tallies[0].measures._fields)
    with pytest.raises(InvalidRequest):
        read_asked({"by": "model\x00"}, NOW)


def test_alerts_are_told_in_pages_and_a_tenants_own_to_it_alone() -> None:
    books = Books()
    alerts = [
        Alert("budget.threshold", f"b|{name}", "1", f"of {name}", name, {"part": 0.5}) for name in ("acme", "globex")
    ]
    asyncio.run(books.alerts.note([*alerts, Alert("spend.anomaly", "all", "1", "odd")], webhook=False))
    plane, _ = control_plane(books=books, principals=People())
    every = ask(plane, "/api/v1/alerts?limit=2", ADMIN).json
    assert [each["data"]["text"] for each in every["data"]] == ["odd", "of globex"]
    assert set(every["data"][0]) == set(SCHEMAS["Alert"]["required"])
    rest = ask(plane, f"/api/v1/alerts?limit=2&cursor={every['next_cursor']}", ADMIN).json
    assert [each["data"]["text"] for each in rest["data"]] == ["of acme"]
    assert rest["next_cursor"] is None
    own = ask(plane, "/api/v1/alerts", bearer("acme viewer")).json
    assert [each["data"]["subject"] for each in own["data"]] == ["b|acme"]
    assert own["data"][0]["type"] == "penstock.budget.threshold"
    assert ask(plane, "/api/v1/alerts?cursor=x", ADMIN).status == 400


def test_how_budgets_stand_and_a_tenants_own_to_it_alone() -> None:
    plane, _ = control_plane(principals=People())
    first = ask(plane, "/api/v1/spending?limit=2", ADMIN).json
    assert [each["value"] for each in first["data"]] == ["acme", "globex"]
    acme = first["data"][0]
    assert set(acme) == set(SCHEMAS["Account"]["required"])
    assert (acme["limit"], acme["spent"], acme["left"]) == ("50.000000000", "40.000000000", "10.000000000")
    assert (acme["hourly_rate"], acme["exhausted_at"], acme["pressure"]) == ("1.000000000", "2026-01-01T10:00:00Z", 0.5)
    rest = ask(plane, f"/api/v1/spending?cursor={first['next_cursor']}", ADMIN).json
    assert [(each["unit"], each["left"], each["exhausted_at"]) for each in rest["data"]] == [("tokens", 900, None)]
    own = ask(plane, "/api/v1/spending", bearer("acme viewer")).json
    assert [each["value"] for each in own["data"]] == ["acme"]
