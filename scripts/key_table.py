"""The table of a section's keys, as the pages of the configuration and of scenarios have it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from penstock.config.entry import Entry

__all__ = ["key_table"]


def key_table(keys: Mapping[str, Entry], required: Container[str], titles: Mapping[str, str]) -> Iterator[str]:
    """Its lines of Markdown.

    Args:
        titles: of every section, to which what takes such a mapping leads.
    """
    yield "| key | takes | default | what it does | example |"
    yield "| --- | --- | --- | --- | --- |"
    for key, entry in keys.items():
        needed = "**needed**" if key in required else _code(entry.default)
        yield f"| `{key}` | {_takes(entry, titles)} | {needed} | {_cell(entry.text)} | {_code(entry.example)} |"


def _takes(entry: Entry, titles: Mapping[str, str]) -> str:
    name = _cell(entry.form.name)
    if entry.form.section:
        title = titles[entry.form.section]
        anchor = "".join(letter for letter in title.lower() if letter.isalnum() or letter in "-_ ").replace(" ", "-")
        return name.replace("a mapping", f"[a mapping](#{anchor})")
    return name


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""
