"""The catalogue is valid: each row says what it must, and none switches on by a general token."""

from __future__ import annotations

from importlib import resources

import pytest

from penstock.providers.catalogue import Row, load_catalogue

ROWS = list(load_catalogue().values())


def test_rows_are_named_as_their_files() -> None:
    folder = resources.files("penstock.providers").joinpath("catalogue")
    assert sorted(f"{name}.toml" for name in load_catalogue()) == sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_says_what_it_must(row: Row) -> None:
    assert row.dialects
    assert not row.url.endswith("/")
    assert row.in_process or row.url.startswith("https://")
    assert (row.auth == "none") == (not row.env)
    assert row.env not in ("GITHUB_TOKEN", "GH_TOKEN", "TOKEN", "API_KEY")
    for name in (*row.headers.up, *row.headers.down):
        assert name == name.lower()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_default_is_for_a_header_that_passes(row: Row) -> None:
    assert set(row.headers.defaults) <= set(row.headers.up)
    assert all(row.headers.defaults.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_url_ends_with_its_version(row: Row) -> None:
    assert row.url.endswith(row.version_path)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_no_row_passes_credentials_cookies_or_accounts(row: Row) -> None:
    forbidden = {
        "authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "cookie",
        "set-cookie",
        "openai-organization",
        "openai-project",
        "anthropic-organization-id",
        "request-id",
        "x-request-id",
    }
    assert not forbidden & {*row.headers.up, *row.headers.down}


def test_it_is_read_once() -> None:
    assert load_catalogue() is load_catalogue()
