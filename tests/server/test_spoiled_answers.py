"""An answer that came and cannot be read may be charged by its provider: its prompt is booked, and its row says so."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.testing import SimLoop, run
from tests.stage import Caller, Stage, chat

CONFIG: dict[str, Any] = {
    "auth": "open",
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
    },
    "defaults": {"retry": {"max_attempts": 1}},
    "prices": {"*": {"input": 1, "output": 10}},
}


@pytest.mark.parametrize(
    ("script", "stream", "booked"),
    [
        ("malformed=1", False, True),
        ("bad_utf8=1", False, True),
        ("html", False, False),
        ("html", True, False),
        ("status=500", False, False),
        ("status=504", False, True),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("provider", ["up", "ant"])
def test_what_cannot_be_read(provider: str, path: str, script: str, stream: bool, booked: bool) -> None:
    config = {**CONFIG, "models": {"fast": {"targets": [f"{provider}/small:{script}"]}}}

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, config) as stage:
            caller = await Caller.connect()
            answer = await caller.post({**chat(stream=stream), "max_tokens": 50}, path)
            caller.close()
            assert answer.status >= 500
            line = stage.lines[-1]
            assert (float(line.get("cost_usd") or 0) > 0) is booked
            assert line["attempts"][0].get("ambiguous", False) is booked

    run(main)
