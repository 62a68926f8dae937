"""Nobody gives a right they do not have: field by field, and along any chain of those who make others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.admin.grants import bounded, covers
from penstock.admin.rights import Principal
from penstock.errors import Forbidden
from penstock.stores.directory_rows import KeyRights
from tests.admin.registered import Registered

MODELS = {"fast", "smart"}
ALL: dict[str, Any] = {
    "models": ("fast",),
    "addresses": ("10.0.0.0/8",),
    "expires": 5_000,
    "max_output": 100,
    "priority": "normal",
    "overrides": False,
    "trusts_user": False,
    "routes": ("chat",),
}


def maker(**own: Any) -> Principal:
    return Principal("key:acme/ann", "tenant_admin", "acme", KeyRights(**own))


def test_what_is_not_said_is_what_the_maker_has() -> None:
    assert bounded(maker(**ALL), KeyRights(), MODELS) == KeyRights(**ALL)
    assert bounded(maker(), KeyRights(), MODELS) == KeyRights()


@pytest.mark.parametrize(
    ("param", "good", "beyond"),
    [
        ("models", [("fast",)], [("smart",), ("fast", "smart"), ("*",), ("f*",), ("sim/small",)]),
        ("addresses", [("10.1.0.0/16",), ("10.0.0.7",)], [("11.0.0.0/8",), ("0.0.0.0/0",), ("10.0.0.0/8", "::/0")]),
        ("expires", [5_000, 4_999], [5_001]),
        ("max_output", [100, 1], [101]),
        ("priority", ["normal", "low", "sheddable"], ["high", "critical"]),
        ("routes", [("chat",), ()], [("embeddings",), ("chat", "models")]),
    ],
)
def test_each_right_is_bounded(param: str, good: list[Any], beyond: list[Any]) -> None:
    for value in good:
        assert getattr(bounded(maker(**ALL), KeyRights(**{param: value}), MODELS), param) == value
    for value in beyond:
        with pytest.raises(Forbidden) as refused:
            bounded(maker(**ALL), KeyRights(**{param: value}), MODELS)
        assert refused.value.param == param


@pytest.mark.parametrize(("field", "param"), [("overrides", "overrides"), ("trusts_user", "user")])
def test_a_flag_is_given_by_who_has_it(field: str, param: str) -> None:
    has: dict[str, Any] = {field: True}
    assert getattr(bounded(maker(**has), KeyRights(**has), MODELS), field)
    with pytest.raises(Forbidden) as refused:
        bounded(maker(), KeyRights(**has), MODELS)
    assert refused.value.param == param


def test_who_was_given_no_models_may_give_the_names_under_models_and_no_other() -> None:
    assert bounded(maker(), KeyRights(models=("fast", "smart")), MODELS).models == ("fast", "smart")
    for beyond in (("sim/small",), ("*",), ("fa*",), ("fast", "openai/*")):
        with pytest.raises(Forbidden):
            bounded(maker(), KeyRights(models=beyond), MODELS)


def test_who_may_ask_nothing_itself_may_give_any_route() -> None:
    """So it is with those of the store: their keys steer, and are good for no call."""
    assert bounded(maker(routes=()), KeyRights(), MODELS).routes is None
    assert bounded(maker(routes=()), KeyRights(routes=("embeddings",)), MODELS).routes == ("embeddings",)


def test_an_ipv4_address_in_an_ipv6_one_is_what_it_is() -> None:
    with pytest.raises(Forbidden):
        bounded(maker(addresses=("::/0",)), KeyRights(addresses=("::ffff:192.168.0.0/112",)), MODELS)


def test_who_belongs_to_no_tenant_may_give_anything() -> None:
    wanted = KeyRights(models=("*",), overrides=True, priority="critical")
    assert bounded(Principal("admin-key", "admin"), wanted, MODELS) == wanted


NAMES = st.text("ab/*", min_size=1, max_size=6)


@given(NAMES, NAMES, st.text("ab/", max_size=8))
@settings(max_examples=600)
def test_a_pattern_that_covers_another_matches_what_that_does(pattern: str, other: str, name: str) -> None:
    def matches(written: str) -> bool:
        return re.fullmatch(".*".join(map(re.escape, written.split("*"))), name) is not None

    if covers(pattern, other) and matches(other):
        assert matches(pattern)


@given(NAMES)
def test_a_pattern_covers_itself_and_star_covers_all(pattern: str) -> None:
    assert covers(pattern, pattern)
    assert covers("*", pattern)


RIGHTS = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(st.sampled_from(["fast", "smart", "sim/*", "sim/small", "*", "f*"]), min_size=1, max_size=2),
        "max_output": st.integers(1, 3),
        "priority": st.sampled_from(["critical", "high", "normal", "low"]),
        "overrides": st.sampled_from(["allowed", "refused"]),
        "user": st.just("trusted"),
        "expires": st.sampled_from(["1h", "2h", "90d"]),
    },
)


@given(st.lists(st.tuples(RIGHTS, st.booleans(), st.integers(0, 3)), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_no_chain_of_makers_ends_with_more_than_it_began_with(steps: list[tuple[dict[str, Any], bool, int]]) -> None:
    """security.md 6: an admin makes a tenant's admin, who makes others, who make keys, rotate and change them."""
    desk = Registered()
    desk.done("POST", "/tenants", {"name": "acme"})
    first = {"models": ["fast", "sim/*"], "max_output": 2, "priority": "normal", "expires": "2h"}
    root = desk.employ("root", "tenant_admin", "acme", **first)
    makers, made = ["root"], []
    for number, (rights, admin, which) in enumerate(steps):
        who = makers[which % len(makers)]
        body = {"name": f"n{number}", **rights} | ({"role": "tenant_admin"} if admin else {})
        answer = desk.ask(who, "POST", "/admins" if admin else "/keys", body)
        assert answer.status in (201, 403), answer.json
        if answer.status == 201:
            made.append(answer.json)
            if admin:
                desk.secrets[f"n{number}"] = answer.json["secret"]
                makers.append(f"n{number}")
            path = f"/{'admins' if admin else 'keys'}/{answer.json['id']}"
            changed = desk.ask(who, "PATCH", path, rights | {"models": ["*"]}, if_match="*")
            assert changed.status == 403
    for key in made:
        assert key["tenant"] == "acme"
        assert all(any(covers(own, each) for own in first["models"]) for each in key["models"])  # type: ignore[attr-defined]
        assert key["max_output"] <= 2
        assert key["priority"] in ("normal", "low")
        assert key["expires"] <= root["expires"]
        assert (key["overrides"], key["user"]) == ("refused", None)
    desk.close()


@pytest.fixture
def desk() -> Iterator[Registered]:
    registered = Registered()
    for name in ("acme", "globex"):
        registered.done("POST", "/tenants", {"name": name})
    registered.employ("ann", "tenant_admin", "acme")
    yield registered
    registered.close()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"role": "admin"}, 400, "belongs to no tenant"),
        ({"role": "admin", "tenant": "acme"}, 400, "belongs to no tenant"),
        ({"role": "tenant_admin", "tenant": "globex"}, 404, "there is no tenant 'globex'"),
        ({"role": "viewer", "tenant": "globex"}, 404, "there is no tenant 'globex'"),
        ({"role": "viewer", "tenant": "nowhere"}, 404, "there is no tenant 'nowhere'"),
        ({"role": "owner"}, 400, "none of viewer"),
        ({"role": "viewer", "models": ["sim/large"]}, 403, "models goes beyond"),
    ],
)
def test_a_tenants_admin_makes_nobody_greater(desk: Registered, body: Any, status: int, told: str) -> None:
    answer = desk.ask("ann", "POST", "/admins", {"name": "x", **body})
    assert (answer.status, told in answer.json["detail"].lower()) == (status, True), answer.json


def test_whom_a_tenants_admin_makes_belongs_to_its_tenant(desk: Registered) -> None:
    for role in ("viewer", "operator", "tenant_admin"):
        made = desk.done("POST", "/admins", {"name": role, "role": role}, who="ann")
        assert (made["tenant"], made["role"], made["routes"]) == ("acme", role, [])


def test_a_key_that_may_more_is_rotated_by_who_may_give_that(desk: Registered) -> None:
    """Whoever gets its secret gets all that it may."""
    made = desk.done("POST", "/keys", {"name": "big", "tenant": "acme", "models": ["*"]})
    answer = desk.ask("ann", "POST", f"/keys/{made['id']}/rotate", if_match="*")
    assert (answer.status, answer.json["detail"]) == (
        403,
        "models goes beyond what you may give: you may give only names under `models:`",
    )
    desk.done("POST", f"/keys/{made['id']}/rotate", if_match="*")
    desk.done("POST", f"/keys/{made['id']}/revoke", who="ann")


@pytest.mark.parametrize("room", ["keys", "admins"])
def test_those_with_a_role_are_not_reached_as_keys_nor_keys_as_them(desk: Registered, room: str) -> None:
    other = "admins" if room == "keys" else "keys"
    body = {"name": "x", "tenant": "acme"} | ({"role": "viewer"} if room == "admins" else {})
    made = desk.done("POST", f"/{room}", body)
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/revoke"), ("POST", "/rotate")):
        asked = desk.ask(
            "admin", method, f"/{other}/{made['id']}{path}", {} if method == "PATCH" else None, if_match="*"
        )
        assert asked.status == 404
    assert made["id"] not in [each["id"] for each in desk.done("GET", f"/{other}")["data"]]
