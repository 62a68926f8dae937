"""Streams that break off anywhere, in any way, in pieces of any size: the caller has a prefix of one answer, ever."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.testing import SimLoop, run
from tests.stage import Answer, Caller, Stage, ask

TOKENS = "tokens=24,between=1ms"
ENDS = {"chat": b"data: [DONE]\n\n", "messages": b'"type":"message_stop"}\n\n'}
PROVIDER = {"chat": "up", "messages": "ant"}


def played(dialect: str, targets: list[str], seed: int) -> tuple[Answer, dict[str, Any]]:
    policies = {"on_stream_cut": "resume", "timeouts": {"first_token": "2s", "idle": "2s"}}
    config = {"models": {"m": {"targets": targets, **policies}}}

    async def main(loop: SimLoop) -> tuple[Answer, dict[str, Any]]:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            path, body = ask(dialect, model="m", stream=True)
            answer = await caller.post(body, path)
            caller.close()
            await loop.clock.sleep(1)
            assert stage.gateway.upstream_busy == 0
            assert stage.provider.journal.open == 0
            (line,) = stage.lines
            return answer, line

    return run(main, seed=seed, leak_free=True)


def text_of(answer: Answer) -> str:
    found = ""
    for event in answer.events:
        if isinstance(event, dict):
            for choice in event.get("choices", ()):
                found += choice["delta"].get("content") or ""
            if event.get("type") == "content_block_delta":
                found += event["delta"]["text"]
    return found


@cache
def reference(dialect: str) -> str:
    answer, _ = played(dialect, [f"{PROVIDER[dialect]}/small:{TOKENS}"], 0)
    assert answer.body.endswith(ENDS[dialect])
    return text_of(answer)


BREAKS = st.one_of(
    st.integers(0, 34).map("cut={}".format),
    st.integers(0, 34).map("stall={}".format),
    st.integers(1, 34).map("malformed={}".format),
    st.integers(0, 34).map("error_event={}".format),
    st.sampled_from(["no_finish", "no_done", "status=503", "reset=after_headers", "tokens=24"]),
)
CHUNKS = st.sampled_from(["", ",split=1", ",split=7", ",split=random", ",burst=5"])
PREFILL = st.sampled_from(["", ",no_prefill"])
TARGETS = st.lists(st.tuples(BREAKS, CHUNKS, PREFILL), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["chat", "messages"]), TARGETS, st.integers(0, 99))
def test_whatever_happens(dialect: str, ways: list[tuple[str, str, str]], seed: int) -> None:
    provider = PROVIDER[dialect]
    # Each deployment once; a length that is told twice is no script.
    scripts = (f"{way},between=1ms{chunks}{prefill}" for way, chunks, prefill in ways)
    named = (script if "tokens" in script else f"tokens=24,{script}" for script in scripts)
    targets = list(dict.fromkeys(f"{provider}/small:{script}" for script in named))
    answer, line = played(dialect, targets, seed)
    whole, said = reference(dialect), text_of(answer)
    assert len(line.get("attempts", [])) <= 6
    if answer.status != 200:
        assert said == ""
        return
    assert answer.whole
    assert whole.startswith(said), (said, whole)
    ended = answer.body.rstrip(b"\n").endswith(ENDS[dialect].rstrip(b"\n"))
    failed = any(isinstance(event, dict) and event.get("error") for event in answer.events)
    if "stream_error" in line:
        assert failed or (ended and said == whole)  # what comes behind the last word is nobody's concern
    elif failed:
        raise AssertionError(f"an error that the log does not know: {line}")
    else:
        assert said == whole
        # A finish reason is a good end; the last word behind it may be missing.
        assert ended or b'"stop"' in answer.body or b'"end_turn"' in answer.body
        assert line["finish_reason"] == "stop"
