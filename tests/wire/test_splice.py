"""wire/splice: what a body's top level says, told where it is wrong, and written anew with the values as they were."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidRequest
from penstock.wire.splice import decode_object, encode_object, raw, replaced

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_values_stay_byte_for_byte(fields: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(fields, ensure_ascii=ascii_only, indent=indent).encode()
    read = decode_object(body)
    assert list(read) == list(fields)
    for name, value in fields.items():
        assert bytes(read[name]) in body
        assert json.loads(bytes(read[name])) == value
    again = encode_object(read)
    assert decode_object(again) == read
    assert json.loads(again) == fields


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for text in (body, b'{"a":' + body, b'{"a":"' + body + b'"}'):
        try:
            fields = decode_object(text)
        except InvalidRequest:
            continue
        assert json.loads(text) == json.loads(encode_object(fields))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "The body is empty"),
        (b" \n ", "The body is empty"),
        (b"[]", "must be a JSON object, not an array"),
        (b" null", "must be a JSON object, not null"),
        (b"3", "must be a JSON object, not a number"),
        (b'"x"', "must be a JSON object, not a string"),
        (b"true", "must be a JSON object, not a boolean"),
        (b'{"a":1,}', "trailing comma in object at line 1, column 8 (byte 7)"),
        (b'{\n "a": 1\n "b": 2}', "expected ',' or '}' at line 3, column 2 (byte 11)"),
        ('{"ä": x}'.encode(), "invalid character at line 1, column 7 (byte 7)"),
        (b'{"a":[1,2', "it ends too early at line 1, column 10 (byte 9)"),
        (b'{"a":1} {', "trailing characters at line 1, column 9 (byte 8)"),
        (b'{"a":NaN}', "invalid character at line 1, column 6 (byte 5)"),
        (b'{"a":[-Infinity]}', "invalid character at line 1"),
        (b'{"a":["\xff"]}', "invalid UTF-8 at line 1, column 8 (byte 7)"),
        (b'{"a":{"b\xc3":1}}', "invalid UTF-8 at line 1, column 9 (byte 8)"),
        (b'{"a":"\xed\xa0\x80"}', "invalid UTF-8"),
        (b'{"a":["\\ud800"]}', "a lone surrogate at line 1, column 8 (byte 7)"),
        (b'{"a":"\\ud800 and more"}', "line 1"),
        (b'{"a":"\\ude00"}', "surrogate"),
        (b'{"a":"\\ude00\\ud83d"}', "surrogate"),
        (b'{"a":"\x01"}', "invalid character"),
        (b"\xef\xbb\xbf{}", "a byte order mark before it at line 1, column 1 (byte 0)"),
    ],
)
def test_refused_with_the_place(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode_object(body)
    assert reason in str(raised.value)
    assert raised.value.do


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_has_an_end(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    assert decode_object(b'{"a":' + opening * 400 + b"1" + closing * 400 + b"}")
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        decode_object(b'{"a":' + opening * 200_000 + b"1" + closing * 200_000 + b"}")


def test_a_pair_of_escapes_is_a_character() -> None:
    assert bytes(decode_object(b'{"a":"\\ud83d\\ude00"}')["a"]) == b'"\\ud83d\\ude00"'


def test_of_two_equal_keys_the_last_is_read_and_written() -> None:
    read = decode_object(b'{"model":"a","n":1,"\\u006dodel":"b"}')
    assert encode_object(read) == b'{"model":"b","n":1}'


def test_numbers_and_escapes_are_not_rewritten() -> None:
    body = b'{"a":1.0,"b":1E+2,"c":123456789012345678901234567890,"d":"\\u0041\\/","e":[ 1 , 2 ],"f":1e999}'
    assert encode_object(decode_object(body)) == body


def test_replaced_keeps_the_other_fields() -> None:
    true = msgspec.Raw(b"true")
    assert bytes(replaced(None, {"x": true})) == b'{"x":true}'
    assert bytes(replaced(msgspec.Raw(b"null"), {"x": true})) == b'{"x":true}'
    assert bytes(replaced(msgspec.Raw(b'{"y":1.0,"x":0}'), {"x": true})) == b'{"y":1.0,"x":true}'


def test_what_is_not_json_cannot_be_sent() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (object(), loop, {1 + 2j: 1}, "\ud800"):
        with pytest.raises(InvalidRequest):
            raw(value)


def test_a_body_of_nothing_but_fields_is_refused_unread() -> None:
    few = json.dumps({f"{number:x}": 1 for number in range(25_000)}).encode()
    assert len(decode_object(few)) == 25_000
    many = json.dumps({f"{number:x}": 1 for number in range(50_000)}).encode()
    for body in (many, b"{" + b'"a":1,' * 80_000 + b'"a":1}'):
        with pytest.raises(InvalidRequest):
            decode_object(body)


def test_a_conversation_may_have_any_number_of_fields() -> None:
    messages = [{"role": "user", "content": "x"}] * 50_000
    fields = {"model": "m", "messages": messages, "tools": [{"type": "function"}] * 50_000}
    read = decode_object(json.dumps(fields).encode())
    assert json.loads(bytes(read["messages"])) == messages


def test_a_fault_in_a_large_body_is_named() -> None:
    pairs = "\\ud83d\\ude00" * 20_000
    for text, place in ((f'{{"a":"{pairs}\\ud800x"}}', 240_006), (f'{{"a":"{pairs}\\\\\\ud800x"}}', 240_008)):
        with pytest.raises(InvalidRequest, match=rf"a lone surrogate at line 1, column \d+ \(byte {place}\)"):
            decode_object(text.encode())
    with pytest.raises(InvalidRequest, match="it ends too early, or has a lone surrogate"):
        decode_object(f'{{"a":"{pairs * 6}\\ud800x"}}'.encode())
    decode_object(f'{{"a":"{pairs}\\\\ud800"}}'.encode())
