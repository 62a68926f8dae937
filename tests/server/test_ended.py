"""What a worker tells of requests that are over: all of few, of many the newest, the slowest and those gone wrong."""

from __future__ import annotations

import json

import pytest

from penstock.lines import encode_lines
from penstock.records import Attempt, Record
from penstock.server.ended import LONGEST, MOST, MOST_BYTES, MOST_WRONG, Ended, as_they_stand

BATCH = 256


def record(number: int, took: float = 1.0, error: str | None = None) -> Record:
    made = Record(f"{number:06d}", "chat", 100.0, 1_700_000_000.0)
    made.ended, made.error = 100.0 + took, error
    return made


def numbers(told: list[tuple[str, bytes]]) -> list[int]:
    assert all(json.loads(line)["id"] == id for id, line in told)
    return [int(id) for id, _ in told]


def test_few_are_all_told_once_and_the_log_gets_the_same() -> None:
    ended = Ended()
    records = [record(number) for number in range(5)]
    assert ended.encode(records) == encode_lines(records)
    taken = ended.take()
    assert taken is not None
    assert (numbers(taken.requests), taken.wrong) == ([0, 1, 2, 3, 4], [])
    assert ended.take() is None


def gone_wrong() -> list[Record]:
    failed, cut, retried, degraded, fine = (record(number) for number in range(5))
    failed.error, cut.stream_error, degraded.degraded = "unavailable", "stream_interrupted", True
    retried.attempts = [Attempt("a/m", 100.0, 100.0), Attempt("a/m", 100.0, 100.0)]
    fine.attempts = [Attempt("a/m", 100.0, 100.0)]
    return [failed, cut, retried, degraded, fine]


def test_what_went_wrong_is_marked() -> None:
    ended = Ended()
    ended.encode(gone_wrong())
    taken = ended.take()
    assert taken is not None
    assert (numbers(taken.requests), numbers(taken.wrong)) == ([0, 1, 2, 3, 4], [0, 1, 2, 3])


def test_of_many_the_newest_the_slowest_and_the_failed_are_told() -> None:
    ended = Ended()
    many = [record(number) for number in range(20 * BATCH)]
    many[7].error = "unavailable"
    many[3000].ended += 60
    for start in range(0, len(many), BATCH):
        ended.encode(many[start : start + BATCH])
    taken = ended.take()
    assert taken is not None
    assert numbers(taken.requests) == list(range(len(many) - MOST, len(many)))
    assert {7, 3000} <= set(numbers(taken.wrong))
    assert len(taken.wrong) <= 1 + 20


def test_an_outage_does_not_fill_the_channel() -> None:
    ended = Ended()
    for start in range(0, 40 * BATCH, BATCH):
        ended.encode([record(start + at, error="unavailable") for at in range(BATCH)])
    taken = ended.take()
    assert taken is not None
    assert (len(taken.requests), len(taken.wrong)) == (MOST, MOST_WRONG)


@pytest.mark.parametrize(("length", "told"), [(LONGEST * 2, 0), (LONGEST // 2, 1)])
def test_a_line_that_a_caller_made_long_stays_in_the_log(length: int, told: int) -> None:
    ended = Ended()
    long = record(1)
    long.model = "m" * length
    assert len(ended.encode([long])) > length
    taken = ended.take()
    assert taken is not None
    assert len(taken.requests) == told


def test_all_together_are_bounded() -> None:
    ended = Ended()
    for number in range(2 * MOST_BYTES // LONGEST):
        long = record(number, error="unavailable")
        long.model = "m" * (LONGEST - 500)
        ended.encode([long])
    taken = ended.take()
    assert taken is not None
    size = sum(len(line) for _, line in (*taken.requests, *taken.wrong))
    assert MOST_BYTES < size <= MOST_BYTES * 5 // 4
    assert numbers(taken.requests)[-1] == 2 * MOST_BYTES // LONGEST - 1


def test_those_being_answered_are_told_as_they_stand() -> None:
    live = [Record(f"{number:06d}", "chat", 100.0, 1_700_000_000.0) for number in range(5)]
    live[4].attempts.append(Attempt("a/m", 100.5, 100.5))
    told = as_they_stand(live, 2, 102.0)
    assert numbers(told) == [3, 4]
    line = json.loads(told[-1][1])
    assert (line["open"], line["ms"], line["status"]) == (True, 2000.0, 0)
    assert (line["attempts"][0]["outcome"], line["attempts"][0]["ms"]) == ("open", 1500.0)
