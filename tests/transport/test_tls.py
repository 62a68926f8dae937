"""TLS towards providers: verified always, and resumed where the server lets us."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from penstock.clock import SystemClock
from penstock.errors import Unavailable
from penstock.testing import ScriptedUpstream
from penstock.transport.http import Origin, Pool
from penstock.transport.tls import client_context
from tests.end_to_end.certificates import Authority
from tests.transport.test_proxy import OK, REQUEST


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_session_is_resumed(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], version: ssl.TLSVersion
) -> None:
    authority = Authority(tmp_path, "ca")
    context = authority.server_context()
    context.minimum_version = context.maximum_version = version

    async def main() -> list[bool]:
        pool, resumed = Pool(SystemClock()), []
        async with ScriptedUpstream(OK, tls=context) as server:
            origin = Origin("127.0.0.1", server.port, client_context(str(authority.file)))
            for _ in range(3):
                connection = await pool.connect(origin, 5.0)
                await connection.exchange(REQUEST, stream=False, timeout=5.0)
                connection.parser.take()
                assert connection._transport is not None
                resumed.append(connection._transport.get_extra_info("ssl_object").session_reused)
                connection.release()
            await pool.aclose()
        return resumed

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(main()) == [False, True, True]


def test_another_authoritys_certificate_is_refused(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")

    async def main() -> None:
        pool = Pool(SystemClock())
        async with ScriptedUpstream(OK, tls=theirs.server_context()) as server:
            for trusted in (client_context(str(ours.file)), client_context()):
                with pytest.raises(Unavailable, match="certificate is not valid"):
                    await pool.connect(Origin("127.0.0.1", server.port, trusted), 5.0)
            assert server.requests == []
        assert pool.open == 0
        await pool.aclose()

    uvloop.run(main())
