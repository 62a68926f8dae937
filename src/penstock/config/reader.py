"""Reads a tree piece by piece, noting what is wrong with each piece and going on.

Knows forms, not meanings: which keys a section has, how a value is parsed, what a secret reference is. What the
values mean to each other is decided by those who read them, and in `config/load.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from penstock.config import values
from penstock.config.habits import OF_OTHERS, reference_meant, why_no_credential
from penstock.config.later import SECTIONS, TAKEN
from penstock.config.tree import Node, Place, Problems
from penstock.redact import Secret
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["NOT_YET", "Reader", "Unset"]

T = TypeVar("T")

NOT_YET = "not in this version"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Goes into a header as it is: RFC 9110, section 5.5, visible ASCII only.
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")
# Of the environment, what may be suggested where a variable is misspelt.
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|API|AUTH", re.I)
_LARGEST_SECRET = 64 * 1024


# Where a key may have been meant to stand.
_ELSEWHERE = {
    "server": "server: {}",
    "model": "models: {{NAME: {}}}, or defaults",
    "provider": "providers: {{NAME: {}}}",
}


class Unset(Exception):
    """A secret that may be unset (`env:NAME?`), and is; says why."""


_CALLED = {"key_limit": "a limit of a key", "key_budget": "a budget of a key"}
# What others call it.
_ALSO = {
    "rpm": "requests",
    "tpm": "tokens",
    "max_parallel_requests": "concurrency",
    "max_budget": "limit",
    **dict.fromkeys(("endpoint", "azure_endpoint", "api_base", "url", "host"), "base_url"),
    "token": "api_key",
    "type": "kind",
    "model": "target",
    "deployments": "targets",
    "fallbacks": "fallback",
}


# Where what is said of one thing stands for all.
_ONCE = {
    ("model", "budget"): "budgets: [{scope: model, match: NAME, limit: 50 USD/day}]",
    ("model", "rate_limit"): "limits: [{scope: model, match: NAME, requests: 600/min}]",
    ("defaults", "budget"): "budgets: [{scope: model, limit: 50 USD/day}]",
    ("defaults", "rate_limit"): "limits: [{scope: model, requests: 600/min}]",
    ("provider", "budget"): "budgets: [{scope: provider, match: NAME, limit: 50 USD/day}]",
    ("provider", "rate_limit"): "limits: [{scope: provider, match: NAME, requests: 600/min}]",
    ("key", "charge"): "tenants: [{name: TENANT, charge: winner}]",
    **OF_OTHERS,
}


def _hint(name: str, section: str) -> str:
    known, later = SECTIONS[section]
    if (section, name) in _ONCE:
        return f" (write {_ONCE[section, name]})"
    if _ALSO.get(name) in known:
        return f" (did you mean {quoted(_ALSO[name])}?)"
    if name in _ALSO and section == "key":
        return f" (write limits: [{{{_ALSO[name]}: ...}}])"
    if near := did_you_mean(name, known):
        return near
    if near := did_you_mean(name, (*later, *TAKEN)):
        return f"{near[:-1]} It is {NOT_YET})"
    for place, written in _ELSEWHERE.items():
        if section != place and name in SECTIONS[place].known:
            return f" (it stands under {written.format(f'{{{name}: ...}}')})"
    return f" ({_CALLED.get(section, section)} has: {', '.join(known)})"


class Reader:
    """What the reading functions share.

    Args:
        problems: where they note what is wrong.
        env: the environment, for `env:` references.
        folder: what relative paths count from.
        check_files: whether files that are named must be there.

    Attributes:
        read: absolute paths of files that were read, or will be, for what is written; each once.
    """

    def __init__(self, problems: Problems, env: Mapping[str, str], folder: Path, *, check_files: bool = True) -> None:
        self.problems = problems
        self.env = env
        self.folder = folder
        self.check_files = check_files
        self.read: dict[str, None] = {}

    def fields(self, node: Node, section: str, example: str = "") -> dict[str, Node]:
        """The entries of a mapping that `section` has; the others are problems. Nothing written is an empty one."""
        entries = self.entries(node, example)
        known, later = SECTIONS[section]
        for name, entry in entries.items():
            if name in known:
                continue
            if name in later or name in TAKEN:
                self.problems.add(entry.key, f'"{name}" is {NOT_YET}')
            elif (key := name.partition(":")[0]) in known:  # never what follows: it may be the secret itself
                self.problems.add(entry.key, f"a space belongs behind the colon: {key}: ...")
            else:
                self.problems.add(entry.key, f"unknown key {quoted(name)}{_hint(name, section)}")
        return {name: entry for name, entry in entries.items() if name in known}

    def entries(self, node: Node, example: str = "") -> dict[str, Node]:
        """A mapping whose keys the user chose; `example` is what to write instead of what is none."""
        if node.value is None:
            return {}
        if isinstance(node.value, list):
            self.problems.add(node.place, f"a mapping is expected here, not a list: {example or 'key: value'}")
            return {}
        if not isinstance(node.value, dict):
            self.problems.add(node.place, f"a mapping is expected here: {example or 'key: value'}")
            return {}
        return node.value

    def items(self, node: Node, example: str = "") -> list[Node]:
        """A list; nothing written is an empty one. `example` is what to write instead of what is none."""
        if node.value is None:
            return []
        if not isinstance(node.value, list):
            alone = isinstance(node.value, str) and len(node.value) <= 40 and values.LABEL.fullmatch(node.value)
            written = example or (f"[{node.value}]" if alone else "[...]")
            self.problems.add(node.place, f"a list is expected here: {written}")
            return []
        return node.value

    def value(self, node: Node | None, parse: Callable[[object], T], default: T) -> T:
        """What `parse` makes of a value; `default` where there is none or it is wrong."""
        if node is None:
            return default
        try:
            return parse(node.value)
        except ValueError as error:
            self.problems.add(node.place, str(error))
            return default

    def choice(self, node: Node | None, known: Mapping[str, T], default: T, later: tuple[str, ...] = ()) -> T:
        """One of a few words."""
        if node is None:
            return default
        word = node.value
        if isinstance(word, str) and word in known:
            return known[word]
        if isinstance(word, str) and word in later:
            self.problems.add(node.place, f"{quoted(word)} is {NOT_YET}; write {' or '.join(known)}")
        else:
            near = did_you_mean(word, known) if isinstance(word, str) else ""
            self.problems.add(node.place, f"write {' or '.join(known)}{near}")
        return default

    def path(self, written: str) -> Path:
        """Where a path leads: relative ones count from the config file's folder."""
        return Path(os.path.abspath(self.folder / written))

    def secret(self, node: Node, example: str) -> Secret | None:
        """What a reference leads to; None for `none`, and for one that is wrong, which is then a problem.

        Args:
            example: the variable to name where the reference is missing.

        Raises:
            Unset: the reference ends with `?` and its variable is not set.
        """
        written = node.value
        if written == "none":
            return None
        if isinstance(written, str) and written.startswith("env:"):
            return self._from_env(written.removeprefix("env:"), node.place)
        if isinstance(written, str) and written.startswith("file:"):
            return self._from_file(written.removeprefix("file:"), node.place)
        # Never the value: it is most likely the secret itself.
        self.problems.add(
            node.place,
            f"a secret is written as a reference, not as itself: put it in a variable and write env:{example},"
            f" or in a file and write file:PATH{reference_meant(written)}",
        )
        return None

    def _from_env(self, name: str, place: Place) -> Secret | None:
        may_be_unset = name.endswith("?")
        name = name.removesuffix("?")
        if not _VARIABLE.fullmatch(name):
            self.problems.add(place, "env: must be followed by the name of a variable, such as env:OPENAI_API_KEY")
            return None
        found = self.env.get(name, "").strip()
        if found:
            return self._credential(found, f"env:{name}", place)
        if may_be_unset:
            raise Unset(f"{name} is not set")
        # Only what is all but the same: most variables are somebody else's.
        known = (other for other in self.env if _SECRET_NAME.search(other) and self.env[other].strip())
        near = did_you_mean(name, known, alike=0.85)
        self.problems.add(place, f"{name} is not set in the environment{near}")
        return None

    def _from_file(self, written: str, place: Place) -> Secret | None:
        if not written:
            self.problems.add(place, "file: must be followed by a path")
            return None
        path = self.path(written)
        self.read[str(path)] = None
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST_SECRET + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            self.problems.add(place, f"the file {quoted(written)} cannot be read: {reason}")
            return None
        if len(data) > _LARGEST_SECRET:
            self.problems.add(place, f"the file {quoted(written)} is too large for a secret")
            return None
        return self._credential(data.decode("utf-8", "replace").strip(), f"file:{written}", place)

    def _credential(self, found: str, source: str, place: Place) -> Secret | None:
        if not _CREDENTIAL.fullmatch(found):
            what = f"holds characters that no credential has{why_no_credential(found)}" if found else "is empty"
            self.problems.add(place, f"what {quoted(source)} leads to {what}")
            return None
        return Secret(found, source)

    def text(self, node: Node | None, default: str = "") -> str:
        """Text that is not empty."""
        return self.value(node, values.text, default)

    def label(self, node: Node | None, default: str = "") -> str:
        """A name without spaces."""
        return self.value(node, values.label, default)
