"""The keys that say what happens to a call: on a model, and under `defaults:` for all. Part of `config/keys.py`.

The figures are those of the records that use them, which say where they come from.
"""

from __future__ import annotations

from penstock.config import forms
from penstock.config.entry import Entry
from penstock.config.forms import choice, each, either, section, switchable, whole
from penstock.config.limits import MOST_ATTEMPTS, MOST_CALLS, MOST_FAILURES

__all__ = ["POLICIES", "POLICY_REQUIRED", "POLICY_SECTIONS", "POLICY_TITLES"]

POLICIES: dict[str, Entry] = {
    "strategy": Entry(
        choice("ordered", "weighted", "latency", "cost", "least_busy"),
        "Which target is asked first: the first one, one by `weight`, the one that answers soonest, the cheapest, or"
        " the less busy of two. The others stay as fallbacks in their order.",
        "least_busy",
        "ordered",
    ),
    "timeouts": Entry(section("timeouts"), "How long an attempt may wait.", "{first_token: 10s, idle: 30s}"),
    "retry": Entry(
        switchable(section("retry", "a mapping")),
        "How often and how late a call is tried again. `off` is one attempt at each target.",
        "{max_attempts: 2}",
    ),
    "breaker": Entry(
        switchable(section("breaker", "a mapping")),
        "When a target that fails is left alone for a while.",
        "{failures: 3, open: 10s}",
    ),
    "concurrency": Entry(
        switchable(either(whole(1, MOST_CALLS), section("concurrency", "a mapping"))),
        "How many calls run at each target at a time, and how many wait. A number alone is `most`.",
        "50",
    ),
    "hedge": Entry(
        switchable(section("hedge", "a mapping")),
        "When another target is asked beside one that is silent; the first output wins. Needs a second target.",
        "{after: auto, most: 2%}",
        "off",
    ),
    "fallback": Entry(
        switchable(either(each(forms.NAME), section("fallback", "a mapping"))),
        "Names under `models:`, or `provider/model`, that are asked in this order when all targets have failed; a list"
        " alone is `models`. Under `defaults:` a model in the list has what stands behind it.",
        "[smart, openai/gpt-5]",
        "off",
    ),
    "on_stream_cut": Entry(
        choice("error", "resume"),
        "What happens to a stream that breaks off after its first output: it ends with an error, or another attempt"
        " goes on with its text.",
        "resume",
        "error",
    ),
    "on_failure": Entry(
        either(choice("error"), section("on_failure", "a mapping")),
        "What is answered when everything failed: the error, or a message, which is marked as degraded.",
        "{message: We are back in a minute.}",
        "error",
    ),
    "rehearse": Entry(
        switchable(forms.POSITIVE_DURATION),
        "How often one real token is asked of each target, so that a dead key, model or quota is found before it is"
        " needed.",
        "1h",
        "off",
    ),
}  # fmt: skip

POLICY_TITLES: dict[str, str] = {
    "timeouts": "timeouts",
    "retry": "retry",
    "breaker": "breaker",
    "concurrency": "concurrency",
    "hedge": "hedge",
    "fallback": "fallback",
    "on_failure": "on_failure",
}

POLICY_REQUIRED: dict[str, tuple[str, ...]] = {"on_failure": ("message",)}

POLICY_SECTIONS: dict[str, dict[str, Entry]] = {
    "timeouts": {
        "connect": Entry(forms.POSITIVE_DURATION, "Until the connection stands.", "2s", "5s"),
        "first_token": Entry(
            forms.AUTO_DURATION,
            "Until a stream's first output; `auto` is 10 s, and 1 s for every 10,000 tokens of the prompt, and 120 s"
            " where the model reasons.",
            "10s",
            "auto",
        ),
        "idle": Entry(
            forms.AUTO_DURATION,
            "Between two pieces of a stream; `auto` is 30 s, and 120 s where the model reasons.",
            "60s",
            "auto",
        ),
        "total": Entry(
            forms.POSITIVE_DURATION,
            "The whole request, waits included. Without it 10 minutes for a whole answer, and no end for a stream.",
            "2m",
        ),
        "attempt": Entry(
            forms.AUTO_DURATION,
            "One attempt at a whole answer; `auto` is what is left of `total`, shared among the targets not yet asked.",
            "20s",
            "auto",
        ),
    },
    "retry": {
        "max_attempts": Entry(
            whole(1, MOST_ATTEMPTS), "Attempts at one target, the first included; a target may say otherwise.", "2", "3"
        ),
        "max_total": Entry(
            whole(1, MOST_ATTEMPTS), "Attempts of one request at all targets, hedges and resumes included.", "4", "6"
        ),
        "base": Entry(
            forms.POSITIVE_DURATION, "The first wait after an error that passes; it doubles.", "100ms", "50ms"
        ),
        "throttle_base": Entry(
            forms.POSITIVE_DURATION, "The same after a refusal for too many requests that names no time.", "2s", "1s"
        ),
        "max_wait": Entry(forms.POSITIVE_DURATION, "The longest such wait.", "10s", "20s"),
    },
    "breaker": {
        "failures": Entry(whole(1, MOST_FAILURES), "So many failures in a row open it.", "3", "5"),
        "ratio": Entry(forms.PART, "So large a part of the calls within `window`, failed, opens it.", "0.3", "0.5"),
        "minimum": Entry(whole(1, MOST_FAILURES), "But of no fewer calls than these.", "50", "20"),
        "window": Entry(forms.POSITIVE_DURATION, "Over which the part is counted: at most an hour.", "60s", "30s"),
        "open": Entry(forms.POSITIVE_DURATION, "How long it stays open at first; it doubles.", "10s", "5s"),
        "max_open": Entry(forms.POSITIVE_DURATION, "How long it stays open at most.", "60s", "20s"),
        "calm": Entry(forms.POSITIVE_DURATION, "After being closed so long, `open` holds again.", "10m", "5m"),
        "successes": Entry(whole(1, MOST_FAILURES), "So many single tries that succeed close it.", "1", "3"),
        "slow": Entry(
            switchable(forms.POSITIVE_DURATION), "A call whose first output takes longer is a failure.", "10s", "off"
        ),
    },
    "concurrency": {
        "most": Entry(
            either(choice("auto"), whole(1, MOST_CALLS)),
            "The most that run at a time; `auto` is as many as come, and fewer once the provider says too many.",
            "50",
            "auto",
        ),
        "queue": Entry(whole(0, MOST_CALLS), "How many may wait, by priority and deadline.", "100", "1000"),
    },
    "hedge": {
        "after": Entry(
            forms.AUTO_DURATION,
            "So long without output; `auto` is the p95 of first outputs of prompts of the same size, once 200 are"
            " known.",
            "800ms",
            "auto",
        ),
        "most": Entry(forms.PART, "The largest part of requests that may be sent in excess.", "1%", "2%"),
    },
    "fallback": {
        "models": Entry(each(forms.NAME), "Names under `models:`, or `provider/model`.", "[smart]"),
        "content_filter": Entry(
            forms.YES_NO,
            "Whether another target is asked after a content filter's refusal too.",
            "true",
            "false",
        ),
    },
    "on_failure": {
        "message": Entry(forms.TEXT, "The text to answer with.", "We are back in a minute."),
    },
}  # fmt: skip
