"""`on_failure: {message: ...}`: where every provider fails, the text is the answer, marked, in the caller's words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from penstock.client.penstock import Penstock
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.errors import (
    CircuitOpen,
    ContentFiltered,
    DeadlineExceeded,
    EveryDeploymentFailed,
    Forbidden,
    InvalidRequest,
    Overloaded,
    PenstockError,
    ProtocolError,
    Unavailable,
    UpstreamContextTooLong,
    UpstreamCredential,
    UpstreamNotFound,
    UpstreamQuota,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from penstock.routing.degrade import is_theirs
from penstock.routing.names import Target
from penstock.testing import SimLoop, run
from tests.stage import CONFIG, ENV, Answer, Caller, Stage, ask

TEXT = 'Sorry: the assistant rests. Try "again" later.'
DOWN = "up/small:status=503"
OTHER_DOWN = "ant/small:status=529"


def config_of(*targets: str, text: str | None = TEXT) -> Config:
    config = load_config(CONFIG, ENV)
    parsed = tuple(Target(*target.split("/", 1)) for target in targets)
    route = msgspec.structs.replace(config.models["fast"], targets=parsed, on_failure=text)
    return msgspec.structs.replace(config, models={"fast": route})


def play(path: str, body: dict[str, Any], *targets: str, text: str | None = TEXT) -> tuple[Answer, Stage]:
    async def main(loop: SimLoop) -> tuple[Answer, Stage]:
        async with Stage(loop, config_of(*targets, text=text)) as stage:
            caller = await Caller.connect()
            answer = await caller.post(body, path)
            caller.close()
            await loop.clock.sleep(1)
            return answer, stage

    return run(main, leak_free=True)


def said(answer: Answer, dialect: str, *, stream: bool) -> str:
    """The answer's text, as the dialect's own clients read it."""
    if not stream:
        body = answer.json()
        if dialect == "chat":
            return str(body["choices"][0]["message"]["content"])
        return str(body["content"][0]["text"] if dialect == "messages" else body["text"])
    if dialect == "chat":
        return answer.text
    if dialect == "messages":
        return "".join(e["delta"].get("text", "") for e in answer.events if e["type"] == "content_block_delta")
    return str(answer.events[-1]["text"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
@pytest.mark.parametrize("targets", [(DOWN,), (DOWN, OTHER_DOWN)])
def test_the_text_is_the_answer_in_every_dialect(dialect: str, targets: tuple[str, ...], stream: bool) -> None:
    answer, stage = play(*ask(dialect, stream=stream), *targets)
    (line,) = stage.lines
    assert (answer.status, answer.whole, said(answer, dialect, stream=stream)) == (200, True, TEXT)
    assert answer.headers["x-penstock-degraded"] == "true"
    assert int(answer.headers["x-penstock-attempts"]) == len(line["attempts"]) >= len(targets)
    assert (line["status"], line["degraded"], line.get("error")) == (200, True, None)
    why = "every_deployment_failed" if len(targets) > 1 else "unavailable"
    assert (line["decisions"][-1]["what"], line["decisions"][-1]["why"]) == ("degraded", why)
    assert {attempt["outcome"] for attempt in line["attempts"]} == {"unavailable"}
    assert "tokens" not in line
    stage.gateway.metrics.settle()
    assert sum(stage.gateway.metrics.degraded.series.values()) == 1


def test_the_openai_answer_is_whole() -> None:
    answer, stage = play(*ask("chat"), DOWN)
    body = answer.json()
    assert (body["object"], body["model"], body["choices"][0]["finish_reason"]) == ("chat.completion", "fast", "stop")
    assert body["usage"]["total_tokens"] == 0
    assert body["id"] == stage.lines[0]["id"]


def test_the_openai_stream_ends_well() -> None:
    answer, _ = play(*ask("chat", stream=True, stream_options={"include_usage": True}), DOWN)
    *_, finish, usage, done = answer.events
    assert (finish["choices"][0]["finish_reason"], usage["usage"]["total_tokens"], done) == ("stop", 0, "[DONE]")


def test_the_anthropic_stream_ends_well() -> None:
    answer, _ = play(*ask("messages", stream=True), DOWN)
    kinds = [event["type"] for event in answer.events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert answer.events[-2]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_the_typed_contract_says_degraded(stream: bool) -> None:
    answer, _ = play(*ask("generate", stream=stream), DOWN)
    body = answer.events[-1] if stream else answer.json()
    assert (body["status"], body["text"], body["fallback_used"], body["error"]) == ("degraded", TEXT, False, None)
    assert body["attempts"] >= 1
    assert [warning["code"] for warning in body["warnings"]] == ["degraded"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_that_answered_is_told_by_the_typed_contract(stream: bool) -> None:
    answer, stage = play(*ask("generate", stream=stream), DOWN, "ant/small")
    body = answer.events[-1] if stream else answer.json()
    assert (body["status"], body["fallback_used"], body["error"]) == ("degraded", True, None)
    assert body["attempts"] == len(stage.lines[0]["attempts"]) > 1
    assert "degraded" not in stage.lines[0]
    assert "x-penstock-degraded" not in answer.headers


def test_a_retry_that_answered_is_no_fallback() -> None:
    answer, stage = play(*ask("generate"), "up/small:status=503,times=1", "ant/small:status=503")
    body = answer.json()
    kinds = [attempt.get("kind", "first") for attempt in stage.lines[0]["attempts"]]
    assert kinds == ["first", "fallback", "retry"]
    assert (body["status"], body["fallback_used"], body["attempts"]) == ("ok", False, 3)


def test_the_library_gets_it_too() -> None:
    async def main(loop: SimLoop) -> tuple[str, str, list[str]]:
        async with Stage(loop, config_of(DOWN)) as stage:
            llm = Penstock.over(stage.gateway)
            whole = await llm.generate("Hello", model="fast")
            async with llm.stream("Hello", model="fast") as stream:
                pieces = [text async for text in stream.text()]
            return whole.text, stream.reply.text, pieces

    assert run(main, leak_free=True) == (TEXT, TEXT, [TEXT])


def test_without_the_text_it_is_an_error() -> None:
    answer, stage = play(*ask("chat"), DOWN, text=None)
    assert answer.status == 503
    assert "degraded" not in stage.lines[0]


@pytest.mark.parametrize("target", ["up/small:status=400", "up/small:status=422", "up/small:status=413"])
def test_the_callers_own_mistakes_stay_errors(target: str) -> None:
    answer, stage = play(*ask("chat"), target)
    assert answer.status == int(target[-3:])
    assert (stage.lines[0]["error"], len(stage.lines[0]["attempts"])) == ("upstream_refused", 1)


def test_vectors_cannot_be_a_text() -> None:
    answer, _ = play("/v1/embeddings", {"model": "fast", "input": "a"}, "up/embed:status=503")
    assert answer.status == 503


def test_a_stream_that_breaks_off_is_not_gone_on_with() -> None:
    answer, stage = play(*ask("chat", stream=True), "up/small:tokens=60,cut=40")
    assert TEXT not in answer.body.decode()
    assert stage.lines[0]["stream_error"] == "stream_interrupted"


def test_the_text_is_json_all_the_same() -> None:
    answer, _ = play(*ask("chat", stream=True), DOWN)
    assert json.dumps(TEXT).encode() in answer.body


# --- whose failure it is

THEIRS = [
    Unavailable("x"),
    UpstreamTimeout("x"),
    UpstreamRateLimited("x"),
    UpstreamQuota("x"),
    UpstreamCredential("x"),
    UpstreamNotFound("x"),
    ProtocolError("x"),
    CircuitOpen("x"),
    DeadlineExceeded("x"),
]
CALLERS = [InvalidRequest("x"), Forbidden("x"), UpstreamRefused("x"), UpstreamContextTooLong("x"), ContentFiltered("x")]


@pytest.mark.parametrize("error", THEIRS, ids=lambda error: error.code)
def test_failures_of_providers_degrade(error: PenstockError) -> None:
    assert is_theirs(error)
    assert is_theirs(EveryDeploymentFailed("x", error))


@pytest.mark.parametrize("error", CALLERS, ids=lambda error: error.code)
def test_what_the_caller_must_mend_does_not(error: PenstockError) -> None:
    assert not is_theirs(error)
    assert not is_theirs(EveryDeploymentFailed("x", error))


def test_a_full_gateway_says_so_unless_all_have_failed() -> None:
    assert not is_theirs(Overloaded("x"))
    assert is_theirs(EveryDeploymentFailed("x", Overloaded("x")))


@pytest.mark.parametrize("error", [UpstreamCredential("x"), UpstreamQuota("x")], ids=lambda error: error.code)
def test_the_callers_own_credential_is_theirs_to_hear_of(error: UpstreamCredential) -> None:
    error.blame_caller()
    assert not is_theirs(error)
