"""The layers on a scripted call and a hand-driven clock: no socket, no sleep."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from penstock.call import Call, Frame, Reply, stack
from penstock.clock import Ids, Random, uuid7
from penstock.errors import (
    BudgetExceeded,
    Forbidden,
    InvalidRequest,
    LargerThanLimit,
    PenstockError,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnknownModel,
)
from penstock.events import Event
from penstock.layers.authenticate import Authenticate, Key, Keyring
from penstock.layers.record import LONGEST_REASON, Recorder, Recording
from penstock.layers.route import Route
from penstock.layers.trace import Opening
from penstock.lines import encode_lines
from penstock.messages import Caller, Request, Usage
from penstock.metrics import Metrics
from penstock.records import Record
from penstock.routing.names import AllowList, Found, Names, Target
from penstock.routing.plan import Plan
from penstock.routing.wishes import wishes_of
from penstock.testing import FakeClock, SeededRandom


class Whole:
    """A source of one frame."""

    def __init__(self, data: bytes, first: bytes = b"") -> None:
        self.left: list[bytes] = [data]
        self.first = first
        self.closed = 0

    def held(self) -> bytes:
        data, self.first = self.first, b""
        return data

    async def read(self) -> Frame | None:
        return Frame(self.left.pop(), lambda data: []) if self.left else None

    @property
    def usage(self) -> Usage:
        return Usage()

    async def pump(
        self, push: Callable[[bytes], bool], drain: Callable[[], Awaitable[None]], finish: object = None
    ) -> None:
        while self.left:
            if push(self.left.pop()):
                await drain()

    def decode(self, data: bytes) -> list[Event]:
        return [Event("text", text=data.decode())]

    def alike(self, data: bytes) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


class Scripted:
    """A call that answers, raises or hangs as told."""

    def __init__(self, answer: bytes | Exception | None) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.answer, Exception):
            raise self.answer
        return Reply(200, b"application/json", Frame(self.answer or b"", lambda data: []))


def request(clock: FakeClock, model: str = "fast", **caller: Any) -> Request:
    record = Opening(Ids(clock, SeededRandom(1)), clock).record("chat")
    record.model = model
    return Request("openai_chat", model, False, {}, Caller(**caller), record)


def step(answer: Awaitable[Any]) -> Any:
    """Run what needs no loop."""
    try:
        answer.__await__().__next__()
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


# --- shape


def test_the_first_layer_named_sees_a_request_first() -> None:
    order: list[str] = []

    def layer(name: str) -> Callable[[Call], Call]:
        def wrap(call: Call) -> Call:
            async def wrapped(request: Request) -> Reply:
                order.append(name)
                return await call(request)

            return wrapped

        return wrap

    step(stack([layer("a"), layer("b")], Scripted(b"x"))(request(FakeClock())))
    assert order == ["a", "b"]


def test_a_reply_is_closed_once_and_tells_its_layers_once() -> None:
    source = Whole(b"x")
    reply = Reply(200, b"", source)
    told: list[str] = []
    reply.on_end(told.append, "inner")
    reply.on_end(told.append, "outer")
    step(reply.aclose())
    step(reply.aclose())
    assert (source.closed, told) == (1, ["inner", "outer"])


def test_taps_see_every_frame() -> None:
    reply = Reply(200, b"", Whole(b"x"))
    seen: list[bytes] = []
    reply.tap(lambda frame: seen.append(frame.data))
    step(reply.read())
    assert step(reply.read()) is None
    assert seen == [b"x"]


def test_taps_see_what_is_pumped_and_a_full_caller_is_waited_for() -> None:
    reply = Reply(200, b"", Whole(b"x", first=b"a"))
    seen: list[str] = []
    passed: list[bytes] = []
    drained: list[bool] = []

    async def drain() -> None:
        drained.append(True)

    def push(data: bytes) -> bool:
        passed.append(data)
        return True

    reply.tap(lambda frame: seen.extend(event.text for event in frame.events))
    assert (reply.begin(), reply.begin()) == (b"a", b"")
    step(reply.pump(push, drain))
    assert (seen, passed, drained) == (["a", "x"], [b"x"], [True])


# --- trace


def test_ids_are_uuid_7_and_sort_by_time() -> None:
    clock, random = FakeClock(), SeededRandom(7)
    ids = []
    for _ in range(50):
        clock.advance(0.002)
        ids.append(uuid7(clock, random))
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)


def test_the_same_seed_gives_the_same_ids() -> None:
    def some(random: Random) -> list[str]:
        return [uuid7(FakeClock(), random) for _ in range(3)]

    assert some(SeededRandom(3)) == some(SeededRandom(3)) != some(SeededRandom(4))


@pytest.mark.parametrize("seed", range(5))
def test_ids_made_in_batches_are_the_same_kind(seed: int) -> None:
    clock = FakeClock()
    ids = Ids(clock, SeededRandom(seed))
    made = []
    for _ in range(200):
        clock.advance(0.002)
        made.append(ids.new())
    assert made == sorted(made)
    assert len(set(made)) == 200
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in made)
    assert int(made[-1].replace("-", "")[:12], 16) == int(clock.wall() * 1000)


# --- record


def recorder(clock: FakeClock) -> tuple[Recorder, Metrics, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    metrics = Metrics()

    def log(record: Record) -> None:
        lines.append(msgspec.json.decode(encode_lines([record])))

    return Recorder(metrics, log, clock), metrics, lines


def test_the_first_output_is_stamped() -> None:
    clock = FakeClock()
    asked = request(clock)
    clock.advance(0.25)
    step(Recording(Scripted(b"x"), recorder(clock)[0])(asked))
    assert asked.record.first_output - asked.record.started == pytest.approx(0.25)


def test_overhead_leaves_out_the_waits_for_providers() -> None:
    clock = FakeClock()
    asked = request(clock)
    asked.record.waited = 2.0
    clock.advance(2.03)
    step(Recording(Scripted(b"x"), recorder(clock)[0])(asked))
    assert asked.record.overhead == pytest.approx(0.03)


def test_the_line_is_written_when_the_reply_is_closed_and_only_then() -> None:
    clock = FakeClock()
    keeper, metrics, lines = recorder(clock)
    asked = request(clock)
    reply = step(Recording(Scripted(b"x"), keeper)(asked))
    assert not lines
    assert metrics.in_flight.series[()] == 1
    asked.record.usage = Usage(3, 5, cache_read_tokens=1)
    asked.record.deployment = "sim/small"
    clock.advance(1.5)
    step(reply.aclose())
    (line,) = lines
    assert line["id"] == asked.record.id
    assert (line["status"], line["ms"], line["deployment"], line["model"]) == (200, 1500.0, "sim/small", "fast")
    assert line["tokens"]["input"] == 3
    assert line["tokens"]["output"] == 5
    assert metrics.in_flight.series[()] == 0
    assert metrics.requests.series == {("chat", "sim/small", "200"): 1.0}
    assert metrics.tokens.series == {("sim/small", "input"): 3, ("sim/small", "output"): 5}


def test_an_error_is_recorded_with_its_code_and_status() -> None:
    clock = FakeClock()
    keeper, metrics, lines = recorder(clock)
    with pytest.raises(Unavailable):
        step(Recording(Scripted(Unavailable("down")), keeper)(request(clock)))
    assert (lines[0]["status"], lines[0]["error"]) == (502, "unavailable")
    assert metrics.in_flight.series[()] == 0


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            RateLimited("the limit of 6 requests a minute for user 'acme/u1' is reached"),
            "the limit of 6 requests a min",
        ),
        (
            BudgetExceeded("the budget of tenant 'acme' has too little left"),
            "the budget of tenant 'acme' has too little",
        ),
        (LargerThanLimit("this request may come to 9,000 tokens, and"), "this request may come to 9,000 tokens, and"),
        (Unavailable("the provider's own words"), None),
        (InvalidRequest("the caller's own words"), None),
    ],
)
def test_what_a_limit_refused_tells_which_one_it_was(error: PenstockError, why: str | None) -> None:
    clock = FakeClock()
    keeper, _, lines = recorder(clock)
    asked = request(clock)
    clock.advance(0.5)
    with pytest.raises(type(error)):
        step(Recording(Scripted(error), keeper)(asked))
    decided = lines[0].get("decisions", [])
    assert [(each["what"], each["at_ms"]) for each in decided] == ([("refused", 500.0)] if why else [])
    assert all(each["why"].startswith(why or "") for each in decided)


def test_what_a_limit_refused_is_told_in_few_words() -> None:
    keeper, _, lines = recorder(FakeClock())
    keeper.fail(request(FakeClock()).record, RateLimited("x" * 3000))
    assert len(lines[0]["decisions"][0]["why"]) == LONGEST_REASON


def test_a_caller_that_left_is_recorded_as_499() -> None:
    clock = FakeClock()
    keeper, metrics, lines = recorder(clock)

    async def leave() -> None:
        task = asyncio.ensure_future(Recording(Scripted(None), keeper)(request(clock)))
        waiting = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(waiting.set_result, None)
        await waiting
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(leave())
    assert (lines[0]["status"], lines[0]["error"]) == (499, "cancelled")
    assert metrics.in_flight.series[()] == 0


def test_series_are_bounded() -> None:
    metrics = Metrics()
    for i in range(5000):
        metrics.attempts.inc((f"sim/{i}", "ok"))
        metrics.seconds.observe(("chat", f"sim/{i}"), 0.1)
    assert len(metrics.attempts.series) <= 1001
    assert metrics.attempts.series[("other", "other")] == 4000
    assert len(metrics.seconds.series) <= 1001
    assert sum(metrics.seconds.series[("other", "other")][:-1]) == 4000


# --- authenticate

SECRET = "psk_live_0123456789"


def keyring(*, trusts_user: bool = False) -> Keyring:
    return Keyring([(SECRET, Key("app", "acme", "web", AllowList(None).admits, trusts_user))])


def test_a_known_key_is_named_in_the_record_and_admits_its_models() -> None:
    asked = request(FakeClock(), credential=SECRET)
    step(Authenticate(Scripted(b"x"), keyring())(asked))
    assert (asked.record.key, asked.record.tenant, asked.record.project) == ("app", "acme", "web")
    assert asked.caller.admits is not None


@pytest.mark.parametrize("credential", [None, "", "wrong", SECRET + " ", SECRET[:-1], "\udcff"])
def test_anything_else_is_refused_and_reaches_nobody(credential: str | None) -> None:
    inner = Scripted(b"x")
    with pytest.raises(Unauthenticated) as refused:
        step(Authenticate(inner, keyring())(request(FakeClock(), credential=credential)))
    assert not inner.asked
    assert credential is None or len(credential) < 5 or credential not in str(refused.value)


def test_calls_from_inside_and_open_gateways_need_no_key() -> None:
    step(Authenticate(Scripted(b"x"), keyring())(request(FakeClock(), trusted=True)))
    step(Authenticate(Scripted(b"x"), None)(request(FakeClock())))


@pytest.mark.parametrize("trusts_user", [True, False])
def test_a_named_user_counts_only_for_keys_that_say_so(trusts_user: bool) -> None:
    by_header = request(FakeClock(), credential=SECRET, headers={b"x-penstock-user": b"u1"})
    by_body = request(FakeClock(), credential=SECRET)
    by_body.fields["user"] = msgspec.Raw(b'"u2"')
    for asked in (by_header, by_body):
        step(Authenticate(Scripted(b"x"), keyring(trusts_user=trusts_user))(asked))
    assert [by_header.record.user, by_body.record.user] == (["u1", "u2"] if trusts_user else [None, None])


# --- route


def route(inner: Scripted) -> Route:
    names = Names({"fast": [Target("sim", "small")], "big": [Target("sim", "large")]}, {"sim": ("small", "large")})
    return Route(inner, names, lambda found, caller: Plan(f"{found.deployment} for {caller.credential}", (), ()))


def test_route_names_the_deployment() -> None:
    inner = Scripted(b"x")
    asked = request(FakeClock())
    step(route(inner)(asked))
    assert (asked.record.deployment, asked.plan.name) == ("sim/small", "sim/small for None")


def test_route_knows_the_nearest_names() -> None:
    with pytest.raises(UnknownModel, match="fast"):
        step(route(Scripted(b"x"))(request(FakeClock(), model="fats")))


@pytest.mark.parametrize("what", ["nothing", "model", "rights", "configuration", "plan", "wishes"])
def test_a_callers_requests_are_routed_anew_once_anything_is_another(what: str) -> None:
    inner, names = Scripted(b"x"), Names({"fast": [Target("sim", "small")], "big": [Target("sim", "large")]}, {})
    asked: list[str] = []

    def plan(found: Found, caller: Caller) -> Plan:
        asked.append(found.name)
        return Plan(found.name, (), (), lasting=what != "plan")

    layer, first = Route(inner, names, plan), request(FakeClock())
    allowed = first.caller.admits = AllowList(["fast", "big"]).admits
    if what == "wishes":
        first.caller.wishes = wishes_of({b"x-penstock-retries": b"1"})
    step(layer(first))
    second = request(FakeClock(), model="big" if what == "model" else "fast")
    second.caller = first.caller
    second.caller.admits = AllowList(["big"]).admits if what == "rights" else allowed
    if what == "rights":
        with pytest.raises(Forbidden):
            step(layer(second))
    else:
        step((Route(inner, names, plan) if what == "configuration" else layer)(second))
        assert (second.plan.name, second.record.deployment) == (
            asked[-1],
            f"sim/{'large' if what == 'model' else 'small'}",
        )
    assert len(asked) == (1 if what in ("nothing", "rights") else 2)


def test_a_key_may_only_ask_for_its_own() -> None:
    inner = Scripted(b"x")
    asked = request(FakeClock(), model="big")
    asked.caller.admits = AllowList(["fast"]).admits
    with pytest.raises(Forbidden):
        step(route(inner)(asked))
    assert not inner.asked
    unknown = request(FakeClock(), model="bigg")
    unknown.caller.admits = AllowList(["fast"]).admits
    with pytest.raises(UnknownModel) as told:
        step(route(inner)(unknown))
    assert "big'" not in f"{told.value} {told.value.do}".replace("'bigg'", ""), "a name the key may not learn"
