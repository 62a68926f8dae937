"""The table that is printed and the JSON that is kept."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.trials import Figures, Runs

Compare = Literal["ratio", "added", "plain", "at_least", "limits"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a figure of a trial, and the ratchet it has to keep.

    `ratio`: Penstock's over the relay's is at most `limit`, after `allowance` is taken from Penstock's. `added`:
    Penstock's less the relay's. `plain`: Penstock's own. `at_least`: Penstock's own is that or more. `limits`:
    Penstock's with limits less that without.
    No limit: shown, not judged.
    """

    trial: str
    figure: str
    title: str
    compare: Compare = "plain"
    limit: float | None = None
    digits: int = 1
    allowance: float = 0.0


# What retries, breakers, deadlines, fallbacks, paces and decisions may cost: the limit of twice the relay is that of a
# request without them, and they cannot be taken out.
POLICIES_US = 25.0

ROWS = (
    Row("unary", "cpu_us", "unary 1 KB: CPU us per request", "ratio", 2.0, allowance=POLICIES_US),
    Row("unary", "per_second", "unary 1 KB: requests/s on one core", "at_least", 12_000, 0),
    Row("prompt", "cpu_us", "unary 60 KB prompt: CPU us per request", "plain", 250),
    Row("together", "event_us", "stream, 10 events together: CPU us per event", "ratio", 1.3, 2),
    Row("alone", "event_us", "stream, events alone: CPU us per event", "ratio", 1.5, 2),
    Row("latency", "p50_us", "300 requests/s: p50 us", "added", 400, 0),
    Row("latency", "p99_us", "300 requests/s: p99 us", "added", 1000, 0),
    Row("latency", "cpu_us", "300 requests/s: CPU us per request", "ratio", None),
    Row("tls", "cpu_us", "TLS upstream, 1 KB: CPU us per request", "ratio", None),
    Row("tls", "per_second", "TLS upstream, 1 KB: requests/s on one core", "plain", None, 0),
    Row("cross", "cpu_us", "Anthropic to OpenAI, 1 KB: CPU us per request", "plain", 250),
    Row("cross", "per_second", "Anthropic to OpenAI, 1 KB: requests/s on one core", "plain", None, 0),
    Row("cross_together", "event_us", "stream translated, 10 together: CPU us per event", "ratio", 2.0, 2),
    Row("cross_alone", "event_us", "stream translated, events alone: CPU us per event", "ratio", 2.0, 2),
    Row("limits", "cpu_us", "limits on four scopes: CPU us per request", "limits", 40),
    Row("books", "cpu_us", "the ledger: CPU us per request", "limits", 30),
    Row("limits_latency", "p99_us", "limits on four scopes, 300 requests/s: p99 us", "limits", 1000, 0),
    Row("start", "first_answer_s", "process start to first answer: s", "plain", 1.0, 2),
    Row("start", "idle_mib", "memory at rest: RSS MiB", "plain", 60),
    Row("held", "stream_kib", "memory per open stream: RSS KiB", "plain", 64),
    Row("import", "import_ms", "import penstock: ms", "plain", 150),
    Row("import", "name_ms", "from penstock import Penstock: ms", "plain", None),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A row with its figures: median, lowest and highest by proxy, and what is judged."""

    row: Row
    middle: Mapping[str, float]
    lowest: Mapping[str, float]
    highest: Mapping[str, float]
    judged: float | None
    kept: bool | None


def lines_of(trials: Mapping[str, Runs]) -> list[Line]:
    """Every row whose trial has run."""
    return [_line(row, trials[row.trial]) for row in ROWS if trials.get(row.trial)]


def _line(row: Row, runs: Runs) -> Line:
    values = {name: found for name, all_runs in runs.items() if (found := _values(row, all_runs))}
    middle = {name: statistics.median(found) for name, found in values.items()}
    judged = _judged(row, middle)
    kept = None if judged is None or row.limit is None else _keeps(row, judged, row.limit)
    lowest = {name: min(found) for name, found in values.items()}
    return Line(row, middle, lowest, {name: max(found) for name, found in values.items()}, judged, kept)


def _values(row: Row, runs: list[Figures]) -> list[float]:
    return [figures[row.figure] for figures in runs if row.figure in figures]


def _judged(row: Row, middle: Mapping[str, float]) -> float | None:
    ours, relay = middle.get("penstock"), middle.get("relay")
    if row.compare in ("plain", "at_least"):
        return ours
    if row.compare == "limits":
        other = middle.get("limited", middle.get("booked"))
        return None if other is None or ours is None else other - ours
    if ours is None or relay is None:
        return None
    return (ours - row.allowance) / relay if row.compare == "ratio" else ours - relay


def _keeps(row: Row, judged: float, limit: float) -> bool:
    return judged >= limit if row.compare == "at_least" else judged <= limit


def table(lines: list[Line], proxies: list[str]) -> str:
    """The medians, aligned, and how far the runs of the relay or of Penstock lay apart, whichever is more."""
    head = ["", *proxies, "penstock to relay", "ratchet", "", "spread"]
    rows = [head, *(_cells(line, proxies) for line in lines)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(head))]
    shown = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in rows
    ]
    return "\n".join(text.rstrip() for text in shown)


def _cells(line: Line, proxies: list[str]) -> list[str]:
    row = line.row
    shown = [f"{line.middle[name]:,.{row.digits}f}" if name in line.middle else "-" for name in proxies]
    ours, relay = line.middle.get("penstock"), line.middle.get("relay")
    against = "-"
    if row.compare == "limits" and line.judged is not None:
        against = f"{line.judged:+,.{row.digits}f}"
    elif ours is not None and relay:
        against = f"{ours - relay:+,.{row.digits}f}" if row.compare == "added" else f"{ours / relay:.2f}x"
    verdict = {None: "", True: "kept", False: "OVER" if row.compare != "at_least" else "UNDER"}[line.kept]
    return [row.title, *shown, against, _limit(row), verdict, _spread(line)]


def _limit(row: Row) -> str:
    if row.limit is None:
        return "-"
    number = f"{row.limit:,g}" if row.limit < 1000 else f"{row.limit:,.0f}"
    return {
        "ratio": f"<= {number}x + {row.allowance:g}" if row.allowance else f"<= {number}x",
        "added": f"<= +{number}",
        "limits": f"<= +{number}",
        "plain": f"<= {number}",
        "at_least": f">= {number}",
    }[row.compare]


def _spread(line: Line) -> str:
    judged = {name: middle for name, middle in line.middle.items() if name in ("relay", "penstock") and middle > 0}
    shares = [(line.highest[name] - line.lowest[name]) / middle for name, middle in judged.items()]
    return f"{max(shares):.0%}" if shares else "-"


def others_share(trials: Mapping[str, Runs]) -> float | None:
    """The largest share of the proxy's core that other processes took in any run; None when no load ran."""
    found = [f["others_share"] for runs in trials.values() for run in runs.values() for f in run if "others_share" in f]
    return max(found, default=None)


def keep(folder: Path, about: Mapping[str, object], trials: Mapping[str, Runs], problems: list[str]) -> Path:
    """Write `results/TIME.json` and, with the same content, `results/latest.json`."""
    folder.mkdir(exist_ok=True)
    taken = datetime.now(UTC)
    record = {
        "taken": taken.isoformat(timespec="seconds"),
        "about": about,
        "rows": lines_of(trials),
        "runs": trials,
        "problems": problems,
    }
    text = msgspec.json.format(msgspec.json.encode(record), indent=1)
    path = folder / f"{taken:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(text)
    (folder / "latest.json").write_bytes(text)
    return path
