"""The documentation's site: what it leads to is there, and readers see no marks that are for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from scripts.site import plain
from tests.docs.pages import documents, fences
from tests.house.trees import ROOT

MARKS = {"run", "served", "refused", "other", "fresh"}


def pages_in(nav: Any) -> Iterator[str]:
    """The pages a table of contents leads to."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list):
        for item in nav:
            yield from pages_in(item)
    else:
        for item in nav.values():
            yield from pages_in(item)


def test_the_contents_lead_to_pages() -> None:
    pages = list(pages_in(YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert [page for page in pages if not (ROOT / "docs" / page).is_file()] == []
    assert len(pages) == len(set(pages))


def test_marks_are_taken_out() -> None:
    assert plain("```python run\nx\n```") == "```python\nx\n```"
    assert plain('  ```yaml refused title="a.yaml"\n```') == '  ```yaml title="a.yaml"\n```'
    assert plain("```sh\nrun\n```") == "```sh\nrun\n```"


def test_links_out_of_the_docs_become_text() -> None:
    assert plain("see [the rows](../src/penstock) and [this](a.md)") == "see the rows and [this](a.md)"
    assert plain("[a](../a.md) [b](../../b.md)", depth=1) == "[a](../a.md) b"


def test_no_mark_is_left_on_any_page() -> None:
    for path in documents():
        assert not [fence for fence in fences(path.name, plain(path.read_text())) if MARKS & set(fence.words)]
