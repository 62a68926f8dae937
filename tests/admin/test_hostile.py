"""Strangers' input to the control plane (security.md 2, 8, 18, 20): never a 5xx, nothing done that was not meant."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.admin.asgi import ADMIN, LOCAL, ask
from tests.admin.registered import Registered

INJECTED = [
    "' OR '1'='1", "'; DROP TABLE keys; --", '" OR ""="', "acme' UNION SELECT * FROM key_secrets --", "%", "_", "%%%",
    "acme\0", "acme\n", "../../etc/passwd", "{{7*7}}", "${7*7}", "{0.__class__}", "<script>alert(1)</script>",
    "\u202eacme", "acme;--", "1; ATTACH DATABASE 'x' AS y", "x'||(SELECT hash FROM audit)||'", "=cmd()", "a" * 70,
    "declared:", "declared:app' --", "*", "-", ".", "..", "-acme",
]  # fmt: skip
# What decides of rights and is nobody's to say.
PRIVILEGED = {
    "role": "admin",
    "id": "00000000-0000-7000-8000-000000000000",
    "created_by": "admin-key",
    "owner": "",
    "version": 1,
    "etag": '"1"',
    "secret": "psk_live_mine",
    "secrets": [],
    "label": "x",
    "state": "active",
    "declared": None,
    "revoked": None,
    "allowed_routes": ["/*"],
    "base_url": "http://evil.example",
    "api_key": "sk-evil",
    "grants": None,
    "where": "",
}


@pytest.mark.parametrize("text", INJECTED)
def test_what_looks_like_sql_or_a_path_is_a_name_or_none(text: str) -> None:
    desk = Registered()
    desk.done("POST", "/tenants", {"name": "acme"})
    desk.employ("ann", "tenant_admin", "acme")
    before = len(desk.entries)
    encoded = quote(text, safe="")
    for who in ("admin", "ann"):
        for room in ("keys", "admins", "limits", "budgets", "tenants"):
            assert desk.ask(who, "GET", f"/{room}/{encoded}").status in (404, 400), room
        for room in ("keys", "admins", "limits", "budgets", "audit"):
            answer = desk.ask(who, "GET", f"/{room}?tenant={encoded}")
            assert answer.status in (200, 404)
            if text != "-":
                assert answer.json.get("data", []) == []
            assert desk.ask(who, "GET", f"/{room}?cursor={encoded}").status == 400
    for path, body in (
        ("/tenants", {"name": text}),
        ("/keys", {"name": text}),
        ("/keys", {"name": "k", "tenant": text}),
        ("/keys", {"name": "k", "tenant": "acme", "project": text}),
        ("/admins", {"name": "k", "role": text}),
        ("/limits", {"scope": text, "requests": "1/min"}),
    ):
        assert 400 <= desk.ask("admin", "POST", path, body).status < 500, path
    assert len(desk.entries) == before
    if text.isascii():
        assert desk.ask(text, "GET", "/keys").status == 401
    desk.close()


@pytest.mark.parametrize("field", PRIVILEGED)
@pytest.mark.parametrize("who", ["admin", "ann"])
def test_nobody_says_what_is_not_theirs_to_say(field: str, who: str) -> None:
    desk = Registered()
    desk.done("POST", "/tenants", {"name": "acme"})
    desk.employ("ann", "tenant_admin", "acme")
    made = desk.done("POST", "/keys", {"name": "web", "tenant": "acme"})
    rule = desk.done("POST", "/limits", {"scope": "task", "match": "acme/x", "requests": "1/min"}, who="ann")
    before = len(desk.entries)
    said = {field: PRIVILEGED[field]}
    for method, path, body in (
        ("POST", "/keys", {"name": "x", "tenant": "acme"}),
        ("PATCH", f"/keys/{made['id']}", {}),
        ("POST", f"/keys/{made['id']}/rotate", {}),
        ("POST", "/limits", {"scope": "task", "match": "acme/y", "requests": "1/min"}),
        ("PATCH", f"/limits/{rule['id']}", {}),
        ("POST", "/budgets", {"scope": "task", "match": "acme/y", "limit": "1 USD/day"}),
    ):
        answer = desk.ask(who, method, path, body | said, if_match="*")
        expected = 422 if "limits" in path or "budgets" in path else 400
        assert (answer.status, answer.json["code"]) == (expected, "invalid_request"), (path, answer.json)
    assert len(desk.entries) == before
    desk.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([
    *("name", "tenant", "project", "env", "models", "routes", "addresses", "expires", "max_output", "priority"),
    *("overrides", "user", "role", "scope", "match", "requests", "tokens", "concurrency", "kind", "burst", "queue"),
    *("limit", "hard", "zone", "alert_at", "on_low_budget", "on_soft", "charge", "weight", "overlap"),
])  # fmt: skip
DESK: list[Registered] = []


@pytest.fixture(scope="module", autouse=True)
def one_desk() -> Any:
    DESK.append(Registered())
    yield
    DESK.pop().close()


@given(st.sampled_from(["keys", "admins", "limits", "budgets", "tenants"]), st.dictionaries(FIELDS, JSON, max_size=5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_is_an_answer_or_a_refusal(room: str, body: dict[str, Any]) -> None:
    (desk,) = DESK
    try:
        content = msgspec.json.encode(body)
    except UnicodeEncodeError:
        content = repr(body).encode("utf-8", "replace")
    answer = ask(
        desk.plane, f"/api/v1/{room}", ADMIN, ("content-type", "application/json"), method="POST", body=content
    )
    assert answer.status in (201, 400, 404, 409, 422), (body, answer.json)
    if answer.status == 201 and room in ("limits", "budgets"):
        one = f"/{room}/{answer.json['id']}"
        assert desk.ask("admin", "GET", one).status == 200
        assert desk.ask("admin", "DELETE", one, if_match="*").status == 200


@given(st.binary(max_size=64))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_a_refusal(content: bytes) -> None:
    (desk,) = DESK
    answer = ask(desk.plane, "/api/v1/keys", ADMIN, ("content-type", "application/json"), method="POST", body=content)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b'{"name": "\xff"}', [], 400, "is not JSON"),
        (b"\xff\xfe{", [], 400, "is not JSON"),
        (b'{"name": "x", "name": "y"}', [], 400, '"name" stands there twice'),
        (b'{"name": "x", "weight": 1, "w": {"a": 1, "a": 2}}', [], 400, '"a" stands there twice'),
        (b'{"name": "x"}', [("content-encoding", "gzip")], 415, 'the body is "gzip"'),
        (b"[" * 60_000, [], 400, "is not JSON"),
        (b'{"weight": ' + b"9" * 5_000 + b"}", [], 400, "is not JSON"),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes, headers: list[tuple[str, str]], status: int, told: str) -> None:
    desk = Registered()
    head = [ADMIN, ("content-type", "application/json"), *headers]
    answer = ask(desk.plane, "/api/v1/tenants", *head, method="POST", body=body)
    assert (answer.status, answer.json["code"]) == (status, "invalid_request")
    assert told in answer.json["detail"]
    assert desk.done("GET", "/tenants")["data"] == [desk.done("GET", "/tenants/filed")]
    desk.close()


@pytest.mark.parametrize("path", ["/keys?revoked=maybe", "/tenants?archived=yes", "/tenants?archived="])
def test_a_flag_that_is_none_is_refused(path: str) -> None:
    desk = Registered()
    answer = desk.ask("admin", "GET", path)
    assert (answer.status, answer.json["param"]) == (400, path.partition("?")[2].partition("=")[0])
    assert "is true or false" in answer.json["detail"]
    desk.close()


def test_who_leaves_in_the_middle_of_a_body_is_no_mistake_of_ours() -> None:
    """A traceback for each would fill the log at will."""
    desk = Registered()
    heard = iter([{"type": "http.request", "body": b'{"name":', "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(heard)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in (LOCAL, ADMIN)]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/tenants", "query_string": b"", "headers": headers}

    async def main() -> None:
        await desk.plane.app(scope, receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 400
    assert desk.done("GET", "/tenants")["data"] == [desk.done("GET", "/tenants/filed")]
    desk.close()
