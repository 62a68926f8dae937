"""What a provider says when it is asked for its models: one GET for each of its keys, which costs nothing anywhere.

Finds keys that are refused, base URLs that lead to something else, and how far this machine's clock is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from penstock.cli.checkup.findings import Finding, fail, note, ok
from penstock.clock import Clock
from penstock.config.schema import Provider
from penstock.gateway import endpoint_of
from penstock.providers.auth import auth_headers
from penstock.providers.catalogue import Row
from penstock.providers.deployment import Endpoint
from penstock.providers.listing import Listing, get_models
from penstock.transport.http import Pool

__all__ = ["ask_for_models"]

BASE_URL, KEY, CLOCK = "base_url", "key", "clock"
# How far a clock may be off before it is worth a word: signed requests and new certificates are refused at 5 minutes.
SKEW_SECONDS = 120.0


async def ask_for_models(provider: Provider, row: Row, pool: Pool, clock: Clock) -> tuple[list[Finding], list[str]]:
    """What came of it; the models it names, none where it did not say.

    Raises:
        UpstreamError: it went away.
    """
    if provider.by_caller:
        return [note(KEY, provider.name, "not asked: its callers bring their own keys", "Ask with one of theirs.")], []
    if "{model}" in provider.base_url:
        fix = "A first call will tell; or write base_url without api_version."
        return [note(BASE_URL, provider.name, "not asked: in its older form it has no list of models", fix)], []
    found: list[Finding] = []
    models: list[str] = []
    for source, endpoint in _ways_to_pay(provider, row):
        answer = await get_models(endpoint, pool)
        if answer is None:
            fix = "Correct base_url: it may have to begin with https:// or http://, or name another port."
            return [fail(BASE_URL, provider.name, f"GET {_url(provider)}: the answer is no HTTP", fix)], []
        if not found:
            found += _check_skew(provider, answer.headers, clock)
        models = models or _models_in(answer) or []
        found.append(_judge(provider, source, answer))
    return found, models


def _ways_to_pay(provider: Provider, row: Row) -> Iterator[tuple[str, Endpoint]]:
    """Each of its credentials by where it comes from, on an endpoint that sends it."""
    endpoint = endpoint_of(provider, row)
    for one in provider.credentials:
        yield one.api_key.source, endpoint.carrying(auth_headers(row.auth, one.api_key), one.name)
    if not provider.credentials:
        yield provider.api_key.source if provider.api_key is not None else "no key", endpoint


def _judge(provider: Provider, source: str, answer: Listing) -> Finding:
    if answer.status in (401, 403) and source in ("none", "no key"):
        fix = "Write api_key: env:NAME on the provider, and put its key into that variable."
        return fail(KEY, provider.name, f"GET {_url(provider)}: {answer.status}, it wants a key", fix)
    if answer.status in (401, 403):
        fix = f"Put a valid key there; the one that {source} leads to may be revoked, or another vendor's."
        return fail(KEY, provider.name, f"GET {_url(provider)}: {answer.status}, it refuses {source}", fix)
    models = _models_in(answer)
    if models is None:
        fix = "Correct base_url: most servers that speak as OpenAI does want it to end with /v1."
        told = f"GET {_url(provider)}: {answer.status} and no list of models"
        return fail(BASE_URL, provider.name, told, fix)
    return ok(KEY, provider.name, f"{source} is accepted; {len(models)} models")


def _url(provider: Provider) -> str:
    return f"{provider.base_url}/models"


def _models_in(answer: Listing) -> list[str] | None:
    if answer.status != 200:
        return None
    try:
        value: Any = msgspec.json.decode(answer.body)
        return [item["id"] for item in value["data"] if isinstance(item["id"], str)]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def _check_skew(provider: Provider, headers: Mapping[bytes, bytes], clock: Clock) -> Iterable[Finding]:
    try:
        theirs = parsedate_to_datetime(headers.get(b"date", b"").decode("latin-1")).timestamp()
    except ValueError:
        return
    off = clock.wall() - theirs
    if abs(off) > SKEW_SECONDS:
        told = f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} {provider.name}'s"
        yield fail(CLOCK, provider.name, told, "Set it: timedatectl set-ntp true.")
