"""A LiteLLM file to a `penstock.yaml`, with a list of what differs. What is written has been read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.config.litellm.allowances import read_allowances
from penstock.config.litellm.deployments import Deployment, read_deployments
from penstock.config.litellm.fallbacks import add_fallbacks
from penstock.config.litellm.providers import Providers, Spec
from penstock.config.litellm.reading import LATER, Import, Note, entries
from penstock.config.litellm.reliability import Reliability, read_reliability
from penstock.config.litellm.settings import Settings, read_settings
from penstock.config.litellm.targets import model_of
from penstock.config.litellm.written import Model, Written, write
from penstock.config.load import load_config
from penstock.config.tree import Node, Tree
from penstock.config.yaml_file import read_yaml
from penstock.errors import ConfigError
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["Converted", "convert", "why_none"]

# What stands at the top of LiteLLM's files (docs.litellm.ai/docs/proxy/config_settings); one of them makes it one.
_OWN = frozenset(
    (
        *("model_list", "litellm_settings", "router_settings", "general_settings", "environment_variables"),
        *("credential_list", "include", "callback_settings", "guardrails", "mcp_servers", "vector_store_registry"),
    )
)
_NOT_IN_NAMES = re.compile(r"[\x00-\x20\x7f*]+")


class Converted(NamedTuple):
    """The result.

    Attributes:
        text: the `penstock.yaml`.
        notes: what differs, in the order of LiteLLM's file.
        variables: those it refers to.
        problems: what is still wrong with it, as `penstock check` says it.
    """

    text: str
    notes: list[Note]
    variables: list[str]
    problems: list[str]


def why_none(tree: Tree) -> str:
    """Why a file is no configuration of LiteLLM's, "" where it may be one."""
    root = tree.root.value
    if isinstance(root, list):
        return "it is a list: write model_list: before the list"
    if not isinstance(root, dict):
        return "it is a single value"
    if not root or _OWN & set(root):
        return ""
    if "providers" in root:
        return f"it is in Penstock's words already: penstock check {tree.source} reads it"
    return "it has no model_list"


def convert(tree: Tree, env: Mapping[str, str]) -> Converted:
    """Say a LiteLLM configuration in ours. Never raises for what it says.

    Args:
        env: the environment: for addresses that LiteLLM reads from it.
    """
    found = Import(env)
    root = entries(tree.root)
    deployments = read_deployments(found, root.get("model_list"), root.get("credential_list"))
    settings = read_settings(found, root)
    said = read_reliability(found, root)
    providers = Providers()
    models, called = _models(found, deployments, said, providers)
    called |= {name: called[target] for name, (target, _) in settings.aliases.items() if target in called}
    behind = add_fallbacks(found, said, models, called, set(providers.written()))
    settings.defaults |= {**said.defaults, **({"fallback": behind} if behind is not None else {})}
    _add_aliases(found, settings, models)
    allowed = read_allowances(found, root, deployments, providers)
    if not settings.master:
        message = "without one callers need no key: auth: open, which is for loopback alone"
        found.note(tree.root, "general_settings.master_key", message)
    if not providers.written():
        found.note(tree.root, "model_list", "nothing of it could be taken over: sim, the simulated provider, stands in")
    text = write(
        Written(
            source=tree.source,
            providers=providers.written(),
            models=models,
            prices=_prices(found, deployments, providers),
            default_model=_default(found, settings, models, root),
            defaults=settings.defaults,
            master=settings.master,
            variables=list(found.variables),
            limits=allowed.limits,
            budgets=allowed.budgets,
            later=sorted([*settings.later, *allowed.later, *found.left_out]),
        )
    )
    notes = sorted(found.notes, key=lambda note: (note.place.line, note.place.column))
    return Converted(text, notes, list(found.variables), _problems(text, found.variables))


# --- models


def _models(
    found: Import, deployments: list[Deployment], said: Reliability, providers: Providers
) -> tuple[dict[str, Model], dict[str, str]]:
    """By their names here; and these by their names there."""
    groups: dict[str, list[Deployment]] = {}
    for each in deployments:
        groups.setdefault(each.name, []).append(each)
    for name, group in groups.items():
        if "*" in name:
            _take_wildcard(found, name, group, providers)
    models: dict[str, Model] = {}
    called: dict[str, str] = {}
    for name, group in groups.items():
        if "*" not in name:
            ours = called[name] = _NOT_IN_NAMES.sub("-", name)
            if ours != name:
                found.note(group[0].entry, quoted(name), f"is called {quoted(ours)}: a name has no spaces")
            models[ours] = model_of(found, group, said.strategy, providers)
    for name, (retry, node) in said.retries.items():
        if name in called:
            model = models[called[name]]
            models[called[name]] = model._replace(policies={**model.policies, "retry": retry})
        else:
            found.note(node, f"model_group_retry_policy.{name}", f"left out: there is no model {quoted(name)}")
    return models, called


def _take_wildcard(found: Import, name: str, group: list[Deployment], providers: Providers) -> None:
    first = group[0]
    prefix, slash, rest = name.partition("/")
    spec = Spec.of([first])
    if slash and rest == "*" and first.model == "*" and providers.take(prefix, spec):
        for other in group[1:]:
            found.note(other.entry, quoted(name), "one provider answers for a name; declare the other under its own")
            providers.name(Spec.of([other]))
        return
    ours = providers.name(spec)
    for each in group:
        providers.name(Spec.of([each]))
        found.leave_out(each.entry, name, each.entry, f"patterns of names are {LATER}: callers ask for {ours}/MODEL")


def _prices(found: Import, deployments: list[Deployment], providers: Providers) -> dict[str, dict[str, str]]:
    """By `provider/model`; a deployment of several keys has one price here."""
    prices: dict[str, dict[str, str]] = {}
    for each in deployments:
        if not each.prices or "*" in each.name:
            continue
        for target in providers.targets(each):
            if prices.setdefault(target, each.prices) != each.prices:
                message = f"{target} has one price here, the first that is said of it"
                found.note(each.entry, quoted(each.name), message)
    return prices


def _add_aliases(found: Import, settings: Settings, models: dict[str, Model]) -> None:
    for name, (target, node) in settings.aliases.items():
        if target not in models:
            near = did_you_mean(target, models)
            found.note(node, f"model_group_alias.{name}", f"left out: there is no model {quoted(target)}{near}")
        elif name not in models and not _NOT_IN_NAMES.search(name):
            models[name] = models[target]._replace(later=[])


def _default(found: Import, settings: Settings, models: dict[str, Model], root: dict[str, Node]) -> str:
    name = settings.default_model
    if name and name not in models:
        node = entries(root.get("general_settings"))["completion_model"]
        found.note(node, "general_settings.completion_model", f"left out: there is no model {quoted(name)}")
        return ""
    return name


class _EverySet(dict[str, str]):
    """An environment in which every variable is set, each to something else."""

    def get(self, key: str, default: Any = None) -> Any:
        return f"value-of-{key}"


def _problems(text: str, variables: Mapping[str, None]) -> list[str]:
    try:
        load_config(read_yaml(text.encode(), "penstock.yaml"), _EverySet(dict.fromkeys(variables, "x")))
    except ConfigError as error:
        return str(error).split("\n")
    return []
