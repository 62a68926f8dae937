"""Keys as they are written: enough chance, a checksum that finds typos, and nothing shown that would do as a key."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.key_format import ENVS, PATTERN, Env, digest_with, display_parts, is_mistyped, make_key

LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize("env", ENVS)
def test_a_key_is_what_a_secret_scanner_looks_for(env: Env) -> None:
    key = make_key(env).reveal()
    assert re.fullmatch(rf"psk_{env}_[0-9A-Za-z]{{33}}", key)
    assert PATTERN.fullmatch(key)
    assert not is_mistyped(key)


def test_a_key_has_160_bits_and_they_are_drawn_one_by_one() -> None:
    drawn: list[str] = []

    def choose(letters: str) -> str:
        drawn.append(letters)
        return letters[len(drawn) % len(letters)]

    make_key("live", choose)
    assert len({len(set(letters)) for letters in drawn}) == 1
    assert len(set(drawn[0])) ** len(drawn) >= 2**160


def test_two_keys_are_never_the_same() -> None:
    assert len({make_key("live").reveal() for _ in range(1000)}) == 1000


def typos(key: str) -> Iterator[str]:
    for place in range(len("psk_live_"), len(key)):
        yield key[:place] + key[place + 1 :]
        yield key[:place] + "x" + key[place:]
        for letter in "0OlI1aZ":
            if letter != key[place]:
                yield key[:place] + letter + key[place + 1 :]
        if place + 1 < len(key) and key[place] != key[place + 1]:
            yield key[:place] + key[place + 1] + key[place] + key[place + 2 :]


def test_every_single_typo_is_told_apart() -> None:
    key = make_key("test").reveal()
    found = list(typos(key))
    assert len(found) > 300
    assert [typo for typo in found if not is_mistyped(typo)] == []


@pytest.mark.parametrize(
    "presented",
    [
        "psk_live_",
        "PSK_LIVE_" + "a" * 33,
        " psk_test_abc",
        "psk_live_" + "a" * 33 + "\n",
        "psk_live_" + "a" * 33 + "\0",
        "psk_live_" + "а" * 33,  # Cyrillic
        "psk_live_" + "\uff41" * 33,  # full width
        "psk_live_" + "a" * 100_000,
    ],
)
def test_what_was_meant_to_be_a_key_and_is_none(presented: str) -> None:
    assert is_mistyped(presented)


@pytest.mark.parametrize(
    "presented", ["", "sk-proj-abc", "psk_admin_abc", "psk_", "psk-live-abc", "\0", "ｐsk_live_abc"]
)
def test_what_was_never_meant_to_be_one_has_no_typo(presented: str) -> None:
    assert not is_mistyped(presented)


@given(st.text(max_size=60))
def test_any_text_can_be_looked_at_and_hashed(text: str) -> None:
    is_mistyped(text)
    is_mistyped(f"psk_live_{text}")
    assert len(digest_with(b"pepper", text)) == 32


@given(st.text(alphabet=LETTERS, min_size=33, max_size=33))
def test_chance_alone_makes_no_key(letters: str) -> None:
    # 1 in 2^32 would pass; hypothesis draws far fewer.
    assert is_mistyped(f"psk_live_{letters}")


def test_what_is_shown_leaves_112_bits() -> None:
    key = make_key("live")
    prefix, last = display_parts(key)
    text = key.reveal()
    assert text.startswith(prefix)
    assert text.endswith(last)
    assert (len(prefix), len(last)) == (len("psk_live_") + 4, 4)
    assert 62 ** (27 - 4) / 62**4 > 2**112


def test_a_digest_needs_the_pepper() -> None:
    assert digest_with(b"one", "key") != digest_with(b"other", "key")
