"""Drives the control plane without a socket: one request in, one whole answer out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.admin.app import ControlPlane, Shown
from penstock.admin.credential import Credential
from penstock.admin.door import Door, Principals
from penstock.admin.overview import as_it_is
from penstock.admin.register import Register
from penstock.config.changes import Reloaded
from penstock.config.load import load_config
from penstock.config.schema import Address, Config
from penstock.errors import PenstockError
from penstock.gateway import Gateway
from penstock.gateway.rehearsal import Rehearsed
from penstock.lines import encode_lines
from penstock.records import Attempt, Record
from penstock.redact import Secret
from penstock.stores.recent import Recent
from penstock.testing import FakeClock, SeededRandom
from tests.admin.books import Books

KEY = "psk_admin_of-the-tests"
ADMIN = ("authorization", f"Bearer {KEY}")
LOCAL = ("host", "127.0.0.1:8485")
ENV = {"OPENAI_API_KEY": "sk-hidden-openai", "APP_KEY": "pk-hidden-app"}
SOURCE: dict[str, object] = {
    "providers": {
        "sim": {},
        "openai": {"api_key": "env:OPENAI_API_KEY"},
        "gone": {"kind": "openai", "api_key": "env:GONE?"},
    },
    "models": {
        "fast": {"targets": ["openai/gpt-5-mini"]},
        "small": {"targets": ["openai/gpt-5-mini"]},
        "lost": {"targets": ["gone/gpt-5"]},
    },
    "keys": [{"name": "app", "key": "env:APP_KEY"}],
}

Header = tuple[str, str]

KNOWN = "018bcfe5-687b-7000-8000-000000000001"
"""The id of a request that is known."""


class Kept:
    """What became of requests, kept where it is asked for; those in `live` are being answered."""

    def __init__(self, *records: Record) -> None:
        self.live: dict[str, bytes] = {}
        self.ended = Recent()
        for record in records:
            self.ended.add([(record.id, encode_lines([record]).rstrip())], [])

    async def past(self, id: str) -> bytes | None:
        return None

    async def find(self, id: str) -> bytes | None:
        return self.ended.find(id) or self.live.get(id)

    async def newest(self, before: str, most: int) -> list[tuple[str, bytes]]:
        live = {id: line for id, line in self.live.items() if not before or id < before}
        return sorted({**live, **dict(self.ended.before(before, most))}.items(), reverse=True)[:most]


class Played:
    """Rehearsals that have been: one deployment is well, the other has lost its key."""

    def __init__(self) -> None:
        well = Rehearsed(deployment="sim/large", models=("fast", "small"), ok=True, cost=12_000, seconds=0.25)
        dead = Rehearsed(
            deployment="sim/embed", models=(), ok=False, code="upstream_credential", told="Refused.", do="Mend it."
        )
        self.rehearsed = {one.deployment: one for one in (well, dead)}
        self.asked: list[str] = []

    async def rehearse(self, id: str = "") -> list[Rehearsed]:
        self.asked.append(id)
        return [self.rehearsed[id]] if id else list(self.rehearsed.values())


class Reread:
    """A configuration that can be read anew, unless that is refused."""

    def __init__(self) -> None:
        self.generation = 1
        self.refuses: PenstockError | None = None

    async def now(self) -> Reloaded:
        if self.refuses is not None:
            raise self.refuses
        self.generation += 1
        return Reloaded("penstock.yaml", self.generation, ["limits", "models.fast"])


def known(number: int = 1) -> Record:
    """An ended request with an id like KNOWN."""
    record = Record(f"{KNOWN[:-2]}{number:02d}", "chat", 1.0, 1_700_000_000.0)
    record.status, record.ended, record.deployment = 200, 2.0, "openai/gpt-5-mini"
    record.attempts = [Attempt("openai/gpt-5-mini", 1.0, 1.0, 2.0, 200, "ok")]
    return record


class Answer(NamedTuple):
    """A whole response; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


def config(source: Mapping[str, object] | None = None, env: Mapping[str, str] = ENV) -> Config:
    """A loaded configuration, SOURCE unless said otherwise."""
    return load_config(SOURCE if source is None else source, env)


def exposed(loaded: Config) -> Config:
    """That configuration with an admin address the loader would refuse."""
    server = msgspec.structs.replace(loaded.server, admin=Address("10.0.0.1", 8485))
    return msgspec.structs.replace(loaded, server=server)


def control_plane(
    loaded: Config | None = None,
    clock: FakeClock | None = None,
    refresh: Callable[[], Awaitable[None]] = as_it_is,
    requests: Kept | None = None,
    rehearsals: Played | None = None,
    principals: Principals | None = None,
    register: Register | None = None,
    books: Books | None = None,
    reloads: Reread | None = None,
) -> tuple[ControlPlane, Gateway]:
    """A control plane whose admin key is KEY, and its gateway."""
    clock = clock or FakeClock()
    gateway = Gateway(loaded or config(), clock, SeededRandom(1))
    books = books or Books()
    shown = Shown(
        refresh,
        requests or Kept(known()),
        rehearsals or Played(),
        register,
        usages=books,
        alerts=books.alerts,
        watcher=books,
        reloads=reloads or Reread(),
    )
    plane = ControlPlane(gateway, Door(Credential(Secret(KEY)), principals), clock, shown)
    return plane, gateway


def ask(
    plane: ControlPlane,
    url: str,
    *headers: Header,
    method: str = "GET",
    host: Header = LOCAL,
    body: bytes = b"",
) -> Answer:
    """What the control plane answers; `host` is the first header."""
    path, _, query = url.replace("{id:path}", "sim/small").replace("{id}", KNOWN).partition("?")
    sent: list[dict[str, Any]] = []
    asyncio.run(_run(plane, _scope(method, path, query, [host, *headers]), sent, body))
    start, *rest = sent
    names = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], names, b"".join(part.get("body", b"") for part in rest))


def ask_at_once(plane: ControlPlane, url: str, *headers: Header, method: str, bodies: Sequence[bytes]) -> list[Answer]:
    """The same request with one body after another, all on their way together."""
    path, _, query = url.partition("?")
    sents: list[list[dict[str, Any]]] = [[] for _ in bodies]

    async def main() -> None:
        pairs = zip(sents, bodies, strict=True)
        scopes = ((_scope(method, path, query, [LOCAL, *headers]), sent, body) for sent, body in pairs)
        await asyncio.gather(*(_run(plane, *each) for each in scopes))

    asyncio.run(main())
    return [Answer(sent[0]["status"], {}, b"".join(part.get("body", b"") for part in sent[1:])) for sent in sents]


async def _run(plane: ControlPlane, scope: dict[str, Any], sent: list[dict[str, Any]], body: bytes) -> None:
    heard = False

    async def receive() -> dict[str, Any]:
        nonlocal heard
        if heard:  # who listens on hears of no more than a caller that leaves, and this one stays
            await asyncio.get_running_loop().create_future()
        heard = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await plane.app(scope, receive, send)
    except Exception:
        # Starlette answers a bug and then lets the server log it.
        if not sent:
            raise


def _scope(method: str, path: str, query: str, headers: Iterable[Header]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "server": ("127.0.0.1", 8485),
        "client": ("127.0.0.1", 50000),
        "state": {},
    }
