"""LiteLLM's map of models, cut down to what Penstock takes from it: a second opinion on prices, and capabilities.

The map is a file of the package `litellm` (MIT), read at release time and never installed: `pip download --no-deps
litellm`, unpack, and `python -m scripts.second_source litellm/model_prices_and_context_window_backup.json`. What it
says is kept in scripts/second_source.jsonl, so that the table can be made, and the report of disagreements tested,
without it. Prices there are floats of dollars a token; they become whole pico-dollars here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

__all__ = ["FILE", "cut", "main", "read", "version"]

FILE = Path(__file__).with_name("second_source.jsonl")

# Its providers, and what stands before a model's name in its keys.
KINDS = {
    "openai": ("openai", ""),
    "anthropic": ("anthropic", ""),
    "azure": ("azure", "azure/"),
    "gemini": ("gemini", "gemini/"),
    "bedrock_converse": ("bedrock", ""),
    "mistral": ("mistral", "mistral/"),
    "groq": ("groq", "groq/"),
    "deepseek": ("deepseek", "deepseek/"),
    "xai": ("xai", "xai/"),
    "together_ai": ("together", "together_ai/"),
    "fireworks_ai": ("fireworks", "fireworks_ai/"),
    "perplexity": ("perplexity", "perplexity/"),
    "cerebras": ("cerebras", "cerebras/"),
    "cohere": ("cohere", "cohere/"),
    "cohere_chat": ("cohere", ""),
    "moonshot": ("moonshot", "moonshot/"),
    "zai": ("zai", "zai/"),
    "dashscope": ("alibaba", "dashscope/"),
    "snowflake": ("snowflake", "snowflake/"),
    "crusoe": ("crusoe", "crusoe/"),
}
MODES = {"chat": "chat", "responses": "chat", "embedding": "embeddings"}
CAPABILITIES = {
    "supports_function_calling": "tools",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_response_schema": "json_schema",
    "supports_vision": "vision",
    "supports_audio_input": "audio",
    "supports_video_input": "video",
    "supports_pdf_input": "documents",
    "supports_reasoning": "thinking",
    "supports_assistant_prefill": "prefill",
    "supports_prompt_caching": "prompt_caching",
}
UNITS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
}
TIERS = {"": "", "_batches": "batch:", "_flex": "flex:", "_priority": "priority:"}
_PICOS = Decimal(10) ** 12
_LONGEST_WINDOW = 20_000_000  # a few rows hold what is no window


def main() -> None:
    """Write `FILE` from the map named on the command line."""
    source = Path(sys.argv[1])
    (named,) = source.resolve().parent.parent.glob("litellm-*.dist-info")
    rows = cut(json.loads(source.read_text("utf-8"), parse_float=Decimal))
    head = {"source": " ".join(named.stem.split("-")[:2])}
    FILE.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in (head, *rows)), "utf-8")
    print(f"{FILE.name}: {len(rows)} models of {head['source']}")


def read() -> list[dict[str, Any]]:
    """The rows of `FILE`."""
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()[1:]]


def version() -> str:
    """The package that it was cut from, and its version."""
    with FILE.open(encoding="utf-8") as lines:
        source: str = json.loads(lines.readline())["source"]
    return source


def cut(written: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What of the map concerns a kind of provider that Penstock knows, by kind and model."""
    found = {(row["kind"], row["model"]): row for row in _rows(written)}
    return [found[key] for key in sorted(found)]


def _rows(written: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for key, said in written.items():
        kind, prefix = KINDS.get(said.get("litellm_provider", ""), ("", ""))
        mode = MODES.get(said.get("mode", ""))
        name = key.removeprefix(prefix).lower()
        if not kind or mode is None or _is_no_model(kind, name):
            continue
        row: dict[str, Any] = {"kind": kind, "model": name}
        if mode != "chat":
            row["mode"] = mode
        row |= {field: size for field, size in _sizes(said) if size}
        row |= {"deprecated": said["deprecation_date"]} if _is_day(said.get("deprecation_date")) else {}
        for field, wanted in (("can", True), ("cannot", False)):
            names = [ours for theirs, ours in CAPABILITIES.items() if said.get(theirs) is wanted]
            row |= {field: " ".join(names)} if names else {}
        fees = said.get("search_context_cost_per_query") if kind == "perplexity" else None
        if fees:
            row["fees"] = {size: _picos(fees[f"search_context_size_{size}"]) for size in ("low", "medium", "high")}
        yield row | {"price": dict(_prices(said))}


def _is_no_model(kind: str, name: str) -> bool:
    """A region's variant, a short name that the vendor's own API does not take, or a class of sizes."""
    if kind == "fireworks":
        return not name.startswith("accounts/")
    if kind in ("openai", "azure", "bedrock"):
        return "/" in name or name.startswith("ft:")
    return bool(re.fullmatch(r".*(up-to|above)-.*|.*\d+b-(to-)?\d+.*b", name)) or name.endswith("-default")


def _is_day(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"20\d\d-\d\d-\d\d", value))


def _sizes(said: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for field, name in (("context", "max_input_tokens"), ("output", "max_output_tokens")):
        size = said.get(name)
        if isinstance(size, int) and 0 < size < _LONGEST_WINDOW:
            yield field, size


def _prices(said: Mapping[str, Any]) -> Iterator[tuple[str, int | list[int]]]:
    for tier, prefix in TIERS.items():
        for theirs, ours in UNITS.items():
            base = _picos(said.get(theirs + tier))
            if base is None:
                continue
            steps: list[int] = []
            for field, value in said.items():
                step = re.fullmatch(rf"{theirs}_above_(\d+)k_tokens{tier}", field)
                price = _picos(value)
                if step and price is not None and price != base:
                    steps += [int(step[1]) * 1000, price]
            yield prefix + ours, [base, *steps] if steps else base


def _picos(value: object) -> int | None:
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return None
    return round(Decimal(value) * _PICOS)


if __name__ == "__main__":
    main()
