"""Every key of a scenario: how its value is written, what holds where it is not, and what it does.

The reader takes from here which keys there are, `penstock simulate --schema` and docs/simulate.md all the rest.
"""

from __future__ import annotations

from typing import Any

from penstock.config import forms, values
from penstock.config.entry import Entry
from penstock.config.forms import Form, choice, each, either, named, section, whole
from penstock.testing.simulate.scenario import FAULTS

__all__ = ["KEYS", "REQUIRED", "json_schema"]

RATE = Form(
    "a rate",
    {"type": "string", "pattern": r"^[0-9]{1,6}(?:\.[0-9]{1,3})?/(?:s|min|h)$"},
)
SHARE = Form(
    "a part of 1, or percent",
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 1},
            {"type": "string", "pattern": r"^(?:100|[0-9]{1,2}(?:\.[0-9]{1,4})?)%$"},
        ]
    },
)
NUMBER = Form("a number", {"type": "number", "exclusiveMinimum": 0})
DOLLARS = Form("dollars", {"type": "number", "minimum": 0})
PLACE = forms.LABEL._replace(name="a provider, `provider/model`, or either with `#credential`")
JUMP = Form("a duration with its sign", {"type": "string", "pattern": rf"^[+-]{values.DURATION.pattern}$"})
_FLAG = Form("`true` or `false`", {"type": "boolean"})
TIME = forms.DURATION._replace(name="a time")

_TOKENS = either(forms.COUNT, section("spread_of_tokens", "a mapping"), each(forms.COUNT, least=1))
_TIMES = either(
    forms.POSITIVE_DURATION, section("spread_of_times", "a mapping"), each(forms.POSITIVE_DURATION, least=1)
)
_SPEEDS = either(NUMBER, section("spread_of_numbers", "a mapping"), each(NUMBER, least=1))

_FROM = Entry(TIME, "From when, since the beginning.", "5m", "0s")
_UNTIL = Entry(TIME, "Until when. Without it until the end.", "15m")


def _spread(form: Form, unit: str) -> dict[str, Entry]:
    return {
        "median": Entry(form, f"Half of them are below: {unit}; with `p95`."),
        "p95": Entry(form, "95 of 100 are below; the rest has a long tail (log-normal)."),
        "least": Entry(form, "Any between this and `most`, all equally likely."),
        "most": Entry(form, "See `least`."),
    }


KEYS: dict[str, dict[str, Entry]] = {
    "scenario": {
        "config": Entry(
            either(forms.TEXT, Form("a mapping", {"type": "object"})),
            "The configuration to run: a file, from this one's folder, or the configuration itself. No secret is read.",
            "penstock.yaml",
        ),
        "duration": Entry(forms.POSITIVE_DURATION, "How long callers come.", "30m", "10m"),
        "seed": Entry(whole(0, 2**31), "The seed where `--seed` gives none.", "7", "0"),
        "workers": Entry(whole(1, 64), "Gateways that share the callers, and one centre.", "2", "1"),
        "traffic": Entry(
            named(section("traffic"), r"\S"), "Who comes, each kind by a name.", "{chat: {model: fast, rate: 5/s}}"
        ),
        "vendors": Entry(
            named(section("vendor"), r"\S"),
            "How providers answer when they are well: by `provider/model`, by provider, or `*` for the others.",
        ),
        "faults": Entry(each(section("fault")), "What goes wrong."),
        "expect": Entry(section("expect"), "What must come out; else the command ends with 1."),
    },
    "traffic": {
        "model": Entry(
            either(forms.LABEL, named(NUMBER, r"\S", least=1)),
            "What they ask for, or several names, each with its part.",
            "{fast: 4, smart: 1}",
        ),
        "rate": Entry(either(RATE, section("rate", "a mapping")), "How many come.", "5/s"),
        "from": _FROM,
        "until": _UNTIL,
        "prompt": Entry(_TOKENS, "Tokens of their prompts.", "{median: 800, p95: 6000}", "400"),
        "output": Entry(_TOKENS, "Tokens of the answers.", "{median: 200, p95: 800}", "{median: 200, p95: 800}"),
        "stream": Entry(either(_FLAG, SHARE), "The part that streams.", "70%", "true"),
        "dialect": Entry(choice("openai", "anthropic"), "How they speak.", "anthropic", "openai"),
        "key": Entry(
            forms.LABEL,
            "Which of the configuration's `keys:` they present, by its name. Without it they need none.",
            "app",
        ),
        "priority": Entry(
            choice("critical", "high", "normal", "low", "sheddable"), "Their `x-penstock-priority`.", "high"
        ),
        "deadline": Entry(forms.POSITIVE_DURATION, "Their `x-penstock-deadline`.", "20s"),
        "headers": Entry(named(forms.TEXT, r"\S"), "Further headers.", "{x-penstock-retries: \"1\"}"),
        "patience": Entry(forms.POSITIVE_DURATION, "After how long without a whole answer they leave.", "60s"),
    },
    "rate": {
        "constant": Entry(RATE, "Always the same.", "5/s"),
        "ramp": Entry(section("range", "a mapping"), "From one rate at the beginning to another at the end."),
        "day": Entry(section("day", "a mapping"), "A day's ups and downs; the scenario begins at midnight."),
        "replay": Entry(
            either(forms.TEXT, each(TIME, least=1)),
            "The moments themselves, or a file with one a line, in seconds.",
            "[0s, 1s, 1500ms]",
        ),
        "spikes": Entry(each(section("spike")), "For a while there are so many times as many."),
    },
    "range": {"from": Entry(RATE, "At the beginning.", "1/s"), "to": Entry(RATE, "At the end.", "20/s")},
    "day": {
        "low": Entry(RATE, "At its quietest.", "1/s"),
        "high": Entry(RATE, "At its busiest.", "9/s"),
        "peak": Entry(TIME, "When that is, after midnight.", "14h", "14h"),
    },
    "spike": {
        "from": _FROM,
        "for": Entry(forms.POSITIVE_DURATION, "How long.", "1m"),
        "times": Entry(NUMBER, "How many times as many.", "10"),
    },
    "spread_of_tokens": _spread(forms.COUNT, "tokens"),
    "spread_of_times": _spread(forms.POSITIVE_DURATION, "a duration"),
    "spread_of_numbers": _spread(NUMBER, "a number"),
    "vendor": {
        "first_token": Entry(
            _TIMES, "Until the first output.", "{median: 400ms, p95: 1200ms}", "{median: 400ms, p95: 1200ms}"
        ),
        "speed": Entry(_SPEEDS, "Tokens a second from then on.", "60", "80"),
        "latency": Entry(forms.DURATION, "Of the network, one way; of a provider, not of a model.", "10ms", "10ms"),
        "most": Entry(whole(1, 1_000_000), "Calls at a time; one more is refused with status `over`.", "50"),
        "over": Entry(whole(400, 599), "See `most`.", "529", "529"),
        "limit": Entry(
            RATE, "What each credential may ask; what is above is refused with 429 and `retry-after`.", "600/min"
        ),
    },
    "fault": {
        "fault": Entry(choice(*FAULTS), "What happens; see below."),
        "at": Entry(PLACE, "Where.", "openai/gpt-5#a"),
        "from": _FROM,
        "until": _UNTIL,
        "for": Entry(forms.POSITIVE_DURATION, "How long, instead of `until`.", "10m"),
        "every": Entry(forms.POSITIVE_DURATION, "Again after so long.", "1h"),
        "share": Entry(SHARE, "The part of requests that it hits.", "50%", "100%"),
        "status": Entry(
            either(whole(400, 599), choice("refused", "silent")),
            "Of the answer: of an `outage` (or `refused`, `silent`), a `brownout`, a `throttle`.",
            "529",
            "503; 529; 429",
        ),
        "retry_after": Entry(forms.DURATION, "What such an answer asks for.", "2s"),
        "factor": Entry(NUMBER, "How many times as slow, of `slow` and `late`.", "5", "10"),
        "first_token": Entry(forms.POSITIVE_DURATION, "How long a `late` one takes, instead of `factor`.", "20s"),
        "after": Entry(SHARE, "Of `cut`, `stall`, `malformed`: the part of the answer that is well.", "50%", "50%"),
        "script": Entry(forms.TEXT, "Of `script`: a fault script of the simulated provider.", "no_done"),
        "jump": Entry(JUMP, "Of `clock`: by how much.", "+1h"),
        "worker": Entry(whole(1, 64), "Of `kill`: which.", "2", "1"),
        "config": Entry(forms.TEXT, "Of `reload`: another file. Without it the same again.", "other.yaml"),
    },
    "expect": {
        "success": Entry(SHARE, "At least so large a part is answered well.", "99.9%"),
        "first_token_p99": Entry(forms.POSITIVE_DURATION, "At most.", "3s"),
        "total_p99": Entry(forms.POSITIVE_DURATION, "At most.", "30s"),
        "attempts": Entry(NUMBER, "At most so many for each request.", "1.2"),
        "spend": Entry(DOLLARS, "At most so many dollars an hour.", "12"),
    },
}  # fmt: skip

REQUIRED: dict[str, tuple[str, ...]] = {
    "scenario": ("config", "traffic"),
    "traffic": ("model", "rate"),
    "range": ("from", "to"),
    "day": ("low", "high"),
    "spike": ("for", "times"),
    "fault": ("fault",),
}


def json_schema() -> dict[str, Any]:
    """The schema of a scenario, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a scenario of penstock simulate",
        **_section("scenario"),
        "$defs": {name: _section(name) for name in KEYS if name != "scenario"},
    }


def _section(name: str) -> dict[str, Any]:
    properties = {
        key: {"description": entry.text.replace("`", ""), **entry.form.schema} for key, entry in KEYS[name].items()
    }
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if name in REQUIRED:
        found["required"] = list(REQUIRED[name])
    return found
