"""What is known of a model, in one place: `models.toml`, written by hand, then the compiled table (`models.py`).

By hand is what must be known to ask a model at all: its output limit, how it is told to think, what it refuses. The
compiled table adds sizes where nothing is said there, and what else a model can do, which only informs.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import msgspec
from msgspec import structs

from penstock.providers.models import known
from penstock.wire.dialect import ModelFacts

__all__ = ["abilities_of", "facts_by_hand", "facts_of"]

_NOBODY_KNOWS = ModelFacts(reasons=True)
# Vendors' names that others put before a model's: `us.anthropic.claude-...` at Bedrock, `ft:gpt-4o:...` at OpenAI.
_BEFORE = ("anthropic.", "openai.", "ft:")


class _Family(ModelFacts, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row: the facts, the beginnings of the names they hold for, and where they are from."""

    models: tuple[str, ...]
    source: str


@lru_cache(maxsize=1024)
def facts_of(kind: str, model: str, sold_by: str = "") -> ModelFacts:
    """What is known of a model, by the provider's kind and the vendor's name of the model.

    A vendor's prefix (`anthropic/`, `us.anthropic.`) and what follows the family's name (dates, sizes, `-latest`) do
    not matter. Never raises: what nobody knows has the kind's defaults, or those of `ModelFacts`.

    Args:
        kind: whose models they are like, for how they are asked.
        sold_by: the kind in the compiled table; without it the same.
    """
    facts, row = facts_by_hand(kind, model), known(sold_by or kind, model)
    if row is None:
        return facts
    return structs.replace(
        facts,
        context_window=row.context,
        max_output_tokens=facts.max_output_tokens or row.output,
        reasons="thinking" not in row.cannot.split() and (facts.reasons or "thinking" in row.can.split()),
    )


@lru_cache(maxsize=1024)
def abilities_of(kind: str, model: str) -> dict[str, bool]:
    """What a model can and cannot do, by the words of `models.CAPABILITIES`; of what is not there nobody knows.

    What is written by hand goes before the compiled table.
    """
    row = known(kind, model)
    told = {} if row is None else dict.fromkeys(row.can.split(), True) | dict.fromkeys(row.cannot.split(), False)
    facts = facts_by_hand(kind, model)
    if facts in (_NOBODY_KNOWS, _table().get(kind, {}).get("")):
        return told
    return told | {
        "json_schema": facts.json_schema,
        "vision": facts.images,
        "documents": facts.documents,
        "audio": facts.audio,
        "thinking": facts.thinking != "none",
    }


def facts_by_hand(kind: str, model: str) -> ModelFacts:
    """What `models.toml` alone says of a model."""
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
    told = {field: getattr(row, field) for field in ModelFacts.__struct_fields__ if field != "reasons"}
    # Of a model that nobody knows it is not known either: it is given the time that one needs which does.
    return ModelFacts(**told, reasons="" in row.models or row.thinking in ("always", "adaptive", "budget"))
