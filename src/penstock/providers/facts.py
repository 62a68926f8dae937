"""What is known of a vendor's models: the table `models.toml`, looked up by the beginning of a model's name.

Only what must be known to ask a model at all: its output limit, how it is told to think, what it refuses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import msgspec

from penstock.wire.dialect import ModelFacts

__all__ = ["facts_of"]

_NOBODY_KNOWS = ModelFacts()
# Vendors' names that others put before a model's: `us.anthropic.claude-...` at Bedrock, `ft:gpt-4o:...` at OpenAI.
_BEFORE = ("anthropic.", "openai.", "ft:")


class _Family(ModelFacts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row: the facts, the beginnings of the names they hold for, and where they are from."""

    models: tuple[str, ...]
    source: str


@lru_cache(maxsize=1024)
def facts_of(kind: str, model: str) -> ModelFacts:
    """What is known of a model, by the provider's kind and the vendor's name of the model.

    A vendor's prefix (`anthropic/`, `us.anthropic.`) and what follows the family's name (dates, sizes, `-latest`) do
    not matter. Never raises: what nobody knows has the kind's defaults, or those of `ModelFacts`.
    """
    families = _table().get(kind)
    if families is None:
        return _NOBODY_KNOWS
    name = _plain(model)
    while name not in families:
        # From its end, word by word: the longest beginning that is known.
        name = name[: max((at for at in range(len(name)) if not name[at].isalnum()), default=0)]
    return families[name]


def _plain(model: str) -> str:
    name = model.lower().rpartition("/")[2]
    for vendor in _BEFORE:
        _, found, rest = name.partition(vendor)
        name = rest if found else name
    return name.replace(".", "-")


@cache
def _table() -> Mapping[str, Mapping[str, ModelFacts]]:
    """Facts by kind and beginning of a name; read once. `""` is the beginning of every name."""
    text = resources.files("penstock.providers").joinpath("models.toml").read_text("utf-8")
    return {kind: _families(written) for kind, written in tomllib.loads(text).items()}


def _families(written: Mapping[str, Any]) -> dict[str, ModelFacts]:
    unknown = written["unknown"]
    rows = [msgspec.convert(unknown | {"models": [""], "source": ""}, _Family)]
    known = unknown | written.get("known", {})
    rows += [msgspec.convert(known | row, _Family) for row in written["families"]]
    return {_plain(name): _facts(row) for row in rows for name in row.models}


def _facts(row: _Family) -> ModelFacts:
    return ModelFacts(**{field: getattr(row, field) for field in ModelFacts.__struct_fields__})
