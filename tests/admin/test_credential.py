"""The admin key: from the environment, from its file, or new; and never in anybody else's hands."""

from __future__ import annotations

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.admin.credential import FILE, SHORTEST, VARIABLE, AdminKey, Credential, load_admin_key
from penstock.admin.door import ADMIN_KEY, Door
from penstock.errors import ConfigError, Unauthenticated
from penstock.redact import Secret

LONG = "k" * SHORTEST


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_from_the_environment(tmp_path: Path) -> None:
    key = load_admin_key({VARIABLE: f"{LONG}\n"}, tmp_path)
    assert (key.secret.reveal(), key.secret.source) == (LONG, f"env:{VARIABLE}")
    assert (key.path, key.made, key.warning) == (None, False, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["", "  ", "short", "k" * (SHORTEST - 1), f" {'k' * (SHORTEST - 1)} "])
def test_a_short_one_is_refused_and_not_replaced(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        load_admin_key({VARIABLE: value}, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["two words " + LONG, "ключ" * 8, LONG + "\n" + LONG, LONG + "\x00"])
def test_one_that_fits_into_no_header_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_admin_key({VARIABLE: value}, tmp_path)
    assert value not in str(refused.value)


def test_made_on_first_start(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = load_admin_key({}, tmp_path)
    finally:
        os.umask(old)
    path = tmp_path / FILE
    assert (first.path, first.made, first.warning) == (path, True, "")
    assert first.secret.source == f"file:{path}"
    assert mode(path) == 0o600
    assert path.read_text() == first.secret.reveal() + "\n"
    assert list(tmp_path.iterdir()) == [path]
    again = load_admin_key({}, tmp_path)
    assert (again.secret, again.made) == (first.secret, False)


def test_a_tight_umask_leaves_it_readable(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        load_admin_key({}, tmp_path)
    finally:
        os.umask(old)
    assert mode(tmp_path / FILE) == 0o600


def test_no_two_are_alike_and_none_is_short(tmp_path: Path) -> None:
    found = set()
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.add(load_admin_key({}, folder).secret.reveal())
    assert len(found) == 20
    for key in found:
        # 62 letters: 27 of them are 160 bits.
        assert key.startswith("psk_admin_")
        assert len(key.removeprefix("psk_admin_")) >= 27


def test_starting_together_all_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found: list[AdminKey] = list(threads.map(lambda _: load_admin_key({}, tmp_path), range(32)))
    assert len({key.secret for key in found}) == 1
    assert sum(key.made for key in found) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("wide", [0o644, 0o640, 0o606, 0o666, 0o700])
def test_a_file_open_to_others_is_closed_with_a_warning(tmp_path: Path, wide: int) -> None:
    path = tmp_path / FILE
    path.write_text(LONG)
    path.chmod(wide)
    key = load_admin_key({}, tmp_path)
    assert key.secret.reveal() == LONG
    assert mode(path) == 0o600
    assert str(path) in key.warning
    assert f"{wide:04o}" in key.warning
    assert LONG not in key.warning
    assert load_admin_key({}, tmp_path).warning == ""


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(LONG)
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=FILE):
        load_admin_key({}, tmp_path)


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        load_admin_key({}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(ConfigError, match="plain file"):
        load_admin_key({}, tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError):
        load_admin_key({}, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text(LONG)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="user who runs"):
        load_admin_key({}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 64, b"k" * 8 + b"\n" + b"k" * 8])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=FILE):
        load_admin_key({}, tmp_path)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as refused:
        load_admin_key({}, tmp_path / "gone")
    assert VARIABLE in refused.value.do


def test_the_key_prints_as_stars(tmp_path: Path) -> None:
    key = load_admin_key({}, tmp_path)
    credential = Credential(key.secret)
    assert key.secret.reveal() not in f"{key!r} {key} {credential!r} {vars(type(credential))}"


def test_the_door_opens_for_the_key_alone() -> None:
    door = Door(Credential(Secret(LONG)))
    assert asyncio.run(door.admit([f"Bearer {LONG}"])) == ADMIN_KEY
    for given in ([], [f"Bearer {LONG}", f"Bearer {LONG}"], [f"Bearer {LONG}x"], ["Bearer \udcff"], ["Bearer"]):
        with pytest.raises(Unauthenticated):
            asyncio.run(door.admit(given))


def test_another_key_in_the_file_holds_at_once(tmp_path: Path) -> None:
    key = load_admin_key({}, tmp_path)
    credential = Credential(key.secret, key.path)
    path = tmp_path / FILE
    path.unlink()
    assert credential.opens(key.secret.reveal()), "what is gone is not another one"
    path.write_text("short")
    assert credential.opens(key.secret.reveal()), "nor is half of one"
    path.write_text(LONG)
    assert credential.opens(LONG)
    assert not credential.opens(key.secret.reveal())
