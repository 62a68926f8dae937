"""The fallback: `penstock serve --http asgi`, and the application mounted into another one, with the OpenAI SDK."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
import uvicorn
from starlette.applications import Starlette

from penstock.server import asgi_app
from tests.end_to_end.process import PENSTOCK, SECONDS, Lines, environment

OPEN = {"auth": "open", "providers": {"sim": {}}, "log": {"to": "none"}}


class Ready(uvicorn.Server):
    """Says when it listens, and where."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup()
        self.ready.set()


def calls(base: str) -> None:
    """The calls that every client makes."""
    with openai.OpenAI(base_url=base, api_key="unused", max_retries=0) as client:
        messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Hello there"}]
        answer = client.chat.completions.create(model="sim/small", messages=messages)
        assert answer.choices[0].message.content
        pieces = [
            event.choices[0].delta.content or ""
            for event in client.chat.completions.create(model="sim/small", messages=messages, stream=True)
            if event.choices
        ]
        assert len(pieces) > 3
        assert "".join(pieces)
        assert len(client.embeddings.create(model="sim/embed", input=["a", "b"]).data) == 2
        assert "sim/small" in {model.id for model in client.models.list()}
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nope", messages=messages)


@pytest.fixture
def mounted() -> Iterator[str]:
    app = Starlette()
    app.mount("/llm", asgi_app(OPEN))
    server = Ready(uvicorn.Config(app, port=0, log_config=None, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.ready.wait(SECONDS)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/llm"
    server.should_exit = True
    thread.join(SECONDS)
    assert not thread.is_alive()


def test_mounted_under_a_prefix(mounted: str) -> None:
    calls(f"{mounted}/v1")


def test_serve_http_asgi(tmp_path: Path) -> None:
    command = [*PENSTOCK, "serve", "--http", "asgi", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log, told = Lines(process.stdout), Lines(process.stderr)
    try:
        found = told.wait_for(lambda lines: re.search(r"gateway +(http://\S+)", "".join(lines)))
        calls(found.group(1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        log.close()
        told.close()
    assert log.text.count("\n") == 5
    assert "Traceback" not in told.text
