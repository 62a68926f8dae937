"""A caller's further requests go past the layers that decided of its first, and nothing that they look at is missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Set
from typing import Any

import msgspec
import pytest

from penstock.call import Call, Frame, Layer, Reply, stack
from penstock.clock import Ids
from penstock.config.load import load_config
from penstock.errors import Forbidden, Unauthenticated, UnknownModel
from penstock.gateway import Gateway, Shared
from penstock.gateway.shortcut import Learning, Shortcut
from penstock.layers.authenticate import Authenticate, Key, Keyring, NoStore
from penstock.layers.route import Route
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.routing.names import AllowList, Found, Names, Target
from penstock.routing.plan import Plan
from penstock.routing.timeouts import Timeouts
from penstock.routing.wishes import wishes_of
from penstock.stores.state import Registry
from penstock.stores.strain import Strain
from penstock.testing import FakeClock, SeededRandom, SimLoop, run

SECRET = "sk-0123456789abcdef0123456789abcdef"


class Store(NoStore):
    """A store of keys in which one can be changed."""

    def __init__(self, key: Key) -> None:
        self.key: Key | None = key
        self.archived: Set[str] = frozenset()

    def find(self, digest: bytes) -> Key | None:
        return self.key if digest == self.digest(SECRET) else None


def key(**more: Any) -> Key:
    return Key("one", "acme", "web", AllowList(("*",)).admits, id="k1", **more)


class Scene:
    """The layers that are passed by, and what lies behind them."""

    def __init__(self, found: Key | None = None, *, declared: bool = False, strain: Strain | None = None) -> None:
        self.clock = FakeClock()
        self.ids = Ids(self.clock, SeededRandom(1))
        self.store = Store(found or key())
        keys = [(SECRET, found or key())] if declared else []
        self.keyring = Keyring(keys, self.store)
        self.names = Names({"fast": [Target("p", "m")], "deep": [Target("p", "n")]}, {"p": {}})
        self.long = 0
        self.lasting = True
        self.asked: list[Request] = []
        self.reserved = 0
        self.call = self.stack(strain)

    def stack(self, strain: Strain | None = None) -> Call:
        layers: list[Layer] = [
            self._counted,
            lambda call: Authenticate(call, self.keyring),
            lambda call: Route(call, self.names, self._plan),
        ]
        learning = Learning(self._reserving, self._answer, self.keyring)
        return Shortcut(stack(layers, learning), self.keyring, strain)

    def _counted(self, call: Call) -> Call:
        def counted(request: Request) -> Awaitable[Reply]:
            self.long += 1
            return call(request)

        return counted

    def _plan(self, found: Found, caller: Caller) -> Plan:
        return Plan(found.name, (), (), timeouts=Timeouts(), lasting=self.lasting)

    def _reserving(self, request: Request) -> Awaitable[Reply]:
        self.reserved += 1
        return self._answer(request)

    async def _answer(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply(200, b"", Frame(b"", lambda data: []))

    def ask(self, caller: Caller, model: str = "fast", *, stream: bool = False, **fields: str) -> Request:
        """Ask, and see what came through."""
        record = Opening(self.ids, self.clock).record("chat")
        raw = {name: msgspec.Raw(value.encode()) for name, value in fields.items()}
        request = Request("openai_chat", model, stream, raw, caller, record)
        with pytest.raises(StopIteration):
            self.call(request).__await__().__next__()
        return self.asked[-1]


def decided(request: Request) -> tuple[Any, ...]:
    record = request.record
    by = request.deadline - record.started
    return record.key, record.tenant, record.project, record.deployment, request.plan.name, by


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("declared", [False, True])
def test_the_second_request_is_decided_as_the_first(*, declared: bool, stream: bool) -> None:
    scene, caller = Scene(declared=declared), Caller(credential=SECRET)
    first = scene.ask(caller, stream=stream)
    scene.clock.advance(3.0)
    second = scene.ask(caller, stream=stream)
    assert scene.long == 1
    assert decided(first) == decided(second)
    assert second.deadline == (float("inf") if stream else second.record.started + 600.0)
    assert scene.keyring.keys[caller.digest].used == second.record.wall
    scene.ask(caller, stream=not stream)
    assert scene.long == 1


@pytest.mark.parametrize("bound", [None, 100])
def test_only_a_request_that_nothing_bounds_is_one_of_which_nothing_is_reserved(bound: int | None) -> None:
    scene, caller = Scene(key(max_output=bound)), Caller(credential=SECRET)
    for _ in range(3):
        scene.ask(caller)
    assert (scene.long, scene.reserved) == (1, 1 if bound is None else 3)


def test_a_revoked_key_is_refused_at_once() -> None:
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.ask(caller)
    scene.ask(caller)
    scene.store.key = None
    assert caller.digest is not None
    scene.keyring.forget([caller.digest])
    with pytest.raises(Unauthenticated):
        scene.ask(caller)


@pytest.mark.parametrize("declared", [False, True])
def test_a_key_ends_with_its_tenant(*, declared: bool) -> None:
    scene, caller = Scene(declared=declared), Caller(credential=SECRET)
    scene.ask(caller)
    scene.store.archived, scene.store.key = frozenset(["acme"]), None
    scene.keyring.forget(None)
    with pytest.raises(Unauthenticated):
        scene.ask(caller)


def test_a_key_that_has_changed_is_what_it_is_now() -> None:
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.ask(caller)
    scene.store.key = Key("one", "acme", "web", AllowList(("p/n",)).admits, id="k1")
    assert caller.digest is not None
    scene.keyring.forget([caller.digest])
    with pytest.raises(Forbidden):
        scene.ask(caller)


def test_a_key_in_use_is_told_so() -> None:
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.ask(caller)
    assert scene.keyring.used() == scene.keyring.found() == ["k1"]
    scene.ask(caller)
    assert (scene.keyring.used(), scene.keyring.found(), scene.long) == (["k1"], [], 1)


def test_another_model_goes_the_long_way() -> None:
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.ask(caller)
    assert scene.ask(caller, "deep").record.deployment == "p/n"
    assert scene.ask(caller, "fast").record.deployment == "p/m"
    assert scene.long == 3
    with pytest.raises(UnknownModel):
        scene.ask(caller, "none")


def test_metadata_is_read_of_each_request_that_has_it() -> None:
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.ask(caller)
    assert scene.ask(caller, metadata='{"team":"a"}').record.tags == (("team", "a"),)
    assert scene.ask(caller).record.tags == ()
    assert scene.long == 2


@pytest.mark.parametrize(
    "more",
    [
        {"expires": 2e9},
        {"operations": ("chat",)},
        {"near": lambda address: True},
        {"trusts_user": True},
        {"priority": "low"},
    ],
    ids=str,
)
def test_keys_that_are_looked_at_each_time_go_the_long_way(more: dict[str, Any]) -> None:
    scene, caller = Scene(key(**more)), Caller(credential=SECRET)
    scene.ask(caller)
    scene.ask(caller)
    assert scene.long == 2


def test_so_do_wishes_calls_from_inside_and_what_is_made_for_one_request() -> None:
    wishing = Caller({b"x-penstock-timeout": b"2s"}, credential=SECRET)
    wishing.wishes = wishes_of(wishing.headers)
    for caller in (wishing, Caller(credential=SECRET, trusted=True)):
        scene = Scene(key(overrides=True))
        scene.ask(caller)
        scene.ask(caller)
        assert scene.long == 2
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.lasting = False
    scene.ask(caller)
    scene.ask(caller)
    assert scene.long == 2


def test_after_a_reload_all_is_decided_anew() -> None:
    scene, caller = Scene(), Caller(credential=SECRET)
    scene.ask(caller)
    scene.keyring = Keyring([], scene.store)
    scene.names = Names({"fast": [Target("p", "n")]}, {"p": {}})
    scene.call = scene.stack()
    assert scene.ask(caller).record.deployment == "p/n"
    assert (scene.ask(caller).record.deployment, scene.long) == ("p/n", 2)


def test_who_looks_at_the_strain_hears_of_requests_and_is_asked_while_there_is_any() -> None:
    async def main(loop: SimLoop) -> None:
        strain = Strain(loop.clock)
        scene, caller = Scene(strain=strain), Caller(credential=SECRET)
        scene.ask(caller)
        scene.ask(caller)
        assert scene.long == 2  # nobody has watched
        strain.watch()
        scene.ask(caller)
        assert scene.long == 2
        await loop.clock.sleep(0.11)
        scene.ask(caller)
        assert scene.long == 3  # it has looked, and wants to hear whether it should again
        strain.watch()
        strain.level = 1.0
        scene.ask(caller)
        assert scene.long == 4
        strain.rest()
        scene.ask(caller)
        assert scene.long == 5

    run(main)


CONFIG = {"providers": {"sim": {}}, "auth": "required", "keys": [{"name": "k", "key": "env:K", "models": ["sim/*"]}]}


def test_a_request_that_took_it_is_logged_as_any() -> None:
    async def main(loop: SimLoop) -> None:
        records: list[Any] = []
        strain = Strain(loop.clock)
        gateway = Gateway(
            load_config(CONFIG, {"K": SECRET}),
            loop.clock,
            SeededRandom(1),
            records.append,
            shared=Shared(Registry(), strain=strain),
        )
        caller = Caller(credential=SECRET)
        for _ in range(3):
            record = gateway.begin("chat")
            record.model = "sim/small"
            fields = {"messages": msgspec.Raw(b'[{"role":"user","content":"Hi"}]')}
            fields["model"] = msgspec.Raw(b'"sim/small"')
            reply = await gateway.call(Request("openai_chat", "sim/small", False, fields, caller, record))
            reply.close()
        assert caller.known is not None
        told = {(one.key, one.deployment, one.status, one.candidates, len(one.attempts)) for one in records}
        assert told == {("k", "sim/small", 200, ("sim/small",), 1)}
        strain.rest()
        await gateway.aclose()
        await asyncio.sleep(0)

    run(main)
