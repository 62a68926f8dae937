"""Who used what: the same answer from rollups, from attempts, and from counting by hand."""

from __future__ import annotations

import random
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import InvalidRequest
from penstock.stores.attribution import Question, Tally, usage_of
from penstock.stores.bookings import DIMENSIONS, Measures
from penstock.stores.ledger import Ledger
from penstock.stores.rows import ABSURD, AMBIGUOUS, ESTIMATED, qualified
from tests.stores.journals import DAY, Story, closed, ledger_of, opened, run

One = tuple[Any, Any]


def some(count: int, seed: int) -> list[One]:
    """Attempts of two days, some without this, some without that."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        tags = tuple((name, chance.choice("xy")) for name in ("feature", "team") if chance.random() < 0.5)
        more = {
            "tenant": chance.choice(["acme", "bigco", None]),
            "project": chance.choice(["web", "app", None]),
            "key": chance.choice(["k1", "k2", None]),
            "user": chance.choice(["u1", "u2", "u3", None]),
            "task": chance.choice(["chat", None]),
            "prompt": chance.choice(["p@1", "p@2", None]),
            "tags": tags,
            "model": chance.choice(["fast", "smart"]),
            "provider": chance.choice(["a", "b"]),
        }
        at = DAY + chance.randrange(2 * 86400) + chance.random()
        begin = opened(str(number), chance.choice([1, 1, 2]), at, winner_pays=chance.random() < 0.3, **more)
        end = closed(
            str(number),
            begin.number,
            at + 1,
            outcome=chance.choice(["ok", "ok", "cancelled", "upstream_timeout"]),
            answered=chance.random() < 0.7,
            cost=chance.choice([None, 0, 10, 1000]),
            flags=chance.choice([0, 0, ESTIMATED, AMBIGUOUS | ESTIMATED, ABSURD]),
            output_tokens=chance.randrange(100),
        )
        found.append((begin, end))
    return found


@pytest.fixture(scope="module")
def attempts() -> list[One]:
    return some(600, 7)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory, attempts: list[One]) -> Ledger:
    folder = tmp_path_factory.mktemp("ledger")
    ledger, story = ledger_of(folder), Story(folder)
    for begin, end in attempts:
        story.journal.open(begin)
        story.journal.close(end)
    run(ledger.fold())
    return ledger


def values(begin: Any, name: str) -> list[str]:
    if name == "tag":
        return [f"{begin.tenant or '-'}/{one}={value}" for one, value in begin.tags]
    value = getattr(begin, name)
    return [qualified(begin.tenant, value) if name in ("project", "user", "task") else value or "-"]


def by_hand(attempts: list[One], question: Question) -> list[Tally]:
    found: dict[tuple[tuple[str, ...], int], list[Measures]] = {}
    for begin, end in attempts:
        if not question.since <= begin.at / 1e9 < question.until:
            continue
        if any(value not in values(begin, name) for name, value in question.where.items()):
            continue
        combined: list[tuple[str, ...]] = [()]
        for name in question.by:
            combined = [(*before, value) for before in combined for value in values(begin, name)]
        second = begin.at // 10**9
        at = second - second % question.step if question.step else 0
        charge = 0 if begin.winner_pays and not end.answered else end.cost
        flags = end.flags
        measures = Measures(
            *(1, int(begin.number == 1), int(end.outcome == "upstream_timeout"), int(end.answered)),
            *(end.input_tokens, end.output_tokens, 0, 0, 0, end.cost or 0, charge or 0, int(end.cost is None)),
            *(int(bool(flags & ESTIMATED)), int(bool(flags & AMBIGUOUS)), int(bool(flags & ABSURD)), 0),
        )
        for each in combined:
            found.setdefault((each, at), []).append(measures)
    tallies = [
        Tally(each, at, Measures(*map(sum, zip(*several, strict=True)))) for (each, at), several in found.items()
    ]
    return sorted(tallies, key=lambda tally: (tally.at, -tally.measures.cost, tally.values))


# Of all, of a part of the last day up to its last attempt and beyond, and of a part of an hour and of a quarter of one.
TIMES = [
    (0.0, 9e9),
    (DAY + 5.0, DAY + 100_000.5),
    (DAY + 1000.25, DAY + 1100.75),
    (DAY + 100_000.0, DAY + 172_790.0),
    (DAY + 900.0, DAY + 1800.0),
]


@pytest.mark.parametrize(("since", "until"), TIMES)
@pytest.mark.parametrize("by", [(), *((name,) for name in DIMENSIONS)])
@pytest.mark.parametrize("step", [0, 3600, 86400])
def test_one_dimension(
    ledger: Ledger, attempts: list[One], by: tuple[str, ...], since: float, until: float, step: int
) -> None:
    question = Question(by, since, until, step=step)
    assert run(ledger.usage(question)) == by_hand(attempts, question)


@pytest.mark.parametrize("since", [DAY - 900.0, DAY + 900.0, DAY + 86_400.0])
def test_from_a_quarter_of_an_hour_up_to_now_sums_alone_are_read(
    ledger: Ledger, attempts: list[One], since: float
) -> None:
    """So it takes no longer where there are more attempts: their index, too, is deeper then."""
    asked: list[str] = []
    question = Question(("model",), since)

    def traced(connection: sqlite3.Connection) -> list[Tally]:
        connection.set_trace_callback(asked.append)
        try:
            return usage_of(connection, question)
        finally:
            connection.set_trace_callback(None)

    assert run(ledger.database.read(traced)) == by_hand(attempts, question)
    assert any("FROM rollups" in each for each in asked)
    assert not [each for each in asked if "FROM attempts" in each or "FROM attributed" in each]


@pytest.mark.parametrize("by", [(), *((name,) for name in DIMENSIONS)])
@pytest.mark.parametrize(
    "where",
    [
        *({"tenant": "acme"}, {"tenant": "-"}, {"tenant": "nobody"}, {"user": "acme/u1"}, {"model": "fast"}),
        *({"tag": "acme/feature=x"}, {"tenant": "bigco", "model": "smart"}, {"key": "-", "task": "-/chat"}),
    ],
)
def test_one_dimension_of_a_part(
    ledger: Ledger, attempts: list[One], by: tuple[str, ...], where: dict[str, str]
) -> None:
    question = Question(by, DAY + 5.0, DAY + 100_000.5, where)
    assert run(ledger.usage(question)) == by_hand(attempts, question)


@pytest.mark.parametrize("pair", [*pairwise(DIMENSIONS), ("tag", "user", "model"), ("model", "model")])
def test_several_dimensions(ledger: Ledger, attempts: list[One], pair: tuple[str, ...]) -> None:
    question = Question(pair, DAY + 5.0, DAY + 100_000.5, {"provider": "a"}, step=86400)
    assert run(ledger.usage(question)) == by_hand(attempts, question)


def test_a_dimension_that_is_none_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="by 'modle'") as caught:
        run(ledger.usage(Question(("modle",))))
    assert "model" in caught.value.do
    with pytest.raises(InvalidRequest, match="by 'colour'"):
        run(ledger.usage(Question(where={"colour": "red"})))


@pytest.mark.parametrize("step", [-900, 1, 1000])
def test_a_step_that_is_none_is_refused(ledger: Ledger, step: int) -> None:
    with pytest.raises(InvalidRequest, match="a step of"):
        run(ledger.usage(Question(step=step)))


def test_a_value_is_only_ever_a_value(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a", tenant="acme")
    run(ledger.fold())
    for word in ("' OR 1=1 --", "%", "acme' UNION SELECT 1", "\x00", "a" * 10_000):
        for name in DIMENSIONS:
            assert run(ledger.usage(Question(("model", "key"), where={name: word}))) == []
            assert run(ledger.usage(Question(("model",), where={name: word}))) == []
