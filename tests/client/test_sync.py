"""`SyncPenstock`: blocking calls from threads, notebooks and forked children; Ctrl-C; the end of the program."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import penstock
from penstock import SyncPenstock
from penstock.client import sync
from penstock.testing import SimulatedServer
from tests.client.test_lifetime import alone

ENDLESS = "sim/small:stall=5"
SECONDS = 20  # a child that hangs ends by then


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "penstock"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert threads() == []


def test_the_three_calls() -> None:
    with SyncPenstock() as llm:
        assert "not started" in repr(llm)
        whole = llm.generate("Hello", user="u")
        with llm.stream("Hello", user="u") as stream:
            events = list(stream)
        assert "".join(event.text for event in events) == whole.text == stream.reply.text
        assert stream.reply.usage == whole.usage
        assert "".join(llm.stream("Hello", user="u").text()) == whole.text
        assert len(llm.embed(["a", "b"], model="sim/embed")) == 2
        assert len(threads()) == 1
    assert "closed" in repr(llm)
    with pytest.raises(RuntimeError, match="closed"):
        llm.generate("Hello")
    llm.close()


def test_errors_are_the_same() -> None:
    with SyncPenstock() as llm:
        with pytest.raises(penstock.UpstreamRateLimited) as caught:
            llm.generate("Hello", model="sim/small:status=429,retry_after=2")
        assert caught.value.retry_after == 2.0
        pieces = llm.stream("Hello", model="sim/small:cut=4").text()
        assert next(pieces)
        with pytest.raises(penstock.StreamInterrupted):
            list(pieces)
        with pytest.raises(penstock.UnknownModel), llm.stream("Hello", model="nope"):
            pass
    with pytest.raises(penstock.ConfigError):
        SyncPenstock({"providers": {}})


def test_a_stream_left_early_stops_its_call() -> None:
    with SyncPenstock() as llm:
        with llm.stream("Hello", model=ENDLESS) as stream:
            for _ in stream:
                assert "1 open, 0 idle" in repr(llm)
                break
            with pytest.raises(RuntimeError, match="once the stream has ended"):
                _ = stream.reply
        assert "0 open" in repr(llm)
        with pytest.raises(RuntimeError, match="closed"):
            next(iter(stream))
        for _ in llm.stream("Hello", model=ENDLESS):
            break
        assert "0 open" in repr(llm)
        pieces = llm.stream("Hello", model=ENDLESS).text()
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert "0 open" in repr(llm)


def test_many_threads() -> None:
    with SyncPenstock() as llm, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: llm.generate(f"Number {n}"), range(40)))
        assert len(threads()) == 1
    assert len({reply.request_id for reply in replies}) == 40
    assert all(f"{n}" in reply.text or reply.text for n, reply in enumerate(replies))


def test_within_a_running_loop() -> None:
    async def cell() -> str:
        with SyncPenstock() as llm:
            return llm.generate("Hello").text

    assert asyncio.run(cell())


def test_closing_ends_what_waits() -> None:
    llm = SyncPenstock()
    begun, told = threading.Event(), []

    def read() -> None:
        try:
            for _ in llm.stream("Hello", model=ENDLESS):
                begun.set()
        except RuntimeError as error:
            told.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(SECONDS)
    llm.close()
    reader.join(SECONDS)
    assert not reader.is_alive()
    assert "closed" in told[0]


def test_one_that_is_forgotten_ends_its_thread() -> None:
    llm = SyncPenstock()
    llm.generate("Hello")
    (thread,) = threads()
    del llm
    gc.collect()
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_a_stream_keeps_its_client() -> None:
    assert "".join(SyncPenstock().stream("Hello").text())
    gc.collect()
    for thread in threads():
        thread.join(SECONDS)


@contextmanager
def child(told: list[str]) -> Iterator[bool]:
    """Fork; the block runs in both, `told` is what the child put in. The child has SECONDS to end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        code = 1
        try:
            yield True
            os.write(writing, "\n".join(told).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    yield False
    select.select([reading], [], [], SECONDS)
    told[:] = os.read(reading, 65536).decode().splitlines()
    os.close(reading)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_anew() -> None:
    told: list[str] = []
    with SyncPenstock() as llm:
        here = llm.generate("Hello")
        with llm.stream("Hello", model=ENDLESS) as stream:
            next(iter(stream))
            with child(told) as is_child:
                if is_child:
                    stream.close()
                    there = llm.generate("Hello")
                    told += [there.text, there.request_id, str(len(threads()))]
                    llm.close()
                    told.append(str(len(threads())))
        again = llm.generate("Hello")
    text, request_id, alive, left = told
    assert text == here.text == again.text
    assert request_id not in (here.request_id, again.request_id)
    assert (alive, left) == ("1", "0")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_begins() -> None:
    told: list[str] = []
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with sync._shared.lock:
            held.set()
            done.wait(SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(SECONDS)
    with child(told) as is_child:
        if is_child:
            told.append(SyncPenstock().generate("Hello").text)
    done.set()
    holder.join()
    assert told[0]


def test_an_interrupt_stops_the_call() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    main = threading.get_ident()
    seen: list[bytes] = []

    def silent() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(SECONDS)
            seen.append(connection.recv(65536))
            signal.pthread_kill(main, signal.SIGINT)
            seen.append(connection.recv(65536))

    server = threading.Thread(target=silent)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listener, SyncPenstock.connect(url) as llm:
        with pytest.raises(KeyboardInterrupt):
            llm.generate("Hello", model="any")
        server.join(SECONDS)  # its end of the connection has seen it close
        assert "0 open" in repr(llm)
    assert seen[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert seen[1:] == [b""], "the connection was closed"


def test_over_sockets() -> None:
    async def main() -> tuple[str, str]:
        async with SimulatedServer() as server:

            def calls() -> tuple[str, str]:
                config = {"providers": {"up": {"kind": "openai", "base_url": server.base_url, "api_key": "none"}}}
                with SyncPenstock(config) as llm:
                    whole = llm.generate("Hello", model="up/small").text
                    return whole, "".join(llm.stream("Hello", model="up/small").text())

            return await asyncio.get_running_loop().run_in_executor(None, calls)

    whole, streamed = asyncio.run(main())
    assert whole == streamed


ENDINGS = {
    "left open": "llm.generate('Hello')",
    "in a stream": "stream = iter(llm.stream('Hello', model='sim/small:stall=5')); next(stream)",
    "in a block": "s = llm.stream('Hello', model='sim/small:stall=5'); s.__enter__()",
    "by an error": "llm.generate('Hello'); import sys; sys.exit(0)",
    "with a thread": "import threading; threading.Thread(target=lambda: llm.generate('Hello')).start()",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_program_ends(ending: str, tmp_path: Path) -> None:
    done = alone(f"from penstock import SyncPenstock\nllm = SyncPenstock()\n{ENDINGS[ending]}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
