"""docs/scenario.md is what scenarios are read by."""

from __future__ import annotations

from penstock.testing.simulate.keys import KEYS
from penstock.testing.simulate.scenario import FAULTS
from scripts import scenario_reference
from tests.house.trees import ROOT


def test_the_page_is_current() -> None:
    for name, text in scenario_reference.draw().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_every_key_and_every_fault_is_on_it() -> None:
    page = scenario_reference.draw()["scenario.md"]
    assert KEYS.keys() == scenario_reference.TITLES.keys()
    assert all(page.count(f"| `{key}` | ") for entries in KEYS.values() for key in entries)
    assert all(f"| `{fault}` | " in page for fault in FAULTS)
