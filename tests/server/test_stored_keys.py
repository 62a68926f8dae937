"""The store's keys on the whole path: four workers, one directory; what is changed there holds everywhere, and when.

Times are virtual: "within a second" is measured on the loop's clock, on connections that stay open.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from penstock.config.load import load_config
from penstock.config.show import describe
from penstock.providers.simulated import SimulatedProvider
from penstock.redact import Secret
from penstock.stores.directory_rows import KeyRights
from penstock.stores.key_centre import LOOK_SECONDS, PAGE
from penstock.stores.key_link import LIFE_SECONDS, SILENT_SECONDS
from tests.server.keyed import BODY, CONFIG, DECLARED, ENV, FREE, WORKERS, Line, Scene, all_bytes, play

UP_KEY = "sk-up-0123456789abcdef"
VECTORS = json.dumps({"model": "sim/embed", "input": "Hello"}).encode()


class Listening:
    """Hears which keys a worker is told to look up anew."""

    def __init__(self) -> None:
        self.heard: list[list[bytes] | None] = []

    def forget(self, digests: list[bytes] | None) -> None:
        self.heard.append(digests)

    def used(self) -> list[str]:
        return []

    def found(self) -> list[str]:
        return []


ALL = [200] * WORKERS
NONE = [401] * WORKERS
CUT = [503] * WORKERS


def test_a_key_that_is_made_is_good_at_once_and_one_that_is_revoked_is_not_at_every_worker() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        assert await scene.until(made.secret, 200) < 0.1
        assert await scene.statuses(DECLARED) == ALL
        await scene.directory.keys.revoke(made.key.id)
        assert await scene.until(made.secret, 401) < 0.1
        assert await scene.statuses(DECLARED) == ALL

    play(main)


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_revocation_that_nobody_tells_of_holds_within_a_second(seed: int) -> None:
    """Semantics, Isolation: revocation within 1 s (notification plus a 1 s version poll)."""

    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        await scene.until(made.secret, 200)
        await scene.loop.clock.sleep(0.137 * seed)
        db, elsewhere = scene.elsewhere()
        await elsewhere.keys.revoke(made.key.id)
        db.close()
        assert await scene.until(made.secret, 401) <= 1.0

    play(main, seed)


def test_a_rotated_key_is_good_twice_until_the_overlap_ends() -> None:
    async def main(scene: Scene) -> None:
        old = await scene.opened.key(models=("*",))
        new = await scene.directory.keys.rotate(old.key.id, overlap=30)
        ends = scene.loop.time() + 30
        await scene.until(new.secret, 200)
        while scene.loop.time() < ends - 1:
            assert await scene.statuses(old.secret) == ALL
            await scene.loop.clock.sleep(1)
        await scene.loop.clock.sleep(ends + 1 - scene.loop.time())
        assert await scene.statuses(old.secret) == NONE
        assert await scene.statuses(new.secret) == ALL

    play(main)


def test_with_a_tenant_its_keys_end_everywhere_those_of_the_file_too() -> None:
    async def main(scene: Scene) -> None:
        await scene.directory.tenants.create("acme")
        await scene.directory.tenants.create("other")
        mine = [await scene.opened.key(f"k{number}", tenant="acme", models=("*",)) for number in range(3)]
        theirs = await scene.opened.key("app", tenant="other", models=("*",))
        await scene.until(theirs.secret, 200)
        assert await scene.statuses(DECLARED) == ALL
        await scene.directory.tenants.archive("acme")
        assert await scene.until(mine[0].secret, 401) < 0.1
        for made in mine:
            assert await scene.statuses(made.secret) == NONE
        assert await scene.statuses(DECLARED) == NONE
        assert await scene.statuses(FREE) == ALL
        assert await scene.statuses(theirs.secret) == ALL

    play(main)


def test_a_project_ends_with_its_keys_alone() -> None:
    async def main(scene: Scene) -> None:
        await scene.directory.tenants.create("acme")
        await scene.directory.tenants.create_project("acme", "web")
        web = await scene.opened.key("web", tenant="acme", project="web", models=("*",))
        app = await scene.opened.key("app", tenant="acme", project="app", models=("*",))
        await scene.until(web.secret, 200)
        await scene.directory.tenants.archive_project("acme", "web")
        assert await scene.until(web.secret, 401) < 0.1
        assert await scene.statuses(app.secret) == ALL
        assert await scene.statuses(DECLARED) == ALL
        # A worker that comes later knows so too.
        await scene.fleet.supervisor.renew()
        for line in scene.lines:
            line.close()
        scene.lines = [Line(address) for address in scene.fleet.addresses]
        assert await scene.statuses(web.secret) == NONE
        assert await scene.statuses(app.secret) == ALL

    play(main)


def test_without_the_store_what_is_known_lives_a_minute_and_what_is_not_is_nobodys_fault() -> None:
    """Semantics, Isolation: store unreachable: cached keys live 60 s, then 503; unknown keys 503, not 401."""

    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        unused = await scene.opened.key("unused", models=("*",))
        await scene.until(made.secret, 200)
        assert await scene.statuses("unknown") == NONE
        await scene.loop.clock.sleep(5)
        scene.opened.db.failure = "the disk is away"
        gone = scene.loop.time()
        await scene.loop.clock.sleep(SILENT_SECONDS + LOOK_SECONDS + 0.5)
        assert await scene.statuses("unknown") == CUT
        while scene.loop.time() < gone + LIFE_SECONDS - LOOK_SECONDS - 0.5:
            assert await scene.statuses(made.secret) == ALL
            await scene.loop.clock.sleep(5)
        assert scene.loop.time() >= gone + 53
        assert await scene.statuses(unused.secret) == ALL
        await scene.loop.clock.sleep(gone + LIFE_SECONDS + LOOK_SECONDS + 0.1 - scene.loop.time())
        assert await scene.statuses(made.secret) == CUT
        assert await scene.statuses(unused.secret) == CUT
        assert await scene.statuses(DECLARED) == ALL
        scene.opened.db.failure = ""
        assert await scene.until(made.secret, 200) <= 2 * LOOK_SECONDS + 0.1
        assert await scene.statuses("unknown") == NONE

    play(main)


def test_a_refusal_for_want_of_the_store_says_when_to_try_again() -> None:
    async def main(scene: Scene) -> None:
        scene.opened.db.failure = "the disk is away"
        await scene.loop.clock.sleep(10)
        status, told = await scene.lines[0].ask("unknown")
        assert (status, told["error"]["code"]) == (503, "overloaded")
        assert "store of keys" in told["error"]["message"]

    play(main)


def test_what_was_revoked_while_the_store_was_away_is_good_for_no_call_after() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        await scene.until(made.secret, 200)
        db, elsewhere = scene.elsewhere()
        scene.opened.db.failure = "the disk is away"
        await scene.loop.clock.sleep(20)
        await elsewhere.keys.revoke(made.key.id)
        db.close()
        assert await scene.statuses(made.secret) == ALL
        scene.opened.db.failure = ""
        assert await scene.until(made.secret, 401) <= 1.0

    play(main)


def test_rights_that_are_changed_hold_for_the_next_call() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        await scene.until(made.secret, 200)
        await scene.directory.keys.change(made.key.id, KeyRights(models=("*",), routes=("embeddings",)))
        assert await scene.until(made.secret, 403) < 0.1
        line = scene.lines[0]
        assert (await line.ask(made.secret.reveal(), VECTORS, "/v1/embeddings"))[0] == 200
        await scene.directory.keys.change(made.key.id, KeyRights(models=("sim/embed",)))
        assert await scene.until(made.secret, 200) < 0.1
        assert (await line.ask(made.secret.reveal()))[0] == 403
        assert (await line.ask(made.secret.reveal(), VECTORS, "/v1/embeddings"))[0] == 200

    play(main)


def test_a_worker_that_takes_over_knows_the_keys_before_it_answers_anybody() -> None:
    async def main(scene: Scene) -> None:
        keys = [await scene.opened.key(f"k{number}", models=("*",)) for number in range(PAGE // 400)]
        await scene.until(keys[-1].secret, 200)
        for line in scene.lines:
            line.close()
        answered: list[int] = []

        async def caller(address: tuple[str, int]) -> None:
            while True:
                line = Line(address)
                try:
                    answered.append((await line.ask(keys[len(answered) % len(keys)].secret.reveal()))[0])
                except ConnectionError:
                    pass  # between two holders of a simulated address there is nobody
                line.close()
                await scene.loop.clock.sleep(0.0005)

        callers = [scene.loop.create_task(caller(address)) for address in scene.fleet.addresses * 3]
        for _ in range(5):
            await scene.fleet.supervisor.renew()
            await scene.loop.clock.sleep(0.02)
        for each in callers:
            each.cancel()
        await asyncio.wait(callers)
        assert len(scene.fleet.hired) == 6 * WORKERS
        assert len(answered) > 100
        assert set(answered) == {200}

    play(main)


def test_a_long_report_holds_no_revocation_up() -> None:
    """The store's reading thread may be busy for long; what is little is read beside it."""

    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        await scene.until(made.secret, 200)

        async def busy(work: object) -> object:
            return await scene.loop.create_future()

        scene.opened.db.read = busy  # type: ignore[method-assign,assignment]
        db, elsewhere = scene.elsewhere()
        await elsewhere.keys.revoke(made.key.id)
        db.close()
        assert await scene.until(made.secret, 401) <= 1.0
        await scene.loop.clock.sleep(10)
        assert await scene.statuses("unknown") == NONE

    play(main)


def test_one_change_among_many_keys_is_told_as_one() -> None:
    """Not republished: of 9,000 keys one revocation tells each worker one digest."""

    async def main(scene: Scene) -> None:
        many = 2 * PAGE + 1000
        vault = scene.directory.vault

        def fill(connection: Any) -> None:
            for number in range(many):
                id = f"id-{number:06}"
                connection.execute(
                    "INSERT INTO keys VALUES (?, ?, 'live', '', '', NULL, '[\"*\"]', NULL, NULL, NULL, NULL, NULL,"
                    " 0, 0, 0, 'me', NULL, NULL, 1)",
                    (id, f"n{number}"),
                )
                digest = vault.digest(f"key {number}")
                connection.execute("INSERT INTO key_secrets VALUES (?, ?, '', '', 0, NULL)", (digest, id))
            connection.execute("UPDATE directory SET version = 1")

        await scene.opened.db.run(fill)
        await scene.loop.clock.sleep(2)
        assert await scene.statuses(f"key {many - 1}") == ALL
        listeners = [Listening() for _ in scene.fleet.hired]
        for hired, listening in zip(scene.fleet.hired, listeners, strict=True):
            hired.worker.keys.users.add(listening)
        await scene.directory.keys.revoke("id-000123")
        await scene.loop.clock.sleep(3)
        assert [listening.heard for listening in listeners] == [[[vault.digest("key 123")]]] * WORKERS
        assert await scene.statuses("key 123") == NONE
        # A fresh worker gets them in pages.
        await scene.fleet.supervisor.renew()
        for line in scene.lines:
            line.close()
        scene.lines = [Line(address) for address in scene.fleet.addresses]
        assert await scene.statuses(f"key {many - 1}") == ALL
        assert await scene.statuses("key 123") == NONE

    play(main)


def test_when_a_key_was_used_is_known_by_and_by() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        idle = await scene.opened.key("idle", models=("*",))
        await scene.until(made.secret, 200)
        used = scene.loop.clock.wall()
        await scene.loop.clock.sleep(3)
        last = (await scene.directory.keys.get(made.key.id)).last_used
        assert last is not None
        assert used - 1 <= last <= used + 3, "a first time at once"
        await scene.loop.clock.sleep(62)
        await scene.until(made.secret, 200)
        again = scene.loop.clock.wall()
        await scene.loop.clock.sleep(65)
        last = (await scene.directory.keys.get(made.key.id)).last_used
        assert last is not None
        assert again - 1 <= last <= again + 62
        assert (await scene.directory.keys.get(idle.key.id)).last_used is None

    play(main)


def test_an_answer_is_no_longer_than_its_key_allows_and_says_so() -> None:
    async def main(scene: Scene) -> None:
        short = await scene.opened.key("short", models=("*",), max_output=5)
        await scene.until(short.secret, 200)
        line = scene.lines[0]
        for said, most in (({}, 5), ({"max_tokens": 50}, 5), ({"max_completion_tokens": 3}, 3)):
            written = {"model": "sim/small:tokens=100", "messages": [{"role": "user", "content": "Hello"}], **said}
            status, told = await line.ask(short.secret.reveal(), json.dumps(written).encode())
            assert status == 200
            assert told["usage"]["completion_tokens"] == most
            assert told["choices"][0]["finish_reason"] == "length"
            clamped = line.head.partition(b"x-penstock-clamped: ")[2].partition(b"\r\n")[0].decode()
            assert clamped == ("" if most == 3 else "max_tokens")
        written = {"model": "sim/small:tokens=100", "messages": [{"role": "user", "content": "Hello"}]}
        status, told = await line.ask(FREE, json.dumps(written).encode())
        assert told["usage"]["completion_tokens"] == 100
        anthropic = {**written, "max_tokens": 50, "model": "sim/small:tokens=100"}
        status, told = await line.ask(short.secret.reveal(), json.dumps(anthropic).encode(), "/v1/messages")
        assert (status, told["usage"]["output_tokens"], told["stop_reason"]) == (200, 5, "max_tokens")
        own = {"prompt": "Hello", "model": "sim/small:tokens=100", "budget": {"max_output_tokens": 50}}
        status, told = await line.ask(short.secret.reveal(), json.dumps(own).encode(), "/v1/generate")
        assert (status, told["usage"]["output_tokens"], told["finish_reason"]) == (200, 5, "length")
        vectors = json.dumps({"model": "sim/embed", "input": "Hello"}).encode()
        assert (await line.ask(short.secret.reveal(), vectors, "/v1/embeddings"))[0] == 200
        thinking = {**anthropic, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
        status, told = await line.ask(short.secret.reveal(), json.dumps(thinking).encode(), "/v1/messages")
        assert status == 400
        assert "max_output" in told["error"]["message"]

    play(main)


def test_a_provider_is_paid_with_what_the_store_keeps_and_is_off_without() -> None:
    async def main(scene: Scene) -> None:
        up = SimulatedProvider(scene.loop.clock, key=UP_KEY, keep=100)
        await scene.loop.create_server(up.connection, "up", 8000)
        supervisor = scene.fleet.supervisor
        written = CONFIG | {
            "providers": {"up": {"kind": "openai", "base_url": "http://up:8000/v1", "api_key": "store:up"}},
            "models": {"fast": {"targets": ["up/small"]}},
            "state": "sqlite:///penstock.db",
        }
        config = msgspec.structs.replace(load_config(written, ENV), state=supervisor.overview.config.state)

        async def ask() -> int:
            body = json.dumps({"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}).encode()
            return (await scene.lines[0].ask(FREE, body))[0]

        await supervisor.adopt(config)
        assert await ask() == 404
        assert "no credential" in supervisor.overview.config.providers["up"].off
        changed: list[float] = []
        supervisor.keys.credentials_changed = lambda: changed.append(scene.loop.time())
        await scene.directory.credentials.put("up", Secret("wrong"))
        await scene.opened.key()
        await scene.loop.clock.sleep(3)
        assert len(changed) == 1
        await supervisor.adopt(config)
        assert await ask() == 502
        await scene.directory.credentials.put("up", Secret(UP_KEY))
        await supervisor.adopt(config)
        await scene.loop.clock.sleep(61)  # it was paused for having been refused
        assert await ask() == 200
        shown = json.dumps(describe(supervisor.overview.config))
        assert "*** (store:up)" in shown
        assert UP_KEY.encode() not in shown.encode() + scene.fleet.log + all_bytes(scene.folder)
        up.close()

    play(main)


@pytest.mark.parametrize("method", ["post", "models"])
def test_records_say_whose_key_it_was(method: str) -> None:
    async def main(scene: Scene) -> None:
        await scene.directory.tenants.create("acme")
        made = await scene.opened.key("app", tenant="acme", project="web", models=("*",))
        body, path = (BODY, "/v1/chat/completions") if method == "post" else (b"", "/v1/models")
        assert (await scene.lines[0].ask(made.secret.reveal(), body, path))[0] == 200
        await scene.loop.clock.sleep(2)
        line = json.loads(scene.fleet.log.strip().split(b"\n")[-1])
        assert (line["key"], line["tenant"], line["project"]) == ("acme/app", "acme", "web")
        assert made.secret.reveal().encode() not in scene.fleet.log

    play(main)
