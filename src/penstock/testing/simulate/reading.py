"""Reads a scenario: what is wrong with it is told with its place, all at once, as of a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock.config.naming import names_of
from penstock.config.schema import Config
from penstock.config.tree import Node, Tree, from_mapping
from penstock.config.values import duration, positive_duration
from penstock.config.yaml_file import open_tree
from penstock.errors import ConfigError, UnknownModel
from penstock.testing.simulate import quantities
from penstock.testing.simulate.dummies import load_without_secrets
from penstock.testing.simulate.reading_faults import check_place, read_faults
from penstock.testing.simulate.reading_traffic import read_spread, read_traffic
from penstock.testing.simulate.scenario import Expected, Scenario, Traffic, Vendor
from penstock.testing.simulate.sections import Sections

__all__ = ["load_scenario"]


def load_scenario(source: str | os.PathLike[str] | Mapping[str, object]) -> Scenario:
    """The scenario of a file, or the same as a mapping. Its configuration is read without any secret.

    Raises:
        ConfigError: it, or its configuration, is wrong; one `file:line:col: message` a line.
    """
    tree = from_mapping(source, "(a scenario)") if isinstance(source, Mapping) else open_tree(Path(source))
    if not isinstance(tree.root.value, dict):
        raise ConfigError(f"{tree.root.place}: a mapping is expected here: key: value")
    reader = Sections(tree.problems, {}, tree.folder)
    fields = reader.fields(tree.root, "scenario")
    wrong: list[str] = []
    config = _config(reader, tree, fields["config"], wrong) if "config" in fields else None
    scenario = _read(reader, tree, fields, config, wrong)
    try:
        tree.problems.raise_if_any()
    except ConfigError as error:
        wrong.insert(0, error.message)
    if wrong or scenario is None:
        raise ConfigError("\n".join(wrong))
    return scenario


def _read(
    reader: Sections, tree: Tree, fields: dict[str, Node], config: Config | None, wrong: list[str]
) -> Scenario | None:
    default = Scenario(source="", config=config, traffic=())  # type: ignore[arg-type]
    traffic = read_traffic(reader, fields.get("traffic"), config)
    faults = read_faults(reader, fields.get("faults"), config, lambda node: _config(reader, tree, node, wrong))
    vendors = _vendors(reader, fields.get("vendors"), config)
    found = {
        "duration": reader.some(fields.get("duration"), default.duration),
        "seed": reader.whole(fields.get("seed"), 0, 2**31, 0),
        "workers": reader.whole(fields.get("workers"), 1, 64, 1),
        "expect": _expected(reader, fields.get("expect")),
    }
    if config is None or "traffic" not in fields:
        return None
    _check_models(reader, fields["traffic"], traffic, config)
    for fault in faults:
        if fault.kind == "kill" and fault.worker > found["workers"]:  # type: ignore[operator]
            reader.problems.add(fields["faults"].place, f"there is no worker {fault.worker}")
    return Scenario(source=tree.source, config=config, traffic=traffic, vendors=vendors, faults=faults, **found)  # type: ignore[arg-type]


def _config(reader: Sections, tree: Tree, node: Node, wrong: list[str]) -> Config | None:
    """A configuration by its path, or as it stands there; None where it is wrong."""
    try:
        if isinstance(node.value, dict):
            return load_without_secrets(Tree(node, type(tree.problems)(), tree.source, tree.folder, tree.kinds))
        written = reader.text(node)
        # Relative as it was written, so that its problems are told by a path that leads there from here.
        folder = os.path.dirname(tree.source) if tree.kinds is not None else str(tree.folder)
        return load_without_secrets(open_tree(os.path.join(folder, written))) if written else None
    except ConfigError as error:
        wrong.append(error.message)
        return None


def _check_models(reader: Sections, node: Node, traffic: tuple[Traffic, ...], config: Config) -> None:
    """Whether what is asked for leads anywhere."""
    names = names_of(config)
    for each in traffic:
        entry = reader.entries(node)[each.name]
        for model in each.models:
            try:
                names.find(model)
            except UnknownModel as error:
                reader.problems.add(reader.entries(entry)["model"].place, str(error))


def _vendors(reader: Sections, node: Node | None, config: Config | None) -> Mapping[str, Vendor]:
    found: dict[str, Vendor] = {}
    default = Vendor()
    for name, entry in (reader.entries(node) if node is not None else {}).items():
        if name != "*" and config is not None:
            check_place(reader, msgspec.structs.replace(entry, place=entry.key), name, config)
        fields = reader.fields(entry, "vendor")
        found[name] = Vendor(
            first_token=read_spread(reader, fields.get("first_token"), positive_duration, "times", default.first_token),
            speed=read_spread(reader, fields.get("speed"), quantities.positive, "numbers", default.speed),
            latency=reader.value(fields.get("latency"), duration, default.latency),
            most=reader.whole(fields.get("most"), 1, 1_000_000, 0) or None,
            over=reader.whole(fields.get("over"), 400, 599, default.over),
            limit=reader.value(fields.get("limit"), quantities.rate, None),
        )
    return found


def _expected(reader: Sections, node: Node | None) -> Expected:
    if node is None:
        return Expected()
    fields = reader.fields(node, "expect")
    return Expected(
        success=reader.value(fields.get("success"), quantities.share, None),
        first_token_p99=reader.value(fields.get("first_token_p99"), positive_duration, None),
        total_p99=reader.value(fields.get("total_p99"), positive_duration, None),
        attempts=reader.value(fields.get("attempts"), quantities.positive, None),
        spend=reader.value(fields.get("spend"), quantities.positive, None),
    )
