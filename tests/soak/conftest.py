"""Prints the figures, since a soak that only passes has told half."""

from __future__ import annotations

import pytest

from tests.soak.figures import FIGURES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for figure in FIGURES:
            terminalreporter.write_line(figure)
