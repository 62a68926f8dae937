"""A few hundred hostile inputs through a real listener, in a process of its own. `make soak` sends thousands."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.end_to_end.providers import Provider
from tests.security.attack import UP_KEY, attack, serve, statuses_of
from tests.security.hostile import hostile_inputs

COUNT = 400


@pytest.mark.skipif(sys.platform == "win32", reason="serve runs on Linux and macOS")
def test_nothing_breaks_and_nothing_gets_through(tmp_path: Path) -> None:
    with Provider(UP_KEY) as provider, serve(tmp_path, provider) as served:
        attacked = asyncio.run(attack(served.port, hostile_inputs(1, COUNT)))
        assert attacked.faults == []
        assert attacked.statuses[400] > COUNT / 10, "most are refused"
        assert attacked.statuses[200] > COUNT / 20, "and some are only strange"
        provider.journal.wait_until_quiet()
        assert served.stop() == 0
        assert "Traceback" not in served.told.text
        assert all(line["status"] < 500 for line in served.lines)


def test_the_inputs_are_the_seeds() -> None:
    assert list(hostile_inputs(7, 50)) == list(hostile_inputs(7, 50))
    assert list(hostile_inputs(7, 50)) != list(hostile_inputs(8, 50))


def test_answers_are_counted() -> None:
    one = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    assert statuses_of(one + one) == [400, 400]
    assert statuses_of(head + one + stream + head) == [200, 400, 200, 200]
    assert statuses_of(b"") == []
