"""Who asks, and what their key allows: each right at its edge, on a scripted call and without a store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.call import Call, Frame, Reply
from penstock.clock import Ids
from penstock.errors import Forbidden, Overloaded, PenstockError, Unauthenticated
from penstock.gateway.keys import nearness
from penstock.layers.authenticate import LONGEST_KEY, Authenticate, Key, Keyring, NoStore
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.routing.names import AllowList
from penstock.routing.wishes import PRIORITIES, Wishes, at_most
from penstock.testing import FakeClock, SeededRandom

SECRET = "app-key-0123456789"
ANY = AllowList(["*"]).admits


class Asked:
    """Answers, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        return Reply(200, b"application/json", Frame(b"{}", lambda data: []))


class Store(NoStore):
    """A store in a test's hands."""

    def __init__(self) -> None:
        self.rows: dict[str, Key] = {}
        self.ended: set[str] = set()
        self.archived = self.ended
        self.away = False
        self.asked = 0

    def is_mistyped(self, presented: str) -> bool:
        return presented.startswith("psk_")

    def find(self, digest: bytes) -> Key | None:
        self.asked += 1
        if self.away:
            raise Overloaded("away")
        return next((key for secret, key in self.rows.items() if self.digest(secret) == digest), None)


class Bench:
    """The layer over a scripted call."""

    def __init__(self, key: Key, store: Store | None = None) -> None:
        self.clock = FakeClock()
        self.asked = Asked()
        self.keyring = Keyring([(SECRET, key)], store)
        self.call: Call = Authenticate(self.asked, self.keyring)
        self._opening = Opening(Ids(self.clock, SeededRandom(1)), self.clock)

    def request(
        self, secret: str | None = SECRET, operation: str = "chat", address: str | None = "10.0.0.1"
    ) -> Request:
        record = self._opening.record(operation)
        record.address = address
        return Request("openai_chat", "fast", False, {}, Caller({}, b"", secret), record)

    def ask(self, request: Request | None = None, **of: Any) -> Request:
        """What reached the call; raises what the layer raised."""

        async def asking() -> None:
            await self.call(request if request is not None else self.request(**of))

        asyncio.run(asking())
        return self.asked.requests[-1]

    def refuses(self, kind: type[PenstockError], request: Request | None = None, **of: Any) -> PenstockError:
        before = len(self.asked.requests)
        with pytest.raises(kind) as refused:
            self.ask(request, **of)
        assert len(self.asked.requests) == before
        return refused.value


def key(**rights: Any) -> Key:
    return Key("app", "acme", "web", ANY, **rights)


def test_a_record_says_whose_key_it_was_and_the_caller_what_it_may() -> None:
    bench = Bench(key(max_output=300))
    request = bench.ask()
    assert (request.record.key, request.record.tenant, request.record.project) == ("app", "acme", "web")
    assert (request.caller.admits, request.caller.max_output) == (ANY, 300)
    assert Bench(key()).ask().caller.max_output is None


def test_an_expired_key_is_refused_from_its_second_on() -> None:
    clock = FakeClock()
    bench = Bench(key(expires=clock.wall() + 60))
    request = bench.request()
    request.record.wall = clock.wall() + 59.999
    bench.ask(request)
    request.record.wall = clock.wall() + 60
    assert "expired" in str(bench.refuses(Unauthenticated, request))


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("10.1.2.3", True),
        ("11.0.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:11.0.0.1", False),
        (None, False),
        ("", False),
        ("/run/penstock.sock", False),
        ("10.1.2.3 ", False),
        ("010.1.2.3", False),
        ("10.1.2", False),
    ],
)
def test_a_key_may_be_used_from_its_networks_alone(address: str | None, may: bool) -> None:
    bench = Bench(key(near=nearness(("10.0.0.0/8", "2001:db8::/32"))))
    for _ in range(2):  # the second by what is remembered
        if may:
            bench.ask(address=address)
        else:
            bench.refuses(Forbidden, address=address)


@pytest.mark.parametrize("operations", [("chat",), ("embeddings", "models"), ()])
@pytest.mark.parametrize("operation", ["chat", "embeddings", "count_tokens", "models", "http", "rerank"])
def test_a_key_may_ask_for_its_operations_alone_and_what_comes_later_is_none_of_them(
    operations: tuple[str, ...], operation: str
) -> None:
    bench = Bench(key(operations=operations))
    if operation in operations:
        bench.ask(operation=operation)
    else:
        refused = bench.refuses(Forbidden, operation=operation)
        assert operation in str(refused)
        assert refused.do.startswith("It may: " if operations else "It is for the control plane")


@pytest.mark.parametrize("operation", ["key", "requests"])
def test_every_key_may_ask_about_itself(operation: str) -> None:
    Bench(key(operations=())).ask(operation=operation)


@pytest.mark.parametrize("most", PRIORITIES)
@pytest.mark.parametrize("said", PRIORITIES)
def test_no_call_is_more_urgent_than_its_key(most: str, said: str) -> None:
    bench = Bench(key(priority=most))
    request = bench.request()
    shared = request.caller
    shared.wishes = Wishes(priority=said, deadline=3.0)
    found = bench.ask(request).caller.wishes
    assert PRIORITIES.index(found.priority) == max(PRIORITIES.index(most), PRIORITIES.index(said))
    assert found.deadline == 3.0
    # What the connection's next request shares is as the caller said it.
    assert shared.wishes.priority == said


def test_a_call_that_says_nothing_is_as_urgent_as_its_key() -> None:
    assert Bench(key(priority="low")).ask().caller.wishes == Wishes(priority="low")
    assert Bench(key()).ask().caller.wishes is None
    assert at_most(None, "critical").priority == "critical"


def test_a_capped_caller_keeps_what_its_key_may() -> None:
    request = Bench(key(priority="low", max_output=7)).ask()
    assert (request.caller.admits, request.caller.max_output) == (ANY, 7)
    assert request.caller.credential == SECRET


def test_without_a_key_and_with_a_wrong_one() -> None:
    bench = Bench(key())
    assert "no API key" in str(bench.refuses(Unauthenticated, secret=None))
    for wrong in ("", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper(), SECRET + "\0", " " + SECRET):
        assert "not known" in str(bench.refuses(Unauthenticated, secret=wrong))


@pytest.mark.parametrize(
    ("presented", "told"),
    [
        ("", "came empty"),
        (f'"{SECRET}"', "quotation marks"),
        (f"'{SECRET}'", "quotation marks"),
        (f"Bearer {SECRET}", "`Bearer` twice"),
        (f"bearer {SECRET}", "`Bearer` twice"),
        *((blank, "a placeholder") for blank in ("undefined", "null", "None", "NONE")),
        *((name, "a placeholder") for name in ("$APP_KEY", "${APP_KEY}", "{{key}}", "<key>", "%KEY%")),
        *((name, "a placeholder") for name in ("env:APP_KEY", "os.environ/APP_KEY", "process.env.KEY")),
        *((other, "this gateway's own") for other in ("wrong", "sk-proj-1", "nonesuch", "environment")),
    ],
)
def test_what_is_wrong_with_a_key_is_told_where_it_can_be(presented: str, told: str) -> None:
    refused = Bench(key()).refuses(Unauthenticated, secret=presented)
    assert told in refused.do
    assert SECRET not in str(refused)


def test_what_is_too_long_for_a_key_is_not_even_hashed() -> None:
    class Counting(Store):
        hashed = 0

        def digest(self, presented: str) -> bytes:
            self.hashed += 1
            return super().digest(presented)

    store = Counting()
    bench = Bench(key(), store)
    before = store.hashed
    bench.refuses(Unauthenticated, secret="x" * (LONGEST_KEY + 1))
    assert store.hashed == before
    bench.refuses(Unauthenticated, secret="x" * LONGEST_KEY)
    assert store.hashed == before + 1


def test_a_stored_key_is_sought_once_and_again_when_it_has_changed() -> None:
    store = Store()
    store.rows["stored"] = Key("acme/app", "acme", None, ANY, id="1")
    bench = Bench(key(), store)
    for _ in range(3):
        assert bench.ask(secret="stored").record.key == "acme/app"
    assert store.asked == 1
    store.rows.clear()
    bench.keyring.forget([store.digest("stored"), store.digest(SECRET)])
    bench.refuses(Unauthenticated, secret="stored")
    bench.ask()  # a declared one is not the store's to take away


def test_a_revoked_key_is_refused_on_a_connection_that_has_used_it() -> None:
    store = Store()
    store.rows["stored"] = Key("acme/app", "acme", None, ANY, id="1")
    bench = Bench(key(), store)
    request = bench.request("stored")
    bench.ask(request)
    del store.rows["stored"]
    bench.keyring.forget([store.digest("stored")])
    assert request.caller.digest is not None
    bench.refuses(Unauthenticated, request)


def test_a_digest_of_another_pepper_is_made_anew() -> None:
    """A connection outlives the gateway that hashed its key."""
    bench = Bench(key())
    request = bench.request()
    request.caller.digest = b"of another pepper"
    assert bench.ask(request).record.key == "app"


def test_with_a_tenant_its_declared_keys_end() -> None:
    store = Store()
    bench = Bench(key(), store)
    bench.ask()
    store.ended.add("acme")
    bench.keyring.forget(None)
    assert "not known" in str(bench.refuses(Unauthenticated))
    store.ended.clear()
    bench.keyring.forget(None)
    bench.ask()


def test_without_the_store_declared_keys_go_on_and_others_are_nobodys_fault() -> None:
    store = Store()
    store.away = True
    bench = Bench(key(), store)
    bench.ask()
    bench.refuses(Overloaded, secret="stored")
    # A typo needs no store to be known.
    assert "typo" in str(bench.refuses(Unauthenticated, secret="psk_live_x"))


def test_a_typo_asks_no_store() -> None:
    store = Store()
    bench = Bench(key(), store)
    for _ in range(10):
        bench.refuses(Unauthenticated, secret="psk_live_x")
    assert store.asked == 0


def test_which_keys_were_used_is_told_once() -> None:
    store = Store()
    for name in ("one", "two"):
        store.rows[name] = Key(name, None, None, ANY, id=name)
    bench = Bench(key(), store)
    bench.ask()
    bench.ask(secret="one")
    assert bench.keyring.used() == ["one"]
    assert bench.keyring.used() == []
    bench.ask(secret="two")
    assert bench.keyring.used() == ["two"]
    assert bench.keyring.found() == ["one", "two"]
    bench.ask(secret="one")
    assert bench.keyring.found() == []
    bench.keyring.forget(None)
    bench.ask(secret="one")
    assert bench.keyring.found() == ["one"], "it was looked up anew"
