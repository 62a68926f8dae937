"""`prices:` and `unknown_price`: what may be written, what it becomes, and what is told of a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from penstock.config.kinds import rows_of
from penstock.config.load import load_config
from penstock.config.parcel import decode_config, encode_config
from penstock.config.pricing import Pricing
from penstock.config.show import describe
from penstock.config.yaml_file import open_config, read_yaml
from penstock.errors import ConfigError
from penstock.providers.catalogue import load_catalogue
from penstock.usage import Usage

ENV = {"OPENAI_API_KEY": "sk-openai"}
PROVIDERS = """\
auth: open
providers:
  openai: {}
  local: {kind: openai, base_url: "http://10.0.0.7:8000/v1", api_key: none}
  sim: {}
models: {fast: {targets: [openai/gpt-5-mini]}, mine: {targets: [local/llama]}}
"""


def loaded(text: str) -> Any:
    return load_config(read_yaml((PROVIDERS + text).encode(), "p.yaml"), ENV)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("written", "picos"),
    [
        ("0.1", 100_000),
        ("2", 2_000_000),
        ("1e-1", 100_000),
        ('"0.10"', 100_000),
        ("0", 0),
        ("0.000001", 1),
        ("1234.567891", 1_234_567_891),
        ("1000000", 1_000_000_000_000),
    ],
)
def test_dollars_per_million_are_read_exactly(written: str, picos: int) -> None:
    config = loaded(f"prices: {{local/llama: {{input: {written}, output: 0}}}}")
    assert config.prices == {"local/llama": {"input": picos, "output": 0}}


def test_all_that_can_be_declared() -> None:
    config = loaded(
        "prices:\n"
        '  "local/*": {input: 0, output: 0}\n'
        "  openai/gpt-5: {input: 3, output: 15, cache_read: 0.3, web_search: 0.01, request: 0.005,\n"
        "    above: {200k: {input: 6, output: 22.5}, 1M: {input: 9}}}\n"
    )
    assert config.prices["openai/gpt-5"] == {
        "input": [3_000_000, 200_000, 6_000_000, 1_000_000, 9_000_000],
        "cache_read": 300_000,
        "output": [15_000_000, 200_000, 22_500_000],
        "web_search": 10_000_000_000,
        "request": 5_000_000_000,
    }
    assert decode_config(encode_config(config)) == config
    assert describe(config)["prices"] == {
        "local/*": {"input": "0", "output": "0"},
        "openai/gpt-5": {
            "input": "3",
            "cache_read": "0.3",
            "output": "15",
            "web_search": "0.01",
            "request": "0.005",
            "above": {"200000": {"input": "6", "output": "22.5"}, "1000000": {"input": "9"}},
        },
    }


MISTAKES = {
    "fast: {input: 1, output: 1}":
        '7:10: "fast" is a name under models: a price is for what it leads to, provider/model',
    "gpt-5: {input: 1, output: 1}": '7:10: "gpt-5" is not provider/model',
    "opnai/gpt-5: {input: 1, output: 1}": '7:10: no provider is named "opnai" (did you mean "openai"?)',
    '"*/gpt-5": {input: 1, output: 1}': '7:10: "*/gpt-5": a pattern has its * at its end',
    "local/x: 3": "7:19: write {input: 0.25, output: 2}, in dollars per million tokens",
    "local/x: {input: 1}": "7:19: output is missing; write output: 0 for what costs nothing",
    "local/x: {input: -1, output: 1}": '7:27: "-1" is not a price: it lies between 0 and 1,000,000 dollars',
    "local/x: {input: $1, output: 1}": '7:27: "$1" is not a price: write a number of dollars, such as 0.25',
    "local/x: {input: .nan, output: 1}": '7:27: "nan" is not a price: write a number of dollars, such as 0.25',
    "local/x: {input: true, output: 1}": '7:27: "True" is not a price: write a number of dollars, such as 0.25',
    "local/x: {input: 0.0000001, output: 1}": '7:27: "1e-07" is too fine: at most 6 decimals',
    "local/x: {input: 1, outputs: 1, output: 1}":
        '7:30: unknown key "outputs" (did you mean "output" or "output_video" or "output_image"?)',
    "local/x: {input: 1, output: 1, above: {many: {}}}":
        '7:49: "many" is not a number of things: write 8192, 64k or 1M',
    "local/x: {input: 1, output: 1, above: {2k: {reasoning: 1}}}":
        "7:19: reasoning has a price above 2000 tokens and none below",
}  # fmt: skip


@pytest.mark.parametrize(("written", "told"), MISTAKES.items())
def test_a_mistake_is_told_where_it_is(written: str, told: str) -> None:
    assert problems(f"prices: {{{written}}}") == [f"p.yaml:{told}"]


def cost(config: Any, name: str) -> int | None:
    provider, _, model = name.partition("/")
    price = Pricing(config, load_catalogue()).of(provider, model)
    return price.cost(Usage(1_000_000), 1_795_600_000.0) if price is not None else None


def test_what_is_declared_goes_before_the_table_and_the_table_holds_at_the_vendors_own_address() -> None:
    plain = loaded("")
    assert cost(plain, "openai/gpt-5-mini") == 250_000_000
    assert cost(plain, "sim/small") == 1_000_000_000
    assert cost(plain, "local/gpt-5-mini") is None, "a compatible server takes what it takes"
    declared = loaded('prices: {openai/gpt-5-mini: {input: 0.5, output: 1}, "local/*": {input: 0, output: 0}}')
    assert cost(declared, "openai/gpt-5-mini") == 500_000_000
    assert cost(declared, "openai/gpt-5-nano") == 50_000_000
    assert cost(declared, "local/gpt-5-mini") == 0


def test_a_deployment_that_is_said_to_be_a_model_costs_what_its_own_vendor_takes_for_that() -> None:
    config = load_config(
        {
            "auth": "open",
            "providers": {
                "azure-eu": {
                    "kind": "azure",
                    "base_url": "https://x.openai.azure.com",
                    "api_key": "env:OPENAI_API_KEY",
                },
                "lab": {"kind": "vllm", "base_url": "http://10.0.0.7:8000/v1"},
            },
            "models": {
                "fast": {"targets": [{"target": "azure-eu/prod-1", "is": "openai/gpt-5-mini"}]},
                "mine": {"targets": [{"target": "lab/llama", "is": "groq/llama-3.3-70b-versatile"}]},
            },
        },
        ENV,
    )
    assert cost(config, "azure-eu/prod-1") == 250_000_000
    assert cost(config, "azure-eu/prod-2") is None
    assert cost(config, "lab/llama") is None, "nobody pays Groq for a server of their own"


def test_a_users_own_kind_takes_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers/groq.toml").write_text(
        'name = "groq"\nurl = "https://relay.example/v1"\ndialects = ["openai_chat"]\nauth = "none"\n'
    )
    (tmp_path / "p.yaml").write_text("auth: open\nproviders: {groq: {}}\n")
    config = open_config(tmp_path / "p.yaml", {})
    assert config.providers["groq"].base_url == "https://relay.example/v1"
    price = Pricing(config, rows_of(config)).of("groq", "llama-3.3-70b-versatile")
    assert price is None


def test_refusing_what_has_no_price_is_told_at_load() -> None:
    told = problems("defaults: {unknown_price: refuse}")
    assert told == [
        'p.yaml:6:48: nobody knows what "local/llama" costs, and unknown_price is refuse: declare it under'
        " prices: {local/llama: {input: ..., output: ...}}"
    ]
    assert problems("defaults: {unknown_price: nul}") == ["p.yaml:7:27: write flag or refuse"]


def test_refusing_with_a_declared_price() -> None:
    config = loaded("defaults: {unknown_price: refuse}\nprices: {local/llama: {input: 0, output: 0}}")
    assert {route.unknown_price for route in config.models.values()} == {"refuse"}


def test_from_a_dict() -> None:
    source: Mapping[str, object] = {
        "auth": "open",
        "providers": {"sim": {}},
        "prices": {"sim/small": {"input": "0.1", "output": 0.2}},
    }
    assert load_config(source, {}).prices == {"sim/small": {"input": 100_000, "output": 200_000}}
