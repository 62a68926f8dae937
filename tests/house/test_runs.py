"""`make test` and `make soak` leave nothing out: whatever there is runs somewhere, and once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts import side_by_side, soak
from tests.house.trees import ROOT

FOLDER = "tests/soak"


def test_every_test_is_in_one_of_the_parts() -> None:
    found = set((ROOT / "tests").glob("**/test_*.py"))
    parts = [_run_by(part.paths, found) for part in side_by_side.split()]
    assert sorted(file for files in parts for file in files) == sorted(found)
    assert all(parts)


def _run_by(paths: Sequence[str], files: set[Path]) -> list[Path]:
    """Those of the files that pytest runs where it is told this."""
    left_out = {Path(each.removeprefix("--ignore=")) for each in paths if each.startswith("--ignore=")}
    named = [Path(each) for each in paths if not each.startswith("-")]
    return [file for file in files if file not in left_out and any(file.is_relative_to(each) for each in named)]


def test_what_is_to_be_ignored_is_not_run() -> None:
    parts = side_by_side.without(side_by_side.split(), [str(ROOT / "tests" / "house"), str(ROOT / "tests" / "wire")])
    found = set((ROOT / "tests").glob("**/test_*.py"))
    folders = {file.relative_to(ROOT / "tests").parts[0] for part in parts for file in _run_by(part.paths, found)}
    assert not folders & {"house", "wire"}
    assert {"cli", "stores", "test_gateway.py"} <= folders


def test_what_is_said_to_run_first_or_alone_is_there() -> None:
    for names in (*side_by_side.APART, *side_by_side.OTHERS):
        for name in names:
            assert (ROOT / "tests" / name).exists(), name
    for name in soak.ALONE:
        assert (ROOT / FOLDER / f"{name}.py").exists(), name


def test_units_of_a_soak() -> None:
    planted = [f"{FOLDER}/test_histories.py::test_every_planted_bug_is_found[{name}]" for name in "abc"]
    fuzz = [f"{FOLDER}/test_fuzz.py::test_a_million_cases[{name}]" for name in ("fields", "streams-1")]
    others = [f"{FOLDER}/test_disconnects.py::test_a_thousand", f"{FOLDER}/test_rolling.py::test_fifty"]
    units = soak.units([*others, *planted, *fuzz])
    assert [unit.tests for unit in units] == [tuple(planted), (fuzz[1],), (fuzz[0],), (others[1],), (others[0],)]
    assert [unit.alone for unit in units] == [False, False, False, False, True]


def test_what_passed_counts_on_the_same_commit_until_all_has(tmp_path: Path) -> None:
    soak.PASSED, kept = tmp_path / "passed.json", soak.PASSED
    try:
        assert soak.load_passed("c1") == {}
        soak.save_passed("c1", {"a": {"seconds": 1, "figures": []}}, whole=False)
        assert list(soak.load_passed("c1")) == ["a"]
        assert soak.load_passed("c2") == soak.load_passed("") == {}
        soak.save_passed("c1", {"a": {}}, whole=True)
        assert soak.load_passed("c1") == {}
    finally:
        soak.PASSED = kept


def test_figures_are_found_in_what_pytest_wrote() -> None:
    figures = "=== figures ===\nfuzz: 3 cases\n    test_x: 2 s\n"
    for closing in (
        "1 passed in 2.00s\n",
        "1 failed, 2 passed in 2.00s\n",
        "=== short test summary info ===\nFAILED x\n",
    ):
        assert soak.figures_in(f".   [100%]\n{figures}{closing}") == ["fuzz: 3 cases", "    test_x: 2 s"]
    assert soak.figures_in("1 passed in 2.00s\n") == []
