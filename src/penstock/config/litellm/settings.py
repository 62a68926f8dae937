"""Everything of a LiteLLM file but its models: what it is here, or why it is not.

The keys are those of https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.config import values
from penstock.config.litellm.allowances import IN_GENERAL as ALLOWED_IN_GENERAL
from penstock.config.litellm.allowances import IN_LITELLM as ALLOWED_IN_LITELLM
from penstock.config.litellm.allowances import IN_ROUTER as ALLOWED_IN_ROUTER
from penstock.config.litellm.reading import LATER, Import, entries, items, plain, shown, text_of
from penstock.config.litellm.reliability import IN_GENERAL, IN_LITELLM, IN_ROUTER
from penstock.config.tree import Node

__all__ = ["Settings", "read_settings"]

_OURS = "has no counterpart"
_RETRY = f"how many failures of which sort are allowed is {LATER}: see breaker"
_WAIT = "waits between attempts grow by themselves, and keep to what a provider asks for: see retry"
_LONGER = "everything that is listed is asked, within retry: {max_total: ...}"
_CACHE = f"caches are {LATER}"
_USERS = (
    "users of its database are not taken over: write a budget of each that calls name, such as"
    " {scope: user, limit: 5 USD/day}"
)
_ALERTS = "alerts go to the log, and to a webhook that checks their signature: write alerts: {webhook: ...}"
_SINK = f"sinks for logs and traces are {LATER}; a JSON line for each request goes to stdout"
_SHARED = f"state shared by replicas is {LATER}"
_STATE = "keys, teams and spend in its database are not taken over: write the keys under keys:"


def _why(reasons: Mapping[str, str]) -> dict[str, str]:
    """Key -> why it stays a comment, from why -> keys."""
    return {key: why for why, keys in reasons.items() for key in keys.split()}


# What is read below stands in _READ.
_GENERAL = _why({
    _STATE: "database_url store_model_in_db database_connection_pool_limit database_connection_timeout",
    _ALERTS: "alerting alerting_threshold alert_types alert_to_webhook_url alerting_args",
    f"other credentials than keys are {LATER}": "custom_auth enable_jwt_auth litellm_jwtauth enable_oauth2_auth",
    f"raw pass-through is {LATER}": "pass_through_endpoints",
    "what a rehearsal finds is told by penstock rehearse": "health_check_details",
    "the control plane has a credential of its own": "ui_username ui_password ui_access_mode",
    f"demanding a user is {LATER}": "enforce_user_param",
    "secrets are references: env:NAME or file:PATH": "key_management_system key_management_settings",
    "which headers pass is listed in the catalogue": "forward_client_headers_to_llm_api",
    "prompts are never logged": "store_prompts_in_spend_logs",
    "no request is written to a database": "disable_spend_logs disable_spend_updates proxy_batch_write_at",
})  # fmt: skip
_RETRIES = "allowed_fails_policy"
_CALLBACKS = (
    "success_callback failure_callback callbacks service_callbacks s3_callback_params langfuse_default_tags"
    " audit_log_callbacks datadog_params otel"
)
_BUDGETS = (
    "max_internal_user_budget internal_user_budget_duration max_user_budget max_end_user_budget"
    " default_internal_user_params"
)
_LITELLM = _why({
    _RETRY: _RETRIES,
    _WAIT: "retry_after",
    _LONGER: "max_fallbacks",
    _CACHE: "cache cache_params enable_caching_on_provider_specific_optional_params",
    _USERS: _BUDGETS,
    _SINK: _CALLBACKS,
    f"guardrails are {LATER}": "guardrails",
    _STATE: "default_team_settings upperbound_key_generate_params key_generation_settings",
    "the log's form is not set: a JSON line for each request": "set_verbose json_logs",
    "content is never logged": "turn_off_message_logging redact_messages_in_exceptions redact_user_api_key_info",
    "untranslatable: drop decides what is left out": "modify_params",
    "write ca_file: FILE on the provider; TLS cannot be left unchecked": "ssl_verify ssl_certificate",
    "write each alias as a model of its own under models:": "model_alias_map",
    "every route needs a key": "public_routes allowed_routes",
    "addresses of both families are tried, one after the other": "force_ipv4",
})  # fmt: skip
_ROUTER = _why({
    _RETRY: _RETRIES,
    _WAIT: "retry_after",
    _LONGER: "max_fallbacks",
    f"settings of a strategy are {LATER}": "routing_strategy_args",
    _SHARED: "redis_host redis_port redis_password redis_url cache_responses cache_kwargs",
    f"choosing by tags is {LATER}": "enable_tag_filtering tag_filtering_match_any",
    f"checks before a call are {LATER}": "enable_pre_call_checks optional_pre_call_checks",
    f"assistants are {LATER}": "assistants_config",
})  # fmt: skip
_SECTIONS: dict[str, dict[str, str]] = {
    "general_settings": _GENERAL, "litellm_settings": _LITELLM, "router_settings": _ROUTER,
}  # fmt: skip
_READ: dict[str, frozenset[str]] = {
    "general_settings": frozenset(("master_key", "completion_model")) | IN_GENERAL | ALLOWED_IN_GENERAL,
    "litellm_settings": frozenset(("drop_params", "request_timeout")) | IN_LITELLM | ALLOWED_IN_LITELLM,
    "router_settings": frozenset(("timeout", "stream_timeout", "model_group_alias")) | IN_ROUTER | ALLOWED_IN_ROUTER,
}
_WHOLE: dict[str, str] = {
    "guardrails": f"guardrails are {LATER}",
    "prompts": f"the prompt registry is {LATER}",
    "mcp_servers": "MCP servers are not a gateway's here",
    "mcp_tools": "MCP servers are not a gateway's here",
    "callback_settings": _SINK,
    "files_settings": f"files are {LATER}",
    "finetune_settings": f"fine-tuning is {LATER}",
    "assistant_settings": f"assistants are {LATER}",
    "vector_store_registry": f"vector stores are {LATER}",
    "search_tools": f"search tools are {LATER}",
    "policies": f"guardrails are {LATER}",
    "include": "other files are not followed: import each, or put them into one",
}
_KNOWN = frozenset(("model_list", "credential_list", *_SECTIONS))


class Settings:
    """What the other sections come to.

    Attributes:
        master: the reference to the master key; "" where callers need none.
        default_model: a model's name, "" for none.
        defaults: the keys of `defaults:`.
        aliases: further names, each with the one it stands for.
        later: what stays a comment: the line, and what stood there.
    """

    def __init__(self) -> None:
        self.master = ""
        self.default_model = ""
        self.defaults: dict[str, Any] = {}
        self.aliases: dict[str, tuple[str, Node]] = {}
        self.later: list[tuple[int, str]] = []


def read_settings(found: Import, root: dict[str, Node]) -> Settings:
    """Everything but the models."""
    settings = Settings()
    for section, reasons in _SECTIONS.items():
        for key, node in entries(root.get(section)).items():
            if key in _READ[section] or node.value is None:
                continue
            _leave(found, settings, node, f"{section}.{key}", reasons.get(key) or _elsewhere(key, section))
    for key, node in root.items():
        if key == "environment_variables":
            names = ", ".join(entries(node)) or "none"
            found.note(node, key, f"a configuration sets no variables here: set {names} where Penstock is started")
        elif key not in _KNOWN and node.value is not None:
            _leave(found, settings, node, key, _WHOLE.get(key, f"{_OURS}, as far as this import knows"))
    _read_general(found, settings, entries(root.get("general_settings")))
    _read_defaults(found, settings, root)
    _read_aliases(found, settings, entries(root.get("router_settings")).get("model_group_alias"))
    _tell_metrics(found, entries(root.get("litellm_settings")))
    return settings


def _elsewhere(key: str, section: str) -> str:
    """Why a key is left that this section does not have."""
    other = next((name for name in _SECTIONS if name != section and key in _READ[name] | set(_SECTIONS[name])), "")
    if other:
        return f"LiteLLM's documentation has it under {other}: if it is meant, move it there and import again"
    return f"{_OURS}, as far as this import knows"


def _leave(found: Import, settings: Settings, node: Node, key: str, why: str) -> None:
    found.note(node, key, why)
    settings.later.append((node.key.line, shown(key, node)))


def _read_general(found: Import, settings: Settings, general: dict[str, Node]) -> None:
    settings.default_model = text_of(general.get("completion_model"))
    master = general.get("master_key")
    if master is None or master.value is None:
        # LiteLLM reads this variable where the file says nothing.
        if found.env.get("LITELLM_MASTER_KEY", "").strip():
            settings.master = found.variable("LITELLM_MASTER_KEY")
        return
    key = "general_settings.master_key"
    settings.master = found.reference(master, key, "LITELLM_MASTER_KEY")
    if settings.master == "none":
        settings.master = found.variable("LITELLM_MASTER_KEY")
    found.note(master, key, "is one key under keys: that may ask for everything; it does not open the control plane")


def _read_defaults(found: Import, settings: Settings, root: dict[str, Node]) -> None:
    litellm, router = entries(root.get("litellm_settings")), entries(root.get("router_settings"))
    if "drop_params" in litellm and litellm["drop_params"].value is True:
        settings.defaults["untranslatable"] = "drop"
        found.note(
            litellm["drop_params"],
            "litellm_settings.drop_params",
            "is untranslatable: drop; what is left out is named in x-penstock-dropped",
        )
    timeouts = {}
    for node, key in (
        (router.get("timeout") or litellm.get("request_timeout"), "total"),
        (router.get("stream_timeout"), "first_token"),
    ):
        value = node.value if node is not None else None
        if node is not None and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            timeouts[key] = values.duration_text(float(value))
            if key == "total":
                message = "is defaults: {timeouts: {total: ...}}, which also ends a stream that lasts longer"
                found.note(node, "timeout", message)
    if timeouts:
        settings.defaults["timeouts"] = timeouts


def _read_aliases(found: Import, settings: Settings, node: Node | None) -> None:
    for name, entry in entries(node).items():
        fields = entries(entry)
        if isinstance(entry.value, list):
            why = "left out: one model stands there, and not a list; several are models: {NAME: {targets: [...]}}"
            _leave(found, settings, entry, f"model_group_alias.{name}", why)
            continue
        target = text_of(fields.get("model")) if fields else text_of(entry)
        settings.aliases[name] = (target, entry)
        if fields.get("hidden") is not None and plain(fields["hidden"]) is True:
            _leave(
                found, settings, entry, f"model_group_alias.{name}", f"hidden names are {LATER}: it shows in /v1/models"
            )


def _tell_metrics(found: Import, litellm: dict[str, Node]) -> None:
    for key in ("callbacks", "success_callback", "failure_callback", "service_callbacks"):
        node = litellm.get(key)
        if node is not None and "prometheus" in [text_of(item) for item in items(node)]:
            found.note(node, f"litellm_settings.{key}", "prometheus: /metrics is always there, on the control plane")
