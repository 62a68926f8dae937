"""Changes that are asked for at the same moment: none is lost, and none is made twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.stores.sqlite import Database
from tests.admin.asgi import ADMIN, ask_at_once
from tests.admin.registered import Registered

JSON = ("content-type", "application/json")
ANY = ("if-match", "*")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Registered]:
    # In threads of its own, as a gateway has it: between reading and writing others have their turn.
    registered = Registered(db=Database(tmp_path / "penstock.db"))
    registered.done("POST", "/tenants", {"name": "acme"})
    yield registered
    registered.close()


def test_of_two_that_say_the_same_one_is_made(desk: Registered) -> None:
    for kind, said in (("limits", {"requests": "5/min"}), ("budgets", {"limit": "5 USD/day"})):
        body = msgspec.json.encode({"scope": "task", "match": "x", **said})
        answers = ask_at_once(desk.plane, f"/api/v1/{kind}", ADMIN, JSON, method="POST", bodies=[body] * 8)
        assert sorted(answer.status for answer in answers) == [201, *[409] * 7]
        assert len([each for each in desk.done("GET", f"/{kind}")["data"] if not each["declared"]]) == 1


def test_who_changes_one_word_takes_nothing_back_that_another_has_said(desk: Registered) -> None:
    made = desk.done("POST", "/limits", {"scope": "task", "match": "x", "requests": "5/min"})
    changes = [{"tokens": "9k/min"}, {"queue": "5s"}, {"concurrency": 7}, {"match": "y"}]
    bodies = [msgspec.json.encode(each) for each in changes]
    answers = ask_at_once(desk.plane, f"/api/v1/limits/{made['id']}", ADMIN, JSON, ANY, method="PATCH", bodies=bodies)
    assert [answer.status for answer in answers] == [200] * 4
    rule = desk.done("GET", f"/limits/{made['id']}")["rule"]
    assert rule == {
        "scope": "task", "match": "y", "requests": "5/min", "tokens": "9k/min", "queue": "5s", "concurrency": 7
    }  # fmt: skip


def test_nor_at_a_key(desk: Registered) -> None:
    made = desk.done("POST", "/keys", {"name": "web", "tenant": "acme"})
    changes = [{"models": ["fast"]}, {"addresses": ["10.0.0.0/8"]}, {"max_output": 7}, {"expires": "9d"}]
    bodies = [msgspec.json.encode(each) for each in changes]
    answers = ask_at_once(desk.plane, f"/api/v1/keys/{made['id']}", ADMIN, JSON, ANY, method="PATCH", bodies=bodies)
    assert [answer.status for answer in answers] == [200] * 4
    key = desk.done("GET", f"/keys/{made['id']}")
    assert (key["models"], key["addresses"], key["max_output"]) == (["fast"], ["10.0.0.0/8"], 7)
    assert key["expires"] is not None
    assert len(desk.entries) == 6
