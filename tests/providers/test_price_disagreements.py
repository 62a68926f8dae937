"""The table of prices beside a second source: every figure in which they differ is known, and why is written down.

The list is price_disagreements.toml. An entry counts the figures it covers, so that a new difference, or one that is
gone, is noticed when either source is brought up to date; `python -m scripts.price_report` prints them all.
"""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scripts.price_report import Difference, compared, differences

KNOWN: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("price_disagreements.toml").read_text("utf-8"))[
    "known"
]
FOUND = list(differences())


def covers(entry: dict[str, Any], difference: Difference) -> bool:
    fits = fnmatchcase(difference.model, entry["models"]) and fnmatchcase(difference.unit, entry["units"])
    return difference.kind == entry["kind"] and fits and (difference.ours is None) is entry.get("missing", False)


def test_every_difference_is_known_and_every_known_one_is_there() -> None:
    left = list(FOUND)
    for entry in KNOWN:
        covered = [difference for difference in left if covers(entry, difference)]
        told = "\n".join(map(str, covered))
        assert len(covered) == entry["figures"], f"{entry} covers {len(covered)} figures:\n{told}"
        left = [difference for difference in left if difference not in covered]
    assert not left, "not known yet:\n" + "\n".join(map(str, left))


def test_every_reason_is_a_sentence() -> None:
    assert all(len(entry["reason"]) > 40 and entry["reason"].endswith(".") for entry in KNOWN)


def test_enough_is_compared_to_mean_something() -> None:
    models, figures = compared()
    assert models > 500
    assert figures > 3000
    vendors = [difference for difference in FOUND if difference.ours is not None]
    # The vendors' own models: what most calls go to.
    assert sum(difference.kind in ("openai", "anthropic", "gemini", "cohere") for difference in vendors) < 50
