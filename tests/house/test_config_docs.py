"""docs/config.md is what the loader reads by."""

from __future__ import annotations

import re

from penstock.config.keys import KEYS
from scripts import config_reference
from tests.house.trees import ROOT


def test_the_page_is_current() -> None:
    for name, text in config_reference.draw().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_every_key_is_on_it_and_every_link_leads_somewhere() -> None:
    page = config_reference.draw()["config.md"]
    assert all(page.count(f"| `{key}` | ") for entries in KEYS.values() for key in entries)
    headings = {
        re.sub(r"[^a-z0-9_ -]", "", line.lower().removeprefix("## ")).replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#(.*?)\)", page)) <= headings
