"""The book of accounts: callers' names cannot fill it, nobody is locked out by them, and what is idle makes room."""

from __future__ import annotations

from penstock.reservation import Rule
from penstock.stores.account import Moment
from penstock.stores.account_book import SHARED, AccountBook, Entry

MONEY = Rule("money", "user", "budget", "usd", 1000, period="day")
RATE = Rule("rate", "user", "burst", "requests", 60, seconds=60)
SECOND = 1_000_000_000


def at(seconds: float) -> Moment:
    return Moment(int(seconds * SECOND), 1_767_225_600.0 + seconds)


def book(most: int, most_names: int, **more: object) -> AccountBook:
    found = AccountBook(None, most, most_names)
    found.adopt(MONEY)
    found.adopt(RATE)
    return found


def taken(book: AccountBook, rule: Rule, value: str, seconds: float = 0.0, amount: int = 10) -> Entry:
    entry = book.get(rule.id, value, at(seconds))
    assert entry is not None
    entry.account.take("w", amount, at(seconds))
    return entry


def test_one_account_for_each_value() -> None:
    accounts = book(100, 100)
    one, other = taken(accounts, MONEY, "acme/u1"), taken(accounts, MONEY, "acme/u2")
    assert one is not other
    assert accounts.get("money", "acme/u1", at(1)) is one
    assert accounts.get("nothing", "acme/u1", at(1)) is None
    assert len(accounts) == 2


def test_names_beyond_what_a_tenant_may_have_share_an_account_and_its_limit() -> None:
    accounts = book(100, 3)
    own = [taken(accounts, MONEY, f"acme/u{number}") for number in range(3)]
    shared = taken(accounts, MONEY, "acme/u3")
    assert shared is taken(accounts, MONEY, "acme/u4")
    assert shared.account.value == f"acme/{SHARED}"
    assert shared.shared
    assert shared.account.left(at(0)) == 1000 - 20
    assert len({id(entry) for entry in [*own, shared]}) == 4
    assert not taken(accounts, MONEY, "other/u1").shared, "another tenant's are none of its business"


def test_what_is_idle_makes_room_and_what_is_not_stays() -> None:
    accounts = book(4, 100)
    for number in range(4):
        taken(accounts, RATE, f"acme/u{number}", amount=60 if number == 0 else 1)
    late = taken(accounts, RATE, "acme/u9", seconds=2)
    assert not late.shared
    assert accounts.find("rate", "acme/u0") is not None, "it is still owed"
    assert accounts.find("rate", "acme/u1") is None, "nothing is lost with it"


def test_money_is_idle_only_once_it_is_on_record() -> None:
    asked: list[str] = []

    def spent(rule: Rule, value: str, window: int) -> int:
        asked.append(value)
        return 40

    kept, unkept = AccountBook(spent, 1, 10), AccountBook(None, 1, 10)
    for accounts in (kept, unkept):
        accounts.adopt(MONEY)
        entry = taken(accounts, MONEY, "acme/u1", amount=40)
        entry.account.told("w", int(at(0).wall) // 86_400 * 86_400, 40, 0, at(1))
        assert accounts.get("money", "acme/u2", at(30)).shared, "it may not be in the books yet"  # type: ignore[union-attr]
    assert unkept.get("money", "acme/u2", at(100)).shared  # type: ignore[union-attr]
    assert kept.get("money", "acme/u2", at(100)).account.value == "acme/u2"  # type: ignore[union-attr]
    assert kept.find("money", "acme/u1") is None
    assert asked.count("acme/u1") == 1


def test_twenty_thousand_names_are_no_more_accounts_than_there_may_be() -> None:
    accounts = book(500, 200)
    for number in range(20_000):
        taken(accounts, (MONEY, RATE)[number & 1], f"t{number % 7}/u{number}", seconds=number / 1000)
    assert len(accounts) <= 500 + 2 * 7
    assert sum(accounts._names.values()) == len(accounts)


def test_in_hand_or_asked_for_is_not_idle() -> None:
    accounts = book(1, 10)
    entry = taken(accounts, RATE, "acme/u1", amount=0)
    entry.loose["w"] = None
    assert accounts.get("rate", "acme/u2", at(60)).shared  # type: ignore[union-attr]
