"""LiteLLM's `model_list`: each entry is a deployment, those of one `model_name` are one model here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from penstock.config import values
from penstock.config.limits import MOST_CALLS
from penstock.config.litellm.costs import COSTS, per_million, read_costs
from penstock.config.litellm.reading import LATER, Import, entries, items, shown, text_of
from penstock.config.litellm.retries import retry_of
from penstock.config.litellm.vendors import ABSENT, VENDORS, Vendor, vendor_of
from penstock.config.tree import Node
from penstock.providers.catalogue import Row, load_catalogue
from penstock.routing.nearest import quoted

__all__ = ["Deployment", "Where", "part_of", "read_deployments", "whole_parts"]


class Where(NamedTuple):
    """What makes deployments one provider here, but for the key. `url` is "" for the catalogue's own address."""

    kind: str
    url: str = ""
    version: str = ""
    region: str = ""


class Deployment(NamedTuple):
    """One entry of `model_list`.

    Attributes:
        name: what callers ask for.
        where, key: the provider; `key` as it is referred to here.
        model: the vendor's name of it.
        known_as: what it is, where its name does not say.
        weight: its part of the requests among those of its name; None where nothing is said.
        order: those with the least come first.
        policies: what goes to the model's own keys here.
        prices: what it costs, as under `prices:`; empty where nothing is said.
        later: what stays a comment: the line, and what stood there.
        entry: where it stands.
    """

    name: str
    where: Where
    key: str
    model: str
    known_as: str
    weight: float | None
    order: int
    policies: dict[str, Any]
    prices: dict[str, str]
    later: list[tuple[int, str]]
    entry: Node


_LOCAL = re.compile(
    r"(localhost|127\.|10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|\[::1\]|host\.docker\.internal)", re.I
)
# A name with a dot and nothing before it: the port, where there is one, may follow.
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]{1,5})?")
# Gemini's models as Google Cloud sells them, whose credentials and paths are others.
_VERTEX = "aiplatform.googleapis.com"
# Google's own form of the API, which is asked by its OpenAI form here.
_GEMINI = re.compile(r"(https://)?generativelanguage\.googleapis\.com(/v1(beta)?)?")
_DEPLOYMENTS_PATH = re.compile(r"/openai(/deployments/[^/]+.*)?/?\Z")
# Of `litellm_params`, what is read below; then why something stays a comment, and what.
_READ = frozenset((
    "model", "api_key", "api_base", "base_url", "api_version", "custom_llm_provider", "litellm_credential_name",
    "weight", "order", "region_name", "timeout", "stream_timeout", "max_tokens", "drop_params", "num_retries",
    "cooldown_time", "max_parallel_requests", "rpm", "tpm", "max_budget", "budget_duration",
))  # fmt: skip
_PRICES = f"such a price, like those by the second, the image or the character, is {LATER}"
_WHY: dict[str, str] = {
    "stands under router_settings: model_group_retry_policy": "retry_policy",
    "the router sets it to 0 there, and num_retries counts": "max_retries",
    f"choosing by tags is {LATER}": "tags",
    _PRICES: " ".join(COSTS)
    + " input_cost_per_second output_cost_per_second input_cost_per_image input_cost_per_character",
    f"headers of your own are {LATER}": "extra_headers headers default_headers",
    f"which organization pays is {LATER}: use a key that belongs to it": "organization project",
    f"Entra ID is {LATER}: use an API key of the resource": "tenant_id client_id client_secret azure_ad_token"
    " azure_username azure_password",
    "the simulated provider, sim, answers without a key": "mock_response",
    f"guardrails are {LATER}": "guardrails",
    "write ca_file: FILE for a CA of your own; TLS cannot be left unchecked": "ssl_verify",
}
_LATER_PARAMS = {key: why for why, keys in _WHY.items() for key in keys.split()}
_INFO = {
    "access_groups": "groups of models are written out in each key's models",
    "id": "a deployment is called provider/model",
    "tags": f"choosing by tags is {LATER}",
    "team_id": "a key's models say who may ask for what",
}
_OF_ENTRY = frozenset(("model_name", "litellm_params", "model_info"))
_ELSEWHERE = "stands beside litellm_params: move it there, and it is taken over"
_UNKNOWN_PARAM = f"request fields set by the gateway are {LATER}: callers send them"
_CREDENTIALS = frozenset(("api_key", "api_base", "api_version"))


def read_deployments(found: Import, model_list: Node | None, credentials: Node | None) -> list[Deployment]:
    """Every entry that can be had here, in order; the others are notes."""
    shared = {text_of(entries(item).get("credential_name")): item for item in items(credentials)}
    deployments = []
    used = {
        text_of(entries(entries(item).get("litellm_params")).get("litellm_credential_name"))
        for item in items(model_list)
    }
    for name, item in shared.items():
        if name not in used:
            found.note(item, "credential_list", f"{quoted(name)} is left out: no model names it")
    for entry in items(model_list):
        read = _read(found, entry, shared)
        if read is not None:
            deployments.append(read)
    return deployments


def _read(found: Import, entry: Node, shared: dict[str, Node]) -> Deployment | None:
    fields = entries(entry)
    params = _with_credential(found, entries(fields.get("litellm_params")), shared)
    info = entries(fields.get("model_info"))
    name, model = text_of(fields.get("model_name")), text_of(params.get("model"))
    if not name or not model:
        found.leave_out(entry, name or "?", entry, "it has no model_name, or no litellm_params.model")
        return None
    vendor, model = vendor_of(model, text_of(params.get("custom_llm_provider")))
    if vendor == "*":
        message = "every model of every provider: declare the providers; callers ask for provider/model"
        found.leave_out(entry, name, params["model"], message)
        return None
    mode = text_of(info.get("mode"))
    if mode not in ("", "chat", "embedding", "responses"):
        found.leave_out(entry, name, info["mode"], f"{mode.replace('_', ' ')} is {LATER}")
        return None
    known = VENDORS.get(vendor)
    if known is None or _row(known.kind) is None:
        found.leave_out(entry, name, params["model"], _why_not(vendor))
        return None
    base = params.get("api_base", params.get("base_url"))
    if known.kind == "gemini" and base is not None and _VERTEX in text_of(base):
        found.leave_out(entry, name, base, ABSENT["vertex_ai"])
        return None
    model = _asked_by_chat(found, params["model"], model, mode)
    where = _where(found, params, known, vendor)
    key = _key(found, params, known, where)
    later = [*_beside(found, fields), *_left(found, params, info)]
    return Deployment(
        name=name,
        where=where,
        key=key,
        model=model,
        known_as=_identity(info, known, model),
        weight=part_of(params.get("weight")) or part_of(params.get("rpm")) or part_of(params.get("tpm")) or None,
        order=_whole(params.get("order")) or 1,
        policies=_policies(found, params),
        prices=_prices(found, params, info),
        later=later,
        entry=entry,
    )


def _asked_by_chat(found: Import, node: Node, model: str, mode: str) -> str:
    """The model without LiteLLM's word for an API that is not asked here."""
    if mode == "responses" or model.startswith("responses/"):
        message = f"the Responses API is {LATER}: it is asked by the chat completions API, which not every model has"
        found.note(node, "model", message)
    return model.removeprefix("responses/")


def _prices(found: Import, params: dict[str, Node], info: dict[str, Node]) -> dict[str, str]:
    """What it costs; a half that nobody wrote is told, as it counts for nothing."""
    prices = read_costs(params, info)
    for unit, key in (("input", "input_cost_per_token"), ("output", "output_cost_per_token")):
        written = next((section[key] for section in (params, info) if key in section), None)
        if prices and written is None:
            other = next(
                section[name] for section in (params, info) for name in section if _is_cost(name, section[name])
            )
            found.note(other, key, f"is not written, so {unit} costs nothing, as there")
    return prices


def _with_credential(found: Import, params: dict[str, Node], shared: dict[str, Node]) -> dict[str, Node]:
    named = params.get("litellm_credential_name")
    if named is None:
        return params
    credential = shared.get(text_of(named))
    if credential is None:
        message = f"{quoted(text_of(named))} is no entry of credential_list: it may lie in LiteLLM's database"
        found.note(named, "litellm_credential_name", message)
        return params
    fields = entries(entries(credential).get("credential_values"))
    return {**{name: node for name, node in fields.items() if name in _CREDENTIALS}, **params}


def _why_not(vendor: str) -> str:
    if not vendor:
        return "nobody can tell its provider: write provider/model"
    otherwise = (
        f"the provider {quoted(vendor)} is {LATER}; if it speaks as OpenAI does: {{kind: openai, base_url: ...}}"
    )
    return ABSENT.get(vendor, otherwise)


def _row(kind: str) -> Row | None:
    row = load_catalogue().get(kind)
    return None if row is None or row.retired else row


# --- where it is, and what it is paid with


def _where(found: Import, params: dict[str, Node], vendor: Vendor, name: str) -> Where:
    at = "api_base" if "api_base" in params else "base_url"
    node = params.get(at)
    url = found.literal(node, at).rstrip("/") if node is not None else _base_from(found, vendor)
    if node is not None and not url:
        url = f"https://{text_of(node).rpartition('/')[2].lower().replace('_', '-') or 'address'}.invalid"
    if vendor.kind == "gemini" and _GEMINI.fullmatch(url):
        url = ""
    url = url or vendor.url
    if vendor.kind == "azure" and (path := _DEPLOYMENTS_PATH.search(url)) is not None:
        url = url[: path.start()]
        if path[1]:
            found.note(node or params["model"], at, f"{path[0]} is left out: the model asked for is the deployment")
    if url and node is not None:
        url = _plain(found, node, at, url)
    if url and vendor.suffix and not url.endswith(vendor.suffix) and not urlsplit(url).path:
        url += vendor.suffix
    if url and not _is_url(url):
        # Not shown: it may hold a password.
        message = "is no address that can be taken over: write it out in the result, without a user name or password"
        found.note(node or params["model"], at, message)
        url = "https://address.invalid"
    row = load_catalogue()[vendor.kind]
    if row.name == "openai" and (named := _vendor_at(url)) is not None:
        found.note(node or params["model"], at, f"is {named.name}'s, whose row of the catalogue holds, prices included")
        row = named
    if not url and row.url_form:
        url = f"https://{name.replace('_', '-')}.invalid"
        found.note(params["model"], name, f"has no address: write it out in the result, such as {row.url_form}")
    version = found.literal(params.get("api_version"), "api_version") if row.versioned is not None else ""
    if row.versioned is None and "api_version" in params:
        found.note(params["api_version"], "api_version", f"{row.name} has none: its base_url says which")
    region = text_of(params.get("region_name"))
    return Where(row.name, "" if url == row.url else url, version, region)


def _vendor_at(url: str) -> Row | None:
    """Which vendor has this address and speaks as OpenAI does; None for OpenAI itself, and where it is nobody's."""
    for row in load_catalogue().values():
        # What needs no key is a server of one's own, which many others may be at the same port.
        if url and row.url == url and row.env and row.name != "openai" and "openai_chat" in row.dialects:
            return None if row.retired else row
    return None


def _plain(found: Import, node: Node, at: str, url: str) -> str:
    """An address without the route that LiteLLM's own docs at times leave on, and with its scheme."""
    route = next((route for route in values.ROUTES if url.endswith(route)), "")
    if route:
        found.note(node, at, f"{route} is left out: it is added to base_url")
        url = url.removesuffix(route)
    if _HOST.fullmatch(url.partition("/")[0]):
        found.note(node, at, "has no https://, which is put before it")
        url = f"https://{url}"
    return url


def _base_from(found: Import, vendor: Vendor) -> str:
    return found.env.get(vendor.base, "").strip().rstrip("/") if vendor.base else ""


def _is_url(url: str) -> bool:
    try:
        values.base_url(url)
    except ValueError:
        return False
    return True


def _key(found: Import, params: dict[str, Node], vendor: Vendor, where: Where) -> str:
    node, fallback = params.get("api_key"), vendor.key
    if node is None and where.url and (not vendor.key or _LOCAL.match(urlsplit(where.url).netloc)):
        fallback = ""
    if node is None and fallback and where.url and vendor.kind == "openai" and not vendor.url:
        found.note(params["model"], "api_key", f"none is written: {fallback} is sent to {where.url}, as LiteLLM does")
    return found.reference(node, "api_key", fallback)


def _identity(info: dict[str, Node], vendor: Vendor, model: str) -> str:
    """What `is:` says: LiteLLM's `base_model` of an Azure deployment."""
    base = text_of(info.get("base_model")).rpartition("/")[2]
    return f"openai/{base}" if base and vendor.kind == "azure" and base != model else ""


# --- the rest of an entry


def _policies(found: Import, params: dict[str, Node]) -> dict[str, Any]:
    policies: dict[str, Any] = {}
    timeouts = {}
    for name, key in (("timeout", "total"), ("stream_timeout", "first_token")):
        seconds = _seconds(params.get(name))
        if seconds:
            timeouts[key] = seconds
    if "total" in timeouts:
        found.note(
            params["timeout"], "timeout", "is timeouts: {total: ...}, which also ends a stream that lasts longer"
        )
    if timeouts:
        policies["timeouts"] = timeouts
    most = _whole(params.get("max_tokens"))
    if most:
        policies["default_max_output"] = most
        message = "is default_max_output: asked for only where the provider demands a number and the caller gave none"
        found.note(params["max_tokens"], "max_tokens", message)
    policies |= _tries(found, params)
    if params.get("drop_params") is not None and params["drop_params"].value is True:
        policies["untranslatable"] = "drop"
    return policies


def _tries(found: Import, params: dict[str, Node]) -> dict[str, Any]:
    """How often it is tried, left alone, and asked at once."""
    tries: dict[str, Any] = {}
    retries = params["num_retries"].value if "num_retries" in params else None
    if isinstance(retries, int) and not isinstance(retries, bool) and retries >= 0:
        tries["retry"] = retry_of(retries)
    rest = _seconds(params.get("cooldown_time"))
    if rest:
        tries["breaker"] = {"open": rest, "max_open": rest}
    most = _whole(params.get("max_parallel_requests"))
    if most:
        tries["concurrency"] = min(most, MOST_CALLS)
    for name, key in (("num_retries", "retry"), ("cooldown_time", "breaker"), ("max_parallel_requests", "concurrency")):
        if name in params and key not in tries:
            found.note(params[name], f"litellm_params.{name}", f"{shown(name, params[name])} cannot be taken over")
    return tries


def _beside(found: Import, fields: dict[str, Node]) -> list[tuple[int, str]]:
    """What stands where only the name, the parameters and the information do."""
    later = []
    for key, node in fields.items():
        if key not in _OF_ENTRY:
            why = _ELSEWHERE if key in _READ else _LATER_PARAMS.get(key, "is no key of a model there")
            found.note(node, key, why)
            later.append((node.key.line, shown(key, node)))
    return later


def _left(found: Import, params: dict[str, Node], info: dict[str, Node]) -> list[tuple[int, str]]:
    later = []
    for key, node in params.items():
        if key not in _READ and not _is_cost(key, node):
            found.note(node, f"litellm_params.{key}", _LATER_PARAMS.get(key, _UNKNOWN_PARAM))
            later.append((node.key.line, shown(key, node)))
    for key, node in info.items():
        if key not in ("base_model", "mode") and not _is_cost(key, node):
            why = _INFO.get(key) or _LATER_PARAMS.get(key, "what a model can do is known by its name, or by is:")
            found.note(node, f"model_info.{key}", why)
            later.append((node.key.line, shown(key, node)))
    return later


def part_of(node: Node | None) -> float:
    """A weight as it is written, 0 for what is none."""
    value = node.value if node is not None else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12 else 0


def whole_parts(parts: Iterable[float]) -> list[int]:
    """Weights in whole numbers, which are the only ones here: fractions to the thousandth, as small as they can be."""
    listed = list(parts)
    if all(part == int(part) for part in listed):
        return [int(part) for part in listed]
    thousandths = [max(1, round(part * 1000)) if part else 0 for part in listed]
    common = math.gcd(*thousandths)
    return [part // common for part in thousandths]


def _is_cost(key: str, node: Node) -> bool:
    return key in COSTS and bool(per_million(node.value))


def _whole(node: Node | None) -> int | None:
    value = node.value if node is not None else None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1 else None


def _seconds(node: Node | None) -> str:
    value = node.value if node is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.001 <= value <= 86_400_000:
        return ""
    return values.duration_text(float(value))
