"""A scenario's world: the gateways of its configuration, the vendors that stand in for its providers, the network."""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import urlsplit

from penstock.config.schema import Config
from penstock.gateway import Gateway, Shared
from penstock.stores.authority import Authority
from penstock.stores.health import OwnDesk
from penstock.stores.state import Registry
from penstock.testing.clock import SeededRandom, SimClock
from penstock.testing.simloop import SimLoop
from penstock.testing.simulate.dummies import credentials_of, disarmed
from penstock.testing.simulate.scenario import Scenario
from penstock.testing.simulate.trouble import place_of
from penstock.testing.simulate.vendor import Door, SimulatedVendor
from penstock.transport.memory import pipe

__all__ = ["Down", "ScenarioLoop", "World"]

# Of a worker that ended: until its supervisor has another one that serves.
RESTART_SECONDS = 1.0
# There and back before the request: TCP's handshake, and that of TLS 1.3.
_TCP_TRIPS, _TLS_TRIPS = 1, 2


class WallClock(SimClock):
    """A loop's time, with a wall clock that can be moved."""

    moved = 0.0

    def wall(self) -> float:
        return super().wall() + self.moved


class ScenarioLoop(SimLoop):
    """A SimLoop whose connections all lead to simulated vendors, whatever a configuration's addresses are.

    Attributes:
        clock: its wall time can be moved.
        doors: by address and port.
    """

    clock: WallClock

    def __init__(self, seed: int) -> None:
        super().__init__(seed, shuffle=False, max_steps=10**12, max_seconds=float("inf"))
        self.clock = WallClock(self)
        self.doors: dict[tuple[str, int], Door] = {}

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """Connect to whoever has a door there; over TLS too, of which only the time is simulated.

        Raises:
            ConnectionRefusedError: nobody has, or the door is shut.
        """
        door = self.doors.get((str(host), int(port)))
        trips = _TLS_TRIPS if options.get("ssl") is not None else _TCP_TRIPS
        await self.clock.sleep(trips * 2 * door.latency if door is not None else 0.0)
        if door is None or door.refuses:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{host}:{port} refused to connect")
        client = protocol_factory()
        transport, _ = pipe(self, client, door.connection())
        return transport, client


class Down(Exception):
    """No worker serves."""


class World:
    """What a scenario runs in.

    Args:
        changed: told whenever a worker ended or came, or a configuration was loaded.

    Attributes:
        config: the one that serves now, disarmed.
        gateways: one for each worker; None while it is down.
        shared, desk: how deployments stand, as the centre of all workers keeps it.
    """

    def __init__(self, scenario: Scenario, loop: ScenarioLoop, seed: int) -> None:
        self.loop = loop
        self.zero = loop.time()
        self._scenario = scenario
        self._seed = seed
        self._made = 0
        self.config = disarmed(scenario.config)
        # One for all workers, as the centre is.
        self.desk = OwnDesk(Authority(SeededRandom(seed).random), loop.clock)
        self.shared = Shared(Registry(), desk=self.desk)
        self._seen: Gateway | None = None
        self._ids: list[str] = []
        self.gateways: list[Gateway | None] = [self._gateway() for _ in range(scenario.workers)]
        self._turn = 0
        self._vendors: set[str] = set()
        self._old: list[Gateway] = []

    @property
    def now(self) -> float:
        """Seconds since the scenario began."""
        return self.loop.time() - self.zero

    def open(self) -> None:
        """Let the vendors of the configuration listen that do not yet."""
        for name, provider in self.config.providers.items():
            if provider.base_url and not provider.off and name not in self._vendors:
                faults = [fault for fault in self._scenario.faults if place_of(fault.at).provider == name]
                random = Random(f"vendor {self._seed} {name}")
                vendor = SimulatedVendor(name, self._scenario.vendors, faults, self.loop.clock, random)
                self._vendors.add(name)
                address = self._address(name)
                door = self.loop.doors.setdefault(address, Door(self.loop.clock))
                door.add(vendor, credentials_of(provider))

    def _address(self, name: str) -> tuple[str, int]:
        url = urlsplit(self.config.providers[name].base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        return self.loop.network.resolve(url.hostname), port

    def restore(self, name: str) -> None:
        """Let a vendor be reachable."""
        self.loop.doors[self._address(name)].refuses = False

    def refuse(self, name: str) -> None:
        """Let a vendor refuse every connection, those that are open broken."""
        door = self.loop.doors[self._address(name)]
        door.refuses = True
        door.close()

    # --- the gateways

    def _gateway(self) -> Gateway:
        self._made += 1
        random = SeededRandom(1000 * self._seed + self._made)
        return Gateway(self.config, self.loop.clock, random, shared=self.shared)

    def gateway(self) -> Gateway:
        """The worker that the next caller gets.

        Raises:
            Down: there is none.
        """
        for _ in self.gateways:
            self._turn = (self._turn + 1) % len(self.gateways)
            found = self.gateways[self._turn]
            if found is not None:
                return found
        raise Down

    async def kill(self, number: int, cut: Callable[[Gateway], object]) -> None:
        """End a worker and start another a second later.

        Args:
            cut: ends the calls that run at it.
        """
        gateway = self.gateways[number]
        if gateway is None:
            return
        self.gateways[number] = None
        cut(gateway)
        await gateway.aclose()
        await self.loop.clock.sleep(RESTART_SECONDS)
        self.gateways[number] = self._gateway()

    def reload(self, config: Config) -> None:
        """Have every worker serve another configuration; calls that run go on under the old one."""
        self.config = disarmed(config)
        self.open()
        self._old += [gateway for gateway in self.gateways if gateway is not None]
        self.gateways = [self._gateway() if gateway is not None else None for gateway in self.gateways]

    async def aclose(self) -> None:
        """Close every gateway and vendor."""
        for gateway in (*self.gateways, *self._old):
            if gateway is not None:
                await gateway.aclose()
        for door in self.loop.doors.values():
            door.close()

    # --- what can be seen

    def deployments(self) -> list[str]:
        """The ids of those that the configuration names."""
        gateway = next((one for one in self.gateways if one is not None), None)
        if gateway is not None and gateway is not self._seen:
            self._seen, self._ids = gateway, [deployment.id for deployment in gateway.deployments]
        return self._ids
