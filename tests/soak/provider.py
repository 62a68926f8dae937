"""Two providers as a process of their own: prints their base URLs, and ends with its standard input.

The first is the simulated one. The second answers whatever it is asked with the same long stream, at next to no cost.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

from penstock.clock import SystemClock
from penstock.providers.simulated import SimulatedProvider
from penstock.testing import ScriptedUpstream, SimulatedServer

STREAM_BYTES = 4_000_000


def _stream() -> bytes:
    delta = {"index": 0, "delta": {"content": "word " * 20}, "finish_reason": None}
    event = b"data: %b\n\n" % json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [delta]}).encode()
    body = event * (STREAM_BYTES // len(event))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


async def main() -> None:
    simulated = SimulatedServer(SimulatedProvider(SystemClock(), keep=0))
    async with simulated, ScriptedUpstream(_stream()) as long:
        print(simulated.base_url, long.base_url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
