"""docs/dialects.md is what the code does."""

from __future__ import annotations

from penstock.wire.dialects import CALLERS
from penstock.wire.translation import FEATURES
from scripts import dialects
from tests.house.trees import ROOT


def test_the_page_is_current() -> None:
    for name, text in dialects.draw().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_every_feature_and_caller_is_on_it() -> None:
    page = dialects.draw()["dialects.md"]
    assert all(f"| {feature.text} |" in page for feature in FEATURES.values())
    assert all(dialects.NAMES[caller] in page for caller in CALLERS)


def test_another_outcome_changes_the_page() -> None:
    measured = dialects.Measured({}, refused="n", dropped=["seed"], clamped=["stop"])
    assert measured.fate("seed") == "refused"
    carried = measured._replace(refused="")
    assert [carried.fate(name) for name in ("seed", "stop", "model")] == ["dropped", "clamped", "carried"]
