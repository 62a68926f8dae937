"""The catalogue: one `.toml` row per kind of provider, saying where it lives and how it is spoken to.

A new OpenAI-like provider is a new file in `catalogue/`, no code. Nothing here is about a user's own settings; a row
that a user writes beside the config file is read by `config/kinds.py` and held to the same rules (`check_row`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from penstock.providers.auth import SCHEMES, Scheme
from penstock.providers.quirks import QUIRKS
from penstock.wire.dialects import DIALECTS

__all__ = ["Headers", "Quirk", "Row", "Versioned", "check_row", "load_catalogue"]

# Say whose account pays, or who calls; they never pass.
_PRIVATE = frozenset(
    (
        "cookie", "set-cookie", "host", "proxy-authorization", "openai-organization", "openai-project",
        "anthropic-organization-id", "x-hf-bill-to", "request-id", "x-request-id",
        *(place[0] for place in SCHEMES.values() if place is not None),
    )
)  # fmt: skip
_HEADER = re.compile(r"[a-z0-9-]+")
_NAME = re.compile(r"[^\x00-\x20\x7f/]{1,200}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Headers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lower-case names of the headers that pass: a caller's on their way up, the provider's on their way down.

    Attributes:
        defaults: the value of a header in `up` that the caller did not send, where the provider demands one.
    """

    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    defaults: dict[str, str] = {}


class Quirk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A difference from the dialect, by its name in `providers/quirks.py`, and who says that it is one.

    Attributes:
        models: patterns of the models that alone have it; empty: all of the vendor's.
    """

    name: str
    source: str
    models: tuple[str, ...] = ()


class Versioned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is asked where the configuration names an `api_version`.

    Attributes:
        path: what its base URL ends with then, instead of `version_path`; `{model}` stands for the model asked for.
        query: the name of the query parameter that holds the version.
        default: the version to name where the configuration names none; "" asks without one.
    """

    path: str
    query: str = "api-version"
    default: str = ""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of provider.

    Attributes:
        name: the kind, as in `kind:`.
        source: the vendor's page that says so.
        url: the base URL, without a slash at its end; "" where each account has its own, and for one in this process.
        url_form: how the base URL looks that a user has to write, where each account has its own.
        in_process: it runs inside Penstock: no URL, no credential, no TLS.
        dialects: how it can be spoken to.
        auth: how its credential is sent.
        env: the variable that holds its credential; "" where it needs none unless told otherwise.
        switches_on: whether that variable switches it on in the built-in default; not where it serves other ends too.
        models: models it is known to have; empty where that is not known.
        elsewhere: a regular expression for names in its table that are not for `url`: of another address, or cut short.
        headers: what passes besides content-type.
        version_path: what its base URL ends with; added to a user's `base_url` that does not, where the vendor's own
            clients add it to theirs.
        versioned: its older form, with a dated version in the query; None where it has none.
        quirks: what it does not take of its dialects.
        earlier_thinking: what it calls the thinking of an earlier turn that it is told again; "" where it takes none.
            Only for what is translated: a caller of its own dialect says it or does not.
        continues: it goes on with an answer whose beginning stands last in the conversation; of those of its models
            that are known not to, the table of models says so. What refuses it is asked for the whole answer.
        continued_by: the field of that message which says so, `true`; "" where none is needed.
        billed: what is paid for a stream that is closed before its end: the input, what was said until then, or the
            whole answer all the same, which also holds where nobody says.
        retired: since when there is no such service, and who says so.
    """

    name: str
    source: str = ""
    url: str = ""
    url_form: str = ""
    in_process: bool = False
    dialects: tuple[str, ...]
    auth: Scheme = "bearer"
    env: str = ""
    switches_on: bool = True
    models: tuple[str, ...] = ()
    elsewhere: str = ""
    headers: Headers = Headers()
    version_path: str = ""
    versioned: Versioned | None = None
    quirks: tuple[Quirk, ...] = ()
    earlier_thinking: Literal["", "reasoning", "reasoning_content"] = ""
    continues: bool = False
    continued_by: str = ""
    billed: Literal["input", "until_close", "full"] = "full"
    retired: str = ""

    @property
    def by_default(self) -> bool:
        """Whether the variable that holds its credential is enough to use it."""
        return bool(self.url and self.env and self.switches_on and not self.retired)

    def sells(self, model: str) -> bool:
        """Whether a model in its table is to be had by that name at `url`."""
        return not self.elsewhere or re.fullmatch(self.elsewhere, model.lower()) is None

    @property
    def by_deployment(self) -> bool:
        """Whether it is asked for a user's own deployment, which no list of its models has."""
        return self.versioned is not None and "{model}" in self.versioned.path

    @property
    def family(self) -> str:
        """Whose table of model facts holds for it: most serve others' models, and say it as OpenAI does."""
        if self.in_process:
            return self.name
        return "anthropic" if "anthropic_messages" in self.dialects else "openai"


@cache
def load_catalogue() -> Mapping[str, Row]:
    """Every row by name, in the order of the names; read once."""
    folder = resources.files("penstock.providers").joinpath("catalogue")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    rows = [msgspec.convert(tomllib.loads(entry.read_text("utf-8")), Row) for entry in files]
    return MappingProxyType({row.name: row for row in rows})


# --- the rules a row is held to


def check_row(row: Row) -> Iterator[tuple[str, str]]:
    """What is wrong with a row: the key it stands under, and why."""
    if not _NAME.fullmatch(row.name):
        yield "name", "a kind's name has no slash and no space"
    if not row.dialects:
        yield "dialects", f"dialects is empty: write some of {', '.join(DIALECTS)}"
    for dialect in row.dialects:
        if dialect not in DIALECTS:
            yield "dialects", f'"{dialect}" is no dialect that providers speak: {", ".join(DIALECTS)}'
    if row.env and not _VARIABLE.fullmatch(row.env):
        yield "env", "env is the name of a variable, such as ACME_API_KEY"
    if row.env and row.auth == "none":
        yield "env", "env names a credential, and auth: none sends none"
    for quirk in row.quirks:
        if quirk.name not in QUIRKS:
            yield "quirks", f'"{quirk.name}" is no quirk: {", ".join(QUIRKS)}'
        elif not quirk.source:
            yield "quirks", f'"{quirk.name}" has no source'
    try:
        re.compile(row.elsewhere)
    except re.error as error:
        yield "elsewhere", f"elsewhere is no regular expression: {error}"
    if row.continued_by and not row.continues:
        yield "continued_by", "continued_by says how an answer is gone on with: write continues = true, too"
    yield from _check_urls(row)
    yield from _check_headers(row.headers)


def _check_urls(row: Row) -> Iterator[tuple[str, str]]:
    written = [(key, url) for key, url in (("url", row.url), ("url_form", row.url_form)) if url]
    if row.in_process or row.retired:
        return
    if len(written) != 1:
        yield "url", "write url, or url_form where each account has an address of its own"
    for key, url in written:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or url.endswith("/") or "@" in parts.netloc:
            yield key, f"{key} is a URL without a slash at its end, such as https://api.example.com/v1"
        elif parts.query or parts.fragment:
            yield key, f"{key} has a query or a fragment: leave it out"
    if row.url and not row.url.endswith(row.version_path):
        yield "version_path", "url does not end with version_path"
    for key, path in (("version_path", row.version_path), ("versioned", row.versioned.path if row.versioned else "")):
        if path and (not path.startswith("/") or path.endswith("/") or "?" in path):
            yield key, f"{key} is a path such as /v1"


def _check_headers(headers: Headers) -> Iterator[tuple[str, str]]:
    for name in (*headers.up, *headers.down):
        if not _HEADER.fullmatch(name):
            yield "headers", f'"{name}" is no header in small letters'
        elif name in _PRIVATE:
            yield "headers", f'"{name}" never passes: it says who calls, or whose account pays'
        elif "ratelimit" in name:
            yield "headers", f'"{name}" never passes: callers are told of the limits that hold here'
    for name, value in headers.defaults.items():
        if name not in headers.up:
            yield "headers", f'the default of "{name}" is for a header that is not in up'
        if not value or not value.isascii() or not value.isprintable():
            yield "headers", f'the default of "{name}" is no text that a header can hold'
