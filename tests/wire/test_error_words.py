"""Error bodies of every shape: what is wrong reaches a caller of either dialect in the provider's own words."""

from __future__ import annotations

import pytest

from penstock.errors import UpstreamContextTooLong, UpstreamCredential, UpstreamRefused
from penstock.wire.dialects import CHAT
from penstock.wire.error_words import decode_error, words_of

SAID = "the weir is shut"
SHAPES = [
    b'{"error":"%b"}',
    b'{"error":{"message":"%b","type":"invalid_request_error","param":"x","code":"c"}}',
    b'[{"error":{"code":400,"message":"%b","status":"INVALID_ARGUMENT"}}]',
    b'{"error":{"error":{"message":"%b"}}}',
    b'{"detail":"%b"}',
    b'{"message":"%b"}',
    b'{"object":"error","message":"%b","type":"BadRequestError","param":null,"code":400}',
    b'{"type":"error","error":{"type":"invalid_request_error","message":"%b"},"request_id":"r"}',
    b'{"error":{"message":null,"type":"bad","details":"%b"}}',
    b'{"error":{"message":{"detail":"%b"}}}',
    b'{"error":{"code":"x","innererror":{"message":"%b"}}}',
    b'{"error":{"message":""},"message":"%b"}',
    b'{"error":true,"message":"%b"}',
    b'{"error":["%b"]}',
    b'{"errors":[{"message":"%b"}]}',
    b'{"errors":{"messages":["%b"]}}',
    b'{"error":"invalid_grant","error_description":"%b"}',
    b'{"error_code":"X","error_msg":"%b"}',
    b'{"success":false,"error":{"msg":"%b"}}',
    b'{"Message":"%b"}',
    b'{"fault":{"faultstring":"%b","detail":{"errorcode":"x"}}}',
    b'{"base_resp":{"status_code":1004,"status_msg":"%b"}}',
    b'{"title":"Bad","detail":"%b","status":400}',
    b'"%b"',
    b"%b",
    b"  %b\r\n",
]


@pytest.mark.parametrize("dialect", sorted(CHAT))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_quoted(shape: bytes, dialect: str) -> None:
    error = CHAT[dialect].classify(400, {}, shape % SAID.encode())
    assert isinstance(error, UpstreamRefused)
    assert error.message == f"The provider refused the request (400): {SAID}"


def test_the_field_that_a_web_framework_means() -> None:
    body = b'{"detail":[{"loc":["body","messages",0,"role"],"msg":"Field required"},{"loc":["body"],"msg":"Odd"}]}'
    assert CHAT["openai_chat"].classify(422, {}, body).message.endswith("(422): messages.0.role: Field required; Odd")


@pytest.mark.parametrize("raw", [b'"%b"', rb'"{\"error\":{\"message\":\"%b\"}}"', rb'"{\"detail\":\"%b\"}"'])
def test_what_is_behind_a_relay_s_own_words(raw: bytes) -> None:
    """OpenRouter's `metadata.raw`."""
    body = b'{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":%b,"provider_name":"X"}}}'
    error = CHAT["openai_chat"].classify(400, {}, body % (raw % SAID.encode()))
    assert error.message == f"The provider refused the request (400): Provider returned error: {SAID}"
    long = b"This model's maximum context length is 4096 tokens"
    assert isinstance(CHAT["openai_chat"].classify(400, {}, body % (raw % long)), UpstreamContextTooLong)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><h1>the weir is shut</h1></html>",
        b"<?xml version='1.0'?><Error><Message>the weir is shut</Message></Error>",
        b"the weir\x00",
        b"\xff\xfe",
        b"the weir is shut " * 200,
        b'{"message": "the weir is shut"',
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"error":{"code":7}}',
        b'{"a":' * 100 + b"1" + b"}" * 100,
        b"[" * 5000,
    ],
)
def test_what_is_no_sentence_is_not_quoted(body: bytes) -> None:
    assert CHAT["openai_chat"].classify(400, {}, body).message == "The provider refused the request (400)."


def test_nothing_is_quoted_about_our_account() -> None:
    error = CHAT["openai_chat"].classify(401, {}, b"the key sk-123 is not known")
    assert isinstance(error, UpstreamCredential)
    assert "sk-123" not in error.message


def test_a_bomb_is_looked_at_no_deeper_than_words_stand() -> None:
    bomb = b'{"error":[' + b'{"error":["x"]},' * 100_000 + b'"y"]}'
    assert words_of(decode_error(bomb)) == "x; x; x"
