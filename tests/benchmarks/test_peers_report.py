"""The comparison with other gateways: what its table and picture say of given figures, and where they are put."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.gateways.kinds import Peer
from benchmarks.peers_report import DOCUMENTS, Found, draw, put, record, table
from benchmarks.proxies import Launch, Proxy, Setting
from tests.house.trees import ROOT

SVG = "{http://www.w3.org/2000/svg}"
BEGIN, END = "<!-- peers: written by `make peers ARGS=--record` -->\n", "<!-- peers: end -->"


def launch(setting: Setting) -> Launch:
    return Launch([str(setting.port)])


def found(**rates: list[float]) -> Found:
    """Figures of the named gateways; `slow` is to be at least four times slower than Penstock."""
    goals = {"slow": 4.0}
    peers = [
        Peer(Proxy(name, launch), name.title(), "1.0", "ours" if name == "penstock" else "peer", goal=goals.get(name))
        for name in rates
    ]
    runs = {
        name: {"unary": [{"per_second": rate, "cpu_us": 1e6 / rate} for rate in some]} for name, some in rates.items()
    }
    machine = {"cores": "2", "ghz": "2.1", "cpu": "a processor", "python": "3.11.7"}
    return Found(peers, runs, machine, {"runs": 3, "seconds": 1.0}, [], datetime(2026, 1, 2, tzinfo=UTC))


def test_the_table_ranks_by_the_median_and_compares_with_penstock() -> None:
    lines = table(found(slow=[90.0, 100.0, 5000.0], penstock=[1000.0], fast=[2000.0])).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["Fast", "**Penstock**", "Slow"]
    assert "0.50x" in lines[2]
    assert "10.00x" in lines[4]
    assert "10,000" in lines[4]  # microseconds a request


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        (250.0, "4.00x, by CPU time 4.00x (goal 4x: reached)"),
        (251.0, "3.98x, by CPU time 3.98x (goal 4x: NOT REACHED)"),
    ],
)
def test_the_table_says_whether_a_goal_is_reached(rate: float, verdict: str) -> None:
    assert verdict in table(found(slow=[rate], penstock=[1000.0]))


def test_one_without_figures_is_left_out_and_the_problem_is_told() -> None:
    some = found(slow=[], penstock=[1000.0])
    some.problems.append("slow left out: no network")
    text = table(some)
    assert "| Slow" not in text
    assert "Not measured: slow left out: no network" in text


def test_bars_are_as_long_as_the_rates() -> None:
    picture = ElementTree.fromstring(draw(found(slow=[50.0], penstock=[1000.0], fast=[2000.0])))
    bars = {bar.get("class"): bar for bar in picture.iter(f"{SVG}rect") if bar.get("class") != "page"}
    widths = [float(bar.get("width", "0")) for bar in picture.iter(f"{SVG}rect") if bar.get("class") != "page"]
    assert float(bars["ours"].get("width", "0")) == pytest.approx(widths[0] / 2)
    assert widths[2] == pytest.approx(widths[0] / 40)
    assert [text.text for text in picture.iter(f"{SVG}text")][3:5] == ["2,000", "Penstock"]


def test_a_name_cannot_break_the_picture() -> None:
    some = found(penstock=[1000.0])
    some.peers.append(Peer(Proxy("odd", launch), "<b>&", "1.0", "peer"))
    drawn = draw(Found(some.peers, {**some.runs, "odd": some.runs["penstock"]}, some.machine, some.plan))
    assert "<b>& 1.0" in [text.text for text in ElementTree.fromstring(drawn).iter(f"{SVG}text")]


def test_what_stands_between_the_marks_is_replaced() -> None:
    once = put(f"a\n{BEGIN}old\n{END}\nz\n", "new")
    assert once == f"a\n{BEGIN}\nnew\n\n{END}\nz\n"
    assert put(once, "new") == once
    with pytest.raises(ValueError, match="no marks"):
        put("a document", "new")


def test_a_record_reaches_the_documents(tmp_path: Path) -> None:
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "docs").mkdir()
    written = record(found(slow=[1.0], penstock=[123456.0]), tmp_path)
    assert all("123,456" in path.read_text() for path in written)
    assert len(written) == 3
