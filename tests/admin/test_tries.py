"""Wrong credentials at the control plane's door: bounded, with a growing wait, and never in the way of a right one."""

from __future__ import annotations

import asyncio

import pytest

from penstock.admin.app import ControlPlane
from penstock.admin.credential import Credential
from penstock.admin.door import ADMIN_KEY, Door
from penstock.admin.tries import LONGEST, MOST, MOST_TOLD, OVERALL, Tries, Unanswered
from penstock.errors import RateLimited, Unauthenticated
from penstock.redact import Secret
from penstock.testing import FakeClock
from tests.admin.asgi import ADMIN, KEY, ask, control_plane


class Desk:
    """A door, and who was told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[Unanswered] = []
        self.door = Door(Credential(Secret(KEY)), tries=Tries(self.clock, self._tell))

    async def _tell(self, found: Unanswered) -> None:
        self.told.append(found)

    def wrong(self, address: str = "192.0.2.1", secret: str = "psk_admin_of-nobody") -> float:
        """A try; 0 where it is answered as one, else how long the next must wait."""
        try:
            asyncio.run(self.door.admit([f"Bearer {secret}"], address))
        except Unauthenticated:
            return 0.0
        except RateLimited as error:
            return error.retry_after or 0.0
        raise AssertionError("it was let in")

    def right(self, address: str = "192.0.2.1") -> None:
        assert asyncio.run(self.door.admit([f"Bearer {KEY}"], address)) == ADMIN_KEY


def test_ten_a_minute_are_answered_and_then_the_wait_grows() -> None:
    desk = Desk()
    assert [desk.wrong() for _ in range(MOST)] == [0.0] * MOST
    waits = [desk.wrong() for _ in range(14)]
    assert waits[0] == pytest.approx(6.0)
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST
    assert desk.wrong("192.0.2.2") == 0.0, "another address is not in it"
    desk.right()
    assert desk.wrong() == LONGEST, "who has a right one wins nothing for who has not"


def test_who_waits_is_answered_and_the_next_waits_longer() -> None:
    desk = Desk()
    for _ in range(MOST):
        desk.wrong()
    wait = desk.wrong()
    for _ in range(4):
        desk.clock.advance(wait)
        assert desk.wrong() == 0.0
        longer = next(found for found in iter(desk.wrong, None) if found)
        assert longer == max(6.0, 2 * wait) or wait < 8
        wait = longer
    desk.clock.advance(wait + LONGEST)
    assert [desk.wrong() for _ in range(MOST)] == [0.0] * MOST, "what is long over is forgotten"
    assert desk.wrong() == pytest.approx(6.0)


def test_a_network_is_one_and_all_together_are_bounded() -> None:
    desk = Desk()
    for number in range(MOST):
        assert desk.wrong(f"2001:db8::{number:x}") == 0.0
    assert desk.wrong("2001:db8::ffff") > 0.0
    answered = sum(desk.wrong(f"198.51.100.{number}") == 0.0 for number in range(250))
    assert answered == OVERALL - MOST
    desk.right("198.51.100.77")


def test_somebody_is_told_once_an_hour_and_not_of_everybody() -> None:
    desk = Desk()
    for _ in range(3 * MOST):
        desk.wrong("192.0.2.1")
    assert [each.address for each in desk.told] == ["192.0.2.1"]
    for number in range(3 * OVERALL):
        desk.wrong(f"198.51.{number // 250}.{number % 250}")
    assert len(desk.told) == MOST_TOLD
    desk.clock.advance(3600.0)
    for _ in range(3 * MOST):
        desk.wrong("192.0.2.1")
    assert [each.address for each in desk.told[MOST_TOLD:]] == ["192.0.2.1"]


def test_what_is_not_there_is_no_try() -> None:
    desk = Desk()
    for _ in range(3 * MOST):
        with pytest.raises(Unauthenticated):
            asyncio.run(desk.door.admit([], "192.0.2.1"))
    assert desk.wrong() == 0.0


def test_a_refusal_is_a_429_with_the_wait_and_a_right_key_an_answer() -> None:
    clock = FakeClock()
    plane, gateway = control_plane(clock=clock)
    plane = ControlPlane(gateway, Door(Credential(Secret(KEY)), tries=Tries(clock)), clock)
    guess = ("authorization", "Bearer psk_admin_of-nobody")
    assert [ask(plane, "/api/v1/config", guess).status for _ in range(MOST)] == [401] * MOST
    answer = ask(plane, "/api/v1/config", guess)
    assert (answer.status, answer.headers["retry-after"], answer.json["code"]) == (429, "6", "rate_limited")
    assert answer.json["detail"] == "wrong admin keys came from your address again and again"
    assert ask(plane, "/api/v1/config", ADMIN).status == 200
    assert ask(plane, "/api/v1/config").status == 401
    assert ask(plane, "/api/v1/nowhere", guess).status == 404
