"""What callers may ask about themselves: `GET /v1/key`, and `GET /v1/requests/{id}` of what they asked themselves.

Whose a request is, its key says together with its tenant; one of somebody else and one that never was are answered by
the same words. Of what was decided about it a caller is told what concerns its answer and its money, and nothing of
how the gateway is set up.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from penstock.errors import NotFound
from penstock.gateway import Gateway
from penstock.layers.authenticate import Key
from penstock.lines import Line
from penstock.server.ended import as_they_stand
from penstock.stores.questions import Questions

__all__ = ["REQUEST", "Asked", "Own", "own_view"]

# The topic of the questions.
REQUEST = "request"
KEY_PATHS = (b"/v1/key", b"/openai/v1/key", b"/anthropic/v1/key")
_REQUEST = re.compile(rb"/(?:openai/|anthropic/)?v1/requests/([^/]+)")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# Of the line as the log has it.
_SHOWN = (
    *("id", "time", "operation", "status", "open", "model", "deployment", "stream", "user", "task", "response_model"),
    *("finish_reason", "error", "stream_error", "dropped", "clamped", "degraded", "tokens", "cost_usd", "ms"),
    *("first_output_ms", "attempts"),
)
_lines = msgspec.json.Decoder(Line)


class Asked(NamedTuple):
    """A question about one request: `key` and `tenant` are those of whoever asks."""

    id: str
    key: str | None
    tenant: str | None


def own_view(line: bytes, asked: Asked) -> bytes | None:
    """What of a request's line its caller is told, as JSON; None where it is somebody else's."""
    told = _lines.decode(line)
    if (told.id, told.key, told.tenant) != asked:
        return None
    for attempt in told.attempts:
        attempt.deployment = attempt.deployment.partition("#")[0]
    written: dict[str, Any] = msgspec.to_builtins(told)
    return msgspec.json.encode({name: written[name] for name in _SHOWN if name in written})


class Own:
    """Answers them.

    Args:
        questions: to the centre; None where this process is all there is.
    """

    def __init__(self, gateway: Gateway, questions: Questions | None) -> None:
        self._gateway = gateway
        self._questions = questions

    @staticmethod
    def knows(path: bytes) -> bool:
        """Whether a path is one of these."""
        return path in KEY_PATHS or _REQUEST.fullmatch(path) is not None

    async def answer(self, path: bytes, key: Key | None) -> bytes:
        """The body.

        Args:
            key: the caller's; None where calls need none.

        Raises:
            NotFound: there is no such request of this caller's.
            Overloaded: the centre does not answer.
        """
        found = _REQUEST.fullmatch(path)
        if found is None:
            return await self._key(key)
        return await self._request(found[1].decode("latin-1").lower(), key)

    async def _request(self, id: str, key: Key | None) -> bytes:
        if not _ID.fullmatch(id):
            raise NotFound(
                "that is not a request's id",
                do="An answer has it in the header x-request-id: it looks like 0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21.",
            )
        asked = Asked(id, key.name if key is not None else None, key.tenant if key is not None else None)
        told: bytes | None
        if self._questions is not None:
            told = await self._questions.ask(REQUEST, msgspec.msgpack.encode(asked))
        else:
            told = self._live(asked)
        if told is None:
            raise NotFound(f"you have no request {id} here", do="What ended long ago is in the operator's books alone.")
        return told

    def _live(self, asked: Asked) -> bytes | None:
        live = [record for record in self._gateway.live if record.id == asked.id]
        for _, line in as_they_stand(live, 1, self._gateway.now()):
            return own_view(line, asked)
        return None

    async def _key(self, key: Key | None) -> bytes:
        told: dict[str, Any] = {"object": "key", "name": None, "tenant": None, "project": None}
        if key is not None:
            told |= {"name": key.name, "tenant": key.tenant, "project": key.project}
        return msgspec.json.encode(told)
