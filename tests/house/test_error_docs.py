"""docs/errors.md is what errors.py says, and errors.py says of every error what it means and what to do."""

from __future__ import annotations

import json

from penstock import errors
from penstock.errors import PenstockError
from penstock.wire.dialects import CALLERS
from scripts import errors as page
from tests.house.trees import ROOT

ROOTS = {"PenstockError", "CallerError", "LimitError", "UpstreamError", "PolicyError"}
KINDS: list[type[PenstockError]] = [getattr(errors, name) for name in errors.__all__ if name not in ROOTS]


def silent(kinds: list[type[PenstockError]]) -> list[str]:
    """Classes that do not say what to do, or only the name again."""
    return [kind.__name__ for kind in kinds if len(page.Told(kind).do) < 20 or len(page.Told(kind).meaning) < 20]


def test_the_page_is_current() -> None:
    for name, text in page.draw().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_every_error_says_what_to_do() -> None:
    assert silent(KINDS) == []


def test_an_error_that_does_not_say_is_found() -> None:
    class Nothing(PenstockError):
        """It says what it means at some length, and not what to do."""

    assert silent([Nothing]) == ["Nothing"]


def test_every_code_has_its_row() -> None:
    drawn = page.draw()["errors.md"]
    codes = {kind.code for kind in KINDS if kind is not errors.ConfigError}
    for code in codes:
        assert drawn.count(f'<a id="{code}"></a>') == 1
    assert drawn.count("<a id=") == len(codes)


def test_every_code_that_callers_read_is_found_on_the_page() -> None:
    drawn = page.draw()["errors.md"]
    for kind in KINDS:
        for dialect in CALLERS.values():
            told = json.loads(dialect.encode_error(kind("x"), "r"))["error"]
            for word in (told.get("code"), (told.get("details") or {}).get("error_code")):
                assert word is None or kind is errors.ConfigError or f"`{word}`" in drawn
