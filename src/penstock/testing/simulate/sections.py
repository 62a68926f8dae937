"""Reads the sections of a scenario: the same as a configuration's, by another table of keys."""

from __future__ import annotations

from typing import TypeVar

from penstock.config import values
from penstock.config.reader import Reader
from penstock.config.tree import Node
from penstock.routing.nearest import did_you_mean, quoted
from penstock.testing.simulate import quantities
from penstock.testing.simulate.keys import KEYS, REQUIRED
from penstock.testing.simulate.scenario import NEVER, Window

__all__ = ["Sections"]

T = TypeVar("T")


class Sections(Reader):
    """A reader that knows the keys of a scenario."""

    def fields(self, node: Node, section: str, example: str = "") -> dict[str, Node]:
        """As a configuration's; what must be written and is not is a problem too."""
        entries, known = self.entries(node, example), KEYS[section]
        for name, entry in entries.items():
            if name not in known:
                near = did_you_mean(name, known) or f" ({section.replace('_', ' ')} has: {', '.join(known)})"
                self.problems.add(entry.key, f"unknown key {quoted(name)}{near}")
        if isinstance(node.value, dict):
            for name in REQUIRED.get(section, ()):
                if name not in entries:
                    example = known[name].example
                    written = f": write {name}: {example}" if example else ""
                    self.problems.add(node.key, f"{name} is missing{written}")
        return {name: entry for name, entry in entries.items() if name in known}

    def duration(self, node: Node | None, default: float) -> float:
        """Seconds; none is allowed."""
        return self.value(node, values.duration, default)

    def some(self, node: Node | None, default: float) -> float:
        """Seconds, more than none."""
        return self.value(node, values.positive_duration, default)

    def share(self, node: Node | None, default: float) -> float:
        """From 0 to 1."""
        return self.value(node, quantities.share, default)

    def whole(self, node: Node | None, least: int, most: int, default: int) -> int:
        """A whole number within bounds."""
        if node is None:
            return default
        value = node.value
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.problems.add(node.place, f"a whole number from {least} to {most} is expected here")
        return default

    def window(self, fields: dict[str, Node]) -> Window:
        """`from`, `until` or `for`, and `every`."""
        start = self.duration(fields.get("from"), 0.0)
        end = self.some(fields.get("until"), NEVER)
        if "for" in fields:
            if "until" in fields:
                self.problems.add(fields["for"].key, "for stands instead of until: leave one of them out")
            end = start + self.some(fields["for"], NEVER)
        elif end <= start:
            self.problems.add(fields["until"].place, "until lies before from")
            end = NEVER
        every = self.some(fields.get("every"), 0.0) or None
        if every is not None and end - start > every:
            self.problems.add(fields["every"].place, "every is shorter than what it repeats: write for, or until")
            every = None
        return Window(start, end, every)
