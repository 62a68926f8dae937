"""`layers:`: where a user's own are found, what is wrong with those that are not, and that they work in the gateway."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock import Call, Layer, Penstock, Reply, Request
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.errors import ConfigError, Forbidden
from penstock.gateway.own_layers import load_layers
from penstock.testing import SimLoop, run
from tests.stage import CONFIG, ENV, Caller, Stage, ask

GOOD = """
class Mine:
    def __init__(self, call):
        self.call = call

    async def __call__(self, request):
        request.record.task = "mine"
        return await self.call(request)

Other = Mine

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with modules beside a configuration; what was imported from it is forgotten again."""
    (tmp_path / "beside_the_config.py").write_text(GOOD)
    (tmp_path / "broken_layer.py").write_text("raise RuntimeError('no good')")
    (tmp_path / "needy_layer.py").write_text("import nobody_has_this")
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('what is installed comes first')")
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def config(folder: Path, *layers: str) -> Config:
    loaded = load_config({**CONFIG, "layers": list(layers)}, ENV)
    return msgspec.structs.replace(loaded, source=str(folder / "penstock.yaml"))


def test_they_are_found_beside_the_configuration_in_their_order(folder: Path) -> None:
    named = load_layers(config(folder, "beside_the_config:Mine", "beside_the_config:Other"))
    assert [each.name for each in named] == ["beside_the_config:Mine", "beside_the_config:Other"]
    assert named[0].layer is named[1].layer is sys.modules["beside_the_config"].Mine
    assert sys.path[-1] == str(folder)


def test_what_is_installed_is_never_hidden_by_a_file_beside_it(folder: Path) -> None:
    assert load_layers(config(folder, "colorsys:rgb_to_hls"))[0].layer.__module__ == "colorsys"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nobody_has_this:Mine", "there is no module nobody_has_this: it is not installed nor does it lie in"),
        ("nobody.has_this:Mine", "there is no module nobody: it is not installed"),
        ("beside_the_config:Mien", 'beside_the_config has no Mien (did you mean "Mine"?)'),
        ("beside_the_config:number", "it is of type int, which cannot be called"),
        ("broken_layer:Mine", "importing broken_layer failed: RuntimeError: no good"),
        ("needy_layer:Mine", "needy_layer needs the module nobody_has_this, which is not installed"),
    ],
)
def test_what_is_wrong_with_one_is_told(folder: Path, name: str, told: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        load_layers(config(folder, name))
    assert str(wrong.value).startswith(f"{folder}/penstock.yaml: layers: '{name}': ")
    assert told in str(wrong.value)


def test_without_a_file_nothing_is_added_to_the_path(folder: Path) -> None:
    path = list(sys.path)
    with pytest.raises(ConfigError, match=r"it is not installed$"):
        load_layers(load_config({**CONFIG, "layers": ["beside_the_config:Mine"]}, ENV))
    assert sys.path == path


# --- in the gateway


def test_one_works_in_every_dialect_whole_and_streamed(folder: Path) -> None:
    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        async with Stage(loop, config(folder, "beside_the_config:Mine")) as stage:
            caller = await Caller.connect()
            for dialect in ("chat", "messages", "generate"):
                for stream in (False, True):
                    path, body = ask(dialect, stream=stream)
                    assert (await caller.post(body, path)).status == 200
            caller.close()
            await loop.clock.sleep(1)
            return stage.lines

    lines = run(main, leak_free=True)
    assert [line["task"] for line in lines] == ["mine"] * 6


def refusing(call: Call) -> Call:
    async def refuse(request: Request) -> Reply:
        if b"tulip" in bytes(request.fields["messages"]):
            raise Forbidden("nothing about flowers", do="Ask for something else.")
        return await call(request)

    return refuse


def broken(call: Call) -> Call:
    async def fail(request: Request) -> Reply:
        raise RuntimeError("a tulip")

    return fail


def test_a_program_hands_its_own_over() -> None:
    order: list[str] = []

    def noting(name: str) -> Layer:
        def layer(call: Call) -> Call:
            async def noted(request: Request) -> Reply:
                order.append(name)
                return await call(request)

            return noted

        return layer

    async def main(loop: SimLoop) -> None:
        async with Penstock({"providers": {"sim": {}}}, layers=[noting("a"), noting("b"), refusing]) as llm:
            assert "own" in repr(llm)
            assert (await llm.generate("Hello", model="sim/small")).text
            with pytest.raises(Forbidden, match="flowers"):
                await llm.generate("A tulip?", model="sim/small")
            async with llm.stream("Hello", model="sim/small") as stream:
                assert [event async for event in stream]

    run(main, leak_free=True)
    assert order == ["a", "b"] * 3


def test_what_a_program_hands_over_must_be_one() -> None:
    nothing: Any = "module:Name"
    with pytest.raises(ConfigError, match="'module:Name' cannot be called"):
        Penstock({"providers": {"sim": {}}}, layers=[nothing])
    with pytest.raises(ConfigError, match="there is no module nobody_has_this"):
        Penstock({"providers": {"sim": {}}, "layers": ["nobody_has_this:Mine"]})


def test_a_mistake_reaches_no_caller(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "bad_at_work.py").write_text(
        "def layer(call):\n    async def fail(request):\n        raise RuntimeError('a tulip')\n    return fail\n"
    )

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, config(folder, "bad_at_work:layer")) as stage:
            caller = await Caller.connect()
            for dialect in ("chat", "messages", "generate"):
                path, body = ask(dialect)
                answer = await caller.post(body, path)
                assert answer.status == 500
                assert answer.headers["x-request-id"] in answer.body.decode()
                assert "tulip" not in answer.body.decode()
                assert "Traceback" not in answer.body.decode()
            caller.close()
            await loop.clock.sleep(1)
            assert {line["error"] for line in stage.lines} == {"internal_error"}

    run(main, leak_free=True)
    assert caplog.text.count("the layer bad_at_work:layer failed") == 3
    assert "a tulip" in caplog.text
