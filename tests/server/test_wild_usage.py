"""What a provider says was used, in every shape that it must not have: booked is what is plausible, the row says so.

Nothing is booked as free because its count could not be read, in whole answers and in streams, in either dialect.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.gateway.books import open_books
from penstock.stores.rows import ABSURD, ESTIMATED
from penstock.testing import ScriptedUpstream, SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from penstock.testing.simloop import run
from tests.stage import Caller

# A prompt of about 500 tokens, an answer of about 60: what cannot be is far from both.
PROMPT = "The mill stands by the river. " * 70
SAID = "The wheel turns as long as the water comes, and no longer. " * 5
QUERY = "SELECT input_tokens, output_tokens, cache_read_tokens, cost, flags, outcome FROM attempts ORDER BY id"
MOST_INPUT, MOST_OUTPUT = 3_000, 1_000
PRICES = {"input": 1, "output": 10, "cache_read": 0.1}

# Instead of a count: what JSON can hold and what it cannot.
WILD = [
    "-1", "-9223372036854775808", "1000000000000000000", "1e18", "1e400", "99999999999999999999999999", "0.5", "null",
    '"12.5"', '"twelve"', '""', "true", "[]", "{}", "[12]",
]  # fmt: skip
OPENAI_WHOLE = [
    *(f'{{"prompt_tokens": {count}, "completion_tokens": {count}, "total_tokens": {count}}}' for count in WILD),
    *(f'{{"prompt_tokens": {count}, "completion_tokens": 60}}' for count in WILD),
    *(f'{{"prompt_tokens": 500, "completion_tokens": {count}}}' for count in WILD),
    "null", "{}", "[]", '"none"', "7", '{"total_tokens": 560}', '{"prompt_tokens": 0, "completion_tokens": 0}',
]  # fmt: skip
ANTHROPIC_WHOLE = [
    each.replace("prompt_tokens", "input_tokens").replace("completion_", "output_") for each in OPENAI_WHOLE
]
# Counts that hold, with parts that cannot: the counts stand.
PARTS = [
    '{"prompt_tokens": 500, "completion_tokens": 60, "prompt_tokens_details": %s}',
    '{"prompt_tokens": 500, "completion_tokens": 60, "prompt_tokens_details": {"cached_tokens": %s}}',
    '{"prompt_tokens": 500, "completion_tokens": 60, "completion_tokens_details": {"reasoning_tokens": %s}}',
]


def chat_whole(usage: str) -> bytes:
    message = {"role": "assistant", "content": SAID}
    choice = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choice})
    return _json(f'{body[:-1]}, "usage": {usage}}}')


def chat_stream(usage: str) -> bytes:
    def chunk(choices: Any) -> str:
        said = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
        return json.dumps(said)

    said = chunk([{"index": 0, "delta": {"role": "assistant", "content": SAID}, "finish_reason": None}])
    over = chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return _events(said, over, f'{chunk([])[:-1]}, "usage": {usage}}}', "[DONE]")


def messages_whole(usage: str) -> bytes:
    body = json.dumps({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": SAID}],
    })  # fmt: skip
    return _json(f'{body[:-1]}, "usage": {usage}}}')


def messages_stream(usage: str) -> bytes:
    message: dict[str, object] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None
    }  # fmt: skip
    begun = f'{json.dumps(message)[:-1]}, "usage": {usage}}}'
    return _events(
        f'{{"type": "message_start", "message": {begun}}}',
        '{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}',
        json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAID}}),
        '{"type": "content_block_stop", "index": 0}',
        f'{{"type": "message_delta", "delta": {{"stop_reason": "end_turn", "stop_sequence": null}}, "usage": {usage}}}',
        '{"type": "message_stop"}',
    )


def vectors(usage: str) -> bytes:
    data = '[{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]'
    return _json(f'{{"object": "list", "data": {data}, "model": "m", "usage": {usage}}}')


def _json(body: str) -> bytes:
    data = body.encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)


def _events(*said: str) -> bytes:
    data = "".join(
        f"event: {json.loads(each)['type']}\ndata: {each}\n\n" if '"type": "m' in each[:12] or '"type": "c' in each[:12]
        else f"data: {each}\n\n"
        for each in said
    ).encode()  # fmt: skip
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)


SHAPES = {
    "chat": ("up", chat_whole, False),
    "chat, streamed": ("up", chat_stream, True),
    "messages": ("ant", messages_whole, False),
    "messages, streamed": ("ant", messages_stream, True),
}


def rows(folder: Path, kind: str, usages: Sequence[str], inbound: str) -> list[Any]:
    """What is booked of calls to a provider that tells one of these each time."""
    provider, say, stream = SHAPES[kind]

    async def main(loop: SimLoop) -> list[Any]:
        config = load_config(
            {
                "auth": "open",
                "providers": {
                    "up": {"kind": "openai", "base_url": "http://127.0.0.1:9000/v1", "api_key": "none"},
                    "ant": {"kind": "anthropic", "base_url": "http://127.0.0.1:9000", "api_key": "none"},
                },
                "prices": {"up/*": PRICES, "ant/*": PRICES},
                "state": f"sqlite:///{folder}/p.db",
            },
            {},
        )
        upstream = ScriptedUpstream(*(say(usage) for usage in usages), clock=loop.clock)
        await loop.create_server(upstream.connection, "127.0.0.1", 9000)
        books = open_books(config, loop.clock, SeededRandom(1), inline=True)
        assert books is not None
        async with Fleet(loop, config, workers=1, books=books) as fleet:
            for usage in usages:
                caller = await Caller.connect(fleet.addresses[0])
                body = {"model": f"{provider}/m", "messages": [{"role": "user", "content": PROMPT}], "stream": stream}
                answer = await caller.post({**body, "max_tokens": 900}, inbound)
                caller.close()
                assert answer.status == 200, (usage, answer.body)
                assert SAID[:50].encode() in answer.body, usage
            await loop.clock.sleep(1.0)
            return books.database.run_here(lambda connection: connection.execute(QUERY).fetchall())

    return run(main)


@pytest.mark.parametrize("inbound", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("kind", SHAPES)
def test_what_cannot_be_is_booked_as_what_is_plausible(tmp_path: Path, kind: str, inbound: str) -> None:
    usages = ANTHROPIC_WHOLE if "messages" in kind else OPENAI_WHOLE
    found = rows(tmp_path, kind, usages, inbound)
    assert len(found) == len(usages)
    wrong = [
        (usage, row)
        for usage, row in zip(usages, found, strict=True)
        if not (
            100 <= row[0] <= MOST_INPUT
            and 20 <= row[1] <= MOST_OUTPUT
            and row[2] <= row[0]
            and row[3] == row[0] * 1_000 + row[1] * 10_000
            and row[4] & (ESTIMATED | ABSURD)
            and row[5] == "ok"
        )
    ]
    assert not wrong, "\n".join(f"{u}  ->  {r}" for u, r in wrong)


@pytest.mark.parametrize("kind", ["chat", "chat, streamed"])
def test_a_part_that_cannot_be_leaves_the_count_and_is_never_more_than_it(tmp_path: Path, kind: str) -> None:
    usages = [part % count for part in PARTS for count in [*WILD, "501", "61"]]
    found = rows(tmp_path, kind, usages, "/v1/chat/completions")
    wrong = [
        (usage, row)
        for usage, row in zip(usages, found, strict=True)
        if not (row[:2] == (500, 60) and 0 <= row[2] <= 500 and 0 < row[3] <= 500 * 1_000 + 60 * 10_000)
    ]
    assert not wrong, "\n".join(f"{u}  ->  {r}" for u, r in wrong)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_count_in_quotes_is_one(tmp_path: Path, kind: str) -> None:
    names = ("input_tokens", "output_tokens") if "messages" in kind else ("prompt_tokens", "completion_tokens")
    usage = '{"%s": "500", "%s": "60"}' % names  # noqa: UP031 -- braces
    assert [row[:2] + row[4:] for row in rows(tmp_path, kind, [usage], "/v1/messages")] == [(500, 60, 0, "ok")]
