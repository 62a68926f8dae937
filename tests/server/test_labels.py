"""Whom and what a call is for: by header, by the body in each dialect, and by the library, as the log line has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.client.penstock import Penstock
from penstock.errors import InvalidRequest
from penstock.records import LONGEST_NAME, shortened
from penstock.server.data_plane import DataPlane
from penstock.testing import SimClock, SimLoop, run
from tests.client.stage import KEY, new_gateway
from tests.server.test_wishes import FREE, play
from tests.stage import ENV, Answer, Caller, Stage

TRUSTED = {
    "keys": [
        {"name": "free", "key": "env:APP_KEY", "user": "trusted", "models": ["*"]},
        {"name": "bound", "key": "env:OTHER_KEY", "models": ["*"]},
    ]
}
STRANGER = {"authorization": f"Bearer {ENV['OTHER_KEY']}"}
CHAT: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": {**CHAT, "max_tokens": 20},
    "/v1/generate": {"model": "fast", "prompt": "hi"},
}


def post(body: Any, path: str = "/v1/chat/completions", **headers: str) -> tuple[Answer, dict[str, Any]]:
    """The answer and the log line."""

    async def scene(stage: Stage, caller: Caller) -> tuple[Answer, dict[str, Any]]:
        answer = await caller.post(body, path, **{**FREE, **headers})
        return answer, stage.lines[-1]

    found: tuple[Answer, dict[str, Any]] = play(scene, TRUSTED)
    return found


@pytest.mark.parametrize("path", PATHS)
def test_by_header(path: str) -> None:
    told = {"x-penstock-user": "u1", "x-penstock-task": "triage", "x-penstock-tags": 'feature=search, team="a b"'}
    answer, line = post(PATHS[path], path, **told)
    assert answer.status == 200, answer.body
    assert (line["user"], line["task"], line["tags"]) == ("u1", "triage", {"feature": "search", "team": "a b"})


@pytest.mark.parametrize("path", PATHS)
def test_of_long_names_a_line_keeps_the_beginning(path: str) -> None:
    """A line that its caller made long would crowd those of others out of the log."""
    long = "x" * 30_000
    answer, line = post(PATHS[path], path, **{"x-penstock-user": long, "x-penstock-task": long})
    assert answer.status == 200, answer.body
    assert (line["user"], line["task"]) == (shortened(long), shortened(long))
    answer, line = post({**PATHS[path], "model": long}, path)
    assert answer.status == 404
    assert line["model"] == shortened(long)
    assert len(line["model"]) == LONGEST_NAME


@pytest.mark.parametrize("where", ["user", "metadata"])
def test_of_a_long_user_in_a_body_a_line_keeps_the_beginning(where: str) -> None:
    long = "x" * 300_000
    path, said = ("/v1/messages", {"user_id": long}) if where == "metadata" else ("/v1/chat/completions", long)
    answer, line = post({**PATHS[path], where: said}, path)
    assert answer.status == 200, answer.body
    assert line["user"] == shortened(long)


@pytest.mark.parametrize("path", PATHS)
def test_a_header_that_is_no_dictionary(path: str) -> None:
    answer, _ = post(PATHS[path], path, **{"x-penstock-tags": "Feature=search"})
    assert answer.status == 400
    assert b"x-penstock-tags: a name is expected at character 1" in answer.body


@pytest.mark.parametrize(
    ("path", "more", "user", "tags"),
    [
        ("/v1/chat/completions", {"user": "u1", "metadata": {"feature": "x", "n": 1}}, "u1", {"feature": "x"}),
        ("/v1/messages", {"metadata": {"user_id": "u1"}}, "u1", None),
        ("/v1/generate", {"user": "u1", "tags": {"feature": "x"}}, "u1", {"feature": "x"}),
    ],
)
def test_by_body(path: str, more: dict[str, Any], user: str, tags: dict[str, str] | None) -> None:
    """A user counts only for a key that is trusted with it; tags are the caller's own."""
    _, line = post({**PATHS[path], **more}, path)
    assert (line.get("user"), line.get("tags")) == (user, tags)
    _, line = post({**PATHS[path], **more}, path, **STRANGER, **{"x-penstock-user": "u2"})
    assert (line.get("user"), line.get("tags")) == (None, tags)


def test_both_are_joined_and_the_header_goes_before_metadata() -> None:
    body = {**CHAT, "metadata": {"feature": "body", "other": "1"}}
    _, line = post(body, **{"x-penstock-tags": "feature=head"})
    assert line["tags"] == {"feature": "head", "other": "1"}
    body = {**PATHS["/v1/generate"], "tags": {"feature": "body"}}
    _, line = post(body, "/v1/generate", **{"x-penstock-tags": "feature=head, other=1"})
    assert line["tags"] == {"feature": "body", "other": "1"}


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"Feature": "x"}, "lower-case"),
        ({"feature": 1}, "tags.feature"),
        ({f"t{n}": "x" for n in range(17)}, "at most 16"),
        ({"a": "x" * 513}, "too long"),
        ([], "tags"),
    ],
)
def test_tags_that_cannot_be_kept(tags: Any, why: str) -> None:
    answer, _ = post({**PATHS["/v1/generate"], "tags": tags}, "/v1/generate")
    assert answer.status == 400
    assert why in json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("far", [False, True])
def test_the_library_here_and_through_a_gateway(far: bool) -> None:
    lines: list[bytes] = []

    async def ask(llm: Penstock) -> None:
        await llm.generate("Hello", task="t", tags={"feature": 'a "b"', "where": "Zürich"})
        async with llm.stream("Hello", tags={"feature": "x"}) as stream:
            async for _ in stream:
                pass

    async def main(loop: SimLoop) -> None:
        gateway = new_gateway(loop, lines)
        plane = DataPlane(gateway, SimClock(loop))
        await plane.open()
        url = f"http://127.0.0.1:{plane.port}"
        async with Penstock.connect(url, KEY, clock=SimClock(loop)) if far else Penstock.over(gateway) as llm:
            await ask(llm)
        await plane.drain(1.0)
        await gateway.aclose()

    run(main, leak_free=True)
    assert [json.loads(line)["tags"] for line in lines] == [{"feature": 'a "b"', "where": "Zürich"}, {"feature": "x"}]


def test_the_library_refuses_tags_that_no_header_can_carry() -> None:
    async def main(loop: SimLoop) -> None:
        async with Penstock.over(new_gateway(loop)) as llm:
            for tags in ({"Feature": "x"}, {"a": 1}, ["a"]):
                with pytest.raises(InvalidRequest, match="tags"):
                    await llm.generate("Hello", tags=tags)  # type: ignore[arg-type]

    run(main)
