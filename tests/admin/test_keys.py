"""`/api/v1/keys`, `/api/v1/admins`, `/api/v1/tenants` on a store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from penstock.admin.moments import written
from penstock.stores.key_rights import LAST
from tests.admin.asgi import ADMIN, ENV, ask
from tests.admin.registered import DECLARING, Registered

KEY = {"name": "app", "tenant": "acme", "models": ["fast"], "expires": "90d", "max_output": 500}


@pytest.fixture
def desk() -> Iterator[Registered]:
    registered = Registered()
    registered.done("POST", "/tenants", {"name": "acme", "weight": 2})
    registered.done("POST", "/tenants", {"name": "globex"})
    yield registered
    registered.close()


def test_a_key_is_made_and_its_secret_told_once(desk: Registered) -> None:
    answer = desk.ask("admin", "POST", "/keys", KEY)
    made = answer.json
    assert (answer.status, answer.headers["location"]) == (201, f"/api/v1/keys/{made['id']}")
    assert answer.headers["etag"] == made["etag"]
    assert made["secret"].startswith("psk_live_")
    assert made["secret"].startswith(made["prefix"])
    assert made["secret"].endswith(made["last_four"])
    assert (made["label"], made["state"], made["models"], made["max_output"]) == ("acme/app", "active", ["fast"], 500)
    assert made["expires"] == "2026-04-01T00:00:00Z"
    shown = desk.ask("admin", "GET", f"/keys/{made['id']}")
    assert shown.headers["etag"] == made["etag"]
    assert shown.json == {name: value for name, value in made.items() if name != "secret"}
    everything = b"".join(desk.ask("admin", "GET", path).body for path in ("/keys", "/audit", f"/keys/{made['id']}"))
    assert made["secret"].encode() not in everything
    assert made["secret"] not in "".join(desk.told)


def test_what_can_be_said_of_a_key_is_what_is_shown_of_it(desk: Registered) -> None:
    said = {
        "name": "all",
        "env": "test",
        "models": ["fast", "sim/*"],
        "routes": ["chat"],
        "addresses": ["10.0.0.0/8"],
        "expires": "2027-01-31",
        "max_output": 7,
        "priority": "low",
        "overrides": "allowed",
        "user": "trusted",
    }
    made = desk.done("POST", "/keys", said)
    expected = said | {"expires": "2027-01-31T00:00:00Z"}
    assert {name: made[name] for name in said} == expected
    assert made["secret"].startswith("psk_test_")


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({"name": "a", "modles": ["x"]}, "modles", 'did you mean "models"?'),
        ({"name": "a", "role": "admin"}, "role", "there is no field"),
        ({"name": "a", "created_by": "me"}, "created_by", "there is no field"),
        ({"name": "a", "secret": "psk_live_mine"}, "secret", "there is no field"),
        ({}, "name", "name is missing"),
        ({"name": 1}, "name", "expected `str`"),
        ({"name": "a", "models": "fast"}, "models", "expected `array"),
        ({"name": "a", "models": []}, "models", "allows nothing"),
        ({"name": "a b"}, "name", "must be 1 to 64"),
        ({"name": "a", "expires": "soon"}, "expires", "no time"),
        ({"name": "a", "expires": "2020-01-01"}, "expires", "must lie in the future"),
        ({"name": "a", "expires": "9999-12-31T23:59:59-14:00"}, "expires", "before the year 10000"),
        ({"name": "a", "addresses": ["10.0.0.1/8"]}, "addresses", "networks"),
        ({"name": "a", "routes": ["admin"]}, "routes", "is a list of"),
        ({"name": "a", "max_output": 0}, "max_output", "from 1 to"),
        ({"name": "a", "priority": "urgent"}, "priority", "is one of"),
        ({"name": "a", "project": "web"}, "project", "name the tenant"),
        ({"name": "a", "env": "prod"}, "env", "none of live, test"),
    ],
)
def test_what_is_wrong_with_one_is_told_by_its_field(desk: Registered, body: Any, param: str, told: str) -> None:
    answer = desk.ask("admin", "POST", "/keys", body)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert answer.json["param"] == param
    assert told in f"{answer.json['detail']} {answer.json['do']}".lower() or told in answer.json["detail"]
    assert [each.what for each in desk.entries if each.what == "key.create"] == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"name": "a"}', "text/plain", 415),
        (b'{"name": "' + b"a" * 70_000 + b'"}', "application/json", 413),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"name": 1e999}', "application/json", 400),
    ],
)
def test_a_body_that_is_none(desk: Registered, content: bytes, kind: str, status: int) -> None:
    answer = ask(desk.plane, "/api/v1/keys", ADMIN, ("content-type", kind), method="POST", body=content)
    assert answer.status == status


def test_names_are_taken_once_for_each_tenant(desk: Registered) -> None:
    made = desk.done("POST", "/keys", KEY)
    again = desk.ask("admin", "POST", "/keys", KEY)
    assert (again.status, again.json["code"]) == (409, "conflict")
    desk.done("POST", "/keys", KEY | {"tenant": "globex"})
    desk.done("POST", f"/keys/{made['id']}/revoke")
    desk.done("POST", "/keys", KEY)


def test_what_the_file_declares_is_shown_with_its_place_and_changed_there(desk: Registered) -> None:
    listed = desk.done("GET", "/keys")["data"]
    assert [(key["id"], key["tenant"], key["declared"]) for key in listed] == [
        ("declared:app", "filed", "keys[0]"),
        ("declared:ops", None, "keys[1]"),
    ]
    assert desk.done("GET", "/keys/declared:app")["etag"] is None
    for method, path in (("POST", "/revoke"), ("POST", "/rotate"), ("PATCH", "")):
        answer = desk.ask("admin", method, f"/keys/declared:app{path}", if_match="*")
        assert (answer.status, answer.json["detail"]) == (409, "the key app is declared at keys[0]")
    taken = desk.ask("admin", "POST", "/keys", {"name": "app", "tenant": "filed"})
    assert (taken.status, taken.json["detail"]) == (409, "the key app is declared at keys[0]")
    assert [each["name"] for each in desk.done("GET", "/admins")["data"]] == ["ops"]


def test_revocation_needs_no_etag_and_is_for_good(desk: Registered) -> None:
    made = desk.employ("ann", "viewer")
    assert desk.ask("ann", "GET", "/health").status == 200
    gone = desk.done("POST", f"/admins/{made['id']}/revoke")
    assert gone["state"] == "revoked"
    assert desk.ask("ann", "GET", "/health").status == 401
    assert desk.done("POST", f"/admins/{made['id']}/revoke")["revoked"] == gone["revoked"], "again is the same"
    assert desk.ask("admin", "POST", f"/admins/{made['id']}/rotate", if_match="*").status == 409
    assert made["id"] not in [each["id"] for each in desk.done("GET", "/admins")["data"]]
    assert made["id"] in [each["id"] for each in desk.done("GET", "/admins?revoked=true")["data"]]


def test_a_rotated_secret_stays_good_as_long_as_is_said(desk: Registered) -> None:
    made = desk.employ("ann", "viewer")
    old = desk.secrets["ann"]
    turned = desk.done("POST", f"/admins/{made['id']}/rotate", {"overlap": "1h"}, if_match=made["etag"])
    assert turned["secret"] != old
    assert len(turned["secrets"]) == 2
    assert [desk.ask(secret, "GET", "/health").status for secret in (old, turned["secret"])] == [200, 200]
    desk.clock.advance(3601)
    assert [desk.ask(secret, "GET", "/health").status for secret in (old, turned["secret"])] == [401, 200]


def test_one_that_expires_is_nobody_from_then_on(desk: Registered) -> None:
    desk.employ("ann", "viewer", expires="1h")
    assert desk.ask("ann", "GET", "/health").status == 200
    desk.clock.advance(3600)
    assert desk.ask("ann", "GET", "/health").status == 401


def test_one_that_may_be_used_from_elsewhere_alone_is_nobody_here(desk: Registered) -> None:
    desk.employ("far", "viewer", addresses=["10.0.0.0/8"])
    desk.employ("near", "viewer", addresses=["127.0.0.0/8"])
    assert [desk.ask(who, "GET", "/health").status for who in ("far", "near")] == [401, 200]


def test_a_declared_key_with_a_role_opens_what_its_role_may(desk: Registered) -> None:
    assert desk.ask(ENV["OPENAI_API_KEY"], "GET", "/health").status == 200
    assert desk.ask(ENV["OPENAI_API_KEY"], "POST", "/keys", {"name": "x"}).status == 403
    assert desk.ask(ENV["APP_KEY"], "GET", "/health").status == 401, "it has no role"


@pytest.mark.parametrize(("method", "path", "body"), [("PATCH", "", {"models": None}), ("POST", "/rotate", None)])
def test_a_change_names_the_version_it_is_for(desk: Registered, method: str, path: str, body: Any) -> None:
    made = desk.done("POST", "/keys", KEY)
    url = f"/keys/{made['id']}{path}"
    missing = desk.ask("admin", method, url, body)
    assert (missing.status, "if-match is missing" in missing.json["detail"]) == (428, True)
    for tag in ('"0"', "W/" + made["etag"], "x", '"1', '"-1"', '"' + "9" * 30 + '"'):
        assert desk.ask("admin", method, url, body, if_match=tag).status == 412, tag
    assert desk.ask("admin", method, url, body, if_match='"1", "2"').status == 400
    changed = desk.ask("admin", method, url, body, if_match=made["etag"])
    assert (changed.status, changed.headers["etag"]) == (200, changed.json["etag"])
    assert changed.json["etag"] != made["etag"]
    assert desk.ask("admin", method, url, body, if_match=made["etag"]).status == 412
    assert desk.ask("admin", method, url, body, if_match="*").status == 200


def test_what_a_change_does_not_say_stays(desk: Registered) -> None:
    made = desk.done("POST", "/keys", KEY)
    changed = desk.done("PATCH", f"/keys/{made['id']}", {"max_output": None, "user": "trusted"}, if_match="*")
    assert (changed["max_output"], changed["user"]) == (None, "trusted")
    assert (changed["models"], changed["expires"]) == (made["models"], made["expires"])


def test_the_same_post_again_gets_the_same_answer_and_does_nothing_more(desk: Registered) -> None:
    first = desk.ask("admin", "POST", "/keys", KEY, idempotency_key="one")
    again = desk.ask("admin", "POST", "/keys", KEY, idempotency_key="one")
    assert (again.status, again.body) == (201, first.body)
    assert (again.headers["idempotency-replayed"], again.headers["location"]) == ("true", first.headers["location"])
    other = desk.ask("admin", "POST", "/keys", KEY | {"name": "other"}, idempotency_key="one")
    assert (other.status, other.json["code"]) == (422, "conflict")
    desk.employ("second", "admin")
    assert desk.ask("second", "POST", "/keys", KEY, idempotency_key="one").status == 409, "each has keys of its own"
    assert desk.ask("admin", "POST", "/keys", KEY, idempotency_key="").status == 400
    assert desk.ask("admin", "POST", "/keys", KEY, idempotency_key="x" * 256).status == 400
    desk.clock.advance(3601)
    assert desk.ask("admin", "POST", "/keys", KEY, idempotency_key="one").status == 409, "the name is taken"
    assert [each.what for each in desk.entries].count("key.create") == 2


def test_one_that_failed_may_be_sent_again(desk: Registered) -> None:
    assert desk.ask("admin", "POST", "/keys", {"name": "a", "tenant": "late"}, idempotency_key="k").status == 404
    desk.done("POST", "/tenants", {"name": "late"})
    assert desk.ask("admin", "POST", "/keys", {"name": "a", "tenant": "late"}, idempotency_key="k").status == 201


def test_pages_hold_what_is_declared_and_then_what_is_stored(desk: Registered) -> None:
    made = sorted(desk.done("POST", "/keys", {"name": f"k{number}"})["id"] for number in range(5))
    desk.employ("ann", "viewer")  # is not among them
    seen, cursor = [], ""
    for _ in range(20):
        told = desk.done("GET", f"/keys?limit=3{cursor}")
        seen.append([each["id"] for each in told["data"]])
        if told["next_cursor"] is None:
            break
        cursor = f"&cursor={told['next_cursor']}"
    assert seen == [["declared:app", "declared:ops", made[0]], made[1:4], made[4:]]
    assert desk.ask("admin", "GET", "/keys?cursor=ZGVjbGFyZWQ6Z29uZQ==").status == 400, "declared:gone"


def test_keys_are_listed_by_tenant(desk: Registered) -> None:
    for tenant in ("acme", "globex", ""):
        desk.done("POST", "/keys", {"name": "app", "tenant": tenant} if tenant else {"name": "lone"})
    by = {
        asked: [key["label"] for key in desk.done("GET", f"/keys?tenant={asked}")["data"]]
        for asked in ("acme", "-", "no")
    }
    assert by == {"acme": ["acme/app"], "-": ["ops", "lone"], "no": []}


def test_tenants_are_made_shown_changed_and_archived(desk: Registered) -> None:
    listed = desk.done("GET", "/tenants")["data"]
    assert [(each["name"], each["weight"], each["declared"]) for each in listed] == [
        ("filed", 3, "tenants[0]"), ("acme", 2, None), ("globex", 1, None),
    ]  # fmt: skip
    changed = desk.done("PATCH", "/tenants/acme", {"charge": "winner"}, if_match=listed[1]["etag"])
    assert (changed["charge"], changed["weight"]) == ("winner", 2)
    desk.employ("ann", "viewer", "acme")
    assert desk.ask("admin", "POST", "/tenants/acme/archive").status == 428
    gone = desk.done("POST", "/tenants/acme/archive", if_match=changed["etag"])
    assert gone["state"] == "archived"
    assert desk.ask("ann", "GET", "/keys").status == 401, "its keys end with it"
    assert [each["name"] for each in desk.done("GET", "/tenants")["data"]] == ["filed", "globex"]
    assert [each["name"] for each in desk.done("GET", "/tenants?archived=true")["data"]] == ["filed", "acme", "globex"]
    assert desk.ask("admin", "POST", "/keys", KEY).status == 409
    for method, path, body in (
        ("POST", "/tenants", {"name": "filed"}), ("PATCH", "/tenants/filed", {"weight": 1}),
        ("POST", "/tenants/filed/archive", None),
    ):  # fmt: skip
        answer = desk.ask("admin", method, path, body, if_match="*")
        assert (answer.status, answer.json["detail"]) == (409, "the tenant filed is declared at tenants[0]")


def test_a_tenant_that_only_a_key_of_the_file_names_is_not_said_to_be_missing() -> None:
    desk = Registered(DECLARING | {"keys": [{"name": "app", "key": "env:APP_KEY", "tenant": "solo"}]})
    assert "solo" in [each["name"] for each in desk.done("GET", "/tenants")["data"]]
    for method, path, body in (("PATCH", "/tenants/solo", {"weight": 2}), ("POST", "/tenants/solo/archive", None)):
        answer = desk.ask("admin", method, path, body, if_match="*")
        assert answer.status == 409
        assert "only named by a key at keys[0]" in answer.json["detail"]
    desk.done("POST", "/tenants", {"name": "solo"})
    assert desk.done("POST", "/tenants/solo/archive", if_match="*")["state"] == "archived"
    desk.close()


def test_every_change_is_in_the_audit_log_and_no_secret_is(desk: Registered) -> None:
    made = desk.done("POST", "/keys", KEY)
    desk.employ("ann", "tenant_admin", "acme")
    desk.done("PATCH", f"/keys/{made['id']}", {"max_output": 100}, who="ann", if_match="*")
    desk.done("POST", f"/keys/{made['id']}/revoke", who="ann")
    desk.done("POST", "/deployments/sim/small/drain")
    assert [(each.actor, each.role, each.what, each.tenant) for each in desk.entries] == [
        ("admin-key", "admin", "tenant.create", "acme"),
        ("admin-key", "admin", "tenant.create", "globex"),
        ("admin-key", "admin", "key.create", "acme"),
        ("admin-key", "admin", "key.create", "acme"),
        ("key:acme/ann", "tenant_admin", "key.change", "acme"),
        ("key:acme/ann", "tenant_admin", "key.revoke", "acme"),
        ("admin-key", "admin", "deployment.drain", ""),
    ]
    told = desk.done("GET", "/audit?limit=2")
    assert [each["what"] for each in told["data"]] == ["deployment.drain", "key.revoke"]
    rest = desk.done("GET", f"/audit?limit=100&cursor={told['next_cursor']}")["data"]
    assert (rest[0]["before"]["max_output"], rest[0]["after"]["max_output"]) == (500, 100)
    own = desk.done("GET", "/audit", who="ann")["data"]
    assert {each["tenant"] for each in own} == {"acme"}
    assert len(own) == 5
    assert len(desk.told) == 7
    assert desk.told[-1] == f"audit 7:{desk.entries[-1].hash.hex()}"
    assert made["secret"] not in str(desk.entries)


def test_a_key_that_may_do_nothing_is_none(desk: Registered) -> None:
    answer = desk.ask("admin", "POST", "/keys", {"name": "x", "routes": []})
    assert (answer.status, answer.json["param"]) == (400, "routes")
    made = desk.done("POST", "/keys", {"name": "x", "routes": ["chat"]})
    assert desk.ask("admin", "PATCH", f"/keys/{made['id']}", {"routes": []}, if_match="*").status == 400


def test_a_word_that_is_none_is_told_with_those_there_are(desk: Registered) -> None:
    for room, body, told in (
        ("keys", {"name": "x", "env": "prod"}, "env is none of live, test"),
        ("admins", {"name": "x", "role": "root"}, "role is none of viewer, operator, tenant_admin, admin"),
        ("tenants", {"name": "x", "charge": "all"}, "charge is none of attempts, winner"),
        ("keys", {"name": "x", "user": "yes"}, "user is none of"),
    ):
        assert told in desk.ask("admin", "POST", f"/{room}", body).json["detail"]


def test_a_key_whose_tenant_has_ended_is_neither_changed_nor_given_a_secret(desk: Registered) -> None:
    made = desk.done("POST", "/keys", {"name": "web", "tenant": "acme"})
    boss = desk.employ("ann", "tenant_admin", "acme")
    desk.done("POST", "/tenants/acme/archive", if_match="*")
    for method, path, body in (
        ("PATCH", f"/keys/{made['id']}", {"max_output": 5}),
        ("POST", f"/keys/{made['id']}/rotate", {}),
        ("POST", f"/admins/{boss['id']}/rotate", {}),
    ):
        answer = desk.ask("admin", method, path, body, if_match="*")
        assert (answer.status, answer.json["detail"]) == (409, "the tenant acme is archived")
    assert desk.done("POST", f"/keys/{made['id']}/revoke")["state"] == "revoked"


def test_who_is_not_there_is_told_in_the_words_of_where_it_was_sought(desk: Registered) -> None:
    made = desk.done("POST", "/keys", {"name": "web", "tenant": "acme"})
    for id in ("none", made["id"]):
        answer = desk.ask("admin", "GET", f"/admins/{id}")
        assert (answer.status, answer.json["detail"]) == (404, f"nobody with a role is {id!r}")
        assert answer.json["do"] == "GET /api/v1/admins lists those there are."


def test_when_somebody_with_a_role_was_here_last_is_kept_and_changes_no_version(desk: Registered) -> None:
    made = desk.employ("ann", "viewer")
    assert desk.done("GET", f"/admins/{made['id']}")["last_used"] is None
    desk.done("GET", "/keys", who="ann")
    seen = desk.done("GET", f"/admins/{made['id']}")
    assert (seen["last_used"], seen["etag"]) == ("2026-01-01T00:00:00Z", made["etag"])
    desk.clock.advance(59)
    desk.done("GET", "/keys", who="ann")
    assert desk.done("GET", f"/admins/{made['id']}") == seen
    desk.clock.advance(1)
    desk.done("GET", "/keys", who="ann")
    assert desk.done("GET", f"/admins/{made['id']}")["last_used"] == "2026-01-01T00:01:00Z"


def test_a_moment_that_no_date_can_say_is_told_as_the_last() -> None:
    """Who had one kept as a key's end would otherwise be in the way of whoever lists keys."""
    assert written(LAST) == written(LAST + 1) == written(2**62) == "9999-12-31T23:59:59Z"
