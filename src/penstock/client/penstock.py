"""`Penstock`: calls to models on any asyncio loop, through a gateway in this process or one elsewhere."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Never, Self, Unpack

from penstock.call import Layer
from penstock.client.asking import (
    ChatOptions,
    EmbedOptions,
    ask_chat,
    ask_embeddings,
    refuse_later,
    spelled_out,
)
from penstock.client.engines import Engine, Engines, InProcess, load
from penstock.client.reading import Reading, embed, generate
from penstock.client.remote import remote
from penstock.clock import Clock
from penstock.events import Event
from penstock.gateway import Gateway
from penstock.messages import Embeddings, Response

__all__ = ["Penstock", "Stream"]


class Penstock:
    """Calls to models, with the gateway's whole engine inside this process.

    Nothing is opened before the first call; `async with` closes it at its end, else call `aclose`. One object serves
    any number of tasks of one event loop. It reads no file but the config it is given, and writes none, nor a log;
    unless the config has `state: sqlite:///FILE`: then it keeps the ledger there, for which no other process may.

    Args:
        config: a path to a `penstock.yaml`, or the same as a mapping. None: every provider whose key is in the
            environment, and the simulated one.
        layers: the program's own, outermost first: each takes a `Call` and gives one (docs/layers.md). They stand
            inside those that the config names.

    Raises:
        ConfigError: the config is wrong; of a layer that fails as it is made, the first call raises it.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, object] | None = None,
        *,
        layers: Sequence[Layer] = (),
        **later: Never,
    ) -> None:
        refuse_later("Penstock", later)
        self._engines = Engines(load(config, layers))

    @classmethod
    def connect(
        cls,
        url: str,
        api_key: str | None = None,
        ca_file: str | None = None,
        *,
        clock: Clock | None = None,
    ) -> Self:
        """The same methods against a gateway elsewhere.

        Args:
            url: its data plane, such as `http://gateway:8484`.
            api_key: one of the gateway's keys; None where its auth is open.
            ca_file: a PEM file with the only authorities to trust; None means the usual ones.
            clock: for tests in virtual time.

        Raises:
            ConfigError: the URL or the key cannot be used.
        """
        return cls._on(Engines(remote(url, api_key, ca_file, clock)))

    @classmethod
    def over(cls, gateway: Gateway) -> Self:
        """The same methods on a gateway assembled elsewhere, which stays its owner's to close."""
        return cls.upon(InProcess(gateway))

    @classmethod
    def upon(cls, engine: Engine) -> Self:
        """The same on an engine, which stays its owner's to close."""
        return cls._on(Engines(lambda: engine, owned=False))

    @classmethod
    def _on(cls, engines: Engines) -> Self:
        made = cls.__new__(cls)
        made._engines = engines
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._engines!r}>"

    @spelled_out(ChatOptions)
    async def generate(self, prompt: str | None = None, **options: Unpack[ChatOptions]) -> Response:
        """The whole answer to a prompt, or to `messages=[...]`; the arguments are those of `ChatOptions`.

        Cancelling the task stops the call at the provider.

        Raises:
            PenstockError: no answer; `CallerError` and its like say whose fault that is.
            TypeError: an argument that does not exist.
        """
        return await generate(self._engines, ask_chat(prompt, options, stream=False))

    @spelled_out(ChatOptions)
    def stream(self, prompt: str | None = None, **options: Unpack[ChatOptions]) -> Stream:
        """The same, as it comes: `async with llm.stream(...) as stream: async for event in stream: ...`.

        Raises:
            CallerError: an argument is wrong. All else is raised by the stream.
            TypeError: an argument that does not exist.
        """
        return Stream(Reading(self._engines, ask_chat(prompt, options, stream=True)))

    @spelled_out(EmbedOptions)
    async def embed(self, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """A vector for each text; the arguments are those of `EmbedOptions`. Raises as `generate`."""
        return await embed(self._engines, ask_embeddings(texts, options))

    async def aclose(self) -> None:
        """Close every connection; calls under way fail. Further calls to it do nothing.

        Raises:
            RuntimeError: it belongs to another event loop, which is still open.
        """
        await self._engines.aclose()

    async def __aenter__(self) -> Self:
        engine = self._engines.get()
        try:
            await engine.open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Stream:
    """An answer as it comes. Made by `Penstock.stream`.

    `async with` makes the call, returns at the first output and closes the stream at its end, which stops the call
    at the provider if it is not over. A plain `async for` does the same for its own length.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._events: list[Event] = []

    @property
    def reply(self) -> Response:
        """As `generate`'s. Raises RuntimeError before the stream has ended well."""
        return self._reading.response

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events. Raises PenstockError where the stream breaks, after those that came before it."""
        alone = await self._open_alone()
        try:
            while await self._more():
                yield self._events.pop()
        finally:
            if alone:
                await self.aclose()

    async def text(self) -> AsyncIterator[str]:
        """The pieces of text alone. Raises as iterating does."""
        alone = await self._open_alone()
        try:
            while await self._more():
                event = self._events.pop()
                if event.kind == "text" and not event.choice:
                    yield event.text
        finally:
            if alone:
                await self.aclose()

    async def aclose(self) -> None:
        """Stop the call if it is not over; safe at any time and more than once."""
        self._events.clear()
        await self._reading.aclose()

    async def _open_alone(self) -> bool:
        alone = not self._reading.opened
        if alone:
            await self._reading.open()
        return alone

    async def _more(self) -> bool:
        # Last first, so that taking one is a pop; a stream left and taken up again goes on where it was.
        if not self._events:
            self._events = (await self._reading.read())[::-1]
        return bool(self._events)

    async def __aenter__(self) -> Self:
        await self._reading.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
