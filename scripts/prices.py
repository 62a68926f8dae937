"""Compile the table of models and prices, src/penstock/providers/models: `make prices`, before a release.

From the package `genai-prices` (MIT) come the models, the names they go by, their prices and windows; from
scripts/second_source.jsonl, cut from LiteLLM's map, what models can do, and sizes that the first does not tell. Only
figures are taken. tests/providers assert that the table is what these two give, and that it costs calls the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib import metadata
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import genai_prices.types as source
import msgspec
from genai_prices.data import providers as PROVIDERS  # noqa: N812 -- a constant by its nature

from penstock.config.prices import EACH
from penstock.providers.models import Model, Table
from penstock.providers.prices import Period
from penstock.providers.rates import UNITS, Amount
from scripts import second_source

__all__ = ["FOLDER", "KINDS", "UNIT_NAMES", "main", "make", "rule_of", "tier_of", "unpriced"]

FOLDER = Path(__file__).resolve().parent.parent / "src/penstock/providers/models"
BY_HAND = "sim.jsonl"

# The source's providers by our kinds; several may become one.
KINDS = {
    "anthropic": ("anthropic",),
    "azure": ("azure",),
    "bedrock": ("aws",),
    "cerebras": ("cerebras",),
    "cloudflare": ("cloudflare",),
    "cohere": ("cohere",),
    "deepseek": ("deepseek",),
    "fireworks": ("fireworks",),
    "gemini": ("google",),
    "groq": ("groq",),
    "huggingface": tuple(sorted(each.id for each in PROVIDERS if each.id.startswith("huggingface_"))),
    "mistral": ("mistral",),
    "moonshot": ("moonshotai",),
    "openai": ("openai",),
    "openrouter": ("openrouter",),
    "perplexity": ("perplexity",),
    "together": ("together",),
    "voyage": ("voyageai",),
    "xai": ("x-ai",),
    "zai": ("zai",),
}
# Kinds of which the first source knows nothing: sizes and capabilities alone.
WITHOUT_PRICES = ("alibaba", "crusoe", "snowflake")

# The source's names of what a price is for.
UNIT_NAMES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "cache_image_read_mtok": "cache_read_image",
    "input_video_mtok": "input_video",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_video_mtok": "output_video",
    "output_citation_mtok": "citation",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
    "requests_kcount": "request",
}
# Sound by the hour, pages, characters: a model with such a price costs what `Usage` cannot tell, so it gets none.
NOT_COUNTED = frozenset((
    "audio_hours", "input_audio_hours", "output_audio_hours", "input_mchars", "input_text_messages_kcount",
    "input_document_kpages", "input_annotated_document_kpages",
))  # fmt: skip
_PICOS = Decimal(10) ** 12

# What the source calls a tier, and how `Usage.tier` does. Others of its contexts depend on what was asked, not on
# what an answer tells: OpenRouter's route, Perplexity's kind of search.
TIERS = {
    ("processing", "batch"): "batch",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}


class Added(NamedTuple):
    """A tier that the source leaves out, as so many times the standard price of every token; and who says so."""

    kind: str
    tier: str
    times: Decimal
    source: str


ADDED = (
    Added("groq", "flex", Decimal(1), "https://console.groq.com/docs/flex-processing"),
    # `inference_geo: us`; models before Claude 4.6 refuse it.
    Added("anthropic", "in_us", Decimal("1.1"), "https://platform.claude.com/docs/en/about-claude/pricing"),
)


def main() -> None:
    """Write every file of the table and its hash."""
    files = make()
    for old in FOLDER.glob("*.jsonl"):
        if old.name not in (*files, BY_HAND):
            old.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, "utf-8")
    (FOLDER / "hash").write_text(hash_of(FOLDER) + "\n", "utf-8")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    models = sum(text.count("\n") - 1 for text in files.values())
    print(f"{models} models of {len(files)} kinds, {size} bytes, table {hash_of(FOLDER)}")


def hash_of(folder: Path) -> str:
    """The table's name: the beginning of a SHA-256 over its files."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.jsonl")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


def make() -> dict[str, str]:
    """The text of each file but the one that is written by hand."""
    by_id = {provider.id: provider for provider in PROVIDERS}
    kind_of = {id: kind for kind, ids in KINDS.items() for id in ids}
    more: dict[str, list[dict[str, Any]]] = {}
    for row in second_source.read():
        more.setdefault(row["kind"], []).append(row)
    own = {kind: [row for id in ids for row in _rows(by_id[id], kind)] for kind, ids in KINDS.items()}
    own |= {kind: [] for kind in WITHOUT_PRICES}
    tables = {kind: _table(rows) for kind, rows in own.items()}
    files = {}
    for kind, rows in own.items():
        fallbacks = by_id[KINDS[kind][0]].fallback_model_providers or () if kind in KINDS else ()
        others = [kind_of[id] for id in fallbacks if id in kind_of]
        table = _table(rows, [tables[other] for other in others])
        _add_facts(rows, table, more.get(kind, []))
        head = {"falls_back_to": others, "sources": _sources(priced=kind in KINDS)}
        files[f"{kind}.jsonl"] = _text(head, rows)
    return files


def _table(rows: Sequence[Mapping[str, Any]], others: Sequence[Table] = ()) -> Table:
    return Table(msgspec.convert(rows, list[Model]), others)


def _sources(*, priced: bool) -> list[str]:
    first = [f"genai-prices {metadata.version('genai-prices')}"] if priced else []
    return [*first, second_source.version()]


def _text(head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(f"{json.dumps(row, separators=(',', ':'), ensure_ascii=False)}\n" for row in (head, *rows))


# --- the first source


def _rows(provider: source.Provider, kind: str) -> Iterator[dict[str, Any]]:
    # One router, many hosts: the host stands after the model's name, and each has its own price.
    _, routed, host = provider.id.partition("huggingface_")
    for model in provider.models:
        row: dict[str, Any] = {"id": model.id.lower(), "match": _match(model)}
        if routed:
            row = {"id": f"{row['id']}:{host}", "match": [f"{name}:{host}" for name in row["match"]]}
        if model.context_window:
            row["context"] = model.context_window
        if unpriced(model):
            if _is_foreign(model):
                continue
        else:
            row["price"] = [[when, _amounts(prices)] for when, prices in periods(model)]
            tiers = _tiers(model) | _added(kind, row["price"])
            row |= {"tiers": tiers} if tiers else {}
        yield row


def periods(model: source.ModelInfo) -> Iterator[tuple[str, source.ModelPrice]]:
    """Each period's condition as `Price` has it, and what holds then."""
    if isinstance(model.prices, source.ModelPrice):
        yield "", model.prices
    else:
        for each in model.prices:
            yield _condition(each.constraint), each.prices


def unpriced(model: source.ModelInfo) -> str:
    """Why a model has no price in our table; "" where it has one."""
    told = [_told(prices) for _, prices in periods(model)]
    if any(NOT_COUNTED & prices.keys() for prices in told):
        return "billed in units that no usage tells"
    if not all(told) and not model.id.endswith(":free"):
        return "the source has no figure, which it counts as 0"
    return ""


def _is_foreign(model: source.ModelInfo) -> bool:
    """Speech, transcription, recognition of pages: nothing that Penstock carries."""
    told = [_told(prices) for _, prices in periods(model)]
    return all(prices.keys() <= NOT_COUNTED for prices in told) and any(told)


def _told(prices: source.ModelPrice) -> dict[str, Decimal | source.TieredPrices]:
    return {name: price for name, price in vars(prices).items() if price is not None}


def _condition(constraint: object) -> str:
    if isinstance(constraint, source.StartDateConstraint):
        return constraint.start_date.isoformat()
    if isinstance(constraint, source.TimeOfDateConstraint):
        begin, end = constraint.start_time, constraint.end_time
        if any(time.utcoffset() or time.second or time.microsecond for time in (begin, end)):
            raise SystemExit(f"a time of day in seconds or in a zone: {constraint}")
        return f"{begin:%H:%M}-{end:%H:%M}"
    if constraint is not None:
        raise SystemExit(f"an unknown kind of condition: {constraint}")
    return ""


def _amounts(prices: source.ModelPrice) -> dict[str, Amount]:
    found: dict[str, Amount] = {}
    for name, price in _told(prices).items():
        unit = UNIT_NAMES[name]
        per = 1000 if name.endswith("_kcount") else 1_000_000
        if isinstance(price, Decimal):
            found[unit] = _picos(price, per)
        else:
            steps = [part for tier in price.tiers for part in (tier.start, _picos(tier.price, per))]
            found[unit] = [_picos(price.base, per), *steps]
    if not found:  # free, by its name
        found = {"input": 0, "output": 0}
    return {unit: found[unit] for unit in UNITS if unit in found}


def _picos(price: Decimal, per: int) -> int:
    return round(price * _PICOS / per)


def _tiers(model: source.ModelInfo) -> dict[str, list[Period]]:
    found: dict[str, list[Period]] = {}
    for variant in model.price_variants or ():
        tier = tier_of(variant)
        if tier and _told(variant.prices) and not NOT_COUNTED & _told(variant.prices).keys():
            found.setdefault(tier, []).append((_condition(variant.constraint), _amounts(variant.prices)))
    return found


def tier_of(variant: source.PriceVariant) -> str:
    """How `Usage.tier` calls what a variant is for; "" where it cannot be told by an answer."""
    if len(variant.when) != 1:
        return ""
    return TIERS.get(next(iter(variant.when.items())), "")


def _added(kind: str, periods: Sequence[Period]) -> dict[str, list[Period]]:
    # Of a tier's periods the first that holds is taken, of a model's the last.
    return {
        each.tier: [(when, dict(_times(prices, each.times))) for when, prices in reversed(periods)]
        for each in ADDED
        if each.kind == kind
    }


def _by_search(prices: Mapping[str, Amount], fees: Mapping[str, int]) -> dict[str, list[Period]]:
    """Perplexity's fee for a request goes by the size of the search's context, which the answer tells like a tier.

    The source has the largest alone. Where there is no fee, nothing differs.
    """
    same: dict[str, Amount] = {"input": prices["input"]}
    return {f"search_{size}": [("", {"request": fee} if "request" in prices else same)] for size, fee in fees.items()}


def _times(prices: Mapping[str, Amount], factor: Decimal) -> Iterator[tuple[str, Amount]]:
    for unit, amount in prices.items():
        if unit in EACH:  # a search costs the same
            continue
        parts = amount if isinstance(amount, list) else [amount]
        more = [part if at % 2 else ceil(part * factor) for at, part in enumerate(parts)]
        yield unit, more if isinstance(amount, list) else more[0]


def _match(model: source.ModelInfo) -> list[Any]:
    found = rule_of(model.match)
    return found if isinstance(model.match, source.ClauseOr) else [found]


def rule_of(clause: source.MatchLogic) -> Any:
    """A clause as `providers/models.py` reads it; a list of them for `or`, a list in that for `and`."""
    if isinstance(clause, source.ClauseOr):
        return [rule_of(each) for each in clause.or_]
    if isinstance(clause, source.ClauseAnd):
        return [rule_of(each) for each in clause.and_]
    if isinstance(clause, source.ClauseRegex):
        return f"re:{clause.regex}"
    if isinstance(clause, source.ClauseEquals):
        return clause.equals.lower()
    if isinstance(clause, source.ClauseStartsWith):
        return f"{clause.starts_with.lower()}*"
    if isinstance(clause, source.ClauseEndsWith):
        return f"*{clause.ends_with.lower()}"
    return f"*{clause.contains.lower()}*"


# --- the second source


def _add_facts(rows: list[dict[str, Any]], table: Table, more: Sequence[Mapping[str, Any]]) -> None:
    """What the second source says of each row, by a name it goes by; models of its own are added without a price."""
    at = {id(model): place for place, model in enumerate(table.models)}
    told: dict[int, list[Mapping[str, Any]]] = {}
    for said in more:
        found = table.find(said["model"])
        if found is None:
            told[len(rows)] = [said]
            rows.append({"id": said["model"], "match": [said["model"]]})
        elif id(found) in at:  # and not another kind's, which has its own
            told.setdefault(at[id(found)], []).append(said)
    for place, row in enumerate(rows):
        # Of a model with several names, the one that is its id, else the shortest: not that of a day.
        names = told.get(place, ())
        best = min(names, key=lambda said: (said["model"] != row["id"], len(said["model"])), default={})
        row |= {field: best[field] for field in ("output", "can", "cannot", "deprecated") if field in best}
        if "context" not in row and "context" in best:
            row["context"] = best["context"]
        if best.get("mode") == "embeddings":
            row["kind"] = "embeddings"
        if "fees" in best and row.get("price"):
            row["tiers"] = _by_search(row["price"][-1][1], best["fees"])


if __name__ == "__main__":
    main()
