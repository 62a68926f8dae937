"""The supervisor: owner of listeners, configuration, metrics and the control plane; keeps workers running.

One worker is a task in this process, several are processes; either way they are reached by a channel to the centre,
and `server/posts.py` sees to it that there are as many as there should be.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from penstock.admin.overview import Standing
from penstock.clock import Clock, Random, SystemRandom
from penstock.config.parcel import encode_config
from penstock.config.schema import Config
from penstock.config.stored import stored_names, with_stored
from penstock.config.stored_rules import declared_tenants, with_rules, with_tenants
from penstock.errors import ConfigError, Overloaded, PenstockError
from penstock.gateway import Shared
from penstock.gateway.books import Books, must_be_exact, taken_before
from penstock.gateway.steward import Steward
from penstock.metrics import Metrics
from penstock.redact import Secret
from penstock.server.lookout import Lookout
from penstock.server.own import REQUEST, Asked, own_view, past_view
from penstock.server.posts import Hire, Posts
from penstock.server.worker import Worker
from penstock.stores.authority import Authority
from penstock.stores.centre import CONFIG, Centre, Drain, MemoryChannel
from penstock.stores.directory import Directory
from penstock.stores.fill import Standings
from penstock.stores.key_centre import KeyCentre
from penstock.stores.past import attempts_of
from penstock.stores.past_told import past_told
from penstock.stores.purse import open_purse
from penstock.stores.recent import Told
from penstock.stores.rulebook import Rulebook
from penstock.stores.sqlite import StoreFailed
from penstock.stores.state import Registry
from penstock.stores.treasury import Treasury

__all__ = ["InProcess", "Supervisor"]

log = logging.getLogger("penstock.server")

# How long a report or the word that a worker drains is waited for: a worker busy with a large body takes so long.
ANSWER_SECONDS = 0.5


class InProcess:
    """A worker as a task of this process."""

    def __init__(self, channel: MemoryChannel, worker: Worker) -> None:
        self.channel = channel
        self._task = asyncio.get_running_loop().create_task(worker.run(), name="worker")
        self._task.add_done_callback(lambda task: channel.close())

    def kill(self) -> None:
        self._task.cancel()

    async def gone(self) -> str:
        await asyncio.wait((self._task,))
        if self._task.cancelled():
            return "it was stopped"
        error = self._task.exception()
        if error is not None:
            log.error("the worker failed", exc_info=error)
        return "" if error is None else f"it failed: {type(error).__name__}"


class Supervisor:
    """Runs a gateway's workers.

    Args:
        held: each worker's listening sockets, closed with this; `hire` duplicates what it gives away.
        random: by how much breakers' times differ.
        books: what is kept of what workers spend, opened and closed with this; None: nothing.

    Attributes:
        overview: what the control plane shows.
        centre: what the workers are connected to.
        health: decides for all of them how deployments stand.
        lookout: looks for providers, and rehearses.
        keys: tells workers of the store's keys.
        books: as given.
        steward: has the spending watched, and somebody told.
        fills: knows how full the accounts of limits and budgets are.
    """

    def __init__(
        self,
        config: Config,
        held: Sequence[Sequence[socket.socket]],
        clock: Clock,
        hire: Hire,
        random: Random | None = None,
        books: Books | None = None,
    ) -> None:
        self.books = books
        metrics = Metrics()
        random = random if random is not None else SystemRandom()
        self.health = Authority(random.random, metrics.moved, metrics.retry_refused)
        self.overview = Standing(config, metrics, self.health)
        treasury = Treasury(clock, books.ledger.spent if books is not None else None)
        self.centre = Centre(metrics.add, clock, self.health, treasury)
        self.keys = KeyCentre(clock)
        self.lookout = Lookout(clock, random, self.health, metrics, self._own_shared)
        self.centre.questions.topics[REQUEST] = self._tell_own
        database = books.database if books is not None else None
        self.steward = Steward(database, clock, random, metrics, self.centre.publish)
        self.steward.look_after(self.health.standings)
        self.fills = Standings(database, clock, treasury, self.centre.leases.sums)
        self._clock = clock
        self._rules: Rulebook | None = None
        # As the file has it; what workers are given has the store's beside it.
        self._written = config
        self._adopting = asyncio.Lock()
        self._shared: Shared | None = None
        self._posts = Posts(
            held, self.centre, clock, hire, lambda: self.overview.config.server.drain, metrics.restarts.inc
        )
        if books is not None:
            self._posts.joined, self._posts.gone = books.joined, books.gone
            self.steward.failures = lambda: books.failures
            books.closed = lambda name, buried: treasury.settled(name, buried.spent)

    def _own_shared(self) -> Shared:
        """By what the lookout's rehearsals are paid and booked. Raises Overloaded."""
        if self._shared is None:
            journal = None
            if self.books is not None:
                try:
                    journal = self.books.open_journal("lookout")
                except OSError as error:
                    raise Overloaded(
                        f"the ledger cannot be written: {error.strerror or error}", do="See to the disk."
                    ) from error
            purse = open_purse(self.centre.treasury, self._clock, "lookout")
            self._shared = Shared(Registry(), purse=purse, journal=journal)
        return self._shared

    async def keep(self, directory: Directory, rules: Rulebook | None = None) -> None:
        """Have workers know a directory's keys, and a store's rules; to be called before they are started.

        Raises:
            StoreFailed: it cannot be read.
        """
        await self.keys.open(directory)
        self.centre.keys = self.keys
        self._rules = rules
        self.overview.adopt(await self._filled(self.overview.config))

    async def _filled(self, config: Config) -> Config:
        """The same with the credentials and the rules of the store; without one those providers stay off."""
        directory = self.keys.directory
        if directory is None:
            return config
        directory.declare(declared_tenants(config), [key.tenant for key in config.keys if key.tenant])
        try:
            config = with_tenants(config, await directory.tenants.unusual())
            if self._rules is not None:
                config = with_rules(config, await self._rules.all())
        except StoreFailed as error:
            raise PenstockError(f"the stored tenants, limits and budgets cannot be read: {error}") from error
        found: dict[str, Secret | str] = {}
        for name in stored_names(config):
            try:
                found[name] = await directory.credentials.reveal(name)
            except PenstockError as error:
                log.error("a provider is switched off: %s", error)
                found[name] = error.message
            except StoreFailed as error:
                raise PenstockError(f"the credential {name} cannot be read: {error}") from error
        return with_stored(config, found)

    async def begin(self) -> None:
        """Start every worker.

        Raises:
            OSError: the machine cannot start one more process, or what is kept cannot be read or written.
        """
        if self.books is not None:
            rules = self.overview.config.rules
            await self.books.open(exact=must_be_exact(rules))
            await self.books.adopt(rules)
            self.centre.treasury.adopt(rules)
            self.centre.treasury.remember(await taken_before(self.books, rules, self._clock.wall()))
        self._publish(self.overview.config)
        await self._posts.fill()

    async def serving(self) -> None:
        """Wait until each worker serves, and look after them from then on.

        Raises:
            ConfigError: a worker cannot work with the configuration.
            PenstockError: workers die, or do not come up in time.
        """
        await self._posts.ready()
        self._posts.look_after()
        if self.books is not None:
            self.books.retain(self.overview.config.retention)
        self.lookout.adopt(self.overview.config)
        self.steward.adopt(self.overview.config)

    async def failed(self) -> PenstockError:
        """Wait until the workers have been given up; why."""
        await self.centre.until(lambda: self._posts.failure)
        assert self._posts.failure is not None
        return self._posts.failure

    async def report(self) -> None:
        """Bring the metrics up to date."""
        with suppress(TimeoutError):
            async with self._clock.timeout(ANSWER_SECONDS):
                await self.centre.report()
        metrics = self.overview.metrics
        metrics.show(self.centre.gauges())
        for member in self.centre.members:
            metrics.generation.set(member.generations.get(CONFIG, 0), (member.name,))
        metrics.leased.cells.clear()
        for guard, held in self.centre.leases.sums().items():
            # Of a limit's values, such as users, all together: their names are callers' words.
            metrics.leased.inc((guard.partition("|")[0],), held)
        metrics.accounts.set(len(self.centre.treasury.accounts))
        metrics.ledger_failing.set(float(self.books is not None and self.books.failing))
        metrics.unsettled.set(len(self.centre.treasury.unsettled))

    async def find(self, id: str) -> bytes | None:
        """The line of a request that is being answered, or ended not long ago; None where it is not known."""
        live = await self.centre.look(ANSWER_SECONDS, id)
        ended = self.centre.recent.find(id)
        return ended if ended is not None else next((line for _, line in live), None)

    async def past(self, id: str) -> bytes | None:
        """What the ledger tells of a request that `find` does not know (`past_told`), as JSON; None: nothing.

        Raises:
            Overloaded: it cannot be read now.
        """
        if self.books is None:
            return None
        try:
            attempts = await self.books.database.read(lambda connection: attempts_of(connection, id))
        except StoreFailed as error:
            raise Overloaded(f"the ledger cannot be read: {error}", do="Try again in a moment.") from error
        return msgspec.json.encode(past_told(id, attempts)) if attempts else None

    async def _tell_own(self, asked: bytes) -> bytes | None:
        """A request for whoever asked it."""
        question = msgspec.msgpack.decode(asked, type=Asked)
        line = await self.find(question.id)
        if line is not None:
            return own_view(line, question)
        if self.books is None:
            return None
        past = await self.books.database.read(lambda connection: attempts_of(connection, question.id))
        return past_view(past, question)

    async def newest(self, before: str, most: int) -> list[Told]:
        """The newest requests that began before that one, or of all (""), those that are being answered among them."""
        found = dict(await self.centre.look(ANSWER_SECONDS, before=before, most=most))
        found |= dict(self.centre.recent.before(before, most))
        return sorted(found.items(), reverse=True)[:most]

    async def adopt(self, config: Config) -> int:
        """Have every worker work with another configuration; returns its generation.

        Those that cannot go on with the one they have.

        Raises:
            ConfigError: it changes what only a restart can, or a worker refuses it. Then the one before stays.
        """
        async with self._adopting:
            return await self._adopt(config)

    async def refresh(self) -> None:
        """Adopt the same configuration again, with what the store holds by now; raises as `adopt`."""
        async with self._adopting:
            await self._adopt(self._written)

    async def _adopt(self, written: Config) -> int:
        before = self.overview.config
        _check_fixed(before, written)
        config = await self._filled(written)
        if self.books is not None:
            await self.books.adopt(config.rules)
        generation = self._publish(config)
        self.overview.adopt(config)
        try:
            await self._posts.ready()
        except PenstockError:
            self._publish(before)
            self.overview.adopt(before)
            raise
        self._written = written
        if self.books is not None:
            # Not before: only what every worker works with may delete what cannot be had back.
            self.books.retain(config.retention)
        self.lookout.adopt(config)
        self.steward.adopt(config)
        return generation

    def _publish(self, config: Config) -> int:
        # First the accounts: whatever a worker goes by is known there.
        self.centre.treasury.adopt(config.rules)
        return self.centre.publish(CONFIG, encode_config(config))

    async def renew(self) -> None:
        """Replace every worker by a fresh one, one after another, without a lost request; raises as `Posts.renew`."""
        await self._posts.renew()

    async def announce_drain(self, seconds: float) -> None:
        """Have every worker begin to drain, and wait until each says so: from here on `/readyz` is 503."""
        self._posts.stopping = True
        members = list(self.centre.members)
        for member in members:
            member.channel.send(Drain(seconds))
        with suppress(TimeoutError):
            async with self._clock.timeout(ANSWER_SECONDS):
                await self.centre.until(lambda: all(member.draining or member.lost for member in members))

    async def drained(self, seconds: float) -> None:
        """Wait until the workers have ended; what lives much longer than its patience is killed."""
        await self._posts.ended(seconds)

    async def aclose(self) -> None:
        """Cut what is left, wait for every worker's end, and close the listeners."""
        await self.lookout.aclose()
        await self.keys.aclose()
        self._posts.replace_no_more()
        for member in self.centre.members:
            member.channel.send(Drain(0.0))
        await self._posts.ended(0.0)
        self._posts.close()
        await self.steward.aclose()
        if self.books is not None:
            await self.books.aclose()
        self.centre.close()


def _check_fixed(before: Config, after: Config) -> None:
    fixed = {
        "server.listen": (before.server.listen, after.server.listen),
        "server.admin": (before.server.admin, after.server.admin),
        "server.workers": (before.server.workers, after.server.workers),
        "server.tls": (before.server.tls is None, after.server.tls is None),
        "log": (before.log, after.log),
        "encryption_key": (before.encryption_key, after.encryption_key),
        "state": (before.state, after.state),
        "durability": (before.durability, after.durability),
    }
    changed = [name for name, (old, new) in fixed.items() if old != new]
    if changed:
        raise ConfigError(f"{after.source}: {' and '.join(changed)} changed", do="Restart to change that.")
