"""Where a Penstock lives: one loop at a time, begun at its first call, nothing read or written beside its calls."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import Penstock
from penstock.testing import SimLoop, run
from tests.client.stage import new_gateway

ROOT = Path(__file__).parents[2]


def alone(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program as a user would: a fresh interpreter, an empty folder, no key in the environment."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", *arguments, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # What asyncio's debug mode says of a step that took 0.1 s, as any may on a busy machine.
    done.stderr = re.sub(r"^Executing <.* took [\d.]+ seconds\n", "", done.stderr, flags=re.MULTILINE)
    return done


def test_without_a_block() -> None:
    async def main() -> str:
        llm = Penstock()
        assert "not started" in repr(llm)
        text = (await llm.generate("Hello")).text
        await llm.aclose()
        await llm.aclose()
        assert "closed" in repr(llm)
        with pytest.raises(RuntimeError, match="closed"):
            await llm.generate("Hello")
        return text

    assert asyncio.run(main())


def test_one_after_the_other_on_several_loops() -> None:
    llm = Penstock()

    async def once() -> str:
        return (await llm.generate("Hello")).text

    assert asyncio.run(once()) == asyncio.run(once())
    asyncio.run(llm.aclose())


def test_two_loops_at_once_are_refused() -> None:
    llm = Penstock()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first.run_until_complete(llm.generate("Hello"))
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(llm.generate("Hello"))
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run_until_complete(llm.aclose())
        first.run_until_complete(llm.aclose())
    finally:
        first.close()
        second.close()


def test_a_gateway_handed_in_stays_its_owners() -> None:
    async def main(loop: SimLoop) -> str:
        gateway = new_gateway(loop)
        async with Penstock.over(gateway) as llm:
            await llm.generate("Hello")
        assert gateway.upstream_connections == 1
        async with Penstock.over(gateway) as llm:
            text = (await llm.generate("Hello")).text
        await gateway.aclose()
        return text

    assert run(main, leak_free=True)


READS = """
import asyncio, sys, sysconfig
from penstock import Penstock
roots = (sys.prefix, sys.base_prefix, sys.path[1])
seen = []
def watch(event, args):
    if event == "open" and not str(args[0]).startswith(roots):
        seen.append(args)
async def main():
    async with Penstock() as llm:
        await llm.generate("Hello")
        async with llm.stream("Hello") as stream:
            async for _ in stream:
                pass
        await llm.embed(["a"], model="sim/embed")
sys.addaudithook(watch)
asyncio.run(main())
assert not seen, seen
open("witness", "w").close()
assert seen, "the watch works"
"""


def test_no_file_is_read_or_written_and_nothing_said(tmp_path: Path) -> None:
    done = alone(READS, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["witness"]


def test_a_config_file(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text("providers: {sim: {}}\nmodels: {fast: {targets: [sim/small]}}\nkeys: []\n")

    async def main() -> str:
        async with Penstock(path) as llm:
            return (await llm.generate("Hello", model="fast")).model

    assert asyncio.run(main()) == "small"
