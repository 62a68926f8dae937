"""`penstock simulate`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.running import penstock
from tests.cli.terminal import terminal
from tests.end_to_end.process import PENSTOCK, SECONDS, environment
from tests.house.trees import ROOT

SCENARIO = """\
config:
  auth: open
  providers: {openai: {api_key: env:OPENAI_API_KEY}, anthropic: {api_key: env:ANTHROPIC_API_KEY}}
  models: {fast: {targets: [openai/gpt-5-mini, anthropic/claude-haiku-4-5]}}
duration: 2m
traffic: {chat: {model: fast, rate: 3/s}}
faults: [{fault: outage, at: openai, from: 30s, for: 30s}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "day.yaml").write_text(SCENARIO)
    return tmp_path


def test_tables_fit_eighty_columns(folder: Path) -> None:
    ran = penstock(folder, "simulate", "day.yaml", "--seed", "3")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("day.yaml: 2:")
    assert lines[0].endswith("of virtual time, seed 3")
    assert max(map(len, lines)) <= 80
    assert re.search(r"^  success +100%$", ran.out, re.MULTILINE)
    assert re.search(r"^openai/gpt-5-mini +\d+ ", ran.out, re.MULTILINE)
    assert re.search(r"^    30\.0 s +outage of openai \(503\) until 1:00$", ran.out, re.MULTILINE)
    assert re.search(r"openai/gpt-5-mini  opens: 5 failures in a row", ran.out)
    assert re.fullmatch(r"[\d,]+ requests in [\d.]+ s \([\d,]+/s\)\n", ran.err)
    assert sorted(path.name for path in folder.iterdir()) == ["day.yaml"]


def test_the_same_seed_gives_the_same_bytes_in_every_process(folder: Path) -> None:
    ran = [
        penstock(folder, "simulate", "day.yaml", "--json", env={"PYTHONHASHSEED": seed}).out for seed in ("1", "2", "3")
    ]
    assert ran[0] == ran[1] == ran[2]
    report = json.loads(ran[0])
    assert (report["seed"], report["scenario"], report["workers"]) == (0, "day.yaml", 1)
    assert report["total"]["success"] == 1.0
    assert report["changes"][0]["state"] == "open"


def test_a_picture(folder: Path) -> None:
    found: list[str] = []

    class Outside(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attrs if name in ("src", "href") and value)

    ran = penstock(folder, "simulate", "day.yaml", "--plot", "day.html")
    assert ran.code == 0
    page = (folder / "day.html").read_text()
    parser = Outside()
    parser.feed(page)
    assert found == []
    assert page.count("http://") == page.count('xmlns="http://www.w3.org/2000/svg"') == 1
    assert "https://" not in page
    assert "5 failures in a row" in page
    assert penstock(folder, "simulate", "day.yaml", "--plot", "day.svg").code == 0
    root = ElementTree.fromstring((folder / "day.svg").read_text())
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"day.yaml", "requests a second", "openai/gpt-5-mini", "outage of openai (503)"} <= set(words)
    assert penstock(folder, "simulate", "day.yaml", "--plot", "day.png").code == 0
    assert (folder / "day.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(folder: Path) -> None:
    for name, said in (
        ("day.gif", "--plot draws FILE.html, FILE.svg or FILE.png."),
        ("nowhere/day.svg", "there is no folder"),
    ):
        ran = penstock(folder, "simulate", "day.yaml", "--plot", name)
        assert ran.code == 2
        assert said in ran.err
        assert "requests in" not in ran.err
    (folder / "resvg_py.py").write_text("raise ImportError('not here')\n")
    ran = penstock(folder, "simulate", "day.yaml", "--plot", "day.png", env={"PYTHONPATH": f"{folder}:{ROOT / 'src'}"})
    assert ran.code == 2
    assert "pip install 'penstock[plot]'" in ran.err


def test_what_is_not_as_expected_ends_with_one(folder: Path) -> None:
    (folder / "day.yaml").write_text(SCENARIO + "expect: {success: 100%, attempts: 1}\n")
    ran = penstock(folder, "simulate", "day.yaml")
    assert ran.code == 1
    assert re.search(r"^not as expected: attempts a request is 1\.\d+, and at most 1 was expected$", ran.out, re.M)


def test_what_is_wrong(folder: Path) -> None:
    (folder / "day.yaml").write_text(SCENARIO.replace("at: openai", "at: opnai"))
    ran = penstock(folder, "simulate", "day.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == ('day.yaml:7:30: no provider of the configuration is named "opnai" (did you mean "openai"?)\n')
    assert penstock(folder, "simulate").code == 2
    assert "Name a scenario" in penstock(folder, "simulate").err
    missing = penstock(folder, "simulate", "none.yaml")
    assert (missing.code, missing.err) == (2, "none.yaml: cannot be read: No such file or directory\n")


def test_the_schema(folder: Path) -> None:
    ran = penstock(folder, "simulate", "--schema")
    assert json.loads(ran.out)["required"] == ["config", "traffic"]


def test_ctrl_c(folder: Path) -> None:
    (folder / "day.yaml").write_text(SCENARIO.replace("duration: 2m", "duration: 7d"))
    with subprocess.Popen(
        [*PENSTOCK, "simulate", "day.yaml"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        # A line of progress comes every five seconds where nobody watches.
        assert re.match(r" *\d+%  [\d:.]+( s)? of 168:00:00, [\d,]+ requests", running.stderr.readline())
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert out == ""


def test_progress_on_a_terminal(folder: Path) -> None:
    (folder / "day.yaml").write_text(SCENARIO.replace("duration: 2m", "duration: 20m"))
    with terminal(folder, "simulate", "day.yaml") as screen:
        screen.wait_for(lambda text: re.search(r"\d+%  [\d:]+ of 20:00, [\d,]+ requests", text))
        assert screen.wait() == 0
        # It is taken away before the report comes.
        assert "\x1b[2Kday.yaml: 2" in screen.shown


def test_ctrl_c_on_a_terminal(folder: Path) -> None:
    (folder / "day.yaml").write_text(SCENARIO.replace("duration: 2m", "duration: 7d"))
    with terminal(folder, "simulate", "day.yaml") as screen:
        screen.wait_for(lambda text: "% " in text)
        screen.press(b"\x03")
        assert screen.wait() == 130
        assert "Traceback" not in screen.text
