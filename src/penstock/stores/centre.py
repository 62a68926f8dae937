"""The centre: the one place that knows the whole, and the protocol by which workers reach it.

A worker subscribes to topics (the configuration is one), says which generation of each it works with, and reports
what it counted; the centre publishes, asks for reports and orders the drain. Of things that are counted over all
workers a worker leases some and settles what it no longer needs (`stores/leases.py`, `stores/permits.py`); how
deployments stand the centre decides for all (`stores/health_centre.py`). Messages are typed records, sent as msgpack
behind a length over a socket, or as they are within one process. Nothing here knows what a topic holds or what is
guarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from penstock.clock import Clock, Timer
from penstock.stores.authority import Authority
from penstock.stores.health_centre import HealthCentre
from penstock.stores.health_messages import FromHealth, HealthMessage, ToHealth
from penstock.stores.key_messages import FromKeys, KeyMessage, KeysPage, ToKeys
from penstock.stores.leases import Decision, Leases
from penstock.stores.message import Message
from penstock.stores.money_messages import FromTreasury, MoneyMessage, ToTreasury
from penstock.stores.questions import Answers, Question, Replied
from penstock.stores.recent import Recent, Told
from penstock.stores.treasury import Treasury

__all__ = [
    "CONFIG",
    "Centre",
    "Channel",
    "Counted",
    "Counts",
    "Drain",
    "Draining",
    "Finished",
    "Frames",
    "FromCentre",
    "Keep",
    "Lease",
    "Leased",
    "Leaving",
    "Look",
    "Member",
    "MemoryChannel",
    "Message",
    "Publish",
    "Recall",
    "Refused",
    "Report",
    "Seen",
    "Settle",
    "Subscribe",
    "Taken",
    "ToCentre",
    "encode_message",
    "memory_pair",
]

# The topic of the configuration.
CONFIG = "config"
MAX_MESSAGE = 16 * 1024 * 1024
# Permits expire two missed heartbeats of 5 s after their holder (semantics.md: Leases).
EXPIRY_SECONDS = 10.0
_PREFIX = 4

# Per metric its series: the labels' values, and what to add to each cell.
Counts = dict[str, list[tuple[tuple[str, ...], list[float]]]]


class Subscribe(Message, frozen=True, tag=True):
    """A worker wants a topic: what was published last, and all that will be."""

    topic: str


class Taken(Message, frozen=True, tag=True):
    """A worker works with that generation of a topic from now on."""

    topic: str
    generation: int


class Refused(Message, frozen=True, tag=True):
    """A worker cannot work with that generation, and goes on with the one it had, if it had one."""

    topic: str
    generation: int
    reason: str
    do: str = ""


class Counted(Message, frozen=True, tag=True):
    """What a worker counted since its last report, and its gauges as they stand.

    Attributes:
        report: the number of the `Report` that is answered; 0 where nobody asked.
    """

    counts: Counts
    gauges: dict[str, float]
    report: int = 0


class Finished(Message, frozen=True, tag=True):
    """Requests that have ended since a worker last told.

    Attributes:
        requests: ids and lines, in the order in which they ended; the newest where there were many.
        wrong: those that went wrong or took long; they need not be among the others.
    """

    requests: list[Told]
    wrong: list[Told]


class Seen(Message, frozen=True, tag=True):
    """What a `Look` found: requests that are being answered, as they stand. What ended before was told before."""

    look: int
    requests: list[Told]


class Draining(Message, frozen=True, tag=True):
    """A worker takes no new request any more."""


class Leaving(Message, frozen=True, tag=True):
    """Somebody asked the worker itself to end; it serves on until the centre has a replacement and says `Drain`."""


class Lease(Message, frozen=True, tag=True):
    """A worker needs more of a guarded thing than it holds.

    Attributes:
        amount: how many more.
        total: how many there are for all.
    """

    guard: str
    amount: int
    total: int


class Settle(Message, frozen=True, tag=True):
    """A worker gives back so many of a guarded thing.

    Attributes:
        unasked: how many it had asked for and needs no more.
    """

    guard: str
    returned: int
    unasked: int = 0


class Leased(Message, frozen=True, tag=True):
    """A worker holds so many more of a guarded thing; fewer than it asked for, or none, where the rest is to come."""

    guard: str
    amount: int


class Recall(Message, frozen=True, tag=True):
    """Others wait for a guarded thing.

    Attributes:
        unused: how many of those it holds and does not use a worker is asked for.
        owed: how many of these it must give back as they are freed, whoever waits for them there.
    """

    guard: str
    unused: int
    owed: int


class Publish(Message, frozen=True, tag=True):
    """One generation of a topic; generations of a topic count from 1."""

    topic: str
    generation: int
    value: bytes


class Report(Message, frozen=True, tag=True):
    """The centre wants to know now what was counted."""

    report: int


class Keep(Message, frozen=True, tag=True):
    """A worker is to keep a journal; comes before any configuration, or not at all.

    Attributes:
        folder: where.
        name: its name, which the ledger knows this worker by.
        power: each record is to be on the disk before anything is sent.
    """

    folder: str
    name: str
    power: bool = False


class Look(Message, frozen=True, tag=True):
    """The centre wants to know which requests are being answered now.

    Attributes:
        id: this one alone; "": any.
        before: of those that began before this one; "": of all.
        most: the newest so many, at most.
    """

    look: int
    id: str
    before: str
    most: int


class Drain(Message, frozen=True, tag=True):
    """End: open requests may go on for so many seconds, 0 cuts them.

    Attributes:
        accepting: whether new connections are still answered meanwhile, by a refusal; False leaves them to whoever
            takes over the listener.
    """

    seconds: float
    accepting: bool = True


ToCentre = (
    Subscribe
    | Taken
    | Refused
    | Counted
    | Finished
    | Seen
    | Draining
    | Leaving
    | Lease
    | Settle
    | ToHealth
    | ToKeys
    | ToTreasury
    | Question
)
FromCentre = Publish | Report | Keep | Look | Drain | Leased | Recall | FromHealth | FromKeys | FromTreasury | Replied

_encoder = msgspec.msgpack.Encoder()


def encode_message(message: Message) -> bytes:
    """A message as it crosses a socket: four bytes of length (big-endian), then msgpack.

    Raises:
        ValueError: it is larger than the other side would accept.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(body)} bytes, at most {MAX_MESSAGE}")
    return len(body).to_bytes(_PREFIX, "big") + body


class Frames:
    """Messages out of a stream of bytes, however it is cut.

    Args:
        kinds: what this side may be sent: `ToCentre` or `FromCentre`.
    """

    def __init__(self, kinds: Any) -> None:
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now.

        Raises:
            ValueError: what came is no message, or too large a one; the stream is of no further use.
        """
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        while len(buffer) >= _PREFIX:
            end = _PREFIX + int.from_bytes(buffer[:_PREFIX], "big")
            if end - _PREFIX > MAX_MESSAGE:
                raise ValueError(f"a message of {end - _PREFIX} bytes, at most {MAX_MESSAGE}")
            if len(buffer) < end:
                break
            try:
                found.append(self._decoder.decode(bytes(buffer[_PREFIX:end])))
            except msgspec.DecodeError as error:
                raise ValueError(f"not a message: {error}") from None
            del buffer[:end]
        return found


class Channel(Protocol):
    """One end of a connection between a worker and the centre. Messages arrive whole and in order, or the end does."""

    @property
    def full(self) -> bool:
        """Whether the other side does not read what was sent; what can wait should."""
        ...

    def open(self, received: Callable[[Message], object], lost: Callable[[], object]) -> None:
        """Begin to deliver: each message, then the end, once, when the other side is gone or `close` was called."""

    def send(self, message: Message) -> None:
        """Send, without waiting; does nothing once either side has closed."""

    def close(self) -> None:
        """End it once what was sent has left."""


class Keys(Protocol):
    """Who tells workers of the store's keys (`stores/key_centre.py`)."""

    def received(self, worker: Channel, message: KeyMessage) -> None:
        """A worker says or asks something."""

    def left(self, worker: Channel) -> None:
        """A worker is gone."""


class _NoKeys:
    """There is no store: no key can come."""

    def received(self, worker: Channel, message: KeyMessage) -> None:
        worker.send(KeysPage(0, 0, True, b"", [], ()))

    def left(self, worker: Channel) -> None:
        pass


def _unheard(message: Message) -> None:
    pass


def _nothing() -> None:
    pass


class MemoryChannel:
    """A channel within one process; `memory_pair` makes both ends."""

    full = False

    def __init__(self, post: Callable[..., object]) -> None:
        self._post = post
        self._peer: MemoryChannel = self
        self._received: Callable[[Message], object] = _unheard
        self._lost: Callable[[], object] = _nothing
        self._closed = False

    def open(self, received: Callable[[Message], object], lost: Callable[[], object]) -> None:
        self._received, self._lost = received, lost

    def send(self, message: Message) -> None:
        if not self._closed:
            self._post(self._peer._deliver, message)

    def close(self) -> None:
        if not self._closed:
            self._closed = self._peer._closed = True
            self._post(self._peer._end)
            self._post(self._end)

    def _deliver(self, message: Message) -> None:
        self._received(message)

    def _end(self) -> None:
        lost, self._lost, self._received = self._lost, _nothing, _unheard
        lost()


def memory_pair(post: Callable[..., object]) -> tuple[MemoryChannel, MemoryChannel]:
    """Two ends that are each other's peer.

    Args:
        post: runs a function soon, in the order asked for (`loop.call_soon`).
    """
    one, other = MemoryChannel(post), MemoryChannel(post)
    one._peer, other._peer = other, one
    return one, other


class Member:
    """A worker as the centre knows it.

    Attributes:
        generations: which generation of each topic it works with.
        refused: the last thing it refused.
        gauges: as of its last report.
        reported: the number of the last `Report` it answered.
        silent: how many looks have passed since it was last heard of; whoever looks counts it up.
    """

    def __init__(self, name: str, channel: Channel) -> None:
        self.name = name
        self.channel = channel
        self.topics: dict[str, None] = {}
        self.generations: dict[str, int] = {}
        self.refused: Refused | None = None
        self.gauges: dict[str, float] = {}
        self.reported = 0
        self.draining = False
        self.leaving = False
        self.lost = False
        self.silent = 0


class _Look:
    """A question to all members and what each has answered."""

    def __init__(self, asked: list[Member]) -> None:
        self.asked = asked
        self.told: dict[Member, list[Told]] = {}


class Centre:
    """Keeps what was published, sums what is reported, leases what is counted, and knows its members.

    Args:
        count: takes what a member counted.
        authority: decides how deployments stand; None: one without chance, which tells nobody else.
        treasury: keeps the accounts of limits and budgets; None: one that knows nothing of before.

    Attributes:
        members: those that are connected.
        leases: what they hold, and what those still hold that died a moment ago.
        health: what they hear of deployments, and what they ask for.
        treasury: what they have in hand of limits and budgets.
        recent: the requests that ended last.
        questions: what they ask, and who answers.
        keys: what they hear of the store's keys; to be set before any joins.
    """

    def __init__(
        self,
        count: Callable[[Counts], object],
        clock: Clock,
        authority: Authority | None = None,
        treasury: Treasury | None = None,
    ) -> None:
        self._count = count
        self._clock = clock
        self._expiries: dict[Member, Timer] = {}
        self.leases: Leases[Member] = Leases()
        self.health = HealthCentre(authority if authority is not None else Authority(), clock)
        self.keys: Keys = _NoKeys()
        self.treasury = treasury if treasury is not None else Treasury(clock)
        self._published: dict[str, Publish] = {}
        self._reports = 0
        self._looks: dict[int, _Look] = {}
        self._look = 0
        self.recent = Recent()
        self.questions = Answers(clock)
        self._changed: asyncio.Future[None] | None = None
        self.members: dict[Member, None] = {}

    def join(self, name: str, channel: Channel, joined: Callable[[Member], object] | None = None) -> Member:
        """A worker is connected.

        Args:
            joined: told of it before anything that it has said already is heard, and answered.
        """
        member = Member(name, channel)
        self.members[member] = None
        self.treasury.join(member, channel.send)
        if joined is not None:
            joined(member)
        channel.open(lambda message: self._received(member, message), lambda: self._lost(member))
        return member

    def publish(self, topic: str, value: bytes) -> int:
        """Hand a topic's next generation to all who subscribed, now and later; returns its number."""
        known = self._published.get(topic)
        message = Publish(topic, known.generation + 1 if known else 1, value)
        self._published[topic] = message
        for member in self.members:
            if topic in member.topics:
                member.channel.send(message)
        return message.generation

    def generation(self, topic: str) -> int:
        """The last one published; 0 before the first."""
        known = self._published.get(topic)
        return known.generation if known else 0

    def gauges(self) -> dict[str, float]:
        """Each gauge, summed over the members."""
        sums: dict[str, float] = {}
        for member in self.members:
            for name, value in member.gauges.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    async def report(self) -> None:
        """Have every member report, and wait until all have that are still connected."""
        self._reports += 1
        number, asked = self._reports, list(self.members)
        for member in asked:
            member.channel.send(Report(number))
        await self.until(lambda: all(member.lost or member.reported >= number for member in asked))

    async def look(self, seconds: float, id: str = "", before: str = "", most: int = 1) -> list[Told]:
        """The requests that are being answered, as `Look` has it, of all members that say so within some seconds.

        Those that ended before it was asked are in `recent` by then.
        """
        self._look += 1
        number, look = self._look, _Look(list(self.members))
        self._looks[number] = look
        try:
            for member in look.asked:
                member.channel.send(Look(number, id, before, most))
            with suppress(TimeoutError):
                async with self._clock.timeout(seconds):
                    await self.until(lambda: all(member.lost or member in look.told for member in look.asked))
        finally:
            del self._looks[number]
        return [each for told in look.told.values() for each in told]

    async def until(self, reached: Callable[[], object]) -> None:
        """Wait until that holds; looked at whenever something is heard of a member, or `changed` is called."""
        while not reached():
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def changed(self) -> None:
        """Have those who wait look again."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)

    def _received(self, member: Member, message: Message) -> None:
        member.silent = 0
        if not self._passed_on(member, message):
            self._heard(member, message)
            self.changed()

    def _passed_on(self, member: Member, message: Message) -> bool:
        """Whether it was for somebody else at the centre."""
        if isinstance(message, HealthMessage):
            self.health.received(member.channel, message)
        elif isinstance(message, MoneyMessage):
            self.treasury.received(member, message)
        elif isinstance(message, KeyMessage):
            self.keys.received(member.channel, message)
        elif isinstance(message, Question):
            self.questions.received(member, member.channel.send, message)
        else:
            return False
        return True

    def _heard(self, member: Member, message: Message) -> None:
        if isinstance(message, Counted):
            self._count(message.counts)
            member.gauges = message.gauges
            member.reported = max(member.reported, message.report)
        elif isinstance(message, Finished):
            self.recent.add(message.requests, message.wrong)
        elif isinstance(message, Seen):
            if message.look in self._looks:
                self._looks[message.look].told[member] = message.requests
        elif isinstance(message, Subscribe):
            member.topics[message.topic] = None
            if message.topic in self._published:
                member.channel.send(self._published[message.topic])
        elif isinstance(message, Taken):
            member.generations[message.topic] = message.generation
        elif isinstance(message, Refused):
            member.refused = message
        elif isinstance(message, Draining):
            member.draining = True
        elif isinstance(message, Leaving):
            member.leaving = True
        elif isinstance(message, Lease):
            decisions = self.leases.lease(member, message.guard, message.amount, message.total)
            self._decided(decisions)
            if not any(each.holder is member and each.granted for each in decisions):
                # So that it can tell that there is none from that it was not heard yet.
                member.channel.send(Leased(message.guard, 0))
        elif isinstance(message, Settle):
            self._decided(self.leases.settle(member, message.guard, message.returned, message.unasked))

    def _decided(self, decisions: list[Decision[Member]]) -> None:
        for holder, guard, granted, unused, owed in decisions:
            holder.channel.send(Leased(guard, granted) if granted else Recall(guard, unused, owed))

    def _lost(self, member: Member) -> None:
        member.lost = True
        self.members.pop(member, None)
        self.health.left(member.channel)
        self.questions.left(member)
        self.keys.left(member.channel)
        self.treasury.left(member)
        self._decided(self.leases.withdraw(member))
        if self.leases.holds(member):
            # What it began may still go on at the other end.
            self._expiries[member] = self._clock.call_later(EXPIRY_SECONDS, lambda: self._expired(member))
        self.changed()

    def _expired(self, member: Member) -> None:
        del self._expiries[member]
        self._decided(self.leases.expire(member))

    def close(self) -> None:
        """Wait for nothing more."""
        for timer in self._expiries.values():
            timer.cancel()
        self._expiries.clear()
        self.questions.close()
        self.treasury.close()
