"""When the configuration is read anew, in virtual time over real files: a change, half a change, a wrong one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.config.schema import Config
from penstock.config.yaml_file import open_config
from penstock.errors import ConfigError, Overloaded, PenstockError
from penstock.server.reload import LOOK_SECONDS, RETRY_SECONDS, Reload
from penstock.testing import SimLoop
from penstock.testing.simloop import run

TEXT = """\
auth: open
providers: {{sim: {{}}, up: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: "file:{secret}"}}}}
models: {{{name}: {{targets: [sim/small]}}}}
"""


class Watched:
    """A folder with a configuration and a secret, and what became of each reload."""

    def __init__(self, loop: SimLoop, folder: Path) -> None:
        self.loop = loop
        self.folder = folder
        self.file = folder / "penstock.yaml"
        self.secret = folder / "key"
        self.secret.write_text("sk-one")
        self.write("first")
        self.adopted: list[Config] = []
        self.told: list[str] = []
        self.busy: list[bool] = []
        self.refuses = ""
        config = open_config(self.file, {})
        self.reload = Reload(config, self.reread, self.adopt, self.told.append, loop.clock, self.busy.append)
        self.reads = 0
        self.reload.open()

    def write(self, name: str, secret: str = "key") -> None:
        """By renaming, as an editor does."""
        draft = self.folder / "draft"
        draft.write_text(TEXT.format(name=name, secret=secret))
        draft.rename(self.file)

    async def reread(self) -> Config:
        self.reads += 1
        return open_config(self.file, {})

    async def adopt(self, config: Config) -> int:
        if self.refuses:
            raise ConfigError(self.refuses, do="Restart.")
        self.adopted.append(config)
        return len(self.adopted) + 1

    @property
    def names(self) -> list[str]:
        return [next(iter(config.models)) for config in self.adopted]

    async def look(self, times: int = 3) -> None:
        await self.loop.clock.sleep(LOOK_SECONDS * times)


@pytest.fixture
def on_stage(tmp_path: Path) -> Callable[[Callable[[Watched], Any]], None]:
    def play(main: Callable[[Watched], Any]) -> None:
        async def whole(loop: SimLoop) -> None:
            watched = Watched(loop, tmp_path)
            await main(watched)
            watched.reload.close()
            await watched.look()
            assert watched.busy == [True, False] * (len(watched.busy) // 2)

        run(whole, leak_free=True)

    return play


OnStage = Callable[[Callable[[Watched], Any]], None]


def test_a_changed_file_is_taken_once(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        await watched.look(5)
        assert watched.reads == 0
        watched.write("second")
        await watched.look(5)
        assert watched.names == ["second"]
        assert watched.told == [f"reloaded: {watched.file}, generation 2"]
        assert watched.reads == 1

    on_stage(main)


def test_a_file_that_still_changes_is_waited_for(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        await watched.look(1)
        whole = TEXT.format(name="second", secret="key")
        for cut in range(20, len(whole), 20):
            watched.file.write_text(whole[:cut])
            await watched.look(1)
        assert watched.reads == 0
        watched.file.write_text(whole)
        await watched.look(3)
        assert watched.names == ["second"]
        assert watched.reads == 1

    on_stage(main)


def test_a_secret_that_is_replaced_counts(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.secret.write_text("sk-two")
        await watched.look()
        key = watched.adopted[0].providers["up"].api_key
        assert key is not None
        assert key.reveal() == "sk-two"

    on_stage(main)


def test_a_secret_named_since_the_last_reload_counts(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        (watched.folder / "other").write_text("sk-three")
        watched.write("second", secret="other")
        await watched.look()
        watched.secret.write_text("sk-nobody-asks-for-it")
        await watched.look()
        assert watched.names == ["second"]
        (watched.folder / "other").write_text("sk-four!")
        await watched.look()
        assert [
            config.providers["up"].api_key.reveal() for config in watched.adopted if config.providers["up"].api_key
        ] == [
            "sk-three",
            "sk-four!",
        ]

    on_stage(main)


def test_a_row_of_the_catalogue_that_is_added_counts(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        (watched.folder / "providers").mkdir()
        await watched.look()
        assert watched.reads == 1
        (watched.folder / "providers" / "mine.toml").write_text("no row")
        await watched.look()
        assert "providers/mine.toml:1:" in watched.told[-1]
        (watched.folder / "providers" / "mine.toml").unlink()
        await watched.look()
        assert watched.told[-1] == f"reloaded: {watched.file}, generation 3"

    on_stage(main)


def test_a_swapped_link_counts(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: the file is a link into a folder behind a link that is replaced."""
    for name, model in (("..1", "first"), ("..2", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "penstock.yaml").write_text(TEXT.format(name=model, secret="key"))
        # Same size and the same time: what tells them apart is the file itself.
        os.utime(tmp_path / name / "penstock.yaml", (1, 1))
    (tmp_path / "key").write_text("sk-one")
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "penstock.yaml"
    file.symlink_to("..data/penstock.yaml")
    adopted: list[Config] = []

    async def whole(loop: SimLoop) -> None:
        async def reread() -> Config:
            return open_config(file, {})

        async def adopt(config: Config) -> int:
            adopted.append(config)
            return 2

        reload = Reload(await reread(), reread, adopt, lambda text: None, loop.clock, lambda busy: None)
        reload.open()
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").rename(tmp_path / "..data")
        await loop.clock.sleep(3 * LOOK_SECONDS)
        reload.close()

    run(whole, leak_free=True)
    assert [list(config.models) for config in adopted] == [["second"]]


def test_a_wrong_one_changes_nothing_and_is_told_once(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.file.write_text(TEXT.format(name="second", secret="key") + "modls: {}\n")
        await watched.look(int(5 * RETRY_SECONDS))
        assert watched.adopted == []
        assert len(watched.told) == 1
        assert "nothing has changed" in watched.told[0]
        assert f"{watched.file}:4:1: " in watched.told[0]
        watched.write("third")
        await watched.look()
        assert watched.names == ["third"]
        assert watched.told[1:] == [f"reloaded: {watched.file}, generation 2"]

    on_stage(main)


def test_what_was_not_there_yet_is_looked_for_again(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.write("second", secret="mounted-later")
        await watched.look()
        assert "mounted-later" in watched.told[0]
        (watched.folder / "mounted-later").write_text("sk-five")
        await watched.look(int(RETRY_SECONDS) + 2)
        assert watched.names == ["second"]
        reads = watched.reads
        await watched.look(int(5 * RETRY_SECONDS))
        assert watched.reads == reads

    on_stage(main)


def test_a_file_that_is_gone_is_told_and_taken_when_it_is_back(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.file.unlink()
        await watched.look()
        assert "cannot be read" in watched.told[0]
        watched.write("second")
        await watched.look()
        assert watched.names == ["second"]

    on_stage(main)


def test_one_that_is_refused_is_not_asked_again_until_it_changes(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.refuses = "log changed"
        watched.write("second")
        await watched.look(int(5 * RETRY_SECONDS))
        assert watched.reads == 1
        assert len(watched.told) == 1
        assert "log changed\n  Restart." in watched.told[0]
        watched.refuses = ""
        watched.write("third")
        await watched.look()
        assert watched.names == ["third"]

    on_stage(main)


def test_whoever_asks_gets_an_answer_each_time(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.reload.ask()
        await watched.loop.settle()
        assert watched.names == ["first"]
        watched.refuses = "log changed"
        for _ in range(2):
            watched.reload.ask()
            await watched.loop.settle()
        assert len(watched.told) == 3
        assert watched.told[1] == watched.told[2]

    on_stage(main)


def test_what_somebody_asked_for_is_not_reloaded_again_because_it_changed(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        for name in ("second", "third"):
            watched.write(name)
            await watched.look(1)
            watched.reload.ask()
            await watched.look(5)
        assert watched.names == ["second", "third"]

    on_stage(main)


def test_a_mistake_of_ours_does_not_end_it(on_stage: OnStage, caplog: pytest.LogCaptureFixture) -> None:
    async def main(watched: Watched) -> None:
        watched.secret.write_text("sk-two")
        watched.adopted = None  # type: ignore[assignment]
        await watched.look()
        assert "was not reloaded" in caplog.text
        watched.adopted = []
        watched.write("second")
        await watched.look()
        assert watched.names == ["second"]

    on_stage(main)


def test_whoever_waits_for_it_hears_what_has_changed(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.write("second")
        told = await watched.reload.now()
        assert told == (str(watched.file), 2, ["models.first", "models.second"])
        watched.secret.write_text("sk-two")
        assert (await watched.reload.now()).changed == ["providers.up"]
        assert (await watched.reload.now()).changed == []
        await watched.look(5)
        assert len(watched.adopted) == 3

    on_stage(main)


def test_whoever_waits_for_it_hears_why_not(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        watched.write("second")
        watched.file.write_text(watched.file.read_text() + "modls: {}\n")
        for _ in range(2):
            with pytest.raises(ConfigError, match=f"{watched.file}:4:1: "):
                await watched.reload.now()
        watched.write("second")
        watched.refuses = "log changed"
        with pytest.raises(ConfigError, match="log changed"):
            await watched.reload.now()
        watched.refuses = ""
        # What was refused was never in use: all that is new since the start is told.
        assert (await watched.reload.now()).changed == ["models.first", "models.second"]

    on_stage(main)


def test_whoever_asks_in_the_middle_of_one_gets_the_next(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        whole = watched.adopt
        held = asyncio.get_running_loop().create_future()

        async def slowly(config: Config) -> int:
            await held
            return await whole(config)

        watched.reload._adopt = slowly
        watched.write("second")
        first = asyncio.ensure_future(watched.reload.now())
        await watched.loop.settle()
        watched.write("third")
        later = [asyncio.ensure_future(watched.reload.now()) for _ in range(3)]
        await watched.loop.settle()
        held.set_result(None)
        assert (await first).changed == ["models.first", "models.second"]
        assert [(await each).changed for each in later] == [["models.second", "models.third"]] * 3
        assert watched.reads == 2

    on_stage(main)


def test_whoever_waits_when_it_ends_is_told_so(on_stage: OnStage) -> None:
    async def main(watched: Watched) -> None:
        async def never(config: Config) -> int:
            return int(await asyncio.get_running_loop().create_future())

        watched.reload._adopt = never
        waiting = [asyncio.ensure_future(watched.reload.now())]
        await watched.loop.settle()
        waiting.append(asyncio.ensure_future(watched.reload.now()))
        await watched.loop.settle()
        watched.reload.close()
        for each in waiting:
            with pytest.raises(Overloaded):
                await each
        watched.busy.append(False)  # the one that was given up said so no more

    on_stage(main)


def test_whoever_waits_hears_of_a_mistake_of_ours(on_stage: OnStage, caplog: pytest.LogCaptureFixture) -> None:
    async def main(watched: Watched) -> None:
        watched.adopted = None  # type: ignore[assignment]
        with pytest.raises(PenstockError, match="Penstock made a mistake"):
            await watched.reload.now()
        assert "was not reloaded" in caplog.text

    on_stage(main)
