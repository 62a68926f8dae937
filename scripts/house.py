"""Draw the house: every room on its floor, and who imports whom, read from the source.

Writes docs/house.svg and docs/house.md. The floors come from pyproject.toml, where import-linter holds them; what a
room is for is the first line of its docstring. tests/house asserts that both files are current: `make picture`.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from scripts.imports import Source, imports_of, read_tree

__all__ = ["draw", "main"]

WIDTH = 1120
FLOOR_HEIGHT = 112
BOX_HEIGHT = 76
TOP = 84
BOX_GAP = 16
LEFT = 24
LETTER = 5.8  # width of a letter of the small type, roughly
STYLE = """
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .page { fill: #fbfaf7; } .floor { fill: #f1eee6; } .box { fill: #ffffff; stroke: #2f4858; stroke-width: 1.2; }
  .name { font-size: 14px; font-weight: 600; fill: #1d2f3a; } .what { font-size: 11px; fill: #5a6670; }
  .arrow { fill: none; stroke: #33658a; stroke-width: 1.1; opacity: 0.55; } .head { fill: #33658a; }
  .title { font-size: 18px; font-weight: 700; fill: #1d2f3a; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14191d; } .floor { fill: #1c2429; } .box { fill: #232d33; stroke: #8fb3c9; }
    .name, .title { fill: #eef3f6; } .what { fill: #a9b6bf; } .arrow { stroke: #8fc1e3; } .head { fill: #8fc1e3; }
  }
""".strip("\n")


@dataclass(frozen=True)
class Room:
    """A module or package right under `penstock`: its name, what it is for, and the rooms it imports."""

    name: str
    purpose: str
    imports: frozenset[str]


@dataclass(frozen=True)
class Box:
    """Where a room stands in the picture."""

    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """The middle of its upper and lower edge."""
        return self.x + self.width / 2


def read_floors(root: Path) -> list[list[str]]:
    """The floors from top to bottom, as import-linter has them."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (floors,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [[room.strip(" ()") for room in floor.replace(":", "|").split("|")] for floor in floors]


def read_rooms(root: Path) -> dict[str, Room]:
    """Every room there is, by name."""
    sources = [source for source in read_tree(root / "src") if source.module != "penstock"]
    known = frozenset(source.module for source in sources)
    purposes: dict[str, str] = {}
    links: dict[str, set[str]] = {}
    for source in sources:
        name = _room(source.module)
        targets = {_room(item.target) for item in imports_of(source, known) if item.target in known}
        links.setdefault(name, set()).update(targets - {name})
        if source.module.count(".") == 1:
            purposes[name] = _purpose(source)
    return {name: Room(name, purposes.get(name, ""), frozenset(links[name])) for name in sorted(links)}


def _room(module: str) -> str:
    return module.split(".")[1]


def _purpose(source: Source) -> str:
    docstring = ast.get_docstring(source.tree) or ""
    return docstring.partition("\n")[0].strip().rstrip(".")


def direct(rooms: dict[str, Room]) -> list[tuple[str, str]]:
    """The imports worth an arrow: those that no chain of other imports implies."""

    def reach(name: str, seen: frozenset[str]) -> set[str]:
        below: set[str] = set()
        for other in rooms[name].imports - seen:
            below |= {other} | reach(other, seen | {other})
        return below

    arrows = []
    for name, room in rooms.items():
        for target in sorted(room.imports):
            others = room.imports - {target}
            if not any(target in reach(other, frozenset({name})) for other in others):
                arrows.append((name, target))
    return arrows


def place(floors: list[list[str]]) -> dict[str, Box]:
    """A box for every room, floor by floor. A room alone on its floor stands left or right, so that arrows pass by."""
    boxes = {}
    for number, floor in enumerate(floors):
        width = min(330.0, (WIDTH - 2 * LEFT - BOX_GAP * (len(floor) + 1)) / len(floor))
        row = width * len(floor) + BOX_GAP * (len(floor) - 1)
        aside = (-1) ** number * WIDTH / 5 if len(floor) == 1 else 0
        for column, name in enumerate(floor):
            x = (WIDTH - row) / 2 + aside + column * (width + BOX_GAP)
            boxes[name] = Box(
                round(x, 1), TOP + number * FLOOR_HEIGHT + (FLOOR_HEIGHT - BOX_HEIGHT) / 2, round(width, 1)
            )
    return boxes


def svg(floors: list[list[str]], rooms: dict[str, Room]) -> str:
    """The picture."""
    boxes = place(floors)
    height = TOP + len(floors) * FLOOR_HEIGHT + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="The rooms of Penstock, floor by floor, and who imports whom">',
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{LEFT}" y="38">The house: what stands above may import what lies below</text>',
        f'<text class="what" x="{LEFT}" y="60">Everyone may speak the vocabulary on the ground floor: arrows to '
        "it are left out, and so are those that a chain of others implies.</text>",
    ]
    for number in range(len(floors)):
        y = TOP + number * FLOOR_HEIGHT + 4
        parts.append(
            f'<rect class="floor" x="{LEFT}" y="{y}" width="{WIDTH - 2 * LEFT}" height="{FLOOR_HEIGHT - 8}" rx="6"/>'
        )
    ground = set(floors[-1])
    arrows = [(start, end) for start, end in direct(rooms) if start in ground or end not in ground]
    parts += [_arrow(boxes[start], boxes[end]) for start, end in arrows]
    parts += [_box(boxes[name], rooms[name]) for floor in floors for name in floor]
    return "\n".join([*parts, "</svg>", ""])


def _arrow(start: Box, end: Box) -> str:
    if start.y == end.y:  # neighbours of one floor: an arc over the boxes' upper edges
        middle, top = (start.middle + end.middle) / 2, start.y - 22
        path = f"M{start.middle:.1f} {start.y:.1f} Q{middle:.1f} {top:.1f} {end.middle:.1f} {end.y:.1f}"
    else:
        y1, y2 = start.y + BOX_HEIGHT, end.y
        bend = (y2 - y1) / 2
        x1, x2 = start.middle, end.middle
        path = f"M{x1:.1f} {y1:.1f} C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="arrow" marker-end="url(#head)" d="{path}"/>'


def _box(box: Box, room: Room) -> str:
    lines = textwrap.wrap(
        room.purpose.replace("`", ""), int((box.width - 16) / LETTER), max_lines=3, placeholder=" ..."
    )
    rows = [f'<text class="name" x="{box.x + 10:.1f}" y="{box.y + 20:.1f}">{room.name}</text>']
    for number, line in enumerate(lines):
        y = box.y + 37 + number * 14
        rows.append(f'<text class="what" x="{box.x + 10:.1f}" y="{y:.1f}">{escape(line)}</text>')
    frame = f'<rect class="box" x="{box.x}" y="{box.y}" width="{box.width}" height="{BOX_HEIGHT}" rx="5"/>'
    return f"<g><title>{escape(f'{room.name}: {room.purpose}')}</title>{frame}{''.join(rows)}</g>"


def page(floors: list[list[str]], rooms: dict[str, Room]) -> str:
    """The same as text, with every import."""
    lines = [
        "# The house",
        "",
        "Drawn from the imports by `make picture`; do not edit. What stands above may import what lies below, never",
        "the reverse; rooms of one floor do not know each other, but for the vocabulary at the bottom.",
        "",
        "![The rooms of Penstock, floor by floor](house.svg)",
        "",
        "Arrows to the ground floor, and those that a chain of others implies, are left out. Here is every import:",
        "",
        "| floor | room | is for | imports |",
        "| --- | --- | --- | --- |",
    ]
    for number, floor in enumerate(floors):
        for name in floor:
            room = rooms[name]
            names = ", ".join(f"`{other}`" for other in sorted(room.imports)) or "nothing of the house"
            lines.append(f"| {len(floors) - number} | `{name}` | {room.purpose.replace('|', '/')} | {names} |")
    return "\n".join([*lines, ""])


def draw(root: Path) -> dict[str, str]:
    """The files of docs/ that show the house, by name. A room that stands on no floor is an error."""
    rooms = read_rooms(root)
    floors = [[name for name in floor if name in rooms] for floor in read_floors(root)]
    floors = [floor for floor in floors if floor]
    homeless = set(rooms) - {name for floor in floors for name in floor} - {"__main__"}
    if homeless:
        raise SystemExit(f"on no floor of pyproject.toml: {', '.join(sorted(homeless))}")
    rooms.pop("__main__", None)
    return {"house.svg": svg(floors, rooms), "house.md": page(floors, rooms)}


def main() -> None:
    """Write both files."""
    root = Path(__file__).resolve().parents[1]
    for name, text in draw(root).items():
        (root / "docs" / name).write_text(text)
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
