"""A secret gives itself away to nobody who does not ask for it by name."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from penstock.redact import Secret, redact


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
