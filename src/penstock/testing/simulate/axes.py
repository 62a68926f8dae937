"""The parts of a picture: a panel with its axes and what is drawn in it, as SVG. Pure; nothing of a scenario here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

import msgspec

__all__ = ["Panel", "number", "tag", "text", "time_text", "time_ticks", "value_ticks"]

INK, GREY, GRID = "#1d2733", "#5d6b7a", "#e3e8ee"
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_MOST_TICKS = 9


def number(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def tag(name: str, content: str = "", **attributes: str | float) -> str:
    """An element; `_` in an attribute's name is `-`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else number(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(x: float, y: float, words: str, size: int = 12, **more: str) -> str:
    """Words; `anchor`: which end of them stands at `x`."""
    anchor, fill = more.pop("anchor", "start"), more.pop("fill", GREY)
    return tag("text", escape(words), x=x, y=y, font_size=str(size), fill=fill, text_anchor=anchor, **more)


def time_text(seconds: float) -> str:
    """`90` as `1:30`; with hours where there are any."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def time_ticks(end: float) -> list[float]:
    """Round moments up to `end`."""
    step = next((step for step in _TIME_STEPS if end / step <= _MOST_TICKS), _TIME_STEPS[-1])
    return [float(at) for at in range(0, int(end) + 1, step)]


def value_ticks(top: float, *, log: bool = False, low: float = 0.1) -> list[float]:
    """Round values up to `top`, at most five; of a logarithmic scale from `low` on."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(top))
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
        ticks = [value for value in found if low <= value <= top * 1.001]
        return ticks if len(ticks) <= 7 else [value for value in ticks if math.isclose(math.log10(value) % 1, 0)]
    if top <= 0:
        return [0.0]
    step = 10.0 ** math.floor(math.log10(top / 4))
    step = next(step * factor for factor in (1, 2, 2.5, 5, 10) if top / (step * factor) <= 4)
    return [step * at for at in range(int(top / step + 1e-9) + 1)]


class Panel(msgspec.Struct, frozen=True):
    """A rectangle with time along its width and values up its height.

    Attributes:
        end: the time at its right edge.
        top: the value at its upper edge; `low`: at its lower edge, where `log`.
    """

    x: float
    y: float
    width: float
    height: float
    end: float
    top: float
    log: bool = False
    low: float = 0.1

    def at(self, time: float) -> float:
        """Where a moment is."""
        return self.x + self.width * min(max(time / self.end, 0.0), 1.0)

    def up(self, value: float) -> float:
        """Where a value is."""
        if self.log:
            value = min(max(value, self.low), self.top)
            part = math.log(value / self.low) / math.log(self.top / self.low)
        else:
            part = min(max(value / self.top, 0.0), 1.0) if self.top else 0.0
        return self.y + self.height * (1 - part)

    def frame(self, title: str, unit: str, *, times: bool) -> Iterator[str]:
        """Title, grid and the words at its edges."""
        yield text(self.x, self.y - 10, title, size=13, fill=INK, font_weight="600")
        for value in () if not self.height else value_ticks(self.top, log=self.log, low=self.low):
            y = self.up(value)
            yield tag("line", x1=self.x, x2=self.x + self.width, y1=y, y2=y, stroke=GRID)
            yield text(self.x - 8, y + 4, f"{value:g}{unit}", size=11, anchor="end")
        for time in time_ticks(self.end):
            x = self.at(time)
            yield tag("line", x1=x, x2=x, y1=self.y + self.height, y2=self.y + self.height + 4, stroke=GREY)
            if times:
                yield text(x, self.y + self.height + 17, time_text(time), size=11, anchor="middle")
        bottom = self.y + self.height
        yield tag("line", x1=self.x, x2=self.x + self.width, y1=bottom, y2=bottom, stroke=GREY)

    def areas(self, step: float, layers: Sequence[tuple[str, Sequence[float]]]) -> Iterator[str]:
        """Areas one upon the other: each one's colour, and its value in each step."""
        below = [0.0] * len(layers[0][1]) if layers else []
        for colour, values in layers:
            above = [low + value for low, value in zip(below, values, strict=True)]
            if any(values):
                there = list(self._stairs(step, above))
                back = list(self._stairs(step, below))[::-1]
                points = " ".join(f"{number(x)},{number(y)}" for x, y in (*there, *back))
                yield tag("polygon", points=points, fill=colour, fill_opacity="0.85")
            below = above

    def line(self, step: float, values: Sequence[float | None], colour: str) -> Iterator[str]:
        """A line that has gaps where there is no value."""
        for run in _runs(values):
            points = [(self.at((at + 0.5) * step), self.up(value)) for at, value in run]
            if len(points) == 1:
                points = [(points[0][0] - 2, points[0][1]), (points[0][0] + 2, points[0][1])]
            written = " ".join(f"{number(x)},{number(y)}" for x, y in points)
            yield tag("polyline", points=written, fill="none", stroke=colour, stroke_width="1.8")

    def _stairs(self, step: float, values: Sequence[float]) -> Iterable[tuple[float, float]]:
        for at, value in enumerate(values):
            y = self.up(value)
            yield self.at(at * step), y
            yield self.at((at + 1) * step), y


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    run: list[tuple[int, float]] = []
    for at, value in enumerate(values):
        if value is None:
            if run:
                yield run
            run = []
        else:
            run.append((at, value))
    if run:
        yield run
