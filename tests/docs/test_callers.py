"""docs/callers.md names every header there is, and who may send it."""

from __future__ import annotations

import re

from penstock.routing.wishes import HEADERS, read_wishes
from tests.house.trees import ROOT


def test_every_header_has_its_row() -> None:
    page = (ROOT / "docs" / "callers.md").read_text()
    rows = re.findall(r"^\| `(x-penstock-([\w-]+)): ([^`]+)` \| `(\w+)=.*\| (.+) \|$", page, re.MULTILINE)
    assert [row[0].encode() for row in rows] == list(HEADERS)
    for _, dashed, example, argument, who in rows:
        name = dashed.replace("-", "_")
        assert argument == name
        wished = read_wishes({name: example})
        assert (who == "`overrides: allowed`") is bool(wished.overrides)
