"""Providers' exports: each form that is known, read to the nano-dollar; and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.providers.statement import Line, known_as, read_statement

DAY = 1_767_225_600  # 2026-01-01 00:00 UTC
DOLLAR = 1_000_000_000


def read(value: Any) -> list[Line]:
    return read_statement(value.encode() if isinstance(value, str) else json.dumps(value).encode()).lines


def openai(*results: dict[str, Any], at: int = DAY) -> dict[str, Any]:
    bucket = {"object": "bucket", "start_time": at, "end_time": at + 86_400, "results": list(results)}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def cost(value: Any, item: str | None = None, currency: str = "usd") -> dict[str, Any]:
    amount = {"value": value, "currency": currency}
    return {"object": "organization.costs.result", "amount": amount, "line_item": item, "project_id": None}


def anthropic(*results: dict[str, Any], day: str = "2026-01-01") -> dict[str, Any]:
    bucket = {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{day}T23:59:59Z", "results": list(results)}
    return {"data": [bucket], "has_more": False, "next_page": None}


def test_openais_costs() -> None:
    lines = read(openai(cost(0.06), cost(1.5, "gpt-5-mini-2025-08-07, input"), cost("0.000000001", "gpt-4.1, output")))
    assert lines == [
        Line("2026-01-01", "", cost=60_000_000),
        Line("2026-01-01", "gpt-5-mini", cost=1_500_000_000),
        Line("2026-01-01", "gpt-4-1", cost=1),
    ]


def test_an_amount_is_what_is_written_and_no_float() -> None:
    text = json.dumps(openai(cost(0.06))).replace("0.06", "123456789.123456789")
    assert read(text)[0].cost == 123_456_789_123_456_789


def test_openais_usage() -> None:
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 500,
        "input_cached_tokens": 800,
        "num_model_requests": 5,
        "model": "gpt-5-mini-2025-08-07",
    }
    embeddings = {
        "object": "organization.usage.embeddings.result",
        "input_tokens": 7,
        "model": "text-embedding-3-small",
    }
    assert read([openai(result), openai(embeddings, at=DAY + 86_400)]) == [
        Line("2026-01-01", "gpt-5-mini", 1000, 500),
        Line("2026-01-02", "text-embedding-3-small", 7, 0),
    ]


def test_anthropics_costs_are_in_cents() -> None:
    result = {"amount": "123.78912", "currency": "USD", "model": "claude-sonnet-4-5-20250929", "cost_type": "tokens"}
    assert read(anthropic(result)) == [Line("2026-01-01", "claude-sonnet-4-5", cost=1_237_891_200)]
    credit = {"amount": "-50", "currency": "USD", "model": None}
    assert read(anthropic(credit)) == [Line("2026-01-01", "", cost=-DOLLAR // 2)]


def test_anthropics_usage_adds_the_cache_to_the_input() -> None:
    result = {
        "uncached_input_tokens": 100,
        "cache_creation": {"ephemeral_1h_input_tokens": 20, "ephemeral_5m_input_tokens": 30},
        "cache_read_input_tokens": 400,
        "output_tokens": 50,
        "model": "claude-haiku-4-5",
    }
    assert read(anthropic(result)) == [Line("2026-01-01", "claude-haiku-4-5", 550, 50)]


def test_pages_one_a_line_and_days_without_use() -> None:
    text = "\n".join(json.dumps(page) for page in (openai(cost(1)), openai(at=DAY + 86_400)))
    statement = read_statement(text.encode())
    assert (statement.provider, statement.days) == ("openai", ["2026-01-01", "2026-01-02"])
    assert len(statement.lines) == 1


@pytest.mark.parametrize(
    ("text", "provider", "lines"),
    [
        (
            "day,model,input,output,cost\n2026-01-01,gpt-5-mini,10,20,0.5\n2026-01-02,gpt-5-mini,,,1\n".replace(
                ",,,", ",0,0,"
            ),
            "",
            [
                Line("2026-01-01", "gpt-5-mini", 10, 20, 500_000_000),
                Line("2026-01-02", "gpt-5-mini", 0, 0, DOLLAR),
            ],
        ),
        ("\ufeffDate,Cost\n2026-01-01,2\n", "", [Line("2026-01-01", "", cost=2 * DOLLAR)]),
        (
            "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item\n"
            "1767139200,1767225600,2025-12-31T00:00:00+00:00,2026-01-01T00:00:00+00:00,,,\n"
            '1767225600,1767312000,2026-01-01T00:00:00,2026-01-02T00:00:00,0.0038359800000,usd,"gpt-5, input"\n',
            "openai",
            [Line("2026-01-01", "gpt-5", cost=3_835_980)],
        ),
        (
            "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd\n"
            "2026-01-01,Claude Sonnet 4.5,Default,key,message,200k,output,18.71\n",
            "anthropic",
            [Line("2026-01-01", "claude-sonnet-4-5", cost=18_710_000_000)],
        ),
        (
            "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
            "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
            "2026-01-01,claude-opus-4-5-20251101,1,2,3,4,5\n",
            "anthropic",
            [Line("2026-01-01", "claude-opus-4-5", 10, 5)],
        ),
        # As OpenAI's console writes counts, and a day on which nothing was used.
        (
            "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,"
            "output_tokens,input_cached_tokens,input_uncached_tokens\n"
            "1767225600,1767312000,2026-01-01T00:00:00+00:00,2026-01-02T00:00:00+00:00,p,8.0,gpt-5-2025-08-07,FALSE,"
            "46264.0,60000.0,8192.0,38072.0\n"
            "1767312000,1767398400,2026-01-02T00:00:00+00:00,2026-01-03T00:00:00+00:00,,,,,,,,\n",
            "openai",
            [Line("2026-01-01", "gpt-5", 46_264, 60_000)],
        ),
        # From spreadsheets: thousands, currency, other delimiters, a delimiter's line end.
        (
            'day,model,input,output,cost\r\n2026-01-01,m,"1,234,567","2,000.0","$1,234.56"\r\n',
            "",
            [Line("2026-01-01", "m", 1_234_567, 2_000, 1_234_560_000_000)],
        ),
        ("Day;Model;Cost\n2026-01-01;m;1.5\n", "", [Line("2026-01-01", "m", cost=1_500_000_000)]),
        ("day\tcost\n 2026-01-01 \t-0.5\n", "", [Line("2026-01-01", "", cost=-500_000_000)]),
        ("day,cost\n2026-01-01,1.5e-05\n", "", [Line("2026-01-01", "", cost=15_000)]),
        # A plain table may say the same twice: each line counts.
        ("day,cost\n2026-01-01,1\n2026-01-01,1\n", "", [Line("2026-01-01", "", cost=DOLLAR)] * 2),
        (
            "usage_date_utc,model_version,usage_input_tokens_no_cache,usage_input_tokens_cache_write,"
            "usage_input_tokens_cache_read,usage_output_tokens\n2026-01-01,claude-opus-4-5-20251101,1,2,3,4\n",
            "anthropic",
            [Line("2026-01-01", "claude-opus-4-5", 6, 4)],
        ),
    ],
)
def test_tables(text: str, provider: str, lines: list[Line]) -> None:
    statement = read_statement(text.encode())
    assert (statement.provider, statement.lines) == (provider, lines)


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
        ("Claude Haiku 4.5", "claude-haiku-4-5"),
        ("gpt-4.1", "gpt-4-1"),
        ("text-embedding-3-small", "text-embedding-3-small"),
        ("", ""),
    ],
)
def test_names_are_compared_without_a_date(written: str, known: str) -> None:
    assert known_as(written) == known


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "it is empty"),
        ("\ufeff \n", "it is empty"),
        ("\n", "it is empty"),
        ("[" * 100_000, "not JSON"),
        ("day,input,cost\n2026-01-01,1,234,5\n", "more cells than the first line names"),
        ("day,model,input,cost\n2026-01-01,m,5\n", "fewer cells"),
        ('day,input,cost\n2026-01-01,"12,34",1\n', "no number of tokens"),
        ('day,cost\n2026-01-01,"1.234,56"\n', "no amount"),
        ("day,cost\n2026-01-01,0,06\n", "more cells"),
        ("day;cost\n2026-01-01;0,06\n", "no amount"),
        ("day,cost\n01/02/2026,1\n", "no day: write 2026-11-01"),
        ("day,cost\n9999-12-31,1\n", "no day"),
        (openai(cost(1), at=DAY - 8 * 3600), "none of UTC"),
        (
            {
                "data": [
                    {
                        "starting_at": "2026-01-01T00:00:00-08:00",
                        "ending_at": "2026-01-02T00:00:00-08:00",
                        "results": [],
                    }
                ]
            },
            "none of UTC",
        ),
        (
            "start_time,end_time,start_time_iso,end_time_iso,amount_value\n"
            "1767254400,1767340800,2026-01-01T00:00:00-08:00,2026-01-02T00:00:00-08:00,1\n",
            "none of UTC",
        ),
        ([openai(cost(1)), openai(cost(1))], "stands there twice"),
        (
            "usage_date_utc,model,cost_usd\n2026-01-01,Claude Opus 4.5,1\n2026-01-01,Claude Opus 4.5,1\n",
            "line 3: the same of 2026-01-01 stands there twice",
        ),
        ("a,b\n1,2\n", "must name the columns"),
        ("day,model\n2026-01-01,x\n", "must name the columns"),
        ("day,cost\nyesterday,1\n", "line 2: 'yesterday' is no day"),
        ("day,cost\n2026-01-01,1\n2026-01-01,many\n", "line 3: 'many' is no amount"),
        ("day,cost\n2026-01-01,NaN\n", "no amount"),
        ("day,cost\n2026-01-01,1e99\n", "no amount"),
        ("day,cost\n2026-01-01,\n2026-01-02\n", ""),
        ("day,input,cost\n2026-01-01,-5,1\n", "no number of tokens"),
        ("day,input,cost\n2026-01-01,5.5,1\n", "no number of tokens"),
        ("start_time_iso,amount_value,amount_currency\n2026-01-01,1,eur\n", "in eur"),
        ("{", "not JSON"),
        ("[1]", "no list called data"),
        ({"data": {}}, "no list called data"),
        ({"data": [1]}, "no bucket"),
        ({"data": [{"start_time": "x", "results": []}]}, "no day"),
        ({"data": [{"start_time": 10**18, "results": []}]}, "no day"),
        ({"data": [{"start_time": DAY}]}, "no list of results"),
        ({"data": [{"start_time": DAY, "results": [1]}]}, "no object"),
        (openai({"input_tokens": 1.5}), "no number of tokens"),
        (openai(cost(True)), "no amount"),
        (openai(cost(None)), "no amount"),
        (openai(cost(1, currency="eur")), "in eur"),
        (openai({"input_tokens": -1}), "no number of tokens"),
        (openai({"input_tokens": True}), "no number of tokens"),
        (openai({"input_tokens": 10**13}), "no number of tokens"),
        (anthropic({"output_tokens": 1}), "neither an amount nor tokens"),
        (anthropic({"uncached_input_tokens": 1, "cache_creation": [], "output_tokens": None}), "no number of tokens"),
        ([openai(cost(1)), anthropic()], "mixes"),
    ],
)
def test_what_is_no_statement(value: Any, told: str) -> None:
    if not told:
        assert read(value) == []
        return
    with pytest.raises(ValueError) as refused:
        read(value)
    assert told in str(refused.value)


def test_what_a_spreadsheet_calls_unicode() -> None:
    told = read_statement("day\tcost\n2026-01-01\t2\n".encode("utf-16")).lines
    assert told == [Line("2026-01-01", "", cost=2 * DOLLAR)]


def test_a_model_that_is_no_text_is_none() -> None:
    assert read(openai({"input_tokens": 5, "output_tokens": 1, "model": 7})) == [Line("2026-01-01", "", 5, 1)]


def test_hours_and_amounts_of_a_bucket_are_added_up() -> None:
    hours = [openai({"input_tokens": 5, "model": "m"}, at=DAY + hour * 3600)["data"][0] for hour in range(3)]
    for hour in hours:
        hour["end_time"] = hour["start_time"] + 3600
    assert read({"data": hours}) == [Line("2026-01-01", "m", 5, 0)] * 3


def test_other_bytes() -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        read_statement(b"\xff\xfe\x00")
