"""The vendors' ratelimit headers."""

from __future__ import annotations

import pytest

from penstock.reservation import Rule
from penstock.wire.limit_headers import limit_lines

REQUESTS = Rule("r", "tenant", "burst", "requests", 600, seconds=60, burst=600)
TOKENS = Rule("t", "tenant", "strict", "tokens", 150_000, seconds=60)
WALL = 1_755_780_059.25  # 2025-08-21T12:40:59.25Z


def read(lines: str) -> dict[str, str]:
    assert lines.endswith("\r\n")
    return dict(line.split(": ") for line in lines.strip().split("\r\n"))


def test_openai() -> None:
    told = [(REQUESTS, 599, 0.1), (TOKENS, 149_984, 360.0)]
    assert read(limit_lines(told, "openai_chat", WALL)) == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert limit_lines(told, "generate", WALL) == limit_lines(told, "openai_embeddings", WALL)


def test_anthropic() -> None:
    told = [(REQUESTS, 599, 0.1), (TOKENS, 149_984, 360.0)]
    assert read(limit_lines(told, "anthropic_messages", WALL)) == {
        "anthropic-ratelimit-requests-limit": "600",
        "anthropic-ratelimit-requests-remaining": "599",
        "anthropic-ratelimit-requests-reset": "2025-08-21T12:41:00Z",
        "anthropic-ratelimit-tokens-limit": "150000",
        "anthropic-ratelimit-tokens-remaining": "149984",
        "anthropic-ratelimit-tokens-reset": "2025-08-21T12:47:00Z",
    }


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3.0, "0ms"), (0.0, "0ms"), (0.0001, "1ms"), (0.0115, "12ms"), (0.9991, "1s"), (1.0, "1s"), (1.5, "1.5s"),
        (59.999, "59.999s"), (60.0, "1m0s"), (61.25, "1m1.25s"), (3600.0, "1h0m0s"),
        (7325.0, "2h2m5s"), (float("inf"), "8760h0m0s"),
    ],
)  # fmt: skip
def test_durations_are_gos_and_never_too_short(seconds: float, said: str) -> None:
    lines = read(limit_lines([(REQUESTS, 5, seconds)], "openai_chat", WALL))
    assert lines["x-ratelimit-reset-requests"] == said


def test_no_more_is_left_than_the_limit_and_no_less_than_nothing() -> None:
    for dialect in ("openai_chat", "anthropic_messages"):
        told = (read(limit_lines([(REQUESTS, left, -1.0)], dialect, WALL)) for left in (9000, -3))
        assert [next(value for name, value in each.items() if "remaining" in name) for each in told] == ["600", "0"]
    lines = read(limit_lines([(REQUESTS, 9000, 0.0)], "anthropic_messages", WALL))
    assert lines["anthropic-ratelimit-requests-remaining"] == "600"


def test_nothing_holds_nothing_is_said() -> None:
    assert limit_lines([], "openai_chat", WALL) == ""
