"""Prints the figures, since a soak that only passes has told half; and beside each test what others took of the
machine meanwhile, since a time that was measured on a busy one is not ours alone."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.soak.figures import FIGURES, tell
from tests.soak.machine import BUSY, Neighbours

_MEANWHILE = pytest.StashKey[Neighbours]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    if item.get_closest_marker("soak"):
        item.stash[_MEANWHILE] = Neighbours()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    meanwhile = item.stash.get(_MEANWHILE, None)
    if call.when == "call" and meanwhile is not None:
        cores = meanwhile.cores()
        taken = f"others took {cores:.2f} of {os.cpu_count()} cores"
        tell(f"    {item.name}: {meanwhile.seconds:.0f} s, {taken}")
        if report.failed and cores > BUSY:
            report.sections.append((
                "this machine was busy",
                f"{taken} while this ran. Where it is a time that was too long, run it again on a quiet machine.",
            ))  # fmt: skip
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for figure in FIGURES:
            terminalreporter.write_line(figure)
