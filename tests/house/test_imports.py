"""`import penstock` costs next to nothing, and what is imported late says so by where it stands."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from scripts.imports import Source, imports_of
from tests.house.trees import ROOT, dotted, in_room, planted, project, src

# The package by its name alone loads none of these; the library's face none of the shells' tools.
HEAVY = {
    "starlette", "uvicorn", "rich", "click", "ruamel", "jinja2", "prometheus_client", "cryptography", "ssl",
    "asyncio", "uvloop", "httptools", "msgspec",
}  # fmt: skip
SHELLS = {"starlette", "uvicorn", "rich", "click", "prometheus_client"}
# What of a room is public but seldom used, and takes long to load, may load at first use.
FACES = {"penstock", "penstock.server"}
# What reads configurations, keeps stores and shows things: a worker's start is waited for.
SUPERVISORS = {
    "penstock.admin", "penstock.cli", "penstock.config.load", "penstock.config.reader", "penstock.gateway.books",
    "penstock.server.asgi", "penstock.server.supervisor", "penstock.stores.ledger", "cryptography", *SHELLS,
}  # fmt: skip
# What `layers:` names is the operator's own code: no floor of ours can know it.
USERS_OWN = "penstock.gateway.own_layers"


def late_imports(sources: Iterable[Source], extras: frozenset[str] = frozenset()) -> list[str]:
    """Imports inside functions or by a computed name, but for the command line, lazy public faces, and extras."""
    found = []
    for source in sources:
        if in_room(source, "cli") or source.module in (*FACES, USERS_OWN):
            continue
        for item in imports_of(source):
            if item.inside and item.target.partition(".")[0] not in extras:
                found.append(f"{source.path}:{item.line}: {item.target} is imported inside a function")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in {"import_module", "__import__"}:
                found.append(f"{source.path}:{node.lineno}: an import by a computed name hides from the floors")
    return found


def optional_packages() -> frozenset[str]:
    """The import names of the extras, as far as they are their package's name."""
    lists = project()["project"].get("optional-dependencies", {}).values()
    names = (requirement for group in lists for requirement in group)
    return frozenset(name.split("[")[0].split(">")[0].split("=")[0].strip().replace("-", "_") for name in names)


def loaded_by(code: str, path: Path) -> set[str]:
    """The modules that a fresh interpreter holds after `code`."""
    program = f"import sys; sys.path.insert(0, {str(path)!r})\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_imports_stand_at_the_top() -> None:
    assert late_imports(src(), optional_packages()) == []


def test_a_late_import_is_found(tmp_path: Path) -> None:
    text = "def f():\n    import json"
    assert late_imports(planted(tmp_path / "1", "penstock/gateway.py", text))
    assert late_imports(planted(tmp_path / "5", "penstock/config/__init__.py", "importlib.import_module(name)"))
    assert not late_imports(planted(tmp_path / "2", "penstock/gateway.py", text), frozenset({"json"}))
    assert not late_imports(planted(tmp_path / "3", "penstock/cli/serve.py", text))
    assert not late_imports(planted(tmp_path / "4", "penstock/__init__.py", text))


def test_import_penstock_is_light() -> None:
    assert loaded_by("import penstock", ROOT / "src") & HEAVY == set()


def test_the_library_loads_no_shell() -> None:
    assert loaded_by("from penstock import Penstock", ROOT / "src") & SHELLS == set()


def test_a_worker_loads_nothing_of_the_supervisors() -> None:
    assert loaded_by("import penstock.server.worker", ROOT / "src") & SUPERVISORS == set()


def test_the_supervisor_loads_the_control_plane_beside_its_workers() -> None:
    # Not before they are started: its framework takes as long to load as a worker.
    assert (
        loaded_by("import penstock.cli.process", ROOT / "src") & {"starlette", "uvicorn", "penstock.admin.app"} == set()
    )


def test_a_heavy_import_is_found(tmp_path: Path) -> None:
    planted(tmp_path, "penstock/__init__.py", "import rich")
    assert loaded_by("import penstock", tmp_path) & HEAVY == {"rich"}


def missing_names(module: ModuleType) -> list[str]:
    """What a module's `__all__` promises and the module does not have."""
    return [name for name in module.__all__ if not hasattr(module, name)]


def test_public_names_can_be_had() -> None:
    public = importlib.import_module("penstock")
    assert public.__all__
    assert missing_names(public) == []


def test_a_missing_public_name_is_found() -> None:
    module = ModuleType("planted")
    module.__dict__.update(__all__=["there", "gone"], there=1)
    assert missing_names(module) == ["gone"]
