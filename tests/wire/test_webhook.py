"""Webhooks' signatures, by the specification's own example, and what is refused."""

from __future__ import annotations

from base64 import b64encode

import pytest

from penstock.wire.webhook import read_secret, signature, verify, webhook_headers

# https://github.com/standard-webhooks/standard-webhooks: what its libraries are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, SENT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(**changed: str) -> dict[str, str]:
    made = webhook_headers([read_secret(SECRET)], ID, SENT, BODY)
    return made | {f"webhook-{name}": value for name, value in changed.items()}


def test_the_example_of_the_specification() -> None:
    assert signature(read_secret(SECRET), ID, SENT, BODY) == SIGNED
    assert headers() == {"webhook-id": ID, "webhook-timestamp": str(SENT), "webhook-signature": SIGNED}
    assert verify(SECRET, headers(), BODY, SENT + 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "msg_other"},
        {"id": ""},
        {"id": f"{ID}.{SENT}"},
        {"timestamp": str(SENT + 1)},
        {"timestamp": f"{SENT}.0"},
        {"timestamp": "nan"},
        {"timestamp": ""},
        {"timestamp": "9" * 400},
        {"signature": ""},
        {"signature": SIGNED.removeprefix("v1,")},
        {"signature": SIGNED.replace("v1", "v2")},
        {"signature": SIGNED[:-4]},
        {"signature": "v1,\u0661"},
    ],
)
def test_what_is_not_ours(wrong: dict[str, str]) -> None:
    assert not verify(SECRET, headers(**wrong), BODY, SENT)


def test_another_body_and_another_secret_and_no_headers() -> None:
    assert not verify(SECRET, headers(), BODY + b" ", SENT)
    assert not verify("whsec_" + b64encode(bytes(range(32))).decode(), headers(), BODY, SENT)
    assert not verify(SECRET, {}, BODY, SENT)


def test_an_old_one_sent_again() -> None:
    assert verify(SECRET, headers(), BODY, SENT + 300)
    assert not verify(SECRET, headers(), BODY, SENT + 301)
    assert verify(SECRET, headers(), BODY, SENT - 300)
    assert not verify(SECRET, headers(), BODY, SENT - 301)


def test_two_secrets_while_one_is_being_replaced() -> None:
    other = "whsec_" + b64encode(bytes(range(32))).decode()
    both = webhook_headers([read_secret(SECRET), read_secret(other)], ID, SENT, BODY)
    assert verify(SECRET, both, BODY, SENT)
    assert verify(other, both, BODY, SENT)
    assert both["webhook-signature"].count(" ") == 1


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("whsec_", "0 bytes"),
        ("whsec_" + b64encode(b"x" * 23).decode(), "23 bytes"),
        ("whsec_" + b64encode(b"x" * 65).decode(), "65 bytes"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin with whsec_"),
        ("whsec_not base64 but long enough to be", "not base64"),
    ],
)
def test_what_is_no_secret(secret: str, told: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_secret(secret)
    assert told in str(refused.value)
    assert (
        not secret.strip()
        or secret.removeprefix("whsec_") == ""
        or secret.removeprefix("whsec_") not in str(refused.value)
    )
    with pytest.raises(ValueError):
        verify(secret, headers(), BODY, SENT)


def test_nothing_is_sent_unsigned() -> None:
    for keys, id in (([], ID), ([b""], ID), ([b"x" * 24], "a.b"), ([b"x" * 24], "a\r\nb"), ([b"x" * 24], "")):
        with pytest.raises(ValueError):
            webhook_headers(keys, id, SENT, BODY)
