"""What a configuration says once it is read: frozen records, no behaviour.

Durations are seconds, sizes bytes, paths absolute, secrets resolved and masked. Only what this version has
stands here; a key of a later version never reaches these records (`config/later.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from penstock.providers.catalogue import Row
from penstock.providers.deployment import Timeouts
from penstock.providers.rates import Amount
from penstock.redact import Secret
from penstock.routing.names import Target

__all__ = [
    "Address",
    "Auth",
    "Config",
    "Credential",
    "Defaults",
    "Key",
    "Log",
    "Prices",
    "Provider",
    "Route",
    "Server",
    "Timeouts",
    "Tls",
]

Auth = Literal["required", "open"]
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


class Route(msgspec.Struct, frozen=True):
    """A name under `models:`.

    Attributes:
        targets: exactly one until fallback exists.
        timeouts: complete.
        default_max_output: tokens of output to ask for where the dialect demands a number and the caller gave none;
            None is the model's limit, at most 8,192.
        untranslatable: what happens to what a provider of another dialect has no word for: `refuse`, or `drop` and
            name it.
        unknown_price: what happens to a call whose price nobody knows: it is made and its cost is null (`flag`), or
            it is refused.
        regions: where its targets may be; empty: anywhere.
    """

    name: str
    targets: tuple[Target, ...]
    timeouts: Timeouts = Timeouts()
    default_max_output: int | None = None
    untranslatable: Literal["refuse", "drop"] = "refuse"
    unknown_price: Literal["flag", "refuse"] = "flag"
    regions: tuple[str, ...] = ()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A declared caller's key.

    Attributes:
        key: what the caller presents.
        models: names and patterns it may ask for; None: every name under `models:` and no other.
        trusted_user: whether the user its calls name is believed (`user: trusted`).
    """

    name: str
    key: Secret
    tenant: str | None = None
    project: str | None = None
    models: tuple[str, ...] | None = None
    trusted_user: bool = False


class Log(msgspec.Struct, frozen=True):
    """The request log. `to` is `stdout`, `none` or an absolute path."""

    to: str = "stdout"
    content: Literal["none"] = "none"


class Defaults(msgspec.Struct, frozen=True):
    """What holds for a model that does not say otherwise."""

    timeouts: Timeouts = Timeouts()
    default_max_output: int | None = None
    untranslatable: Literal["refuse", "drop"] = "refuse"
    unknown_price: Literal["flag", "refuse"] = "flag"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration.

    Attributes:
        source: where it came from: a path, or words in brackets.
        files: what it was read from, with the user's rows of the catalogue and their folder, and what it names that is
            read once: secrets and `ca_file`; absolute paths. The listener's certificate is not among them: the listener
            looks after it.
        kinds: the user's own rows of the catalogue.
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
    files: tuple[str, ...] = ()
