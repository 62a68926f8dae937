"""Who may import whom. import-linter holds the floors; here: that its contracts are the design's, and do hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.imports import Source, cycles, imports_of
from tests.house.trees import ROOT, in_room, planted, project, src

FLOORS = [
    {"cli"},
    {"testing"},
    {"server"},
    {"admin"},
    {"client"},
    {"gateway"},
    {"config"},
    {"layers", "providers"},
    {"routing", "stores", "transport", "call", "metrics"},
    {"wire"},
    {
        *("messages", "prompt", "events", "records", "reservation"),
        *("lines", "errors", "clock", "redact", "standing", "usage", "version"),
    },
]
# What layers may know of a store.
PORTS = {"penstock.stores", "penstock.stores.protocols", "penstock.stores.rows", "penstock.stores.state"}
DRIVERS = {"redis", "asyncpg", "psycopg", "sqlite3", "aiosqlite"}


def contract(kind: str) -> dict[str, Any]:
    (found,) = [c for c in project()["tool"]["importlinter"]["contracts"] if c["id"] == kind]
    return dict(found)


def module_cycles(sources: Iterable[Source]) -> list[list[str]]:
    """Modules that import each other. The root package is left out: it loads its names when asked for them."""
    sources = [source for source in sources if source.module != "penstock"]
    known = frozenset(source.module for source in sources)
    return cycles({s.module: {i.target for i in imports_of(s, known) if i.target in known} for s in sources})


def forbidden_by_room(sources: Iterable[Source]) -> list[str]:
    """Layers that know a concrete store, and database drivers outside `stores/`."""
    sources = list(sources)
    known = frozenset(source.module for source in sources)
    found = []
    for source in sources:
        for item in imports_of(source, known):
            store = item.target.startswith("penstock.stores") and item.target not in PORTS
            if in_room(source, "layers") and store:
                found.append(f"{source.path}:{item.line}: a layer imports the store {item.target}")
            if item.target.partition(".")[0] in DRIVERS and not in_room(source, "stores"):
                found.append(f"{source.path}:{item.line}: the driver {item.target} is for stores/ only")
    return found


def upward_through_root(sources: Iterable[Source]) -> list[str]:
    """Only the outermost rooms may use the public face, which leads to every floor."""
    return [
        f"{source.path}:{item.line}: import the module itself, not the public face"
        for source in sources
        if not in_room(source, "cli", "testing", "__main__")
        for item in imports_of(source)
        if item.target == "penstock" and item.name and not _is_module(item.name)
    ]


def _is_module(name: str) -> bool:
    return (ROOT / "src/penstock" / name).is_dir() or (ROOT / "src/penstock" / f"{name}.py").is_file()


def test_the_floors_are_those_of_the_design() -> None:
    floors = contract("floors")
    written = [{room.strip(" ()") for room in floor.replace(":", "|").split("|")} for floor in floors["layers"]]
    assert written == FLOORS
    assert floors["type"] == "layers"
    assert floors["containers"] == ["penstock"]
    assert floors["exhaustive"] is True
    assert "ignore_imports" not in floors


def test_the_other_contracts_stand() -> None:
    assert contract("layers-apart")["modules"] == ["penstock.layers.*"]
    blind = contract("layers-blind")
    assert blind["source_modules"] == ["penstock.layers"]
    assert set(blind["forbidden_modules"]) == {"penstock.transport", "penstock.providers", "penstock.wire"}
    assert contract("no-cycles")["type"] == "acyclic_siblings"
    assert not [c["id"] for c in project()["tool"]["importlinter"]["contracts"] if "ignore_imports" in c]


def test_a_planted_import_up_the_stairs_breaks_the_contracts(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src/penstock", tmp_path / "penstock", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "penstock/wire/planted.py").write_text("from penstock import call\n")
    (tmp_path / "penstock/layers/planted.py").write_text("from penstock.transport import planted\n")
    (tmp_path / "penstock/transport/planted.py").write_text("")
    (tmp_path / "penstock/unplaced.py").write_text("")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "penstock.wire.planted -> penstock.call" in done.stdout
    assert "penstock.layers.planted -> penstock.transport.planted" in done.stdout
    assert "unplaced" in done.stdout


def test_no_import_cycles() -> None:
    assert module_cycles(src()) == []


def test_stores_and_drivers() -> None:
    assert forbidden_by_room(src()) == []


def test_nobody_below_uses_the_public_face() -> None:
    assert upward_through_root(src()) == []


def test_a_cycle_is_found(tmp_path: Path) -> None:
    planted(tmp_path, "penstock/a.py", "from penstock import b")
    planted(tmp_path, "penstock/b.py", "def f():\n    import penstock.wire.c")
    assert module_cycles(planted(tmp_path, "penstock/wire/c.py", "x = 1")) == []
    found = module_cycles(planted(tmp_path, "penstock/wire/c.py", "from ..a import x"))
    assert found == [["penstock.a", "penstock.b", "penstock.wire.c"]]


def test_a_store_or_driver_in_the_wrong_room_is_found(tmp_path: Path) -> None:
    planted(tmp_path, "penstock/stores/sqlite.py", "import sqlite3")
    assert not forbidden_by_room(planted(tmp_path, "penstock/layers/a.py", "from penstock.stores.protocols import Log"))
    assert forbidden_by_room(planted(tmp_path, "penstock/layers/a.py", "from penstock.stores import sqlite"))
    assert forbidden_by_room(planted(tmp_path, "penstock/layers/a.py", "import redis.asyncio"))


def test_the_public_face_from_below_is_found(tmp_path: Path) -> None:
    assert upward_through_root(planted(tmp_path, "penstock/gateway.py", "from penstock import Penstock"))
    assert not upward_through_root(planted(tmp_path, "penstock/gateway.py", "from penstock import errors"))
