"""An hour of a busy application in virtual time, on a bad network, the same in every run with the same seed.

`penstock.testing.run` gives asyncio code a loop whose clock jumps to the next thing that happens and whose network is
in memory, with latency, resets and connections that are refused. A failing seed fails again until it is mended.
"""

from __future__ import annotations

import time

from penstock import Penstock, PenstockError
from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.testing import Faults, Link, SeededRandom, SimLoop, SimulatedProvider, run

CONFIG = {
    "providers": {"vendor": {"kind": "openai", "base_url": "http://vendor.test/v1", "api_key": "none"}},
    "defaults": {"retry": "off"},  # else hardly a call would fail, even on such a network
}
BAD_NETWORK = Faults(refuse_chance=0.2, up=Link(latency=0.03, jitter=0.05), down=Link(latency=0.03, jitter=0.05))


async def an_hour(loop: SimLoop) -> dict[str, int]:
    """A call every minute to a slow provider; how the calls ended."""
    provider = SimulatedProvider(loop.clock, seed=loop.seed, script="first_token=2s,between=100ms")
    await loop.create_server(provider.connection, "vendor.test", 80)
    ended: dict[str, int] = {}
    # The engine takes its time and its chance from the loop too.
    gateway = Gateway(load_config(CONFIG, {}, serving=False), loop.clock, SeededRandom(loop.seed))
    async with Penstock.over(gateway) as llm:
        for minute in range(60):
            try:
                await llm.generate(f"Report minute {minute}.", model="vendor/small")
                outcome = "ok"
            except PenstockError as error:
                outcome = error.code
            ended[outcome] = ended.get(outcome, 0) + 1
            await loop.clock.sleep(60 - loop.time() % 60)
    await gateway.aclose()
    return dict(sorted(ended.items()))


def main() -> None:
    started = time.monotonic()
    for seed in range(3):
        once, again = (run(an_hour, seed, faults=BAD_NETWORK, leak_free=True) for _ in range(2))
        print(f"seed {seed}: {once}, and the same again: {once == again}")
    print(f"six hours in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
