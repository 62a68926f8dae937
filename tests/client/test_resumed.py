"""A stream that is gone on with, as the library tells it: one answer, its usage that of all attempts."""

from __future__ import annotations

import pytest

from penstock import Penstock
from penstock.config.load import load_config
from penstock.errors import UpstreamError
from penstock.gateway import Gateway
from penstock.messages import Response
from penstock.testing import SeededRandom, SimClock, SimLoop, run

LONG = "tokens=60,between=5ms"
MODELS = {
    "joined": {"targets": [f"sim/small:{LONG},cut=40", f"sim/small:{LONG}"], "on_stream_cut": "resume"},
    "matched": {"targets": [f"sim/small:{LONG},cut=40", f"sim/small:{LONG},no_prefill"], "on_stream_cut": "resume"},
    "lost": {
        "targets": [f"sim/small:{LONG},cut=40", "sim/large:no_prefill"],
        "on_stream_cut": "resume",
        "retry": {"max_attempts": 1},
    },
    "whole": {"targets": [f"sim/small:{LONG}"]},
}


async def told(loop: SimLoop, model: str) -> tuple[str, Response]:
    config = load_config({"providers": {"sim": {}}, "models": MODELS, "auth": "open"}, {})
    gateway = Gateway(config, SimClock(loop), SeededRandom(1))
    try:
        async with Penstock.over(gateway) as llm, llm.stream("Where is the weir?", model=model) as stream:
            text = "".join([piece async for piece in stream.text()])
            return text, stream.reply
    finally:
        await gateway.aclose()


@pytest.mark.parametrize("model", ["joined", "matched"])
def test_it_is_one_answer(model: str) -> None:
    async def main(loop: SimLoop) -> None:
        text, reply = await told(loop, model)
        whole, _ = await told(loop, "whole")
        assert text == reply.text == whole
        assert reply.finish_reason == "stop"
        assert reply.attempts == (2 if model == "joined" else 3)
        assert reply.usage.output_tokens > 60

    run(main)


def test_what_is_lost_is_raised() -> None:
    async def main(loop: SimLoop) -> None:
        with pytest.raises(UpstreamError, match="unfinished"):
            await told(loop, "lost")

    run(main)
