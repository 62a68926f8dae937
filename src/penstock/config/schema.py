"""What a configuration says once it is read: frozen records, no behaviour.

Durations are seconds, sizes bytes, paths absolute, secrets resolved and masked. Only what this version has
stands here; a key of a later version never reaches these records (`config/later.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from penstock.providers.catalogue import Row
from penstock.providers.rates import Amount
from penstock.redact import Secret
from penstock.reservation import RequestBudget, Rule
from penstock.routing.admission import AdmissionRules
from penstock.routing.names import Target
from penstock.routing.plan import Hedge, Retry, Strategy
from penstock.routing.timeouts import Timeouts
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules

__all__ = [
    "BUILT_IN",
    "OPERATIONS",
    "ROLES",
    "Address",
    "AdmissionRules",
    "Alerts",
    "Auth",
    "Charge",
    "Config",
    "Credential",
    "Defaults",
    "Key",
    "Log",
    "Operation",
    "Policies",
    "Prices",
    "Provider",
    "Role",
    "Route",
    "Server",
    "Tenant",
    "Terms",
    "Timeouts",
    "Tls",
    "Webhook",
]

Auth = Literal["required", "open"]
# What the ledger is safe from: the death of a process, or of the machine's power too.
Durability = Literal["process", "power"]
# What a tenant pays for: every attempt, or the one that answered.
Charge = Literal["attempts", "winner"]
Role = Literal["viewer", "operator", "tenant_admin", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
# What callers can ask for, whichever dialect's route they take.
Operation = Literal["chat", "embeddings", "count_tokens", "models"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
# What `Config.source` is where there is no file.
BUILT_IN = "(built in)"
# By `provider/model` or a pattern: pico-dollars a unit (providers/rates.py).
Prices = dict[str, dict[str, Amount]]


class Address(msgspec.Struct, frozen=True):
    """Where to listen. `str()` gives `host:port`, an IPv6 host in brackets; port 0 picks a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Tls(msgspec.Struct, frozen=True):
    """The data plane's certificate chain and its key: absolute paths of PEM files."""

    cert: str
    key: str


class Server(msgspec.Struct, frozen=True):
    """The listeners.

    Attributes:
        drain: how long open requests may go on after SIGTERM.
        max_body: the largest request body.
        idle: after how long an unused connection is closed.
        keepalive: after how long a caller that waits for a stream hears that it is still waited for.
        hosts: what callers may name as Host, besides loopback's names and the address listened on.
        trusted_proxies: networks whose word about a caller's address is taken.
        cors: origins whose web pages may call.
        tls: None: plain HTTP.
        max_connections: None: as many as the limit of open files has room for.
    """

    listen: Address = Address("127.0.0.1", 8484)
    admin: Address = Address("127.0.0.1", 8485)
    workers: int = 1
    drain: float = 60.0
    max_body: int = 32 * 1024 * 1024
    idle: float = 75.0
    keepalive: float = 15.0
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    tls: Tls | None = None
    max_connections: int | None = None


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """One of a provider's several credentials; of all requests it gets `weight` parts of the sum of weights."""

    name: str
    api_key: Secret
    weight: int = 1


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor or host.

    Attributes:
        kind: its row in the catalogue.
        base_url: without a slash at its end, `{model}` in it standing for the model asked for; "" for one that runs
            inside Penstock.
        api_version: what its requests' query names as the version of the API; "" for none.
        api_key: None sends no credential of ours.
        credentials: instead of `api_key`, several to choose from by weight.
        by_caller: instead of either, each caller's own credential is passed on (`credentials: caller`).
        region: where it is, in the operator's words; None where nothing is said.
        ca_file: PEM file to trust instead of the usual roots.
        proxy: URL of the forward proxy that the environment names for it; its `source` is the URL without credentials.
        off: why it is switched off; "" when it is on.
        probe: how often it is asked for its models, in seconds, to see whether it lives; None: never.
    """

    name: str
    kind: str
    base_url: str = ""
    api_version: str = ""
    api_key: Secret | None = None
    credentials: tuple[Credential, ...] = ()
    by_caller: bool = False
    region: str | None = None
    ca_file: str | None = None
    proxy: Secret | None = None
    off: str = ""
    probe: float | None = None


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """What may be said of a model, and under `defaults:` of all.

    Attributes:
        timeouts: complete.
        default_max_output: tokens of output to ask for where the dialect demands a number and the caller gave none;
            None is the model's limit, at most 8,192.
        untranslatable: what happens to what a provider of another dialect has no word for: `refuse`, or `drop` and
            name it.
        unknown_price: what happens to a call whose price nobody knows: it is made and its cost is null (`flag`), or
            it is refused.
        strategy: which of the targets is asked first.
        retry: `off` is one attempt at each deployment.
        breaker: None: off.
        concurrency: None: off.
        hedge: None: off.
        on_stream_cut: what happens to a stream that breaks off after its first output.
        on_failure: the text to answer with, marked degraded, where everything failed; None: the error.
        fallback: names under `models:`, or `provider/model`, to ask when the targets have failed.
        content_filter: whether another deployment is asked after a content filter's refusal.
        rehearse: how often one real token is asked of each target, in seconds; None: never.
    """

    timeouts: Timeouts = Timeouts()
    default_max_output: int | None = None
    untranslatable: Literal["refuse", "drop"] = "refuse"
    unknown_price: Literal["flag", "refuse"] = "flag"
    strategy: Strategy = "ordered"
    retry: Retry = Retry()
    breaker: BreakerRules | None = BreakerRules()
    concurrency: GateRules | None = GateRules()
    hedge: Hedge | None = None
    on_stream_cut: Literal["error", "resume"] = "error"
    on_failure: str | None = None
    fallback: tuple[str, ...] = ()
    content_filter: bool = False
    rehearse: float | None = None


class Terms(msgspec.Struct, frozen=True):
    """What holds for one target of a model.

    Attributes:
        weight: its part where the strategy is `weighted`.
        max_attempts: None: as `retry` has it.
    """

    weight: int = 1
    max_attempts: int | None = None


class Route(Policies, frozen=True, kw_only=True):
    """A name under `models:`.

    Attributes:
        targets: at least one, in the order in which they are asked.
        terms: what is said of some of them.
        regions: where its targets may be; empty: anywhere.
    """

    name: str
    targets: tuple[Target, ...]
    terms: Mapping[Target, Terms] = {}
    regions: tuple[str, ...] = ()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A declared caller's key.

    Attributes:
        key: what the caller presents.
        models: names and patterns it may ask for; None: every name under `models:` and no other.
        trusted_user: whether the user its calls name is believed (`user: trusted`).
        overrides: whether a call may say by headers how often it is tried and where (`overrides: allowed`).
        expires: Unix time in seconds from which on it counts no more; None: never.
        addresses: networks its calls come from; empty: any.
        routes: operations its calls may ask for (`chat`, `embeddings`, `count_tokens`, `models`); None: all.
        max_output: tokens of output that each of its calls may ask for at most; None: no bound of its own.
        priority: how urgent its calls are at most, and where they do not say.
        role: what it may do at the control plane; None: nothing.
        where: it is declared, `file:line`.
    """

    name: str
    key: Secret
    tenant: str | None = None
    project: str | None = None
    models: tuple[str, ...] | None = None
    trusted_user: bool = False
    overrides: bool = False
    expires: int | None = None
    addresses: tuple[str, ...] = ()
    routes: tuple[Operation, ...] | None = None
    max_output: int | None = None
    priority: str | None = None
    role: Role | None = None
    where: str = ""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays.

    Attributes:
        charge: what it pays for.
        weight: its part where tenants wait for the same.
        projects: those that are declared; a key may name others.
        where: it is declared, `file:line`; "" for one of the store.
    """

    name: str
    charge: Charge = "attempts"
    weight: int = 1
    projects: tuple[str, ...] = ()
    where: str = ""


class Webhook(msgspec.Struct, frozen=True):
    """Where alerts go, and what they are signed with."""

    url: str
    secret: Secret


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told, besides the log.

    Attributes:
        webhook: None: nobody.
        anomaly: whether unusual spend is told.
    """

    webhook: Webhook | None = None
    anomaly: bool = True


class Log(msgspec.Struct, frozen=True):
    """The request log. `to` is `stdout`, `none` or an absolute path."""

    to: str = "stdout"
    content: Literal["none"] = "none"


class Defaults(Policies, frozen=True, kw_only=True):
    """What holds for a model that does not say otherwise."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration.

    Attributes:
        source: where it came from: a path, or words in brackets.
        files: what it was read from, with the user's rows of the catalogue and their folder, and what it names that is
            read once: secrets and `ca_file`; absolute paths. The listener's certificate is not among them: the listener
            looks after it.
        kinds: the user's own rows of the catalogue.
        rules: `limits:` and `budgets:`, those of keys included: one rule for each thing that is counted.
        request_budgets: what one request may use at most (budgets with `scope: request`).
        tenants: those that are declared; keys may name others.
        state: `memory`, or the absolute path of the SQLite file.
        durability: what a journal's record is safe from once an attempt is sent.
        retention: how many seconds the ledger keeps each attempt; None: for ever.
        admission: None: off.
        encryption_key: what the store's keys and credentials are kept under; None: what lies in its file beside it.
        layers: a user's own layers, outermost first, as `module:name`.
        known_as: what a deployment is whose name says no model (`is:`): `provider/model` -> `kind/model`.
    """

    source: str
    providers: Mapping[str, Provider]
    models: Mapping[str, Route] = {}
    default_model: str | None = None
    server: Server = Server()
    defaults: Defaults = Defaults()
    auth: Auth = "required"
    keys: tuple[Key, ...] = ()
    log: Log = Log()
    kinds: Mapping[str, Row] = {}
    prices: Prices = {}
    known_as: Mapping[str, str] = {}
    rules: tuple[Rule, ...] = ()
    request_budgets: tuple[RequestBudget, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    state: str = "memory"
    durability: Durability = "process"
    retention: float | None = None
    alerts: Alerts = Alerts()
    admission: AdmissionRules | None = AdmissionRules()
    encryption_key: Secret | None = None
    layers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
