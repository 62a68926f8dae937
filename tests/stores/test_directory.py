"""The directory's tenants and keys: what may be made of what, what each change leaves behind, and what is refused."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from penstock.errors import Conflict, InvalidRequest, NotFound, PenstockError
from penstock.redact import Secret
from penstock.routing.wishes import PRIORITIES
from penstock.stores.directory_rows import OPERATIONS, Change, KeyRights, NewKey, Priority
from penstock.stores.key_rights import LAST
from penstock.stores.keys import LONGEST_OVERLAP, USED_SECONDS
from tests.stores.directories import Opened

DAY = 86400


def with_directory(folder: Path, work: Callable[[Opened], Awaitable[None]]) -> None:
    with Opened(folder) as opened:
        asyncio.run(work(opened))  # type: ignore[arg-type]


async def refused(work: Awaitable[object], kind: type[PenstockError] = InvalidRequest) -> PenstockError:
    with pytest.raises(kind) as found:
        await work
    return found.value


def test_a_tenant_is_made_changed_and_archived(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        tenants = opened.directory.tenants
        made = await tenants.create("acme", weight=3)
        assert (made.charge, made.weight, made.archived) == ("attempts", 3, None)
        changed = await tenants.change("acme", charge="winner", version=made.version)
        assert (changed.charge, changed.weight) == ("winner", 3)
        assert changed.version > made.version
        await tenants.create("other")
        archived = await tenants.archive("acme", version=changed.version)
        assert archived.archived == opened.now
        assert [each.name for each in await tenants.page()] == ["other"]
        assert [each.name for each in await tenants.page(archived=True)] == ["acme", "other"]
        assert await tenants.get("acme") == archived
        assert await tenants.archive("acme") == archived

    with_directory(tmp_path, work)


def test_lists_go_on_where_they_ended(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        directory = opened.directory
        for number in range(7):
            await directory.tenants.create(f"t{number}")
            await opened.key(f"k{number}", tenant=f"t{number % 2}")
        names, after = [], ""
        while page := await directory.tenants.page(after, 3):
            names += [each.name for each in page]
            after = page[-1].name
        assert names == [f"t{number}" for number in range(7)]
        keys, after = [], ""
        while found := await directory.keys.page(None, after, 2):
            keys += [each.name for each in found]
            after = found[-1].id
        assert sorted(keys) == [f"k{number}" for number in range(7)]
        assert sorted(each.name for each in await directory.keys.page("t1")) == ["k1", "k3", "k5"]
        assert await directory.keys.page("") == []

    with_directory(tmp_path, work)


def test_of_a_name_there_is_one_tenant_and_an_archived_one_counts(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        tenants = opened.directory.tenants
        await tenants.create("acme")
        await tenants.archive("acme")
        assert (await refused(tenants.create("acme"), Conflict)).param == "name"
        opened.directory.declare({"bigco": "penstock.yaml:12"})
        assert "penstock.yaml:12" in str(await refused(tenants.create("bigco"), Conflict))

    with_directory(tmp_path, work)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a/b",
        "-a",
        "=cmd()",
        "a\n",
        "a\0",
        "é",
        "ａ",
        "a" * 65,
        "'; DROP TABLE keys; --",
        "<b>",
        "a%",
        ".",
    ],
)
def test_a_name_has_nothing_in_it_that_means_something_elsewhere(tmp_path: Path, name: str) -> None:
    async def work(opened: Opened) -> None:
        directory = opened.directory
        await directory.tenants.create("acme")
        assert (await refused(directory.tenants.create(name))).param == "name"
        assert (await refused(directory.tenants.create_project("acme", name))).param == "name"
        assert (await refused(opened.key(name))).param == "name"
        assert await directory.version() == 1

    with_directory(tmp_path, work)


def test_a_version_that_is_past_changes_nothing(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        directory = opened.directory
        old = await directory.tenants.create("acme")
        await directory.tenants.change("acme", weight=2)
        project = await directory.tenants.create_project("acme", "web")
        key = (await opened.key(tenant="acme")).key
        await directory.keys.change(key.id, KeyRights(max_output=5))
        past = key.version
        await directory.credentials.put("openai", provider_key())
        before = await directory.version()
        works = (
            lambda: directory.tenants.change("acme", weight=3, version=old.version),
            lambda: directory.tenants.archive("acme", version=old.version),
            lambda: directory.tenants.archive_project("acme", "web", version=project.version + 1),
            lambda: directory.keys.change(key.id, KeyRights(), version=past),
            lambda: directory.keys.rotate(key.id, version=past),
            lambda: directory.keys.revoke(key.id, version=past),
            lambda: directory.credentials.put("openai", provider_key(), version=past),
            lambda: directory.credentials.drop("openai", version=past),
        )
        for each in works:
            assert (await refused(each(), Conflict)).status == 412
        assert await directory.version() == before
        assert (await directory.tenants.get("acme")).weight == 2
        assert (await directory.keys.get(key.id)).max_output == 5

    with_directory(tmp_path, work)


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def provider_key() -> Secret:
    return Secret("sk-0123456789abcdefghij")


def test_a_key_is_shown_once_and_kept_as_its_hash(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        made = await opened.key(env="test")
        text = made.secret.reveal()
        assert text.startswith("psk_test_")
        assert repr(made.secret) == "***"
        assert text not in repr(made)
        found = await opened.directory.keys.get(made.key.id)
        assert (found.secrets[0].prefix, found.secrets[0].last_four) == (text[:13], text[-4:])
        assert await opened.directory.keys.holder(text) == found
        opened.db.close()
        assert text.encode() not in all_bytes(tmp_path)

    with_directory(tmp_path, work)


def test_a_key_is_rotated_with_an_overlap(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        keys = opened.directory.keys
        first = await opened.key()
        second = await keys.rotate(first.key.id, overlap=3600)
        assert second.key.id == first.key.id
        assert await keys.holder(first.secret.reveal()) == await keys.holder(second.secret.reveal()) == second.key
        third = await keys.rotate(first.key.id, overlap=DAY)
        # A later rotation gives nobody longer than they had.
        ends = {each.prefix: each.ends for each in third.key.secrets}
        shown = [made.secret.reveal()[:13] for made in (first, second, third)]
        assert [ends[prefix] for prefix in shown] == [opened.now + 3600, opened.now + DAY, None]
        opened.hand.advance(3599)
        assert await keys.holder(first.secret.reveal()) is not None
        opened.hand.advance(1)
        assert await keys.holder(first.secret.reveal()) is None
        assert await keys.holder(third.secret.reveal()) is not None
        at_once = await keys.rotate(first.key.id)
        # Without an overlap all that went before ends, whatever it was given.
        living = [await keys.holder(made.secret.reveal()) is not None for made in (first, second, third, at_once)]
        assert living == [False, False, False, True]
        assert (await refused(keys.rotate(first.key.id, overlap=LONGEST_OVERLAP + 1))).param == "overlap"
        assert (await refused(keys.rotate(first.key.id, overlap=-1))).param == "overlap"

    with_directory(tmp_path, work)


def test_a_revoked_key_is_nobodys_and_its_name_is_free(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        keys = opened.directory.keys
        made = await opened.key()
        assert (await refused(opened.key(), Conflict)).param == "name"
        revoked = await keys.revoke(made.key.id)
        assert revoked.revoked == opened.now
        assert await keys.holder(made.secret.reveal()) is None
        assert await keys.revoke(made.key.id) == revoked
        for each in (keys.rotate(made.key.id), keys.change(made.key.id, KeyRights())):
            await refused(each, Conflict)
        again = await opened.key()
        assert (await keys.find("app")).id == again.key.id
        assert [each.id for each in await keys.page()] == [again.key.id]
        assert {each.id for each in await keys.page(revoked=True)} == {made.key.id, again.key.id}

    with_directory(tmp_path, work)


def test_with_a_tenant_or_a_project_all_its_keys_end(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        directory = opened.directory
        await directory.tenants.create("acme")
        await directory.tenants.create("other")
        await directory.tenants.create_project("acme", "web")
        web = await opened.key("web", tenant="acme", project="web")
        app = await opened.key("app", tenant="acme", project="loose")
        other = await opened.key("app", tenant="other", project="web")

        async def living() -> list[bool]:
            return [await directory.keys.holder(made.secret.reveal()) is not None for made in (web, app, other)]

        assert await living() == [True, True, True]
        version = await directory.version()
        await directory.tenants.archive_project("acme", "web")
        assert await living() == [False, True, True]
        # Not told key by key: a tenant may have any number of them.
        ended = await directory.changes(version)
        assert (ended.rows, ended.gone, ended.archived) == ([], [], ("acme/web",))
        await directory.tenants.archive("acme")
        assert await living() == [False, False, True]
        changes = await directory.changes(version)
        assert (changes.rows, changes.gone) == ([], [])
        assert set(changes.archived or ()) == {"acme", "acme/web"}
        assert [row.label for row in (await directory.changes(0)).rows] == ["other/app"]
        await refused(opened.key("new", tenant="acme"), Conflict)
        await refused(directory.tenants.create_project("acme", "new"), Conflict)
        await refused(directory.tenants.change("acme", weight=2), Conflict)
        await refused(opened.key("new", tenant="nobody"), NotFound)
        assert (await refused(opened.key("new", project="web"))).param == "project"
        directory.declare({"filed": "penstock.yaml:3"})
        assert (await opened.key("new", tenant="filed")).key.label == "filed/new"
        directory.declare({}, ["beside"])
        assert (await opened.key("new", tenant="beside")).key.label == "beside/new"
        await directory.tenants.create("beside")
        await directory.tenants.archive("beside")
        await refused(opened.key("newer", tenant="beside"), Conflict)

    with_directory(tmp_path, work)


@pytest.mark.parametrize(
    ("param", "values"),
    [
        ("models", [(), ("a b",), ("",), ("a\n",), ("x",) * 1001]),
        ("routes", [("chat", "admin"), ("*",), ("/*",)]),
        ("addresses", [(), ("10.0.0.1/8",), ("localhost",), ("10.0.0.0/33",), ("١٠.0.0.1",), ("0x7f.1",), ("",)]),
        ("expires", [0, 1, -(10**20), 10**20, LAST + 1]),
        ("max_output", [0, -1, 10**10]),
        ("priority", ["", "urgent", "CRITICAL"]),
        ("role", ["root", "", "Admin"]),
    ],
)
def test_a_right_that_cannot_be_is_refused_by_its_name(tmp_path: Path, param: str, values: list[Any]) -> None:
    async def work(opened: Opened) -> None:
        key = (await opened.key()).key
        for value in values:
            rights: Any = {param: value}
            assert (await refused(opened.key("other", **rights))).param == param
            assert (await refused(opened.directory.keys.change(key.id, KeyRights(**rights)))).param == param
        assert await opened.directory.version() == 1

    with_directory(tmp_path, work)


def test_rights_are_kept_in_one_form(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        rights: dict[str, Any] = {
            "models": ("fast", "openai/*", "fast"),
            "routes": ("embeddings", "chat"),
            "addresses": ("::ffff:10.1.2.3", "2001:DB8::/32", " 192.0.2.0/24 "),
            "expires": opened.now + DAY,
            "max_output": 300,
            "priority": "low",
            "overrides": True,
            "trusts_user": True,
            "role": "viewer",
        }
        made = await opened.key(**rights)
        found = await opened.directory.keys.get(made.key.id)
        kept = {
            "models": ("fast", "openai/*"),
            "routes": ("chat", "embeddings"),
            "addresses": ("10.1.2.3/32", "2001:db8::/32", "192.0.2.0/24"),
        }
        for name, value in (rights | kept).items():
            assert getattr(found, name) == value, name
        bare = await opened.directory.keys.change(made.key.id, KeyRights())
        assert {name: getattr(bare, name) for name in rights} == msgspec.structs.asdict(KeyRights())
        closed = await opened.directory.keys.change(made.key.id, KeyRights(routes=()))
        assert closed.routes == ()
        assert (await opened.directory.changes(0)).rows[0].routes == ()

    with_directory(tmp_path, work)


def test_words_that_stand_in_two_places_are_the_same() -> None:
    assert get_args(Priority) == PRIORITIES
    assert set(OPERATIONS) == {"chat", "embeddings", "count_tokens", "models"}


def test_of_a_key_that_expired_the_rest_may_be_changed_and_its_end_put_off(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        keys = opened.directory.keys
        made = await opened.key(expires=opened.now + 60)
        opened.hand.advance(60)
        assert await keys.holder(made.secret.reveal()) is None
        kept = await keys.change(made.key.id, KeyRights(expires=made.key.expires, max_output=7))
        assert (kept.expires, kept.max_output) == (made.key.expires, 7)
        await keys.change(made.key.id, KeyRights(expires=opened.now + 60))
        assert await keys.holder(made.secret.reveal()) is not None

    with_directory(tmp_path, work)


def test_each_change_is_noted_in_its_own_transaction(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        directory, seen = opened.directory, []

        def note(connection: sqlite3.Connection, change: Change) -> None:
            assert connection.in_transaction
            seen.append(change)

        await directory.tenants.create("acme", note=note)
        await directory.tenants.change("acme", weight=2, note=note)
        await directory.tenants.create_project("acme", "web", note=note)
        await directory.tenants.archive_project("acme", "web", note=note)
        made = await directory.keys.create(NewKey(name="app", tenant="acme"), "me", note=note)
        await directory.keys.change(made.key.id, KeyRights(max_output=1), note=note)
        rotated = await directory.keys.rotate(made.key.id, note=note)
        await directory.keys.revoke(made.key.id, note=note)
        await directory.keys.revoke(made.key.id, note=note)  # changes nothing
        await directory.credentials.put("openai", provider_key(), note=note)
        await directory.credentials.drop("openai", note=note)
        await directory.tenants.archive("acme", note=note)
        assert [change.what for change in seen] == [
            *("tenant.create", "tenant.change", "project.create", "project.archive", "key.create", "key.change"),
            *("key.rotate", "key.revoke", "credential.put", "credential.drop", "tenant.archive"),
        ]
        assert {change.tenant for change in seen} == {"acme", ""}
        assert seen[5].before.max_output is None
        assert seen[5].after.max_output == 1
        told = msgspec.json.encode(seen).decode()
        for secret in (made.secret, rotated.secret, provider_key()):
            assert secret.reveal() not in told

    with_directory(tmp_path, work)


def test_what_cannot_be_noted_is_not_done(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        class Full(Exception):
            pass

        def note(connection: sqlite3.Connection, change: Change) -> None:
            raise Full

        key = (await opened.key()).key
        heard: list[str] = []
        opened.directory.follow(lambda: heard.append("changed"))
        before = await opened.directory.version()
        for each in (
            lambda: opened.directory.tenants.create("acme", note=note),
            lambda: opened.directory.keys.revoke(key.id, note=note),
            lambda: opened.directory.keys.rotate(key.id, note=note),
        ):
            with pytest.raises(Full):
                await each()
        assert await opened.directory.version() == before
        assert await opened.directory.keys.get(key.id) == key
        assert heard == []
        await opened.directory.tenants.create("acme")
        assert heard == ["changed"]

    with_directory(tmp_path, work)


def test_last_used_is_coarse_and_changes_no_version(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        keys = opened.directory.keys
        key = (await opened.key()).key
        first = opened.now
        await keys.used([key.id, "unknown"])
        opened.hand.advance(USED_SECONDS - 1)
        await keys.used([key.id])
        found = await keys.get(key.id)
        assert (found.last_used, found.version) == (first, key.version)
        opened.hand.advance(1)
        await keys.used([key.id])
        assert (await keys.get(key.id)).last_used == first + USED_SECONDS

    with_directory(tmp_path, work)


def test_changes_are_those_since_a_version_and_no_others(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        directory = opened.directory
        made = [await opened.key(f"k{number}") for number in range(5)]
        all_of_them = await directory.changes(0)
        assert (len(all_of_them.rows), all_of_them.gone, all_of_them.archived) == (5, [], ())
        assert (await directory.changes(all_of_them.version)).rows == []
        await directory.keys.revoke(made[3].key.id)
        await directory.keys.rotate(made[1].key.id, 60)
        changed = await directory.changes(all_of_them.version)
        vault = directory.vault
        assert changed.gone == [vault.digest(made[3].secret.reveal())]
        assert {row.label for row in changed.rows} == {"k1"}
        assert sorted(row.expires or 0 for row in changed.rows) == [0, opened.now + 60]
        assert changed.archived is None

    with_directory(tmp_path, work)
