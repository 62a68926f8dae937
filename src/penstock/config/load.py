"""From what was written to a `Config`, or to one error that lists everything wrong with it.

The pieces are read in `config/edge.py`, `upstreams.py`, `policies.py` and `routes.py`; here they are put together and
the rules between them checked. Never imports a YAML parser: `config/yaml_file.py` hands in a tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.config.contradictions import check_routes
from penstock.config.doubts import check_allowed, check_reach
from penstock.config.edge import check_edge, read_auth, read_keys, read_layers, read_log, read_server
from penstock.config.fallbacks import check_fallbacks
from penstock.config.habits import foreign_file
from penstock.config.keeping import DURABILITY, MEMORY, read_admission, read_encryption_key, read_state, retention
from penstock.config.kinds import read_kinds
from penstock.config.naming import leads_somewhere, names_of
from penstock.config.owners import read_alerts, read_tenants
from penstock.config.policies import read_defaults
from penstock.config.prices import check_known, read_prices
from penstock.config.reader import Reader
from penstock.config.routes import read_routes
from penstock.config.rule_checks import check_rules
from penstock.config.rule_doubts import callers_of, doubt_anomaly, doubt_tenants
from penstock.config.rules import read_rules
from penstock.config.schema import BUILT_IN, Config
from penstock.config.stored import stored_names
from penstock.config.targets import read_identities
from penstock.config.tree import Node, Problems, Tree, from_mapping
from penstock.config.upstreams import read_providers
from penstock.errors import ConfigError
from penstock.providers.catalogue import load_catalogue
from penstock.routing.names import Names
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["built_in", "load_config"]

_SIM_MODEL = "sim/small"


def load_config(
    source: Tree | Mapping[str, object] | None,
    env: Mapping[str, str],
    *,
    serving: bool = True,
    check_files: bool = True,
    kept: bool | None = None,
) -> Config:
    """The configuration that `source` describes, every secret resolved from `env` or its file.

    Args:
        source: a tree from `open_config`'s reader, a dict, or None for the built-in default.
        env: the environment.
        serving: whether something will listen. False, for the library inside a program whose calls need no key,
            leaves out the rules about keys that must exist and addresses that may be listened on.
        check_files: False leaves out whether each `ca_file` is there.
        kept: whether state is a file where that is nowhere said; None: where something will listen.

    Raises:
        ConfigError: one `place: message` per line, all problems at once.
    """
    if source is None:
        source = built_in(env)
    tree = source if isinstance(source, Tree) else from_mapping(source)
    if not isinstance(tree.root.value, dict):
        raise ConfigError(f"{tree.root.place}: a mapping is expected here: key: value")
    if foreign := foreign_file(tree.root.value, tree.source):
        raise ConfigError(f"{tree.root.place}: {foreign}")
    reader = Reader(tree.problems, env, tree.folder, check_files=check_files)
    config = _read(reader, tree, serving, serving if kept is None else kept)
    tree.problems.raise_if_any()
    return config


def built_in(env: Mapping[str, str]) -> Tree:
    """The default without a file: each provider whose key is in the environment, and `sim`; open, loopback only.

    Only the variable its catalogue row names switches a provider on; `*_BASE_URL` is ignored. A call that names
    no model goes to `sim/small` as long as there is nothing but `sim`: nobody with a real key shall take
    simulated text for an answer.
    """
    providers = {
        row.name: {"api_key": f"env:{row.env}"} if row.by_default else {}
        for row in load_catalogue().values()
        if row.in_process or (row.by_default and env.get(row.env, "").strip())
    }
    written: dict[str, object] = {"auth": "open", "providers": providers}
    if list(providers) == ["sim"]:
        written["default_model"] = _SIM_MODEL
    return from_mapping(written, BUILT_IN)


def _read(reader: Reader, tree: Tree, serving: bool, kept: bool) -> Config:
    fields = reader.fields(tree.root, "config")
    auth = read_auth(reader, fields.get("auth"))
    server = read_server(reader, fields.get("server"), auth)
    kinds = read_kinds(tree.problems, tree.kinds, str(Path(tree.source).parent / "providers"))
    if tree.kinds is not None:
        # The folder as well: a row may be added.
        reader.read |= dict.fromkeys(map(str, (tree.kinds, *(tree.kinds / f"{name}.toml" for name in kinds))))
    providers = read_providers(reader, fields.get("providers"), {**load_catalogue(), **kinds})
    listed = "providers" in fields and isinstance(fields["providers"].value, list)
    if not providers and not listed:
        place = fields["providers"].key if "providers" in fields else tree.root.place
        reader.problems.add(place, "no provider is declared: write providers: {sim: {}} to begin without a key")
    defaults = read_defaults(reader, fields.get("defaults"))
    before = len(tree.problems)
    keys = read_keys(reader, fields.get("keys"))
    # A key that is wrong has been reported; that none is left would be the same problem told twice.
    any_key = bool(keys) or len(tree.problems) > before
    rules = read_rules(reader, fields)
    config = Config(
        source=tree.source,
        providers=providers,
        models=read_routes(reader, fields.get("models"), providers, defaults),
        default_model=reader.label(fields.get("default_model")) or None,
        server=server,
        defaults=defaults,
        auth=auth,
        keys=tuple(key for key, _ in keys),
        log=read_log(reader, fields.get("log")),
        kinds=kinds,
        prices=read_prices(reader, fields.get("prices"), providers, fields.get("models")),
        known_as=read_identities(reader, fields.get("models"), {**load_catalogue(), **kinds}),
        rules=tuple(each.rule for each in rules.written),
        request_budgets=tuple(each.budget for each in rules.ceilings),
        tenants=read_tenants(reader, fields.get("tenants")),
        state=read_state(reader, fields.get("state"), kept=kept),
        durability=reader.choice(fields.get("durability"), DURABILITY, "process"),
        retention=reader.value(fields.get("retention"), retention, None),
        alerts=read_alerts(reader, fields.get("alerts")),
        admission=read_admission(reader, fields.get("admission")),
        encryption_key=read_encryption_key(reader, fields.get("encryption_key")),
        layers=read_layers(reader, fields.get("layers")),
        files=tuple(reader.read),
    )
    names = names_of(config)
    _check_default(reader.problems, fields.get("default_model"), config, names)
    check_routes(reader.problems, tree.root, config)
    check_fallbacks(reader.problems, tree.root, config, names)
    check_allowed(reader.problems, keys, config, names)
    check_reach(reader.problems, tree.root, keys, config, names)
    callers = callers_of(config)
    # A store that is named is most likely one with keys, which may be trusted or not.
    stores = "state" in fields and config.state != MEMORY
    callers = callers._replace(trusted=callers.trusted or stores)
    check_rules(reader.problems, rules, config, names, serving=serving, callers=callers)
    if config.tenants:
        doubt_tenants(reader.problems, reader.items(fields["keys"]) if "keys" in fields else (), config)
    if config.state == MEMORY and config.alerts.anomaly and (alerts := fields.get("alerts")) is not None:
        doubt_anomaly(reader.problems, alerts)
    check_known(reader, config, fields.get("models"))
    if serving:
        check_edge(reader, tree.root, server, auth, any_key=any_key or stores)
        if config.state == MEMORY and (wanted := stored_names(config)):
            message = f"the credential {quoted(wanted[0])} is to come from the store, and state: memory is none"
            reader.problems.add(fields["providers"].key, f"{message}: write state: sqlite:///penstock.db")
    return config


def _check_default(problems: Problems, node: Node | None, config: Config, names: Names) -> None:
    if node is None or config.default_model is None or leads_somewhere(config.default_model, config, names):
        return
    near = did_you_mean(config.default_model, [*config.models, *config.providers])
    problems.add(node.place, f"default_model {quoted(config.default_model)} is not under models{near}")
