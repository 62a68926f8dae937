"""SimLoop: real asyncio code in virtual time, on an in-memory network, the same in every run with the same seed.

Nothing leaves the process: connections and servers are the loop's `Network`'s, names resolve to made-up addresses,
executors run inline, signals are recorded. Keep registers whose order matters in dicts or lists: the order of a
set of objects other than tasks is not the same from run to run.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack

from penstock.testing.clock import SimClock
from penstock.testing.virtual_time import VirtualTimeLoop, describe_task
from penstock.transport.link import Faults
from penstock.transport.memory import Lane, open_transports
from penstock.transport.network import Listener, ListeningSocket, Network

__all__ = ["SimLoop", "run"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_IGNORED = {"family", "proto", "flags", "backlog", "reuse_address", "reuse_port", "keep_alive", "happy_eyeballs_delay"}
_IGNORED |= {"interleave", "server_hostname", "all_errors", "limit"}
_GRACE = 1.0  # virtual seconds in which closed connections' last packets arrive


class SimLoop(VirtualTimeLoop):
    """An asyncio loop for simulations.

    Args:
        seed: decides everything that chance decides: links, and the order of what happens at one moment.
        faults: how connections behave; `network.faults_at` sets it for one listener.
        shuffle: whether the order of one moment's deliveries and timers is left to chance.

    Attributes:
        network: where connections live.
        clock: its time, as a `penstock.clock.Clock`.
        errors: what the exception handler was told, as asyncio's context dicts.
        signals: what `add_signal_handler` was given.
    """

    def __init__(self, seed: int = 0, faults: Faults | None = None, *, shuffle: bool = True, **limits: Any) -> None:
        super().__init__(Random(f"order {seed}") if shuffle else None, **limits)
        self.seed = seed
        self.network = Network(self, Random(f"network {seed}"), faults, self.call_from_outside)
        self.clock = SimClock(self)
        self.errors: list[dict[str, Any]] = []
        self.signals: dict[int, Callable[[], object]] = {}

    async def create_connection(  # type: ignore[override]  # asyncio's overloads, sockets and TLS left out
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect over the network.

        Raises:
            ConnectionRefusedError: nobody listens there.
            NotImplementedError: TLS, a socket or another option that a simulated network does not have.
        """
        _refuse(options)
        return await self.network.connect(protocol_factory, host, int(port))

    async def create_server(  # type: ignore[override]  # as above
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> Listener:
        """Listen on the network, or on one of its sockets (`sock`).

        Raises:
            OSError: the address is in use.
            NotImplementedError: as create_connection.
        """
        start_serving = options.pop("start_serving", True)
        if isinstance(options.get("sock"), ListeningSocket):
            address = options.pop("sock").getsockname()
            _refuse(options)
            server = self.network.listen(protocol_factory, *address, shared=True)
        else:
            _refuse(options)
            server = self.network.listen(protocol_factory, host, int(port or 0))
        if start_serving:
            await server.start_serving()
        return server

    async def getaddrinfo(self, host: Any, port: Any, **_hints: Any) -> list[Any]:
        """What `network.names` says; else one made-up IPv4 address a name, always the same; an address is itself.

        Raises:
            OSError: the name has no address.
        """
        name = host.decode() if isinstance(host, bytes) else host
        found = self.network.addresses(name)
        return [_address_info(address, int(port or 0)) for address in found]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """The address and port as text."""
        return str(sockaddr[0]), str(sockaddr[1])

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Call it here and now; its result comes at the loop's next turn, as it can't come sooner from a thread."""
        future = self.create_future()
        try:
            settle = partial(future.set_result, func(*args))
        except Exception as error:  # noqa: BLE001 - the future carries it, whatever it is
            settle = partial(future.set_exception, error)
        self.call_soon(lambda: future.done() or settle())
        return future

    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        self.signals[sig] = partial(callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        return self.signals.pop(sig, None) is not None

    def raise_signal(self, sig: int = signal.SIGTERM) -> None:
        """Act as if the process got the signal; raises KeyError if nobody handles it."""
        self.call_from_outside(self.signals[sig])

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep it in `errors`, and tell a handler if one is set; nothing is logged."""
        self.errors.append(context)
        handler = self.get_exception_handler()
        if handler is not None:
            handler(self, context)

    def trace_digest(self) -> str:
        """A hash of every delivery on the network and its time: the same seed and code give the same."""
        return self.network.digest()

    def leaks(self) -> list[str]:
        """What is still open or scheduled: in-memory transports (pipes too), tasks but for the one that asks, timers.

        Call `await loop.settle()` first, so that what was closed has gone.
        """
        transports = [repr(transport) for transport in open_transports(self)]
        tasks = [describe_task(task) for task in self.pending_tasks()]
        timers = [
            f"in {timer.when() - self.time():g} s: {timer!r}" for timer in self.pending_timers() if _is_held(timer)
        ]
        return transports + tasks + timers

    def assert_clean(self, *, leak_free: bool = False) -> None:
        """Raise AssertionError where the exception handler was told anything, a task failed and nobody fetched its
        exception, or (with `leak_free`) anything leaked."""
        for task in self.failed_tasks():
            self.errors.append({"message": f"{task.get_name()} failed unheard", "exception": task.exception()})
        if self.errors:
            cause = next((context["exception"] for context in self.errors if context.get("exception")), None)
            told = "; ".join(f"{context.get('message')}: {context.get('exception')!r}" for context in self.errors)
            raise AssertionError(f"seed {self.seed}: errors nobody handled: {told}") from cause
        leaks = self.leaks() if leak_free else []
        if leaks:
            raise AssertionError(f"seed {self.seed}: leaked: {'; '.join(leaks)}")

    def dispose(self) -> None:
        """Cancel what still runs, let it end, and close the loop. Errors at this point are nobody's."""
        try:
            self.renew_limits()
            self.run_until_complete(self._wind_up())
        except RuntimeError:
            pass  # a task that will not end, e.g. a deadlock in its own cleaning up
        finally:
            for transport in open_transports(self):
                transport.abort()
            self.close()

    async def _wind_up(self) -> None:
        tasks = self.pending_tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.shutdown_asyncgens()


def _address_info(address: str, port: int) -> tuple[Any, ...]:
    family, rest = (socket.AF_INET6, (0, 0)) if ":" in address else (socket.AF_INET, ())
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, *rest))


def _is_held(timer: asyncio.TimerHandle) -> bool:
    # A packet still in the air belongs to nobody: its ends are reported if they are open.
    return not isinstance(getattr(getattr(timer, "_callback", None), "__self__", None), Lane)


def _refuse(options: dict[str, Any]) -> None:
    unknown = sorted(name for name, value in options.items() if value is not None and name not in _IGNORED)
    if unknown:
        raise NotImplementedError(f"a simulated network has no {', '.join(unknown)}: TLS and sockets need a real loop")


def run(
    main: Callable[[SimLoop], Awaitable[T]],
    seed: int = 0,
    *,
    faults: Faults | None = None,
    leak_free: bool = False,
    **options: Any,
) -> T:
    """Run `main(loop)` under a new SimLoop and return its result.

    Args:
        leak_free: fail where `main` leaves an open transport, a task or a timer behind for a virtual second.
        options: as SimLoop's (`shuffle`, `max_steps`, `max_seconds`).

    Raises:
        SimDeadlock, SimTimeout: it did not end.
        AssertionError: an error reached the loop's exception handler, or something leaked.
    """

    async def body() -> T:
        result = await main(loop)
        await loop.settle()
        if leak_free and loop.leaks():
            await loop.clock.sleep(_GRACE)
        loop.assert_clean(leak_free=leak_free)
        return result

    loop = SimLoop(seed, faults, **options)
    try:
        return loop.run_until_complete(body())
    finally:
        loop.dispose()
