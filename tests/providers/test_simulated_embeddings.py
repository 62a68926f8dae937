"""The simulated provider's embeddings: OpenAI's shapes, unit vectors, and nearness of like texts."""

from __future__ import annotations

import base64
import math
from array import array
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from tests.providers.sim import Said, ask_all, request


def embed(input: Any, **fields: Any) -> Said:
    asked = {"model": "embed", "input": input, **fields}
    return ask_all(request(asked, path="/v1/embeddings"))[0]


def vectors(input: Any, **fields: Any) -> list[list[float]]:
    answer = embed(input, **fields)
    assert answer.status == 200, answer.body
    parsed = CreateEmbeddingResponse.model_validate(answer.json)
    assert [each.index for each in parsed.data] == list(range(len(parsed.data)))
    assert (parsed.object, parsed.model) == ("list", "embed")
    assert parsed.usage.total_tokens == parsed.usage.prompt_tokens > 0
    return [each.embedding for each in parsed.data]


def dot(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def test_vectors_have_length_one_and_like_texts_are_near() -> None:
    cat, other_cat, physics = vectors(["the cat sat on the mat", "a cat sat on a mat", "quantum field theory"])
    assert len(cat) == 256
    assert dot(cat, cat) == pytest.approx(1, abs=1e-6)
    assert dot(cat, other_cat) > 0.4 > 0.2 > abs(dot(cat, physics))
    assert vectors("the cat sat on the mat") == [cat]


@pytest.mark.parametrize("dimensions", [1, 8, 1536, 3072])
def test_dimensions(dimensions: int) -> None:
    (vector,) = vectors("some words", dimensions=dimensions)
    assert len(vector) == dimensions
    assert dot(vector, vector) == pytest.approx(1, abs=1e-5)


def test_base64_is_the_same_vector_in_little_endian_floats() -> None:
    (as_floats,) = vectors("some words")
    text = embed("some words", encoding_format="base64").json["data"][0]["embedding"]
    floats = array("f", base64.b64decode(text))
    assert floats.tolist() == as_floats


def test_token_arrays() -> None:
    assert len(vectors([1, 2, 3])) == 1
    one, other = vectors([[1, 2, 3], [4, 5]])
    assert one != other
    assert embed([[1, 2, 3], [4, 5]]).json["usage"]["prompt_tokens"] == 5


def test_texts_without_words() -> None:
    one, other = vectors(["!?", "..."])
    assert dot(one, one) == pytest.approx(1, abs=1e-6)
    assert one != other


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a", 5]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "word " * 9_000}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 4000}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "model": None}, "model"),
    ],
)
def test_wrong_requests(fields: dict[str, Any], param: str) -> None:
    answer = embed(**fields)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_a_chat_model_has_no_embeddings() -> None:
    assert embed("a", model="small").status == 403
    assert embed("a", model="nope").status == 404


def test_faults_apply_here_too() -> None:
    assert embed("a", model="embed:status=429").status == 429
    assert "usage" not in embed("a", model="embed:usage=none").json
    assert embed("a", model="embed:first_token=2s").times == pytest.approx([2.0], abs=0.01)
