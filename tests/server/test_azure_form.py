"""Calls as Azure's own clients write them, by path and query."""

from __future__ import annotations

import pytest

from penstock.server.azure_form import is_azure_call, plain_call
from penstock.wire.h1 import Head, HttpRequest
from tests.server.test_edge import KEYS, play
from tests.stage import ENV, Caller, Stage, chat

BASE = "/openai/deployments"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/openai/deployments/fast/chat/completions", True),
        ("/openai/deployments/openai/gpt-5/chat/completions", True),
        ("/openai/deployments/a%2Fb/embeddings", True),
        ("/openai/deployments//chat/completions", False),
        ("/openai/deployments/chat/completions", False),
        ("/openai/deployments/fast/images/generations", False),
        ("/openai/deployments/fast", False),
        ("/v1/deployments/fast/chat/completions", False),
    ],
)
def test_which_paths_are_of_that_form(path: str, *, expected: bool) -> None:
    assert is_azure_call(path.encode()) is expected


def test_the_version_goes_no_further_and_the_rest_of_the_query_does() -> None:
    head = Head(b"POST", b"/openai/deployments/a%2Fb/chat/completions?api-version=1&x=2", "1.1", {b"host": b"h"})
    plain, model = plain_call(HttpRequest(head, b"{}"))
    assert (plain.path, plain.query, model) == (b"/v1/chat/completions", b"x=2", "a/b")
    assert (plain.headers, plain.body, plain.head.plain) == (head.headers, b"{}", True)
    bare = Head(b"POST", b"/openai/deployments/a/embeddings?api-version=1", "1.0", {})
    assert (plain_call(HttpRequest(bare))[0].query, plain_call(HttpRequest(bare))[0].head.plain) == (b"", False)


def test_the_deployment_in_the_path_is_the_model_whatever_the_body_names() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        nameless = {key: value for key, value in chat().items() if key != "model"}
        for body, path in (
            (nameless, f"{BASE}/fast/chat/completions?api-version=2024-10-21"),
            (chat(model=""), f"{BASE}/fast/chat/completions?api-version=2024-10-21"),
            (chat(model="gpt-4o"), f"{BASE}/fast/chat/completions?api-version=2024-10-21"),
            (nameless, f"{BASE}/sim%2Fsmall/chat/completions?api-version=2024-10-21"),
            (nameless, f"{BASE}/sim/small/chat/completions"),
            ({"input": ["a"]}, f"{BASE}/up/embed/embeddings?api-version=2024-10-21"),
        ):
            answer = await caller.post(body, path)
            assert answer.status == 200, answer.body
        streamed = await caller.post(chat(stream=True), f"{BASE}/fast/chat/completions?api-version=preview")
        assert streamed.events[-1] == "[DONE]"

    lines = play(scene)
    assert [line["model"] for line in lines] == ["fast", "fast", "fast", "sim/small", "sim/small", "up/embed", "fast"]
    assert [line["operation"] for line in lines] == ["chat"] * 5 + ["embeddings", "chat"]


def test_what_is_wrong_is_told_in_openais_words() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        key = {"api-key": ENV["APP_KEY"]}
        unknown = await caller.post(chat(), f"{BASE}/prod-1/chat/completions?api-version=1", **key)
        assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
        refused = await caller.post(chat(), f"{BASE}/fast/chat/completions?api-version=1", **{"api-key": "wrong"})
        assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
        torn = await caller.ask(
            "POST", f"{BASE}/fast/chat/completions", b"{", {"content-type": "application/json", **key}
        )
        assert torn.status == 400
        asked = await caller.get(f"{BASE}/fast/chat/completions", **key)
        assert (asked.status, asked.headers["allow"]) == (405, "POST, OPTIONS")
        listed = await caller.get("/openai/models?api-version=1", **key)
        assert "fast" in {card["id"] for card in listed.json()["data"]}

    play(scene, KEYS)
