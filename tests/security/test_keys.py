"""Attacks on callers' keys (security.md 2, 4, 8, 31 and the incidents behind them), one id each.

What crosses a wire goes to a fleet of four workers in virtual time; what is about time is about the work that is done,
which a test can compare exactly, and a clock cannot.
"""

from __future__ import annotations

import json
import secrets
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from types import FrameType
from typing import Any

import pytest

from penstock.errors import Unauthenticated
from penstock.gateway.keys import keyring_of
from penstock.layers.authenticate import Keyring
from penstock.messages import Caller
from penstock.records import Record
from penstock.redact import Secret
from penstock.routing.strikes import Strikes
from penstock.stores.key_format import PATTERN, make_key
from tests.server.keyed import BODY, DECLARED, FREE, Line, Scene, play

ALL, NONE = [200] * 4, [401] * 4


def normal(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    """An answer without its request's id."""
    status, told = answer
    told.get("error", {}).pop("request_id", None)
    return status, json.dumps(told, sort_keys=True)


async def raw(scene: Scene, head: bytes, body: bytes = b"") -> int:
    """The status of one request as it is written, on a connection of its own."""
    line = Line(scene.fleet.addresses[0])
    reader, writer = await line.open()
    writer.write(head + b"\r\n" + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    line.close()
    return int(answer[9:12])


def models(*headers: bytes, query: bytes = b"") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"GET /v1/models%b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n%b" % (query, lines)


# --- what a stranger can learn


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
def test_enumeration_answers_are_the_same_whatever_the_reason(path: str) -> None:
    """Never made, revoked, of an archived tenant, rotated away, a known beginning with a wrong rest."""

    async def main(scene: Scene) -> None:
        await scene.directory.tenants.create("gone")
        revoked = await scene.opened.key("revoked", models=("*",))
        archived = await scene.opened.key("archived", tenant="gone", models=("*",))
        good = await scene.opened.key("good", models=("*",))
        await scene.until(good.secret, 200)
        await scene.directory.keys.revoke(revoked.key.id)
        await scene.directory.tenants.archive("gone")
        await scene.until(revoked.secret, 401)
        await scene.until(archived.secret, 401)
        alike = forged(good.secret.reveal())
        presented = [
            make_key("live").reveal(),
            revoked.secret.reveal(),
            archived.secret.reveal(),
            alike,
            "x",
            DECLARED + "x",
        ]
        body = b"" if path == "/v1/models" else BODY
        await scene.loop.clock.sleep(60)  # else too many of them are answered otherwise
        answers = {normal(await scene.lines[0].ask(key, body, path)) for key in presented}
        assert len(answers) == 1
        assert next(iter(answers))[0] == 401

    play(main)


def forged(key: str) -> str:
    """A key of the same beginning whose checksum is right."""
    known = iter(key[len("psk_live_") :][:20])
    made = make_key("live", lambda letters: next(known, "") or secrets.choice(letters)).reveal()
    assert made[:29] == key[:29]
    assert made != key
    assert PATTERN.fullmatch(made)
    return made


def test_timing_the_same_work_is_done_whatever_is_wrong_with_a_key() -> None:
    """Not by a clock: the calls that are made are the same, one by one. A look-up by an HMAC that nobody can choose
    takes as long for one that is there as for one that is not."""

    async def main(scene: Scene) -> None:
        revoked = await scene.opened.key("revoked", models=("*",))
        good = await scene.opened.key("good", models=("*",))
        await scene.until(good.secret, 200)
        await scene.directory.keys.revoke(revoked.key.id)
        await scene.until(revoked.secret, 401)
        worker = scene.fleet.hired[0].worker
        keyring = keyring_of(worker.gateways[-1].config, worker.keys, Strikes())
        presented = [make_key("live").reveal(), revoked.secret.reveal(), forged(good.secret.reveal())]
        traces = [calls(keyring, key) for key in presented]
        assert traces[0] == traces[1] == traces[2]
        assert "digest_with" in traces[0]
        assert traces[0].count("digest_with") == 1

    play(main)


def calls(keyring: Keyring, key: str) -> list[str]:
    """The functions, ours and the interpreter's, that looking a key up calls."""
    found: list[str] = []

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            found.append(frame.f_code.co_name)
        elif event == "c_call":
            found.append(argument.__qualname__)

    caller, record = Caller({}, b"", key), Record("id", "chat", 1000.0, 0.0)
    sys.setprofile(trace)
    try:
        keyring.identify(caller, record)
    except Unauthenticated:
        pass
    finally:
        sys.setprofile(None)
    return found


def test_checksum_a_typo_is_told_apart_and_costs_no_look_at_the_store() -> None:
    async def main(scene: Scene) -> None:
        good = (await scene.opened.key(models=("*",))).secret.reveal()
        typo = good[:15] + ("a" if good[15] != "a" else "b") + good[16:]
        status, told = await scene.lines[0].ask(typo)
        assert status == 401
        assert "checksum" in told["error"]["message"]
        assert typo not in json.dumps(told)
        # Told even while nobody knows which keys there are.
        scene.opened.db.failure = "away"
        await scene.loop.clock.sleep(10)
        assert (await scene.lines[0].ask(typo))[0] == 401
        assert (await scene.lines[0].ask(make_key("live").reveal()))[0] == 503

    play(main)


def test_brute_force_gets_ten_answers_a_minute_and_is_in_nobodys_way() -> None:
    async def main(scene: Scene) -> None:
        good = (await scene.opened.key(models=("*",))).secret.reveal()
        line = scene.lines[0]
        statuses: list[int] = []
        for _ in range(100):
            status, told = await line.ask(make_key("live").reveal(), b"", "/v1/models")
            statuses.append(status)
            head = line.head.lower()
            # Whoever shares the address and has a key notices nothing.
            assert (await line.ask(good, b"", "/v1/models"))[0] == 200
        assert statuses == [401] * 10 + [429] * 90
        assert told["error"]["code"] == "rate_limit_exceeded"
        wait = int(head.partition(b"retry-after: ")[2].partition(b"\r\n")[0])
        assert 1 <= wait <= 6
        await scene.loop.clock.sleep(wait)
        assert (await line.ask("wrong", b"", "/v1/models"))[0] == 401
        assert (await line.ask("wrong", b"", "/v1/models"))[0] == 429
        # A reload forgets nothing of it.
        await scene.fleet.supervisor.adopt(scene.fleet.supervisor.overview.config)
        assert (await line.ask("wrong", b"", "/v1/models"))[0] == 429
        await scene.loop.clock.sleep(60)
        assert (await line.ask("wrong", b"", "/v1/models"))[0] == 401

    play(main)


# --- a key that is not the key


def twisted(key: str) -> Iterator[bytes]:
    """What looks like a key to somebody, and is not it."""
    wide = "".join(chr(ord(letter) - 0x21 + 0xFF01) if "!" <= letter <= "~" else letter for letter in key)
    yield from (
        key.upper().encode(),
        key.lower().encode() if key.lower() != key else key.swapcase().encode(),
        wide.encode(),  # full width, which NFKC would fold
        key.replace("p", "р", 1).encode(),  # Cyrillic er
        key.replace("e", "é", 1).encode("latin-1"),
        (key + "\u0301").encode(),
        (key[:12] + "\u200b" + key[12:]).encode(),  # zero width space
        (key[:12] + "\u202e" + key[12:]).encode(),
        b"\xef\xbb\xbf" + key.encode(),
        key.encode() + b"\xff",
        key.encode() + b"\xa0",
        key.encode("utf-16-le"),
        b64encode(key.encode()),
        key.encode() + b"," + key.encode(),
        key.encode() + b" " + key.encode(),
        b'"' + key.encode() + b'"',
        b"<" + key.encode() + b">",
        b"Bearer " + key.encode(),
        sha256(key.encode()).hexdigest().encode(),
        key[:-1].encode(),
        (key + "0").encode(),
        b"",
        b" ",
        b"*",
        b"%",
        b"_" * len(key),
        b"null",
        b"undefined",
        b"true",
    )


def test_unicode_tricks_and_other_disguises_are_no_key() -> None:
    async def main(scene: Scene) -> None:
        key = (await scene.opened.key(models=("*",))).secret
        await scene.until(key, 200)
        places = (b"authorization: Bearer %b", b"x-api-key: %b", b"api-key: %b", b"x-goog-api-key: %b")
        assert [await raw(scene, models(place % key.reveal().encode())) for place in places] == ALL
        for disguise, place in product(twisted(key.reveal()), places):
            if b"\n" not in disguise and b"\0" not in disguise:
                assert await raw(scene, models(place % disguise)) in (400, 401, 429), (disguise, place)

    play(main)


@pytest.mark.parametrize("end", [b"\0", b"\r", b"\n", b"\r\n x", b"\0x", b"\x0b", b"\x7f"])
def test_nul_and_line_ends_in_a_key_are_refused_before_it_is_one(end: bytes) -> None:
    async def main(scene: Scene) -> None:
        key = (await scene.opened.key(models=("*",))).secret
        await scene.until(key, 200)
        text = key.reveal().encode()
        for head in (
            models(b"authorization: Bearer " + text + end),
            models(b"authorization: Bearer " + text[:20] + end + text[20:]),
            models(query=b"?key=" + text + end),
        ):
            assert await raw(scene, head) in (400, 401)
        # Nor does the rest of a key after %00 count for nothing.
        for query in (b"?key=" + text + b"%00", b"?key=" + text + b"%0a", b"?key=%70" + text[1:]):
            assert await raw(scene, models(query=query)) == 401
        assert await raw(scene, models(query=b"?key=" + text)) == 200

    play(main)


@pytest.mark.parametrize("length", [1, 41, 43, 500, 4_096, 4_097, 15_000, 70_000])
def test_very_long_keys_are_refused_and_hold_nobody_up(length: int) -> None:
    async def main(scene: Scene) -> None:
        for letters in (b"x", b"psk_live_" + b"a"):
            key = (letters * length)[: max(length, len(letters))]
            assert await raw(scene, models(b"authorization: Bearer " + key)) in (401, 431)
        assert await scene.statuses(FREE) == ALL

    play(main)


def test_two_keys_in_one_request_are_not_both_asked() -> None:
    """What counts is one: the usual header, however many others say something else; a header twice is none."""

    async def main(scene: Scene) -> None:
        key = (await scene.opened.key(models=("*",))).secret
        await scene.until(key, 200)
        good, bad = b"authorization: Bearer " + key.reveal().encode(), b"authorization: Bearer wrong"
        assert await raw(scene, models(bad, b"x-api-key: " + key.reveal().encode())) == 401
        assert await raw(scene, models(good, b"x-api-key: wrong")) == 200
        assert await raw(scene, models(bad, query=b"?key=" + key.reveal().encode())) == 401
        for twice in ((good, bad), (bad, good), (good, good)):
            assert await raw(scene, models(*twice)) in (400, 401)
        assert await raw(scene, models(b"authorization: Basic " + b64encode(b"x:" + key.reveal().encode()))) == 401
        assert await raw(scene, models(b"authorization: " + key.reveal().encode())) == 401

    play(main)


def payloads() -> list[str]:
    """500 and more that would do something to SQL that is put together from strings (CVE-2026-42208)."""
    quotes = ["'", '"', "`", "\\'", "%27", "''", "'\"", "%", "_", ";"]
    joins = [" OR ", "/**/OR/**/", " || ", " UNION SELECT ", " AND ", "; ", " LIKE ", " GLOB ", "-- ", "\t"]
    tails = [
        "1=1--", "'1'='1", "digest FROM key_secrets--", "DROP TABLE keys--", "UPDATE directory SET version=0--",
        "randomblob(1000000000)", "load_extension('x')", "ATTACH DATABASE '/tmp/x' AS x",
    ]  # fmt: skip
    found = [f"psk_live_{quote}{join}{tail}" for quote, join, tail in product(quotes, joins, tails)]
    assert len(found) >= 500
    return found


def test_sql_in_a_key_is_a_key_that_is_not_known() -> None:
    async def main(scene: Scene) -> None:
        key = (await scene.opened.key(models=("*",))).secret
        await scene.until(key, 200)
        version = await scene.directory.version()
        statuses = set()
        for number, payload in enumerate(payloads()):
            line = scene.lines[number % 4]
            path, body = (("/v1/models", b""), ("/v1/chat/completions", BODY), ("/nowhere", b""))[number % 3]
            statuses.add((await line.ask(payload, body, path))[0])
            if number % 20 == 0:
                # The same where it is the store that is asked.
                assert await scene.directory.keys.holder(payload) is None
                assert await scene.directory.keys.page(payload) == []
        assert statuses == {401, 404, 429}
        assert await scene.directory.version() == version
        assert await scene.statuses(key) == ALL

    play(main)


# --- what somebody with a copy of the store, or with another key, can do


def test_what_the_store_holds_does_for_no_key() -> None:
    """Pass the hash: neither the digest, nor the pepper, nor anything else that is kept lets anybody in."""

    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        await scene.until(made.secret, 200)
        vault = scene.directory.vault
        digest = vault.digest(made.secret.reveal())
        kept = [digest.hex(), b64encode(digest).decode(), digest.decode("latin-1"), vault.pepper.hex(), made.key.id]
        kept += [made.key.name, made.key.label, vault.fingerprint, made.key.secrets[0].prefix]
        for text in kept:
            for place in (b"authorization: Bearer %b", b"x-api-key: %b"):
                assert await raw(scene, models(place % text.encode("latin-1"))) in (400, 401, 429), text

    play(main)


def test_a_hash_that_was_put_into_the_store_under_another_pepper_is_good_for_nothing() -> None:
    """Who can write the store but does not have the encryption key makes no key that they know."""

    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        await scene.until(made.secret, 200)
        mine = make_key("live").reveal()
        forgeries = [(each, made.key.id) for each in (sha256(mine.encode()).digest(), mine.encode(), b"")]
        insert = "INSERT INTO key_secrets VALUES (?, ?, '', '', 0, NULL)"
        await scene.opened.db.run(lambda connection: connection.executemany(insert, forgeries))
        await scene.directory.keys.rotate(made.key.id, 60)
        await scene.loop.clock.sleep(2)
        assert await scene.statuses(mine) == NONE
        assert await scene.statuses("") == NONE

    play(main)


def test_a_key_of_another_tenant_stays_of_its_own_whatever_the_request_says() -> None:
    async def main(scene: Scene) -> None:
        for tenant in ("acme", "other"):
            await scene.directory.tenants.create(tenant)
        mine = await scene.opened.key("app", tenant="acme", project="web", models=("*",))
        await scene.opened.key("app", tenant="other", project="web", models=("*",))
        await scene.until(mine.secret, 200)
        said = {"tenant": "other", "project": "x", "key": "other/app", "tenant_id": "other", "role": "admin"}
        body = json.dumps(json.loads(BODY) | {"metadata": said}).encode()
        for name in ("x-penstock-tenant", "x-penstock-project"):
            status, told = await scene.lines[0].ask(mine.secret.reveal(), BODY, headers=f"{name}: other\r\n")
            assert (status, told["error"]["code"]) == (400, "not_available")
        assert (await scene.lines[0].ask(mine.secret.reveal(), body))[0] == 200
        await scene.loop.clock.sleep(2)
        last = json.loads(scene.fleet.log.strip().split(b"\n")[-1])
        assert (last["key"], last["tenant"], last["project"]) == ("acme/app", "acme", "web")

    play(main)


def test_a_revoked_key_is_refused_on_the_connection_that_has_used_it() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        line = scene.lines[0]
        await scene.until(made.secret, 200)
        for _ in range(5):
            assert (await line.ask(made.secret.reveal()))[0] == 200
        await scene.directory.keys.revoke(made.key.id)
        await scene.loop.clock.sleep(0.01)
        assert (await line.ask(made.secret.reveal()))[0] == 401
        assert (await line.ask(FREE))[0] == 200

    play(main)


def test_a_key_for_the_control_plane_alone_is_none_here() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",), role="admin", routes=())
        await scene.until(made.secret, 403)
        for body, path in ((BODY, "/v1/chat/completions"), (b"", "/v1/models")):
            status, told = await scene.lines[0].ask(made.secret.reveal(), body, path)
            assert (status, told["error"]["code"]) == (403, "forbidden")

    play(main)


def test_no_key_is_in_a_log_an_answer_or_a_repr() -> None:
    async def main(scene: Scene) -> None:
        made = await scene.opened.key(models=("*",))
        other = make_key("live")
        await scene.until(made.secret, 200)
        told = [await scene.lines[0].ask(key.reveal()) for key in (made.secret, other)]
        status = await raw(scene, models(query=b"?key=" + made.secret.reveal().encode()))
        await scene.loop.clock.sleep(2)
        worker = scene.fleet.hired[0].worker
        seen = json.dumps(told) + scene.fleet.log.decode() + repr((made, other, worker.keys, worker.gateways))
        seen += repr((scene.directory, scene.fleet.supervisor.keys, scene.fleet.supervisor.overview.config))
        assert status == 200
        for secret in (made.secret, other, Secret(DECLARED), Secret(FREE)):
            assert secret.reveal() not in seen

    play(main)
