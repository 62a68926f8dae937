"""A report as one picture: requests, first tokens, attempts, how deployments stood, and spend, over the same time.

`draw(report)` is an SVG, `page(report)` a page around it that needs nothing else: no script, style or font from
anywhere. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from string import Template

import msgspec

from penstock.testing.simulate.axes import GRID, INK, Panel, tag, text, time_text
from penstock.testing.simulate.report import Report

__all__ = ["draw", "page"]

WIDTH, LEFT, RIGHT = 1080.0, 74.0, 26.0
HEAD, LABEL, PANEL, GAP, STRIP = 108.0, 16.0, 130.0, 62.0, 22.0
MOST_LABELS, MOST_ROWS = 6, 500
GOOD, BAD = "#3b7fb8", "#cf4b52"
P50, P99 = "#3b7fb8", "#d9822b"
_HUES = ("#3b7fb8", "#d9822b", "#4f9d69", "#8d6cab", "#b8860b", "#4aa5a8", "#c06c84", "#6b7785")
_STATES = {"ready": "#d9ecdf", "trial": "#f0b93a", "open": "#cf4b52", "paused": "#8d6cab"}
_OTHER = "#6b7785"
_STATE_WORDS = (("ready", "well"), ("open", "open"), ("trial", "half-open"), ("paused", "paused"), ("other", "other"))
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', 'DejaVu Sans', Arial, sans-serif"


def draw(report: Report) -> str:
    """The picture as SVG."""
    body, height = _Drawing(report).all()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}"'
        f' height="{height:g}" font-family="{escape(FONT)}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


class _Drawing:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._end = report.series.step * len(report.series.requests)
        self._ids = [row.id for row in report.deployments]
        self._hues = {id: _HUES[at % len(_HUES)] for at, id in enumerate(self._ids)}
        self._labels = list(self._place_labels())
        self._y = HEAD + 24 + LABEL * max((row + 1 for _, row, _ in self._labels), default=0)

    def all(self) -> tuple[str, float]:
        """Everything, and how high it is."""
        panels = [*self._requests(), *self._first_tokens(), *self._attempts(), *self._standing(), *self._spend()]
        bottom = self._y - GAP
        return "\n".join((*self._head(), *self._faults(bottom), *panels)), bottom + 34

    def _panel(self, top: float, *, height: float = PANEL, log: bool = False, low: float = 0.1) -> Panel:
        panel = Panel(LEFT, self._y, WIDTH - LEFT - RIGHT, height, self._end, top, log, low)
        self._y += height + GAP
        return panel

    def _head(self) -> Iterator[str]:
        report, total = self._report, self._report.total
        yield text(LEFT, 34, report.scenario, size=20, fill=INK, font_weight="600")
        told = f"{time_text(report.seconds)} of virtual time, seed {report.seed}, penstock {report.penstock}"
        yield text(WIDTH - RIGHT, 34, told, anchor="end")
        figures = [
            ("requests", f"{total.requests:,}"),
            ("success", "-" if total.success is None else f"{int(total.success * 1e4) / 100:g}%"),
            ("first token p50 / p99", f"{_seconds(total.first_token_p50)} / {_seconds(total.first_token_p99)}"),
            ("attempts a request", "-" if total.attempts is None else f"{total.attempts:.3f}"),
            ("refused / failed / cut", f"{total.refused:,} / {total.failed:,} / {total.cut:,}"),
            ("spend an hour", f"${total.spend_per_hour:,.2f}"),
        ]
        x = LEFT
        for name, value in figures:
            yield text(x, 58, name, size=11)
            yield text(x, 76, value, size=15, fill=INK, font_weight="600")
            x += max(7.5 * len(name), 9.5 * len(value)) + 26

    def _place_labels(self) -> Iterator[tuple[float, int, str]]:
        """What the bands are: where each word stands, in which row, so that none runs into another."""
        taken: list[float] = []
        right = WIDTH - RIGHT
        panel = Panel(LEFT, 0.0, right - LEFT, 1.0, self._end, 1.0)
        for event in sorted(self._report.events, key=lambda event: event.at):
            width = 6.1 * len(event.what)
            x = max(LEFT, min(panel.at(event.at) + 4, right - width))
            row = next((at for at, end in enumerate(taken) if end <= x), len(taken))
            taken[row : row + 1] = [x + width + 8]
            if row < MOST_LABELS:
                yield x, row, event.what

    def _faults(self, bottom: float) -> Iterator[str]:
        """Bands behind everything, each with a word at its head."""
        panel = Panel(LEFT, HEAD, WIDTH - LEFT - RIGHT, 1.0, self._end, 1.0)
        for x, row, words in self._labels:
            yield text(x, HEAD + 12 + LABEL * row, words, size=11, fill="#9c2f36")
        for event in self._report.events:
            x = panel.at(event.at)
            if event.until is None:
                yield tag("line", x1=x, x2=x, y1=HEAD, y2=bottom, stroke=BAD, stroke_dasharray="4 3")
            else:
                width = max(panel.at(event.until) - x, 1.0)
                yield tag("rect", x=x, y=HEAD, width=width, height=bottom - HEAD, fill=BAD, fill_opacity="0.07")

    def _requests(self) -> Iterator[str]:
        series = self._report.series
        good = [count / series.step for count in series.good]
        failed = [count / series.step for count in series.failed]
        panel = self._panel(_top([low + high for low, high in zip(good, failed, strict=True)]))
        yield from panel.frame("requests a second", "", times=False)
        yield from panel.areas(series.step, [(GOOD, good), (BAD, failed)])
        yield from _legend(panel, [(GOOD, "answered"), (BAD, "refused, failed or cut")])

    def _first_tokens(self) -> Iterator[str]:
        series = self._report.series
        known = [value for value in (*series.first_token_p50, *series.first_token_p99) if value]
        top, low = (max(known) * 1.25, min(known) / 1.25) if known else (1.0, 0.1)
        panel = self._panel(max(top, low * 4), log=True, low=low)
        yield from panel.frame("seconds until the first token, of good answers", " s", times=False)
        yield from panel.line(series.step, series.first_token_p50, P50)
        yield from panel.line(series.step, series.first_token_p99, P99)
        yield from _legend(panel, [(P50, "p50"), (P99, "p99")])

    def _attempts(self) -> Iterator[str]:
        series = self._report.series
        rows = [(self._hues[id], [count / series.step for count in series.attempts[id]]) for id in self._ids]
        sums = [sum(values) for values in zip(*(values for _, values in rows), strict=True)]
        panel = self._panel(_top(sums))
        yield from panel.frame("attempts a second", "", times=False)
        yield from panel.areas(series.step, rows)
        yield from _legend(panel, [(self._hues[id], id) for id in self._ids[:4]])

    def _standing(self) -> Iterator[str]:
        panel = self._panel(1.0, height=STRIP * len(self._ids))
        yield text(panel.x, panel.y - 10, "how deployments stood", size=13, fill=INK, font_weight="600")
        words = [(_STATES.get(state, _OTHER), word) for state, word in _STATE_WORDS]
        yield from _legend(panel, words)
        for at, id in enumerate(self._ids):
            y = panel.y + STRIP * at
            for start, end, state in self._spells(id):
                x = panel.at(start)
                width = max(panel.at(end) - x, 0.7)
                colour = _STATES.get(state, _OTHER)
                yield tag("rect", x=x, y=y + 2, width=width, height=STRIP - 4, fill=colour)
            yield text(panel.x + 6, y + 15, id, size=11, fill=INK)

    def _spells(self, id: str) -> Iterator[tuple[float, float, str]]:
        start, state = 0.0, "ready"
        for change in self._report.changes:
            if change.deployment == id:
                yield start, change.at, state
                start, state = change.at, change.state
        yield start, self._end, state

    def _spend(self) -> Iterator[str]:
        series = self._report.series
        priced = any(series.spend)
        rates = [spend * 3600 / series.step for spend in series.spend]
        if not priced:
            self._y -= GAP - 8
        panel = self._panel(_top(rates), height=80.0 if priced else 0.0)
        yield from panel.frame("dollars an hour" if priced else "", "", times=True)
        yield from panel.areas(series.step, [("#4f9d69", rates)])


def _legend(panel: Panel, words: Sequence[tuple[str, str]]) -> Iterator[str]:
    x = panel.x + panel.width
    for colour, word in reversed(words):
        x -= 6.0 * len(word)
        yield text(x, panel.y - 10, word, size=11)
        x -= 15
        yield tag("rect", x=x, y=panel.y - 19, width=10.0, height=10.0, fill=colour, stroke=GRID)
        x -= 14


def _top(values: Sequence[float]) -> float:
    return max((*values, 0.0)) * 1.08 or 1.0


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


# --- the page around it


def page(report: Report) -> str:
    """A page with the picture, which tells the values under the pointer, and what changed when."""
    picture = draw(report)
    data = msgspec.json.encode(
        {
            "step": report.series.step,
            "left": LEFT / WIDTH,
            "right": 1 - RIGHT / WIDTH,
            "requests": report.series.requests,
            "failed": report.series.failed,
            "p50": report.series.first_token_p50,
            "p99": report.series.first_token_p99,
            "attempts": report.series.attempts,
            "spend": report.series.spend,
        }
    )
    rows = "".join(
        f"<tr><td>{time_text(change.at)}<td>{escape(change.deployment)}<td>{escape(change.state)}"
        f"<td>{escape(change.why)}</tr>"
        for change in report.changes[:MOST_ROWS]
    )
    left = len(report.changes) - MOST_ROWS
    rows += f"<tr><td><td>and {left:,} more</tr>" if left > 0 else ""
    head = "<tr><th>when<th>deployment<th>state<th>why</tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
    # `</` in a string would end the script.
    script = data.decode().replace("</", "<\\/")
    return _PAGE.substitute(title=escape(report.scenario), picture=picture, data=script, table=table)


_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body{margin:0;background:#f4f6f8;color:#1d2733;font:14px system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
main{max-width:1120px;margin:0 auto;padding:20px}
figure{position:relative;margin:0;background:#fff;border:1px solid #e3e8ee;border-radius:8px;overflow:hidden}
svg{display:block;width:100%;height:auto}
#line{position:absolute;top:0;bottom:0;width:1px;background:#1d2733;opacity:.35;display:none;pointer-events:none}
#tip{position:absolute;display:none;pointer-events:none;background:#1d2733;color:#fff;border-radius:6px;
padding:8px 10px;font-size:12px;line-height:1.5;white-space:pre;opacity:.94}
table{border-collapse:collapse;margin-top:20px;font-size:13px}
th,td{text-align:left;padding:3px 18px 3px 0;vertical-align:top}th{color:#5d6b7a;font-weight:500}
td:first-child{font-variant-numeric:tabular-nums}
</style></head><body><main>
<figure id="figure">$picture<div id="line"></div><div id="tip"></div></figure>
$table
</main><script>
const data=$data;
const figure=document.getElementById("figure"),line=document.getElementById("line"),tip=document.getElementById("tip");
const time=s=>{s=Math.round(s);const h=Math.floor(s/3600),m=Math.floor(s/60)%60,p=n=>String(n).padStart(2,"0");
return h?h+":"+p(m)+":"+p(s%60):m+":"+p(s%60)};
const show=v=>v==null?"-":v<1?Math.round(v*1000)+" ms":v.toFixed(2)+" s";
figure.addEventListener("mousemove",event=>{
const box=figure.getBoundingClientRect(),part=(event.clientX-box.left)/box.width;
const at=Math.floor((part-data.left)/(data.right-data.left)*data.requests.length);
const seen=at>=0&&at<data.requests.length;
line.style.display=tip.style.display=seen?"block":"none";
if(!seen)return;
line.style.left=event.clientX-box.left+"px";
const a=Object.keys(data.attempts).map(id=>"\\n  "+id+"  "+data.attempts[id][at]).join("");
tip.textContent=time(at*data.step)+" to "+time((at+1)*data.step)+"\\nrequests  "+data.requests[at]+", not answered  "+
data.failed[at]+"\\nfirst token  p50 "+show(data.p50[at])+", p99 "+show(data.p99[at])+"\\nattempts"+a+
"\\nspend  $$"+data.spend[at].toFixed(4);
const x=event.clientX-box.left,flip=x>box.width*.62;
tip.style.left=flip?"":x+14+"px";tip.style.right=flip?box.width-x+14+"px":"";
tip.style.top=Math.min(Math.max(event.clientY-box.top-20,8),box.height-tip.offsetHeight-8)+"px"});
figure.addEventListener("mouseleave",()=>{line.style.display=tip.style.display="none"});
</script></body></html>
""")
