"""What `penstock` itself offers: names that load at first use, and types that a checker sees."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any, assert_type

import pytest

import penstock
from penstock import Embeddings, Event, NotAvailable, Penstock, Response, Stream, SyncPenstock, errors


def test_every_error_has_its_name_here() -> None:
    assert set(errors.__all__) <= set(penstock.__all__)
    for name in errors.__all__:
        assert getattr(penstock, name) is getattr(errors, name)


def test_names_are_listed_and_others_refused() -> None:
    assert set(penstock.__all__) <= set(dir(penstock))
    assert penstock.__version__ == importlib.import_module("penstock.version").VERSION
    nobody: Any = penstock
    with pytest.raises(AttributeError, match="nobody"):
        _ = nobody.nobody


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import penstock; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.partition(".")[0] == "penstock"}
    assert loaded == {"penstock"}
    assert not {"asyncio", "ssl", "msgspec", "typing", "re"} & set(done.stdout.split())


async def types(llm: Penstock) -> None:
    """Read by the type checker alone; an ignore that is not needed is an error there."""
    reply = assert_type(await llm.generate("Hello", model="fast", stop=["x"]), Response)
    assert_type(await llm.embed(["a"], model="sim/embed"), Embeddings)
    assert_type(reply.text, str)
    async with llm.stream(messages=[{"role": "user", "content": "Hello"}, reply.message]) as stream:
        assert_type(stream, Stream)
        async for event in stream:
            assert_type(event, Event)
        async for piece in stream.text():
            assert_type(piece, str)
        assert_type(stream.reply, Response)
    await llm.generate("Hello", modle="fast")  # type: ignore[call-arg]
    await llm.generate("Hello", max_tokens="3")  # type: ignore[arg-type]
    Penstock(layers=["module:Name"])  # type: ignore[list-item]


def sync_types(llm: SyncPenstock) -> None:
    """The same for the blocking face."""
    assert_type(llm.generate("Hello"), Response)
    assert_type(llm.embed("a", model="sim/embed"), Embeddings)
    with llm.stream("Hello") as stream:
        assert_type(next(iter(stream)), Event)
        assert_type(list(stream.text()), list[str])
        assert_type(stream.reply, Response)
    llm.generate("Hello", cache="no-store")  # type: ignore[call-arg]


def test_what_the_checker_refuses_is_refused() -> None:
    with SyncPenstock() as llm, pytest.raises(NotAvailable, match="'cache'"):
        sync_types(llm)
