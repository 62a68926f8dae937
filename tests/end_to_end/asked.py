"""What a caller sends for a recording: the recorded request in several spellings, and things that must stay here.

Bodies are spelt as programs spell them (spaces, escapes, indents), so that a value which is decoded and encoded
anew on its way would show.
"""

from __future__ import annotations

import json
from typing import Any

from tests.end_to_end.vendors import model_of, vendor_of
from tests.wire.corpus import Recording

__all__ = ["CALLER_SECRET", "Asked", "members_of"]

CALLER_SECRET = "caller-0123456789-secret"

_REPLACED = {
    "host", "content-type", "content-length", "accept-encoding", "connection",
    "authorization", "api-key", "x-api-key",
}  # fmt: skip
_OPERATIONS = ("embeddings", "messages/count_tokens", "messages")
# Of these only the last may reach a provider.
_MORE = {
    "cookie": f"session={CALLER_SECRET}",
    "x-penstock-user": "somebody",
    "x-penstock-task": "replay",
    "openai-organization": "org-of-the-caller",
    "x-forwarded-for": "203.0.113.9",
    "x-unknown": "1",
    "openai-beta": "assistants=v2",
}
_STYLES: list[dict[str, Any]] = [
    {},
    {"separators": (",", ":"), "ensure_ascii": False},
    {"indent": 2, "ensure_ascii": False},
    {"separators": (" ,\t", " : ")},
]
# Where no request was recorded: values that are easily changed in passing.
_EXACT = '{"x_exact": [1.0E+2, -0, 12345678901234567890123, "\\u00e9\\/\\u0041\\ud83d\\ude00"],'
_SPACE = " \t\r\n"


class Asked:
    """A caller's request.

    Args:
        number: of the exchange; chooses the spelling, and how the caller's credential comes.

    Attributes:
        body: as sent; `fields`: the same, decoded.
        recording: what it is asked for.
        vendor: the provider that is to be asked.
        model: what it is to be asked for.
        query: what of the query the provider is to see.
        operation: the path below the base URL.
    """

    def __init__(self, recording: Recording, number: int) -> None:
        self.recording = recording
        operations = (operation for operation in _OPERATIONS if recording.path.endswith(f"/{operation}"))
        self.operation = next(operations, "chat/completions")
        fields = recording.request or {"messages": [{"role": "user", "content": "Grüße"}], "input": "Grüße"}
        if recording.streaming:
            fields = {**fields, "stream": True}
        self.vendor = vendor_of(recording)
        self.model = model_of(recording)
        if "model" in fields or self.vendor.name not in ("openai", "anthropic"):  # whose models are the default
            fields = {**fields, "model": f"{self.vendor.name}/{self.model}"}
        text = json.dumps(fields, **_STYLES[number % len(_STYLES)])
        if recording.request is None:
            text = text.replace("{", _EXACT, 1)
        self.body = text.encode()
        self.fields: dict[str, Any] = json.loads(text)
        self.query = recording.query
        recorded = {name: value for name, value in recording.request_headers.items() if name not in _REPLACED}
        self.headers = {"content-type": "application/json", **recorded, **_MORE}
        query = self._add_credential(number)
        self.target = f"/v1/{self.operation}" + (f"?{query}" if query else "")

    @property
    def anthropic(self) -> bool:
        """Whether it is asked in Anthropic's words."""
        return self.operation.startswith("messages")

    @property
    def stream_options(self) -> dict[str, Any]:
        """The caller's."""
        options: dict[str, Any] = self.fields.get("stream_options") or {}
        return options

    @property
    def usage_asked(self) -> bool:
        """Whether the caller itself wants the usage chunk."""
        return bool(self.stream_options.get("include_usage"))

    def _add_credential(self, number: int) -> str:
        """In one of the places where callers have it; returns the query to send."""
        if number % 3 == 0:
            self.headers["authorization"] = f"Bearer {CALLER_SECRET}"
        elif number % 3 == 1:
            self.headers["api-key"] = CALLER_SECRET
        else:
            pairs = [self.query, f"key={CALLER_SECRET}"] if number % 2 else [f"key={CALLER_SECRET}", self.query]
            return "&".join(pair for pair in pairs if pair)
        return self.query


def members_of(body: bytes) -> dict[str, str]:
    """A JSON object's members, each value as the text it is written in."""
    text, decode = body.decode(), json.JSONDecoder().raw_decode
    found: dict[str, str] = {}

    def skip(at: int) -> int:
        while text[at] in _SPACE:
            at += 1
        return at

    at = skip(0)
    while text[at] != "}":
        name, at = decode(text, skip(at + 1))  # past the brace or the comma
        begin = skip(skip(at) + 1)
        _, end = decode(text, begin)
        found[name] = text[begin:end]
        at = skip(end)
    return found
