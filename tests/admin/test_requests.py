"""`/api/v1/requests` and `.../explain`: pages of requests, and what is said of one that is not there."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest

from penstock.admin.openapi import SCHEMAS
from penstock.lines import AttemptLine, DecisionLine, Line, Tokens, encode_lines
from penstock.testing import FakeClock
from tests.admin.asgi import ADMIN, KNOWN, Kept, ask, control_plane, known

DAY = 86_400_000
BEGAN = int(FakeClock().wall() * 1000)


def dated(milliseconds: int) -> str:
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


def test_one_is_told_as_its_log_line() -> None:
    plane, _ = control_plane()
    answer = ask(plane, f"/api/v1/requests/{KNOWN}/explain", ADMIN)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == encode_lines([known()]).rstrip()
    assert ask(plane, f"/api/v1/requests/{KNOWN.upper()}/explain", ADMIN).body == answer.body


def test_they_come_in_pages_the_newest_first() -> None:
    kept = Kept(*(known(number) for number in range(1, 8)))
    kept.live[known(9).id] = b'{"open":true}'
    plane, _ = control_plane(requests=kept)
    seen, cursor = [], ""
    for _ in range(5):
        told = ask(plane, f"/api/v1/requests?limit=3{cursor}", ADMIN).json
        seen.append([int(line["id"][-2:]) if "id" in line else "live" for line in told["data"]])
        if told["next_cursor"] is None:
            break
        cursor = f"&cursor={told['next_cursor']}"
    assert seen == [["live", 7, 6], [5, 4, 3], [2, 1]]


def test_a_page_goes_on_though_its_last_is_gone_and_others_have_come() -> None:
    kept = Kept(*(known(number) for number in range(1, 6)))
    plane, _ = control_plane(requests=kept)
    first = ask(plane, "/api/v1/requests?limit=2", ADMIN).json
    del kept.ended._all.lines[known(4).id]
    kept.live[known(9).id] = b"{}"
    told = ask(plane, f"/api/v1/requests?limit=2&cursor={first['next_cursor']}", ADMIN).json
    assert [line["id"] for line in told["data"]] == [known(3).id, known(2).id]


@pytest.mark.parametrize("cursor", ["x", "%FF", urlsafe_b64encode(b"no id").decode(), "7aCA", ""])
def test_what_is_no_cursor(cursor: str) -> None:
    plane, _ = control_plane()
    answer = ask(plane, f"/api/v1/requests?cursor={cursor}", ADMIN)
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("id", "told"),
    [
        ("nonsense", "not a request's id"),
        ("018bcfe5-687b-4000-8000-000000000001", "not a request's id"),
        (dated(BEGAN - DAY), "before this gateway began (2026-01-01 00:00:00 UTC)"),
        (dated(BEGAN + DAY // 2), "another gateway, or asked no provider and is too old: the last 10,000"),
        (dated(BEGAN + 3 * DAY), "whose clock goes differently"),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", "whose clock goes differently"),
    ],
)
def test_one_that_is_not_there_is_told_why(id: str, told: str) -> None:
    clock = FakeClock()
    plane, _ = control_plane(clock=clock)
    clock.advance(DAY / 1000)
    answer = ask(plane, f"/api/v1/requests/{id}/explain", ADMIN)
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert told in answer.json["detail"]
    assert answer.json["do"]


def test_the_description_has_every_field_of_a_line() -> None:
    for name, kind in (("Request", Line), ("Attempt", AttemptLine), ("Decision", DecisionLine), ("Tokens", Tokens)):
        assert set(SCHEMAS[name]["properties"]) == set(kind.__struct_fields__), name
