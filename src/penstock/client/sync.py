"""`SyncPenstock`: the same calls, blocking, for scripts, notebooks and threads.

They run on a background thread's event loop, so a loop that already runs in the caller's thread is no obstacle, and
any number of threads share one engine. A forked child starts a thread and an engine of its own at its first call.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Never, Self, TypeVar, Unpack

from penstock.call import Layer
from penstock.client.asking import (
    Ask,
    ChatOptions,
    EmbedOptions,
    ask_chat,
    ask_embeddings,
    refuse_later,
    spelled_out,
)
from penstock.client.background import Background
from penstock.client.engines import Engine, Engines, load
from penstock.client.reading import Reading, embed, generate
from penstock.client.remote import remote
from penstock.events import Event
from penstock.messages import Embeddings, Response

__all__ = ["SyncPenstock", "SyncStream"]

T = TypeVar("T")


class _Started(NamedTuple):
    background: Background
    engines: Engines


class _Shared:
    """What is the process's: the lock under which threads are started, and what a parent left in a forked child."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # Kept, not dropped: to take a loop apart that runs in the parent is nobody's business here.
        self.left: list[_Started] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        # Another thread of the parent may have held it at the fork; here nobody ever gives it back.
        self.lock = threading.RLock()


_shared = _Shared()


class SyncPenstock:
    """Calls to models that block until they are answered; see `Penstock` for the arguments.

    A context manager; without it, call `close`, or leave it to the end of the program.

    Raises:
        ConfigError: the config is wrong.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, object] | None = None,
        *,
        layers: Sequence[Layer] = (),
        **later: Never,
    ) -> None:
        refuse_later("SyncPenstock", later)
        self._set(load(config, layers))

    @classmethod
    def connect(cls, url: str, api_key: str | None = None, ca_file: str | None = None) -> Self:
        """The same methods against a gateway elsewhere; see `Penstock.connect`. Raises ConfigError."""
        made = cls.__new__(cls)
        made._set(remote(url, api_key, ca_file))
        return made

    def _set(self, build: Callable[[], Engine]) -> None:
        self._build = build
        self._started: _Started | None = None
        self._closed = False

    def __repr__(self) -> str:
        started = self._started
        state = "closed" if self._closed else "not started" if started is None else repr(started.engines)
        return f"<{type(self).__name__} {state}>"

    @spelled_out(ChatOptions)
    def generate(self, prompt: str | None = None, **options: Unpack[ChatOptions]) -> Response:
        """The whole answer to a prompt, or to `messages=[...]`. Ctrl-C stops the call. Raises as Penstock's."""
        ask = ask_chat(prompt, options, stream=False)
        background, engines = self._start()
        return background.run(lambda: generate(engines, ask))

    @spelled_out(ChatOptions)
    def stream(self, prompt: str | None = None, **options: Unpack[ChatOptions]) -> SyncStream:
        """The same, as it comes: `with llm.stream(...) as stream: for event in stream: ...`.

        Raises:
            CallerError: an argument is wrong. All else is raised by the stream.
            TypeError: an argument that does not exist.
        """
        return SyncStream(self, ask_chat(prompt, options, stream=True))

    @spelled_out(EmbedOptions)
    def embed(self, texts: str | Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings:
        """A vector for each text. Raises as `generate`."""
        ask = ask_embeddings(texts, options)
        background, engines = self._start()
        return background.run(lambda: embed(engines, ask))

    def close(self) -> None:
        """Stop what runs, close every connection, end the thread. Further calls to it do nothing."""
        with _shared.lock:
            self._closed = True
            started, self._started = self._started, None
        if started is not None:
            started.background.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> _Started:
        """The thread and the engine of this process."""
        started = self._started
        if started is not None and started.background.usable:
            return started
        with _shared.lock:
            if self._closed:
                raise RuntimeError("this SyncPenstock is closed")
            started = self._started
            if started is None or not started.background.usable:
                if started is not None:
                    _shared.left.append(started)
                engines = Engines(self._build)
                background = Background(engines.aclose)
                started = self._started = _Started(background, engines)
                # Whoever forgets to close it: the thread ends with the object, and must not wait for itself.
                weakref.finalize(self, background.stop, wait=False).atexit = False
            return started


class SyncStream:
    """An answer as it comes. Made by `SyncPenstock.stream`; one thread at a time.

    `with` makes the call, returns at the first output and closes the stream at its end, which stops the call at the
    provider if it is not over. A plain `for` does the same for its own length.
    """

    def __init__(self, client: SyncPenstock, ask: Ask) -> None:
        self._client = client
        self._ask = ask
        self._background: Background | None = None
        self._reading: Reading | None = None
        self._events: list[Event] = []

    @property
    def reply(self) -> Response:
        """As `generate`'s. Raises RuntimeError before the stream has ended well."""
        if self._reading is None:
            raise RuntimeError("the reply is there once the stream has ended: this one was not begun")
        return self._reading.response

    def __iter__(self) -> Iterator[Event]:
        """The events. Raises PenstockError where the stream breaks, after those that came before it."""
        alone = self._open_alone()
        try:
            while self._more():
                yield self._events.pop()
        finally:
            if alone:
                self.close()

    def text(self) -> Iterator[str]:
        """The pieces of text alone. Raises as iterating does."""
        alone = self._open_alone()
        try:
            while self._more():
                event = self._events.pop()
                if event.kind == "text" and not event.choice:
                    yield event.text
        finally:
            if alone:
                self.close()

    def close(self) -> None:
        """Stop the call if it is not over; safe at any time and more than once."""
        self._events.clear()
        background, reading = self._background, self._reading
        if background is not None and reading is not None and background.usable:
            background.finish(reading.aclose)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_alone(self) -> bool:
        if self._reading is not None:
            return False
        self._open()
        return True

    def _open(self) -> None:
        if self._reading is not None:
            raise RuntimeError("this stream was opened before: call stream() again for another")
        self._background, engines = self._client._start()
        self._reading = Reading(engines, self._ask)
        self._run(self._reading.open)

    def _more(self) -> bool:
        if not self._events:
            assert self._reading is not None
            self._events = self._run(self._reading.read)[::-1]
        return bool(self._events)

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        assert self._background is not None
        return self._background.run(work)
