"""Files in requests of OpenAI's callers, under the names that they come by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.prompt import Document, Prompt
from penstock.wire.openai_chat import OpenAIChat

CHAT = OpenAIChat()


def decoded(part: dict[str, Any]) -> Prompt:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}).encode()
    return CHAT.decode_prompt(CHAT.decode_request(body).fields)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("application/json", "a.json"),
        ("application/vnd.api+json", "a"),
        ("application/x-yaml", "a.yml"),
        ("text/x-python", "a.py"),
        ("", "a.yaml"),
    ],
)
def test_texts_by_other_names(kind: str, name: str) -> None:
    data = f"data:{kind};base64,e30=" if kind else "e30="
    prompt = decoded({"type": "file", "file": {"filename": name, "file_data": data}})
    (part,) = prompt.turns[0].parts
    assert isinstance(part, Document)
    assert (part.source.text, part.source.media_type) == ("{}", "text/plain")


def test_a_pdf_where_images_stand_is_a_document() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0="}}
    prompt = decoded(part)
    (read,) = prompt.turns[0].parts
    assert isinstance(read, Document)
    assert read.source.data == "JVBERi0="
    assert prompt.given.keys() >= {"documents"}
    assert "images" not in prompt.given
