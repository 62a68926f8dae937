"""How `penstock simulate` shows a report: tables that fit 80 columns, the same in a terminal and in a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from penstock.testing.simulate.report import Change, Deployment, Report, Row

__all__ = ["clock_text", "lines_of"]

MOST_CHANGES = 40
WIDTH = 80
SOON_SECONDS = 60.0  # what follows so soon is told together
_NAME_WIDTH = 24
_UNPRICED = " and more: some prices are unknown"
_DEEDS = {"open": "opens", "trial": "tries again", "ready": "is well again"}
_ABLE = ("trial", "ready")


def lines_of(report: Report) -> Iterator[str]:
    """The report, line by line."""
    total = report.total
    workers = f", {report.workers} workers" if report.workers > 1 else ""
    yield f"{report.scenario}: {clock_text(report.seconds)} of virtual time, seed {report.seed}{workers}"
    yield f"penstock {report.penstock}"
    yield ""
    yield from _summary(total)
    yield ""
    yield from _rows("callers", report.traffic)
    if [row.name for row in report.models] != [row.name for row in report.traffic] and len(report.models) > 1:
        yield ""
        yield from _rows("models", report.models)
    yield ""
    yield from _deployments(report.deployments)
    if report.errors:
        yield ""
        yield from _table(
            ("errors that callers got", "requests", "of all"),
            [(code, f"{count:,}", _share(count / total.requests)) for code, count in _by_count(report.errors)],
        )
    yield ""
    yield from _story(report)
    for sentence in report.expected:
        yield f"not as expected: {sentence}"


def _summary(total: Row) -> Iterator[str]:
    told = [
        ("requests", f"{total.requests:,}"),
        ("success", _share(total.success)),
        ("first token", f"p50 {_seconds(total.first_token_p50)}, p99 {_seconds(total.first_token_p99)}"),
        ("whole answer", f"p50 {_seconds(total.total_p50)}, p99 {_seconds(total.total_p99)}"),
        ("attempts a request", "-" if total.attempts is None else f"{total.attempts:.3f}"),
        ("of these", _kinds(total)),
        ("refused, failed, cut", f"{total.refused:,}, {total.failed:,}, {total.cut:,}"),
        (
            "spend an hour",
            _dollars(total.spend_per_hour) + _UNPRICED * bool(total.unpriced),
        ),
    ]
    if total.queued:
        told.insert(2, ("waited for a place", f"{total.queued:,}"))
    if total.degraded:
        told.insert(2, ("degraded", f"{total.degraded:,}"))
    for name, text in told:
        yield f"  {name:<22}{text}"


def _kinds(total: Row) -> str:
    kinds = {"retries": total.retries, "fallbacks": total.fallbacks, "hedges": total.hedges, "resumes": total.resumes}
    return ", ".join(f"{count:,} {name}" for name, count in kinds.items() if count) or "no retry, no fallback"


def _rows(title: str, rows: Sequence[Row]) -> Iterator[str]:
    head = (title, "requests", "success", "first p50", "first p99", "whole p99", "$/h")
    yield from _table(
        head,
        [
            (
                row.name,
                f"{row.requests:,}",
                _share(row.success),
                _seconds(row.first_token_p50),
                _seconds(row.first_token_p99),
                _seconds(row.total_p99),
                f"{row.spend_per_hour:,.2f}",
            )
            for row in rows
        ],
    )


def _deployments(rows: Sequence[Deployment]) -> Iterator[str]:
    head = ("deployments", "attempts", "good", "answered", "first p99", "open", "paused")
    yield from _table(
        head,
        [
            (
                row.id,
                f"{row.attempts:,}",
                _share(row.outcomes.get("ok", 0) / row.attempts) if row.attempts else "-",
                _share(row.answered),
                _seconds(row.first_token_p99),
                clock_text(row.open_seconds) if row.open_seconds else "-",
                clock_text(row.paused_seconds) if row.paused_seconds else "-",
            )
            for row in rows
        ],
    )


def _story(report: Report) -> Iterator[str]:
    """Faults and what deployments did, in the order in which it happened."""
    told: list[tuple[float, int, str, str]] = []
    for event in report.events:
        until = f" until {clock_text(event.until)}" if event.until is not None else ""
        told.append((event.at, 0, "", f"{event.what}{until}"))
    for id in dict.fromkeys(change.deployment for change in report.changes):
        told += _deeds(id, [change for change in report.changes if change.deployment == id])
    told.sort(key=lambda item: item[:2])
    yield "what happened when"
    width = min(_NAME_WIDTH, max((len(item[2]) for item in told), default=0))
    for at, _, deployment, what in told[:MOST_CHANGES]:
        start = f"  {clock_text(at):>8}  {_cut(deployment, width):<{width}}  "
        yield from textwrap.wrap(what, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
    if not told:
        yield "  nothing went wrong"
    if len(told) > MOST_CHANGES:
        yield f"  and {len(told) - MOST_CHANGES:,} more: --json and --plot have them all"


def _deeds(id: str, changes: Sequence[Change]) -> Iterator[tuple[float, int, str, str]]:
    """What a deployment did; what it did again and again is one line."""
    at = 0
    while at < len(changes):
        change = changes[at]
        tried, paused = _row_of(changes, at, ("trial", "open")), _row_of(changes, at, (change.state, "ready"))
        if tried > 1:
            last = changes[at + 2 * tried - 1]
            yield change.at, 1, id, f"tries again {tried} times until {clock_text(last.at)}, each time in vain"
            at += 2 * tried
        elif paused > 1 and change.state not in _ABLE:
            spells = [changes[one + 1].at - changes[one].at for one in range(at, at + 2 * paused, 2)]
            last = changes[at + 2 * paused - 1]
            in_all = f"until {clock_text(last.at)}, {clock_text(sum(spells))} in all"
            yield change.at, 1, id, f"is {change.state} {paused} times {in_all}: {change.why}"
            at += 2 * paused
        else:
            why = f": {change.why}" if change.why and change.state not in _ABLE else ""
            yield change.at, 1, id, _DEEDS.get(change.state, f"is {change.state}") + why
            at += 1


def _row_of(changes: Sequence[Change], at: int, states: tuple[str, str]) -> int:
    """How often these two states follow each other from there on, soon after each other."""
    count = 0
    while at + 1 < len(changes) and (changes[at].state, changes[at + 1].state) == states:
        if count and changes[at].at - changes[at - 1].at > SOON_SECONDS:
            break
        count += 1
        at += 2
    return count


# --- forms


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they must be; the first is cut short where the line would be too long."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    widths[0] = max(12, min(widths[0], WIDTH - sum(width + 2 for width in widths[1:])))
    for row in (head, *rows):
        rest = "".join(f"  {text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True))
        yield f"{_cut(row[0], widths[0]):<{widths[0]}}{rest}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _share(part: float | None) -> str:
    if part is None:
        return "-"
    # Never rounded up to all of it.
    shown = f"{part:.2%}"
    return "<100%" if shown == "100.00%" and part < 1 else "100%" if part == 1 else shown


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.4f}"


def clock_text(seconds: float) -> str:
    """`1:02:03` or `2:03`; tenths of a second below a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
