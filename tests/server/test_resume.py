"""`on_stream_cut: resume`: a stream that breaks off inside a text is gone on with, whoever speaks what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.config.load import load_config
from penstock.providers.catalogue import load_catalogue
from penstock.providers.simulated import Seen
from penstock.testing import SimLoop, run
from penstock.testing.provider import EOF, ScriptedUpstream
from tests.stage import CONFIG, ENV, Answer, Caller, Stage, ask

LONG = "tokens=60,between=20ms"
CUT = f"{LONG},cut=40"
TIMEOUTS = {"first_token": "12s", "idle": "12s"}


class Played:
    """What a caller got of one request, and what became of it.

    Attributes:
        seen: what the provider was asked, in order.
        took: virtual seconds.
    """

    def __init__(self, answer: Answer, line: dict[str, Any], seen: list[Seen], took: float) -> None:
        self.answer = answer
        self.line = line
        self.seen = seen
        self.took = took

    @property
    def text(self) -> str:
        """What the answer says, in any dialect."""
        found = ""
        for event in self.events:
            for choice in event.get("choices", ()):
                found += choice["delta"].get("content") or ""
            if event.get("type") == "content_block_delta":
                found += event["delta"].get("text", "")
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for event in self.answer.events if isinstance(event, dict)]

    @property
    def outcomes(self) -> list[str]:
        return [attempt["outcome"] for attempt in self.line["attempts"]]

    @property
    def kinds(self) -> list[str]:
        return [attempt.get("kind", "first") for attempt in self.line["attempts"]]

    @property
    def error(self) -> dict[str, Any]:
        """What the last event tells."""
        error: dict[str, Any] = self.events[-1]["error"]
        return error

    @property
    def joins(self) -> list[dict[str, str]]:
        """What the last event tells of how it was put together."""
        told: list[dict[str, str]] = self.events[-1].get("penstock", {}).get("resumed", [])
        return told

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(seen.body) for seen in self.seen]


def play(
    dialect: str, *targets: Any, cut: str = "resume", headers: dict[str, str] | None = None, **more: Any
) -> Played:
    policies = {"on_stream_cut": cut, "timeouts": TIMEOUTS, **more.pop("policies", {})}
    config = {"models": {"m": {"targets": list(targets), **policies}}}

    async def main(loop: SimLoop) -> Played:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, body = ask(dialect, model="m", stream=True, **more)
            began = loop.time()
            answer = await caller.post(body, path, **(headers or {}))
            took = loop.time() - began
            caller.close()
            await loop.clock.sleep(1)
            (line,) = stage.lines
            return Played(answer, line, list(stage.provider.journal.log), took)

    return run(main, leak_free=True)


def whole(dialect: str, provider: str = "up", **more: Any) -> str:
    """The answer that nothing goes wrong with."""
    return play(dialect, f"{provider}/small:{LONG}", **more).text


# --- the same request again, and what of it is new


def test_it_goes_on_where_its_text_has_matched() -> None:
    played = play("chat", f"up/small:{CUT}", f"up/small:{LONG}", policies={"retry": {"max_attempts": 1}})
    assert played.text == whole("chat")
    assert played.answer.whole
    assert played.answer.events[-1] == "[DONE]"
    assert len({(event["id"], event["model"], event["created"]) for event in played.events}) == 1
    assert [event["choices"][0]["finish_reason"] for event in played.events].count("stop") == 1
    assert played.kinds == ["first", "resume"]
    assert played.outcomes == ["stream_interrupted", "ok"]
    assert played.line["finish_reason"] == "stop"
    assert "stream_error" not in played.line
    (join,) = played.joins
    said = len(played.text)
    after = int(join["how"].split()[2])
    assert join == {
        "target": f"up/small:{LONG}", "how": f"matched after {after} characters: stream_interrupted"
    }  # fmt: skip
    assert said // 2 < after < said
    assert [d["what"] for d in played.line["decisions"]].count("resumed") == 1
    assert played.asked[0]["messages"] == played.asked[1]["messages"]


def test_what_all_attempts_used_is_one_count() -> None:
    played = play(
        "chat", f"up/small:{CUT}", f"up/small:{LONG}", stream_options={"include_usage": True},
        policies={"retry": {"max_attempts": 1}},
    )  # fmt: skip
    used = [attempt["tokens"] for attempt in played.line["attempts"]]
    tokens = played.line["tokens"]
    for name in ("input", "output"):
        assert tokens[name] == sum(each[name] for each in used) > used[1][name]
    told = played.events[-1]
    assert told["choices"] == []
    assert told["usage"]["completion_tokens"] == tokens["output"]
    assert told["usage"]["prompt_tokens"] == tokens["input"]
    assert len(played.joins) == 1


def test_the_same_deployment_is_asked_again_where_it_may_be() -> None:
    body = (
        b"".join(chunk(word) for word in ("One ", "two ", "three ", "four.")) + chunk("", "stop") + b"data: [DONE]\n\n"
    )
    cut = body[: body.index(b"three")]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    answers = iter([[(0.0, head + framed(cut)), (0.0, EOF)], [(0.0, head + framed(body) + b"0\r\n\r\n")]])
    played = scripted([next(answers), next(answers)])
    assert played.text == "One two three four."
    assert played.outcomes == ["stream_interrupted", "ok"]
    assert [d["what"] for d in played.line["decisions"]] == ["chosen", "failed", "waited", "chosen", "resumed"]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def test_who_says_less_says_something_else() -> None:
    cut = [(0.0, HEAD + framed(chunk("One ") + chunk("two "))), (0.0, EOF)]
    for rest in (chunk("One ") + chunk("", "stop") + DONE, chunk("One ") + DONE):
        played = scripted([cut, [(0.0, HEAD + framed(rest) + b"0\r\n\r\n")]])
        assert played.text == "One two "
        assert played.outcomes == ["stream_interrupted", "no_match"]
        assert played.error["code"] == "stream_interrupted"


@pytest.mark.parametrize(
    ("said", "finish", "text"), [("One two three", "stop", "One two three"), ("One", None, "One two ")]
)
def test_a_whole_answer_may_go_on_with_a_stream(said: str, finish: str | None, text: str) -> None:
    cut = [(0.0, HEAD + framed(chunk("One ") + chunk("two "))), (0.0, EOF)]
    body = json.dumps({
        "id": "c2", "object": "chat.completion", "created": 8, "model": "odd-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}],
    }).encode()  # fmt: skip
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    played = scripted([cut, [(0.0, head + body)]])
    assert played.text == text
    assert played.outcomes[0] == "stream_interrupted"
    if said.startswith(text):
        assert len(played.joins) == 1
        assert {event["id"] for event in played.events} == {"c1"}
    else:
        assert played.error["code"] == "stream_interrupted"


def test_who_brought_nothing_new_is_asked_again_only_behind_others() -> None:
    played = play("chat", f"up/small:{CUT}", f"up/small:{LONG}")
    assert played.text == whole("chat")
    assert played.outcomes == ["stream_interrupted", "stream_interrupted", "ok"]


def test_who_said_something_else_is_not_asked_again() -> None:
    once = {"target": f"up/small:{CUT}", "max_attempts": 1}
    played = play("chat", once, f"up/large:{LONG}")
    assert played.outcomes == ["stream_interrupted", "no_match"]


def chunk(text: str, finish: str | None = None) -> bytes:
    event = {
        "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "odd-1",
        "choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}],
    }  # fmt: skip
    return b"data: %b\n\n" % json.dumps(event).encode()


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def scripted(answers: list[Any]) -> Played:
    """A provider that answers byte for byte so, one connection after the other."""
    odd = {"kind": "openai", "base_url": "http://odd:8000/v1", "api_key": "none"}
    config = {
        "providers": {**CONFIG["providers"], "odd": odd},
        "models": {"m": {"targets": ["odd/m"], "on_stream_cut": "resume"}},
    }  # fmt: skip

    async def main(loop: SimLoop) -> Played:
        upstreams = iter([ScriptedUpstream(answer, clock=loop.clock) for answer in answers])
        server = await loop.create_server(lambda: next(upstreams).connection(), "odd", 8000)
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, body = ask("chat", model="m", stream=True)
            answer = await caller.post(body, path)
            caller.close()
            await loop.clock.sleep(1)
            (line,) = stage.lines
        server.close()
        return Played(answer, line, [], 0.0)

    return run(main)


def test_it_breaks_off_more_than_once() -> None:
    retry = {"retry": {"max_attempts": 1}}
    targets = [f"up/small:{LONG},cut=15", f"up/small:{LONG},cut=30", f"up/small:{LONG},cut=45", f"up/small:{LONG}"]
    played = play("chat", *targets, policies=retry)
    assert played.text == whole("chat")
    assert played.outcomes == ["stream_interrupted"] * 3 + ["ok"]
    assert len(played.joins) == 3
    assert played.line["tokens"]["input"] == sum(each["tokens"]["input"] for each in played.line["attempts"])


def test_an_attempt_that_breaks_off_earlier_says_nothing_twice() -> None:
    targets = [f"up/small:{CUT}", f"up/small:{LONG},cut=10", f"up/small:{LONG}"]
    played = play("chat", *targets, policies={"retry": {"max_attempts": 1}})
    assert played.text == whole("chat")
    assert len(played.joins) == 1


# --- a begun answer


def test_a_target_that_goes_on_is_asked_for_the_rest() -> None:
    played = play("messages", f"ant/small:{CUT}", f"ant/small:{LONG}")
    assert played.text == whole("messages", "ant")
    assert [event["type"] for event in played.events if event["type"] != "content_block_delta"] == [
        "message_start", "content_block_start", "ping", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    first, second = played.asked
    *before, last = second["messages"]
    assert before == first["messages"]
    assert last["role"] == "assistant"
    assert played.text.startswith(last["content"])
    assert last["content"] == last["content"].rstrip()
    assert 1 <= second["max_tokens"] < first["max_tokens"] == 200
    (join,) = played.joins
    assert join["how"].startswith("continued after ")
    assert played.events[-2]["usage"]["output_tokens"] == played.line["tokens"]["output"]
    assert played.took < 1.3  # it did not have to be said once more


def test_who_refuses_a_begun_answer_is_asked_for_all_of_it() -> None:
    played = play("messages", f"ant/small:{CUT}", f"ant/small:{LONG},no_prefill")
    assert played.text == whole("messages", "ant")
    assert played.outcomes == ["stream_interrupted", "upstream_refused", "ok"]
    (join,) = played.joins
    assert join["how"].startswith("matched after ")
    assert "error" not in played.events[-1]


def test_its_refusal_is_never_the_last_word() -> None:
    played = play("messages", f"ant/small:{CUT}", "ant/large:no_prefill", policies={"retry": {"max_attempts": 1}})
    assert played.outcomes == ["stream_interrupted", "upstream_refused", "no_match"]
    assert played.error["type"] == "api_error"
    assert "prefill" not in played.error["message"]
    assert played.line["stream_error"] == "stream_interrupted"


def test_a_prompt_too_long_is_not_asked_again_without_its_begun_answer() -> None:
    full = "ant/large:status=400,code=context_length_exceeded"
    played = play("messages", f"ant/small:{CUT}", full, f"ant/small:{LONG}", policies={"retry": {"max_attempts": 2}})
    assert played.text == whole("messages", "ant")
    assert played.outcomes.count("context_too_long") <= 1


def test_who_refuses_is_asked_for_all_of_it_only_if_more_attempts_are_allowed() -> None:
    policies = {"retry": {"max_attempts": 1, "max_total": 2}}
    played = play("messages", f"ant/small:{CUT}", f"ant/small:{LONG},no_prefill", policies=policies)
    assert played.outcomes == ["stream_interrupted", "upstream_refused"]
    assert "prefill" not in played.error["message"]


def test_who_thinks_is_not_given_a_begun_answer() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    more: dict[str, Any] = {"thinking": thinking, "max_tokens": 2000}
    played = play("messages", f"ant/small:{LONG},cut=60", f"ant/small:{LONG}", **more)
    assert played.text == whole("messages", "ant", **more)
    assert "matched after" in played.joins[0]["how"]
    assert all(one["messages"][-1]["role"] == "user" for one in played.asked)
    indexes = [event["index"] for event in played.events if event["type"] == "content_block_delta"]
    assert indexes == sorted(indexes)
    assert set(indexes) == {0, 1}


def test_a_field_says_that_it_is_to_be_gone_on_with() -> None:
    played = play("chat", f"sim/small:{CUT}", f"sim/small:{LONG}")
    assert played.text == play("chat", f"sim/small:{LONG}").text
    assert played.joins[0]["how"].startswith("continued after ")


def test_a_begun_answer_is_translated_and_marked() -> None:
    policies = {"on_stream_cut": "resume", "retry": {"max_attempts": 1}}
    models = {"m": {"targets": [f"ant/small:{CUT}", f"up/small:{LONG}"], **policies}}
    config = load_config({**CONFIG, "models": models}, ENV)
    row = replace(load_catalogue()["openai"], continues=True, continued_by="prefix")
    config = replace(config, kinds={"openai": row})

    async def main(loop: SimLoop) -> Played:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, body = ask("messages", model="m", stream=True)
            answer = await caller.post(body, path)
            caller.close()
            await loop.clock.sleep(1)
            return Played(answer, stage.lines[0], list(stage.provider.journal.log), 0.0)

    played = run(main)
    (join,) = played.joins
    assert join["how"].startswith("continued after ")
    *_, last = played.asked[1]["messages"]
    assert (last["role"], last["prefix"]) == ("assistant", True)
    assert played.text.startswith(last["content"])
    assert len(played.text) > len(last["content"])
    assert played.events[-1]["type"] == "message_stop"


# --- callers and targets that speak differently


@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
@pytest.mark.parametrize("first", ["up", "ant"])
@pytest.mark.parametrize("second", ["up", "ant"])
def test_whoever_speaks_what(dialect: str, first: str, second: str) -> None:
    targets = [f"{first}/small:{CUT}", f"{second}/small:{LONG}"]
    played = play(dialect, *targets, policies={"retry": {"max_attempts": 1}})
    begun = play(dialect, targets[0], cut="error")
    assert played.answer.whole
    if dialect == "generate":
        last = played.events[-1]
        if first == second:
            assert last["status"] == "ok"
            assert "resumed" in [warning["code"] for warning in last["warnings"]]
            assert "penstock" not in last
        return
    if second == "ant" or first == second:
        assert len(played.joins) == 1, played.line
        assert played.text.startswith(begun.text)
        assert len(played.text) > len(begun.text)
        assert played.line["finish_reason"] == "stop"
        assert played.line["response_model"] == "small"
    else:  # another dialect's prompt is another prompt: it says something else
        assert played.outcomes[-1] == "no_match"
        assert played.error


# --- where it is not gone on with


@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_what_says_something_else_is_not_passed_on(dialect: str) -> None:
    provider = "ant" if dialect == "messages" else "up"
    targets = [f"{provider}/small:{CUT}", f"{provider}/large:{LONG},no_prefill"]
    played = play(dialect, *targets, policies={"retry": {"max_attempts": 1}})
    plain = play(dialect, targets[0], cut="error")
    assert played.outcomes[-1] == "no_match"
    assert played.line["stream_error"] == "stream_interrupted"
    if dialect != "generate":
        # The caller gets what it would have got: a prefix, and the error in its dialect's form.
        assert played.text == plain.text
        assert played.error == plain.error


ROBOT = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "task": {"type": "string"}},
    "required": ["name", "task"],
}
UNFIT: dict[str, tuple[str, dict[str, Any]]] = {
    "several answers": ("chat", {"n": 2}),
    "logprobs": ("chat", {"logprobs": True}),
    "a schema": ("chat", {"response_format": {"type": "json_object"}, "text": "Say it in JSON"}),
    "a schema of Anthropic's": (
        "messages", {"output_config": {"format": {"type": "json_schema", "schema": ROBOT}}},
    ),
    "a schema of Penstock's": ("generate", {"output_schema": ROBOT}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_joined_ends_as_before(name: str) -> None:
    dialect, more = UNFIT[name]
    provider = "ant" if dialect == "messages" else "up"
    targets = [f"{provider}/small:between=20ms,cut=5", f"{provider}/small"]
    played = play(dialect, *targets, **more)
    plain = play(dialect, *targets, cut="error", **more)
    assert played.outcomes == plain.outcomes == ["stream_interrupted"]
    assert played.line["stream_error"] == "stream_interrupted"
    if dialect != "generate":  # which tells how long it took
        assert played.answer.body == plain.answer.body


TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
}}}  # fmt: skip


def test_arguments_of_a_tool_are_never_joined() -> None:
    played = play("chat", "up/small:between=20ms,cut=3", "up/small", text="What's the weather?", tools=[TOOL])
    assert any("tool_calls" in event["choices"][0]["delta"] for event in played.events if "choices" in event)
    assert played.outcomes == ["stream_interrupted"]
    assert played.error["code"] == "stream_interrupted"


def test_thoughts_are_never_joined() -> None:
    played = play("chat", "up/reasoner:between=20ms,cut=10", "up/reasoner")
    assert played.text == ""
    assert played.outcomes == ["stream_interrupted"]
    assert played.error["code"] == "stream_interrupted"


def test_nothing_changes_where_it_is_not_asked_for() -> None:
    played = play("chat", f"up/small:{CUT}", f"up/small:{LONG}", cut="error")
    assert played.outcomes == ["stream_interrupted"]
    assert played.error["code"] == "stream_interrupted"
    assert whole("chat").startswith(played.text)


def test_max_total_holds_resumes_too() -> None:
    targets = [f"up/small:{LONG},cut={at}" for at in (10, 20, 30, 40, 50)]
    played = play("chat", *targets, policies={"retry": {"max_attempts": 1, "max_total": 3}})
    assert len(played.line["attempts"]) == 3
    assert played.error["code"] == "stream_interrupted"


def test_none_begins_after_the_deadline() -> None:
    targets = [f"up/small:{LONG},stall=20", f"up/small:{LONG}"]
    played = play("chat", *targets, policies={"timeouts": {"first_token": "4s", "total": "5s"}})
    assert len(played.line["attempts"]) == 1
    assert played.took <= 5.1
    assert played.error


# --- every way to break off


WAYS = {
    "cut": f"{LONG},cut=40",
    "silence": f"{LONG},stall=20",
    "an event that is not valid": f"{LONG},malformed=10",
    "an error event": f"{LONG},error_event=25",
    "no finish reason": f"{LONG},no_finish",
}


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("way", WAYS)
def test_however_it_breaks_off(dialect: str, way: str) -> None:
    provider = "ant" if dialect == "messages" else "up"
    targets = [f"{provider}/small:{WAYS[way]}", f"{provider}/small:{LONG},no_prefill"]
    played = play(dialect, *targets, policies={"retry": {"max_attempts": 1}})
    assert played.text == whole(dialect, provider)
    assert len(played.joins) == 1
    assert played.line["finish_reason"] == "stop"
    assert "stream_error" not in played.line
    assert not any(event.get("error") for event in played.events)
    assert played.took < (16 if way == "silence" else 4)


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_an_error_event_is_told_in_the_providers_words_where_nothing_goes_on(dialect: str) -> None:
    provider = "ant" if dialect == "messages" else "up"
    target = f"{provider}/small:{LONG},error_event=25"
    policies = {"retry": {"max_attempts": 1}}
    played, plain = play(dialect, target, policies=policies), play(dialect, target, cut="error")
    assert played.answer.body == plain.answer.body


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_no_last_word_after_a_finish_reason_is_a_good_end(dialect: str) -> None:
    provider = "ant" if dialect == "messages" else "up"
    played = play(dialect, f"{provider}/small:{LONG},no_done", f"{provider}/small:{LONG}")
    assert played.outcomes == ["ok"]
    assert played.text == whole(dialect, provider)
    assert played.took < 1.5


# --- callers


def test_who_leaves_while_it_is_gone_on_with_closes_the_provider() -> None:
    config = {
        "models": {"m": {"targets": [f"up/small:{CUT}", "up/small:silence"], "on_stream_cut": "resume",
                         "retry": {"max_attempts": 1}, "timeouts": TIMEOUTS}}
    }  # fmt: skip

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, body = ask("chat", model="m", stream=True)
            await caller.send("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
            await loop.clock.sleep(2)
            assert stage.gateway.upstream_busy == 1
            caller.close()
            await loop.clock.sleep(0.25)
            assert stage.gateway.upstream_busy == 0
            (line,) = stage.lines
            assert (line["status"], line["error"]) == (499, "cancelled")
            assert [one["outcome"] for one in line["attempts"]] == ["stream_interrupted", "cancelled"]

    run(main, leak_free=True)


def test_who_reads_slowly_holds_the_rest_back() -> None:
    long = "tokens=20000,burst=50"
    config = {
        "models": {"m": {"targets": [f"up/small:{long},cut=4000", f"up/small:{long}"], "on_stream_cut": "resume",
                         "retry": {"max_attempts": 1}, "timeouts": TIMEOUTS}}
    }  # fmt: skip

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, body = ask("chat", model="m", stream=True)
            await caller.send("POST", path, json.dumps(body).encode(), {"content-type": "application/json"})
            most, read = 0, caller.reader.read

            async def slowly(size: int) -> bytes:
                nonlocal most
                await loop.clock.sleep(0.2)
                (connection,) = stage.plane.listener.connections
                most = max(most, connection._transport.get_write_buffer_size())
                return await read(size)

            caller.reader.read = slowly  # type: ignore[method-assign, assignment]
            answer = await caller.receive()
            assert 0 < most <= 128 * 1024
            assert len(answer.body) > 4_500_000
            assert answer.events[-1] == "[DONE]"
            assert answer.events[-2]["penstock"]["resumed"]
            caller.close()

    run(main)
