"""What is known of vendors' models: the table in `models/`, one file a kind of provider and one line a model.

`scripts/prices.py` makes the files at release time (docs/prices.md says from what); `sim.jsonl` is written by hand.
A file is read when a model of its kind is first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib import resources

import msgspec

from penstock.providers.prices import Period, Price

__all__ = ["CAPABILITIES", "Model", "Table", "known", "models_of", "price_of", "table_hash", "tables"]

# What a model may be able to do, in the words of `penstock models`.
CAPABILITIES = (
    "tools", "parallel_tools", "json_schema", "vision", "audio", "video", "documents", "thinking", "prefill",
    "prompt_caching",
)  # fmt: skip

# A name, or what names begin with (`gpt-4o*`), end with (`*-preview`) or hold (`*o4-mini*`); `re:` and a regular
# expression; in a list, all of several.
Rule = str | list[str]

# Kinds that sell the same models at the same prices.
_SAME = {"google": "gemini", "vertex": "gemini", "azure-inference": "azure", "bedrock-mantle": "bedrock"}
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model of one kind of provider.

    Attributes:
        id: the vendor's name of it.
        match: the names it goes by, `id` among them.
        kind: the mode of operation: `chat` or `embeddings`.
        context: tokens of its window; `output`: the most it can say. None where unknown.
        can, cannot: capabilities; of one that stands in neither nothing is known.
        deprecated: the day it is switched off, or "" for none that is known.
        price: its prices, in pico-dollars a unit; empty where unknown.
        tiers: what differs by tier.
    """

    id: str
    match: list[Rule]
    kind: str = "chat"
    context: int | None = None
    output: int | None = None
    can: str = ""
    cannot: str = ""
    deprecated: str = ""
    price: list[Period] = []
    tiers: dict[str, list[Period]] = {}


class _Head(msgspec.Struct, frozen=True):
    """The first line of a file: whose models it sells besides its own, and where it is from."""

    falls_back_to: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Table:
    """The models of one kind, in the order in which they are matched.

    Args:
        others: the tables in which it looks for what is not its own.
    """

    def __init__(self, models: Sequence[Model], others: Sequence[Table] = ()) -> None:
        self.models = models
        self._others = others
        self._named: dict[str, int] = {}
        self._ruled: list[tuple[int, Callable[[str], bool]]] = []
        for at, model in enumerate(self.models):
            for rule in model.match:
                if isinstance(rule, str) and "*" not in rule and not rule.startswith("re:"):
                    self._named.setdefault(rule, at)
                else:
                    self._ruled.append((at, _matcher(rule)))

    def find(self, name: str) -> Model | None:
        """The first model that goes by a name; some say `-20251211` where others say `-2025-12-11`."""
        name = name.lower()
        found = self._find(name)
        if found is None:
            dated = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
            found = self._find(dated) if dated != name else None
        return found

    def _find(self, name: str) -> Model | None:
        found = self._own(name)
        return found or next((model for other in self._others if (model := other._own(name)) is not None), None)

    def _own(self, name: str) -> Model | None:
        found = self._named.get(name, len(self.models))
        for at, fits in self._ruled:
            if at >= found:
                break
            if fits(name):
                found = at
                break
        return self.models[found] if found < len(self.models) else None


def tables() -> list[str]:
    """Every kind that has a file."""
    return sorted(name.removesuffix(".jsonl") for name in _files() if name.endswith(".jsonl"))


def models_of(kind: str) -> Sequence[Model]:
    """Every model of a kind, in the table's order; none where nobody knows of any."""
    table = _table(_SAME.get(kind, kind))
    return table.models if table is not None else ()


@lru_cache(maxsize=1024)
def known(kind: str, model: str) -> Model | None:
    """What is known of a model, by the provider's kind and the vendor's name of it."""
    table = _table(_SAME.get(kind, kind))
    return table.find(model) if table is not None else None


@lru_cache(maxsize=1024)
def price_of(kind: str, model: str) -> Price | None:
    """What a model costs; None where nobody knows."""
    found = known(kind, model)
    if found is None or not found.price:
        return None
    # Who sells another's models takes the same for them, but what it takes for tiers is not known.
    own = any(found is each for each in models_of(kind))
    return Price(found.price, found.tiers if own else None, source=table_hash())


@cache
def table_hash() -> str:
    """What the whole table is called in every cost: the beginning of the SHA-256 of its files."""
    return _read("hash").decode("ascii").strip()


@cache
def _table(kind: str) -> Table | None:
    name = f"{kind}.jsonl"
    if name not in _files():
        return None
    first, _, rest = _read(name).partition(b"\n")
    others = [_table(other) for other in msgspec.json.decode(first, type=_Head).falls_back_to]
    models = msgspec.json.Decoder(Model).decode_lines(rest)
    return Table(models, [other for other in others if other is not None])


@cache
def _files() -> frozenset[str]:
    return frozenset(entry.name for entry in resources.files("penstock.providers").joinpath("models").iterdir())


def _read(name: str) -> bytes:
    return resources.files("penstock.providers").joinpath("models", name).read_bytes()


def _matcher(rule: Rule) -> Callable[[str], bool]:
    if isinstance(rule, list):
        several = [_matcher(each) for each in rule]
        return lambda name: all(fits(name) for fits in several)
    if rule.startswith("re:"):
        found = re.compile(rule[3:]).search
        return lambda name: found(name) is not None
    text = rule.strip("*")
    if rule.startswith("*") and rule.endswith("*"):
        return lambda name: text in name
    if rule.endswith("*"):
        return lambda name: name.startswith(text)
    if rule.startswith("*"):
        return lambda name: name.endswith(text)
    return lambda name: name == text
