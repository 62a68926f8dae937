"""Embeddings: unit vectors from the words of a text, so that texts with words in common point the same way. Pure."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import sys
from array import array
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.simulated.answer import Spent, told
from penstock.providers.simulated.failures import ApiError
from penstock.providers.simulated.fields import invalid, missing, typed, whole
from penstock.providers.simulated.models import Model
from penstock.providers.simulated.script import Script
from penstock.providers.simulated.speech import count_tokens

__all__ = ["EmbeddingRequest", "embed", "read_embedding"]

_WORD = re.compile(r"\w+")
_HITS = 24  # dimensions one word weighs on


class EmbeddingRequest(msgspec.Struct):
    """An embeddings request; each input is a text or a list of token ids."""

    model: str
    inputs: list[str | list[int]]
    base64: bool
    dimensions: int


def read_embedding(fields: Mapping[str, Any], model: Model) -> EmbeddingRequest:
    """Check and read an embeddings request.

    Raises:
        ApiError: 400, naming the parameter.
    """
    encoding = typed(fields, "encoding_format", str, "float")
    if encoding not in ("float", "base64"):
        raise invalid("encoding_format", f"'{encoding}'. Supported values are: 'float' and 'base64'", "invalid_value")
    dimensions = whole(fields, "dimensions", 1, model.most_dimensions) or model.dimensions
    return EmbeddingRequest(model.name, _inputs(fields), encoding == "base64", dimensions)


def _inputs(fields: Mapping[str, Any]) -> list[str | list[int]]:
    given = fields.get("input")
    if given is None:
        raise missing("input")
    inputs = given if isinstance(given, list) else [given]
    if inputs and all(_is_token(item) for item in inputs):
        inputs = [inputs]
    good = [item for item in inputs if (isinstance(item, str) and item) or _is_tokens(item)]
    if not inputs or len(inputs) > 2048 or len(good) < len(inputs):
        message = (
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
        raise ApiError(400, message, param="input")
    return good


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**31


def _is_tokens(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(_is_token(token) for token in item)


def embed(request: EmbeddingRequest, model: Model, script: Script) -> bytes:
    """The list of embeddings, in the order of the inputs.

    Raises:
        ApiError: 400, an input is longer than the model's window.
    """
    counts = [count_tokens(each) if isinstance(each, str) else len(each) for each in request.inputs]
    longest = max(counts)
    if longest > model.window:
        message = (
            f"This model's maximum context length is {model.window} tokens, however you requested {longest} tokens "
            f"({longest} in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
        )
        raise ApiError(400, message, param="input", code="context_length_exceeded")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _encoded(_vector(each, request.dimensions), request.base64),
        }
        for index, each in enumerate(request.inputs)
    ]
    body: dict[str, Any] = {"object": "list", "data": data, "model": request.model}
    spent = told(Spent(sum(counts), 0, sum(counts)), script.usage)
    if spent is not None:
        body["usage"] = {"prompt_tokens": spent.prompt, "total_tokens": spent.total}
    return msgspec.json.encode(body)


def _vector(text: str | list[int], dimensions: int) -> array[float]:
    """A vector of length one in single precision, the same from every provider with any seed."""
    words = _WORD.findall(text.lower()) if isinstance(text, str) else list(map(str, text))
    whole_text = text if isinstance(text, str) else " ".join(words)
    # A little of the text as a whole keeps texts of the same words, or of none, apart.
    noise = hashlib.shake_256(whole_text.encode()).digest(dimensions)
    weights = [(byte - 127.5) * 0.0008 for byte in noise]
    for word in words:
        digest = hashlib.shake_256(word.encode()).digest(3 * _HITS)
        for at in range(0, 3 * _HITS, 3):
            place = int.from_bytes(digest[at : at + 2], "big") % dimensions
            weights[place] += 1.0 if digest[at + 2] & 1 else -1.0
    length = math.sqrt(math.fsum(weight * weight for weight in weights)) or 1.0
    return array("f", [weight / length for weight in weights])


def _encoded(vector: array[float], as_base64: bool) -> list[float] | str:
    if not as_base64:
        return vector.tolist()
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")
