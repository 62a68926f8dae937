"""A worker: a data plane whose configuration comes from the supervisor and whose counts go there.

The same code runs as a process of its own (`python -m penstock.server.worker`, started by `server/spawn.py`) and,
where there is one worker only, as a task in the supervisor's process. A worker that has lost its supervisor stops
accepting at once, lets open requests go on for a moment, and ends: a gateway started anew needs its port.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import uvloop

from penstock.clock import Clock, Random, SystemClock, SystemRandom, Timer
from penstock.config.parcel import decode_config
from penstock.config.schema import Config
from penstock.errors import ConfigError
from penstock.gateway import Gateway, Shared
from penstock.metrics import Counts, Deltas, Metrics
from penstock.records import Record
from penstock.server.channel import connect_channel
from penstock.server.collector import Collector, settle_collector
from penstock.server.data_plane import DataPlane
from penstock.server.ended import Ended, as_they_stand
from penstock.server.memory import memory_in_use
from penstock.server.request_log import open_log
from penstock.server.threads import favour_loop
from penstock.stores.centre import (
    CONFIG,
    Channel,
    Counted,
    Drain,
    Draining,
    FromCentre,
    Keep,
    Leased,
    Leaving,
    Look,
    Message,
    Publish,
    Recall,
    Refused,
    Report,
    Seen,
    Subscribe,
    Taken,
)
from penstock.stores.health_link import HealthLink
from penstock.stores.health_messages import FromHealth
from penstock.stores.journal import Journal
from penstock.stores.key_link import KeyLink
from penstock.stores.key_messages import FromKeys
from penstock.stores.log import LogWriter
from penstock.stores.money_messages import TreasuryMessage
from penstock.stores.permits import Permits
from penstock.stores.pressure import PRESSURE, Pressure
from penstock.stores.purse import Purse
from penstock.stores.questions import Questions, Replied
from penstock.stores.state import Registry
from penstock.stores.strain import Strain

__all__ = ["OpenLog", "Worker", "main"]

REPORT_SECONDS = 1.0
# What is left to open requests once the supervisor is gone: the worker ends within 2 s, its log written.
ORPHAN_SECONDS = 1.5
CALM_REPORTS = 30
# A host's addresses: `localhost` has two.
MOST_LISTENERS = 32
# For the last report to leave.
FAREWELL_SECONDS = 1.0

OpenLog = Callable[[str], tuple[Callable[[bytes], object], Callable[[], None]]]


class _Life:
    """A gateway and what has been reported of its counts. After a reload the old one lives on until it is calm."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.deltas = Deltas(gateway.metrics)
        self._calm = 0

    def is_over(self) -> bool:
        """Whether an old one may be closed; to be asked at every report.

        It must have been calm for many reports: a request may still wait for its turn before the gateway hears of it.
        """
        self._calm = 0 if self.gateway.live else self._calm + 1
        return self._calm > CALM_REPORTS


class Worker:
    """Answers requests as the centre says.

    Args:
        channel: to the centre; opened here.
        sockets: what to accept on; without any the configuration's address is bound.
        open_log: makes the request log's sink for `log: {to: ...}`, and what closes it.
        memory: tells the part in use of the memory that this process may have; None: nobody looks.

    Attributes:
        plane: the data plane, once there was a configuration.
        keys: the store's keys, as the centre tells them.
    """

    def __init__(
        self, channel: Channel, clock: Clock, random: Random, sockets: Sequence[socket.socket], open_log: OpenLog,
        memory: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        self.plane: DataPlane | None = None
        self._channel = channel
        self._clock = clock
        self._random = random
        self._sockets = sockets
        self._open_log = open_log
        self._log: Callable[[Record], None] | None = None
        self._close_log: Callable[[], None] = lambda: None
        self._flush_log: Callable[[], None] = lambda: None
        self._look_at_log: Callable[[], None] = lambda: None
        self._ended = Ended()
        self._log_metrics = Metrics()
        self._log_deltas = Deltas(self._log_metrics)
        self._lives: list[_Life] = []
        self._permits = Permits(channel.send)
        self._health = HealthLink(channel.send, clock)
        self._questions = Questions(channel.send, clock)
        self.keys = KeyLink(channel.send, clock)
        self._purse = Purse(channel.send, clock)
        self._strain = Strain(clock, memory=memory)
        self._pressure = Pressure()
        self._presses = False
        self._shared = Shared(
            Registry(), self._permits, self._health, questions=self._questions, keys=self.keys, purse=self._purse,
            strain=self._strain, pressure=self._pressure,
        )  # fmt: skip
        self._inbox: asyncio.Queue[Message | _Life | None] = asyncio.Queue()
        self._draining: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._collector = Collector(clock)
        self._keep: Keep | None = None
        self._lost = asyncio.Event()

    @property
    def gateways(self) -> list[Gateway]:
        """The one in use last; before it those that still answer what began before a reload."""
        return [life.gateway for life in self._lives]

    async def run(self) -> None:
        """Serve until the centre has had it drained, or is gone."""
        self._channel.open(self._received, self._on_lost)
        # Before the configuration: nothing is asked that must not be.
        self._health.watch()
        self.keys.watch()
        self._purse.open()
        self._channel.send(Subscribe(CONFIG))
        try:
            while (message := await self._inbox.get()) is not None:
                if isinstance(message, Publish) and message.topic == PRESSURE:
                    self._pressure.adopt(message.value)
                elif isinstance(message, Publish):
                    await self._adopt(message)
                elif isinstance(message, Keep):
                    self._keep = message
                elif isinstance(message, Report):
                    self._report(message.report)
                elif isinstance(message, Look):
                    self._look(message)
                elif isinstance(message, Drain):
                    await self._begin_drain(message)
                elif isinstance(message, Leased):
                    self._permits.leased(message)
                elif isinstance(message, Recall):
                    self._permits.recall(message)
                elif isinstance(message, _Life):
                    await message.gateway.aclose()
        finally:
            await self._aclose()

    def _received(self, message: Message) -> None:
        # What requests wait for does not wait behind a reload.
        if isinstance(message, FromHealth):
            self._health.received(message)
        elif isinstance(message, Replied):
            self._questions.received(message)
        elif isinstance(message, FromKeys):
            self.keys.received(message)
        elif isinstance(message, TreasuryMessage):
            self._purse.received(message)
        else:
            self._inbox.put_nowait(message)

    def leave(self) -> None:
        """Ask the centre for a replacement."""
        self._channel.send(Leaving())

    # --- the configuration

    async def _adopt(self, message: Publish) -> None:
        try:
            config = decode_config(message.value)
            gateway = await self._make(config)
        except (ConfigError, msgspec.DecodeError, OSError) as error:
            do = error.do if isinstance(error, ConfigError) else ""
            self._channel.send(Refused(message.topic, message.generation, str(error), do))
            return
        plane = self.plane
        assert plane is not None
        plane.adopt(gateway, message.generation)
        self._lives.append(_Life(gateway))
        self._channel.send(Taken(message.topic, message.generation))
        if not self._presses and any(rule.throttle or rule.downgrade for rule in config.rules):
            self._presses = True
            self._channel.send(Subscribe(PRESSURE))
        if self._timer is None:
            self._timer = self._clock.call_later(REPORT_SECONDS, self._tick)

    async def _make(self, config: Config) -> Gateway:
        """The gateway of a configuration; with the first one, what it logs to and the data plane are opened."""
        if self.plane is not None:
            return self._build(config)
        # Whoever connects to the one that it takes over from has a key that is known there.
        await self.keys.ready()
        self._open_journal()
        sink, close = self._open_log(config.log.to)
        writer = LogWriter(self._ended.encode, sink, self._clock, self._log_lost)
        self._log, self._flush_log, self._look_at_log = writer.add, writer.flush, writer.look

        def flush_and_close() -> None:
            writer.flush()
            close()

        self._close_log = flush_and_close
        gateway = self._build(config)
        plane = DataPlane(gateway, self._clock)
        await plane.open(self._sockets)
        self.plane = plane
        return gateway

    def _open_journal(self) -> None:
        keep, self._keep = self._keep, None
        if keep is not None:
            journal = Journal(Path(keep.folder), keep.name, power=keep.power)
            self._shared = self._shared._replace(journal=journal)
            self._purse.open(keep.name)

    def _build(self, config: Config) -> Gateway:
        return Gateway(config, self._clock, self._random, self._log, shared=self._shared)

    def _log_lost(self, lines: int) -> None:
        self._log_metrics.log_dropped.inc((), lines)

    # --- counts

    def _tick(self) -> None:
        self._timer = self._clock.call_later(REPORT_SECONDS, self._tick)
        if not self._channel.full:
            self._report()
            self._tell_ended()
        self._permits.beat()
        self.keys.beat()
        self._purse.beat()
        for life in [life for life in self._lives[:-1] if life.is_over()]:
            self._lives.remove(life)
            self._inbox.put_nowait(life)
        self._collector.look(calm=not any(life.gateway.live for life in self._lives))

    def _report(self, number: int = 0) -> None:
        if self.plane is not None:
            self.plane.count_connections()
        self._look_at_log()
        counts: Counts = self._log_deltas.take()
        gauges: dict[str, float] = {}
        for life in self._lives:
            metrics, gateway = life.gateway.metrics, life.gateway
            metrics.upstream_connections.set(gateway.upstream_connections)
            metrics.upstream_busy.set(gateway.upstream_busy)
            if life is not self._lives[-1]:
                metrics.connections.set(0)
                metrics.calls_waiting.set(0)
            for name, series in life.deltas.take().items():
                counts.setdefault(name, []).extend(series)
            for name, value in metrics.gauges().items():
                gauges[name] = gauges.get(name, 0.0) + value
        self._channel.send(Counted(counts, gauges, number))

    # --- requests

    def _tell_ended(self) -> None:
        ended = self._ended.take()
        if ended is not None:
            self._channel.send(ended)

    def _look(self, message: Look) -> None:
        """Tell what ended, then what is being answered, so that nothing is missed that ends in between."""
        self._flush_log()
        self._tell_ended()
        live = (each for life in self._lives for each in life.gateway.live)
        found = [each for each in live if message.id in ("", each.id) and not "" < message.before <= each.id]
        self._channel.send(Seen(message.look, as_they_stand(found, message.most, self._clock.monotonic())))

    # --- the end

    def _on_lost(self) -> None:
        self._lost.set()
        self._health.lost()
        self._questions.lost()
        self.keys.lost()
        self._purse.lost()
        self._inbox.put_nowait(Drain(ORPHAN_SECONDS, accepting=False))

    async def _begin_drain(self, message: Drain) -> None:
        """Drain; one that runs already is cut short and begun anew, with other patience."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait((self._draining,))
        self._draining = asyncio.get_running_loop().create_task(self._drain(message))

    async def _drain(self, message: Drain) -> None:
        plane = self.plane
        if plane is not None:
            if message.accepting:
                plane.routes.ready = False
                self._channel.send(Draining())
                await plane.drain(message.seconds)
            else:
                plane.stop_listening()
                self._channel.send(Draining())
                await plane.hand_over(message.seconds)
        self._inbox.put_nowait(None)

    async def _aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.plane is not None:
            await self.plane.drain(0)
        for life in self._lives:
            await life.gateway.aclose()
        self._close_log()
        if self._shared.journal is not None:
            self._shared.journal.end()
        self._strain.rest()
        self._permits.close()
        self._purse.close()
        self._health.close()
        self.keys.tell_used()
        self._report()
        self._tell_ended()
        self._channel.close()
        try:
            async with self._clock.timeout(FAREWELL_SECONDS):
                await self._lost.wait()
        except TimeoutError:
            pass


async def _serve(end: socket.socket, turn: int, listeners: Sequence[int]) -> None:
    sockets = [socket.socket(fileno=listener) for listener in listeners]
    channel = await connect_channel(end, FromCentre)
    worker = Worker(channel, SystemClock(), SystemRandom(), sockets, lambda to: open_log(to, turn), memory_in_use())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.leave)
    await worker.run()


def main(arguments: Sequence[str]) -> None:
    """Run one worker, once its listening sockets come; without them, that is without a supervisor, end.

    Args:
        arguments: the inherited descriptors of its channel and of the log's turn.
    """
    # Ctrl-C reaches the whole group of processes; what to do about it is the supervisor's to say. They are blocked
    # up to here: what came meanwhile is forgotten with the first line, and the second lets them be ignored.
    supervisors = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
    for number in supervisors:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, supervisors)
    channel, turn = map(int, arguments)
    end = socket.socket(fileno=channel)
    settle_collector(attended=True)
    favour_loop()
    word, listeners, _, _ = socket.recv_fds(end, 1, MOST_LISTENERS)
    if word:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(end, turn, listeners))


if __name__ == "__main__":
    main(sys.argv[1:])
