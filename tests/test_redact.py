"""A secret gives itself away to nobody who does not ask for it by name."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from penstock.redact import Secret, as_asked, is_secret, redact


def test_a_secret_is_masked_everywhere() -> None:
    secret = Secret("sk-live", "env:KEY")
    assert {str(secret), repr(secret), f"{secret}", f"{secret!s}", "%s" % secret} == {"***"}  # noqa: UP031
    assert repr([secret]) == "[***]"
    assert (secret.reveal(), secret.source) == ("sk-live", "env:KEY")


def test_a_secret_is_not_written_out() -> None:
    secret = Secret("sk-live")
    for writer in (pickle.dumps, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            writer(secret)


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a", "env:A") == Secret("a", "env:B")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_redact() -> None:
    secrets = [Secret("sk-1"), Secret("sk-1-long"), Secret("")]
    assert redact("keys sk-1, sk-1-long, sk-1", secrets) == "keys ***, ***, ***"
    assert redact("nothing here", secrets) == "nothing here"


@pytest.mark.parametrize(
    "text",
    [
        "psk_live_1TDCHZ3JAhX21ZwYKJBc2jGzlOr0moNjV",
        "psk_admin_1TDCHZ3JAhX21ZwYKJBc2jGzlOr0moNjV",
        "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
        "sk-ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA",
        "AIzaSyD4iE2xVSpkLLOXoyqT-RuPwURN3ddScAI",
        "Bearer psk_test_1TDCHZ3JAhX21ZwYKJBc2jGzlOr0moNjV",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ],
)
def test_a_credential_in_the_place_of_a_name_is_not_repeated(text: str) -> None:
    assert (is_secret(text), as_asked(text)) == (True, "'***'")


def test_nor_is_what_was_drawn_by_chance() -> None:
    assert as_asked("Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA") == "'***'"


@pytest.mark.parametrize(
    "text",
    ["acme", "pk-nightly-report-of-2026", "sk-small", "01a21a50-9b0a-7a9f-8842-be24339248ac", "declared:limits:17"],
)
def test_names_and_ids_are(text: str) -> None:
    assert (is_secret(text), as_asked(text)) == (False, repr(text))


def test_of_a_long_one_a_part() -> None:
    assert as_asked("a" * 1000) == repr("a" * 64)
