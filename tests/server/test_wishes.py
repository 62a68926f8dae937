"""What callers say about how a call is tried, by header and field, and for whom it holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.client.penstock import Penstock
from penstock.errors import InvalidRequest, PenstockError
from penstock.testing import SimLoop, run
from tests.stage import ENV, Answer, Caller, Stage, ask, chat

DOWN = "up/small:status=503"
CONFIG: dict[str, Any] = {
    "auth": "required",
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY", "region": "eu"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY", "region": "us"},
        "off": {"kind": "openai", "api_key": "env:NOPE?"},
        "sim": {"region": "eu"},
    },
    "models": {
        "fast": {"targets": ["up/small"]},
        "down": {"targets": [DOWN], "fallback": ["spare"]},
        "held": {"targets": ["up/small"], "regions": ["eu"]},
        "spare": {"targets": ["ant/small"]},
        "two": {"targets": ["up/small:status=503", "ant/small"]},
        "half": {"targets": ["off/x", "ant/small"], "fallback": ["off/y"]},
        "silent": {"targets": ["up/small:first_token=20s"]},
    },
    "keys": [
        {"name": "free", "key": "env:APP_KEY", "overrides": "allowed", "models": ["*"]},
        {"name": "bound", "key": "env:OTHER_KEY"},
    ],
}
FREE = {"authorization": f"Bearer {ENV['APP_KEY']}"}
BOUND = {"authorization": f"Bearer {ENV['OTHER_KEY']}"}


def play(scene: Callable[[Stage, Caller], Awaitable[Any]], config: dict[str, Any] | None = None, **models: Any) -> Any:
    async def main(loop: SimLoop) -> Any:
        whole = {**CONFIG, "models": {**CONFIG["models"], **models}, **(config or {})}
        async with Stage(loop, whole) as stage:
            caller = await Caller.connect()
            try:
                return await scene(stage, caller)
            finally:
                caller.close()

    return run(main, leak_free=True)


def post(body: Any, path: str = "/v1/chat/completions", **headers: str) -> tuple[Answer, dict[str, Any]]:
    async def scene(stage: Stage, caller: Caller) -> tuple[Answer, dict[str, Any]]:
        answer = await caller.post(body, path, **{**FREE, **headers})
        return answer, stage.lines[-1]

    found: tuple[Answer, dict[str, Any]] = play(scene)
    return found


def asked(line: dict[str, Any]) -> list[str]:
    return [attempt["deployment"] for attempt in line["attempts"]]


# --- how often


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_so_many_further_attempts_at_a_deployment(retries: int) -> None:
    answer, line = post(chat(model="down"), **{"x-penstock-retries": str(retries), "x-penstock-fallbacks": "off"})
    assert answer.status == 503
    assert asked(line) == [DOWN] * (retries + 1)


def test_a_fallback_comes_before_a_retry_and_its_header_changes_nothing_for_others() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        await caller.post(chat(model="down"), **FREE, **{"x-penstock-retries": "0"})
        await caller.post(chat(model="down"), **FREE)
        assert [asked(line) for line in stage.lines] == [[DOWN, "ant/small"], [DOWN, "ant/small"]]

    play(scene)


# --- how long


def test_a_deadline_ends_a_request() -> None:
    answer, line = post(chat(model="silent"), **{"x-penstock-deadline": "3s"})
    assert answer.status == 504
    assert 3000 <= line["ms"] < 3100


def test_a_timeout_ends_an_attempt() -> None:
    answer, line = post(chat(model="silent"), **{"x-penstock-timeout": "2s", "x-penstock-fallbacks": "spare"})
    assert answer.status == 200
    assert asked(line) == ["up/small:first_token=20s", "ant/small"]
    assert 2000 <= line["ms"] < 4000


# --- where else


def test_fallbacks_of_the_callers_own() -> None:
    answer, line = post(chat(model="down"), **{"x-penstock-fallbacks": "up/large, spare"})
    assert (answer.status, asked(line)) == (200, [DOWN, "up/large"])
    answer, line = post(chat(model="down"), **{"x-penstock-fallbacks": "off", "x-penstock-retries": "0"})
    assert (answer.status, asked(line)) == (503, [DOWN])


def test_a_fallback_that_is_named_does_not_bring_its_own() -> None:
    answer, line = post(
        chat(model="up/large:status=503"), **{"x-penstock-fallbacks": "down", "x-penstock-retries": "0"}
    )
    assert (answer.status, set(asked(line))) == (503, {"up/large:status=503", DOWN})


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        ({"x-penstock-fallbacks": "spaer"}, 400, 'x-penstock-fallbacks: unknown model "spaer" (did you mean "spare"'),
        ({"x-penstock-fallbacks": "off/x"}, 400, 'x-penstock-fallbacks: model "off/x" is switched off'),
        ({"x-penstock-retries": "9"}, 400, 'x-penstock-retries: "9" is not a number from 0 to 5'),
        ({"x-penstock-deadline": "soon"}, 400, 'x-penstock-deadline: "soon" is not a duration'),
        ({"x-penstock-priority": "urgent"}, 400, 'x-penstock-priority: "urgent" is not a priority'),
    ],
)
def test_what_cannot_be_wished_for(headers: dict[str, str], status: int, told: str) -> None:
    answer, _ = post(chat(), **headers)
    assert answer.status == status
    assert told in answer.error["message"]


def test_fallbacks_stay_in_the_models_regions() -> None:
    answer, _ = post(chat(model="held"), **{"x-penstock-fallbacks": "spare"})
    assert answer.status == 403
    assert "model 'spare' leads to 'ant', and 'held' may use eu alone" in answer.error["message"]
    assert post(chat(model="held"), **{"x-penstock-fallbacks": "up/large"})[0].status == 200


# --- who may


@pytest.mark.parametrize(
    "headers", [{"x-penstock-timeout": "5s"}, {"x-penstock-retries": "1"}, {"x-penstock-fallbacks": "spare"}]
)
def test_overrides_are_for_keys_that_allow_them(headers: dict[str, str]) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        refused = await caller.post(chat(), **BOUND, **headers)
        assert refused.status == 403
        assert "This key may not say how its calls are tried" in refused.error["message"]
        assert "overrides: allowed" in refused.error["message"]
        assert (await caller.post(chat(), **BOUND)).status == 200
        assert (await caller.post(chat(), **FREE, **headers)).status == 200

    play(scene)


def test_a_deadline_and_a_priority_are_for_everybody() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        headers = {"x-penstock-deadline": "20s", "x-penstock-priority": "low"}
        assert (await caller.post(chat(), **BOUND, **headers)).status == 200

    play(scene)


def test_a_fallback_must_be_the_keys_to_ask_for() -> None:
    keys = [{"name": "free", "key": "env:APP_KEY", "overrides": "allowed", "models": ["down", "up/*"]}]

    async def scene(stage: Stage, caller: Caller) -> None:
        refused = await caller.post(chat(model="down"), **FREE, **{"x-penstock-fallbacks": "ant/small"})
        assert refused.status == 403
        assert "x-penstock-fallbacks: this key may not use model 'ant/small'" in refused.error["message"]
        # It does not learn of names it may not use.
        unknown = await caller.post(chat(model="down"), **FREE, **{"x-penstock-fallbacks": "spar"})
        assert "spare" not in unknown.error["message"]
        served = await caller.post(chat(model="down"), **FREE, **{"x-penstock-fallbacks": "up/large"})
        assert (served.status, served.headers["x-penstock-target"]) == (200, "up/large")
        # What the configuration falls back to is behind the name that the key may ask for.
        served = await caller.post(chat(model="down"), **FREE)
        assert (served.status, served.headers["x-penstock-target"]) == (200, "ant/small")

    play(scene, {"keys": keys})


def test_open_auth_allows_all() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        headers = {"x-penstock-retries": "0", "x-penstock-fallbacks": "up/large"}
        answer = await caller.post(chat(model="down"), **headers)
        assert answer.headers["x-penstock-target"] == "up/large"

    play(scene, {"auth": "open", "keys": []})


# --- what a key may use of several targets


@pytest.mark.parametrize(
    ("models", "found"),
    [
        (["two"], [DOWN, "ant/small"]),
        (["t*"], [DOWN, "ant/small"]),
        (["ant/*"], ["ant/small"]),
        (["up/*"], [DOWN]),
        (["spare", "up/*"], [DOWN]),
    ],
)
def test_a_key_uses_those_targets_that_it_may_ask_for(models: list[str], found: list[str]) -> None:
    keys = [{"name": "free", "key": "env:APP_KEY", "overrides": "allowed", "models": models}]

    async def scene(stage: Stage, caller: Caller) -> None:
        for _ in range(2):
            answer = await caller.post(chat(model="two"), **FREE, **{"x-penstock-retries": "0"})
            assert answer.status == (200 if "ant/small" in found else 503)
            await stage.loop.clock.sleep(30)
        assert [asked(line) for line in stage.lines] == [found, found]
        listed = (await caller.get("/v1/models", **FREE)).json()["data"]
        assert "two" in [each["id"] for each in listed]

    play(scene, {"keys": keys})


def test_what_is_fallen_back_to_is_behind_the_name_only() -> None:
    keys = [{"name": "free", "key": "env:APP_KEY", "overrides": "allowed", "models": ["up/*"]}]

    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(chat(model="down"), **FREE, **{"x-penstock-retries": "0"})
        assert (answer.status, asked(stage.lines[-1])) == (503, [DOWN])

    play(scene, {"keys": keys})


def test_targets_and_fallbacks_that_are_switched_off_are_left_out() -> None:
    answer, line = post(chat(model="half"))
    assert (answer.status, asked(line)) == (200, ["ant/small"])


# --- the other ways in


def test_fields_of_generate() -> None:
    answer, line = post({"prompt": "Hi", "model": "silent", "deadline": "3s"}, "/v1/generate")
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
    assert 3000 <= line["ms"] < 3100
    answer, line = post(
        {"prompt": "Hi", "model": "silent", "deadline": "3s", "priority": "high"},
        "/v1/generate",
        **{"x-penstock-deadline": "9s", "x-penstock-timeout": "1s", "x-penstock-fallbacks": "off"},
    )
    assert answer.status == 504
    assert 1000 <= line["ms"] < 1100
    answer, _ = post({"prompt": "Hi", "priority": "urgent"}, "/v1/generate")
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    assert answer.error["message"].startswith('priority: "urgent" is not a priority')
    answer, _ = post({"prompt": "Hi", "deadline": 20}, "/v1/generate")
    assert answer.status == 400


def test_a_field_is_of_its_request_alone() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        for deadline in ("3s", None):
            path, body = ask("generate", model="silent")
            await caller.post({**body, "deadline": deadline}, path, **BOUND)
        first, second = stage.lines
        assert (first["status"], second["status"]) == (504, 200)
        assert second["key"] == "bound"

    play(scene)


@pytest.mark.parametrize("connected", [False, True])
def test_arguments_of_the_library(connected: bool) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        clock = stage.loop.clock
        url = "http://127.0.0.1:8484"
        llm = Penstock.connect(url, ENV["APP_KEY"], clock=clock) if connected else Penstock.over(stage.gateway)
        try:
            reply = await llm.generate("Hi", model="down", retries=0, fallbacks=["up/large"])
            assert reply.attempts == 2
            assert asked(stage.lines[-1]) == [DOWN, "up/large"]
            before = clock.monotonic()
            with pytest.raises(PenstockError) as caught:
                await llm.generate("Hi", model="silent", deadline=3, priority="low", fallbacks=[])
            assert getattr(caught.value, "status", 0) == 504
            assert 3.0 <= clock.monotonic() - before < 3.1
            vectors = await llm.embed("Hi", model="up/embed", timeout="5s", deadline=4.5)
            assert len(vectors) == 1
            async with llm.stream("Hi", model="down", fallbacks=["up/large"], retries=1) as stream:
                assert [event async for event in stream]
            with pytest.raises(InvalidRequest, match='retries: "7" is not a number from 0 to 5'):
                await llm.generate("Hi", retries=7)
        finally:
            if connected:
                await llm.aclose()

    play(scene)


# --- a stream that its caller's own deadline cuts

SLOW = "up/small:between=500ms;tokens=40"
PLANS: list[dict[str, Any]] = [
    {"targets": [SLOW]},
    {"targets": [SLOW], "on_stream_cut": "resume"},
    {"targets": [SLOW.replace("up/", "ant/")]},
]


def streamed(model: dict[str, Any], path: str, **headers: str) -> tuple[Answer, dict[str, Any]]:
    async def scene(stage: Stage, caller: Caller) -> tuple[Answer, dict[str, Any]]:
        body = {**chat(model="slow"), "stream": True, "max_tokens": 100}
        if path == "/v1/generate":
            body = {"prompt": "Hi", "model": "slow", "stream": True}
        answer = await caller.post(body, path, **{**FREE, **headers})
        return answer, stage.lines[-1]

    found: tuple[Answer, dict[str, Any]] = play(scene, slow=model)
    return found


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/generate"])
@pytest.mark.parametrize("model", PLANS, ids=["passed on", "resumed", "other dialect"])
def test_a_stream_that_its_callers_deadline_cuts_says_so(model: dict[str, Any], path: str) -> None:
    answer, line = streamed(model, path, **{"x-penstock-deadline": "3s"})
    assert (answer.status, line["stream_error"]) == (200, "deadline_exceeded")
    assert [attempt["outcome"] for attempt in line["attempts"]] == ["deadline_exceeded"]
    assert b"Give it more time" in answer.body
    assert 3000 <= line["ms"] < 3100


def test_a_stream_that_the_models_own_limit_cuts_is_its_providers_delay() -> None:
    model = {"targets": [SLOW], "timeouts": {"total": "3s"}}
    for headers in ({}, {"x-penstock-deadline": "60s"}):
        _, line = streamed(model, "/v1/chat/completions", **headers)
        assert line["stream_error"] == "upstream_timeout"
