"""Penstock's own contract, `POST /v1/generate`: a dialect that callers speak and no provider does.

So it has the caller's side alone (`wire/dialect.InboundChat`); its requests are always translated.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.errors import PenstockError
from penstock.events import Event
from penstock.wire.dialect import NO_FIELDS, Decoded, Fields
from penstock.wire.generate_answer import Told, encode_failure, encode_result
from penstock.wire.generate_prompt import check_fields, decode_prompt, read_tags, read_task, read_wishes
from penstock.wire.generate_writer import GenerateWriter
from penstock.wire.openai_answer import left_out
from penstock.wire.openai_fields import read_flag, read_model
from penstock.wire.splice import decode_object
from penstock.wire.sse import encode_event

__all__ = ["Generate", "Told"]


class Generate:
    """The dialect `generate`.

    `encode_result` and `open_result_writer` tell what the record knows besides; `encode_answer` and `open_writer` are
    the same with nothing but the request's id, so that it can stand wherever a caller's dialect can.
    """

    name = "generate"
    path = b"/generate"
    waiting = b": waiting\n\n"

    decode_prompt = staticmethod(decode_prompt)
    encode_result = staticmethod(encode_result)
    encode_failure = staticmethod(encode_failure)
    left_out = staticmethod(left_out)  # its turn is OpenAI's
    read_tags = staticmethod(read_tags)
    read_task = staticmethod(read_task)
    read_wishes = staticmethod(read_wishes)

    def decode_request(self, body: bytes) -> Decoded:
        """Read the fields that decide, and refuse by name what is not there. Raises InvalidRequest, NotAvailable."""
        fields = decode_object(body)
        check_fields(fields)
        return Decoded(fields, read_model(fields), read_flag(fields, "stream"), False)

    def may_join(self, fields: dict[str, msgspec.Raw]) -> bool:
        """Not where it is bound to a schema."""
        return bytes(fields.get("output_schema", b"null")) == b"null"

    def begin_answer(self, fields: dict[str, msgspec.Raw], said: str, tokens: int) -> None:
        """Never: it is asked for again, and passed on from where its text has matched."""

    def encode_answer(self, events: list[Event], request_id: str, created: int, fields: Fields = NO_FIELDS) -> bytes:
        """A whole answer's body."""
        return encode_result(events, Told(request_id=request_id))

    def open_writer(
        self, request_id: str, created: int, *, keep_usage: bool, fields: Fields = NO_FIELDS
    ) -> GenerateWriter:
        """A writer for one stream; usage is always told."""
        told = Told(request_id=request_id)
        return GenerateWriter(lambda: told)

    def open_result_writer(self, told: Callable[[], Told]) -> GenerateWriter:
        """A writer for one stream that asks `told` at its start and again for its last event."""
        return GenerateWriter(told)

    def encode_error(self, error: PenstockError, request_id: str) -> bytes:
        """The failed answer; it goes out with the error's own HTTP status."""
        return encode_failure(error, Told(request_id=request_id))

    def encode_stream_error(self, error: PenstockError) -> bytes:
        """The same as the event `error`, where no writer is at hand that knows more."""
        return encode_event(encode_failure(error, Told()), b"error")
