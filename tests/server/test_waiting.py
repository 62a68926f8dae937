"""A caller that waits for its stream: the head and a comment after 15 s, and what may still happen behind them."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.clock import Ids
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.layers.trace import Opening
from penstock.messages import Caller as Edge
from penstock.messages import Request
from penstock.routing.names import Target
from penstock.server.asgi_exchange import AsgiExchange
from penstock.server.waiting import Waiting
from penstock.testing import FakeClock, SeededRandom, SimLoop, run
from penstock.testing.provider import ScriptedUpstream
from tests.stage import CONFIG, ENV, Answer, Caller, Stage, ask, chat

SLOW = "first_token=40s,tokens=5"
PATIENT = {"first_token": "60s", "idle": "60s"}
DECLARED: dict[str, Any] = {
    **CONFIG,
    "defaults": {"timeouts": PATIENT},
    "providers": {
        **CONFIG["providers"],
        "odd": {"kind": "openai", "base_url": "http://odd:8000/v1", "api_key": "none"},
    },
    "models": {
        "fast": {"targets": [f"up/small:{SLOW}"]},
        "claude": {"targets": [f"ant/small:{SLOW}"]},
        "hurried": {"targets": ["up/small:silence"], "timeouts": {"first_token": "20s"}},
        "hopeless": {"targets": ["up/small:silence"], "timeouts": {"first_token": "40s"}},
    },
}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
WAITING = b": waiting\n\n"


def declared() -> Config:
    config = load_config(DECLARED, ENV)
    hurried = config.models["hurried"]
    hurried = replace(hurried, targets=(*hurried.targets, Target("up", "large:tokens=5")))
    return replace(config, models={**config.models, "hurried": hurried})


class Heard:
    """What came, and when."""

    def __init__(self, answer: Answer, lines: list[dict[str, Any]], pieces: list[tuple[float, bytes]]) -> None:
        self.answer = answer
        self.line = lines[0]
        self.pieces = pieces


def hear(dialect: str, model: str, **more: Any) -> Heard:
    """One streamed answer, read piece by piece."""

    async def main(loop: SimLoop) -> Heard:
        async with Stage(loop, declared()) as stage:
            began = loop.time()
            caller = await Caller.connect()
            path, body = ask(dialect, model=model, stream=True, **more)
            await caller.send("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
            pieces: list[tuple[float, bytes]] = []
            read = caller.reader.read

            async def noted(size: int) -> bytes:
                data = await read(size)
                pieces.append((loop.time() - began, data))
                return data

            caller.reader.read = noted  # type: ignore[method-assign, assignment]
            answer = await caller.receive()
            caller.close()
            await loop.clock.sleep(1)
            return Heard(answer, stage.lines, pieces)

    return run(main, leak_free=True)


@pytest.mark.parametrize(
    ("dialect", "model", "said"),
    [
        ("chat", "fast", WAITING),
        ("chat", "claude", WAITING),
        ("messages", "claude", PING),
        ("messages", "fast", PING),
        ("generate", "fast", WAITING),
    ],
)
def test_it_is_told_after_15_s_and_again_after_30_s(dialect: str, model: str, said: bytes) -> None:
    heard = hear(dialect, model)
    times = [round(at, 2) for at, data in heard.pieces if said in data and at < 39]
    assert times == [15.0, 30.0]
    answer = heard.answer
    assert answer.whole
    assert answer.status == 200
    assert answer.body.startswith(said + said)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-request-id"] == heard.line["id"]
    assert ("request-id" in answer.headers) is (dialect == "messages")
    assert "x-penstock-target" not in answer.headers
    assert heard.line["status"] == 200
    assert heard.line["bytes_out"] == len(answer.body)
    last = {"chat": b"data: [DONE]\n\n", "messages": b'"message_stop"}\n\n', "generate": b"}\n\n"}[dialect]
    assert answer.body.endswith(last)


def test_what_comes_in_time_is_told_nothing_else() -> None:
    heard = hear("chat", "up/small:first_token=14900ms,tokens=5")
    assert WAITING not in heard.answer.body
    assert heard.answer.headers["x-penstock-target"] == "up/small:first_token=14900ms,tokens=5"


def test_once_the_stream_runs_its_silences_are_its_own() -> None:
    heard = hear("chat", "up/small:between=20s,tokens=4")
    assert WAITING not in heard.answer.body
    assert heard.answer.body.endswith(b"data: [DONE]\n\n")


def test_the_next_deployment_is_still_asked_behind_it() -> None:
    heard = hear("chat", "hurried")
    assert heard.answer.body.startswith(WAITING + b"data: ")
    assert heard.answer.body.endswith(b"data: [DONE]\n\n")
    assert [one["outcome"] for one in heard.line["attempts"]] == ["upstream_timeout", "ok"]


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        ("chat", b'data: {"error":{"message":'),
        ("messages", b'event: error\ndata: {"type":"error","error":{"type":'),
        ("generate", b'event: error\ndata: {"contract":"1"'),
    ],
)
def test_an_error_behind_it_is_told_in_the_stream(dialect: str, told: bytes) -> None:
    heard = hear(dialect, "hopeless")
    assert heard.answer.status == 200
    assert heard.answer.whole
    said = PING if dialect == "messages" else WAITING
    assert heard.answer.body.startswith(said + said + told)
    assert b"[DONE]" not in heard.answer.body
    assert (heard.line["status"], heard.line["stream_error"]) == (200, "upstream_timeout")
    assert "error" not in heard.line


def test_a_whole_answer_is_said_as_the_stream_that_was_asked_for() -> None:
    body = json.dumps({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }).encode()  # fmt: skip
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    async def main(loop: SimLoop) -> Answer:
        script = [(20.0, head + body)]
        server = await loop.create_server(ScriptedUpstream(script, clock=loop.clock).connection, "odd", 8000)
        async with Stage(loop, declared()):
            caller = await Caller.connect()
            answer = await caller.post(chat(model="odd/m", stream=True))
            caller.close()
        server.close()
        return answer

    answer = run(main)
    assert answer.body.startswith(WAITING)
    assert answer.text == "Hello"
    assert answer.events[-1] == "[DONE]"


def test_a_whole_answer_is_waited_for_in_silence() -> None:
    async def main(loop: SimLoop) -> Answer:
        async with Stage(loop, declared()):
            caller = await Caller.connect()
            answer = await caller.post(chat(model="up/small:head=40s,tokens=5"))
            caller.close()
        return answer

    answer = run(main, leak_free=True)
    assert answer.headers["x-penstock-target"] == "up/small:head=40s,tokens=5"
    assert answer.json()["object"] == "chat.completion"


def test_who_leaves_while_it_waits_is_told_no_more_and_closes_the_provider() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, declared()) as stage:
            caller = await Caller.connect()
            body = json.dumps(chat(stream=True)).encode()
            await caller.send("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            await caller.reader.readuntil(WAITING)
            caller.close()
            await loop.clock.sleep(0.25)
            assert stage.gateway.upstream_busy == 0
            (line,) = stage.lines
            assert (line["status"], line["error"]) == (499, "cancelled")
            await loop.clock.sleep(40)

    run(main, leak_free=True)


def test_who_queues_is_told_its_place() -> None:
    models = {"narrow": {"targets": ["up/small:head=20s,tokens=5"], "concurrency": 1}}
    config = {"models": models, "defaults": {"timeouts": {"first_token": "90s", "idle": "60s"}}}

    async def main(loop: SimLoop) -> list[Answer]:
        async with Stage(loop, config):
            callers = [await Caller.connect() for _ in range(3)]
            asked = []
            for caller in callers:
                asked.append(asyncio.ensure_future(caller.post(chat(model="narrow", stream=True))))
                await loop.clock.sleep(0.1)
            answers = await asyncio.gather(*asked)
            for caller in callers:
                caller.close()
            return answers

    first, second, third = run(main, leak_free=True)
    assert first.body.startswith(WAITING + b"data: ")
    assert second.body.startswith(b": place 1 in the queue\n" + WAITING)
    assert third.body.startswith(b": place 2 in the queue\n" + WAITING + b": place 1 in the queue\n" + WAITING)
    assert all(answer.events[-1] == "[DONE]" for answer in (first, second, third))


# --- the sweep alone


def waiting_request(clock: FakeClock) -> Request:
    record = Opening(Ids(clock, SeededRandom(1)), clock).record("chat")
    return Request("openai_chat", "fast", True, {}, Edge(), record)


def test_one_timer_serves_all_and_place_in_the_queue_is_told() -> None:
    async def main() -> None:
        clock = FakeClock()
        waiting = Waiting(15.0, clock, lambda _: b"")
        outs: list[AsgiExchange] = []
        for number in range(100):
            request = waiting_request(clock)
            request.place = partial(int, number + 1)
            outs.append(AsgiExchange({"method": "POST", "type": "http", "headers": []}))
            waiting.add(outs[-1], request)
            clock.advance(0.1)
        assert clock.pending == 1
        for out in outs[10:]:
            waiting.remove(out)
        clock.advance(5.0)
        assert [out.started for out in outs] == [True] + [False] * 99
        clock.advance(1.0)
        assert sum(out.started for out in outs) == 10
        assert outs[9].written == len(b": place 10 in the queue\n: waiting\n\n")
        for out in outs[:10]:
            waiting.remove(out)
        clock.advance(60.0)
        assert clock.pending == 0

    asyncio.run(main())


def test_a_caller_that_does_not_read_is_told_no_more() -> None:
    async def main() -> None:
        clock = FakeClock()
        waiting = Waiting(15.0, clock, lambda _: b"")
        out = AsgiExchange({"method": "POST", "type": "http", "headers": []})
        waiting.add(out, waiting_request(clock))
        clock.advance(15.0)
        out.push(b"x" * 100_000)
        before = out.written
        clock.advance(30.0)
        assert out.written == before
        waiting.remove(out)

    asyncio.run(main())


def test_zero_seconds_tell_nobody() -> None:
    async def main() -> None:
        clock = FakeClock()
        waiting = Waiting(0.0, clock, lambda _: b"")
        out = AsgiExchange({"method": "POST", "type": "http", "headers": []})
        waiting.add(out, waiting_request(clock))
        assert clock.pending == 0
        waiting.remove(out)

    asyncio.run(main())
