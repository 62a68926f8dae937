"""Where calls go: a gateway inside this process, or one elsewhere. Both are an `Engine`, with the same `call`.

`Engines` binds one to the running loop, at first use, and makes a new one in a forked process or after the loop
it was bound to has been closed (`asyncio.run` twice with one `Penstock`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, Protocol

import penstock
from penstock.call import Layer, Reply
from penstock.clock import Clock, Random, SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway import Gateway, Shared
from penstock.gateway.own_books import LAST_SECONDS, OwnBooks, open_own_books
from penstock.gateway.own_layers import load_layers, name_layers
from penstock.gateway.own_watch import begin_watch
from penstock.gateway.steward import Steward
from penstock.messages import Request
from penstock.records import Record
from penstock.stores.pressure import Pressure
from penstock.stores.state import Registry

__all__ = ["Engine", "Engines", "InProcess", "Receipt", "chance", "load", "open_engine"]


class Receipt(NamedTuple):
    """What an engine says of a call besides its answer.

    Attributes:
        request_id: Penstock's id of it.
        attempts: wire attempts made.
        cost_usd: what providers charge for them; None where that is not known.
    """

    request_id: str
    attempts: int
    cost_usd: Decimal | None = None


class Engine(Protocol):
    """What can answer."""

    def begin(self, operation: str) -> Record:
        """The record of a new request; it must reach `call`."""
        ...

    async def open(self) -> None:
        """Get ready; a call that comes before does so, too. Raises PenstockError."""

    async def call(self, request: Request) -> Reply:
        """Answer; the reply must be closed. Raises PenstockError."""
        ...

    def receipt(self, request: Request, reply: Reply) -> Receipt:
        """What is known of a call once it was answered."""
        ...

    async def aclose(self) -> None:
        """Close every connection, busy ones too."""

    def abandon(self) -> None:
        """Let go of what outlives a loop, for an engine whose loop is gone."""


class InProcess:
    """A gateway in this process.

    Args:
        books: opened by the first call, and closed with this; None where nothing is kept.
        watch: begins to watch what is spent; called by the first call.
    """

    def __init__(
        self, gateway: Gateway, books: OwnBooks | None = None, watch: Callable[[], Steward | None] = lambda: None
    ) -> None:
        self._gateway = gateway
        self._books = books
        self._watch = watch
        self._watched = False
        self._steward: Steward | None = None
        self.begin = gateway.begin

    def __repr__(self) -> str:
        return repr(self._gateway)

    async def open(self) -> None:
        """Raises PenstockError."""
        if self._books is not None:
            await self._books.open()
        if not self._watched:
            self._watched = True
            self._steward = self._watch()

    async def call(self, request: Request) -> Reply:
        """Raises PenstockError."""
        if not self._watched or (self._books is not None and not self._books.ready):
            await self.open()
        return await self._gateway.call(request)

    def receipt(self, request: Request, reply: Reply) -> Receipt:
        record = request.record
        cost = Decimal(record.cost).scaleb(-9) if record.cost is not None else None
        return Receipt(record.id, len(record.attempts), cost)

    async def aclose(self) -> None:
        self._watched = True
        try:
            await self._gateway.aclose()
            if self._steward is not None and self._books is None:
                await self._steward.aclose(LAST_SECONDS)
        finally:
            if self._books is not None:
                await self._books.aclose(self._gateway)

    def abandon(self) -> None:
        if self._books is not None:
            self._books.abandon()


class Engines:
    """The engine of the running loop.

    Args:
        build: makes one; called on the loop it will belong to.
        owned: whether closing is ours; an engine that was handed in is its owner's.
    """

    def __init__(self, build: Callable[[], Engine], *, owned: bool = True) -> None:
        self._build = build
        self._owned = owned
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._closed = False

    def __repr__(self) -> str:
        return "closed" if self._closed else "not started" if self._engine is None else repr(self._engine)

    def get(self) -> Engine:
        """The engine, made when first asked for.

        Raises:
            RuntimeError: it was closed, belongs to another loop that is still open, or no loop is running.
        """
        loop = asyncio.get_running_loop()
        engine = self._engine
        if engine is None or loop is not self._loop or self._pid != os.getpid():
            engine = self._start(loop)
        return engine

    def _start(self, loop: asyncio.AbstractEventLoop) -> Engine:
        if self._closed:
            raise RuntimeError("this Penstock is closed")
        if self._is_bound():
            raise RuntimeError(
                "this Penstock belongs to another event loop: make one for each loop, or use SyncPenstock from threads"
            )
        before, self._engine = self._engine, None
        if before is not None and self._owned and self._pid == os.getpid():
            before.abandon()
        self._loop = None
        self._engine = engine = self._build()
        self._loop, self._pid = loop, os.getpid()
        return engine

    def _is_bound(self) -> bool:
        # A parent's sockets stay the parent's; those of a closed loop are gone with it.
        return self._loop is not None and not self._loop.is_closed() and self._pid == os.getpid()

    async def aclose(self) -> None:
        """Close the engine for good; further calls do nothing.

        Raises:
            RuntimeError: it belongs to another loop that is still open.
        """
        if self._closed:
            return
        engine = self._engine
        if engine is not None and self._is_bound():
            engine = self.get()
            self._closed = True
            if self._owned:
                await engine.aclose()
        elif engine is not None and self._owned and self._pid == os.getpid():
            engine.abandon()
        self._closed = True
        self._engine = self._loop = None


def load(
    config: str | os.PathLike[str] | Mapping[str, object] | None, layers: Sequence[Layer] = ()
) -> Callable[[], Engine]:
    """Read a configuration now, and build gateways from it later.

    Args:
        layers: the program's own.

    Raises:
        ConfigError: it is wrong, or one of its layers cannot be had.
        TypeError: it is neither a path nor a mapping.
    """
    if config is None or isinstance(config, Mapping):
        loaded = load_config(config, os.environ, serving=False)
    elif isinstance(config, str | os.PathLike):
        # By way of the root, which loads the YAML parser at this moment and not before.
        loaded = penstock.open_config(Path(config), os.environ, serving=False)
    else:
        raise TypeError(f"a config is a path, a mapping or None, not {type(config).__name__}")
    load_layers(loaded)  # what is wrong with one shall be known now
    own = tuple(each.layer for each in name_layers(tuple(layers)))
    return lambda: open_engine(loaded, SystemClock(), chance(), own)


def open_engine(
    config: Config, clock: Clock, random: Random, layers: tuple[Layer, ...] = (), *, inline: bool = False
) -> InProcess:
    """A gateway in this process, with the books that its configuration asks for.

    Args:
        inline: as `open_books` has it.

    Raises:
        ConfigError: a CA file, a layer or the store cannot be used, or somebody else has the store.
    """
    books = open_own_books(config, clock, random, inline=inline)
    pressure = Pressure()
    shared = Shared(Registry(), layers=layers, pressure=pressure)
    try:
        if books is not None:
            config = books.config
            shared = shared._replace(purse=books.purse, journal=books.journal)
        gateway = Gateway(config, clock, random, shared=shared)
        return InProcess(gateway, books, partial(begin_watch, gateway, books, random, pressure))
    except BaseException:
        if books is not None:
            books.abandon()
        raise


@cache
def chance() -> Random:
    """The process's own chance. One for all, because each registers itself to be seeded anew after a fork."""
    return SystemRandom()
