"""wire/weight: as many values as there are, whatever the texts among them look like; and linear readers beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import TooLarge
from penstock.wire.anthropic_messages import AnthropicMessages
from penstock.wire.dialect import ModelFacts
from penstock.wire.dialects import CALLERS, CHAT
from penstock.wire.weight import MAX_VALUES, check_weight
from tests.security.bombs import bomb

TRICKY = st.sampled_from(['","', "[[[", "{{", '\\"', "\\", '"', "\\\\", ",", "", "é", "a"])
JSON = st.recursive(
    st.none() | st.integers() | TRICKY | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TRICKY | st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


def values_in(value: Any) -> int:
    """Values, and names of fields."""
    if isinstance(value, dict):
        return 1 + sum(1 + values_in(inner) for inner in value.values())
    if isinstance(value, list):
        return 1 + sum(map(values_in, value))
    return 1


def passes(value: Any, most: int) -> bool:
    try:
        check_weight([msgspec.Raw(json.dumps(value).encode())], most)
    except TooLarge:
        return False
    return True


@given(JSON)
def test_it_is_refused_between_its_values_and_twice_as_many(value: Any) -> None:
    assert passes(value, 2 * values_in(value) + 1)
    assert values_in(value) < 4 or not passes(value, values_in(value) // 2 - 1)


def test_texts_weigh_nothing_by_their_length() -> None:
    text = 'a,b,[c],{"d": "\\"}, ' * MAX_VALUES
    check_weight([msgspec.Raw(json.dumps({"role": "user", "content": text}).encode())])


def test_what_is_asked_together_is_weighed_together() -> None:
    part = msgspec.Raw(json.dumps([1] * (MAX_VALUES * 2 // 3)).encode())
    check_weight([part])
    with pytest.raises(TooLarge, match="more than 200,000 values"):
        check_weight([part, part])


# What once took time by the square of its size: minutes of it, for these.
SQUARES: dict[str, Callable[[], bytes]] = {
    name: lambda name=name: bomb(name, 600_000, b"m")
    for name in ("fields of a message", "one call", "calls", "calls and results", "results")
} | {
    "fields": lambda: json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "x"}]} | {f"{n:x}": 1 for n in range(25_000)}
    ).encode(),
    "open calls": lambda: json.dumps({
        "model": "m",
        "messages": [
            {"role": "assistant", "tool_calls": [
                {"id": f"c{n}", "function": {"name": f"f{n}", "arguments": "{}"}} for n in range(20_000)
            ]},
            *({"role": "tool", "tool_call_id": f"d{n}", "content": "x"} for n in range(20_000)),
        ],
    }).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", SQUARES)
def test_translation_takes_time_by_the_size(name: str) -> None:
    """In this process's own time, of which a test beside it takes none."""
    body = SQUARES[name]()
    began = time.process_time()
    prompt = CALLERS["openai_chat"].decode_prompt(CALLERS["openai_chat"].decode_request(body).fields)
    CHAT["anthropic_messages"].encode_prompt(prompt, "m", ModelFacts(), lenient=True)
    assert time.process_time() - began < 4


def test_the_other_way_too() -> None:
    body = json.dumps({
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x", f"field{n}": n}]} for n in range(10_000)
        ],
    } | {f"{n:x}": 1 for n in range(20_000)}).encode()  # fmt: skip
    began = time.process_time()
    prompt = AnthropicMessages.decode_prompt(AnthropicMessages().decode_request(body).fields)
    written = CHAT["openai_chat"].encode_prompt(prompt, "m", ModelFacts(), lenient=True)
    assert time.process_time() - began < 4
    assert len(written.dropped) == 30_000
