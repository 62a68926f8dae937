"""What the sixteen came to, as the table that docs/reliability.md shows."""

from __future__ import annotations

from collections.abc import Mapping

from tests.sixteen.play import Part
from tests.sixteen.story import Story

__all__ = ["failures", "table"]


def failures(stories: Mapping[Part, Story]) -> dict[str, str]:
    """Of each part that did not come out right: why."""
    found = {}
    for part, story in stories.items():
        try:
            part.case.judge(story)
        except AssertionError as error:
            found[part.name] = str(error)
    return found


def table(stories: Mapping[Part, Story]) -> list[str]:
    """A line in Markdown for each case: what was asked of whom, and how long its callers waited."""
    failed = failures(stories)
    lines = ["| | fault | asked: primary, fallback | the caller waited | right |", "| ---: | --- | --- | --- | --- |"]
    cases = dict.fromkeys(part.case for part in stories if part.case.number)
    for case in cases:
        parts = [part for part in stories if part.case is case]
        asked = {(len(stories[part].primary), len(stories[part].fallback)) for part in parts}
        waits = [outcome.seconds for part in parts for outcome in stories[part].outcomes[:1]]
        ways = " or ".join(f"{primary}, {fallback}" for primary, fallback in sorted(asked))
        good = not any(part.name in failed for part in parts)
        span = " to ".join(dict.fromkeys(f"{wait:.1f}" for wait in (min(waits), max(waits))))
        lines.append(f"| {case.number} | {case.title} | {ways} | {span} s | {'yes' if good else 'NO'} |")
    return lines
