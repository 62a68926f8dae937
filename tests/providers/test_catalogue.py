"""The catalogue is valid: each row says what it must, with a source, and none switches on by a general token."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from urllib.parse import urlsplit

import msgspec
import pytest

from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.providers.catalogue import Headers, Quirk, Row, Versioned, check_row, load_catalogue
from penstock.providers.facts import facts_of
from penstock.providers.quirks import QUIRKS
from penstock.testing import FakeClock, SeededRandom

ROWS = list(load_catalogue().values())
# Serve other ends too, so that they are there where nobody wants to pay for answers.
GENERAL = {"GITHUB_TOKEN", "GH_TOKEN", "HF_TOKEN", "CLOUDFLARE_API_TOKEN", "TOKEN", "API_KEY", "GOOGLE_API_KEY"}
LOCAL = {"ollama", "vllm", "lmstudio", "llama.cpp"}
PROMISED = {
    "openai", "anthropic", "azure", "mistral", "groq", "deepseek", "xai", "openrouter", "together", "fireworks",
    "cerebras", "perplexity", "nvidia", "huggingface", "moonshot", "zai", "alibaba", "crusoe", "snowflake", "github",
    "cohere", "gemini", "bedrock", "gpustack", "sim", *LOCAL,
}  # fmt: skip


def test_rows_are_named_as_their_files() -> None:
    folder = resources.files("penstock.providers").joinpath("catalogue")
    assert sorted(f"{name}.toml" for name in load_catalogue()) == sorted(entry.name for entry in folder.iterdir())


def test_all_that_is_promised_is_there() -> None:
    assert set(load_catalogue()) >= PROMISED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_says_what_it_must(row: Row) -> None:
    assert list(check_row(row)) == []
    assert row.in_process or row.source.startswith("https://")
    assert all(quirk.source.startswith("https://") for quirk in row.quirks)
    assert (row.env == "") == (row.in_process or row.name in LOCAL)
    assert not (row.env in GENERAL and row.by_default)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_credential_goes_over_tls_unless_it_stays_on_this_machine(row: Row) -> None:
    parts = urlsplit(row.url or row.url_form)
    if row.name == "gpustack":  # whoever runs it decides
        assert parts.scheme == "http"
    elif row.name in LOCAL:
        assert (parts.scheme, parts.hostname) == ("http", "127.0.0.1")
    elif not row.in_process and not row.retired:
        assert parts.scheme == "https"


def test_a_variable_switches_on_one_provider() -> None:
    shared = Counter(row.env for row in ROWS if row.by_default)
    assert max(shared.values()) == 1


def test_no_quirk_is_there_for_nobody() -> None:
    assert {quirk.name for row in ROWS for quirk in row.quirks} == set(QUIRKS)


def test_models_of_openais_are_known_wherever_they_are_served() -> None:
    for row in ROWS:
        if "openai_chat" in row.dialects and not row.in_process:
            assert facts_of(row.family, "openai/gpt-5-mini").output_field == "max_completion_tokens"
            assert facts_of(row.family, "meta/llama-3").output_field == "max_tokens"
    assert facts_of(load_catalogue()["anthropic"].family, "claude-opus-5").thinking == "adaptive"
    assert load_catalogue()["sim"].family == "sim"


def test_where_nobody_says_the_most_is_reckoned_with() -> None:
    assert Row(name="x", dialects=("openai_chat",)).billed == "full"


def test_it_is_read_once() -> None:
    assert load_catalogue() is load_catalogue()


GOOD = Row(name="acme", url="https://api.acme.example/v1", dialects=("openai_chat",), env="ACME_API_KEY")


def test_a_good_row() -> None:
    assert list(check_row(GOOD)) == []
    assert GOOD.by_default
    assert not msgspec.structs.replace(GOOD, switches_on=False).by_default
    assert not msgspec.structs.replace(GOOD, retired="gone").by_default


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"name": "a/b"}, "name", "a kind's name has no slash and no space"),
        ({"dialects": ()}, "dialects", "dialects is empty"),
        ({"dialects": ("gemini",)}, "dialects", '"gemini" is no dialect that providers speak: openai_chat'),
        ({"env": "A-B"}, "env", "env is the name of a variable, such as ACME_API_KEY"),
        ({"auth": "none"}, "env", "env names a credential, and auth: none sends none"),
        ({"url": ""}, "url", "write url, or url_form where each account has an address of its own"),
        ({"url_form": "https://NAME.example"}, "url", "write url, or url_form"),
        ({"url": "https://h/v1/"}, "url", "url is a URL without a slash at its end"),
        ({"url": "h/v1"}, "url", "url is a URL without a slash at its end"),
        ({"url": "https://me@h/v1"}, "url", "url is a URL without a slash at its end"),
        ({"url": "https://h/v1?a=1"}, "url", "url has a query or a fragment: leave it out"),
        ({"version_path": "/v2"}, "version_path", "url does not end with version_path"),
        ({"version_path": "v1"}, "version_path", "version_path is a path such as /v1"),
        ({"versioned": Versioned("/x/")}, "versioned", "versioned is a path such as /v1"),
        ({"continued_by": "prefix"}, "continued_by", "continued_by says how an answer is gone on with"),
        ({"quirks": (Quirk("no_sense", "https://x"),)}, "quirks", '"no_sense" is no quirk: no_stream_options, '),
        ({"quirks": (Quirk("no_store", ""),)}, "quirks", '"no_store" has no source'),
        ({"elsewhere": "(a"}, "elsewhere", "elsewhere is no regular expression: missing ), unterminated subpattern"),
        ({"headers": Headers(up=("X-A",))}, "headers", '"X-A" is no header in small letters'),
        ({"headers": Headers(down=("set-cookie",))}, "headers", '"set-cookie" never passes'),
        ({"headers": Headers(up=("authorization",))}, "headers", '"authorization" never passes'),
        ({"headers": Headers(up=("x-api-key",))}, "headers", '"x-api-key" never passes'),
        ({"headers": Headers(up=("api-key",))}, "headers", '"api-key" never passes'),
        ({"headers": Headers(up=("openai-organization",))}, "headers", '"openai-organization" never passes'),
        ({"headers": Headers(down=("x-request-id",))}, "headers", '"x-request-id" never passes'),
        (
            {"headers": Headers(down=("x-ratelimit-limit-tokens",))},
            "headers",
            '"x-ratelimit-limit-tokens" never passes',
        ),
        (
            {"headers": Headers(down=("anthropic-ratelimit-tokens-reset",))},
            "headers",
            '"anthropic-ratelimit-tokens-reset" never passes: callers are told of the limits that hold here',
        ),
        ({"headers": Headers(defaults={"x-a": "1"})}, "headers", 'the default of "x-a" is for a header that is not in'),
        ({"headers": Headers(("x-a",), (), {"x-a": "1\r\nx: 2"})}, "headers", 'the default of "x-a" is no text'),
        ({"headers": Headers(("x-a",), (), {"x-a": ""})}, "headers", 'the default of "x-a" is no text'),
    ],
)
def test_what_is_wrong_with_a_row(changes: dict[str, object], key: str, message: str) -> None:
    row = msgspec.structs.replace(GOOD, **changes)
    found = list(check_row(row))
    assert any(place == key and text.startswith(message) for place, text in found), found


@pytest.mark.parametrize(
    ("target", "continues", "by"),
    [
        ("anthropic/claude-haiku-4-5", True, ""),
        ("anthropic/claude-sonnet-4-6", False, ""),
        ("anthropic/claude-opus-5-5", False, ""),
        ("mistral/mistral-large-latest", True, "prefix"),
        ("openai/gpt-5-mini", False, ""),
    ],
)
def test_who_goes_on_with_an_answer(target: str, continues: bool, by: str) -> None:
    named = {name: {"api_key": "none"} for name in ("anthropic", "mistral", "openai")}
    config = load_config({"auth": "open", "providers": named, "models": {"m": {"targets": [target]}}}, {})
    gateway = Gateway(config, FakeClock(), SeededRandom(0))
    (deployment,) = gateway.deployments
    assert (deployment.facts.continues, deployment.facts.continued_by) == (continues, by)
