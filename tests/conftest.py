"""For all tests: how many examples a property has, and what a look for garbage goes through."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

# Others at each run, so that many runs see many; `make soak` sees millions at once. Nothing here is timed. In CI they
# are the same each time: what turns it red is then the change.
settings.register_profile(
    "some", max_examples=50, deadline=None, derandomize=os.environ.get("PENSTOCK_EXAMPLES") == "same"
)


class Kept:
    """Sets aside, before each file's first test, what there is: a look at it all takes a second by the last of them."""

    def __init__(self) -> None:
        self._file: Path | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.path != self._file:
            self._file = item.path
            gc.collect()
            gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("some")
    gc.set_threshold(50_000, 20, 50)  # the ordinary 700 is a tenth of the time that goes into trees
    config.pluginmanager.register(Kept())
