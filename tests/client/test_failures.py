"""What goes wrong has the same class in process and through a gateway, before an answer and inside one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import penstock
from penstock import Penstock, PenstockError, Stream
from penstock.gateway import Gateway
from penstock.testing import ScriptedUpstream, SimClock, SimLoop, run
from tests.client.stage import BOTH, CONFIG, Stage
from tests.client.test_calls import both, play

BEFORE = [
    ("status=400", penstock.UpstreamRefused, 400),
    ("status=400,code=context_length_exceeded", penstock.ContextTooLong, 400),
    ("status=400,code=content_filter", penstock.ContentFiltered, 400),
    ("status=401", penstock.UpstreamCredential, 502),
    ("status=402", penstock.UpstreamQuota, 502),
    ("status=404", penstock.UpstreamNotFound, 404),
    ("status=429,retry_after=2", penstock.UpstreamRateLimited, 429),
    ("status=429,code=insufficient_quota", penstock.UpstreamQuota, 502),
    ("status=500", penstock.Unavailable, 500),
    ("status=504", penstock.UpstreamTimeout, 504),
    ("html", penstock.ProtocolError, 502),
    ("reset=before_headers", penstock.Unavailable, 502),
    ("silence", penstock.UpstreamTimeout, 504),
]
INSIDE = [
    ("cut=4", penstock.StreamInterrupted),
    ("stall=4", penstock.UpstreamTimeout),
    ("no_finish", penstock.StreamInterrupted),
    ("error_event=4", penstock.Unavailable),
]


async def drain(stream: Stream, pieces: list[str]) -> None:
    async for piece in stream.text():
        pieces.append(piece)


def outcome(stage: Stage, model: str, *, stream: bool = False) -> tuple[str, PenstockError]:
    """The text that came before the error, and the error."""

    async def scene(llm: Penstock, gateway: Gateway) -> tuple[str, PenstockError]:
        pieces: list[str] = []
        with pytest.raises(PenstockError) as caught:
            await (drain(llm.stream("Hello", model=model), pieces) if stream else llm.generate("Hello", model=model))
        assert gateway.metrics.in_flight.series[()] == 0
        return "".join(pieces), caught.value

    found: tuple[str, PenstockError] = play(stage, scene)
    return found


@both
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("script", "kind", "status"), BEFORE)
def test_before_an_answer(stage: Stage, stream: bool, script: str, kind: type[PenstockError], status: int) -> None:
    text, error = outcome(stage, f"sim/small:{script}", stream=stream)
    assert isinstance(error, kind)
    assert (text, error.status) == ("", status)
    assert error.retry_after == (2.0 if "retry_after" in script else None)
    assert error.message


@both
@pytest.mark.parametrize(("script", "kind"), INSIDE)
def test_inside_a_stream(stage: Stage, script: str, kind: type[PenstockError]) -> None:
    text, error = outcome(stage, f"sim/small:{script}", stream=True)
    assert type(error) is kind
    assert text
    assert "gateway" not in error.message


@pytest.mark.parametrize(("script", "kind"), INSIDE)
def test_an_error_inside_a_stream_reads_the_same_either_way(script: str, kind: type[PenstockError]) -> None:
    here, there = (outcome(stage, f"sim/small:{script}", stream=True) for stage in BOTH)
    assert (here[0], here[1].message) == (there[0], there[1].message)


@both
def test_an_unknown_model(stage: Stage) -> None:
    _, error = outcome(stage, "fasst")
    assert isinstance(error, penstock.UnknownModel)
    assert 'did you mean "fast"' in error.message
    assert error.status == 404


@both
def test_a_broken_stream_has_no_reply_and_stays_broken(stage: Stage) -> None:
    async def scene(llm: Penstock, gateway: Gateway) -> None:
        async with llm.stream("Hello", model="sim/small:cut=4") as stream:
            for _ in range(2):
                with pytest.raises(penstock.StreamInterrupted):
                    async for _ in stream:
                        pass
            with pytest.raises(RuntimeError, match="once the stream has ended"):
                _ = stream.reply

    play(stage, scene)


def test_a_wrong_key() -> None:
    async def main(loop: SimLoop) -> PenstockError:
        async with BOTH[1](loop) as (llm, _):
            url = repr(llm).split()[2].removesuffix("/v1")
            async with Penstock.connect(url, "sk-other", clock=SimClock(loop)) as stranger:
                with pytest.raises(penstock.Unauthenticated) as caught:
                    await stranger.generate("Hello")
                return caught.value

    assert run(main, leak_free=True).status == 401


def test_no_gateway() -> None:
    async def main(loop: SimLoop) -> str:
        async with Penstock.connect("http://127.0.0.1:9", clock=SimClock(loop)) as llm:
            with pytest.raises(penstock.Unavailable) as caught:
                await llm.generate("Hello")
            return caught.value.message

    assert "no connection to the gateway at http://127.0.0.1:9/v1" in run(main, leak_free=True)


@asynccontextmanager
async def scripted(loop: SimLoop, reply: bytes) -> AsyncIterator[Penstock]:
    """Connected to a gateway that answers with these bytes."""
    clock = SimClock(loop)
    async with ScriptedUpstream(reply, clock=clock) as up, Penstock.connect(up.base_url, clock=clock) as llm:
        yield llm


def answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-type: application/json", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (b"503 x", b'{"error":{"message":"m","code":"overloaded","request_id":"1"}}', penstock.Overloaded),
        (b"413 x", b'{"error":{"message":"m","code":"too_large","request_id":"1"}}', penstock.TooLarge),
        (b"403 x", b'{"error":{"message":"m","code":"forbidden","request_id":"1"}}', penstock.Forbidden),
        (b"500 x", b'{"error":{"message":"m","code":"internal_error","request_id":"1"}}', penstock.PenstockError),
        (b"429 x", b'{"error":{"message":"m","code":"rate_limit_exceeded","request_id":"1"}}',
         penstock.UpstreamRateLimited),
        (b"429 x", b'{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded","request_id":"1"}}',
         penstock.RateLimited),
        (b"429 x", b'{"error":{"message":"m","code":"insufficient_quota","request_id":"1"}}', penstock.BudgetExceeded),
        (b"400 x", b'{"error":{"message":"m","code":"larger_than_limit","request_id":"1"}}', penstock.LargerThanLimit),
        # A later gateway may have classes that this library has not.
        (b"500 x", b'{"error":{"message":"m","code":"of_later","request_id":"1"}}', penstock.Unavailable),
        # A provider's own words, passed on: its codes are not ours.
        (b"404 x", b'{"error":{"message":"m","code":"model_not_found"}}', penstock.UpstreamNotFound),
        (b"500 x", b'{"error":{"message":"m","code":"too_large"}}', penstock.Unavailable),
        (b"502 x", b"<html>", penstock.Unavailable),
    ],
)  # fmt: skip
def test_a_gateways_words(status: bytes, body: bytes, kind: type[PenstockError]) -> None:
    async def main(loop: SimLoop) -> PenstockError:
        reply = answer(status, body, b"retry-after: 3")
        async with scripted(loop, reply) as llm:
            with pytest.raises(PenstockError) as caught:
                await llm.generate("Hello")
        return caught.value

    error = run(main)
    assert type(error) is kind
    assert error.status == int(status[:3])
    assert error.retry_after == 3.0


def test_a_provider_that_streams_unasked() -> None:
    chunk = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    body = chunk + b"data: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def main(loop: SimLoop) -> Any:
        async with scripted(loop, head + body) as llm:
            return await llm.generate("Hello")

    reply = run(main)
    assert (reply.text, reply.finish_reason, reply.model, reply.usage.estimated) == ("hi", "stop", "m", True)


def test_a_provider_that_cannot_stream() -> None:
    body = b'{"model":"m","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'

    async def main(loop: SimLoop) -> Any:
        async with scripted(loop, answer(b"200 OK", body)) as llm, llm.stream("Hello") as stream:
            return [event.kind async for event in stream], stream.reply

    kinds, reply = run(main)
    assert kinds == ["text", "finish"]
    assert (reply.text, reply.finish_reason, reply.model, reply.raw["model"]) == ("hi", "stop", "m", "m")


def test_a_config_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(penstock.ConfigError, match="providerz"):
        Penstock({**CONFIG, "providerz": {}})
    with pytest.raises(penstock.ConfigError, match=r"none\.yaml"):
        Penstock("none.yaml")
    with pytest.raises(TypeError, match="not int"):
        Penstock(7)  # type: ignore[arg-type]
