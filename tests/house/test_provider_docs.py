"""docs/providers.md is what the catalogue says, and what it tells to write is right."""

from __future__ import annotations

import re
import tomllib

import msgspec

from penstock.config.load import load_config
from penstock.config.yaml_file import read_yaml
from penstock.providers.catalogue import Row, check_row, load_catalogue
from penstock.providers.quirks import QUIRKS
from scripts import providers
from tests.house.trees import ROOT


def test_the_page_is_current() -> None:
    for name, text in providers.draw().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_every_kind_and_quirk_is_on_it() -> None:
    page = providers.draw()["providers.md"]
    assert all(f"| `{name}` |" in page for name in load_catalogue() if name != "sim")
    assert set(providers.MEANINGS) == set(QUIRKS)
    assert all(quirk.source in page for row in load_catalogue().values() for quirk in row.quirks)


def test_its_configuration_is_one() -> None:
    page = providers.draw()["providers.md"]
    (written,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    env = {"MISTRAL_API_KEY": "1", "SPARE_KEY": "2", "AZURE_OPENAI_API_KEY": "3"}
    config = load_config(read_yaml(f"auth: open\n{written}".encode(), "p.yaml"), env)
    assert [provider.kind for provider in config.providers.values()] == ["mistral", "mistral", "vllm", "azure"]


def test_the_example_is_a_good_row() -> None:
    row = msgspec.convert(tomllib.loads(providers.EXAMPLE), Row)
    assert list(check_row(row)) == []
    assert row.by_default
