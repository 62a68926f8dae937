"""Recorded exchanges with real providers, read from the folder that PENSTOCK_CORPUS names; data of third parties."""

from __future__ import annotations

import functools
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["UNSET", "Recording", "anthropic_shaped", "openai_shaped", "recordings"]

UNSET = "PENSTOCK_CORPUS is not set: no recorded exchanges to run"


class Recording:
    """One exchange.

    Attributes:
        provider: who answered, in the corpus' word.
        host, path, query: of the request, "" where it was not recorded.
        request: the body as JSON, None where it was not recorded.
        request_headers: lower-case names; secrets were taken out before it was published.
        headers: of the response, lower-case names.
        body: of the response, as it came.
    """

    def __init__(self, line: dict[str, Any]) -> None:
        response = line["response"]
        self.id: str = line["id"]
        self.provider: str = line["provider"]
        self.host: str = line["request"].get("host") or ""
        target: str = line["request"].get("path") or ""
        self.path, _, self.query = target.partition("?")
        self.request_headers: dict[str, str] = {
            name.lower(): value
            for name, value in (line["request"].get("headers") or {}).items()
            if isinstance(value, str)
        }
        self.request: Any = line["request"].get("body")
        self.streaming: bool = line["streaming"]
        self.features: list[str] = line["features"]
        self.status: int = response["status"]
        self.headers = {
            name.lower().encode(): value.encode()
            for name, value in (response.get("headers") or {}).items()
            if isinstance(value, str)
        }
        body = response["body"]
        self.body: bytes = (body if isinstance(body, str) else json.dumps(body)).encode()

    def __repr__(self) -> str:
        return f"<Recording {self.id}>"


@functools.cache
def recordings() -> tuple[Recording, ...]:
    """All of them, none where the variable is unset."""
    folder = os.environ.get("PENSTOCK_CORPUS")
    found: list[Recording] = []
    for path in sorted(Path(folder).glob("*.jsonl.gz")) if folder else ():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found += [Recording(json.loads(line)) for line in lines]
    return tuple(found)


def openai_shaped(keep: Callable[[Recording], bool] = lambda recording: True) -> list[Recording]:
    """Those of OpenAI's chat completions and embeddings, told by the path."""
    paths = ("/chat/completions", "/embeddings")
    return [recording for recording in recordings() if recording.path.endswith(paths) and keep(recording)]


def anthropic_shaped(keep: Callable[[Recording], bool] = lambda recording: True) -> list[Recording]:
    """Those of Anthropic's messages and their counting, told by the path."""
    paths = ("/messages", "/messages/count_tokens")
    return [recording for recording in recordings() if recording.path.endswith(paths) and keep(recording)]
