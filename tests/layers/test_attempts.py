"""The one loop over attempts, on a scripted call: what is tried, what is told, what is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock import errors as e
from penstock.call import Frame, Reply
from penstock.clock import Ids
from penstock.layers.attempts import Attempts
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.records import Attempt, Decision
from penstock.routing.plan import Candidate, Plan, Retry
from penstock.standing import Effect
from penstock.stores.health import Health
from penstock.stores.pace import Pace
from penstock.testing import SeededRandom, SimLoop, run

BROKEN = e.Unavailable("the provider closed the connection")
GONE = e.UpstreamNotFound("no such model")
SOON, FULL = e.CircuitOpen("open", retry_after=1.0), e.Overloaded("full", retry_after=9.0)
BUSY = e.Overloaded("a is busy", retry_after=1.0)
SHUT = e.CircuitOpen("b is suspended since this call waited for its turn")
OPEN = e.CircuitOpen("b is open since this call waited for its turn", retry_after=5.0)


class Scene:
    """Candidates `a`, `b`, ... and what each says, in order; the last thing again and again; None is an answer."""

    def __init__(self, loop: SimLoop, says: dict[str, list[e.PenstockError | None]], **plan: Any) -> None:
        self.loop = loop
        self.says = {id: list(said) for id, said in says.items()}
        candidates = tuple(Candidate(id, id, number, None, Health(id), Pace(id)) for number, id in enumerate(says))
        self.plan = Plan("m", candidates, tuple(says), **plan)
        self.asked: list[str] = []
        self.attempts = Attempts(self._answer, loop.clock, SeededRandom(3))

    async def _answer(self, request: Request) -> Reply:
        id = request.candidate.id
        self.asked.append(id)
        said = self.says[id].pop(0) if len(self.says[id]) > 1 else self.says[id][0]
        now = self.loop.time()
        if not isinstance(said, e.Overloaded | e.CircuitOpen):  # then nothing leaves
            request.attempt = Attempt(id, now, now, kind=request.kind)
            request.record.attempts.append(request.attempt)
            request.attempt.answered, request.attempt.outcome = now, said.code if said is not None else "ok"
        if said is not None:
            raise said
        return Reply(200, b"application/json", Frame(b"{}", lambda data: []))

    async def ask(self) -> Request:
        clock = self.loop.clock
        record = Opening(Ids(clock, SeededRandom(1)), clock).record("chat")
        request = Request("openai_chat", "m", False, {}, Caller(), record)
        request.plan, request.deadline = self.plan, self.loop.time() + 600
        self.request = request
        await self.attempts(request)
        return request


def told(says: dict[str, list[e.PenstockError | None]], **plan: Any) -> tuple[list[str], e.PenstockError | None]:
    """Who was asked, and how it ended."""

    async def main(loop: SimLoop) -> tuple[list[str], e.PenstockError | None]:
        scene = Scene(loop, says, **plan)
        try:
            await scene.ask()
        except e.PenstockError as error:
            return scene.asked, error
        return scene.asked, None

    return run(main)


def test_the_first_that_answers_is_asked_and_nothing_is_noted() -> None:
    async def main(loop: SimLoop) -> None:
        request = await Scene(loop, {"a": [None], "b": [None]}).ask()
        assert (request.record.deployment, request.record.decisions) == ("a", [])

    run(main)


def test_the_next_is_asked_before_the_same_again() -> None:
    assert told({"a": [BROKEN, None], "b": [BROKEN], "c": [None]}) == (["a", "b", "c"], None)
    assert told({"a": [BROKEN, None], "b": [BROKEN]})[0] == ["a", "b", "a"]


def test_a_lone_deployment_says_its_own_error() -> None:
    asked, error = told({"a": [BROKEN]})
    assert asked == ["a", "a", "a"]
    assert error is BROKEN


def test_six_attempts_are_the_most() -> None:
    asked, error = told({"a": [BROKEN], "b": [BROKEN], "c": [BROKEN]})
    assert len(asked) == 6
    assert isinstance(error, e.EveryDeploymentFailed)
    assert (error.status, error.retryable, error.last) == (502, True, BROKEN)
    assert len(told({"a": [BROKEN], "b": [BROKEN]}, retry=Retry(max_total=2))[0]) == 2


def test_what_is_wrong_with_the_request_is_said_as_it_is() -> None:
    refused = e.UpstreamRefused("temperature is too hot")
    assert told({"a": [BROKEN], "b": [refused], "c": [None]}) == (["a", "b"], refused)
    # Nor is it told to come again where another one could not be asked.
    assert told({"a": [BUSY], "b": [refused], "c": [None]})[1] is refused


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        # What a provider said goes before why another one could not be asked ...
        ({"a": [BUSY], "b": [BROKEN]}, e.Unavailable),
        ({"a": [BROKEN], "b": [e.InvalidRequest("no word for it")]}, e.Unavailable),
        # ... unless only the latter will pass: the caller shall know that it may come again.
        ({"a": [BUSY], "b": [GONE]}, e.Overloaded),
        ({"a": [GONE], "b": [BUSY]}, e.Overloaded),
        # Of several that could not be asked one that is only full, else the one that can be soonest.
        ({"a": [SOON], "b": [FULL]}, e.Overloaded),
        ({"a": [FULL], "b": [SOON]}, e.Overloaded),
        ({"a": [BUSY], "b": [SHUT]}, e.Overloaded),
        ({"a": [SHUT], "b": [BUSY]}, e.Overloaded),
        ({"a": [BUSY], "b": [OPEN]}, e.Overloaded),
        ({"a": [OPEN], "b": [SHUT]}, e.CircuitOpen),
        ({"a": [BUSY], "b": [e.InvalidRequest("no word for it")]}, e.Overloaded),
    ],
)
def test_which_of_several_errors_is_told(says: dict[str, Any], kind: type[e.PenstockError]) -> None:
    _, error = told(says, retry=Retry(max_attempts=1))
    assert error is not None
    last = error.last if isinstance(error, e.EveryDeploymentFailed) else error
    assert isinstance(last, kind)
    assert error.retryable


def test_where_all_refuse_it_the_one_that_may_have_been_mended_is_asked() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": [None]})
        scene.plan.candidates[0].health.failed(loop.time(), Effect("credential", None, "upstream_credential (401)"))
        request = await scene.ask()
        assert scene.asked == ["a"]
        assert [(one.what, one.why) for one in request.record.decisions] == [
            ("passed_over", "suspended: upstream_credential (401)")
        ]

    run(main)


@pytest.mark.parametrize(("wait", "asked"), [(2.0, ["a"]), (30.0, [])])
def test_a_short_pause_is_waited_for_and_a_long_one_is_told(wait: float, asked: list[str]) -> None:
    async def main(loop: SimLoop) -> None:
        scene, start = Scene(loop, {"a": [None]}), loop.time()
        scene.plan.candidates[0].health.failed(start, Effect("throttled", wait, "upstream_rate_limited (429)"))
        attempt: Callable[[], Any] = scene.ask
        if asked:
            await attempt()
            assert loop.time() - start >= wait
        else:
            with pytest.raises(e.UpstreamRateLimited) as refused:
                await attempt()
            assert refused.value.retry_after == pytest.approx(wait)
        assert scene.asked == asked
        assert len(scene.request.record.decisions) <= 4

    run(main)


def test_two_that_waited_at_the_same_time_waited_once() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": [None]})
        answer = scene._answer

        async def queued(request: Request) -> Reply:
            start = loop.time()
            await loop.clock.sleep(2.0)
            for id in ("a", "b"):
                request.record.decisions.append(Decision("queued", id, "go", start, 2.0))
            return await answer(request)

        scene.attempts = Attempts(queued, loop.clock, SeededRandom(3))
        request = await scene.ask()
        assert request.record.waited == pytest.approx(2.0)

    run(main)
