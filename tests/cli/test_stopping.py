"""How `penstock serve` ends: SIGTERM lets open streams end, a second one cuts them, Ctrl-C is told by the exit code."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.process import SECONDS, Served

READY = b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n"


@contextmanager
def stream(served: Served, model: str) -> Iterator[http.client.HTTPResponse]:
    """A stream of which the first event has come."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline().startswith(b"data: ")
    try:
        yield response
    finally:
        connection.close()


@contextmanager
def begin(served: Served, half: bytes) -> Iterator[socket.socket]:
    """A connection on which one request was answered and half of another one has arrived."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as connection:
        connection.sendall(READY + b"\r\n" + half)
        assert receive(connection) == (b"200", b"ok\n")
        yield connection


def receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """Status and body of a short answer."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"\n"):
        piece = connection.recv(4096)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split()[1], body


def wait_until_stopping(served: Served) -> None:
    served.told.wait_for(lambda lines: lines[-1].startswith("stopping"), "the word that it stops")


def test_sigterm_lets_a_stream_end(tmp_path: Path) -> None:
    with Served(tmp_path) as served, stream(served, "sim/large:tokens=50,between=20ms") as response:
        with begin(served, READY) as waiting:
            served.signal(signal.SIGTERM)
            wait_until_stopping(served)
            waiting.sendall(b"\r\n")
            assert receive(waiting) == (b"503", b"draining\n")
            assert waiting.recv(1) == b""
        with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as probe:
            probe.sendall(READY + b"\r\n")
            assert receive(probe) == (b"503", b"draining\n"), "a probe on a connection of its own sees it too"
        assert served.process.poll() is None
        assert response.read().endswith(b"data: [DONE]\n\n")
        assert served.wait() == 0
        assert [(line["status"], line.get("error")) for line in served.lines] == [(200, None)]
        assert "Traceback" not in served.told.text


def test_a_call_that_arrives_while_it_stops(tmp_path: Path) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    with (
        Served(tmp_path) as served,
        stream(served, "sim/large:tokens=50,between=20ms"),
        begin(served, head) as late,
    ):
        served.signal(signal.SIGTERM)
        wait_until_stopping(served)
        late.sendall(b'content-length: 21\r\n\r\n{"model":"sim/small"}')
        answer = http.client.HTTPResponse(late)
        answer.begin()
        assert answer.status == 503
        assert json.loads(answer.read())["error"]["code"] == "overloaded"
        assert answer.headers["retry-after"]
        answer.close()


def test_a_second_signal_cuts(tmp_path: Path) -> None:
    with Served(tmp_path) as served, stream(served, "sim/large:tokens=1000,between=100ms") as response:
        served.signal(signal.SIGTERM)
        wait_until_stopping(served)
        served.signal(signal.SIGTERM)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
        assert served.wait() == 0
        (line,) = served.lines
        assert (line["status"], line["error"]) == (499, "cancelled")
        assert "Traceback" not in served.told.text


def test_patience_ends(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders: {sim: {}}\nserver: {drain: 100ms}\n")
    with Served(tmp_path) as served, stream(served, "sim/large:tokens=1000,between=100ms"):
        served.signal(signal.SIGTERM)
        assert served.wait() == 0
        assert "open requests may end within 0.1 s" in served.told.text
        assert [(line["status"], line["stream_error"]) for line in served.lines] == [(200, "overloaded")]


def test_ctrl_c(tmp_path: Path) -> None:
    with Served(tmp_path) as served, stream(served, "sim/large:tokens=20,between=20ms") as response:
        served.signal(signal.SIGINT)
        assert response.read().endswith(b"data: [DONE]\n\n")
        assert served.wait() == 130
        assert "Traceback" not in served.told.text


def test_ctrl_c_twice(tmp_path: Path) -> None:
    with Served(tmp_path) as served, stream(served, "sim/small:stall=3"):
        served.signal(signal.SIGINT)
        wait_until_stopping(served)
        served.signal(signal.SIGINT)
        assert served.wait() == 130
        assert "Traceback" not in served.told.text


def test_a_signal_when_nothing_is_open(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        assert served.stop() == 0
        assert served.lines == []
