"""A thread beside the loop that only computes."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Iterator
from statistics import median

import pytest

from penstock.clock import SystemClock
from penstock.server.threads import SWITCH_SECONDS, favour_loop

now = SystemClock().monotonic


@pytest.fixture
def computing() -> Iterator[None]:
    """Somebody does, as long as the test lasts."""
    before, over = sys.getswitchinterval(), threading.Event()

    def work() -> None:
        while not over.is_set():
            sum(range(100))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()
    sys.setswitchinterval(before)


def lateness() -> float:
    """By how much the loop's thread is usually late where it waits for a millisecond."""
    late = []
    for _ in range(30):
        began = now()
        select.select([], [], [], 0.001)
        late.append(now() - began - 0.001)
    return median(late)


@pytest.mark.usefixtures("computing")
def test_the_loop_waits_for_no_other_thread_for_long() -> None:
    before = lateness()
    favour_loop()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert before > 0.004
    assert lateness() < before / 2
