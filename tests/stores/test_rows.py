"""What is booked of an attempt survives its way through a journal, and who pays is decided by one rule."""

from __future__ import annotations

import msgspec
import pytest

from penstock.stores.rows import Closed, Heard, Hold, Opened, charge_of, qualified

OPENED = Opened(
    "r", 1, 5, "fast", "sim/small", "sim", tenant="acme", tags=(("a", "b"),), holds=(Hold("r1", "acme", 60, "usd", 7),)
)


@pytest.mark.parametrize("row", [OPENED, Closed("r", 1, 9, cost=None, settled=(3,)), Heard("r", 1, 8, 4, 100)])
def test_a_row_comes_back_as_it_was(row: Opened | Closed | Heard) -> None:
    decoder = msgspec.msgpack.Decoder(Opened | Closed | Heard)
    again = decoder.decode(msgspec.msgpack.encode(row))
    assert type(again) is type(row)
    assert msgspec.msgpack.encode(again) == msgspec.msgpack.encode(row)


@pytest.mark.parametrize(
    ("winner_pays", "answered", "cost", "charge"),
    [
        (False, False, 7, 7),
        (False, True, 7, 7),
        (True, False, 7, 0),
        (True, True, 7, 7),
        (True, True, None, None),
        (False, False, None, None),
        (True, False, None, 0),
    ],
)
def test_who_pays(winner_pays: bool, answered: bool, cost: int | None, charge: int | None) -> None:
    opened = Opened("r", 1, 5, "fast", "sim/small", "sim", winner_pays=winner_pays)
    assert charge_of(opened, Closed("r", 1, 9, answered=answered, cost=cost)) == charge


def test_a_name_is_its_tenant_s_own() -> None:
    assert qualified("acme", "u1") == "acme/u1"
    assert qualified(None, "u1") == "-/u1"
    assert qualified("acme", None) == "acme/-"
