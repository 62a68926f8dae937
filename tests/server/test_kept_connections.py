"""Connections to providers outlive answers that are errors."""

from __future__ import annotations

import pytest

from penstock.testing import SimLoop, run
from penstock.testing.provider import ScriptedUpstream
from tests.server.test_hostile_providers import CONFIG, WHOLE, response
from tests.stage import Caller, Stage, ask

ERROR = b'{"error":{"message":"%b","type":"invalid_request_error"}}' % (b"no " * 50)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_error_leaves_its_connection_open(status: int) -> None:
    async def main(loop: SimLoop) -> None:
        replies = [response(status, ERROR), response(200, WHOLE)] * 2
        server = await loop.create_server(ScriptedUpstream(*replies, clock=loop.clock).connection, "odd", 8000)
        async with Stage(loop, CONFIG) as stage:
            caller = await Caller.connect()
            path, asked = ask("openai_chat", model="odd", stream=False)
            told = [(await caller.post(asked, path)).status for _ in replies]
            assert told == [status, 200, status, 200]
            assert stage.gateway._pool.opened == 1
            assert (stage.gateway.upstream_connections, stage.gateway.upstream_busy) == (1, 0)
            caller.close()
        server.close()

    run(main, leak_free=True)
