"""What a call costs, told to whoever asks: header, log line, metric, and Penstock's own contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.providers.models import table_hash
from penstock.testing import ScriptedUpstream, SimLoop, run
from tests.stage import Answer, Caller, Stage, ask

PRICED = {
    "prices": {
        "up/small": {"input": "1.5", "output": 6, "cache_read": 0.15},
        "ant/small": {"input": 3, "output": 15},
    },
    "models": {"fast": {"targets": ["up/small"]}, "claude": {"targets": ["ant/small"]}},
}


def play(*asked: tuple[str, dict[str, Any]], config: dict[str, Any] | None = None) -> tuple[list[Answer], Stage]:
    async def main(loop: SimLoop) -> tuple[list[Answer], Stage]:
        async with Stage(loop, config) as stage:
            answers = []
            for path, body in asked:
                caller = await Caller.connect()
                answers.append(await caller.post(body, path))
                caller.close()
            await loop.clock.sleep(1)
            return answers, stage

    return run(main, leak_free=True)


def cost(line: dict[str, Any], per_input: int, per_output: int) -> str:
    """By hand, from what the log line says was used; prices in micro-dollars a thousand tokens."""
    nanos = line["tokens"]["input"] * per_input + line["tokens"]["output"] * per_output
    return f"0.{nanos:09d}"


@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
@pytest.mark.parametrize(("model", "prices"), [("fast", (1500, 6000)), ("claude", (3000, 15000))])
def test_whole_answers_tell_it_in_a_header(dialect: str, model: str, prices: tuple[int, int]) -> None:
    (answer,), stage = play(ask(dialect, model=model), config=PRICED)
    (line,) = stage.lines
    assert answer.headers["x-penstock-cost-usd"] == line["cost_usd"] == cost(line, *prices)
    assert line["cost_usd"] != "0.000000000"
    assert line["price_table"].startswith("config:")
    if dialect == "generate":
        assert answer.json()["cost_usd"] == line["cost_usd"]


@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_streams_tell_it_in_the_log_line(dialect: str) -> None:
    (answer,), stage = play(ask(dialect, stream=True), config=PRICED)
    (line,) = stage.lines
    assert "x-penstock-cost-usd" not in answer.headers
    assert line["cost_usd"] == cost(line, 1500, 6000)
    if dialect == "generate":
        assert answer.events[-1]["cost_usd"] == line["cost_usd"]


def test_a_stream_that_nobody_asked_for_tells_it_too() -> None:
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}},
    ]
    body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    config = {
        "providers": {"odd": {"kind": "openai", "base_url": "http://odd:8000/v1", "api_key": "none"}},
        "models": {},
        "prices": {"odd/*": {"input": 1, "output": 4}},
    }

    async def main(loop: SimLoop) -> tuple[Answer, list[dict[str, Any]]]:
        server = await loop.create_server(ScriptedUpstream([(0.0, head + body)]).connection, "odd", 8000)
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, asked = ask("messages", model="odd/m")
            answer = await caller.post(asked, path)
            caller.close()
            await loop.clock.sleep(1)
        server.close()
        return answer, stage.lines

    answer, (line,) = run(main)
    assert answer.status == 200
    assert answer.headers["x-penstock-cost-usd"] == line["cost_usd"] == "0.000028000"


def test_the_simulated_models_cost_what_the_table_says() -> None:
    asked = ask("chat", model="sim/small"), ("/v1/embeddings", {"model": "sim/embed", "input": "a river"})
    (_, vectors), stage = play(*asked)
    said, embedded = stage.lines
    assert (said["cost_usd"], said["price_table"]) == (cost(said, 1000, 4000), table_hash())
    assert vectors.headers["x-penstock-cost-usd"] == embedded["cost_usd"] == cost(embedded, 20, 0)
    told = stage.gateway.metrics.cost.series
    assert told["sim/small",] == pytest.approx(float(said["cost_usd"]))
    assert told["sim/embed",] == pytest.approx(float(embedded["cost_usd"]))
    assert not stage.gateway.metrics.unknown_price.series


def test_an_unknown_price_is_null_and_flagged_never_nothing() -> None:
    (answer, generated), stage = play(ask("chat"), ask("generate"))
    assert answer.headers["x-penstock-cost-usd"] == generated.headers["x-penstock-cost-usd"] == "null"
    assert [line["cost_usd"] for line in stage.lines] == [None, None]
    assert generated.json()["cost_usd"] is None
    assert [warning["code"] for warning in generated.json()["warnings"]] == ["unknown_price"]
    assert stage.gateway.metrics.unknown_price.series == {("up/small",): 2}
    assert sum(stage.gateway.metrics.cost.series.values()) == 0


@pytest.mark.parametrize(
    ("tier", "prices"), [("auto", (1000, 4000)), ("flex", (500, 2000)), ("priority", (2000, 8000))]
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_tier_that_served_it_decides(tier: str, prices: tuple[int, int], stream: bool) -> None:
    _, stage = play(ask("chat", model="sim/small", service_tier=tier, stream=stream))
    (line,) = stage.lines
    assert line["cost_usd"] == cost(line, *prices)


def test_a_tier_without_a_price_costs_unknown() -> None:
    _, stage = play(ask("chat", model="sim/large", service_tier="flex"))
    assert stage.lines[0]["cost_usd"] is None


def test_a_stream_that_was_left_costs_what_had_passed() -> None:
    async def main(loop: SimLoop) -> dict[str, Any]:
        async with Stage(loop) as stage:
            caller = await Caller.connect()
            path, body = ask("chat", model="sim/small:tokens=200,between=1s", stream=True)
            data = json.dumps(body).encode()
            await caller.send("POST", path, data, {"content-type": "application/json"})
            await loop.clock.sleep(20)
            caller.close()
            await loop.clock.sleep(1)
            return stage.lines[0]

    line = run(main, leak_free=True)
    assert line["status"] == 499
    assert line["tokens"]["estimated"] is True
    assert 0 < line["tokens"]["output"] < 200
    assert line["cost_usd"] == cost(line, 1000, 4000)


def test_counting_tokens_is_free() -> None:
    body = {"model": "ant/small", "messages": [{"role": "user", "content": "Hello"}]}
    (answer,), stage = play(("/v1/messages/count_tokens", body))
    assert answer.headers["x-penstock-cost-usd"] == stage.lines[0]["cost_usd"] == "0.000000000"


def test_what_never_reached_a_provider_tells_none() -> None:
    (answer,), stage = play(ask("chat", model="nobody"))
    assert answer.status == 404
    assert "x-penstock-cost-usd" not in answer.headers
    assert "cost_usd" not in stage.lines[0]


def test_a_call_without_a_price_is_refused_where_the_configuration_says_so() -> None:
    refusing = {"defaults": {"unknown_price": "refuse"}, "models": {}}
    asked = ask("chat", model="up/small"), ask("messages", model="ant/small"), ask("chat", model="sim/small")
    (chat, messages, priced), stage = play(*asked, config=refusing)
    assert (chat.status, messages.status, priced.status) == (400, 400, 200)
    assert (chat.error["type"], chat.error["code"]) == ("invalid_request_error", "unknown_price")
    assert messages.error["type"] == "invalid_request_error"
    assert "'up/small'" in chat.error["message"]
    assert [line.get("error") for line in stage.lines] == ["unknown_price", "unknown_price", None]
    assert stage.provider.journal.requests == 0


LATE = "up/small:silence"
CUT = "up/small:cut=8"
SEVERAL: dict[str, Any] = {
    "models": {
        "late": {"targets": [LATE, "ant/small"], "timeouts": {"first_token": "1s", "attempt": "1s"}},
        "cut": {"targets": [CUT, "ant/small"], "on_stream_cut": "resume"},
    },
    "prices": {
        LATE: {"input": 1, "output": 4},
        CUT: {"input": 1, "output": 4},
        "ant/small": {"input": 3, "output": 15},
    },
}


@pytest.mark.parametrize(("model", "stream"), [("late", False), ("late", True), ("cut", True)])
def test_every_attempt_is_in_the_cost_wherever_it_is_told(model: str, stream: bool) -> None:
    (answer,), stage = play(ask("generate", model=model, stream=stream), config=SEVERAL)
    (line,) = stage.lines
    told = answer.events[-1] if stream else answer.json()
    costs = [attempt["cost_usd"] for attempt in line["attempts"]]
    assert len(costs) == 2
    assert all(float(cost) > 0 for cost in costs)
    assert told["cost_usd"] == line["cost_usd"]
    assert float(line["cost_usd"]) == pytest.approx(sum(map(float, costs)), abs=1e-12)
    assert answer.headers.get("x-penstock-cost-usd") == (None if stream else line["cost_usd"])


def test_each_deployment_has_its_own_part_and_what_failed_has_one() -> None:
    asked = [ask("generate", model=model) for model in ("late", "lost")]
    config = {**SEVERAL, "models": {**SEVERAL["models"], "lost": {**SEVERAL["models"]["late"], "targets": [LATE]}}}
    (_, lost), stage = play(*asked, config=config)
    answered, failed = stage.lines
    first, second = (float(attempt["cost_usd"]) for attempt in answered["attempts"])
    assert (lost.status, failed["error"]) == (504, "upstream_timeout")
    assert float(failed["cost_usd"]) == pytest.approx(first), "it may have been answered, and charged"
    assert "tokens" not in failed
    stage.gateway.metrics.settle()
    assert stage.gateway.metrics.cost.series == pytest.approx({(LATE,): 2 * first, ("ant/small",): second})


@pytest.mark.parametrize(("target", "charged"), [(LATE, True), ("up/small:status=503", False)])
def test_a_fixed_answer_costs_what_the_failed_attempts_do(target: str, charged: bool) -> None:
    late = {**SEVERAL["models"]["late"], "targets": [target], "on_failure": {"message": "Later."}}
    (answer,), stage = play(ask("generate", model="late"), config={**SEVERAL, "models": {"late": late}})
    cost = float(stage.lines[0].get("cost_usd", 0))
    assert (cost > 0) is charged
    assert (answer.json()["status"], float(answer.json()["cost_usd"])) == ("degraded", cost)
