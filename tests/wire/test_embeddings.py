"""Embeddings: requests, vectors as numbers and as base64, and answers that hold none."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from penstock.errors import InvalidRequest, ProtocolError, UpstreamError, UpstreamRateLimited
from penstock.messages import Usage
from penstock.records import LONGEST_NAME, shortened
from penstock.wire.embeddings import OpenAIEmbeddings

EMBEDDINGS = OpenAIEmbeddings()


def answer(*vectors: Any, **fields: Any) -> bytes:
    rows = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return json.dumps({"object": "list", "data": rows, "model": "pool-1", "usage": usage, **fields}).encode()


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_request() -> None:
    decoded = EMBEDDINGS.decode_request(b'{"input":[1, 2],"model":"e","stream":true}')
    assert (decoded.model, decoded.stream, decoded.usage_asked) == ("e", False, False)
    assert EMBEDDINGS.encode_request(decoded.fields, "v", stream=False) == b'{"input":[1, 2],"model":"v","stream":true}'


@pytest.mark.parametrize(("body", "param"), [(b'{"input":"a","model":1}', "model"), (b"[", None)])
def test_wrong_requests(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        EMBEDDINGS.decode_request(body)
    assert raised.value.param == param


def test_numbers() -> None:
    body = answer([0.5, -1], [2.0, 0.25])
    facts = EMBEDDINGS.decode_facts(body)
    assert (facts.usage, facts.model, facts.finish_reason) == (Usage(3), "pool-1", None)
    response = EMBEDDINGS.decode_response(body)
    assert response.vectors == [[0.5, -1], [2.0, 0.25]]
    assert (response.usage, response.model, response.raw) == (Usage(3), "pool-1", json.loads(body))


def test_base64_holds_little_endian_float32() -> None:
    assert EMBEDDINGS.decode_response(answer(packed(0.5, -1.0, 3.0))).vectors == [[0.5, -1.0, 3.0]]


def test_the_index_orders_them() -> None:
    rows = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.0]}]
    assert EMBEDDINGS.decode_response(answer(data=rows)).vectors == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"total_tokens": 7}, Usage(7)),
        ({"total_tokens": 0}, Usage(0)),
        (None, Usage(10, estimated=True)),
    ],
)
def test_usage(usage: Any, counted: Usage) -> None:
    assert EMBEDDINGS.decode_facts(answer([1.0], usage=usage), 40).usage == counted


@pytest.mark.parametrize("vector", ["@@", "AAA", "AAAA", {"a": 1}, None, ["x"], 3])
def test_what_is_no_vector(vector: Any) -> None:
    body = answer(vector)
    EMBEDDINGS.decode_facts(body)  # passes as bytes all the same: the caller may know better
    with pytest.raises(ProtocolError):
        EMBEDDINGS.decode_response(body)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data":{}}', b'{"data":["\xc3"]}', b'{"data":null}'])
def test_a_200_without_vectors(body: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        EMBEDDINGS.decode_facts(body)
    assert raised.value.answer is not None
    assert raised.value.answer.body == body


def test_a_200_with_an_error() -> None:
    with pytest.raises(UpstreamError) as raised:
        EMBEDDINGS.decode_facts(b'{"error":{"message":"slow down","code":429}}')
    assert type(raised.value) is UpstreamRateLimited


def test_no_streams() -> None:
    with pytest.raises(ProtocolError):
        EMBEDDINGS.open_stream(keep_usage=False, prompt_bytes=0)


def test_events() -> None:
    assert [event.usage for event in EMBEDDINGS.decode_events(answer([1.0]))] == [Usage(3)]
    assert EMBEDDINGS.decode_events(b"<html>") == []


@pytest.mark.parametrize("body", [b'{"data":[{"embedding":[1.0]}],"model":"%b"}', b'{"embedding":[1.0],"model":"%b"}'])
def test_a_model_whose_name_is_long_is_kept_short(body: bytes) -> None:
    assert EMBEDDINGS.decode_facts(body % (b"m" * LONGEST_NAME)).model == "m" * LONGEST_NAME
    assert EMBEDDINGS.decode_facts(body % (b"m" * 300)).model == shortened("m" * 300)


def test_the_library_is_told_all_of_a_models_name() -> None:
    body = b'{"data":[{"embedding":[1.0],"index":0}],"model":"%b"}' % (b"m" * 300)
    assert EMBEDDINGS.decode_response(body).model == "m" * 300
