"""What the import's parts share: a LiteLLM file's nodes read leniently, notes with their lines, secrets kept out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock.config.tree import Node, Place
from penstock.config.yaml_text import flow
from penstock.routing.nearest import quoted

__all__ = ["LATER", "Import", "Note", "entries", "items", "plain", "shown", "text_of"]

LATER = "not in this version"
_ENVIRON = "os.environ/"
# Where these stand instead of a key, the server wants none.
_NO_KEY = frozenset((
    "", "empty", "none", "null", "fake-key", "fake", "dummy", "not-needed", "no-key", "anything", "na", "ollama",
))  # fmt: skip
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"key|password|passwd|secret|(?<!per_)token$|credential|webhook|database_url|dsn|authorization|auth_value|cookie|connection",
    re.I,
)
_SECRET_VALUE = re.compile(
    r"(sk|pk|rk|ghp|xox[a-z]|hf|gsk|AKIA|AIza)[-_A-Za-z0-9]{6,}|[a-z]+://[^/\s]*:[^/\s]*@|bearer ", re.I
)
_MASKED = "***"


class Note(NamedTuple):
    """What differs, and where LiteLLM's file says it."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.message}"


class Import:
    """One file being converted.

    Args:
        env: the environment: for what may not be a reference here, such as addresses.

    Attributes:
        notes: what differs.
        left_out: entries that stay comments whole: the line, and what stood there.
        variables: those that the result refers to.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.notes: list[Note] = []
        self.left_out: list[tuple[int, str]] = []
        self._literals: dict[str, str] = {}
        self.variables: dict[str, None] = {}

    def note(self, node: Node, key: str, message: str) -> None:
        """Say that something differs; once."""
        note = Note(node.key, key, message)
        if note not in self.notes:
            self.notes.append(note)

    def leave_out(self, entry: Node, name: str, at: Node, why: str) -> None:
        """A whole entry of the model list stays a comment."""
        self.note(at, quoted(name), f"left out: {why}")
        self.left_out.append((entry.place.line, shown("model_list", entry)))

    def reference(self, node: Node | None, key: str, fallback: str) -> str:
        """How a secret is referred to here: `env:NAME` or `none`.

        Args:
            key: what LiteLLM calls it.
            fallback: the variable to use where it is written out; where nothing is written, too. "" sends none.
        """
        written = "" if node is None or node.value is None else str(node.value).strip()
        if written.startswith(_ENVIRON) and _VARIABLE.fullmatch(written.removeprefix(_ENVIRON)):
            return self.variable(written.removeprefix(_ENVIRON))
        if node is None or node.value is None:
            return self.variable(fallback) if fallback else "none"
        if written.lower() in _NO_KEY:
            return "none"
        name = self._variable_for(written, fallback or "API_KEY")
        self.note(node, key, f"a secret written out is refused here: put it in the variable {name}")
        return self.variable(name)

    def _variable_for(self, literal: str, name: str) -> str:
        """A variable for a secret that is written out: the same for the same one, and no other's."""
        if literal not in self._literals:
            taken, number = set(self._literals.values()), 2
            found = name
            while found in taken:
                found, number = f"{name}_{number}", number + 1
            self._literals[literal] = found
        return self._literals[literal]

    def variable(self, name: str) -> str:
        """A reference to it, remembered."""
        self.variables[name] = None
        return f"env:{name}"

    def literal(self, node: Node | None, key: str) -> str:
        """Text that cannot be a reference here, such as an address; "" where there is none or nobody knows it."""
        written = text_of(node)
        if node is None or not written.startswith(_ENVIRON):
            return written
        name = written.removeprefix(_ENVIRON)
        found = self.env.get(name, "").strip()
        if found:
            self.note(node, key, f"written out as it stands in {name} now: it cannot be a reference here")
        else:
            self.note(node, key, f"it stands in {name}, which is not set here: write it out in the result")
        return found


def entries(node: Node | None) -> dict[str, Node]:
    """A mapping; an empty one where there is none."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def items(node: Node | None) -> list[Node]:
    """A list; an empty one where there is none."""
    return node.value if node is not None and isinstance(node.value, list) else []


def text_of(node: Node | None) -> str:
    """Text or a number as text; "" where there is neither."""
    return str(node.value).strip() if node is not None and isinstance(node.value, str | int | float) else ""


def plain(node: Node) -> Any:
    """A node without its places."""
    if isinstance(node.value, dict):
        return {key: plain(entry) for key, entry in node.value.items()}
    if isinstance(node.value, list):
        return [plain(item) for item in node.value]
    return node.value


def shown(key: str, node: Node) -> str:
    """What stands there, on one line, whatever may be a secret left out."""
    return f"{key}: {flow(_masked(key, plain(node)))}"


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        # Whatever lies below a name that speaks of secrets may be one.
        above = key if _SECRET_NAME.search(key) else ""
        return {name: _masked(f"{above} {name}", entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_masked(key, item) for item in value]
    if not isinstance(value, str) or value.startswith(_ENVIRON):
        return value
    return _MASKED if _SECRET_NAME.search(key) or _SECRET_VALUE.search(value) else value
