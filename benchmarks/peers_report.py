"""What `peers.py` found, as a table, as a picture, and as both in the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import msgspec

from benchmarks.gateways.kinds import Peer
from benchmarks.trials import Figures

DOCUMENTS = ("README.md", "benchmarks/README.md")
PICTURE = "docs/peers.svg"


@dataclass(frozen=True, slots=True)
class Found:
    """Who took part, every run's figures (name -> trial -> runs), the machine, the plan, and what went wrong."""

    peers: list[Peer]
    runs: Mapping[str, Mapping[str, list[Figures]]]
    machine: Mapping[str, str]
    plan: Mapping[str, float]
    problems: list[str] = field(default_factory=list)
    taken: datetime = field(default_factory=lambda: datetime.now(UTC))

    def middle(self, name: str, trial: str, figure: str) -> float | None:
        """The median of a figure over a trial's runs."""
        values = [run[figure] for run in self.runs.get(name, {}).get(trial, []) if figure in run]
        return statistics.median(values) if values else None

    def ranked(self) -> list[Peer]:
        """Those that were measured, the fastest first."""
        rates = {peer.proxy.name: self.middle(peer.proxy.name, "unary", "per_second") for peer in self.peers}
        measured = [peer for peer in self.peers if rates[peer.proxy.name] is not None]
        return sorted(measured, key=lambda peer: -(rates[peer.proxy.name] or 0))

    def times(self, peer: Peer) -> float | None:
        """How many times this one's requests per second Penstock's are."""
        ours = self.middle("penstock", "unary", "per_second")
        theirs = self.middle(peer.proxy.name, "unary", "per_second")
        return ours / theirs if ours and theirs else None

    def times_by_cpu(self, peer: Peer) -> float | None:
        """How many times Penstock's CPU time per request this one's is."""
        ours = self.middle("penstock", "unary", "cpu_us")
        theirs = self.middle(peer.proxy.name, "unary", "cpu_us")
        return theirs / ours if ours and theirs else None

    def others_share(self) -> float:
        """The largest share of the core that other processes took in a run at saturation."""
        saturated = [run for trials in self.runs.values() for run in trials.get("unary", [])]
        return max((run.get("others_share", 0.0) for run in saturated), default=0.0)

    def spread(self) -> float:
        """The largest (highest - lowest) / median of anybody's requests per second."""
        found = [[run["per_second"] for run in trials.get("unary", [])] for trials in self.runs.values()]
        return max(((max(some) - min(some)) / statistics.median(some) for some in found if some), default=0.0)


# ---- the table ----------------------------------------------------------------------------------------------------

_HEAD = [
    "",
    "version",
    "keys",
    "log",
    "metrics",
    "requests/s on one core",
    "Penstock's to it",
    "CPU us per request",
    "CPU us per streamed event",
    "20 requests/s: p50 ms",
    "half its rate: p50, p99 ms",
    "memory MiB: idle, after load",
]
_SHORT = [0, 1, 5, 6, 7, 8, 9, 10]


def table(found: Found, *, short: bool = False) -> str:
    """Markdown, aligned, with what it says about the goals, the machine and the quiet under it."""
    columns = _SHORT if short else range(len(_HEAD))
    rows = [[row[at] for at in columns] for row in (_HEAD, *(_row(found, peer) for peer in found.ranked()))]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    texts = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in rows]
    rule = "| " + " | ".join("-" * (width - 1) + ("-" if at == 0 else ":") for at, width in enumerate(widths)) + " |"
    return "\n".join([texts[0], rule, *texts[1:], "", *_remarks(found, goals=not short)])


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


def _row(found: Found, peer: Peer) -> list[str]:
    name = peer.proxy.name
    times = found.times(peer)
    return [
        f"**{peer.title}**" if peer.kind == "ours" else peer.title,
        peer.version,
        peer.keys,
        peer.log,
        peer.metrics,
        _number(found.middle(name, "unary", "per_second")),
        "-" if times is None or peer.kind == "ours" or peer.proxy.launch is None else _times(times),
        _number(found.middle(name, "unary", "cpu_us")),
        _number(found.middle(name, "stream", "event_us")),
        _milliseconds(found.middle(name, "calm", "p50_us")),
        ", ".join(_milliseconds(found.middle(name, "half", figure)) for figure in ("p50_us", "p99_us")),
        ", ".join(_number(found.middle(name, trial, "mib")) for trial in ("idle", "loaded")),
    ]


def _milliseconds(us: float | None) -> str:
    return "-" if us is None else f"{us / 1000:,.{2 if us < 10_000 else 0}f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _remarks(found: Found, *, goals: bool) -> list[str]:
    machine, plan = found.machine, found.plan
    lines = [
        f"{found.taken:%Y-%m-%d}: {machine['cores']} cores of {machine['ghz']} GHz ({machine['cpu']}), Python "
        f"{machine['python']}. Medians of {plan['runs']} interleaved runs of {plan['seconds']:g} s; requests/s lay at "
        f"most {found.spread():.0%} apart; other processes took at most {found.others_share():.0%} of the core."
    ]
    reached = [_goal(found, peer, peer.goal) for peer in found.ranked() if peer.goal]
    if goals and reached:
        lines.append(f"\nPenstock's requests/s to theirs: {'; '.join(reached)}.")
    return [*lines, *(f"Not measured: {problem}" for problem in found.problems)]


def _goal(found: Found, peer: Peer, goal: float) -> str:
    times, by_cpu = found.times(peer), found.times_by_cpu(peer)
    if times is None or by_cpu is None:
        return f"{peer.title} not measured"
    verdict = "reached" if times >= goal else "NOT REACHED"
    return f"{peer.title} {_times(times)}, by CPU time {_times(by_cpu)} (goal {goal:g}x: {verdict})"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 20 else f"{ratio:.2f}x"


# ---- the picture --------------------------------------------------------------------------------------------------

_STYLE = """
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .page { fill: #fbfaf7; } .name { font-size: 14px; fill: #1d2f3a; } .what { font-size: 12px; fill: #5a6670; }
  .title { font-size: 18px; font-weight: 700; fill: #1d2f3a; } .strong { font-weight: 700; }
  .limit { fill: #c9c4b8; } .ours { fill: #1f7a8c; } .peer { fill: #d08c45; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14191d; } .name, .title { fill: #eef3f6; } .what { fill: #a9b6bf; } .limit { fill: #4a545b; }
  }
"""
_WIDTH, _LEFT, _LONGEST, _STEP, _TOP = 860, 250, 500, 34, 96


def draw(found: Found) -> str:
    """An SVG: a bar of requests per second on one core for each, as long as it is fast."""
    ranked = [peer for peer in found.ranked() if peer.proxy.launch is not None]
    rates = [found.middle(peer.proxy.name, "unary", "per_second") or 0 for peer in ranked]
    height = _TOP + _STEP * len(ranked) + 44
    bars = [_bar(at, peer, rate, max(rates)) for at, (peer, rate) in enumerate(zip(ranked, rates, strict=True))]
    what = "1 KB asked, 1.3 KB answered, 32 callers. Penstock with keys, log line and metrics on. Grey only passes on."
    machine = found.machine
    made = f"{found.taken:%Y-%m-%d}, {machine['cores']} cores of {machine['ghz']} GHz, Python {machine['python']}."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-label="Requests per second on one core, Penstock and other gateways">',
            f"<style>{_STYLE}</style>",
            f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
            '<text class="title" x="24" y="38">Requests per second on one core</text>',
            f'<text class="what" x="24" y="62">{escape(what)}</text>',
            *bars,
            f'<text class="what" x="24" y="{height - 18}">{escape(made)}</text>',
            "</svg>\n",
        ]
    )


def _bar(at: int, peer: Peer, rate: float, highest: float) -> str:
    y, length = _TOP + _STEP * at, max(1.0, _LONGEST * rate / highest)
    strong = " strong" if peer.kind == "ours" else ""
    name = peer.title if peer.version == "-" or peer.kind == "ours" else f"{peer.title} {peer.version}"
    return (
        f'<text class="name{strong}" x="{_LEFT - 12}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{peer.kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="21" rx="2"/>'
        f'<text class="name{strong}" x="{_LEFT + length + 8:.1f}" y="{y + 15}">{rate:,.0f}</text>'
    )


# ---- where they go ------------------------------------------------------------------------------------------------


def keep(found: Found, folder: Path) -> Path:
    """Write `peers-TIME.json` and `peers.json`, every run in it; the path of the former."""
    folder.mkdir(exist_ok=True)
    about = {
        "taken": found.taken.isoformat(timespec="seconds"),
        "machine": found.machine,
        "plan": found.plan,
        "versions": {peer.proxy.name: peer.version for peer in found.peers},
        "problems": found.problems,
        "runs": found.runs,
    }
    text = msgspec.json.format(msgspec.json.encode(about), indent=1)
    path = folder / f"peers-{found.taken:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(text)
    (folder / "peers.json").write_bytes(text)
    return path


def picture(found: Found, path: Path) -> Path:
    """Draw it into a file."""
    path.write_text(draw(found))
    return path


def record(found: Found, root: Path) -> list[Path]:
    """Put table and picture into the documentation. Raises ValueError where a document has no place for the table."""
    written = [picture(found, root / PICTURE)]
    for name in DOCUMENTS:
        path = root / name
        path.write_text(put(path.read_text(), table(found, short=name == "README.md")))
        written.append(path)
    return written


def put(text: str, shown: str) -> str:
    """A document with what stands between its two marks replaced. Raises ValueError without the marks."""
    begin, end = "<!-- peers: written by `make peers ARGS=--record` -->\n", "<!-- peers: end -->"
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise ValueError("the document has no marks for the table")
    return f"{before}{begin}\n{shown}\n\n{end}{after}"
