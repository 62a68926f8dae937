"""How the tests are shared between two processes (`pytest -n 2 --dist loadgroup`, which `make test` does)."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# Of these some use the ports that a user's gateway has: never two at a time.
ALONE = ("cli", "docs", "examples")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A file's tests stay in one process, and so do all that want a gateway's own ports."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        group = "ports" if room in ALONE else str(item.path.relative_to(TESTS))
        item.add_marker(pytest.mark.xdist_group(group))
