"""What `fuzz_on.py` makes up: like what it is made of, never longer than is said, and the same from the same seed."""

from __future__ import annotations

from random import Random

from tests.soak.fuzz_on import made_up
from tests.wire.fuzzed import CORPUS

COUNT = 500


def some(seed: int, longest: int) -> list[bytes]:
    random = Random(seed)
    return [made_up(random, [*CORPUS["streams"], b""], longest) for _ in range(COUNT)]


def test_inputs() -> None:
    found = some(1, 600)
    assert found == some(1, 600)
    assert found != some(2, 600)
    assert len(set(found) - set(CORPUS["streams"])) > 0.8 * COUNT
    assert max(map(len, found)) == 600
    assert sum(b"data:" in data for data in found) > 0.7 * COUNT
