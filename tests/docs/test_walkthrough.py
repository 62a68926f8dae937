"""docs/walkthrough.md, with stand-ins for the vendors: three people set Penstock up, wrong turns and all.

The vendors are a gateway of simulated models that speaks both their APIs and knows one key of each; every provider of
theirs in the page's files is sent there. All else is as the page says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.pages import Reader, fences, is_followed
from tests.end_to_end.process import Served
from tests.house.trees import ROOT

NAME = "docs/walkthrough.md"
VENDORS = """\
providers: {sim: {}}
models:
  gpt-5-mini: {targets: [sim/small]}
  claude-sonnet-4-5: {targets: [sim/large]}
keys:
  - {name: openai, key: "env:OPENAI"}
  - {name: anthropic, key: "env:ANTHROPIC"}
"""
KEYS = {"OPENAI": "sk-proj-4Qm2vT8sX1kR7dLwN9bY3cHf", "ANTHROPIC": "sk-ant-api03-7tG5rE2wQ9zXcVbN"}
# A vendor's provider; what is added stands behind all that the page wrote, so that places in messages are the page's.
PROVIDER = re.compile(r"^( +(?:openai|anthropic): +\{[^}\n]*)\}", re.MULTILINE)


class Walker(Reader):
    """A reader whose vendors are the stand-in."""

    vendors: Served

    def _write(self, name: str, text: str) -> None:
        super()._write(name, self._led(text) if name.endswith(".yaml") else text)

    def _run(self, command: list[str], text: str = "") -> object:  # type: ignore[override]
        done = super()._run(command, text)
        for file in self.folder.glob("*.yaml"):
            file.write_text(self._led(file.read_text()))  # one that a script has written
        return done

    def _led(self, text: str) -> str:
        """With each vendor's provider led to the stand-in."""
        to = f', base_url: "{self.vendors.base_url}"}}'
        return PROVIDER.sub(lambda found: found[0] if "base_url" in found[0] else found[1] + to, text)

    def _there(self, text: str) -> str:
        where = self.vendors.url.removeprefix("http://")
        return super()._there(text).replace(f"{where}: TCP in", "api.openai.com:443: TCP and TLS in")


@pytest.fixture
def walker(tmp_path: Path) -> Iterator[Walker]:
    vendors, home = tmp_path / "vendors", tmp_path / "home"
    vendors.mkdir()
    home.mkdir()
    (vendors / "penstock.yaml").write_text(VENDORS)
    with Served(vendors, env=KEYS) as served, closing(Walker(home)) as made:
        made.vendors = served
        yield made


def test_the_walk(walker: Walker) -> None:
    for fence in filter(is_followed, fences(NAME, (ROOT / NAME).read_text())):
        wrong = walker.follow(fence)
        assert not wrong, wrong
    # It was the stand-in that answered, for both vendors.
    asked = [line for line in walker.vendors.lines if line["status"] == 200]
    assert {line["key"] for line in asked} == {"openai", "anthropic"}


def test_no_key_is_ever_repeated(walker: Walker, capsys: pytest.CaptureFixture[str]) -> None:
    """What the page says is compared with what was said; so it is enough that the page repeats none."""
    page = (ROOT / NAME).read_text()
    said = [line for fence in fences(NAME, page) if fence.language == "console" for line in fence.code.splitlines()]
    for line in said:
        if not line.startswith(("$ ", "> ")):
            assert not any(key in line for key in KEYS.values())
