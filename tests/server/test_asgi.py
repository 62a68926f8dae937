"""The ASGI application by itself: what it takes from a scope, its own guard and caps, its start and end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.clock import Ids
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.errors import ConfigError
from penstock.server import asgi_app
from penstock.server.asgi import AsgiApp
from penstock.stores.directory_rows import MadeKey
from penstock.stores.key_format import make_key
from penstock.stores.rulebook import Kind, Rulebook, StoredRule
from penstock.testing import ScriptedUpstream, SeededRandom, SimLoop, run
from penstock.usage import usd
from tests.server.test_steward import SECRET
from tests.stage import chat
from tests.stores.directories import ENCRYPTION_KEY, Opened

OPEN: dict[str, object] = {"auth": "open", "providers": {"sim": {}}, "log": {"to": "none"}}
JSON = (b"content-type", b"application/json")
HOST = (b"host", b"127.0.0.1:8484")


def scope(path: str, method: str = "POST", *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    asked = {"type": "http", "http_version": "1.1", "method": method, "path": path, "query_string": b""}
    return {**asked, "headers": [HOST, *headers], "client": ("127.0.0.1", 1), **more}


async def ask(app: AsgiApp, asked: dict[str, Any], *parts: bytes) -> tuple[int, bytes]:
    """Status and body of one request, whose body comes in `parts`."""
    left = asyncio.Event()
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(asked, receive, send)
    assert sent[-1]["more_body"] is False
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def once(asked: dict[str, Any], *parts: bytes, config: dict[str, object] = OPEN) -> tuple[int, bytes]:
    async def main() -> tuple[int, bytes]:
        app = asgi_app(config)
        try:
            return await ask(app, asked, *parts)
        finally:
            await app.aclose()

    return asyncio.run(main())


BODY = json.dumps(chat(model="sim/small")).encode()
MESSAGE = json.dumps({**chat(model="sim/small"), "max_tokens": 50}).encode()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"raw_path": b"/v1/chat/completions"},
        {"path": "/llm/v1/chat/completions", "root_path": "/llm"},
        {"path": "/a b/v1/chat/completions", "root_path": "/a b", "raw_path": b"/a%20b/v1/chat/completions"},
        {"http_version": "2"},
        {"client": None},
        {"client": ("::1", 1)},
    ],
)
def test_scopes(more: dict[str, Any]) -> None:
    status, body = once(scope("/v1/chat/completions", "POST", JSON) | more, BODY[:9], BODY[9:])
    assert status == 200
    assert json.loads(body)["choices"]


@pytest.mark.parametrize(
    ("header", "more", "status"),
    [
        ((b"x-a", b"b"), {"client": ("192.0.2.1", 1)}, 403),
        ((b"host", b"localhost"), {}, 400),
        ((b"x-a", b"b\r\nx-c: d"), {}, 400),
        ((b"x-a", b"caf\xe9"), {}, 400),
        ((b"x_api_key", b"k"), {}, 400),
        ((b"origin", b"http://evil.example"), {}, 403),
        ((b"content-length", b"99999999999"), {}, 413),
        ((b"x-a", b"b"), {"raw_path": b"/v1/chat completions"}, 400),
        ((b"x-a", b"b"), {"method": "CONNECT"}, 400),
        ((b"x-a", b"b"), {"headers": [(b"host", b"evil.example"), JSON]}, 403),
    ],
)
def test_guards(header: tuple[bytes, bytes], more: dict[str, Any], status: int) -> None:
    found, body = once(scope("/v1/chat/completions", "POST", JSON, header) | more, BODY)
    assert found == status
    assert json.loads(body)["error"]["message"]


def test_a_body_over_the_cap() -> None:
    config = {**OPEN, "server": {"max_body": "4KiB"}}
    status, _ = once(scope("/v1/chat/completions", "POST", JSON), *[b" " * 1000] * 5, config=config)
    assert status == 413


def test_with_keys_any_host_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_KEY", "psk_test_0123456789")
    config: dict[str, object] = {**OPEN, "auth": "required", "keys": [{"name": "app", "key": "env:APP_KEY"}]}
    config["models"] = {"fast": {"targets": ["sim/small"]}}
    asked = scope("/v1/models", "GET") | {"client": ("192.0.2.1", 1)}
    asked["headers"] = [(b"host", b"llm.example"), (b"authorization", b"Bearer psk_test_0123456789")]
    assert once(asked, config=config)[0] == 200
    asked["headers"] = [(b"host", b"llm.example")]
    assert once(asked, config=config)[0] == 401


def test_lifespan() -> None:
    async def main() -> list[str]:
        waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[str] = []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await asgi_app(OPEN)({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(main()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_what_is_no_config() -> None:
    with pytest.raises(ConfigError):
        asgi_app({"providers": {}})
    with pytest.raises(TypeError):
        asgi_app(7)  # type: ignore[arg-type]


# --- with `state:`


def in_turn(folder: Path, *asked: dict[str, Any], bodies: Sequence[bytes] = (), **more: Any) -> list[tuple[int, bytes]]:
    """Answers of one application that keeps its books there."""

    async def main() -> list[tuple[int, bytes]]:
        app = asgi_app({**OPEN, "state": f"sqlite:///{folder}/p.db", **more})
        try:
            return [await ask(app, one, body) for one, body in zip(asked, bodies, strict=True)]
        finally:
            await app.aclose()

    return asyncio.run(main())


def test_without_state_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert once(scope("/v1/chat/completions", "POST", JSON), BODY)[0] == 200
    assert list(tmp_path.iterdir()) == []


def test_books_outlive_the_application_and_tell_of_its_requests(tmp_path: Path) -> None:
    rules = {"budgets": [{"scope": "user", "limit": "2 requests/month"}]}
    call, body = scope("/v1/chat/completions", "POST", JSON), BODY
    (first,) = in_turn(tmp_path, call, bodies=[body], **rules)
    found = in_turn(tmp_path, call, call, bodies=[body, body], **rules)
    assert [first[0], *(status for status, _ in found)] == [200, 200, 429]
    connection = sqlite3.connect(tmp_path / "p.db")
    ((id, cost),) = connection.execute("SELECT request, cost FROM attempts LIMIT 1").fetchall()
    connection.close()
    ((status, told),) = in_turn(tmp_path, scope(f"/v1/requests/{id}", "GET"), bodies=[b""], **rules)
    assert (status, json.loads(told)["cost_usd"]) == (200, usd(cost))
    other = id[:-1] + ("0" if id[-1] != "0" else "1")
    assert in_turn(tmp_path, scope(f"/v1/requests/{other}", "GET"), bodies=[b""])[0][0] == 404


def test_a_second_application_on_one_store_does_not_start(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        config = {**OPEN, "state": f"sqlite:///{tmp_path}/p.db"}
        first = asgi_app(config)
        await ask(first, scope("/v1/chat/completions", "POST", JSON), BODY)
        await asgi_app(config)({"type": "lifespan"}, receive, send)
        await first.aclose()
        return sent

    (told,) = asyncio.run(main())
    assert told["type"] == "lifespan.startup.failed"
    assert "open already" in told["message"]


def test_a_store_that_cannot_be_opened_is_told_in_the_callers_dialect_and_tried_again(tmp_path: Path) -> None:
    budget = {"scope": "global", "limit": "30 requests/hour"}

    async def main() -> list[tuple[int, bytes]]:
        app = asgi_app({**OPEN, "state": f"sqlite:///{tmp_path}/p.db", "budgets": [budget]})
        call = scope("/v1/messages", "POST", JSON)
        _ = app.gateway  # its store is made, and not opened yet
        found = []
        for before, after in (("accounts", "elsewhere"), ("elsewhere", "accounts")):
            connection = sqlite3.connect(tmp_path / "p.db")
            connection.execute(f"ALTER TABLE {before} RENAME TO {after}")  # no caller's words
            connection.close()
            found.append(await ask(app, call, MESSAGE))
        await app.aclose()
        return found

    (down, told), (up, _) = asyncio.run(main())
    assert (down, json.loads(told)["type"], up) == (503, "error", 200)
    assert b"no such table" in told


def test_its_books_are_watched_and_somebody_is_told(tmp_path: Path) -> None:
    budget = {"scope": "global", "limit": "30 requests/hour", "hard": False, "alert_at": [0.5], "on_soft": "throttle"}
    hook = {"url": "http://127.0.0.1:9000/hook", "secret": "env:HOOK"}
    written = {**OPEN, "state": f"sqlite:///{tmp_path}/p.db", "budgets": [budget], "alerts": {"webhook": hook}}
    config = load_config(written, {"HOOK": SECRET})

    async def main(loop: SimLoop) -> None:
        receiver = ScriptedUpstream(b"HTTP/1.1 204 No Content\r\n\r\n", clock=loop.clock)
        await loop.create_server(receiver.connection, "127.0.0.1", 9000)
        app = AsgiApp(config, loop.clock, SeededRandom(1), inline=True)
        call = scope("/v1/chat/completions", "POST", JSON)
        for _ in range(16):
            assert (await ask(app, call, BODY))[0] == 200
            await loop.clock.sleep(15.0)
        assert app.gateway.shared.pressure(f"{config.rules[0].id}|") > 0
        await app.aclose()
        told = [json.loads(request.body)["type"] for request in receiver.requests]
        assert "penstock.budget.threshold" in told

    run(main, leak_free=True)


# --- what is in the store


async def fill(loop: SimLoop, folder: Path, *rules: tuple[Kind, dict[str, Any]]) -> MadeKey:
    """A store as the command line leaves it: a key of acme's, and such rules."""
    with Opened(folder, clock=loop.clock) as opened:
        await opened.directory.tenants.create("acme")
        made = await opened.key("web", tenant="acme", models=("sim/*",))
        book = Rulebook(opened.db, loop.clock, Ids(loop.clock, SeededRandom(1)))
        for kind, body in rules:
            await book.create(StoredRule("", kind, "", "", body, 0, "test", 0), note=lambda connection, noted: None)
    return made


def stored(folder: Path, **more: Any) -> Config:
    tree = {
        "auth": "required",
        "providers": {"sim": {}},
        "log": {"to": "none"},
        "state": f"sqlite:///{folder}/penstock.db",
    }
    return load_config(
        {**tree, "encryption_key": "env:PENSTOCK_SECRET", **more}, {"PENSTOCK_SECRET": ENCRYPTION_KEY.reveal()}
    )


def by(secret: str) -> dict[str, Any]:
    return scope("/v1/chat/completions", "POST", JSON, (b"authorization", b"Bearer " + secret.encode()))


def test_keys_of_the_store_are_good_until_they_are_revoked(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        made = await fill(loop, tmp_path)
        app = AsgiApp(stored(tmp_path), loop.clock, SeededRandom(1), inline=True)
        call = by(made.secret.reveal())
        # Those that come first wait for what is read, and are not refused.
        first = await asyncio.gather(*(ask(app, call, BODY) for _ in range(3)))
        assert [status for status, _ in first] == [200] * 3
        assert (await ask(app, by(make_key("live").reveal()), BODY))[0] == 401
        assert (await ask(app, scope("/v1/chat/completions", "POST", JSON), BODY))[0] == 401
        told = json.loads((await ask(app, {**call, "path": "/v1/key", "method": "GET"}))[1])
        assert (told["name"], told["tenant"]) == ("acme/web", "acme")
        # Somebody changes the store itself.
        writer = sqlite3.connect(tmp_path / "penstock.db")
        writer.execute("UPDATE directory SET version = version + 1")
        writer.execute("UPDATE keys SET revoked = 1, version = (SELECT version FROM directory) WHERE name = 'web'")
        writer.commit()
        writer.close()
        await loop.clock.sleep(1.0)
        assert (await ask(app, call, BODY))[0] == 401
        await app.aclose()
        again = AsgiApp(stored(tmp_path), loop.clock, SeededRandom(1), inline=True)
        assert (await ask(again, call, BODY))[0] == 401
        await again.aclose()

    run(main, leak_free=True)


def test_limits_and_budgets_of_the_store_hold(tmp_path: Path) -> None:
    limit: tuple[Kind, dict[str, Any]] = ("limit", {"scope": "tenant", "match": "acme", "requests": "2/min"})
    budget: tuple[Kind, dict[str, Any]] = ("budget", {"scope": "key", "limit": "3 requests/day"})

    async def main(loop: SimLoop) -> None:
        made = await fill(loop, tmp_path, limit, budget)
        call, statuses = by(made.secret.reveal()), []
        for _ in range(2):
            app = AsgiApp(stored(tmp_path), loop.clock, SeededRandom(1), inline=True)
            statuses += [(await ask(app, call, BODY))[0] for _ in range(3)]
            await app.aclose()
            await loop.clock.sleep(61)
        assert statuses == [200, 200, 429, 200, 429, 429]

    run(main, leak_free=True)


def test_a_store_whose_encryption_key_is_lost_is_not_opened(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        await fill(loop, tmp_path)
        config = load_config(
            {"auth": "required", "providers": {"sim": {}}, "state": f"sqlite:///{tmp_path}/penstock.db"}, {}
        )
        app = AsgiApp(config, loop.clock, SeededRandom(1), inline=True)
        with pytest.raises(ConfigError, match="encryption key"):
            _ = app.gateway
        await app.aclose()

    run(main, leak_free=True)
