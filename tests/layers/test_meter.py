"""Layer meter on a scripted provider, a real purse over a real treasury, and a journal that only remembers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from penstock.call import Frame, Reply
from penstock.clock import Ids
from penstock.config.schema import Provider
from penstock.errors import (
    BudgetExceeded,
    InvalidRequest,
    Overloaded,
    RateLimited,
    Unavailable,
    UnknownPrice,
    UpstreamTimeout,
)
from penstock.events import Event
from penstock.gateway import endpoint_of
from penstock.layers.meter import Booking, Meter, metered_rules
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.metrics import Metrics
from penstock.providers.catalogue import load_catalogue
from penstock.providers.deployment import Deployment
from penstock.providers.prices import declared
from penstock.records import Attempt
from penstock.redact import Secret
from penstock.reservation import Rule, Want
from penstock.routing.allowance import Allowance
from penstock.routing.plan import Candidate, Plan
from penstock.stores.factors import Factors
from penstock.stores.purse import Purse, open_purse
from penstock.stores.rows import ABSURD, AMBIGUOUS, ESTIMATED, OVERRUN, Closed, Heard, Opened
from penstock.stores.treasury import Treasury
from penstock.testing import FakeClock, SeededRandom, SimLoop
from penstock.testing.sweep import Cancel, sweep_scenario
from penstock.usage import Usage
from penstock.wire.dialect import ModelFacts

# One dollar a million of input, ten a million of output: 1,000 and 10,000 nano-dollars a token.
PRICE = declared({"input": 1_000_000, "output": 10_000_000})
USD = Rule("usd", "tenant", "budget", "usd", 50_000_000, period="day")
TOKENS = Rule("tokens", "user", "budget", "tokens", 20_000, period="day")
REQUESTS = Rule("requests", "key", "budget", "requests", 10, period="day")
GLOBAL = Rule("global", "global", "budget", "usd", 1_000_000_000, period="month")
FOUR = (USD, TOKENS, REQUESTS, GLOBAL)
RATE = Rule("rate", "provider", "burst", "requests", 2, seconds=60, burst=2)
Answer = Callable[[Request, Attempt], Awaitable[Reply]]


class Rows:
    """A journal that remembers."""

    def __init__(self) -> None:
        self.opened: list[Opened] = []
        self.closed: list[Closed] = []
        self.told: list[Heard] = []
        self.full = False

    def open(self, row: Opened) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.opened.append(row)

    def heard(self, row: Heard) -> None:
        self.told.append(row)

    def close(self, row: Closed) -> None:
        self.closed.append(row)


class Whole:
    """A stream's source, of no frames; closing it tells what it used, as a provider's does."""

    def __init__(self, attempt: Attempt, usage: Usage, outcome: str) -> None:
        self.attempt, self.used, self.outcome = attempt, usage, outcome
        self.usage = usage
        self.deployment: Deployment | None = None

    def close(self) -> None:
        self.attempt.usage, self.attempt.outcome = self.used, self.outcome
        self.attempt.cost = PRICE.cost(self.used, 0.0)


class Scene:
    """A meter around a provider that answers as told.

    Attributes:
        usage: what an answer uses.
        error: raised instead, once sent; `unsent`: raised before.
        takes: virtual seconds until then.
    """

    def __init__(self, *rules: Rule, billed: str = "until_close", price: bool = True, **facts: Any) -> None:
        self.clock = FakeClock()
        self.rules = rules
        self.journal = Rows()
        self.metrics = Metrics()
        self.usage, self.outcome = Usage(100, 20), "ok"
        self.error: Exception | None = None
        self.unsent: Exception | None = None
        self.ambiguous = False
        self.asked: list[int] = []
        self.waits: Callable[[], Awaitable[object]] | None = None
        provider = Provider(name="up", kind="openai", base_url="http://h/v1", api_key=Secret("k"))
        row = msgspec.structs.replace(load_catalogue()["openai"], billed=billed)
        self.deployment = Deployment(
            endpoint_of(provider, row), "m", 5.0, ModelFacts(**facts), price=PRICE if price else None
        )
        self.purse: Purse = self.new_purse(self.clock)
        self.winner_pays: frozenset[str] = frozenset()
        self.factors: Factors | None = None

    def new_purse(self, clock: Any) -> Purse:
        self.treasury = Treasury(clock)
        self.treasury.adopt(self.rules)
        purse = open_purse(self.treasury, clock)
        purse.adopt(self.rules)
        return purse

    def meter(self, clock: Any = None) -> Meter:
        booking = Booking(metered_rules(self.rules), self.purse, self.journal, self.winner_pays, self.factors)
        return Meter(self.answer, clock or self.clock, booking, self.metrics)

    async def answer(self, request: Request) -> Reply:
        self.asked.append(request.most_output)
        if self.unsent is not None:
            raise self.unsent
        if request.opening is not None:
            request.opening()
        now = self.clock.monotonic()
        attempt = request.attempt = Attempt("up/m", now, now, kind=request.kind)
        request.record.attempts.append(attempt)
        try:
            if self.waits is not None:
                await self.waits()
            if self.error is not None:
                raise self.error
        except BaseException as error:
            attempt.outcome = getattr(error, "code", "cancelled")
            if self.ambiguous:
                attempt.ambiguous = True
                self.deployment.book(request.record, attempt, Usage(input_tokens=100, estimated=True))
            raise
        attempt.status, attempt.answered = 200, now
        if request.stream:
            source: Any = Whole(attempt, self.usage, self.outcome)
            return Reply(200, b"text/event-stream", source)
        self.deployment.book(request.record, attempt, self.usage)
        attempt.outcome = "ok"
        return Reply(200, b"application/json", Frame(b"{}", lambda data: list[Event]()))

    def request(self, output: int | None = 500, *, taken: int = 1_000, stream: bool = False, **more: Any) -> Request:
        record = Opening(Ids(self.clock, SeededRandom(len(self.asked) + 1)), self.clock).record("chat")
        record.bytes_in, record.tenant, record.user, record.key = taken, "acme", "u1", "app"
        fields = {"messages": msgspec.Raw(b'["' + b"x" * 992 + b'"]')}
        if output is not None:
            fields["max_tokens"] = msgspec.Raw(b"%d" % output)
        fields |= {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in more.items()}
        request = Request("openai_chat", "fast", stream, fields, Caller(), record)
        nothing: Any = None
        request.candidate = Candidate("up/m", "up/m", 0, self.deployment, nothing, nothing)
        request.plan = Plan("fast", (request.candidate,), ("up/m",))
        return request

    def left(self, rule: Rule, value: str) -> int:
        """What the treasury and the purse have left together."""

        async def look() -> int:
            (level,) = await self.purse.look([Want(rule, value, 0)])
            return level.left

        return asyncio.run(look())

    def spent(self, rule: Rule = USD, value: str = "acme") -> int:
        """Of the rule, less what is left."""
        return rule.limit - self.left(rule, value)

    def ask(self, request: Request | None = None) -> Reply:
        """The answer, closed."""

        async def main() -> Reply:
            reply = await self.meter()(request or self.request())
            reply.close()
            return reply

        return asyncio.run(main())


# --- a request's end


class Fields(dict[str, msgspec.Raw]):
    """A request's, of which it can be seen whether anybody still has them."""


@pytest.mark.parametrize("rules", [(), (USD,)], ids=["nothing is reserved", "reserved"])
@pytest.mark.parametrize("end", ["answered", "unsent", "failed"])
def test_nothing_of_a_request_stays_behind(rules: tuple[Rule, ...], end: str) -> None:
    scene = Scene(*rules)
    scene.unsent = Unavailable("refused") if end == "unsent" else None
    scene.error = UpstreamTimeout("it broke") if end == "failed" else None
    request = scene.request()
    request.fields = Fields(request.fields)
    seen = weakref.ref(request.fields)
    try:
        scene.ask(request)
    except (Unavailable, UpstreamTimeout) as error:
        error.__traceback__ = None  # which has the frames, and they the request
        assert end != "answered"
    scene.unsent = scene.error = None
    del request
    gc.collect()
    assert seen() is None


# --- reserve and settle


def test_all_scopes_are_reserved_and_settled_to_what_was_used() -> None:
    scene = Scene(*FOUR)

    async def main() -> None:
        reply = await scene.meter()(scene.request(stream=True))
        held = [await scene.purse.look([Want(rule, value, 0)]) for rule, value in ACCOUNTS]
        # 1,000 bytes of input and 500 tokens of output, until it is known what it was.
        assert [level.used for (level,) in held] == [6_000_000, 1_500, 1, 6_000_000]
        reply.close()

    asyncio.run(main())
    assert [scene.spent(rule, value) for rule, value in ACCOUNTS] == [300_000, 120, 1, 300_000]
    (opened,), (closed,) = scene.journal.opened, scene.journal.closed
    assert [(hold.rule, hold.value, hold.amount) for hold in opened.holds] == [
        ("usd", "acme", 6_000_000), ("tokens", "acme/u1", 1_500), ("requests", "app", 1), ("global", "", 6_000_000),
    ]  # fmt: skip
    assert (opened.number, opened.bound, opened.input_tokens, opened.input_cost) == (1, 6_000_000, 250, 250_000)
    assert (opened.model, opened.deployment, opened.provider, opened.kind) == ("fast", "up/m", "up", "first")
    assert (closed.cost, closed.settled, closed.answered) == (300_000, (300_000, 120, 1, 300_000), True)
    assert (closed.input_tokens, closed.output_tokens, closed.flags, closed.outcome) == (100, 20, 0, "ok")
    assert {hold.window for hold in opened.holds} == {1767225600}


ACCOUNTS = [(USD, "acme"), (TOKENS, "acme/u1"), (REQUESTS, "app"), (GLOBAL, "")]


@pytest.mark.parametrize("stream", [False, True])
def test_more_than_was_reserved_is_booked_too(stream: bool) -> None:
    scene = Scene(*FOUR)
    scene.usage = Usage(100, 2_000)
    scene.ask(scene.request(stream=stream))
    assert scene.spent() == 20_100_000
    assert scene.journal.closed[0].flags & OVERRUN


def test_a_reply_that_is_closed_twice_settles_once() -> None:
    scene = Scene(USD)
    reply = scene.ask()
    reply.close()
    assert (scene.spent(), len(scene.journal.closed)) == (300_000, 1)


def test_without_rules_only_the_ledger_knows() -> None:
    scene = Scene()
    scene.ask()
    assert (scene.journal.opened[0].holds, scene.journal.opened[0].bound) == ((), None)
    assert (scene.journal.opened[0].input_tokens, scene.journal.opened[0].input_cost) == (251, 251_000)
    assert (scene.journal.closed[0].settled, scene.journal.closed[0].cost) == ((), 300_000)


def test_without_rules_what_is_more_than_text_is_looked_at() -> None:
    scene = Scene()
    picture = {"type": "image_url", "image_url": {"url": "https://h/p.png"}}
    scene.ask(scene.request(messages=[{"role": "user", "content": [picture]}]))
    free = scene.request()
    free.record.operation = "count_tokens"
    scene.ask(free)
    assert scene.journal.opened[0].input_tokens > 1_500
    assert (scene.journal.opened[1].input_tokens, scene.journal.opened[1].input_cost) == (1, 0)


@pytest.mark.parametrize("lost", [False, True])
def test_without_rules_who_leaves_is_booked(lost: bool) -> None:
    scene = Scene(price=True)
    scene.waits = asyncio.Event().wait

    async def main() -> Attempt:
        request = scene.request(taken=4_000)
        task = asyncio.ensure_future(scene.meter()(request))
        await asyncio.sleep(0)
        assert request.attempt is not None
        request.attempt.lost = lost
        task.cancel()
        await asyncio.wait([task])
        attempt: Attempt = request.attempt
        return attempt

    attempt = asyncio.run(main())
    if lost:
        assert scene.journal.closed == []
        assert attempt.settle is not None
        attempt.settle()
    (closed,) = scene.journal.closed
    assert (closed.outcome, closed.input_tokens > 500, closed.flags & ESTIMATED) == ("cancelled", True, ESTIMATED)


def test_without_rules_what_was_not_sent_is_closed_only_if_it_was_opened() -> None:
    scene = Scene()
    scene.unsent = Unavailable("refused")
    with pytest.raises(Unavailable):
        scene.ask()
    assert (scene.journal.opened, scene.journal.closed) == ([], [])
    scene.unsent, scene.error = None, Unavailable("500")
    with pytest.raises(Unavailable):
        scene.ask()
    assert [row.outcome for row in scene.journal.closed] == ["unavailable"]


def test_what_no_provider_bills_is_booked_as_nothing() -> None:
    scene = Scene(*FOUR)
    request = scene.request()
    request.record.operation = "count_tokens"
    scene.ask(request)
    assert [scene.spent(rule, value) for rule, value in ACCOUNTS] == [0, 0, 1, 0]
    assert scene.journal.closed[0].cost == 0


# --- what was not answered


@pytest.mark.parametrize(
    ("error", "ambiguous", "spent", "flags"),
    [
        (Unavailable("500"), False, 0, 0),
        (UpstreamTimeout("silence"), True, 100_000, AMBIGUOUS | ESTIMATED),
    ],
)
def test_a_failure_costs_nothing_and_an_ambiguous_one_its_estimate(
    error: Exception, ambiguous: bool, spent: int, flags: int
) -> None:
    scene = Scene(*FOUR)
    scene.error, scene.ambiguous = error, ambiguous
    with pytest.raises(type(error)):
        scene.ask()
    (closed,) = scene.journal.closed
    assert (scene.spent(), closed.cost, closed.flags, closed.answered) == (spent, spent, flags, False)
    assert scene.spent(REQUESTS, "app") == 0


def test_a_request_counts_once_however_many_attempts_it_takes() -> None:
    scene = Scene(REQUESTS, RATE)
    scene.error = Unavailable("500")
    request = scene.request()
    with pytest.raises(Unavailable):
        scene.ask(request)
    scene.error = None
    scene.ask(request)
    request.kind = "resume"
    assert scene.spent(REQUESTS, "app") == 1
    # To the provider's limit each attempt that is sent is one.
    with pytest.raises(RateLimited):
        scene.ask(request)
    scene.clock.advance(60.0)
    scene.ask(request)
    assert scene.spent(REQUESTS, "app") == 1


def test_what_was_never_sent_is_voided_and_has_no_row() -> None:
    scene = Scene(*FOUR)
    scene.unsent = InvalidRequest("no word for it")
    with pytest.raises(InvalidRequest):
        scene.ask()
    assert [scene.spent(rule, value) for rule, value in ACCOUNTS] == [0, 0, 0, 0]
    assert (scene.journal.opened, scene.journal.closed) == ([], [])


def cancelled(scene: Scene) -> None:
    async def main() -> None:
        forever = asyncio.get_running_loop().create_future
        scene.waits = lambda: forever()
        task = asyncio.ensure_future(scene.meter()(scene.request()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_caller_that_leaves_before_an_answer_may_have_been_billed_all_of_it() -> None:
    scene = Scene(*FOUR)
    cancelled(scene)
    # Nobody tells what the provider had said by then: the budget is safe, the cost is what is known.
    assert [scene.spent(rule, value) for rule, value in ACCOUNTS] == [6_000_000, 1_500, 1, 6_000_000]
    (closed,) = scene.journal.closed
    assert (closed.outcome, closed.cost, closed.flags, closed.answered) == ("cancelled", 250_000, ESTIMATED, False)


@pytest.mark.parametrize(("billed", "spent"), [("until_close", 300_000), ("input", 300_000), ("full", 6_000_000)])
def test_a_caller_that_leaves_within_a_stream_pays_what_its_provider_bills(billed: str, spent: int) -> None:
    scene = Scene(*FOUR, billed=billed)
    scene.outcome = "cancelled"
    scene.ask(scene.request(stream=True))
    assert scene.spent() == spent
    assert (scene.journal.closed[0].cost, scene.journal.closed[0].outcome) == (300_000, "cancelled")


def test_a_count_that_cannot_be_is_flagged() -> None:
    scene = Scene(USD)
    scene.usage = Usage(250, 5, estimated=True, odd=True)
    scene.ask()
    assert (scene.spent(), scene.journal.closed[0].flags) == (300_000, ESTIMATED | ABSURD)


# --- less than there is


def test_near_the_limit_a_request_shrinks_and_says_so() -> None:
    scene = Scene(msgspec.structs.replace(USD, limit=7_000_000))
    scene.usage = Usage(1_000, 300)
    scene.ask()
    scene.ask()
    assert scene.asked == [0, 200]  # of 7 thousandths 3 are left: 1 for the input, 2 for 200 tokens
    assert scene.metrics.short.series == {("tenant", "clamped"): 1}
    # The answer was longer than it might be: more than there was is booked, and the next is refused.
    assert sum(row.settled[0] for row in scene.journal.closed) == 8_000_000
    with pytest.raises(BudgetExceeded):
        scene.ask()
    assert scene.metrics.short.series[("tenant", "refused")] == 1


def test_a_request_without_a_limit_of_its_own_is_always_given_one() -> None:
    scene = Scene(USD)
    scene.ask(scene.request(None))
    assert scene.asked == [400]  # a tenth of 50 thousandths: 1 for the input, 4 for 400 tokens
    scene = Scene(msgspec.structs.replace(USD, limit=10**12))
    scene.ask(scene.request(None))
    assert scene.asked == [8_192]
    scene = Scene(msgspec.structs.replace(USD, hard=False))
    scene.ask(scene.request(None))
    assert scene.asked == [0]


def test_a_hard_budget_refuses_what_has_no_bound_or_no_price() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    scene = Scene(USD, context_window=1_000)
    with pytest.raises(InvalidRequest) as raised:
        scene.ask(scene.request(tools=tools, model="m"))
    assert "max_uses" in raised.value.do
    scene.ask(scene.request(16, tools=[{**tools[0], "max_uses": 1}], model="m"))
    assert scene.journal.opened[0].bound == 2 * 1_000 * 1_000 + 16 * 10_000
    scene = Scene(USD, price=False)
    with pytest.raises(UnknownPrice):
        scene.ask()
    scene = Scene(TOKENS, msgspec.structs.replace(USD, hard=False), price=False)
    scene.ask()
    assert scene.journal.closed[0].cost is None
    assert scene.spent(TOKENS, "acme/u1") == 120


def test_a_soft_budget_never_refuses() -> None:
    soft = msgspec.structs.replace(USD, limit=1_000_000, hard=False)
    scene = Scene(soft)
    for _ in range(5):
        scene.ask()
    assert scene.asked == [0] * 5


def test_a_request_budget_is_shared_by_its_attempts() -> None:
    scene = Scene()
    request = scene.request()
    request.money = Allowance(7_000_000, None, clamp=True, where="max_cost_usd")
    scene.error, scene.ambiguous = Unavailable("reset"), True
    with pytest.raises(Unavailable):
        scene.ask(request)
    assert request.money.usd == 6_900_000
    scene.error = None
    scene.ask(request)
    assert request.money.usd == 6_600_000
    request.money.usd = 1_159_999
    with pytest.raises(BudgetExceeded, match="left to this request by max_cost_usd"):
        scene.ask(request)
    request.money.usd = 1_160_000
    scene.ask(request)
    assert scene.asked == [0, 0, 16]


def test_a_limit_of_the_provider_says_how_long_to_wait() -> None:
    scene = Scene(USD, RATE)
    scene.ask()
    scene.ask()
    with pytest.raises(RateLimited) as raised:
        scene.ask()
    assert raised.value.retry_after == pytest.approx(30.0, abs=1e-3)
    assert scene.spent() == 600_000
    scene.clock.advance(raised.value.retry_after or 0.0)
    scene.ask()


def test_a_rate_of_tokens_counts_what_is_likely_and_a_strict_one_what_may_be() -> None:
    burst = Rule("burst", "provider", "burst", "tokens", 10_000, seconds=60, burst=10_000)
    strict = Rule("strict", "deployment", "strict", "tokens", 10_000, seconds=60)
    scene = Scene(burst, strict)

    async def main() -> None:
        reply = await scene.meter()(scene.request(stream=True))
        held = await scene.purse.look([Want(burst, "up", 0), Want(strict, "up/m", 0)])
        assert [level.used for level in held] == [250 + 500, 1_000 + 500]
        reply.close()
        held = await scene.purse.look([Want(burst, "up", 0), Want(strict, "up/m", 0)])
        assert [level.used for level in held] == [120, 120]

    asyncio.run(main())


def test_no_second_attempt_beside_the_first_where_a_budget_is_over_80_percent() -> None:
    scene = Scene(msgspec.structs.replace(USD, limit=30_000_000))
    scene.usage = Usage(1_000, 2_300)
    scene.ask()  # 24 of 30 thousandths
    hedged = scene.request()
    hedged.kind = "hedge"
    scene.ask(hedged)
    scene.usage = Usage(100, 1)
    hedged = scene.request()
    hedged.kind = "hedge"
    with pytest.raises(BudgetExceeded):
        scene.ask(hedged)
    assert len(scene.journal.opened) == 2


def test_a_ledger_that_cannot_be_written_lets_nothing_out() -> None:
    scene = Scene(*FOUR)
    scene.journal.full = True
    with pytest.raises(Overloaded, match="No space left on device") as raised:
        scene.ask()
    assert (raised.value.status, raised.value.retry_after) == (503, 1.0)
    assert [scene.spent(rule, value) for rule, value in ACCOUNTS] == [0, 0, 0, 0]
    assert scene.journal.closed == []


def test_who_pays_for_the_winner_alone_is_written_down() -> None:
    scene = Scene()
    scene.winner_pays = frozenset(("acme",))
    request = scene.request()

    async def main() -> None:
        reply = await scene.meter()(request)
        request.attempt.lost = True
        reply.close()

    asyncio.run(main())
    assert (scene.journal.opened[0].winner_pays, scene.journal.closed[0].answered) == (True, False)


# --- cancelled anywhere


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("near", [False, True])
def test_a_cancellation_at_any_await_leaves_nothing_held(stream: bool, near: bool) -> None:
    """Also at the treasury's question, which is asked again and again near the limit."""

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        scene = Scene(msgspec.structs.replace(USD, limit=7_000_000 if near else 10**12), TOKENS)
        scene.purse = scene.new_purse(loop.clock)
        meter = scene.meter(loop.clock)
        scene.waits = lambda: loop.clock.sleep(1.0)
        request = scene.request(None if near else 500, stream=stream)

        async def ask() -> None:
            reply = await meter(request)
            try:
                await loop.clock.sleep(1.0)
            finally:
                reply.close()

        await cancel(ask())
        assert len(scene.journal.opened) == len(scene.journal.closed)
        (level,) = await scene.purse.look([Want(scene.rules[0], "acme", 0)])
        settled = sum(row.settled[0] for row in scene.journal.closed)
        assert level.used == settled

    assert sweep_scenario(scenario) >= 2


# --- what is expected


def test_what_is_expected_of_a_prompt_is_learned_from_what_its_provider_counts() -> None:
    scene = Scene()
    scene.factors = Factors()
    scene.usage = Usage(500, 20)  # twice as many as the bytes say
    for _ in range(3):
        scene.ask()
    assert [row.input_tokens for row in scene.journal.opened] == [251, 503, 503]
    errors = scene.metrics.estimates.series[("up/m",)]
    assert sum(errors[:-1]) == 3
    assert errors[-1] == pytest.approx((250 - 1 - 1) / 500)


def test_nothing_is_learned_from_an_estimate() -> None:
    scene = Scene()
    scene.factors = Factors()
    scene.usage = Usage(500, 20, estimated=True)
    scene.ask()
    scene.ask()
    assert [row.input_tokens for row in scene.journal.opened] == [251, 251]
    assert scene.metrics.estimates.series == {}


class Counting(Deployment):
    """Counts prompts as its vendor does."""

    exact: int | None = None

    async def counted(self, request: Request) -> int | None:
        return self.exact


@pytest.mark.parametrize(("exact", "most"), [(None, 200), (100, 290), (2_000, 200)])
def test_near_a_limit_a_prompt_is_counted_where_it_can_be(exact: int | None, most: int) -> None:
    scene = Scene(msgspec.structs.replace(USD, limit=6_500_000))
    scene.usage = Usage(100, 340)  # 3.5 thousandths of a dollar, which leaves 3
    counting = scene.deployment = Counting(scene.deployment.endpoint, "m", 5.0, price=PRICE)
    scene.ask()
    counting.exact = exact
    scene.ask()
    assert scene.asked == [0, most]


# --- streams that flow


@pytest.mark.parametrize(("streams", "most"), [(3, 3), (1_600, 17)])
def test_of_thousands_of_streams_a_few_at_a_time_are_told_of_and_each_in_time(streams: int, most: int) -> None:
    scene = Scene()
    told = scene.journal.told

    async def main() -> None:
        meter = scene.meter()
        replies = [await meter(scene.request(stream=True)) for _ in range(streams)]
        at_once = []
        for _ in range(1_000):
            before = len(told)
            scene.clock.advance(0.01)
            at_once.append(len(told) - before)
        # By the end of the second five seconds all were told of once, and not much more often.
        assert len({row.request for row in told}) == streams
        assert streams <= len(told) <= 2 * streams
        assert max(at_once) <= most
        for reply in replies:
            reply.close()

    asyncio.run(main())
    before = len(told)
    scene.clock.advance(10)
    assert len(told) == before, "those that are over are told of no more"
