"""OpenAI's embeddings: one question, one answer, never a stream. Vectors as numbers or as base64 of float32."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from typing import Any, NoReturn

import msgspec

from penstock.errors import ProtocolError
from penstock.events import Event
from penstock.messages import Embeddings, Usage
from penstock.records import kept
from penstock.wire.dialect import Decoded, Facts
from penstock.wire.openai_errors import classify, encode_error, encode_stream_error, no_answer
from penstock.wire.openai_fields import read_model
from penstock.wire.openai_usage import read_usage, told
from penstock.wire.splice import decode_object, encode_object, raw_text
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["OpenAIEmbeddings"]


class _Answer(msgspec.Struct, gc=False):
    data: list[msgspec.Raw] | None = None
    usage: dict[str, Any] | None = None
    model: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class OpenAIEmbeddings:
    """The dialect `openai_embeddings`."""

    name = "openai_embeddings"
    path = b"/embeddings"

    classify = staticmethod(classify)
    encode_error = staticmethod(encode_error)
    encode_stream_error = staticmethod(encode_stream_error)

    def decode_request(self, body: bytes) -> Decoded:
        """Read `model`; the rest is the provider's to judge. Raises InvalidRequest."""
        fields = decode_object(body)
        model = read_model(fields)
        return Decoded(fields, model, False, False)

    def encode_request(
        self, fields: dict[str, msgspec.Raw], model: str, *, stream: bool = False, ask_usage: bool = True
    ) -> bytes:
        """The body with `model` replaced in its place."""
        return encode_object({**fields, "model": raw_text(model)})

    def decode_facts(self, body: bytes, prompt_bytes: int = 0) -> Facts:
        """Usage and model. Raises UpstreamError where the 200 holds no vectors."""
        try:
            if not body.isascii():
                str(body, "utf-8")
            answer = _ANSWER.decode(body)
        except (ValueError, RecursionError):
            answer = _Answer()
        if not answer.data:
            return _facts(_decoded(body), prompt_bytes)
        return Facts(_usage(answer.usage, prompt_bytes), kept(answer.model), None)

    def decode_response(self, body: bytes) -> Embeddings:
        """The vectors in the order of the inputs. Raises UpstreamError where there are none, or they can't be read."""
        value = _decoded(body)
        usage, model = _usage(value.get("usage"), 0), value.get("model")
        rows = value.get("data")
        try:
            vectors = [_vector(row["embedding"]) for row in sorted(rows or (), key=_index)]
        except (KeyError, TypeError, ValueError):
            raise no_answer(None, body, "a list of embeddings") from None
        return Embeddings(vectors=vectors, usage=usage, model=model if isinstance(model, str) else "", raw=value)

    @staticmethod
    def decode_events(data: bytes) -> list[Event]:
        """The usage, the one thing that an event can say of embeddings."""
        try:
            value = decode_tolerant(data)
        except ValueError:
            return []
        usage = read_usage(value.get("usage")) if isinstance(value, dict) else None
        return [] if usage is None else [Event("usage", usage=usage)]

    def open_stream(self, *, keep_usage: bool, prompt_bytes: int) -> NoReturn:
        """Raises ProtocolError: nobody streams embeddings."""
        raise ProtocolError("The provider answered a request for embeddings with a stream.", do="Check its base_url.")


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        value = decode_tolerant(body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        rows = value.get("data")
        # Ollama's own API answers under this path too, with a bare `embedding`; its bytes pass.
        if (isinstance(rows, list) and (rows or not value.get("error"))) or isinstance(value.get("embedding"), list):
            return value
    raise no_answer(value, body, "a list of embeddings")


def _facts(value: dict[str, Any], prompt_bytes: int) -> Facts:
    return Facts(_usage(value.get("usage"), prompt_bytes), kept(value.get("model")), None)


def _usage(value: Any, prompt_bytes: int) -> Usage:
    return told(read_usage(value), prompt_bytes, 0)


def _index(row: Any) -> int:
    index = row.get("index") if isinstance(row, dict) else None
    return index if isinstance(index, int) else 0


def _vector(value: Any) -> list[float]:
    """One embedding. Base64 holds little-endian float32, as OpenAI's `encoding_format: base64` defines."""
    if isinstance(value, str):
        try:
            packed = array("f", base64.b64decode(value, validate=True))
        except binascii.Error as error:
            raise ValueError("not base64") from error
        if sys.byteorder == "big":
            packed.byteswap()
        return packed.tolist()
    if not isinstance(value, list) or not all(isinstance(number, int | float) for number in value):
        raise ValueError("not a vector")
    return value
