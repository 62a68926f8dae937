"""`/api/v1/limits` and `/api/v1/budgets`: in the words of the file, beside it, and nobody loosens an operator's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.admin.rules import MOST_OWN
from penstock.config.stored_rules import compile_rule
from penstock.reservation import Rule
from tests.admin.registered import DECLARING, Registered


@pytest.fixture
def desk() -> Iterator[Registered]:
    registered = Registered()
    for name in ("acme", "globex"):
        registered.done("POST", "/tenants", {"name": name})
    registered.employ("ann", "tenant_admin", "acme")
    yield registered
    registered.close()


def adopted(desk: Registered) -> list[Rule]:
    """The rules that workers were given last, but for the file's."""
    return [rule for rule in desk.adopted[-1].rules if not rule.where]


def test_one_that_is_made_holds_at_once_beside_the_files(desk: Registered) -> None:
    body = {"scope": "tenant", "match": "acme", "requests": "600/min", "tokens": "200k/min", "concurrency": 50}
    answer = desk.ask("admin", "POST", "/limits", body)
    made = answer.json
    assert (answer.status, answer.headers["location"]) == (201, f"/api/v1/limits/{made['id']}")
    assert (made["rule"], made["tenant"], made["declared"], made["shadowed_by"]) == (body, "acme", None, None)
    assert [(rule.kind, rule.unit, rule.limit, rule.match) for rule in adopted(desk)] == [
        ("burst", "requests", 600, "acme"), ("burst", "tokens", 200_000, "acme"),
        ("concurrency", "requests", 50, "acme"),
    ]  # fmt: skip
    assert len([rule for rule in desk.adopted[-1].rules if rule.where]) == 3
    changed = desk.done(
        "PATCH", f"/limits/{made['id']}", {"requests": "300/min", "tokens": None}, if_match=made["etag"]
    )
    assert changed["rule"] == {"scope": "tenant", "match": "acme", "requests": "300/min", "concurrency": 50}
    assert [(rule.unit, rule.limit) for rule in adopted(desk)] == [("requests", 300), ("requests", 50)]
    assert desk.ask("admin", "DELETE", f"/limits/{made['id']}").status == 428
    assert desk.ask("admin", "DELETE", f"/limits/{made['id']}", if_match=made["etag"]).status == 412
    assert desk.done("DELETE", f"/limits/{made['id']}", if_match=changed["etag"])["etag"] is None
    assert adopted(desk) == []
    assert [each.what for each in desk.entries[-3:]] == ["limit.create", "limit.change", "limit.remove"]


def test_budgets_in_money_in_tokens_and_of_a_request(desk: Registered) -> None:
    for body in (
        {"scope": "user", "match": "acme/u1", "limit": "2M tokens/day", "zone": "Europe/Berlin", "hard": False},
        {
            "scope": "global",
            "limit": "1k USD/month",
            "alert_at": ["50%", 1],
            "hard": False,
            "on_soft": {"downgrade": "fast"},
        },
        {"scope": "request", "limit": "90k tokens"},
    ):
        assert desk.done("POST", "/budgets", body)["rule"] == body
    rules = sorted(adopted(desk), key=lambda rule: rule.unit)
    assert [(rule.unit, rule.limit, rule.period, rule.zone, rule.hard) for rule in rules] == [
        ("tokens", 2_000_000, "day", "Europe/Berlin", False), ("usd", 1_000 * 10**9, "month", "UTC", False),
    ]  # fmt: skip
    assert [each.limit for each in desk.adopted[-1].request_budgets] == [10**9, 90_000]


def test_what_the_file_declares_is_shown_with_its_place_and_changed_there(desk: Registered) -> None:
    limits, budgets = (desk.done("GET", path)["data"] for path in ("/limits", "/budgets"))
    assert [(each["rule"], each["declared"]) for each in limits] == [
        ({"scope": "user", "requests": "60/min"}, "limits[0]"),
        ({"scope": "tenant", "match": "filed", "requests": "600/min"}, "limits[1]"),
    ]
    assert [(each["rule"]["limit"], each["declared"]) for each in budgets] == [
        ("50 USD/day", "budgets[0]"), ("1 USD", "budgets[1]"),
    ]  # fmt: skip
    for method in ("PATCH", "DELETE"):
        answer = desk.ask(
            "admin", method, f"/limits/{limits[0]['id']}", {} if method == "PATCH" else None, if_match="*"
        )
        assert (answer.status, answer.json["detail"]) == (409, "that limit is declared at limits[0]")
    again = desk.ask("admin", "POST", "/limits", {"scope": "user", "requests": "90/min", "kind": "strict"})
    assert (again.status, again.json["detail"]) == (409, "the same is said by limits[0]")
    assert desk.done("GET", f"/limits/{limits[0]['id']}") == limits[0]


def test_two_that_say_the_same_are_one_too_many(desk: Registered) -> None:
    body = {"scope": "task", "match": "acme/t", "requests": "9/min"}
    made = desk.done("POST", "/limits", body)
    assert desk.ask("admin", "POST", "/limits", body).json["detail"] == f"the same is said by limit {made['id']}"
    other = desk.done("POST", "/limits", body | {"match": "acme/other"})
    assert desk.ask("admin", "PATCH", f"/limits/{other['id']}", {"match": "acme/t"}, if_match="*").status == 409
    desk.done("PATCH", f"/limits/{made['id']}", {"requests": "8/min"}, if_match="*")


def test_the_file_goes_before_one_that_was_stored_earlier(desk: Registered) -> None:
    made = desk.done("POST", "/limits", {"scope": "model", "match": "fast", "requests": "9/min"})
    later = Registered(DECLARING | {"limits": [{"scope": "model", "match": "fast", "requests": "5/min"}]})
    later.done("POST", "/limits", {"scope": "model", "match": "smart", "requests": "9/min"})
    rows = desk.db.run_here(lambda connection: connection.execute("SELECT * FROM stored_rules").fetchall())
    later.db.run_here(
        lambda connection: connection.executemany("INSERT INTO stored_rules VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    )
    assert later.done("GET", f"/limits/{made['id']}")["shadowed_by"] == "limits[0]"
    later.done("POST", "/limits", {"scope": "task", "match": "x", "requests": "9/min"})
    assert sorted((rule.scope, rule.limit) for rule in later.adopted[-1].rules if rule.kind != "budget") == [
        ("model", 5), ("model", 9), ("task", 9),
    ]  # fmt: skip
    later.close()


@pytest.mark.parametrize(
    ("kind", "body", "param", "told"),
    [
        ("limits", {"scope": "tenant", "reqests": "1/min"}, "reqests", 'did you mean "requests"?'),
        ("limits", {"scope": "tenants", "requests": "1/min"}, "scope", 'did you mean "tenant"?'),
        ("limits", {"scope": "tenant"}, None, "limits nothing"),
        ("limits", {"requests": "1/min"}, None, "scope is missing"),
        ("limits", {"scope": "tenant", "tokens": "3/min"}, "tokens", "fewer than one request"),
        ("limits", {"scope": "tenant", "requests": {"a": [1]}}, "requests", ""),
        ("limits", {"scope": "tenant", "match": [], "requests": "1/min"}, "match", "matches nothing"),
        ("limits", {"scope": "request", "requests": "1/min"}, "scope", "is a scope of budgets"),
        ("budgets", {"scope": "tenant", "limit": "-5 USD/day"}, "limit", ""),
        ("budgets", {"scope": "tenant", "limit": "5 EUR/day"}, "limit", ""),
        ("budgets", {"scope": "tenant", "limit": "5 USD/day", "zone": "Mars"}, "zone", ""),
        (
            "budgets",
            {"scope": "tenant", "match": "x", "limit": "5 USD/day", "hard": False, "on_soft": {"downgrade": "fats"}},
            "on_soft",
            "fast",
        ),
        (
            "budgets",
            {"scope": "tenant", "limit": "5 USD/week", "on_soft": "throttle"},
            "on_soft",
            "is for a budget that is not hard",
        ),
        ("budgets", {"scope": "tenant", "match": "x", "limit": "1e-9 USD/day"}, "limit", ""),
        (
            "budgets",
            {"scope": "provider", "match": "simm", "limit": "5 USD/day"},
            "match",
            'no provider is named "simm"',
        ),
        ("limits", {"scope": "provider", "match": "openai", "requests": "5/min"}, "match", "no provider is named"),
        ("limits", {"scope": "deployment", "match": "sim", "requests": "5/min"}, "match", "is no deployment"),
        (
            "limits",
            {"scope": "model", "match": ["smart", "fats"], "requests": "5/min"},
            "match",
            'did you mean "fast"?',
        ),
        ("limits", {"scope": "tag", "match": "search", "requests": "5/min"}, "match", "write name=value"),
        (
            "budgets",
            {"scope": "model", "match": "fast", "limit": "1 USD/day", "hard": False, "on_soft": {"downgrade": "fast"}},
            "on_soft",
            "downgrade loops: fast -> fast",
        ),
        ("limits", {"scope": "task", "match": ["a", "a"], "requests": "5/min"}, "match", "stands there twice"),
        ("limits", {"scope": "task", "match": ["a"] * 1001, "requests": "5/min"}, "match", "more than 1,000 names"),
        ("budgets", {"scope": "task", "limit": "5 USD/day", "alert_at": [0.5] * 101}, "alert_at", "more than 100"),
        ("budgets", {"scope": "task", "limit": "5 USD/day", "alert_at": None}, "alert_at", "leave it out"),
        ("limits", {"scope": "task", "match": None, "requests": "5/min"}, "match", "leave it out"),
    ],
)
def test_what_is_wrong_with_one_is_told_in_the_files_words(
    desk: Registered, kind: str, body: Any, param: str | None, told: str
) -> None:
    answer = desk.ask("admin", "POST", f"/{kind}", body)
    assert (answer.status, answer.json["code"], answer.json.get("param")) == (422, "invalid_request", param)
    assert told in answer.json["detail"]
    assert desk.adopted == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("limits", {"scope": "tenant", "match": "acme", "requests": "5/min"}),
        ("limits", {"scope": "user", "match": "acme/*", "requests": "60/min"}),
        ("limits", {"scope": "user", "match": "acme/u1", "requests": "9/min", "kind": "strict"}),
        ("limits", {"scope": "task", "match": ["acme/a", "acme/b*"], "concurrency": 5}),
        ("limits", {"scope": "key", "match": "acme/app", "requests": "5/min"}),
        ("limits", {"scope": "tag", "match": "acme/feature=search", "requests": "5/min"}),
        ("budgets", {"scope": "tenant", "match": "acme", "limit": "50 USD/day"}),
        ("budgets", {"scope": "project", "match": "acme/web", "limit": "500 USD/month"}),
    ],
)
def test_a_tenants_own_may_bound_its_tenant(desk: Registered, kind: str, body: Any) -> None:
    made = desk.done("POST", f"/{kind}", body, who="ann")
    assert made["tenant"] == "acme"
    assert [each["id"] for each in desk.done("GET", f"/{kind}", who="ann")["data"]] == [made["id"]]
    desk.done("DELETE", f"/{kind}/{made['id']}", who="ann", if_match="*")


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("limits", {"scope": "tenant", "requests": "5/min"}, "for others than the tenant acme"),
        ("limits", {"scope": "tenant", "match": "globex", "requests": "5/min"}, "for others"),
        ("limits", {"scope": "tenant", "match": "acm*", "requests": "5/min"}, "for others"),
        ("limits", {"scope": "tenant", "match": ["acme", "globex"], "requests": "5/min"}, "for others"),
        ("limits", {"scope": "user", "match": "u1", "requests": "5/min"}, "for others"),
        ("limits", {"scope": "user", "match": "*/u1", "requests": "5/min"}, "for others"),
        ("limits", {"scope": "global", "requests": "5/min"}, "for others"),
        ("limits", {"scope": "model", "match": "fast", "requests": "5/min"}, "for others"),
        ("limits", {"scope": "provider", "match": "sim", "concurrency": 1}, "for others"),
        ("budgets", {"scope": "request", "limit": "9k tokens"}, "for others"),
        # The file says 60/min for every user and 50 USD/day for every tenant.
        ("limits", {"scope": "user", "match": "acme/*", "requests": "61/min"}, "hold less"),
        ("limits", {"scope": "user", "match": "acme/u1", "requests": "61/min", "kind": "strict"}, "hold less"),
        ("limits", {"scope": "user", "match": "acme/u1", "requests": "60/h"}, "hold less"),
        ("limits", {"scope": "user", "match": "acme/u1", "requests": "60/min", "burst": 100}, "hold less"),
        ("budgets", {"scope": "tenant", "match": "acme", "limit": "51 USD/day"}, "hold less"),
        ("budgets", {"scope": "tenant", "match": "acme", "limit": "1 USD/month"}, "hold less"),
        ("budgets", {"scope": "tenant", "match": "acme", "limit": "1 USD/day", "hard": False}, "hold less"),
        ("budgets", {"scope": "tenant", "match": "acme", "limit": "1 USD/day", "zone": "Asia/Tokyo"}, "hold less"),
    ],
)
def test_a_tenants_own_may_not_say_more(desk: Registered, kind: str, body: Any, told: str) -> None:
    answer = desk.ask("ann", "POST", f"/{kind}", body)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert told in answer.json["detail"]
    assert desk.ask("admin", "POST", f"/{kind}", body).status == 201, "an admin may"


def test_a_tenants_own_may_not_touch_what_an_operator_made_for_it(desk: Registered) -> None:
    made = desk.done("POST", "/budgets", {"scope": "tenant", "match": "acme", "limit": "10 USD/day"})
    assert desk.done("GET", f"/budgets/{made['id']}", who="ann") == made
    for method, body in (("PATCH", {"limit": "1 USD/day"}), ("DELETE", None)):
        answer = desk.ask("ann", method, f"/budgets/{made['id']}", body, if_match="*")
        assert (answer.status, answer.json["detail"]) == (403, "that budget was made by an operator")


def test_a_change_is_held_to_the_same(desk: Registered) -> None:
    made = desk.done("POST", "/limits", {"scope": "user", "match": "acme/*", "requests": "9/min"}, who="ann")
    for body in ({"requests": "61/min"}, {"match": "globex/*"}, {"match": None}):
        assert desk.ask("ann", "PATCH", f"/limits/{made['id']}", body, if_match="*").status == 403
    desk.done("PATCH", f"/limits/{made['id']}", {"requests": "60/min"}, who="ann", if_match="*")


def test_a_rule_of_another_version_is_left_out_and_told(desk: Registered) -> None:
    made = desk.done("POST", "/limits", {"scope": "task", "match": "x", "requests": "9/min"})
    desk.db.run_here(
        lambda connection: connection.execute("""UPDATE stored_rules SET body = '{"scope":"task","moons":"9/min"}'""")
    )
    assert "moons" in desk.done("GET", f"/limits/{made['id']}")["shadowed_by"]
    desk.done("POST", "/limits", {"scope": "task", "match": "y", "requests": "9/min"})
    assert [rule.match for rule in adopted(desk)] == ["y"]


def test_what_is_compiled_holds_nothing_of_where_it_was_read() -> None:
    compiled = compile_rule("budget", {"scope": "tenant", "limit": "5 USD/day"})
    assert [(rule.where, rule.id) for rule in compiled.rules] == [("", "budget tenant usd day@UTC")]


def test_a_loop_over_several_is_refused_whoever_closes_it(desk: Registered) -> None:
    def body(model: str, other: str) -> Any:
        return {"scope": "model", "match": model, "limit": "5 USD/day", "hard": False, "on_soft": {"downgrade": other}}

    made = desk.done("POST", "/budgets", body("fast", "smart"))
    answer = desk.ask("admin", "POST", "/budgets", body("smart", "fast"))
    assert (answer.status, answer.json["param"]) == (422, "on_soft")
    assert "downgrade loops: fast -> smart -> fast" in answer.json["detail"]
    other = desk.done("POST", "/budgets", body("smart", "sim/small"))
    again = {"on_soft": {"downgrade": "fast"}}
    assert desk.ask("admin", "PATCH", f"/budgets/{other['id']}", again, if_match="*").status == 422
    desk.done("DELETE", f"/budgets/{made['id']}", if_match="*")
    desk.done("PATCH", f"/budgets/{other['id']}", again, if_match="*")


def test_a_budget_smaller_than_one_request_is_refused_as_the_files_is() -> None:
    priced = {"prices": {"sim/small": {"input": 1, "output": 4}, "sim/large": {"input": 2, "output": 8}}}
    desk = Registered(DECLARING | priced | {"budgets": []})
    for body in ({"scope": "task", "limit": "0.00001 USD/day"}, {"scope": "request", "limit": "0.00001 USD"}):
        answer = desk.ask("admin", "POST", "/budgets", body)
        assert (answer.status, answer.json["param"]) == (422, "limit"), body
        assert "0.00001 USD is less than one request costs" in answer.json["detail"]
    desk.close()


def test_what_one_request_may_use_is_said_once(desk: Registered) -> None:
    again = desk.ask("admin", "POST", "/budgets", {"scope": "request", "limit": "2 USD"})
    assert (again.status, again.json["detail"]) == (409, "the same is said by budgets[1]")
    made = desk.done("POST", "/budgets", {"scope": "request", "limit": "90k tokens"})
    again = desk.ask("admin", "POST", "/budgets", {"scope": "request", "limit": "80k tokens"})
    assert (again.status, again.json["detail"]) == (409, f"the same is said by budget {made['id']}")
    later = Registered(DECLARING | {"budgets": [{"scope": "request", "limit": "70k tokens"}]}, db=desk.db)
    assert later.done("GET", f"/budgets/{made['id']}")["shadowed_by"] == "budgets[0]"
    later.done("POST", "/budgets", {"scope": "task", "limit": "9 USD/day"})
    assert [(each.unit, each.limit) for each in later.adopted[-1].request_budgets] == [("tokens", 70_000)]


def test_what_is_most_likely_not_meant_is_told(desk: Registered) -> None:
    def warnings(kind: str, body: Any, who: str = "admin") -> Any:
        made = desk.done("POST", f"/{kind}", body, who=who)
        desk.done("DELETE", f"/{kind}/{made['id']}", if_match="*")
        return made["warnings"]

    desk.done("POST", "/keys", {"name": "app", "tenant": "acme"})
    assert warnings("limits", {"scope": "tenant", "match": "acme", "requests": "9/min"}) == []
    assert warnings("limits", {"scope": "key", "match": "acme/app", "requests": "9/min"}) == []
    assert warnings("budgets", {"scope": "tenant", "match": "filed", "limit": "9 USD/day"}) == []
    assert warnings("limits", {"scope": "tenant", "match": "acmee", "requests": "9/min"}) == [
        'match: no tenant of the name "acmee" is declared (did you mean "acme"?)'
    ]
    assert warnings("budgets", {"scope": "tenant", "limit": "70 USD/hour"}) == [
        "limit: 70 USD/hour can never act: 50 USD/day is used up before it"
    ]
    # One that was there is what never acts from now on.
    assert warnings("budgets", {"scope": "tenant", "limit": "1 USD/hour"}) == [
        "budgets[0]: limit: 50 USD/day can never act: 1 USD/hour allows no more than that"
    ]
    of_users = {"scope": "user", "match": "acme/*", "requests": "9/min"}
    assert warnings("limits", of_users) == [
        "scope: it can never act: of no key the user that its calls name is believed (user: trusted)"
    ]
    desk.done("POST", "/keys", {"name": "trusting", "tenant": "acme", "user": "trusted"})
    assert warnings("limits", of_users) == []
    # A tenant's own hears nothing of others.
    assert warnings("limits", {"scope": "key", "match": "acme/glob", "requests": "9/min"}, "ann") == []


def test_a_change_says_what_is_doubtful_too(desk: Registered) -> None:
    made = desk.done("POST", "/budgets", {"scope": "task", "limit": "9 USD/day"})
    low = {"hard": False, "on_low_budget": "refuse"}
    changed = desk.done("PATCH", f"/budgets/{made['id']}", low, if_match="*")
    assert changed["warnings"] == ["on_low_budget never holds: the budget is not hard, so nothing is too much for it"]


def test_a_word_that_is_none_cannot_be_taken_away(desk: Registered) -> None:
    made = desk.done("POST", "/limits", {"scope": "task", "match": "x", "requests": "9/min"})
    for body in ({"reqests": None}, {"role": None}):
        answer = desk.ask("admin", "PATCH", f"/limits/{made['id']}", body, if_match="*")
        assert (answer.status, answer.json["param"]) == (422, next(iter(body)))
    assert desk.done("PATCH", f"/limits/{made['id']}", {"queue": None}, if_match="*")["rule"] == made["rule"]
    assert "did you mean" in desk.ask("admin", "PATCH", f"/limits/{made['id']}", {"reqests": None}).json["detail"]


@pytest.mark.parametrize(
    ("limit", "meant"), [("5,5 USD/day", ""), ("1500,50 USD/day", ""), ("1,500 USD/day", 'mean "1500 USD/day"?')]
)
def test_a_comma_before_a_fraction_is_taken_for_no_thousands(desk: Registered, limit: str, meant: str) -> None:
    answer = desk.ask("admin", "POST", "/budgets", {"scope": "task", "limit": limit})
    assert answer.status == 422
    assert ("did you mean" in answer.json["detail"]) == bool(meant)
    assert meant in answer.json["detail"]


def test_a_tenants_own_makes_so_many_and_no_more(desk: Registered) -> None:
    rows = [(f"id-{n:06}", "limit", "acme", "acme", RULE % n, 0, "key:acme/ann", 1) for n in range(MOST_OWN - 1)]
    desk.db.run_here(
        lambda connection: connection.executemany("INSERT INTO stored_rules VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    )
    body = {"scope": "task", "match": "acme/last", "requests": "9/min"}
    made = desk.done("POST", "/limits", body, who="ann")
    answer = desk.ask("ann", "POST", "/budgets", {"scope": "task", "match": "acme/x", "limit": "1 USD/day"})
    assert (answer.status, answer.json["detail"]) == (409, "there are 1,000 limits and budgets")
    desk.done("PATCH", f"/limits/{made['id']}", {"requests": "8/min"}, who="ann", if_match="*")
    desk.done("POST", "/limits", {"scope": "task", "match": "acme/x", "requests": "9/min"})


RULE = '{"scope":"task","match":"acme/%d","requests":"9/min"}'
