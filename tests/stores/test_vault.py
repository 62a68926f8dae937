"""What the store alone gives away: nothing. And what happens when the encryption key is another one, or gone."""

from __future__ import annotations

import asyncio
import os
import stat
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.errors import ConfigError, InvalidRequest, NotFound, PenstockError
from penstock.redact import Secret
from penstock.stores.encryption_key import FILE
from penstock.stores.provider_secrets import LONGEST
from penstock.stores.vault import Sealed, Vault
from tests.stores.directories import ENCRYPTION_KEY, Opened

OTHER_KEY = Secret("fedcba9876543210fedcba9876543210", "env:OTHER")
VALUE = "sk-live-0123456789abcdefWXYZ"


def with_directory(folder: Path, work: Callable[[Opened], Awaitable[None]]) -> None:
    with Opened(folder) as opened:
        asyncio.run(work(opened))  # type: ignore[arg-type]


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


# --- providers' credentials


def test_a_credential_is_kept_encrypted_and_comes_back(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        credentials = opened.directory.credentials
        info = await credentials.put("openai", Secret(VALUE))
        assert (info.name, info.last_four) == ("openai", "WXYZ")
        revealed = await credentials.reveal("openai")
        assert (revealed.reveal(), revealed.source, repr(revealed)) == (VALUE, "store:openai", "***")
        assert await credentials.page() == [info]
        assert VALUE not in repr((info, opened.directory, opened.directory.vault))
        again = await credentials.put("openai", Secret(VALUE + "2"), version=info.version)
        assert again.id == info.id
        assert (await credentials.reveal("openai")).reveal() == VALUE + "2"
        await credentials.drop("openai")
        with pytest.raises(NotFound):
            await credentials.reveal("openai")
        with pytest.raises(NotFound):
            await credentials.drop("openai")

    with_directory(tmp_path, work)
    assert VALUE.encode() not in contents(tmp_path)


def test_of_a_short_credential_nothing_is_shown(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        assert (await opened.directory.credentials.put("a", Secret("x" * 15))).last_four == ""

    with_directory(tmp_path, work)


@pytest.mark.parametrize("value", ["", " ", "a b", "a\n", "a\r\nx: y", "a\0", "é", "x" * (LONGEST + 1)])
def test_what_fits_into_no_header_is_no_credential_and_is_not_repeated(tmp_path: Path, value: str) -> None:
    async def work(opened: Opened) -> None:
        with pytest.raises(InvalidRequest) as refused:
            await opened.directory.credentials.put("openai", Secret(value))
        assert not value.strip() or value not in str(refused.value)

    with_directory(tmp_path, work)


@pytest.mark.parametrize(
    "tampering",
    [
        pytest.param(
            "UPDATE provider_secrets SET nonce = (SELECT nonce FROM provider_secrets WHERE name = 'b'),"
            " ciphertext = (SELECT ciphertext FROM provider_secrets WHERE name = 'b') WHERE name = 'a'",
            id="copied from another row",
        ),
        pytest.param("UPDATE provider_secrets SET name = 'c' WHERE name = 'b'", id="renamed"),
        pytest.param("UPDATE provider_secrets SET id = 'other' WHERE name = 'a'", id="another row's id"),
        pytest.param("UPDATE provider_secrets SET ciphertext = zeroblob(length(ciphertext))", id="overwritten"),
        pytest.param("UPDATE provider_secrets SET ciphertext = substr(ciphertext, 1, 20)", id="cut"),
        pytest.param("UPDATE provider_secrets SET ciphertext = x''", id="emptied"),
        pytest.param("UPDATE provider_secrets SET nonce = zeroblob(12)", id="another nonce"),
        pytest.param("UPDATE provider_secrets SET nonce = x''", id="no nonce"),
    ],
)
def test_a_row_that_was_changed_or_copied_is_refused(tmp_path: Path, tampering: str) -> None:
    async def work(opened: Opened) -> None:
        credentials = opened.directory.credentials
        for name in ("a", "b"):
            await credentials.put(name, Secret(f"{VALUE}-{name}"))
        await opened.db.run(lambda connection: connection.execute(tampering))
        told = []
        for info in await credentials.page():
            try:
                found = await credentials.reveal(info.name)
            except PenstockError as error:
                told.append("".join(traceback.format_exception(error)))
            else:
                assert found.reveal() == f"{VALUE}-{info.name}"
        assert told
        assert all("cannot be decrypted" in each and VALUE not in each for each in told)

    with_directory(tmp_path, work)


def test_two_rows_swapped_are_both_refused(tmp_path: Path) -> None:
    async def work(opened: Opened) -> None:
        credentials = opened.directory.credentials
        for name in ("a", "b"):
            await credentials.put(name, Secret(f"{VALUE}-{name}"))

        def swap(connection: object) -> None:
            execute = connection.execute  # type: ignore[attr-defined]
            (a, b) = execute("SELECT nonce, ciphertext FROM provider_secrets ORDER BY name").fetchall()
            execute("UPDATE provider_secrets SET nonce = ?, ciphertext = ? WHERE name = 'a'", b)
            execute("UPDATE provider_secrets SET nonce = ?, ciphertext = ? WHERE name = 'b'", a)

        await opened.db.run(swap)
        for name in ("a", "b"):
            with pytest.raises(PenstockError, match="cannot be decrypted"):
                await credentials.reveal(name)

    with_directory(tmp_path, work)


def test_the_same_value_is_never_written_twice_alike() -> None:
    vault = Vault(ENCRYPTION_KEY)
    sealed = [vault.seal(("table", "1", "a"), Secret(VALUE)) for _ in range(1000)]
    assert len({each.nonce for each in sealed}) == len({each.ciphertext for each in sealed}) == 1000


def test_places_that_read_alike_are_not_the_same() -> None:
    vault = Vault(ENCRYPTION_KEY)
    sealed = vault.seal(("table", "ab", "c"), Secret(VALUE))
    for place in (("table", "a", "bc"), ("table", "abc", ""), ("table", "abc"), ("tableab", "c"), ("table", "ab", "C")):
        with pytest.raises(PenstockError):
            vault.open(place, sealed, "store:c")
    assert vault.open(("table", "ab", "c"), sealed, "store:c").reveal() == VALUE


def test_under_another_key_nothing_opens_and_it_is_said_which() -> None:
    sealed = Vault(ENCRYPTION_KEY).seal(("t", "1", "a"), Secret(VALUE))
    other = Vault(OTHER_KEY)
    with pytest.raises(PenstockError, match=sealed.fingerprint):
        other.open(("t", "1", "a"), sealed, "store:a")
    # A fingerprint that lies is found by the cipher.
    with pytest.raises(PenstockError, match="cannot be decrypted"):
        other.open(("t", "1", "a"), Sealed(sealed.nonce, sealed.ciphertext, other.fingerprint), "store:a")


def test_a_fingerprint_and_the_pepper_say_nothing_of_each_other() -> None:
    vault, other = Vault(ENCRYPTION_KEY), Vault(OTHER_KEY)
    assert vault.fingerprint != other.fingerprint
    assert vault.pepper != other.pepper
    assert vault.fingerprint not in vault.pepper.hex()
    assert vault.pepper.hex() not in repr(vault)
    assert len(vault.pepper) == 32


# --- the encryption key


def test_the_encryption_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    with Opened(tmp_path, None) as opened:
        made = opened.directory.vault.fingerprint
    path = tmp_path / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_text().strip()) == 48
    with Opened(tmp_path, None) as opened:
        assert opened.directory.vault.fingerprint == made
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(FILE)) == [FILE]


def test_without_the_encryption_key_a_store_is_not_opened_and_no_other_key_is_made(tmp_path: Path) -> None:
    with Opened(tmp_path, None):
        pass
    (tmp_path / FILE).unlink()
    with pytest.raises(ConfigError, match="were made under the encryption key") as refused, Opened(tmp_path, None):
        pass
    assert "from a backup" in refused.value.do
    assert not (tmp_path / FILE).exists()


def test_another_encryption_key_is_refused_and_both_are_named(tmp_path: Path) -> None:
    with Opened(tmp_path) as opened:
        first = opened.directory.vault.fingerprint
    with pytest.raises(ConfigError) as refused, Opened(tmp_path, OTHER_KEY):
        pass
    for told in (first, Vault(OTHER_KEY).fingerprint, "env:OTHER"):
        assert told in str(refused.value)
    assert OTHER_KEY.reveal() not in str(refused.value) + refused.value.do
    with Opened(tmp_path):
        pass


@pytest.mark.parametrize("value", ["", "short", "x" * 64, "abababababababababababababababababab"])
def test_a_key_that_is_none_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    weak, why = Secret(value, "env:WEAK"), "at least 32 characters of chance"
    with pytest.raises(ConfigError, match=why) as refused, Opened(tmp_path, weak):
        pass
    assert "env:WEAK" in str(refused.value)
    assert not value or value not in str(refused.value)


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    with Opened(tmp_path, None):
        pass
    (tmp_path / FILE).chmod(0o644)
    with Opened(tmp_path, None):
        pass
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_link_in_the_files_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("x" * 40)
    os.symlink(elsewhere, tmp_path / FILE)
    with pytest.raises(ConfigError, match="cannot be read or made"), Opened(tmp_path, None):
        pass


def test_the_same_key_by_file_or_by_configuration_is_the_same(tmp_path: Path) -> None:
    with Opened(tmp_path, None) as opened:
        made = opened.directory.vault.fingerprint
    declared = Secret((tmp_path / FILE).read_text().strip(), "env:PENSTOCK_SECRET")
    (tmp_path / FILE).unlink()
    with Opened(tmp_path, declared) as opened:
        assert opened.directory.vault.fingerprint == made
